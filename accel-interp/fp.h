/* Floating-point arithmetic as the guest sees it: the only door between the instruction functions (exec_x87*.c,
 * exec_sse*.c, exec_mmx.c) and whatever computes. Behind it today stand the host's own x87 and SSE units, driven by inline
 * assembly so that no result depends on compiler or optimisation level; a soft-float can take their place.
 *
 * Invariants
 *  1. Between fp_enter and fp_leave the host's FCW is the guest's with all exceptions masked, and the host's MXCSR is the
 *     guest's with all exceptions masked. So no C floating-point arithmetic may run there (it would round as the guest
 *     wishes and leave its flags in the guest's MXCSR).
 *  2. The guest's MXCSR flags are s.mxcsr's or the host's: sticky flags collect in the host register and are merged by
 *     fp_merge_mxcsr (called by STMXCSR, FXSAVE, fp_leave, unmasked modes).
 *  3. The host's x87 status flags are a subset of those in s.fsw (fp_clear_x87_flags after s.fsw lost some); the host's
 *     register stack is empty.
 *  4. TOP is in x87_top, and s.fsw's field for it means nothing: the next instruction's registers would otherwise have to
 *     wait for the status of this one.
 *  5. s.fsw's ES and B follow from its flags and s.fcw's masks, always (fp_update_summary). */
#ifndef VMRR_ACCEL_INTERP_FP_H
#define VMRR_ACCEL_INTERP_FP_H

#include "accel-interp/interp.h"
#include "accel-interp/simd_host.h"

/* Who computes: the host's units, or soft_float.h (the CMake option VMRR_SOFT_FLOAT; always when the host is not x86). */
#if defined(VMRR_SOFT_FLOAT) || !defined(__x86_64__)
#define FP_SOFT 1
#else
#define FP_SOFT 0
#endif

#define FSW_IE 0x0001u
#define FSW_DE 0x0002u
#define FSW_ZE 0x0004u
#define FSW_OE 0x0008u
#define FSW_UE 0x0010u
#define FSW_PE 0x0020u
#define FSW_SF 0x0040u
#define FSW_ES 0x0080u
#define FSW_C0 0x0100u
#define FSW_C1 0x0200u
#define FSW_C2 0x0400u
#define FSW_TOP 0x3800u
#define FSW_TOP_SHIFT 11
#define FSW_C3 0x4000u
#define FSW_B 0x8000u
#define FSW_FLAGS 0x003Fu
#define FSW_CC (FSW_C0 | FSW_C1 | FSW_C2 | FSW_C3)

#define FCW_MASKS 0x003Fu
#define FCW_DEFAULT 0x037Fu
#define FCW_WRITABLE 0x1F3Fu
#define FCW_FIXED 0x0040u

#define MXCSR_FLAGS 0x003Fu
#define MXCSR_DAZ 0x0040u
#define MXCSR_MASKS 0x1F80u
#define MXCSR_MASKS_SHIFT 7
#define MXCSR_UM 0x0800u
#define MXCSR_FTZ 0x8000u
#define MXCSR_DEFAULT 0x1F80u
#define MXCSR_MASK 0xFFFFu /* writable bits: DAZ is there */

/* Around a run of guest instructions: the host's control registers become the guest's, and back. Exceptions that unwind
 * by longjmp stay inside. */
void fp_enter(struct interp *cpu);
void fp_leave(struct interp *cpu);
/* Puts what is held elsewhere (invariants 2 and 4) into a copy of cpu->s. */
void fp_get_state(const struct interp *cpu, struct cpu_state *state);

/* The status word with TOP, between enter and leave. */
static inline uint16_t fp_fsw(const struct interp *cpu)
{
    return (uint16_t)((cpu->s.fsw & ~FSW_TOP) | cpu->x87_top << FSW_TOP_SHIFT);
}
static inline void fp_set_fsw(struct interp *cpu, uint16_t fsw)
{
    cpu->s.fsw = fsw;
    cpu->x87_top = (fsw & FSW_TOP) >> FSW_TOP_SHIFT;
}

/* After s.fcw, s.mxcsr or s.fsw was written: brings the host's registers and ES into line (within enter..leave). */
void fp_load_fcw(struct interp *cpu);
void fp_load_mxcsr(struct interp *cpu);
void fp_merge_mxcsr(struct interp *cpu);
void fp_clear_x87_flags(void);

static inline uint16_t fp_summary(uint16_t fsw, uint16_t fcw)
{
    fsw &= (uint16_t) ~(FSW_ES | FSW_B);
    return (fsw & ~fcw & FSW_FLAGS) ? (uint16_t)(fsw | FSW_ES | FSW_B) : fsw;
}
static inline void fp_update_summary(struct interp *cpu)
{
    cpu->s.fsw = fp_summary(cpu->s.fsw, cpu->s.fcw);
}

/* ---- x87, whole instructions: fp_x87.c ------------------------------------------------------------------------- */

