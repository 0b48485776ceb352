/* FXSAVE, FXRSTOR, LDMXCSR, STMXCSR (Intel SDM vol. 1, 10.5; vol. 2 for the images). The image's FCS and FDS are always 0
 * (see exec_x87.c). FXSAVE writes what it defines and zeroes in the reserved bytes among that; bytes 288..511 (416..511 in
 * 64-bit mode) stay. XMM registers and MXCSR take part whatever CR4.OSFXSR says. */
#include "accel-interp/fx_image.h"
#include "accel-interp/mmu.h"
#include "accel-interp/sse.h"
#include "accel-interp/system.h"
#include "accel-interp/x87.h"

static void put(uint8_t *p, uint64_t value, unsigned size_bytes)
{
    memcpy(p, &value, size_bytes);
}
static uint64_t get(const uint8_t *p, unsigned size_bytes)
{
    uint64_t value = 0;
    memcpy(&value, p, size_bytes);
    return value;
}

static unsigned xmm_end(const struct interp *cpu)
{
    return FX_XMM + 16 * fx_xmm_count(cpu);
}

void fx_put_x87(struct interp *cpu, const struct insn *i, uint8_t *image)
{
    const struct cpu_state *s = &cpu->s;
    unsigned top = x87_top(cpu), pointer_bytes = insn_osize(i) == 3 ? 8 : 4;

    memset(image, 0, FX_MXCSR);
    memset(image + FX_ST, 0, FX_XMM - FX_ST);
    put(image, s->fcw, 2);
    put(image + 2, fp_fsw(cpu), 2);
    put(image + 4, s->ftw, 1);
    put(image + 6, s->fop, 2);
    put(image + 8, s->fip, pointer_bytes);
    put(image + 16, s->fdp, pointer_bytes);
    for (unsigned n = 0; n < 8; n++) {
        const struct cpu_x87_register *r = x87_st(cpu, top, n);
        put(image + FX_ST + 16 * n, r->significand, 8);
        put(image + FX_ST + 16 * n + 8, r->sign_exponent, 2);
    }
}

void fx_put_mxcsr(struct interp *cpu, uint8_t *image)
{
    fp_merge_mxcsr(cpu);
    put(image + FX_MXCSR, cpu->s.mxcsr, 4);
    put(image + FX_MXCSR + 4, MXCSR_MASK, 4);
}

void fx_put_xmm(const struct interp *cpu, uint8_t *image)
{
    for (unsigned n = 0; n < fx_xmm_count(cpu); n++)
        memcpy(image + FX_XMM + 16 * n, cpu->s.vector[n].q, 16);
}

void fx_get_x87(struct interp *cpu, const struct insn *i, const uint8_t *image)
{
    struct cpu_state *s = &cpu->s;
    unsigned top;

    s->fcw = (uint16_t)((get(image, 2) & FCW_WRITABLE) | FCW_FIXED);
    fp_set_fsw(cpu, (uint16_t)get(image + 2, 2));
    s->ftw = image[4];
    s->fop = get(image + 6, 2) & 0x7FF;
    /* as a 48-bit linear address */
    s->fip = insn_osize(i) == 3 ? (uint64_t)((int64_t)(get(image + 8, 8) << 16) >> 16) : get(image + 8, 4);
    s->fdp = get(image + 16, insn_osize(i) == 3 ? 8 : 4);
    top = x87_top(cpu);
    for (unsigned n = 0; n < 8; n++) {
        struct cpu_x87_register *r = x87_st(cpu, top, n);
        r->significand = get(image + FX_ST + 16 * n, 8);
        r->sign_exponent = (uint16_t)get(image + FX_ST + 16 * n + 8, 2);
    }
    fp_update_summary(cpu);
    fp_clear_x87_flags();
    fp_load_fcw(cpu);
}

void fx_get_xmm(struct interp *cpu, const uint8_t *image)
{
    for (unsigned n = 0; n < fx_xmm_count(cpu); n++)
        memcpy(cpu->s.vector[n].q, image + FX_XMM + 16 * n, 16);
}

uint32_t fx_check_mxcsr(struct interp *cpu, const struct insn *i, const uint8_t *image)
{
    uint32_t value = (uint32_t)get(image + FX_MXCSR, 4);

    if (value & ~MXCSR_MASK)
        RAISE_ERROR(EXC_GP, 0);
    return value;
}

static uint64_t image_address(struct interp *cpu, const struct insn *i, enum tlb_access access)
{
    uint64_t linear;

    if (cpu->cr0 & (CR0_EM | CR0_TS))
        RAISE(EXC_NM);
    linear = ea_general(cpu, i, FX_BYTES, access);
    if (in_code64(cpu) && !mmu_canonical(linear))
        RAISE_ERROR(i->seg == CPU_SS ? EXC_SS : EXC_GP, 0);
    mem_check_alignment(cpu, i, linear, 4); /* measured: #AC comes first, and wants but 4 bytes */
    if (linear & 15)
        RAISE_ERROR(EXC_GP, 0);
    return linear;
}

static bool fills(const struct interp *cpu)
{
    return in_code64(cpu) && cpu->cpl == 0 && machine_goes(cpu->accel.machine, MACHINE_WAY_FXSAVE_FILLS);
}

__attribute__((noinline)) static void fxsave_execute(struct interp *cpu, const struct insn *i)
{
    uint64_t linear = image_address(cpu, i, TLB_WRITE);
    uint8_t image[FX_BYTES] = {0};

    fx_put_x87(cpu, i, image);
    fx_put_mxcsr(cpu, image);
    fx_put_xmm(cpu, image);
    mem_write_buffer(cpu, i, linear, image, fills(cpu) ? FX_BYTES : xmm_end(cpu));
}

__attribute__((noinline)) static void fxrstor_execute(struct interp *cpu, const struct insn *i)
{
    uint64_t linear = image_address(cpu, i, TLB_READ);
    uint8_t image[FX_BYTES];

    mem_read_buffer(cpu, i, linear, image, FX_BYTES);
    cpu->s.mxcsr = fx_check_mxcsr(cpu, i, image);
    fx_get_x87(cpu, i, image);
    fx_get_xmm(cpu, image);
    fp_load_mxcsr(cpu);
}

EXEC_STATIC(fxsave)
{
    fxsave_execute(cpu, i);
    NEXT;
}
EXEC_STATIC(fxrstor)
{
    fxrstor_execute(cpu, i);
    NEXT;
}
FORMS_RM(forms_fxsave, 0, fxsave);
FORMS_RM(forms_fxrstor, 0, fxrstor);

void sse_load_mxcsr(struct interp *cpu, const struct insn *i)
{
    uint32_t value = ld32(cpu, i, ea_general(cpu, i, 4, TLB_READ));

    if (value & ~MXCSR_MASK)
        RAISE_ERROR(EXC_GP, 0);
    cpu->s.mxcsr = value;
    fp_load_mxcsr(cpu);
}

EXEC_STATIC(ldmxcsr)
{
    SSE_CHECK();
    sse_load_mxcsr(cpu, i);
    NEXT;
}
EXEC_STATIC(stmxcsr)
{
    SSE_CHECK();
    fp_merge_mxcsr(cpu);
    st32(cpu, i, ea_general(cpu, i, 4, TLB_WRITE), cpu->s.mxcsr);
    NEXT;
}
FORMS_RM(forms_ldmxcsr, 0, ldmxcsr);
FORMS_RM(forms_stmxcsr, 0, stmxcsr);
