/* vmrr fuzz --against gdb: what QEMU's TCG is known to do otherwise than a processor, each by a name that the summary counts. All of
 * it was found with QEMU 7.2. */
#include "tools/fuzz/fuzz.h"
#include "tools/fuzz/native_internal.h"

#include "accel-interp/exceptions.h"

#include <string.h>

struct excuse {
    const struct native_harness *h;
    const struct native_case *c;
    struct native_outcome *tcg, *interp;
};

static bool same(const struct excuse *e)
{
    return !native_differ(e->c, false, e->tcg, e->interp, NULL, NULL);
}

/* Has the case an instruction of which this says yes? */
static bool has(const struct excuse *e, bool (*is)(const struct opcode_row *row))
{
    const struct native_case *c = e->c;
    const struct opcode_row *row;
    unsigned length = 0;
    for (unsigned at = 0; at < c->length; at += length) {
        row = native_row_at(e->h, c->bits, c->code + at, c->length - at, &length);
        if (!row)
            return false;
        if (is(row))
            return true;
    }
    return false;
}

static bool is_x87(const struct opcode_row *row)
{
    return native_group_of(row) == NATIVE_GROUP_X87;
}

/* Exceptions, condition codes and last bits of the x87: TCG has its own, and what follows depends on them. */
static bool excuse_x87(struct excuse *e)
{
    return has(e, is_x87);
}

/* LOCK is looked at in fewer instructions. */
static bool excuse_lock(struct excuse *e)
{
    uint64_t at = e->interp->state.rip - e->c->in.rip;
    if (e->interp->state.vector != EXC_UD || at >= e->c->length)
        return false;
    for (; at < e->c->length; at++) {
        uint8_t byte = e->c->code[at];
        if (byte == 0xF0)
            return true;
        if (byte != 0x66 && byte != 0x67 && byte != 0xF2 && byte != 0xF3 && (byte & 0xE7) != 0x26 &&
            (byte & 0xFE) != 0x64)
            return false;
    }
    return false;
}

/* The read of what is read and written faults as a read; processors ask for both at once. */
static bool excuse_modify_fault(struct excuse *e)
{
    if (e->interp->state.vector != EXC_PF || e->interp->state.error != (e->tcg->state.error | 2))
        return false;
    e->interp->state.error = e->tcg->state.error;
    return same(e);
}

static bool is_string_compare(const struct opcode_row *row)
{
    const char *space = strrchr(row->mnemonic, ' '); /* "REPNE SCAS" */
    return native_in_list("CMPS SCAS", space ? space + 1 : row->mnemonic);
}

/* A fault in a repeated comparison leaves the flags as they were before the instruction (Intel SDM vol. 2, REP); TCG's are those of
 * the comparison before. */
static bool excuse_repeat_flags(struct excuse *e)
{
    if (e->tcg->state.vector < 0 || e->tcg->state.vector != e->interp->state.vector || !has(e, is_string_compare))
        return false;
    e->interp->state.rflags = e->tcg->state.rflags;
    return same(e);
}

/* Neither limits nor rights of segments are looked at. */
static bool excuse_segment(struct excuse *e)
{
    int interp = e->interp->state.vector;
    return e->c->bits != 64 && (interp == EXC_GP || interp == EXC_SS) && e->tcg->state.vector != interp;
}

/* F6 /1 and F7 /1 are TEST, as /0 is; TCG has #UD, or a fault of an address without the immediate operand's length. */
static bool excuse_test_alias(struct excuse *e)
{
    uint64_t at = e->tcg->state.rip - e->c->in.rip;
    if (e->tcg->state.vector < 0)
        return false;
    for (; at + 1 < e->c->length; at++) {
        if ((e->c->code[at] & 0xFE) == 0xF6)
            return (e->c->code[at + 1] & 0x38) == 0x08;
    }
    return false;
}

static bool loses_flags(const struct opcode_row *row)
{
    return native_in_list("ROL ROR RCL RCR SHL SHR SAR SHLD SHRD", row->mnemonic) || !strncmp(row->mnemonic, "SET", 3);
}

/* A fault of a shift, a rotation or SETcc comes when the flags before it are no longer known. */
static bool excuse_fault_flags(struct excuse *e)
{
    if (e->tcg->state.vector < 0 || e->interp->state.vector != e->tcg->state.vector || !has(e, loses_flags))
        return false;
    e->interp->state.rflags = e->tcg->state.rflags;
    e->interp->state.error = e->tcg->state.error;
    return same(e);
}

static bool is_enter(const struct opcode_row *row)
{
    return native_in_list("ENTER", row->mnemonic);
}

/* Does not look whether the new stack can be written to: what comes behind it faults, or nothing does. */
static bool excuse_enter(struct excuse *e)
{
    return e->interp->state.vector == EXC_PF && (e->interp->state.error & 2) &&
           e->tcg->state.rip != e->interp->state.rip && has(e, is_enter);
}

static bool is_bswap(const struct opcode_row *row)
{
    return native_in_list("BSWAP", row->mnemonic);
}

/* Of 16 bits it is undefined: zero on Intel's, all 32 bits turned round here. */
static bool excuse_bswap(struct excuse *e)
{
    return (e->c->bits == 16 || memchr(e->c->code, 0x66, e->c->length)) && has(e, is_bswap);
}

/* F3 90 with REX.B is XCHG here, and PAUSE on processors. */
static bool is_pause(const struct opcode_row *row)
{
    return native_in_list("PAUSE", row->mnemonic);
}

static bool excuse_pause(struct excuse *e)
{
    return e->c->bits == 64 && has(e, is_pause);
}

