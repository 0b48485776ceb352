/* x87 control instructions: FNINIT FNCLEX FLDCW FNSTCW FNSTSW FLDENV FNSTENV FNSAVE FRSTOR FINCSTP FDECSTP FFREE FNOP
 * FXAM FWAIT (Intel SDM vol. 1, 8.1.8-8.1.10: image formats). In real and virtual-8086 mode the images hold linear
 * pointers; FCS is always 0 (see exec_x87.c), so they are the offsets. */
#include "accel-interp/x87.h"

#include "core/irq.h"

#define CONTROL_NM()                                                                                                   \
    do {                                                                                                               \
        if (UNLIKELY(cpu->cr0 & (CR0_EM | CR0_TS)))                                                                    \
            RAISE(EXC_NM);                                                                                             \
    } while (0)
/* Before anything that changes the pending state without waiting: FERR# will have to fall, which touches the board, so
 * the instruction must be alone. Falls in control_done. */
static bool ferr_may_fall(struct interp *cpu, const struct insn *i)
{
    if (!(cpu->s.fsw & FSW_ES) || (cpu->cr0 & CR0_NE))
        return false;
    if (!cpu->single)
        interp_redo_single(cpu, i);
    interp_sync_position(cpu, i);
    return true;
}

/* After FCW or FSW were written. */
static void control_done(struct interp *cpu, bool ferr)
{
    fp_update_summary(cpu);
    fp_clear_x87_flags();
    fp_load_fcw(cpu);
    if (ferr && !(cpu->s.fsw & FSW_ES))
        machine_set_ferr(cpu->accel.machine, false);
}

static void control_initialise(struct interp *cpu)
{
    cpu->s.fcw = FCW_DEFAULT;
    fp_set_fsw(cpu, 0);
    cpu->s.ftw = 0;
    cpu->s.fop = 0;
    cpu->s.fip = 0;
    cpu->s.fdp = 0;
    cpu->s.fcs = 0;
    cpu->s.fds = 0;
}

static void control_set_fcw(struct interp *cpu, uint16_t value)
{
    cpu->s.fcw = (uint16_t)((value & FCW_WRITABLE) | FCW_FIXED);
}

EXEC_STATIC(fninit)
{
    CONTROL_NM();
    bool ferr = ferr_may_fall(cpu, i);
    control_initialise(cpu);
    control_done(cpu, ferr);
    NEXT;
}
X87_FORMS_REG(forms_fninit, fninit);

EXEC_STATIC(fnclex)
{
    CONTROL_NM();
    bool ferr = ferr_may_fall(cpu, i);
    cpu->s.fsw &= (uint16_t) ~(FSW_FLAGS | FSW_SF | FSW_ES | FSW_B);
    control_done(cpu, ferr);
    NEXT;
}
X87_FORMS_REG(forms_fnclex, fnclex);

/* FNENI, FNDISI, FNSETPM: of the 8087 and 80287, nothing since. */
EXEC_STATIC(fn_nothing)
{
    CONTROL_NM();
    NEXT;
}
X87_FORMS_REG(forms_fn_nothing, fn_nothing);

EXEC_STATIC(fwait)
{
    if (UNLIKELY((cpu->cr0 & (CR0_MP | CR0_TS)) == (CR0_MP | CR0_TS)))
        RAISE(EXC_NM);
    if (UNLIKELY(x87_wait_pending(cpu, i)))
        return END_LEAVE();
    NEXT;
}
X87_FORMS_REG(forms_fwait, fwait);

EXEC_STATIC(fldcw)
{
    if (UNLIKELY(x87_wait(cpu, i)))
        return END_LEAVE();
    uint16_t value = ld16(cpu, i, ea_general(cpu, i, 2, TLB_READ));
    if (((value & FCW_WRITABLE) | FCW_FIXED) != cpu->s.fcw) {
        control_set_fcw(cpu, value);
        fp_update_summary(cpu);
        fp_load_fcw(cpu);
    }
    NEXT;
}
X87_FORMS_MEM(forms_fldcw, fldcw, fldcw, fldcw);

EXEC_STATIC(fnstcw)
{
    CONTROL_NM();
    st16(cpu, i, ea_general(cpu, i, 2, TLB_WRITE), cpu->s.fcw);
    NEXT;
}
X87_FORMS_MEM(forms_fnstcw, fnstcw, fnstcw, fnstcw);

EXEC_STATIC(fnstsw_m16)
{
    CONTROL_NM();
    st16(cpu, i, ea_general(cpu, i, 2, TLB_WRITE), fp_fsw(cpu));
    NEXT;
}
X87_FORMS_MEM(forms_fnstsw_m16, fnstsw_m16, fnstsw_m16, fnstsw_m16);

