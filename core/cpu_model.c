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

/* Which models have a feature. MAX or ASKED is "implemented": a feature without them is refused, and its bit is never set.
 * Whoever completes the instructions of a feature gives it its models. */
#define V1 1u
#define V2 2u
#define V3 4u
#define QEMU64 8u
#define MAX 16u
#define ASKED 32u /* implemented, and in no model: only +feature gives it. What MAX tells a guest stays what it was. */
#define ALL (V1 | V2 | V3 | QEMU64 | MAX)
#define FROM_V2 (V2 | V3 | MAX)
#define FROM_V3 (V3 | MAX)
#define UNFINISHED 0u

/* needs: features without which this one may not be. */
static const struct feature {
    const char *name;
    uint32_t leaf;
    uint8_t reg, bit;
    uint8_t models;
    uint8_t subleaf;
    const char *needs;
} features[] = {
    {"fpu", 1, EDX, 0, ALL, 0, ""},
    {"vme", 1, EDX, 1, ALL, 0, ""},
    {"de", 1, EDX, 2, ALL, 0, ""},
    {"pse", 1, EDX, 3, ALL, 0, ""},
    {"tsc", 1, EDX, 4, ALL, 0, ""},
    {"msr", 1, EDX, 5, ALL, 0, ""},
    {"pae", 1, EDX, 6, ALL, 0, ""},
    {"mce", 1, EDX, 7, ALL, 0, ""},
    {"cx8", 1, EDX, 8, ALL, 0, ""},
    {"apic", 1, EDX, 9, ALL, 0, "msr"},
    {"sep", 1, EDX, 11, ALL, 0, "msr"},
    {"mtrr", 1, EDX, 12, ALL, 0, "msr"},
    {"pge", 1, EDX, 13, ALL, 0, ""},
    {"mca", 1, EDX, 14, ALL, 0, "mce,msr"},
    {"cmov", 1, EDX, 15, ALL, 0, ""},
    {"pat", 1, EDX, 16, ALL, 0, "msr"},
    {"pse36", 1, EDX, 17, ALL, 0, "pse"},
    {"clflush", 1, EDX, 19, ALL, 0, ""},
    {"mmx", 1, EDX, 23, ALL, 0, "fpu"},
    {"fxsr", 1, EDX, 24, ALL, 0, "fpu"},
    {"sse", 1, EDX, 25, ALL, 0, "fxsr"},
    {"sse2", 1, EDX, 26, ALL, 0, "sse"},
    {"sse3", 1, ECX, 0, FROM_V2 | QEMU64, 0, "sse2"},
    {"pclmulqdq", 1, ECX, 1, MAX, 0, "sse2"},
    {"monitor", 1, ECX, 3, MAX, 0, ""},
    {"ssse3", 1, ECX, 9, FROM_V2, 0, "sse3"},
    {"fma", 1, ECX, 12, FROM_V3, 0, "avx"},
    {"cx16", 1, ECX, 13, FROM_V2 | QEMU64, 0, "cx8,lm"},
    {"pcid", 1, ECX, 17, MAX, 0, "lm"},
    {"sse4.1", 1, ECX, 19, FROM_V2, 0, "ssse3"},
    {"sse4.2", 1, ECX, 20, FROM_V2, 0, "sse4.1"},
    {"movbe", 1, ECX, 22, FROM_V3, 0, ""},
    {"popcnt", 1, ECX, 23, FROM_V2, 0, ""},
    {"tsc-deadline", 1, ECX, 24, MAX, 0, "apic,tsc"},
    {"aes", 1, ECX, 25, MAX, 0, "sse2"},
    {"xsave", 1, ECX, 26, FROM_V3, 0, "fxsr"},
    {"avx", 1, ECX, 28, FROM_V3, 0, "xsave,sse4.2"},
    {"f16c", 1, ECX, 29, FROM_V3, 0, "avx"},
    {"rdrand", 1, ECX, 30, MAX, 0, ""},
    {"hypervisor", 1, ECX, 31, ALL, 0, ""},
    {"arat", 6, EAX, 2, ALL, 0, "apic"},
    {"fsgsbase", 7, EBX, 0, MAX, 0, "lm"},
    {"tsc-adjust", 7, EBX, 1, MAX, 0, "tsc,msr"},
    {"bmi1", 7, EBX, 3, FROM_V3, 0, ""},
    {"avx2", 7, EBX, 5, FROM_V3, 0, "avx"},
    {"fdp-excptn-only", 7, EBX, 6, ALL, 0, ""},
    {"smep", 7, EBX, 7, MAX, 0, ""},
    {"bmi2", 7, EBX, 8, FROM_V3, 0, ""},
    {"erms", 7, EBX, 9, MAX, 0, ""},
    {"invpcid", 7, EBX, 10, MAX, 0, ""},
    {"zero-fcs-fds", 7, EBX, 13, ALL, 0, ""},
    {"rdseed", 7, EBX, 18, MAX, 0, ""},
    {"adx", 7, EBX, 19, MAX, 0, ""},
    {"smap", 7, EBX, 20, MAX, 0, ""},
    {"clflushopt", 7, EBX, 23, MAX, 0, "clflush"},
    {"clwb", 7, EBX, 24, MAX, 0, "clflush"},
    {"sha-ni", 7, EBX, 29, MAX, 0, "sse2"},
    {"umip", 7, ECX, 2, MAX, 0, ""},
    {"pku", 7, ECX, 3, MAX, 0, "lm"},
    {"vaes", 7, ECX, 9, ASKED, 0, "avx,aes"},
    {"vpclmulqdq", 7, ECX, 10, ASKED, 0, "avx,pclmulqdq"},
    {"rdpid", 7, ECX, 22, MAX, 0, ""},
    {"arch-capabilities", 7, EDX, 29, MAX, 0, "msr"},
    {"xsaveopt", 0xD, EAX, 0, MAX, 1, "xsave"},
    {"xsavec", 0xD, EAX, 1, MAX, 1, "xsave"},
    {"xgetbv1", 0xD, EAX, 2, MAX, 1, "xsave"},
    {"xsaves", 0xD, EAX, 3, MAX, 1, "xsavec"},
    {"lahf-lm", 0x80000001, ECX, 0, FROM_V2 | QEMU64, 0, "lm"},
    {"abm", 0x80000001, ECX, 5, FROM_V3, 0, ""},
    {"3dnowprefetch", 0x80000001, ECX, 8, MAX, 0, ""},
    {"syscall", 0x80000001, EDX, 11, ALL, 0, ""},
    {"nx", 0x80000001, EDX, 20, ALL, 0, "pae"},
    {"pdpe1gb", 0x80000001, EDX, 26, MAX, 0, "lm"},
    {"rdtscp", 0x80000001, EDX, 27, MAX, 0, "tsc"},
    {"lm", 0x80000001, EDX, 29, ALL, 0, "pae,pge,pse,msr,syscall"},
    {"invtsc", 0x80000007, EDX, 8, ALL, 0, "tsc"},
};
#define FEATURE_COUNT (sizeof features / sizeof features[0])