/* The x87 as one instruction sees it. */
struct fp_x87 {
    uint16_t fcw, fsw;
    uint8_t ftw;     /* abridged, physical */
    uint32_t rflags; /* CF PF AF ZF SF OF: FCMOVcc reads, FCOMI writes them */
    struct cpu_x87_register fpr[8];
};

/* Executes any non-control x87 instruction: opcode D8..DF, raw ModRM; memory holds the operand (16 bytes of room) when mod
 * is not 3. Stack faults, unmasked exceptions, tags and condition codes come out as the hardware has them. x must have no
 * exception pending (ES). Clobbers the host's FCW: fp_load_fcw afterwards. */
void fp_x87_execute_host(struct fp_x87 *x, uint8_t opcode, uint8_t modrm, void *memory); /* only on x86 */
void fp_x87_execute_soft(struct fp_x87 *x, uint8_t opcode, uint8_t modrm, void *memory);
static inline void fp_x87_execute(struct fp_x87 *x, uint8_t opcode, uint8_t modrm, void *memory)
{
#if FP_SOFT
    fp_x87_execute_soft(x, opcode, modrm, memory);
#else
    fp_x87_execute_host(x, opcode, modrm, memory);
#endif
}

/* Tag word with two bits a register, as FNSTENV shows it. */
uint16_t fp_x87_full_tags(const struct cpu_state *s);

/* The lists below are of FP80_..._ and FP_SSE_..._, which make a function each. */
#if FP_SOFT
#include "accel-interp/fp_soft.h"
#else
#include "accel-interp/fp_host.h"
#endif

/* ---- x87, single operations with all exceptions masked, on non-empty registers ---------------------------------- */

/* Each returns the status word: exception flags (sticky ones included), C1 as the operation left it, and C0 C2 C3 where
 * the operation defines them. */
FP80_BINARY_(add, "fadd %%st(1),%%st")
FP80_BINARY_(mul, "fmul %%st(1),%%st")
FP80_BINARY_(sub, "fsub %%st(1),%%st")
FP80_BINARY_(subr, "fsubr %%st(1),%%st")
FP80_BINARY_(div, "fdiv %%st(1),%%st")
FP80_BINARY_(divr, "fdivr %%st(1),%%st")
FP80_BINARY_(scale, "fscale")
FP80_BINARY_(prem, "fprem")
FP80_BINARY_(prem1, "fprem1")

