/* AVX and AVX2: elements put elsewhere: broadcasts, permutations, unpacking, single elements, lanes (Intel SDM vol. 2). Those
 * of bytes and words inside lanes are in exec_avx_int*.c. */
#include "accel-interp/avx.h"

#define VVVV xmm_get(cpu, insn_vvvv(i))
#define IMM insn_imm8(i)

/* ---- doublewords and quadwords within a lane ----------------------------------------------------------------- */

/* Element n of the result is v's element index n (0..3). */
static inline __m128i select_dwords(__m128i v, __m128i index)
{
    const __m128i spread = _mm_mullo_epi32(index, _mm_set1_epi32(0x04040404));

    return _mm_shuffle_epi8(v, _mm_add_epi32(spread, _mm_set1_epi32(0x03020100)));
}
static inline __m128i imm_dwords(uint8_t imm)
{
    return _mm_set_epi32(imm >> 6 & 3, imm >> 4 & 3, imm >> 2 & 3, imm & 3);
}
static inline __m128i low_dword_indices(__m128i control)
{
    return _mm_and_si128(control, _mm_set1_epi32(3));
}
/* Quadwords: bit 1 of each control element chooses. */
static inline __m128i select_quads(__m128i v, __m128i control)
{
    const __m128d low = _mm_castsi128_pd(_mm_unpacklo_epi64(v, v)), high = _mm_castsi128_pd(_mm_unpackhi_epi64(v, v));

    return _mm_castpd_si128(_mm_blendv_pd(low, high, _mm_castsi128_pd(_mm_slli_epi64(control, 62))));
}
static inline __m128i imm_quads(unsigned imm)
{
    return _mm_set_epi64x(imm & 2, (imm & 1) << 1);
}

static inline __m128i permilps(__m128i v, __m128i control)
{
    return select_dwords(v, low_dword_indices(control));
}
static inline __m128i shufps(__m128i h, __m128i w, uint8_t imm)
{
    const __m128i index = imm_dwords(imm);

    return _mm_blend_epi16(select_dwords(h, index), select_dwords(w, index), 0xF0);
}
static inline __m128i shufpd(__m128i h, __m128i w, unsigned imm)
{
    return _mm_blend_epi16(select_quads(h, imm_quads(imm)), select_quads(w, imm_quads(imm)), 0xF0);
}

AVX_BINARY(vpermilps, permilps)
AVX_BINARY(vpermilpd, select_quads)
#define PERMILPS_IMM(v) select_dwords(v, imm_dwords(IMM))
AVX_UNARY(vpermilps_imm, PERMILPS_IMM)
AVX_BOTH(vpermilpd_imm128, V16U, ymm_set_low(cpu, i->reg, select_quads(src, imm_quads(IMM))))
AVX_BOTH256(vpermilpd_imm256, V32U,
            ymm_set(cpu, i->reg,
                    ymm_make(select_quads(src.lane[0], imm_quads(IMM)),
                             select_quads(src.lane[1], imm_quads(IMM >> 2)))))
#define SHUFPS_IMM(h, w) shufps(h, w, IMM)
AVX_BINARY(vshufps, SHUFPS_IMM)
AVX_BOTH(vshufpd128, V16U, ymm_set_low(cpu, i->reg, shufpd(VVVV, src, IMM)))
AVX_BOTH256(vshufpd256, V32U, const struct ymm h = ymm_get(cpu, insn_vvvv(i));
            ymm_set(cpu, i->reg,
                    ymm_make(shufpd(h.lane[0], src.lane[0], IMM), shufpd(h.lane[1], src.lane[1], IMM >> 2))))
AVX_BINARY(vunpcklps, _mm_unpacklo_epi32)
AVX_BINARY(vunpckhps, _mm_unpackhi_epi32)
AVX_BINARY(vunpcklpd, _mm_unpacklo_epi64)
AVX_BINARY(vunpckhpd, _mm_unpackhi_epi64)
AVX_FORMS_BOTH(vpermilps);
AVX_FORMS_BOTH(vpermilpd);
AVX_FORMS_BOTH(vpermilps_imm);
AVX_FORMS_BOTH(vpermilpd_imm);
AVX_FORMS_BOTH(vshufps);
AVX_FORMS_BOTH(vshufpd);
AVX_FORMS_BOTH(vunpcklps);
AVX_FORMS_BOTH(vunpckhps);
AVX_FORMS_BOTH(vunpcklpd);
AVX_FORMS_BOTH(vunpckhpd);