#define LEAF_BASIC_MAX 0x16u
#define LEAF_EXTENDED_MAX 0x80000008u
#define LEAF_HYPERVISOR 0x40000000u
#define LEAF_XSAVE 0xDu
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
    for (uint32_t n = 0; n < 2; n++)
        add(model, (struct cpu_model_leaf){.leaf = LEAF_XSAVE, .subleaf = n, .has_subleaf = true});
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
        if (row->leaf == feature->leaf && row->subleaf == feature->subleaf) {
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

static bool has_feature(const struct cpu_model *model, const struct feature *feature)
{
    uint32_t out[4];

    cpu_model_query(model, feature->leaf, feature->subleaf, out);
    return (out[feature->reg] >> feature->bit) & 1;
}

/* The first of what a feature needs that the model lacks, or null. */
static const struct feature *missing_need(const struct cpu_model *model, const struct feature *feature)
{
    for (const char *at = feature->needs; *at;) {
        size_t length = strcspn(at, ",");
        const struct feature *need = find_feature(at, length);
        CHECK(need);
        if (!has_feature(model, need))
            return need;
        at += length + (at[length] == ',');
    }
    return NULL;
}

static void drop_dependents(struct cpu_model *model)
{
    bool again = true;

    while (again) {
        again = false;
        for (size_t n = 0; n < FEATURE_COUNT; n++) {
            if (!has_feature(model, &features[n]) || !missing_need(model, &features[n]))
                continue;
            set_feature(model, &features[n], false);
            again = true;
        }
    }
}

static enum status apply_change(struct cpu_model *model, const char *change, size_t length, struct error *error)
{
    const struct feature *feature, *need;

    if (length < 2 || (change[0] != '+' && change[0] != '-'))
        return error_status(error, STATUS_INVALID, "cpu: expected +feature or -feature, not \"%.*s\"", (int)length,
                            change);
    feature = find_feature(change + 1, length - 1);
    if (!feature)
        return error_status(error, STATUS_INVALID, "cpu: unknown feature \"%.*s\"", (int)(length - 1), change + 1);
    if (change[0] == '-') {
        set_feature(model, feature, false);
        drop_dependents(model);
        return STATUS_OK;
    }
    if (!(feature->models & (MAX | ASKED)))
        return error_status(error, STATUS_INVALID, "cpu: feature \"%s\" is not implemented", feature->name);
    need = missing_need(model, feature);
    if (need)
        return error_status(error, STATUS_INVALID, "cpu: \"%s\" needs \"%s\", which this model has not: +%s before it",
                            feature->name, need->name, need->name);
    set_feature(model, feature, true);
    return STATUS_OK;
}

static enum status apply_changes(struct cpu_model *model, const char *changes, struct error *error)
{
    while (*changes) {
        size_t length = strcspn(changes, ",");
        enum status status = apply_change(model, changes, length, error);

        if (status)
            return status;
        changes += length;
        if (*changes == ',')
            changes++;
    }
    return STATUS_OK;
}

/* ---- extended state ------------------------------------------------------------------------------------------- */

/* Components beyond the legacy area, where Intel has them. */
static const struct component {
    uint32_t number, offset, size_bytes;
    const char *feature;
} components[] = {{2, 576, 256, "avx"}, {9, 2688, 8, "pku"}};
#define COMPONENT_COUNT (sizeof components / sizeof components[0])
#define XSAVE_HEADER_END 576u

uint64_t cpu_model_xsave_components(const struct cpu_model *model)
{
    uint64_t bits = cpu_model_has(model, "sse") ? 3 : 1;

    if (!cpu_model_has(model, "xsave"))
        return 0;
    for (size_t n = 0; n < COMPONENT_COUNT; n++)
        bits |= (uint64_t)cpu_model_has(model, components[n].feature) << components[n].number;
    return bits;
}

uint32_t cpu_model_xsave_offset(uint64_t bits, unsigned number, bool compacted)
{
    uint32_t end = XSAVE_HEADER_END;

    for (size_t n = 0; n < COMPONENT_COUNT; n++) {
        if (components[n].number == number)
            return compacted ? end : components[n].offset;
        if (bits >> components[n].number & 1)
            end += components[n].size_bytes;
    }
    return end;
}

uint32_t cpu_model_xsave_bytes(uint64_t bits, bool compacted)
{
    uint32_t end = XSAVE_HEADER_END;

    for (size_t n = 0; n < COMPONENT_COUNT; n++) {
        if (bits >> components[n].number & 1)
            end = cpu_model_xsave_offset(bits, components[n].number, compacted) + components[n].size_bytes;
    }
    return end;
}

/* Leaf 0DH as the features say. EBX of subleaves 0 and 1 depends on XCR0 and IA32_XSS: here as after reset. */
static void fill_xsave_leaves(struct cpu_model *model)
{
    uint64_t known = cpu_model_xsave_components(model);

    for (uint32_t n = 0; n < model->count; n++) {
        struct cpu_model_leaf *row = &model->leaf[n];
        if (row->leaf != LEAF_XSAVE || !known)
            continue;
        row->ebx = XSAVE_HEADER_END;
        if (row->subleaf == 0) {
            row->eax = (uint32_t)known;
            row->ecx = cpu_model_xsave_bytes(known, false);
        }
    }
    for (size_t n = 0; n < COMPONENT_COUNT; n++) {
        if (known >> components[n].number & 1)
            add(model, (struct cpu_model_leaf){.leaf = LEAF_XSAVE,
                                               .subleaf = components[n].number,
                                               .has_subleaf = true,
                                               .eax = components[n].size_bytes,
                                               .ebx = components[n].offset});
    }
}

/* Leaf 5: lines of 64 bytes; MWAIT may wait with interrupts masked; C1, one kind of it. */
static void fill_monitor_leaf(struct cpu_model *model)
{
    if (cpu_model_has(model, "monitor"))
        add(model, (struct cpu_model_leaf){.leaf = 5, .eax = 64, .ebx = 64, .ecx = 3, .edx = 0x10});
}

/* ---- models --------------------------------------------------------------------------------------------------- */

static unsigned find_model(const char *name, size_t length)
{
    static const struct {
        const char *name;
        unsigned models;
    } names[] = {{"max", MAX}, {"vmrr", MAX}, {"v1", V1}, {"v2", V2}, {"v3", V3}, {"qemu64", QEMU64}};

    if (length == 0)
        return MAX;
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        if (same_name(names[n].name, name, length))
            return names[n].models;
    }
    return 0;
}

