/* x87: the general path for every non-control instruction, and the checks that come before all of them (Intel SDM vol. 1,
 * chapter 8; vol. 3, 2.5 for CR0.EM, MP, TS, NE).
 *
 * FIP is kept by every non-control instruction; FDP and FOP are written only by one that raises an unmasked exception, and
 * FCS and FDS are always 0, as on processors whose CPUID.7.EBX has bits 6 and 13. With CR0.NE clear a pending
 * exception asserts FERR# at the next waiting instruction, and the CPU stops before it until an interrupt is delivered, unless
 * IGNNE# is asserted (SDM vol. 1, 8.7.2). */
#include "accel-interp/x87.h"

#include "core/irq.h"

/* Bytes of the memory operand by opcode and ModRM.reg; 0: control instruction or undefined. STORE: written. */
#define STORE 0x80u
static const uint8_t memory_operand[8][8] = {
    {4, 4, 4, 4, 4, 4, 4, 4}, {4, 0, 4 | STORE, 4 | STORE, 0, 0, 0, 0},
    {4, 4, 4, 4, 4, 4, 4, 4}, {4, 4 | STORE, 4 | STORE, 4 | STORE, 0, 10, 0, 10 | STORE},
    {8, 8, 8, 8, 8, 8, 8, 8}, {8, 8 | STORE, 8 | STORE, 8 | STORE, 0, 0, 0, 0},
    {2, 2, 2, 2, 2, 2, 2, 2}, {2, 2 | STORE, 2 | STORE, 2 | STORE, 10, 8, 10 | STORE, 8 | STORE},
};

bool x87_wait_pending(struct interp *cpu, const struct insn *i)
{
    if (!(cpu->s.fsw & FSW_ES))
        return false;
    if (cpu->cr0 & CR0_NE)
        RAISE(EXC_MF);
    if (machine_ignne(cpu->accel.machine))
        return false;
    if (!cpu->single)
        interp_redo_single(cpu, i);
    interp_sync_position(cpu, i);
    machine_set_ferr(cpu->accel.machine, true);
    cpu->s.halted = true; /* an interrupt that is there already is taken at once */
    cpu->rip = interp_rip(cpu, i);
    return true;
}

bool x87_wait(struct interp *cpu, const struct insn *i)
{
    if (cpu->cr0 & (CR0_EM | CR0_TS))
        RAISE(EXC_NM);
    return x87_wait_pending(cpu, i);
}

void x87_state_get(const struct interp *cpu, struct fp_x87 *x)
{
    x->fcw = cpu->s.fcw;
    x->fsw = fp_fsw(cpu);
    x->ftw = cpu->s.ftw;
    x->rflags = 0;
    memcpy(x->fpr, cpu->s.fpr, sizeof x->fpr);
    /* An exception that nobody took (FERR# without an interrupt) must not trap on the host. */
    x->fsw &= (uint16_t) ~(FSW_ES | FSW_B);
    x->fsw &= (uint16_t) ~(x->fsw & ~x->fcw & FSW_FLAGS);
}

void x87_state_put(struct interp *cpu, const struct insn *i, const struct fp_x87 *x, uint8_t opcode, uint64_t fdp)
{
    uint16_t raised = x->fsw & (uint16_t)~cpu->s.fcw & FSW_FLAGS;

    fp_set_fsw(cpu, fp_summary((uint16_t)(x->fsw | (cpu->s.fsw & FSW_FLAGS)), cpu->s.fcw));
    cpu->s.ftw = x->ftw;
    memcpy(cpu->s.fpr, x->fpr, sizeof x->fpr);
    cpu->s.fip = interp_rip(cpu, i);
    if (raised) {
        cpu->s.fop = (uint16_t)((opcode & 7u) << 8 | i->modrm);
        cpu->s.fdp = fdp;
    }
}

/* Was the operand written? Unmasked exceptions other than precision keep a store from happening, and its address is then not
 * even checked. */
static bool store_happened(const struct fp_x87 *x)
{
    return !(x->fsw & ~x->fcw & FSW_FLAGS & ~FSW_PE);
}

static bool changes_rflags(uint8_t opcode, uint8_t modrm)
{
    return (opcode == 0xDB || opcode == 0xDF) && modrm >= 0xE8;
}

/* DA and DB C0..DF: FCMOVcc. */
static bool reads_rflags(uint8_t opcode, uint8_t modrm)
{
    return (opcode == 0xDA || opcode == 0xDB) && modrm >= 0xC0 && modrm < 0xE0;
}

__attribute__((noinline)) static bool general_execute(struct interp *cpu, const struct insn *i, uint8_t opcode)
{
    struct fp_x87 x;
    uint8_t buffer[16] = {0};
    uint8_t operand = i->modrm < 0xC0 ? memory_operand[opcode & 7][i->modrm >> 3 & 7] : 0;
    unsigned size_bytes = operand & ~STORE;
    uint64_t fdp = cpu->s.fdp;

    if (x87_wait(cpu, i))
        return false;
    x87_state_get(cpu, &x);
    if (reads_rflags(opcode, i->modrm))
        x.rflags = flags_arith(cpu);
    if (size_bytes)
        fdp = ea_mask(ea_offset(cpu, i), insn_asize(i));
    if (size_bytes && !(operand & STORE))
        mem_read_buffer(cpu, i, ea_general(cpu, i, size_bytes, TLB_READ), buffer, size_bytes);
    fp_x87_execute(&x, opcode, i->modrm, buffer);
    fp_load_fcw(cpu);
    if ((operand & STORE) && store_happened(&x))
        mem_write_buffer(cpu, i, ea_general(cpu, i, size_bytes, TLB_WRITE), buffer, size_bytes);
    x87_state_put(cpu, i, &x, opcode, fdp);
    if (i->modrm >= 0xC0 && changes_rflags(opcode, i->modrm))
        flags_set_arith(cpu, x.rflags);
    return true;
}

const struct insn *x87_general(struct interp *cpu, const struct insn *i, uint8_t opcode)
{
    if (UNLIKELY(!general_execute(cpu, i, opcode)))
        return END_LEAVE();
    NEXT;
}

#define GENERAL(op, byte)                                                                                              \
    EXEC(x87_general_##op)                                                                                             \
    {                                                                                                                  \
        return x87_general(cpu, i, byte);                                                                              \
    }                                                                                                                  \
    X87_FORMS_MEM(forms_x87_##op##_mem, x87_general_##op, x87_general_##op, x87_general_##op);                         \
    X87_FORMS_REG(forms_x87_##op##_reg, x87_general_##op);
GENERAL(d8, 0xD8)
GENERAL(d9, 0xD9)
GENERAL(da, 0xDA)
GENERAL(db, 0xDB)
GENERAL(dc, 0xDC)
GENERAL(dd, 0xDD)
GENERAL(de, 0xDE)
GENERAL(df, 0xDF)
