/* The CPUID table: what the guest is told, bit by bit what accel-interp implements (Intel SDM vol. 2, CPUID).
 *
 * Identity: family 6, model 0x1C, stepping 10, the numbers of an in-order Atom that does not speculate, which is what an
 * interpreter is; operating systems then leave out their work-arounds for speculation. Leaf 0x15 gives the TSC and the
 * local APIC timer clock (both 1 GHz), so that a guest need not calibrate. */
#include "core/cpu_model.h"
#include "core/vtime.h"

#include <stdio.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

/* Which models have a feature. */
#define BASE 1u /* "v1": the x86-64 baseline */
#define FULL 2u /* "vmrr" */

static const struct feature {
    const char *name;
    uint32_t leaf;
    uint8_t reg, bit;
    uint8_t models;
} features[] = {
    {"fpu", 1, EDX, 0, BASE | FULL},
    {"de", 1, EDX, 2, BASE | FULL},
    {"pse", 1, EDX, 3, BASE | FULL},
    {"tsc", 1, EDX, 4, BASE | FULL},
    {"msr", 1, EDX, 5, BASE | FULL},
    {"pae", 1, EDX, 6, BASE | FULL},
    {"mce", 1, EDX, 7, BASE | FULL},
    {"cx8", 1, EDX, 8, BASE | FULL},
    {"apic", 1, EDX, 9, BASE | FULL},
    {"sep", 1, EDX, 11, BASE | FULL},
    {"mtrr", 1, EDX, 12, BASE | FULL},
    {"pge", 1, EDX, 13, BASE | FULL},
    {"mca", 1, EDX, 14, BASE | FULL},
    {"cmov", 1, EDX, 15, BASE | FULL},
    {"pat", 1, EDX, 16, BASE | FULL},
    {"clflush", 1, EDX, 19, BASE | FULL},
    {"mmx", 1, EDX, 23, BASE | FULL},
    {"fxsr", 1, EDX, 24, BASE | FULL},
    {"sse", 1, EDX, 25, BASE | FULL},
    {"sse2", 1, EDX, 26, BASE | FULL},
    {"cx16", 1, ECX, 13, FULL},
    {"tsc-deadline", 1, ECX, 24, FULL},
    {"rdrand", 1, ECX, 30, FULL},
    {"hypervisor", 1, ECX, 31, BASE | FULL},
    {"arat", 6, EAX, 2, BASE | FULL},
    {"tsc-adjust", 7, EBX, 1, FULL},
    {"fdp-excptn-only", 7, EBX, 6, BASE | FULL},
    {"smep", 7, EBX, 7, FULL},
    {"erms", 7, EBX, 9, FULL},
    {"zero-fcs-fds", 7, EBX, 13, BASE | FULL},
    {"rdseed", 7, EBX, 18, FULL},
    {"smap", 7, EBX, 20, FULL},
    {"arch-capabilities", 7, EDX, 29, FULL},
    {"lahf-lm", 0x80000001, ECX, 0, FULL},
    {"syscall", 0x80000001, EDX, 11, BASE | FULL},
    {"nx", 0x80000001, EDX, 20, BASE | FULL},
    {"pdpe1gb", 0x80000001, EDX, 26, FULL},
    {"rdtscp", 0x80000001, EDX, 27, FULL},
    {"lm", 0x80000001, EDX, 29, BASE | FULL},
    {"invtsc", 0x80000007, EDX, 8, BASE | FULL},
};
#define FEATURE_COUNT (sizeof features / sizeof features[0])

#define LEAF_BASIC_MAX 0x16u
#define LEAF_EXTENDED_MAX 0x80000008u
#define LEAF_HYPERVISOR 0x40000000u
#define SIGNATURE 0x000106CAu
#define HZ_PER_MHZ 1000000u

/* A cache of leaf 4. */
#define CACHE_EAX(type, level) ((type) | ((level) << 5) | (1u << 8))
#define CACHE_EBX(ways, line) (((line)-1) | (((ways)-1) << 22))