static void set_model(struct cpu_model *model, const char *name, unsigned models)
{
    memset(model, 0, sizeof *model);
    snprintf(model->name, sizeof model->name, "%s", name);
    add_leaves(model);
    for (size_t n = 0; n < FEATURE_COUNT; n++) {
        if (features[n].models & models)
            set_feature(model, &features[n], true);
    }
    drop_dependents(model); /* of what is unfinished */
}

enum status cpu_model_init(struct cpu_model *model, const char *name, struct error *error)
{
    size_t length = strcspn(name, ",");
    unsigned models = find_model(name, length);
    enum status status;

    if (strlen(name) >= CPU_MODEL_NAME_MAX)
        return error_status(error, STATUS_INVALID, "cpu: more than %d bytes", CPU_MODEL_NAME_MAX - 1);
    if (!models)
        return error_status(error, STATUS_INVALID, "cpu: unknown model \"%.*s\" (v1, v2, v3, qemu64, max)", (int)length,
                            name);
    set_model(model, name, models);
    status = apply_changes(model, name[length] ? name + length + 1 : "", error);
    if (!status) {
        fill_xsave_leaves(model);
        fill_monitor_leaf(model);
    }
    return status;
}

#define REGISTER(name) offsetof(struct cpu_model_leaf, name)

