/* AES, PCLMULQDQ with their VEX forms, and SHA (Intel SDM vol. 1, 12.13; vol. 2). */
#include "accel-interp/avx.h"
#include "accel-interp/simd_crypto.h"

/* `result` is an expression over h, the first source, and src. */
#define CRYPTO_SSE(name, ...)                                                                                          \
    SSE_REG(name, const __m128i h = xmm_get(cpu, i->reg); (void)h; xmm_set(cpu, i->reg, __VA_ARGS__))                  \
    SSE_LOAD(name, V16, const __m128i h = xmm_get(cpu, i->reg); (void)h; xmm_set(cpu, i->reg, __VA_ARGS__))            \
    SSE_FORMS(forms_##name##_sse, name);
#define CRYPTO_AVX(name, ...)                                                                                          \
    AVX_BOTH(v##name, V16U, const __m128i h = xmm_get(cpu, insn_vvvv(i)); (void)h;                                     \
             ymm_set_low(cpu, i->reg, __VA_ARGS__))                                                                    \
    SSE_FORMS(forms_v##name##128, v##name);
#define CRYPTO_BOTH(name, ...)                                                                                         \
    CRYPTO_SSE(name, __VA_ARGS__)                                                                                      \
    CRYPTO_AVX(name, __VA_ARGS__)
/* The same lane by lane: low and high are expressions over h and src, struct ymm here. */
#define CRYPTO_AVX256(name, low, high)                                                                                 \
    AVX_BOTH256(v##name##256, V32U, const struct ymm h = ymm_get(cpu, insn_vvvv(i));                                   \
                ymm_set(cpu, i->reg, ymm_make(low, high)))                                                             \
    SSE_FORMS(forms_v##name##256, v##name##256);

#define ROUND(name, feature)                                                                                           \
    CRYPTO_BOTH(name, simd_##name(cpu->host_features, h, src))                                                         \
    CRYPTO_AVX256(name, simd_##name(cpu->host_features, h.lane[0], src.lane[0]),                                       \
                  simd_##name(cpu->host_features, h.lane[1], src.lane[1]))
SIMD_AES_ROUNDS(ROUND)
CRYPTO_BOTH(aesimc, simd_aesimc(cpu->host_features, src))
CRYPTO_BOTH(aeskeygenassist, simd_aeskeygenassist(cpu->host_features, src, insn_imm8(i)))
CRYPTO_BOTH(pclmulqdq, simd_pclmulqdq(cpu->host_features, h, src, insn_imm8(i)))
CRYPTO_AVX256(pclmulqdq, simd_pclmulqdq(cpu->host_features, h.lane[0], src.lane[0], insn_imm8(i)),
              simd_pclmulqdq(cpu->host_features, h.lane[1], src.lane[1], insn_imm8(i)))

#define SHA(name) CRYPTO_SSE(name, simd_##name(h, src))
SHA(sha1nexte)
SHA(sha1msg1)
SHA(sha1msg2)
SHA(sha256msg1)
SHA(sha256msg2)
CRYPTO_SSE(sha1rnds4, simd_sha1rnds4(h, src, insn_imm8(i)))
CRYPTO_SSE(sha256rnds2, simd_sha256rnds2(h, src, xmm_get(cpu, 0)))
