/* AES (FIPS 197), carry-less multiplication and SHA (FIPS 180-4) as the instructions cut them up: kernels on 128-bit
 * values. `host` is cpu->host_features: with the host's own instruction where it has it, else in portable C; the same bits.
 * The assembly is volatile so that it stays behind the question. SHA is portable alone. */
#ifndef VMRR_ACCEL_INTERP_SIMD_CRYPTO_H
#define VMRR_ACCEL_INTERP_SIMD_CRYPTO_H

#include "accel-interp/host_features.h"
#include "accel-interp/simd_host.h"

#include <stdint.h>

#if SIMD_HOST_X86
#define SIMD_NATIVE_(feature, insn)                                                                                    \
    if (__builtin_expect(host & (feature), 1)) {                                                                       \
        __asm__ volatile(insn " %1, %0" : "+x"(d) : "x"(s));                                                           \
        return d;                                                                                                      \
    }
#else
#define SIMD_NATIVE_(feature, insn) (void)host;
#endif

/* X(name, feature): of destination and source. */
#define SIMD_AES_ROUNDS(X)                                                                                             \
    X(aesenc, HOST_AES)                                                                                                \
    X(aesenclast, HOST_AES)                                                                                            \
    X(aesdec, HOST_AES)                                                                                                \
    X(aesdeclast, HOST_AES)

#define SIMD_CRYPTO_KERNEL_(name, feature)                                                                             \
    __m128i simd_##name##_portable(__m128i d, __m128i s);                                                              \
    static inline __m128i simd_##name(uint32_t host, __m128i d, __m128i s)                                             \
    {                                                                                                                  \
        SIMD_NATIVE_(feature, #name)                                                                                   \
        return simd_##name##_portable(d, s);                                                                           \
    }
SIMD_AES_ROUNDS(SIMD_CRYPTO_KERNEL_)

__m128i simd_aesimc_portable(__m128i s);
static inline __m128i simd_aesimc(uint32_t host, __m128i s)
{
    __m128i d = s;

    SIMD_NATIVE_(HOST_AES, "aesimc")
    return simd_aesimc_portable(d);
}

__m128i simd_aeskeygenassist_portable(__m128i s);
static inline __m128i simd_aeskeygenassist(uint32_t host, __m128i s, unsigned imm)
{
    const __m128i constant = _mm_set_epi32((int)imm, 0, (int)imm, 0);
#if SIMD_HOST_X86
    if (__builtin_expect(host & HOST_AES, 1)) {
        __m128i d;
        __asm__ volatile("aeskeygenassist $0, %1, %0" : "=x"(d) : "x"(s));
        return _mm_xor_si128(d, constant);
    }
#else
    (void)host;
#endif
    return _mm_xor_si128(simd_aeskeygenassist_portable(s), constant);
}

/* The low quadwords. */
__m128i simd_pclmul_portable(__m128i d, __m128i s);
static inline __m128i simd_pclmul_low(uint32_t host, __m128i d, __m128i s)
{
    SIMD_NATIVE_(HOST_PCLMUL, "pclmulqdq $0,")
    return simd_pclmul_portable(d, s);
}
static inline __m128i simd_pclmulqdq(uint32_t host, __m128i d, __m128i s, unsigned imm)
{
    return simd_pclmul_low(host, imm & 1 ? _mm_srli_si128(d, 8) : d, imm & 0x10 ? _mm_srli_si128(s, 8) : s);
}

__m128i simd_sha1nexte(__m128i d, __m128i s);
__m128i simd_sha1msg1(__m128i d, __m128i s);
__m128i simd_sha1msg2(__m128i d, __m128i s);
__m128i simd_sha256msg1(__m128i d, __m128i s);
__m128i simd_sha256msg2(__m128i d, __m128i s);
__m128i simd_sha1rnds4(__m128i d, __m128i s, unsigned function); /* its low two bits */
__m128i simd_sha256rnds2(__m128i d, __m128i s, __m128i wk);      /* wk: XMM0 */

#endif