static const struct {
    uint32_t leaf, bits;
    size_t offset;
} uncontrolled[] = {
    {1, 1u << 3 | 1u << 21 | 1u << 24 | 1u << 30, REGISTER(ecx)}, /* MONITOR, x2APIC, TSC-deadline, RDRAND */
    {1, 1u << 4 | 1u << 7 | 1u << 14, REGISTER(edx)},            /* TSC; MCE and MCA */
    {7, 1u << 18 | 1u << 1, REGISTER(ebx)},                      /* RDSEED, IA32_TSC_ADJUST */
    {7, 1u << 22, REGISTER(ecx)},                                /* RDPID */
    {7, 1u << 29, REGISTER(edx)},                                /* IA32_ARCH_CAPABILITIES */
    {0x80000001, 1u << 27, REGISTER(edx)},                       /* RDTSCP */
};

void cpu_model_hide_uncontrolled(struct cpu_model *model)
{
    for (uint32_t n = 0; n < model->count; n++) {
        struct cpu_model_leaf *leaf = &model->leaf[n];
        for (size_t row = 0; row < sizeof uncontrolled / sizeof *uncontrolled; row++) {
            uint32_t *word = (uint32_t *)(void *)((char *)leaf + uncontrolled[row].offset);
            if (leaf->leaf == uncontrolled[row].leaf && (!leaf->has_subleaf || !leaf->subleaf))
                *word &= ~uncontrolled[row].bits;
        }
    }
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

    return feature && has_feature(model, feature);
}
