/* SSE and SSE2 floating-point arithmetic, logic and comparison (Intel SDM vol. 1, 10.4 and 11.4). The computing is fp.h's. */
#include "accel-interp/fp_sse.h"
#include "accel-interp/sse.h"

#define TO_REG xmm_set(cpu, i->reg, result)
#define ARITH(op, kind, ranged)                                                                                        \
    SSE_ARITH(op, fp_##op, kind, ranged, TO_REG)                                                                       \
    SSE_FORMS(forms_##op, op);
#define ARITH_SET(op, operation)                                                                                       \
    ARITH(op##ps, V16, operation | FP_PS)                                                                              \
    ARITH(op##pd, V16, operation | FP_PD)                                                                              \
    ARITH(op##ss, V4, operation | FP_SS)                                                                               \
    ARITH(op##sd, V8, operation | FP_SD)
/* Those that give an operand back, or can't come near zero. */
#define ARITH_SET_SAFE(op)                                                                                             \
    ARITH(op##ps, V16, FP_SAFE)                                                                                        \
    ARITH(op##pd, V16, FP_SAFE)                                                                                        \
    ARITH(op##ss, V4, FP_SAFE)                                                                                         \
    ARITH(op##sd, V8, FP_SAFE)
ARITH_SET(add, FP_ADD)
ARITH_SET(sub, FP_SUB)
ARITH_SET(mul, FP_MUL)
ARITH_SET(div, FP_DIV)
ARITH_SET_SAFE(min)
ARITH_SET_SAFE(max)
ARITH_SET_SAFE(sqrt)

/* Approximations: no exceptions at all. */
#define APPROXIMATE(op, kind)                                                                                          \
    SSE_REG(op, xmm_set(cpu, i->reg, fp_approximate_##op(xmm_get(cpu, i->reg), src)))                                  \
    SSE_LOAD(op, kind, xmm_set(cpu, i->reg, fp_approximate_##op(xmm_get(cpu, i->reg), src)))                           \
    SSE_FORMS(forms_##op, op);
APPROXIMATE(rcpps, V16)
APPROXIMATE(rcpss, V4)
APPROXIMATE(rsqrtps, V16)
APPROXIMATE(rsqrtss, V4)

/* ---- comparison with a predicate: CMPccPS and so on ------------------------------------------------------------- */

static fp_sse_fn *const cmpps_kernels[8] = {fp_cmpps_0, fp_cmpps_1, fp_cmpps_2, fp_cmpps_3,
                                            fp_cmpps_4, fp_cmpps_5, fp_cmpps_6, fp_cmpps_7};
static fp_sse_fn *const cmppd_kernels[8] = {fp_cmppd_0, fp_cmppd_1, fp_cmppd_2, fp_cmppd_3,
                                            fp_cmppd_4, fp_cmppd_5, fp_cmppd_6, fp_cmppd_7};
static fp_sse_fn *const cmpss_kernels[8] = {fp_cmpss_0, fp_cmpss_1, fp_cmpss_2, fp_cmpss_3,
                                            fp_cmpss_4, fp_cmpss_5, fp_cmpss_6, fp_cmpss_7};
static fp_sse_fn *const cmpsd_kernels[8] = {fp_cmpsd_0, fp_cmpsd_1, fp_cmpsd_2, fp_cmpsd_3,
                                            fp_cmpsd_4, fp_cmpsd_5, fp_cmpsd_6, fp_cmpsd_7};

/* Bits 7:3 of the immediate are not looked at. */
static inline __m128i compare(struct interp *cpu, const struct insn *i, fp_sse_fn *const kernels[8], __m128i src)
{
    fp_sse_fn *fn = kernels[i->imm & 7];
    __m128i d = xmm_get(cpu, i->reg);

    return sse_all_masked(cpu) ? fn(d, src) : fp_sse_trapping(cpu, i, fn, d, src, FP_SAFE);
}
#define COMPARE(op, kind)                                                                                              \
    SSE_REG(op, xmm_set(cpu, i->reg, compare(cpu, i, op##_kernels, src)))                                              \
    SSE_LOAD(op, kind, xmm_set(cpu, i->reg, compare(cpu, i, op##_kernels, src)))                                       \
    SSE_FORMS(forms_##op, op);
COMPARE(cmpps, V16)
COMPARE(cmppd, V16)
COMPARE(cmpss, V4)
COMPARE(cmpsd, V8)

/* ---- comparison into flags -------------------------------------------------------------------------------------- */

#define ORDER(op, kind)                                                                                                \
    SSE_ARITH(op, fp_##op, kind, FP_SAFE, sse_set_order(cpu, result))                                                  \
    SSE_FORMS(forms_##op, op);
ORDER(comiss, V4)
ORDER(comisd, V8)
ORDER(ucomiss, V4)
ORDER(ucomisd, V8)
