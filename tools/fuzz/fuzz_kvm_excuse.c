/* vmrr fuzz --against kvm: what KVM is known to do otherwise than a processor, each by a name that the summary counts. All of it was
 * found with kvm_pvm, whose level 0 is KVM's emulator; on VMX and SVM hosts little of it should be met. */
#include "tools/fuzz/fuzz.h"
#include "tools/fuzz/native_internal.h"

#include <string.h>

#define STORE_BYTES 64u
#define RFLAGS_OF 0x800u
#define RFLAGS_STATUS 0x8D5u

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
        const char *space = strrchr(row->mnemonic, ' '); /* "REPNE SCAS" */
        if (row->mnemonic[0] && native_in_list(names, space ? space + 1 : row->mnemonic))
            return true;
        at += length;
    }
    return false;
}

static bool same(const struct excuse *e)
{
    return !native_differ(e->c, false, e->kvm, e->interp, NULL, NULL);
}

static void take_kvm(struct excuse *e)
{
    e->interp->state = e->kvm->state;
    memcpy(e->interp->data, e->kvm->data, NATIVE_DATA_BYTES);
}

/* An excuse makes equal what is known to differ, and all the rest may follow from that. */
static void take_rflags(struct excuse *e, uint64_t flags)
{
    e->interp->state.rflags = (e->interp->state.rflags & ~flags) | (e->kvm->state.rflags & flags);
}

/* Executed as BSF and BSR. */
static bool excuse_count_zeros(struct excuse *e)
{
    return has_row(e, "TZCNT LZCNT");
}

/* No such instruction. */
static bool excuse_movbe(struct excuse *e)
{
    return e->kvm->state.vector == EXC_UD && has_row(e, "MOVBE RDPID");
}

/* Leave another OF by a count of two or more: what comes behind them may depend on it. */
static bool excuse_rotate(struct excuse *e)
{
    take_rflags(e, RFLAGS_OF);
    return has_row(e, "ROL ROR");
}

/* A fault in a repeated comparison leaves the flags as they were before the instruction (Intel SDM vol. 2, REP); KVM's are those of
 * the comparison before. */
static bool excuse_repeat_flags(struct excuse *e)
{
    take_rflags(e, RFLAGS_STATUS);
    return e->kvm->state.vector >= 0 && e->kvm->state.vector == e->interp->state.vector && has_row(e, "CMPS SCAS");
}

/* Which of the two operands' faults comes first: a page's or an address' that is not canonical. */
static bool excuse_compare_order(struct excuse *e)
{
    int kvm = e->kvm->state.vector, interp = e->interp->state.vector;
    return ((kvm == EXC_PF && interp == EXC_GP) || (kvm == EXC_GP && interp == EXC_PF)) && has_row(e, "CMPS");
}

/* Neither alignment nor canonical addresses are looked at, and reserved bytes of the image are written. */
static bool excuse_fxsave(struct excuse *e)
{
    return has_row(e, "FXSAVE FXSAVE64 FXRSTOR FXRSTOR64");
}

/* F3 90 with REX.B is XCHG for KVM, and PAUSE for processors. */
static bool excuse_pause(struct excuse *e)
{
    return e->c->bits == 64 && has_row(e, "PAUSE");
}

/* Their flags are those of an OR of 16 or 32 bits. */
static bool excuse_aad(struct excuse *e)
{
    return has_row(e, "AAD AAM");
}

/* Does not look whether the new stack can be written to; with a 16-bit operand it pushes 32 bits. */
static bool excuse_enter(struct excuse *e)
{
    return has_row(e, "ENTER");
}

/* What crosses into a page that faults has been stored up to there. */
static bool excuse_partial_store(struct excuse *e)
{
    uint64_t end = e->interp->state.cr2 - NATIVE_DATA, start = end - STORE_BYTES;
    bool both = e->kvm->state.vector == EXC_PF && e->interp->state.vector == EXC_PF;
    if (!both || end % 0x1000 || end < STORE_BYTES || end > NATIVE_DATA_BYTES)
        return false;
    memcpy(e->interp->data + start, e->kvm->data + start, STORE_BYTES);
    return same(e);
}

/* 64-bit code ignores a segment's override; KVM does not, where it chooses the fault of an address that is not canonical. */
static bool excuse_ss_override(struct excuse *e)
{
    int kvm = e->kvm->state.vector, interp = e->interp->state.vector;
    return e->c->bits == 64 && ((kvm == EXC_SS && interp == EXC_GP) || (kvm == EXC_GP && interp == EXC_SS));
}

