/* VEX forms of the packed-integer instructions, from the lists of simd.h: 128 bits, and 256 as two lanes (Intel SDM vol. 1,
 * 14.1 and 14.6). Strings, AES and PCLMULQDQ are with their legacy forms; what moves data between lanes is in
 * exec_avx_move.c and its neighbours. */
#include "accel-interp/avx.h"
#include "accel-interp/host_features.h"
#include "accel-interp/simd.h"

#define BINARY(name, fn)                                                                                               \
    AVX_BINARY(v##name, fn)                                                                                            \
    AVX_FORMS_BOTH(v##name);
SIMD_LANEWISE(BINARY)
SIMD_CROSSING(BINARY)

#define UNARY(name, fn)                                                                                                \
    AVX_UNARY(v##name, fn)                                                                                             \
    AVX_FORMS_BOTH(v##name);
SIMD_UNARY(UNARY)

/* Statements for 128 and 256 bits over `src` and the vector in vvvv, h. */
#define LANES(name, kernel, high_kernel)                                                                               \
    AVX_BOTH(v##name##128, V16U, const __m128i h = xmm_get(cpu, insn_vvvv(i));                                         \
             ymm_set_low(cpu, i->reg, kernel(h, src)))                                                                 \
    AVX_BOTH256(v##name##256, V32U, const struct ymm h = ymm_get(cpu, insn_vvvv(i));                                   \
                ymm_set(cpu, i->reg, ymm_make(kernel(h.lane[0], src.lane[0]), high_kernel(h.lane[1], src.lane[1]))))   \
    AVX_FORMS_BOTH(v##name);

/* ---- shifts ------------------------------------------------------------------------------------------------------ */

/* The count is in 128 bits for both lanes. */
#define SHIFT(name, fn)                                                                                                \
    AVX_BOTH(v##name##128, V16U, ymm_set_low(cpu, i->reg, fn(xmm_get(cpu, insn_vvvv(i)), src)))                        \
    AVX_BOTH(v##name##256, V16U, const struct ymm h = ymm_get(cpu, insn_vvvv(i));                                      \
             ymm_set(cpu, i->reg, ymm_make(fn(h.lane[0], src), fn(h.lane[1], src))))                                   \
    AVX_FORMS_BOTH(v##name);
SIMD_SHIFTS(SHIFT)

/* The destination is in vvvv. */
#define BY_IMMEDIATE(name, fn)                                                                                         \
    AVX_REG(v##name##128, ymm_set_low(cpu, insn_vvvv(i), fn(src, i)))                                                  \
    AVX_REG256(v##name##256, ymm_set(cpu, insn_vvvv(i), ymm_make(fn(src.lane[0], i), fn(src.lane[1], i))))             \
    SSE_FORMS_REG(forms_v##name##128, v##name##128);                                                                   \
    SSE_FORMS_REG(forms_v##name##256, v##name##256);
#define SHIFT_BY(name, fn)                                                                                             \
    static inline __m128i name##_by(__m128i s, const struct insn *i)                                                   \
    {                                                                                                                  \
        return fn(s, _mm_cvtsi32_si128(insn_imm8(i)));                                                                 \
    }                                                                                                                  \
    BY_IMMEDIATE(name##_imm, name##_by)
SIMD_SHIFTS(SHIFT_BY)
#define BYTES(s, i) simd_psrldq(s, insn_imm8(i))
BY_IMMEDIATE(psrldq, BYTES)
#undef BYTES
#define BYTES(s, i) simd_pslldq(s, insn_imm8(i))
BY_IMMEDIATE(pslldq, BYTES)

/* Each element by its own count: counts too large give 0, or the sign. */
#define SHIFT_EACH_PORTABLE(name, type, count, expression)                                                             \
    __attribute__((noinline)) static __m128i name##_portable(__m128i h, __m128i s)                                     \
    {                                                                                                                  \
        type value[count], by[count];                                                                                  \
        memcpy(value, &h, sizeof value);                                                                               \
        memcpy(by, &s, sizeof by);                                                                                     \
        for (unsigned n = 0; n < (count); n++)                                                                         \
            value[n] = expression;                                                                                     \
        memcpy(&h, value, sizeof value);                                                                               \
        return h;                                                                                                      \
    }
SHIFT_EACH_PORTABLE(psllvd, uint32_t, 4, by[n] > 31 ? 0 : value[n] << by[n])
SHIFT_EACH_PORTABLE(psllvq, uint64_t, 2, by[n] > 63 ? 0 : value[n] << by[n])
SHIFT_EACH_PORTABLE(psrlvd, uint32_t, 4, by[n] > 31 ? 0 : value[n] >> by[n])
SHIFT_EACH_PORTABLE(psrlvq, uint64_t, 2, by[n] > 63 ? 0 : value[n] >> by[n])
SHIFT_EACH_PORTABLE(psravd, uint32_t, 4, (uint32_t)((int32_t)value[n] >> (by[n] > 31 ? 31 : by[n])))

/* The host's instruction on 128 bits leaves the upper halves of its registers clear. */
#if SIMD_HOST_X86
#define SHIFT_EACH_HOST(insn)                                                                                          \
    if (LIKELY(cpu->host_features & HOST_AVX2)) {                                                                      \
        __m128i result;                                                                                                \
        __asm__ volatile("v" insn " %2, %1, %0" : "=x"(result) : "x"(h), "x"(s));                                      \
        return result;                                                                                                 \
    }
#else
#define SHIFT_EACH_HOST(insn) (void)cpu;
#endif
#define SHIFT_EACH(name)                                                                                               \
    static inline __m128i name##_each(const struct interp *cpu, __m128i h, __m128i s)                                  \
    {                                                                                                                  \
        SHIFT_EACH_HOST(#name)                                                                                         \
        return name##_portable(h, s);                                                                                  \
    }
SHIFT_EACH(psllvd)
SHIFT_EACH(psllvq)
SHIFT_EACH(psrlvd)
SHIFT_EACH(psrlvq)
SHIFT_EACH(psravd)
#define PSLLVD(h, s) psllvd_each(cpu, h, s)
#define PSLLVQ(h, s) psllvq_each(cpu, h, s)
#define PSRLVD(h, s) psrlvd_each(cpu, h, s)
#define PSRLVQ(h, s) psrlvq_each(cpu, h, s)
#define PSRAVD(h, s) psravd_each(cpu, h, s)
LANES(psllvd, PSLLVD, PSLLVD)
LANES(psllvq, PSLLVQ, PSLLVQ)
LANES(psrlvd, PSRLVD, PSRLVD)
LANES(psrlvq, PSRLVQ, PSRLVQ)
LANES(psravd, PSRAVD, PSRAVD)

/* ---- by an immediate --------------------------------------------------------------------------------------------- */

#define SHUFFLE(name, fn)                                                                                              \
    AVX_BOTH(v##name##128, V16U, ymm_set_low(cpu, i->reg, fn(src, insn_imm8(i))))                                      \
    AVX_BOTH256(v##name##256, V32U,                                                                                    \
                ymm_set(cpu, i->reg, ymm_make(fn(src.lane[0], insn_imm8(i)), fn(src.lane[1], insn_imm8(i)))))          \
    AVX_FORMS_BOTH(v##name);
SIMD_SHUFFLES(SHUFFLE)

#define PALIGNR(h, s) simd_palignr(h, s, insn_imm8(i))
#define PBLENDW(h, s) simd_pblendw(h, s, insn_imm8(i))
#define PBLENDD(h, s) simd_pblendd(h, s, insn_imm8(i))
#define PBLENDD_HIGH(h, s) simd_pblendd(h, s, insn_imm8(i) >> 4)
#define MPSADBW(h, s) simd_mpsadbw(h, s, insn_imm8(i))
#define MPSADBW_HIGH(h, s) simd_mpsadbw(h, s, insn_imm8(i) >> 3)
LANES(palignr, PALIGNR, PALIGNR)
LANES(pblendw, PBLENDW, PBLENDW)
LANES(pblendd, PBLENDD, PBLENDD_HIGH)
LANES(mpsadbw, MPSADBW, MPSADBW_HIGH)

#define PBLENDVB(h, s) _mm_blendv_epi8(h, s, xmm_get(cpu, insn_imm_register(i)))
#define PBLENDVB_HIGH(h, s) _mm_blendv_epi8(h, s, xmm_get_high(cpu, insn_imm_register(i)))
LANES(pblendvb, PBLENDVB, PBLENDVB_HIGH)

/* ---- others ------------------------------------------------------------------------------------------------------ */

/* Widening to 256 bits takes twice as much memory. */
#define TWICE_V8 V16U
#define TWICE_V4 V8
#define TWICE_V2 V4
#define EXTEND_(name, fn, bytes, kind, wide)                                                                           \
    AVX_BOTH(v##name##128, kind, ymm_set_low(cpu, i->reg, fn(src)))                                                    \
    AVX_BOTH(v##name##256, wide, ymm_set(cpu, i->reg, ymm_make(fn(src), fn(_mm_srli_si128(src, bytes)))))              \
    AVX_FORMS_BOTH(v##name);
#define EXTEND__(name, fn, bytes, kind, wide) EXTEND_(name, fn, bytes, kind, wide)
#define EXTEND(name, fn, bytes) EXTEND__(name, fn, bytes, V##bytes, TWICE_V##bytes)
SIMD_EXTEND(EXTEND)

AVX_BOTH(vphminposuw128, V16U, ymm_set_low(cpu, i->reg, _mm_minpos_epu16(src)))
SSE_FORMS(forms_vphminposuw128, vphminposuw128);

AVX_BOTH(vptest128, V16U, const __m128i d = xmm_get(cpu, i->reg);
         flags_set_zf_cf(cpu, _mm_testz_si128(d, src), _mm_testc_si128(d, src)))
AVX_BOTH256(vptest256, V32U, const struct ymm d = ymm_get(cpu, i->reg);
            flags_set_zf_cf(cpu, _mm_testz_si128(d.lane[0], src.lane[0]) & _mm_testz_si128(d.lane[1], src.lane[1]),
                            _mm_testc_si128(d.lane[0], src.lane[0]) & _mm_testc_si128(d.lane[1], src.lane[1])))
AVX_FORMS_BOTH(vptest);