/* ---- over both lanes ------------------------------------------------------------------------------------------ */

/* Doublewords of a by the low three bits of each index. */
static inline __m128i select_of_eight(struct ymm v, __m128i index)
{
    const __m128i within = low_dword_indices(index);
    const __m128 low = _mm_castsi128_ps(select_dwords(v.lane[0], within));
    const __m128 high = _mm_castsi128_ps(select_dwords(v.lane[1], within));

    return _mm_castps_si128(_mm_blendv_ps(low, high, _mm_castsi128_ps(_mm_slli_epi32(index, 29))));
}
static inline uint64_t quad_of(struct ymm v, unsigned number)
{
    const __m128i lane = v.lane[number >> 1 & 1];

    return (uint64_t)(number & 1 ? _mm_extract_epi64(lane, 1) : _mm_cvtsi128_si64(lane));
}
static inline struct ymm permq(struct ymm v, unsigned imm)
{
    return ymm_make(_mm_set_epi64x((long long)quad_of(v, imm >> 2), (long long)quad_of(v, imm)),
                    _mm_set_epi64x((long long)quad_of(v, imm >> 6), (long long)quad_of(v, imm >> 4)));
}
static inline __m128i perm2_lane(struct ymm h, struct ymm w, unsigned control)
{
    const __m128i of_h = control & 1 ? h.lane[1] : h.lane[0], of_w = control & 1 ? w.lane[1] : w.lane[0];

    return control & 8 ? _mm_setzero_si128() : control & 2 ? of_w : of_h;
}

AVX_BOTH256(vpermd, V32U, const struct ymm index = ymm_get(cpu, insn_vvvv(i));
            ymm_set(cpu, i->reg, ymm_make(select_of_eight(src, index.lane[0]), select_of_eight(src, index.lane[1]))))
AVX_BOTH256(vpermq, V32U, ymm_set(cpu, i->reg, permq(src, IMM)))
AVX_BOTH256(vperm2f128, V32U, const struct ymm h = ymm_get(cpu, insn_vvvv(i));
            ymm_set(cpu, i->reg, ymm_make(perm2_lane(h, src, IMM), perm2_lane(h, src, IMM >> 4))))
AVX_BOTH(vinsertf128, V16U, struct ymm v = ymm_get(cpu, insn_vvvv(i));
         ymm_set(cpu, i->reg, IMM & 1 ? ymm_make(v.lane[0], src) : ymm_make(src, v.lane[1])))
AVX_REG(vextractf128, ymm_set_low(cpu, i->rm, IMM & 1 ? xmm_get_high(cpu, i->reg) : xmm_get(cpu, i->reg)); (void)src)
AVX_STORE(vextractf128, V16U, IMM & 1 ? xmm_get_high(cpu, i->reg) : xmm_get(cpu, i->reg))
SSE_FORMS(forms_vpermd, vpermd);
SSE_FORMS(forms_vpermq, vpermq);
SSE_FORMS(forms_vperm2f128, vperm2f128);
SSE_FORMS(forms_vinsertf128, vinsertf128);
SSE_FORMS(forms_vextractf128, vextractf128);

/* ---- broadcasts ----------------------------------------------------------------------------------------------- */