/* 0F 0D and 0F 18 with a register are no instructions here, and do nothing on processors. */
static bool excuse_prefetch(struct excuse *e)
{
    uint64_t at = e->tcg->state.rip - e->c->in.rip;
    if (e->tcg->state.vector != EXC_UD)
        return false;
    for (; at + 2 < e->c->length; at++) {
        if (e->c->code[at] == 0x0F)
            return (e->c->code[at + 1] == 0x0D || e->c->code[at + 1] == 0x18) && e->c->code[at + 2] >= 0xC0;
    }
    return false;
}

/* Of a stack address that is not canonical. */
static bool excuse_stack_fault(struct excuse *e)
{
    return e->c->bits == 64 && e->tcg->state.vector == EXC_GP && e->interp->state.vector == EXC_SS;
}

/* Near branches with an operand size prefix are of 16 bits in 64-bit code here, as on AMD's processors; Intel's ignore it. */
static bool is_near_branch(const struct opcode_row *row)
{
    return native_group_of(row) == NATIVE_GROUP_BRANCH &&
           (native_has_operand(row, "Jz") || native_has_operand(row, "Jb"));
}

static bool excuse_near_branch(struct excuse *e)
{
    return e->c->bits == 64 && memchr(e->c->code, 0x66, e->c->length) && has(e, is_near_branch);
}

static bool is_push_all(const struct opcode_row *row)
{
    return native_in_list("PUSHA POPA PUSHAD POPAD", row->mnemonic);
}

/* Which of the eight words faults first. */
static bool excuse_push_all(struct excuse *e)
{
    return e->tcg->state.vector == EXC_PF && e->interp->state.vector == EXC_PF && has(e, is_push_all);
}

/* 32-bit addresses in 64-bit code: a repeated string instruction that does nothing leaves the upper halves as they were. */
static bool excuse_repeat_upper(struct excuse *e)
{
    static const unsigned regs[] = {CPU_RCX, CPU_RSI, CPU_RDI};
    if (e->c->bits != 64)
        return false;
    for (unsigned n = 0; n < 3; n++) {
        uint64_t *interp = &e->interp->state.gpr[regs[n]], tcg = e->tcg->state.gpr[regs[n]];
        if ((uint32_t)*interp == (uint32_t)tcg)
            *interp = tcg;
    }
    return same(e);
}

static bool is_scan(const struct opcode_row *row)
{
    return native_in_list("BSF BSR", row->mnemonic);
}

/* Of a source of 0: Intel's leave all of the register, here the upper half is cleared. */
static bool excuse_scan(struct excuse *e)
{
    return e->c->bits == 64 && has(e, is_scan);
}

static bool is_table_store(const struct opcode_row *row)
{
    return native_in_list("SGDT SIDT", row->mnemonic);
}

/* With an operand size prefix it stores 24 bits of the base. */
static bool excuse_table_store(struct excuse *e)
{
    return has(e, is_table_store);
}

static bool is_sldt(const struct opcode_row *row)
{
    return native_in_list("SLDT", row->mnemonic);
}

/* Not TCG's doing: its machine has an LDT for 16-bit code, where elsewhere a state is loaded. */
static bool excuse_ldt(struct excuse *e)
{
    return has(e, is_sldt);
}

static bool is_flush(const struct opcode_row *row)
{
    return native_in_list("CLFLUSH CLFLUSHOPT CLWB", row->mnemonic);
}

/* Nothing is done, so nothing faults. */
static bool excuse_flush(struct excuse *e)
{
    return e->interp->state.vector >= 0 && e->interp->state.rip != e->tcg->state.rip && has(e, is_flush);
}

/* There is no alignment check. */
static bool excuse_alignment(struct excuse *e)
{
    return e->interp->state.vector == EXC_AC;
}

/* The last instruction's opcode and pointers are not what a processor keeps. */
static bool excuse_x87_pointers(struct excuse *e)
{
    memcpy(e->interp->state.fx + NATIVE_FX_FOP, e->tcg->state.fx + NATIVE_FX_FOP, NATIVE_FX_MXCSR - NATIVE_FX_FOP);
    return same(e);
}

const char *fuzz_gdb_excuse(const struct native_harness *h, const struct native_case *c,
                            struct native_outcome *reference, struct native_outcome *interp, bool *guess)
{
    static const struct {
        const char *name;
        bool (*apply)(struct excuse *e);
    } excuses[] = {{"x87-pointers", excuse_x87_pointers},
                   {"modify-fault", excuse_modify_fault},
                   {"repeat-flags", excuse_repeat_flags},
                   {"segment", excuse_segment},
                   {"test-alias", excuse_test_alias},
                   {"fault-flags", excuse_fault_flags},
                   {"enter", excuse_enter},
                   {"flush", excuse_flush},
                   {"bswap-16", excuse_bswap},
                   {"pause-rex", excuse_pause},
                   {"prefetch-register", excuse_prefetch},
                   {"stack-fault", excuse_stack_fault},
                   {"near-branch-16", excuse_near_branch},
                   {"pusha-order", excuse_push_all},
                   {"repeat-upper", excuse_repeat_upper},
                   {"scan-zero", excuse_scan},
                   {"sgdt-24", excuse_table_store},
                   {"ldt", excuse_ldt},
                   {"x87", excuse_x87},
                   {"lock-ignored", excuse_lock},
                   {"alignment", excuse_alignment}};
    struct excuse e = {h, c, reference, interp};
    for (size_t n = 0; n < sizeof excuses / sizeof excuses[0]; n++) {
        struct native_outcome before = *interp;
        if (excuses[n].apply(&e)) {
            *guess = !same(&e);
            *interp = *reference;
            return excuses[n].name;
        }
        *interp = before;
    }
    return NULL;
}