static void add(struct cpu_model *model, struct cpu_model_leaf leaf)
{
    if (model->count < CPU_MODEL_LEAVES_MAX)
        model->leaf[model->count++] = leaf;
}

static uint32_t text(const char *four)
{
    return (uint8_t)four[0] | ((uint32_t)(uint8_t)four[1] << 8) | ((uint32_t)(uint8_t)four[2] << 16) |
           ((uint32_t)(uint8_t)four[3] << 24);
}

static void add_brand(struct cpu_model *model)
{
    char brand[48] = "vmrr virtual CPU";

    for (uint32_t n = 0; n < 3; n++) {
        const char *part = brand + 16 * n;
        add(model, (struct cpu_model_leaf){.leaf = 0x80000002u + n,
                                           .eax = text(part),
                                           .ebx = text(part + 4),
                                           .ecx = text(part + 8),
                                           .edx = text(part + 12)});
    }
}

static void add_caches(struct cpu_model *model)
{
    static const struct {
        uint32_t type, level, ways, sets;
    } caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 1024}, {3, 3, 16, 8192}};
    uint32_t n;

    for (n = 0; n < sizeof caches / sizeof caches[0]; n++) {
        add(model, (struct cpu_model_leaf){.leaf = 4,
                                           .subleaf = n,
                                           .has_subleaf = true,
                                           .eax = CACHE_EAX(caches[n].type, caches[n].level),
                                           .ebx = CACHE_EBX(caches[n].ways, 64u),
                                           .ecx = caches[n].sets - 1});
    }
    add(model, (struct cpu_model_leaf){.leaf = 4, .subleaf = n, .has_subleaf = true});
}

/* All that is not a feature bit. */
static void add_leaves(struct cpu_model *model)
{
    uint32_t mhz = (uint32_t)(VTIME_TSC_HZ / HZ_PER_MHZ);

    add(model, (struct cpu_model_leaf){
                   .leaf = 0, .eax = LEAF_BASIC_MAX, .ebx = text("Genu"), .ecx = text("ntel"), .edx = text("ineI")});
    add(model, (struct cpu_model_leaf){.leaf = 1, .eax = SIGNATURE, .ebx = (8u << 8) | (1u << 16)});
    add(model, (struct cpu_model_leaf){.leaf = 2, .eax = 0x00FFFF01u}); /* "see leaf 4" */
    add_caches(model);
    add(model, (struct cpu_model_leaf){.leaf = 6});
    add(model, (struct cpu_model_leaf){.leaf = 7, .subleaf = 0, .has_subleaf = true});
    add(model, (struct cpu_model_leaf){.leaf = 0x15, .eax = 1, .ebx = 1, .ecx = (uint32_t)VTIME_TSC_HZ});
    add(model, (struct cpu_model_leaf){.leaf = 0x16, .eax = mhz, .ebx = mhz, .ecx = 100});
    add(model, (struct cpu_model_leaf){.leaf = LEAF_HYPERVISOR,
                                       .eax = LEAF_HYPERVISOR,
                                       .ebx = text("vmrr"),
                                       .ecx = text("vmrr"),
                                       .edx = text("vmrr")});
    add(model, (struct cpu_model_leaf){.leaf = 0x80000000u, .eax = LEAF_EXTENDED_MAX});
    add(model, (struct cpu_model_leaf){.leaf = 0x80000001u});
    add_brand(model);
    add(model, (struct cpu_model_leaf){.leaf = 0x80000006u, .ecx = (1024u << 16) | (8u << 12) | 64u});
    add(model, (struct cpu_model_leaf){.leaf = 0x80000007u});
    add(model, (struct cpu_model_leaf){.leaf = 0x80000008u, .eax = 40u | (48u << 8)});
}

static const struct cpu_model_leaf *find_leaf(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t n = 0; n < model->count; n++) {
        const struct cpu_model_leaf *row = &model->leaf[n];
        if (row->leaf == leaf && (!row->has_subleaf || row->subleaf == subleaf))
            return row;
    }
    return NULL;
}