EXEC_STATIC(fnstsw_ax)
{
    CONTROL_NM();
    cpu->r[CPU_RAX].w = fp_fsw(cpu);
    NEXT;
}
X87_FORMS_REG(forms_fnstsw_ax, fnstsw_ax);

/* ---- moves of TOP and tags --------------------------------------------------------------------------------------- */

#define WAITING(name, ...)                                                                                             \
    EXEC_STATIC(name)                                                                                                  \
    {                                                                                                                  \
        if (UNLIKELY(x87_wait(cpu, i)))                                                                                \
            return END_LEAVE();                                                                                        \
        const unsigned top = x87_top(cpu);                                                                             \
        (void)top;                                                                                                     \
        __VA_ARGS__;                                                                                                   \
        cpu->s.fip = interp_rip(cpu, i);                                                                               \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    X87_FORMS_REG(forms_##name, name);
WAITING(fincstp, x87_set_top(cpu, top + 1); cpu->s.fsw &= (uint16_t)~FSW_C1)
WAITING(fdecstp, x87_set_top(cpu, top + 7); cpu->s.fsw &= (uint16_t)~FSW_C1)
#define FREE cpu->s.fsw &= (uint16_t)~FSW_C1, cpu->s.ftw &= (uint8_t) ~(1u << ((top + i->modrm) & 7))
WAITING(ffree, FREE)
WAITING(ffreep, FREE; x87_pop(cpu, top))
WAITING(fnop, )

/* C3 C2 C0: 001 NaN, 010 normal, 011 infinity, 100 zero, 101 empty, 110 denormal, 000 unsupported; C1 the sign. */
static uint16_t examine(const struct cpu_x87_register *r, bool filled)
{
    unsigned exponent = r->sign_exponent & 0x7FFFu;
    uint16_t sign = (r->sign_exponent & 0x8000u) ? FSW_C1 : 0;

    if (!filled)
        return sign | FSW_C3 | FSW_C0;
    if (exponent == 0)
        return sign | FSW_C3 | (r->significand ? FSW_C2 : 0);
    if (!(r->significand >> 63))
        return sign;
    if (exponent == 0x7FFF)
        return sign | FSW_C0 | (r->significand << 1 ? 0 : FSW_C2);
    return sign | FSW_C2;
}
WAITING(fxam, cpu->s.fsw = (uint16_t)((cpu->s.fsw & ~FSW_CC) | examine(x87_st(cpu, top, 0), x87_filled(cpu, top, 0))))

/* ---- images ------------------------------------------------------------------------------------------------------ */

enum { ENV16_BYTES = 14, ENV32_BYTES = 28, REGISTERS_BYTES = 80, IMAGE_BYTES = ENV32_BYTES + REGISTERS_BYTES };

static void put16(uint8_t *p, uint32_t value)
{
    memcpy(p, &(uint16_t){(uint16_t)value}, 2);
}
static void put32(uint8_t *p, uint32_t value)
{
    memcpy(p, &value, 4);
}
static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}
static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static bool image_is_real(const struct interp *cpu)
{
    return cpu->mode & (MODE_REAL | MODE_VM86);
}
static bool image_is_wide(const struct insn *i)
{
    return insn_osize(i) >= 2;
}
static unsigned env_bytes(const struct insn *i)
{
    return image_is_wide(i) ? ENV32_BYTES : ENV16_BYTES;
}

static void env_put(const struct interp *cpu, const struct insn *i, uint8_t *p)
{
    const struct cpu_state *s = &cpu->s;
    uint32_t fip = (uint32_t)s->fip, fdp = (uint32_t)s->fdp, fop = s->fop & 0x7FFu;
    bool real = image_is_real(cpu);

    if (image_is_wide(i)) {
        put32(p, 0xFFFF0000u | s->fcw);
        put32(p + 4, 0xFFFF0000u | fp_fsw(cpu));
        put32(p + 8, 0xFFFF0000u | fp_x87_full_tags(s));
        put32(p + 12, real ? 0xFFFF0000u | (fip & 0xFFFF) : fip);
        put32(p + 16, real ? (fip >> 16) << 12 | fop : s->fcs | fop << 16);
        put32(p + 20, real ? 0xFFFF0000u | (fdp & 0xFFFF) : fdp);
        put32(p + 24, real ? (fdp >> 16) << 12 : 0xFFFF0000u | s->fds);
    } else {
        put16(p, s->fcw);
        put16(p + 2, fp_fsw(cpu));
        put16(p + 4, fp_x87_full_tags(s));
        put16(p + 6, fip);
        put16(p + 8, real ? (fip >> 16 & 15) << 12 | fop : s->fcs);
        put16(p + 10, fdp);
        put16(p + 12, real ? (fdp >> 16 & 15) << 12 : s->fds);
    }
}

static void env_get(struct interp *cpu, const struct insn *i, const uint8_t *p)
{
    struct cpu_state *s = &cpu->s;
    bool real = image_is_real(cpu);
    uint32_t tags;

    if (image_is_wide(i)) {
        control_set_fcw(cpu, (uint16_t)get16(p));
        fp_set_fsw(cpu, (uint16_t)get16(p + 4));
        tags = get16(p + 8);
        s->fip = real ? get16(p + 12) | (get32(p + 16) >> 12 & 0xFFFF) << 16 : get32(p + 12);
        s->fop = (real ? get16(p + 16) : get16(p + 18)) & 0x7FF;
        s->fdp = real ? get16(p + 20) | (get32(p + 24) >> 12 & 0xFFFF) << 16 : get32(p + 20);
    } else {
        control_set_fcw(cpu, (uint16_t)get16(p));
        fp_set_fsw(cpu, (uint16_t)get16(p + 2));
        tags = get16(p + 4);
        s->fip = get16(p + 6) | (real ? (get16(p + 8) >> 12) << 16 : 0);
        s->fop = real ? get16(p + 8) & 0x7FF : 0;
        s->fdp = get16(p + 10) | (real ? (get16(p + 12) >> 12) << 16 : 0);
    }
    s->ftw = 0;
    for (unsigned n = 0; n < 8; n++)
        if ((tags >> (2 * n) & 3) != 3)
            s->ftw |= (uint8_t)(1u << n);
}

static void image_store(struct interp *cpu, const struct insn *i, bool registers)
{
    uint8_t image[IMAGE_BYTES];
    unsigned env = env_bytes(i), size_bytes = env + (registers ? REGISTERS_BYTES : 0), top = x87_top(cpu);

    env_put(cpu, i, image);
    for (unsigned n = 0; registers && n < 8; n++) {
        const struct cpu_x87_register *r = x87_st(cpu, top, n);
        memcpy(image + env + 10 * n, &r->significand, 8);
        put16(image + env + 10 * n + 8, r->sign_exponent);
    }
    mem_write_buffer(cpu, i, ea_general(cpu, i, size_bytes, TLB_WRITE), image, size_bytes);
}

static void image_load(struct interp *cpu, const struct insn *i, bool registers)
{
    uint8_t image[IMAGE_BYTES];
    unsigned env = env_bytes(i), size_bytes = env + (registers ? REGISTERS_BYTES : 0), top;

    mem_read_buffer(cpu, i, ea_general(cpu, i, size_bytes, TLB_READ), image, size_bytes);
    env_get(cpu, i, image);
    top = x87_top(cpu);
    for (unsigned n = 0; registers && n < 8; n++) {
        struct cpu_x87_register *r = x87_st(cpu, top, n);
        memcpy(&r->significand, image + env + 10 * n, 8);
        r->sign_exponent = (uint16_t)get16(image + env + 10 * n + 8);
    }
    control_done(cpu, false);
}

/* The work is out of line: an image on the stack would cost the tail call. */
__attribute__((noinline)) static void fnstenv_execute(struct interp *cpu, const struct insn *i)
{
    CONTROL_NM();
    bool ferr = ferr_may_fall(cpu, i);
    image_store(cpu, i, false);
    cpu->s.fcw |= FCW_MASKS;
    control_done(cpu, ferr);
}
__attribute__((noinline)) static void fnsave_execute(struct interp *cpu, const struct insn *i)
{
    CONTROL_NM();
    bool ferr = ferr_may_fall(cpu, i);
    image_store(cpu, i, true);
    control_initialise(cpu);
    control_done(cpu, ferr);
}
__attribute__((noinline)) static bool restore_execute(struct interp *cpu, const struct insn *i, bool registers)
{
    if (x87_wait(cpu, i))
        return false;
    image_load(cpu, i, registers);
    return true;
}

EXEC_STATIC(fnstenv)
{
    fnstenv_execute(cpu, i);
    NEXT;
}
EXEC_STATIC(fnsave)
{
    fnsave_execute(cpu, i);
    NEXT;
}
EXEC_STATIC(fldenv)
{
    if (!restore_execute(cpu, i, false))
        return END_LEAVE();
    NEXT;
}
EXEC_STATIC(frstor)
{
    if (!restore_execute(cpu, i, true))
        return END_LEAVE();
    NEXT;
}
X87_FORMS_MEM(forms_fnstenv, fnstenv, fnstenv, fnstenv);
X87_FORMS_MEM(forms_fnsave, fnsave, fnsave, fnsave);
X87_FORMS_MEM(forms_fldenv, fldenv, fldenv, fldenv);
X87_FORMS_MEM(forms_frstor, frstor, frstor, frstor);