/* A register that is not equal is written back with its own lower half. */
static bool excuse_cmpxchg(struct excuse *e)
{
    return e->c->bits == 64 && has_row(e, "CMPXCHG");
}

/* As processors have it (fuzz_host_excuse.c): TOP and tags are set before the operand faults. */
static bool excuse_mmx_fault(struct excuse *e)
{
    if (e->kvm->state.vector < 0 || e->kvm->state.vector != e->interp->state.vector)
        return false;
    memcpy(e->interp->state.fx, e->kvm->state.fx, NATIVE_FX_MXCSR);
    memcpy(e->interp->state.fx + NATIVE_FX_ST, e->kvm->state.fx + NATIVE_FX_ST, 128);
    return same(e) || excuse_partial_store(e);
}

/* Of a source of 0: the upper half of a 32-bit destination, which stays on Intel's, is cleared. */
static bool excuse_scan(struct excuse *e)
{
    if (e->c->bits != 64 || !has_row(e, "BSF BSR"))
        return false;
    for (unsigned n = 0; n < 16; n++) {
        if ((uint32_t)e->interp->state.gpr[n] == e->kvm->state.gpr[n])
            e->interp->state.gpr[n] = e->kvm->state.gpr[n];
    }
    return true;
}

/* No trap comes behind them. */
static bool excuse_fence(struct excuse *e)
{
    const uint8_t *code = e->c->code;
    for (unsigned n = 0; n + 2 < e->c->length; n++) {
        if (code[n] == 0x0F && code[n + 1] == 0xAE && code[n + 2] >= 0xE8)
            return true;
    }
    return false;
}

/* 0F 18 to 0F 1F with a 16-bit displacement have two bytes more, so what comes behind them is something else. */
static bool excuse_nop(struct excuse *e)
{
    return e->c->bits != 64 && has_row(e, "NOP");
}

/* 32-bit addresses in 64-bit code: a repeated string instruction that faults at once leaves the upper halves as they were. */
static bool excuse_repeat_upper(struct excuse *e)
{
    static const unsigned regs[] = {CPU_RCX, CPU_RSI, CPU_RDI};
    if (e->c->bits != 64 || e->kvm->state.vector < 0)
        return false;
    for (unsigned n = 0; n < 3; n++) {
        uint64_t *interp = &e->interp->state.gpr[regs[n]], kvm = e->kvm->state.gpr[regs[n]];
        if ((uint32_t)*interp == (uint32_t)kvm)
            *interp = kvm;
    }
    return same(e);
}

/* Reads before it looks whether the segment can be written to. */
static bool excuse_cs_write(struct excuse *e)
{
    return e->c->bits != 64 && e->kvm->state.vector == EXC_PF && e->interp->state.vector == EXC_GP;
}

/* Looks at the target before it pushes; processors push first (tests/insn/cases/call-beyond-limit). */
static bool excuse_call(struct excuse *e)
{
    return e->c->bits == 16 && e->kvm->state.vector == EXC_GP && has_row(e, "CALL");
}

/* LOCK before 0F 18 to 0F 1F and 0F AE is no error; at level 3 0F 01 is privileged first (SWAPGS: #GP instead of #UD). */
static bool excuse_lock(struct excuse *e)
{
    uint64_t at = e->interp->state.rip - e->c->in.rip;
    const uint8_t *code = e->c->code;
    bool lock = false;
    if (e->interp->state.vector != EXC_UD || at >= e->c->length)
        return false;
    for (; at < e->c->length && code[at] != 0x0F; at++)
        lock |= code[at] == 0xF0;
    return lock && at + 1 < e->c->length &&
           (code[at + 1] == 0xAE || code[at + 1] == 0x01 || (code[at + 1] >= 0x18 && code[at + 1] <= 0x1F));
}

/* At level 3: what gives #GP for its address, lies in the supervisor's half, or is executed with a stack that has no canonical address
 * is given to the emulator, which knows few instructions. */
static bool excuse_gp_as_ud(struct excuse *e)
{
    int vector = e->interp->state.vector;
    uint64_t rsp = e->kvm->state.gpr[CPU_RSP];
    bool canonical = (uint64_t)((int64_t)(rsp << 16) >> 16) == rsp;
    bool upper = vector == EXC_PF && e->interp->state.cr2 >> 47;
    e->interp->state.vector = EXC_UD;
    e->interp->state.error = 0;
    e->interp->state.cr2 = 0;
    return e->c->bits == 64 && e->kvm->state.vector == EXC_UD &&
           (upper || vector == EXC_GP || vector == EXC_SS || !canonical);
}

