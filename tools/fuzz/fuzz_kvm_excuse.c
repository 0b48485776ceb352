/* vmrr fuzz --against kvm: what KVM is known to do otherwise than a processor, each by a name that the summary counts. All of it was
 * found with kvm_pvm, whose level 0 is KVM's emulator; on VMX and SVM hosts little of it should be met. */
#include "tools/fuzz/fuzz.h"
#include "tools/fuzz/native_internal.h"

#include <string.h>

struct excuse {
    const struct native_harness *h;
    const struct native_case *c;
    struct native_outcome *kvm, *interp;
};

/* Does one of the case's instructions have one of these names? */
static bool has_row(const struct excuse *e, const char *names)
{
    const struct native_case *c = e->c;
    for (unsigned at = 0; at < c->length;) {
        const struct opcode_row *row;
        unsigned length = 0;
        row = native_row_at(e->h, c->bits, c->code + at, c->length - at, &length);
        if (!row)
            return false;
        if (row->mnemonic[0] && native_in_list(names, row->mnemonic))
            return true;
        at += length;
    }
    return false;
}

static void take_kvm(struct excuse *e)
{
    e->interp->state = e->kvm->state;
    memcpy(e->interp->data, e->kvm->data, NATIVE_DATA_BYTES);
}

/* Executed as BSF and BSR. */
static bool excuse_count_zeros(struct excuse *e)
{
    if (!has_row(e, "TZCNT LZCNT"))
        return false;
    take_kvm(e);
    return true;
}

const char *fuzz_kvm_excuse(const struct native_harness *h, const struct native_case *c,
                            struct native_outcome *reference, struct native_outcome *interp)
{
    static const struct {
        const char *name;
        bool (*apply)(struct excuse *e);
    } excuses[] = {{"tzcnt-as-bsf", excuse_count_zeros}};
    struct excuse e = {h, c, reference, interp};
    const char *name = NULL;
    for (size_t n = 0; n < sizeof excuses / sizeof excuses[0]; n++) {
        if (native_differ(c, false, reference, interp, NULL, NULL) && excuses[n].apply(&e))
            name = excuses[n].name;
    }
    return name;
}