#define BROADCAST(name, kind, value)                                                                                   \
    AVX_BOTH(name##128, kind, ymm_set_low(cpu, i->reg, value))                                                         \
    AVX_BOTH(name##256, kind, ymm_set(cpu, i->reg, ymm_make(value, value)))                                            \
    AVX_FORMS_BOTH(name)
BROADCAST(vbroadcastss, V4, _mm_shuffle_epi32(src, 0));
BROADCAST(vbroadcastsd, V8, _mm_unpacklo_epi64(src, src));
BROADCAST(vpbroadcastb, V1, _mm_shuffle_epi8(src, _mm_setzero_si128()));
BROADCAST(vpbroadcastw, V2, _mm_shuffle_epi8(src, _mm_set1_epi16(0x0100)));
AVX_LOAD(vbroadcastf128, V16U, ymm_set(cpu, i->reg, ymm_make(src, src)))
SSE_FORMS_MEM(forms_vbroadcastf128, vbroadcastf128);

/* ---- single elements ------------------------------------------------------------------------------------------ */

static uint64_t element(const struct interp *cpu, unsigned vector, unsigned number, unsigned bits)
{
    unsigned at = number * bits;

    return cpu->s.vector[vector].q[at / 64 & 1] >> at % 64;
}
/* vvvv with one element replaced, to reg. */
static void insert(struct interp *cpu, const struct insn *i, unsigned bits, uint64_t value)
{
    uint64_t mask = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
    unsigned at = insn_imm8(i) * bits % 128;
    uint64_t *q = cpu->s.vector[i->reg].q;

    ymm_set_low(cpu, i->reg, xmm_get(cpu, insn_vvvv(i)));
    q[at / 64] = (q[at / 64] & ~(mask << at % 64)) | (value & mask) << at % 64;
}

/* PEXTR: bits of the element, bits of the register written. */
#define EXTRACT(name, bits, register_bits)                                                                             \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        reg_set##register_bits(cpu, i->rm, (uint##bits##_t)element(cpu, i->reg, IMM, bits));                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        st##bits(cpu, i, ea_general(cpu, i, (bits) / 8, TLB_WRITE), (uint##bits##_t)element(cpu, i->reg, IMM, bits));  \
        NEXT;                                                                                                          \
    }
#define INSERT(name, bits)                                                                                             \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        insert(cpu, i, bits, reg_get64(cpu, i->rm));                                                                   \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        insert(cpu, i, bits, ld##bits(cpu, i, ea_general(cpu, i, (bits) / 8, TLB_READ)));                              \
        NEXT;                                                                                                          \
    }
EXTRACT(vpextrb, 8, 32)
EXTRACT(vpextrw, 16, 32)
EXTRACT(vpextrd, 32, 32)
EXTRACT(vpextrq, 64, 64)
INSERT(vpinsrb, 8)
INSERT(vpinsrw, 16)
INSERT(vpinsrd, 32)
INSERT(vpinsrq, 64)
EXEC_STATIC(vpextrw_gu)
{
    AVX_CHECK();
    reg_set32(cpu, i->reg, (uint16_t)element(cpu, i->rm, IMM, 16));
    NEXT;
}
#define ROWS_W(table, name, wide)                                                                                      \
    const struct insn_forms table = {.fn = {FORMS_ROW_(name##_reg, name##_mem), FORMS_ROW_(name##_reg, name##_mem),    \
                                            FORMS_ROW_(name##_reg, name##_mem), FORMS_ROW_(wide##_reg, wide##_mem)}}
FORMS_RM(forms_vpextrb, vpextrb_reg, vpextrb_mem);
FORMS_RM(forms_vpextrw, vpextrw_reg, vpextrw_mem);
ROWS_W(forms_vpextrd, vpextrd, vpextrq);
FORMS_RM(forms_vextractps, vpextrd_reg, vpextrd_mem);
FORMS_RM(forms_vpinsrb, vpinsrb_reg, vpinsrb_mem);
FORMS_RM(forms_vpinsrw, vpinsrw_reg, vpinsrw_mem);
ROWS_W(forms_vpinsrd, vpinsrd, vpinsrq);
FORMS_RM(forms_vpextrw_gu, vpextrw_gu, 0);

/* INSERTPS: imm8[7:6] source element (of a register), [5:4] place, [3:0] elements to clear. */
static void insertps(struct interp *cpu, const struct insn *i, uint32_t value)
{
    uint64_t *q = cpu->s.vector[i->reg].q;
    unsigned place = IMM >> 4 & 3;

    ymm_set_low(cpu, i->reg, VVVV);
    q[place / 2] = (q[place / 2] & ~(0xFFFFFFFFull << place % 2 * 32)) | (uint64_t)value << place % 2 * 32;
    for (unsigned n = 0; n < 4; n++)
        if (IMM >> n & 1)
            q[n / 2] &= ~(0xFFFFFFFFull << n % 2 * 32);
}
EXEC_STATIC(vinsertps_reg)
{
    AVX_CHECK();
    insertps(cpu, i, (uint32_t)element(cpu, i->rm, IMM >> 6, 32));
    NEXT;
}
EXEC_STATIC(vinsertps_mem)
{
    AVX_CHECK();
    insertps(cpu, i, ld32(cpu, i, ea_general(cpu, i, 4, TLB_READ)));
    NEXT;
}
FORMS_RM(forms_vinsertps, vinsertps_reg, vinsertps_mem);