/* 32-bit code at level 3 is the emulator's on kvm_pvm, and what that does not know is #UD there, which nobody can help. */
static bool excuse_unknown(struct excuse *e)
{
    uint64_t at = e->kvm->state.rip - e->c->in.rip;
    unsigned length;
    return e->c->bits != 64 && native_level(e->h) && e->kvm->state.vector == EXC_UD && at < e->c->length &&
           native_row_at(e->h, e->c->bits, e->c->code + at, e->c->length - (unsigned)at, &length);
}

/* At level 3, 32-bit code, and that with a stack that has no canonical address, is the emulator's (excuse_unknown, excuse_gp_as_ud), which
 * does not look at alignment. */
static bool excuse_emulated_alignment(struct excuse *e)
{
    uint64_t rsp = e->interp->state.gpr[CPU_RSP];
    return e->interp->state.vector == EXC_AC && (e->c->bits != 64 || (uint64_t)((int64_t)(rsp << 16) >> 16) != rsp);
}

/* Read, changed and written, across a page that can't be written and one that is not there: the emulator reads all of it first. */
static bool excuse_split_write(struct excuse *e)
{
    const struct native_state *kvm = &e->kvm->state;
    struct native_state *interp = &e->interp->state;
    bool first_page = interp->vector == EXC_PF && (interp->error & 3) == 3;
    bool second_page = kvm->vector == EXC_PF && !(kvm->error & 1) && kvm->cr2 == (interp->cr2 | 0xFFF) + 1;
    interp->error = kvm->error;
    interp->cr2 = kvm->cr2;
    return first_page && second_page && same(e);
}

/* Operands of many words: which of them faults first is the silicon's choice (fuzz_host_excuse.c). */
static bool excuse_wide_operand(struct excuse *e)
{
    return e->kvm->state.vector == EXC_PF && e->interp->state.vector == EXC_PF &&
           has_row(e, "FNSTENV FNSAVE FLDENV FRSTOR FSTP FLD PUSHA POPA");
}

/* As many bytes as the operand has in a register; in memory it has two. */
static bool excuse_store_size(struct excuse *e)
{
    return has_row(e, "STR SLDT SMSW");
}

const char *fuzz_kvm_excuse(const struct native_harness *h, const struct native_case *c,
                            struct native_outcome *reference, struct native_outcome *interp, bool *guess)
{
    static const struct {
        const char *name;
        bool (*apply)(struct excuse *e);
    } excuses[] = {{"gp-as-ud", excuse_gp_as_ud},
                   {"not-emulated", excuse_unknown},
                   {"emulated-alignment", excuse_emulated_alignment},
                   {"split-write", excuse_split_write},
                   {"wide-operand", excuse_wide_operand},
                   {"tzcnt-as-bsf", excuse_count_zeros},
                   {"movbe-undefined", excuse_movbe},
                   {"rotate-of", excuse_rotate},
                   {"repeat-flags", excuse_repeat_flags},
                   {"compare-order", excuse_compare_order},
                   {"fxsave", excuse_fxsave},
                   {"pause-rex", excuse_pause},
                   {"aad-flags", excuse_aad},
                   {"enter", excuse_enter},
                   {"partial-store", excuse_partial_store},
                   {"ss-override", excuse_ss_override},
                   {"cmpxchg-upper", excuse_cmpxchg},
                   {"mmx-fault", excuse_mmx_fault},
                   {"scan-zero", excuse_scan},
                   {"fence", excuse_fence},
                   {"lock-ignored", excuse_lock},
                   {"nop-length", excuse_nop},
                   {"repeat-upper", excuse_repeat_upper},
                   {"cs-write", excuse_cs_write},
                   {"call-limit", excuse_call},
                   {"store-size", excuse_store_size}};
    struct excuse e = {h, c, reference, interp};
    for (size_t n = 0; n < sizeof excuses / sizeof excuses[0]; n++) {
        struct native_outcome before = *interp;
        if (!excuses[n].apply(&e)) {
            *interp = before;
            continue;
        }
        *guess = !same(&e);
        take_kvm(&e);
        return excuses[n].name;
    }
    return NULL;
}