static uint32_t *leaf_register(struct cpu_model_leaf *leaf, unsigned reg)
{
    uint32_t *registers[] = {&leaf->eax, &leaf->ebx, &leaf->ecx, &leaf->edx};
    return registers[reg];
}

static void set_feature(struct cpu_model *model, const struct feature *feature, bool on)
{
    for (uint32_t n = 0; n < model->count; n++) {
        struct cpu_model_leaf *row = &model->leaf[n];
        if (row->leaf == feature->leaf && row->subleaf == 0) {
            uint32_t *word = leaf_register(row, feature->reg), bit = 1u << feature->bit;
            *word = on ? *word | bit : *word & ~bit;
        }
    }
}

/* '-' and '_' are the same in names. */
static bool same_name(const char *name, const char *text_, size_t length)
{
    size_t n;

    for (n = 0; n < length && name[n]; n++) {
        char c = text_[n] == '_' ? '-' : text_[n];
        if (c != name[n])
            return false;
    }
    return n == length && !name[n];
}

static const struct feature *find_feature(const char *name, size_t length)
{
    for (size_t n = 0; n < FEATURE_COUNT; n++) {
        if (same_name(features[n].name, name, length))
            return &features[n];
    }
    return NULL;
}

static enum status apply_changes(struct cpu_model *model, const char *changes, struct error *error)
{
    while (*changes) {
        size_t length = strcspn(changes, ",");
        const struct feature *feature;

        if (length < 2 || (changes[0] != '+' && changes[0] != '-'))
            return error_status(error, STATUS_INVALID, "cpu: expected +feature or -feature, not \"%.*s\"", (int)length,
                                changes);
        feature = find_feature(changes + 1, length - 1);
        if (!feature)
            return error_status(error, STATUS_INVALID, "cpu: unknown feature \"%.*s\"", (int)(length - 1), changes + 1);
        set_feature(model, feature, changes[0] == '+');
        changes += length;
        if (*changes == ',')
            changes++;
    }
    return STATUS_OK;
}

enum status cpu_model_init(struct cpu_model *model, const char *name, struct error *error)
{
    size_t length = strcspn(name, ",");
    unsigned models;

    if (length == 0 || same_name("vmrr", name, length))
        models = FULL;
    else if (same_name("v1", name, length))
        models = BASE;
    else
        return error_status(error, STATUS_INVALID, "cpu: unknown model \"%.*s\" (vmrr, v1)", (int)length, name);
    memset(model, 0, sizeof *model);
    snprintf(model->name, sizeof model->name, "%s", name);
    add_leaves(model);
    for (size_t n = 0; n < FEATURE_COUNT; n++) {
        if (features[n].models & models)
            set_feature(model, &features[n], true);
    }
    return apply_changes(model, name[length] ? name + length + 1 : "", error);
}

void cpu_model_query(const struct cpu_model *model, uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    const struct cpu_model_leaf *basic = find_leaf(model, 0, 0), *extended = find_leaf(model, 0x80000000u, 0), *row;
    uint32_t basic_max = basic ? basic->eax : 0, extended_max = extended ? extended->eax : 0;
    bool hypervisor = leaf == LEAF_HYPERVISOR && find_leaf(model, leaf, 0);

    if (!hypervisor && !(leaf <= basic_max || (leaf >= 0x80000000u && leaf <= extended_max)))
        leaf = basic_max;
    row = find_leaf(model, leaf, subleaf);
    out[EAX] = row ? row->eax : 0;
    out[EBX] = row ? row->ebx : 0;
    out[ECX] = row ? row->ecx : 0;
    out[EDX] = row ? row->edx : 0;
}

bool cpu_model_has(const struct cpu_model *model, const char *name)
{
    const struct feature *feature = find_feature(name, strlen(name));
    uint32_t out[4];

    if (!feature)
        return false;
    cpu_model_query(model, feature->leaf, 0, out);
    return (out[feature->reg] >> feature->bit) & 1;
}
