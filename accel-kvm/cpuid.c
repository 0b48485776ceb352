/* CPUID: the machine's table given to KVM, and what came of it (Documentation/virt/kvm/api.rst, KVM_SET_CPUID2).
 *
 * Taken away before it is given: what core/cpu_model.h hides of every machine that counts exits, and bits that the host can't do. */
#include "accel-kvm/kvm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ENTRIES_MAX 256
#define LEAF_CAP 6u

enum { EAX, EBX, ECX, EDX };

struct table {
    struct kvm_cpuid2 head;
    struct kvm_cpuid_entry2 entry[ENTRIES_MAX];
};

static struct kvm_cpuid_entry2 *find(struct table *table, uint32_t leaf, uint32_t subleaf)
{
    for (unsigned n = 0; n < table->head.nent; n++) {
        struct kvm_cpuid_entry2 *entry = &table->entry[n];
        if (entry->function == leaf &&
            (!(entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX) || entry->index == subleaf))
            return entry;
    }
    return NULL;
}

static void fill(struct table *table, const struct cpu_model *model)
{
    memset(table, 0, sizeof *table);
    for (uint32_t n = 0; n < model->count; n++) {
        const struct cpu_model_leaf *leaf = &model->leaf[n];
        table->entry[table->head.nent++] = (struct kvm_cpuid_entry2){
            .function = leaf->leaf,
            .index = leaf->has_subleaf ? leaf->subleaf : 0,
            .flags = leaf->has_subleaf ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0,
            .eax = leaf->eax,
            .ebx = leaf->ebx,
            .ecx = leaf->ecx,
            .edx = leaf->edx,
        };
    }
}

static uint32_t *reg_of(struct kvm_cpuid_entry2 *entry, unsigned reg)
{
    uint32_t *const registers[] = {&entry->eax, &entry->ebx, &entry->ecx, &entry->edx};
    return registers[reg];
}

/* Feature words that a host may have less of. */
static const struct {
    uint32_t leaf, subleaf;
    unsigned reg;
} words[] = {
    {1, 0, ECX}, {1, 0, EDX}, {7, 0, EBX}, {7, 0, ECX}, {7, 0, EDX}, {0xD, 0, EAX}, {0xD, 1, EAX}, {0x80000001, 0, ECX},
    {0x80000001, 0, EDX},
};
#define OSXSAVE_ECX (1u << 27)
#define APIC_EDX (1u << 9)

static void reduce(struct table *table, struct table *supported)
{
    for (unsigned n = 0; n < sizeof words / sizeof *words; n++) {
        struct kvm_cpuid_entry2 *entry = find(table, words[n].leaf, words[n].subleaf);
        struct kvm_cpuid_entry2 *host = find(supported, words[n].leaf, words[n].subleaf);
        uint32_t allowed = host ? *reg_of(host, words[n].reg) : 0;
        if (words[n].leaf == 1)
            allowed |= words[n].reg == EDX ? APIC_EDX : OSXSAVE_ECX; /* the APIC is ours */
        if (entry)
            *reg_of(entry, words[n].reg) &= allowed;
    }
}

static void take(struct cpu_model *model, const struct table *table)
{
    model->count = 0;
    for (unsigned n = 0; n < table->head.nent && model->count < CPU_MODEL_LEAVES_MAX; n++) {
        const struct kvm_cpuid_entry2 *entry = &table->entry[n];
        struct cpu_model_leaf leaf = {.leaf = entry->function,
                                      .subleaf = entry->index,
                                      .has_subleaf = entry->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                      .eax = entry->eax,
                                      .ebx = entry->ebx,
                                      .ecx = entry->ecx,
                                      .edx = entry->edx};
        if (leaf.leaf == 1) { /* dynamic bits: the accelerator's to merge */
            leaf.ecx &= ~OSXSAVE_ECX;
            leaf.edx |= APIC_EDX;
        }
        model->leaf[model->count++] = leaf;
    }
}

bool kvm_cpuid_set(int kvm, int vcpu, const struct cpu_model *model, struct cpu_model *effective, struct error *error)
{
    struct table *table = malloc(sizeof *table), *supported = malloc(sizeof *supported);
    struct cpu_model known = *model;
    CHECK(table && supported);
    supported->head.nent = ENTRIES_MAX;
    bool done = ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &supported->head) == 0;
    cpu_model_hide_uncontrolled(&known);
    fill(table, &known);
    if (done) {
        reduce(table, supported);
        done = ioctl(vcpu, KVM_SET_CPUID2, &table->head) == 0;
    }
    if (done && effective) {
        table->head.nent = ENTRIES_MAX;
        done = ioctl(vcpu, KVM_GET_CPUID2, &table->head) == 0;
        if (done)
            take(effective, table);
    }
    if (!done)
        error_set(error, "accel kvm: CPUID: %s", strerror(errno));
    free(table);
    free(supported);
    return done;
}

static const struct cpu_model_leaf *leaf_of(const struct cpu_model *model, uint32_t number, uint32_t subleaf)
{
    for (uint32_t n = 0; n < model->count; n++) {
        if (model->leaf[n].leaf == number && (!model->leaf[n].has_subleaf || model->leaf[n].subleaf == subleaf))
            return &model->leaf[n];
    }
    return NULL;
}

/* Has the host given the guest, in the words about instructions of leaf 7, what nobody asked for? */
static bool grew(const struct cpu_model *wanted, const struct cpu_model *effective)
{
    const struct cpu_model_leaf *a = leaf_of(wanted, 7, 0), *b = leaf_of(effective, 7, 0);
    return b && ((b->ebx & ~(a ? a->ebx : 0)) || (b->ecx & ~(a ? a->ecx : 0)) || (b->edx & ~(a ? a->edx : 0)));
}

/* Such a host leaves alone what does not reach to leaf 7: better fewer features than some that only this host has. AVX
 * needs leaf 0DH too. */
static void cap(struct cpu_model *model)
{
    uint32_t kept = 0;
    for (uint32_t n = 0; n < model->count; n++) {
        struct cpu_model_leaf leaf = model->leaf[n];
        if (leaf.leaf == 0)
            leaf.eax = LEAF_CAP;
        if (leaf.leaf <= LEAF_CAP || leaf.leaf >= 0x40000000)
            model->leaf[kept++] = leaf;
    }
    model->count = kept;
}

static bool effective_model(int kvm, int vcpu, struct cpu_model *model, struct error *error)
{
    struct cpu_model wanted = *model, effective = *model;
    if (!kvm_cpuid_set(kvm, vcpu, &wanted, &effective, error))
        return false;
    if (grew(&wanted, &effective)) {
        cap(&wanted);
        if (!kvm_cpuid_set(kvm, vcpu, &wanted, &effective, error))
            return false;
    }
    *model = effective;
    return true;
}

enum status kvm_cpu_model(const char *path, struct cpu_model *model, struct error *error)
{
    const char *name = path ? path : "/dev/kvm";
    int kvm = open(name, O_RDWR | O_CLOEXEC);
    int vm = kvm >= 0 ? ioctl(kvm, KVM_CREATE_VM, 0) : -1;
    int vcpu = vm >= 0 ? ioctl(vm, KVM_CREATE_VCPU, 0) : -1;
    enum status status = STATUS_IO;
    if (vcpu < 0)
        error_set(error, "%s: %s", name, strerror(errno));
    else if (effective_model(kvm, vcpu, model, error))
        status = STATUS_OK;
    if (vcpu >= 0)
        close(vcpu);
    if (vm >= 0)
        close(vm);
    if (kvm >= 0)
        close(kvm);
    return status;
}