#define FP80_MEMORY_SET_(op)                                                                                           \
    FP80_MEMORY_(op##_f32, "f" #op "s", 4)                                                                             \
    FP80_MEMORY_(op##_f64, "f" #op "l", 8)                                                                             \
    FP80_MEMORY_(op##_i16, "fi" #op "s", 2)                                                                            \
    FP80_MEMORY_(op##_i32, "fi" #op "l", 4)
FP80_MEMORY_SET_(add)
FP80_MEMORY_SET_(mul)
FP80_MEMORY_SET_(sub)
FP80_MEMORY_SET_(subr)
FP80_MEMORY_SET_(div)
FP80_MEMORY_SET_(divr)

FP80_COMPARE_(com, "fcom")
FP80_COMPARE_(ucom, "fucom")

FP80_COMPARE_MEMORY_(com_f32, "fcoms", 4)
FP80_COMPARE_MEMORY_(com_f64, "fcoml", 8)
FP80_COMPARE_MEMORY_(com_i16, "ficoms", 2)
FP80_COMPARE_MEMORY_(com_i32, "ficoml", 4)

struct fp_order {
    uint16_t sw;
    bool zf, pf, cf;
};
FP80_COMPARE_FLAGS_(comi, "fcomi")
FP80_COMPARE_FLAGS_(ucomi, "fucomi")

FP80_UNARY_(fsqrt, "fsqrt")
FP80_UNARY_(frndint, "frndint")
FP80_UNARY_(fsin, "fsin")
FP80_UNARY_(fcos, "fcos")
FP80_UNARY_(f2xm1, "f2xm1")

FP80_TEST_(tst)

FP80_CONSTANT_(fldpi)
FP80_CONSTANT_(fldl2e)
FP80_CONSTANT_(fldl2t)
FP80_CONSTANT_(fldlg2)
FP80_CONSTANT_(fldln2)

FP80_FROM_(f32, "flds", 4)
FP80_FROM_(f64, "fldl", 8)

FP80_TO_(f32, "fstps", 4)
FP80_TO_(f64, "fstpl", 8)
FP80_TO_(i16, "fistps", 2)
FP80_TO_(i32, "fistpl", 4)
FP80_TO_(i64, "fistpll", 8)

/* ---- SSE: kernels on whole 128-bit values ------------------------------------------------------------------------ */

/* d = the destination's old value (scalar operations keep its upper part), s = the source; s's unused upper part may hold
 * anything. */
typedef __m128i fp_sse_fn(__m128i d, __m128i s);

/* What overflow and underflow can happen to: an operation on elements, both together; FP_SAFE: not to this one. */
enum fp_ranged {
    FP_SAFE,
    FP_SS = 1,
    FP_PS = 2,
    FP_SD = 3,
    FP_PD = 4,
    FP_ELEMENTS = 7, /* of the result */
    FP_ADD = 0x08,
    FP_SUB = 0x10,
    FP_MUL = 0x18,
    FP_DIV = 0x20,
    FP_ADDSUB = 0x28,
    FP_HADD = 0x30,
    FP_HSUB = 0x38,
    FP_NARROW = 0x40, /* doubles to singles */
    FP_OPERATION = 0x78
};

/* Runs fn when some exception is unmasked in s.mxcsr: raises #XM (or #UD) with the flags set and no result, or returns the
 * result. */
__m128i fp_sse_trapping(struct interp *cpu, const struct insn *i, fp_sse_fn *fn, __m128i d, __m128i s,
                        enum fp_ranged ranged);

/* Arithmetic: sets flags in the host's MXCSR, hence volatile. */
#define FP_SSE_ARITH_SET_(op) FP_SSE_ARITH_(op##ps) FP_SSE_ARITH_(op##pd) FP_SSE_ARITH_(op##ss) FP_SSE_ARITH_(op##sd)
FP_SSE_ARITH_SET_(add)
FP_SSE_ARITH_SET_(sub)
FP_SSE_ARITH_SET_(mul)
FP_SSE_ARITH_SET_(div)
FP_SSE_ARITH_SET_(min)
FP_SSE_ARITH_SET_(max)
FP_SSE_ARITH_SET_(sqrt)
FP_SSE_ARITH_(rcpps)
FP_SSE_ARITH_(rcpss)
FP_SSE_ARITH_(rsqrtps)
FP_SSE_ARITH_(rsqrtss)
FP_SSE_ARITH_(cvtps2pd)
FP_SSE_ARITH_(cvtpd2ps)
FP_SSE_ARITH_(cvtss2sd)
FP_SSE_ARITH_(cvtsd2ss)
FP_SSE_ARITH_(cvtdq2ps)
FP_SSE_ARITH_(cvtps2dq)
FP_SSE_ARITH_(cvttps2dq)
FP_SSE_ARITH_(cvtdq2pd)
FP_SSE_ARITH_(cvtpd2dq)
FP_SSE_ARITH_(cvttpd2dq)

#define FP_SSE_COMPARE_SET_(insn)                                                                                      \
    FP_SSE_COMPARE_(insn, 0)                                                                                           \
    FP_SSE_COMPARE_(insn, 1)                                                                                           \
    FP_SSE_COMPARE_(insn, 2)                                                                                           \
    FP_SSE_COMPARE_(insn, 3) FP_SSE_COMPARE_(insn, 4) FP_SSE_COMPARE_(insn, 5) FP_SSE_COMPARE_(insn, 6)                \
        FP_SSE_COMPARE_(insn, 7)
FP_SSE_COMPARE_SET_(cmpps)
FP_SSE_COMPARE_SET_(cmppd)
FP_SSE_COMPARE_SET_(cmpss)
FP_SSE_COMPARE_SET_(cmpsd)

/* Comparison into ZF, PF, CF: bits 0, 1, 2 of the low quadword. */
FP_SSE_ORDER_(ucomiss)
FP_SSE_ORDER_(ucomisd)
FP_SSE_ORDER_(comiss)
FP_SSE_ORDER_(comisd)

/* To and from integers: the integer in the low doubleword or quadword of s, or of the result. */
FP_SSE_FROM_(cvtsi2ss_32, "cvtsi2ssl", uint32_t, _mm_cvtsi128_si32)
FP_SSE_FROM_(cvtsi2ss_64, "cvtsi2ssq", uint64_t, _mm_cvtsi128_si64)
FP_SSE_FROM_(cvtsi2sd_32, "cvtsi2sdl", uint32_t, _mm_cvtsi128_si32)
FP_SSE_FROM_(cvtsi2sd_64, "cvtsi2sdq", uint64_t, _mm_cvtsi128_si64)

FP_SSE_TO_(cvtss2si_32, "cvtss2sil", uint32_t)
FP_SSE_TO_(cvtss2si_64, "cvtss2siq", uint64_t)
FP_SSE_TO_(cvtsd2si_32, "cvtsd2sil", uint32_t)
FP_SSE_TO_(cvtsd2si_64, "cvtsd2siq", uint64_t)
FP_SSE_TO_(cvttss2si_32, "cvttss2sil", uint32_t)
FP_SSE_TO_(cvttss2si_64, "cvttss2siq", uint64_t)
FP_SSE_TO_(cvttsd2si_32, "cvttsd2sil", uint32_t)
FP_SSE_TO_(cvttsd2si_64, "cvttsd2siq", uint64_t)

#endif
