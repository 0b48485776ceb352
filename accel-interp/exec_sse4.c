/* SSE4.1 and SSE4.2: what is not in the lists of simd.h (Intel SDM vol. 1, 12.10 and 12.11). PCMPxSTRx is in
 * exec_sse_string.c. */
#include "accel-interp/avx.h"
#include "accel-interp/simd.h"

/* ---- vectors ---------------------------------------------------------------------------------------------------- */

/* Widening: from as many bytes of memory as it takes. */
#define EXTEND(name, fn, bytes)                                                                                        \
    SSE_REG(name, xmm_set(cpu, i->reg, fn(src)))                                                                       \
    SSE_LOAD(name, V##bytes, xmm_set(cpu, i->reg, fn(src)))                                                            \
    SSE_FORMS(forms_##name##_sse, name);
SIMD_EXTEND(EXTEND)

SSE_REG(phminposuw, xmm_set(cpu, i->reg, _mm_minpos_epu16(src)))
SSE_LOAD(phminposuw, V16, xmm_set(cpu, i->reg, _mm_minpos_epu16(src)))
SSE_FORMS(forms_phminposuw_sse, phminposuw);

/* The mask is XMM0. */
SSE_REG(pblendvb, xmm_set(cpu, i->reg, _mm_blendv_epi8(xmm_get(cpu, i->reg), src, xmm_get(cpu, 0))))
SSE_LOAD(pblendvb, V16, xmm_set(cpu, i->reg, _mm_blendv_epi8(xmm_get(cpu, i->reg), src, xmm_get(cpu, 0))))
SSE_FORMS(forms_pblendvb_sse, pblendvb);

SSE_REG(ptest, const __m128i d = xmm_get(cpu, i->reg);
        flags_set_zf_cf(cpu, _mm_testz_si128(d, src), _mm_testc_si128(d, src)))
SSE_LOAD(ptest, V16, const __m128i d = xmm_get(cpu, i->reg);
         flags_set_zf_cf(cpu, _mm_testz_si128(d, src), _mm_testc_si128(d, src)))
SSE_FORMS(forms_ptest_sse, ptest);

SSE_LOAD(movntdqa, V16, xmm_set(cpu, i->reg, src))
SSE_FORMS_MEM(forms_movntdqa_sse, movntdqa);

/* ---- one element in and out -------------------------------------------------------------------------------------- */

/* Element n of 8 << log2 bits. */
static inline uint64_t element_get(const struct interp *cpu, unsigned vector, unsigned n, unsigned log2)
{
    return cpu->s.vector[vector].q[n << log2 >> 3 & 1] >> (n << log2 & 7) * 8;
}
static inline void element_set(struct interp *cpu, unsigned vector, unsigned n, unsigned log2, uint64_t value)
{
    uint64_t *q = &cpu->s.vector[vector].q[n << log2 >> 3 & 1], mask = UINT64_MAX >> (64 - (8 << log2));
    unsigned shift = (n << log2 & 7) * 8;

    *q = (*q & ~(mask << shift)) | (value & mask) << shift;
}

#define INSERT(name, log2, bits)                                                                                       \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        element_set(cpu, i->reg, insn_imm8(i), log2, reg_get64(cpu, i->rm));                                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        element_set(cpu, i->reg, insn_imm8(i), log2, ld##bits(cpu, i, ea_general(cpu, i, (bits) / 8, TLB_READ)));      \
        NEXT;                                                                                                          \
    }
/* To a register: zero-extended. */
#define EXTRACT(name, log2, bits)                                                                                      \
    EXEC_STATIC(name##_reg)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        reg_set64(cpu, i->rm, (uint##bits##_t)element_get(cpu, i->reg, insn_imm8(i), log2));                           \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_mem)                                                                                            \
    {                                                                                                                  \
        SSE_CHECK();                                                                                                   \
        uint64_t linear = ea_general(cpu, i, (bits) / 8, TLB_WRITE);                                                   \
        st##bits(cpu, i, linear, (uint##bits##_t)element_get(cpu, i->reg, insn_imm8(i), log2));                        \
        NEXT;                                                                                                          \
    }
#define FORMS_D_OR_Q(table, name)                                                                                      \
    const struct insn_forms table = {                                                                                  \
        .fn = {FORMS_ROW_(name##d_reg, name##d_mem), FORMS_ROW_(name##d_reg, name##d_mem),                             \
               FORMS_ROW_(name##d_reg, name##d_mem), FORMS_ROW_(name##q_reg, name##q_mem)}}
INSERT(pinsrb, 0, 8)
INSERT(pinsrd, 2, 32)
INSERT(pinsrq, 3, 64)
EXTRACT(pextrb, 0, 8)
EXTRACT(pextrw, 1, 16)
EXTRACT(pextrd, 2, 32)
EXTRACT(pextrq, 3, 64)
FORMS_RM(forms_pinsrb_sse, pinsrb_reg, pinsrb_mem);
FORMS_RM(forms_pextrb_sse, pextrb_reg, pextrb_mem);
FORMS_RM(forms_pextrw_to_sse, pextrw_reg, pextrw_mem);
FORMS_RM(forms_extractps_sse, pextrd_reg, pextrd_mem);
FORMS_D_OR_Q(forms_pinsrd_sse, pinsr);
FORMS_D_OR_Q(forms_pextrd_sse, pextr);

/* ---- general registers ------------------------------------------------------------------------------------------- */

#define CRC32(bits, fn)                                                                                                \
    EXEC_REG(crc32_##bits, reg_set64(cpu, i->reg, fn(reg_get32(cpu, i->reg), reg_get##bits(cpu, i->rm))))              \
    EXEC_LOAD(crc32_##bits, bits, reg_set64(cpu, i->reg, fn(reg_get32(cpu, i->reg), src)))
CRC32(8, _mm_crc32_u8)
CRC32(16, _mm_crc32_u16)
CRC32(32, _mm_crc32_u32)
CRC32(64, _mm_crc32_u64)
const struct insn_forms forms_crc32_b = {
    .fn = {FORMS_ENTRY_(crc32_8), FORMS_ENTRY_(crc32_8), FORMS_ENTRY_(crc32_8), FORMS_ENTRY_(crc32_8)}};
FORMS_SIZES_NOT8(forms_crc32_v, crc32_);
