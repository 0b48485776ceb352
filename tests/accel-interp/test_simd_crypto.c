/* The kernels of AES and SHA: examples of FIPS 197 and FIPS 180-4 put together from the instructions; and SHA against the
 * standard's own formulas, and as instructions. AES with the portable kernels, and with the host's where it has them. */
#include "accel-interp/simd_crypto.h"
#include "tests/accel-interp/cpu_test.h"

/* _i of the test of AES: 0 portable, 1 the host's. */
static uint32_t kernels(int n)
{
    return n ? host_features() : 0;
}

static __m128i load(const void *bytes)
{
    return _mm_loadu_si128(bytes);
}
/* Four words, the first on top. */
static __m128i words(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    return _mm_set_epi32((int)a, (int)b, (int)c, (int)d);
}
static uint32_t word(__m128i v, unsigned n)
{
    uint32_t w[4];

    memcpy(w, &v, sizeof w);
    return w[n];
}

/* ---- AES -------------------------------------------------------------------------------------------------------- */

static __m128i next_key(__m128i key, __m128i assist)
{
    key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
    key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
    return _mm_xor_si128(key, _mm_shuffle_epi32(assist, 0xFF));
}

/* FIPS 197, appendix C.1. */
START_TEST(aes128_example)
{
    static const uint8_t plain[16] = {0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77,
                                      0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF};
    static const uint8_t cipher[16] = {0x69, 0xC4, 0xE0, 0xD8, 0x6A, 0x7B, 0x04, 0x30,
                                       0xD8, 0xCD, 0xB7, 0x80, 0x70, 0xB4, 0xC5, 0x5A};
    static const uint8_t key[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const uint8_t constants[10] = {1, 2, 4, 8, 16, 32, 64, 128, 0x1B, 0x36};
    const uint32_t host = kernels(_i);
    __m128i schedule[11] = {load(key)}, v;

    for (unsigned n = 0; n < 10; n++)
        schedule[n + 1] = next_key(schedule[n], simd_aeskeygenassist(host, schedule[n], constants[n]));
    v = _mm_xor_si128(load(plain), schedule[0]);
    for (unsigned n = 1; n < 10; n++)
        v = simd_aesenc(host, v, schedule[n]);
    v = simd_aesenclast(host, v, schedule[10]);
    ck_assert_mem_eq(&v, cipher, 16);

    v = _mm_xor_si128(v, schedule[10]);
    for (unsigned n = 9; n > 0; n--)
        v = simd_aesdec(host, v, simd_aesimc(host, schedule[n]));
    v = simd_aesdeclast(host, v, schedule[0]);
    ck_assert_mem_eq(&v, plain, 16);
}
END_TEST

/* ---- SHA-1 ------------------------------------------------------------------------------------------------------ */

static const uint8_t abc[64] = {'a', 'b', 'c', 0x80, [63] = 24};

static __m128i big_endian(const uint8_t *bytes)
{
    return _mm_shuffle_epi8(load(bytes), _mm_set_epi32(0x00010203, 0x04050607, 0x08090A0B, 0x0C0D0E0F));
}

/* One block; state: A B C D E. */
static void sha1_block(uint32_t state[5], const uint8_t block[64])
{
    __m128i abcd = words(state[0], state[1], state[2], state[3]), first = abcd, e = words(state[4], 0, 0, 0), w[20];
    __m128i before = abcd;

    for (unsigned n = 0; n < 4; n++)
        w[n] = big_endian(block + 16 * n);
    for (unsigned n = 4; n < 20; n++) {
        __m128i x = _mm_xor_si128(simd_sha1msg1(w[n - 4], w[n - 3]), w[n - 2]);
        w[n] = simd_sha1msg2(x, w[n - 1]);
    }
    for (unsigned n = 0; n < 20; n++) {
        __m128i input = n ? simd_sha1nexte(before, w[n]) : _mm_add_epi32(e, w[0]);
        before = abcd;
        abcd = simd_sha1rnds4(abcd, input, n / 5);
    }
    e = simd_sha1nexte(before, e);
    abcd = _mm_add_epi32(abcd, first);
    for (unsigned n = 0; n < 4; n++)
        state[n] = word(abcd, 3 - n);
    state[4] = word(e, 3);
}

START_TEST(sha1_example)
{
    static const uint32_t digest[5] = {0xA9993E36, 0x4706816A, 0xBA3E2571, 0x7850C26C, 0x9CD0D89D};
    uint32_t state[5] = {0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476, 0xC3D2E1F0};

    sha1_block(state, abc);
    ck_assert_mem_eq(state, digest, sizeof digest);
}
END_TEST

/* ---- SHA-256 ---------------------------------------------------------------------------------------------------- */

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static void sha256_constants(uint32_t k[64])
{
    unsigned count = 0;

    for (uint64_t n = 2; count < 64; n++) {
        uint64_t divisor = 2, root = 0;
        while (divisor * divisor <= n && n % divisor)
            divisor++;
        if (divisor * divisor <= n)
            continue;
        for (uint64_t bit = 1ull << 34; bit; bit >>= 1) { /* floor of the cube root of n << 96 */
            unsigned __int128 r = root | bit;
            if (r * r * r <= (unsigned __int128)n << 96)
                root |= bit;
        }
        k[count++] = (uint32_t)root;
    }
}

static void sha256_block(uint32_t state[8], const uint8_t block[64])
{
    __m128i abef = words(state[0], state[1], state[4], state[5]), cdgh = words(state[2], state[3], state[6], state[7]);
    const __m128i first_abef = abef, first_cdgh = cdgh;
    uint32_t k[64];
    __m128i w[16];

    sha256_constants(k);
    for (unsigned n = 0; n < 4; n++)
        w[n] = _mm_shuffle_epi32(big_endian(block + 16 * n), 0x1B);
    for (unsigned n = 4; n < 16; n++) {
        __m128i x = _mm_add_epi32(simd_sha256msg1(w[n - 4], w[n - 3]), _mm_alignr_epi8(w[n - 1], w[n - 2], 4));
        w[n] = simd_sha256msg2(x, w[n - 1]);
    }
    for (unsigned n = 0; n < 16; n++) {
        __m128i wk = _mm_add_epi32(w[n], load(k + 4 * n));
        cdgh = simd_sha256rnds2(cdgh, abef, wk);
        abef = simd_sha256rnds2(abef, cdgh, _mm_srli_si128(wk, 8));
    }
    abef = _mm_add_epi32(abef, first_abef);
    cdgh = _mm_add_epi32(cdgh, first_cdgh);
    for (unsigned n = 0; n < 2; n++) {
        state[n] = word(abef, 3 - n);
        state[n + 4] = word(abef, 1 - n);
        state[n + 2] = word(cdgh, 3 - n);
        state[n + 6] = word(cdgh, 1 - n);
    }
}

static const uint32_t sha256_start[8] = {0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A,
                                         0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19};

START_TEST(sha256_example)
{
    static const uint32_t digest[8] = {0xBA7816BF, 0x8F01CFEA, 0x414140DE, 0x5DAE2223,
                                       0xB00361A3, 0x96177A9C, 0xB410FF61, 0xF20015AD};
    uint32_t state[8];

    memcpy(state, sha256_start, sizeof state);
    sha256_block(state, abc);
    ck_assert_mem_eq(state, digest, sizeof digest);
}
END_TEST

/* ---- against the formulas ----------------------------------------------------------------------------------------- */

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static void sha1_formulas(uint32_t h[5], const uint8_t block[64])
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];

    for (unsigned t = 0; t < 80; t++) {
        static const uint32_t constants[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
        uint32_t f = t < 20 ? (b & c) | (~b & d) : t >= 40 && t < 60 ? (b & c) | (b & d) | (c & d) : b ^ c ^ d;
        const uint8_t *p = block + 4 * t;
        w[t] = t < 16 ? (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3]
                      : rotate(w[t - 3] ^ w[t - 8] ^ w[t - 14] ^ w[t - 16], 1);
        uint32_t next = rotate(a, 5) + f + e + constants[t / 20] + w[t];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = next;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

static void sha256_formulas(uint32_t h[8], const uint8_t block[64])
{
    uint32_t w[64], k[64], v[8];

    sha256_constants(k);
    memcpy(v, h, sizeof v);
    for (unsigned t = 0; t < 64; t++) {
        const uint8_t *p = block + 4 * t;
        if (t < 16) {
            w[t] = (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
        } else {
            uint32_t x = w[t - 15], y = w[t - 2];
            w[t] = (rotate(x, 25) ^ rotate(x, 14) ^ x >> 3) + w[t - 16] + (rotate(y, 15) ^ rotate(y, 13) ^ y >> 10) +
                   w[t - 7];
        }
        uint32_t t1 = v[7] + (rotate(v[4], 26) ^ rotate(v[4], 21) ^ rotate(v[4], 7)) +
                      ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[t] + w[t];
        uint32_t t2 =
            (rotate(v[0], 30) ^ rotate(v[0], 19) ^ rotate(v[0], 10)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        memmove(v + 1, v, 7 * sizeof v[0]);
        v[4] += t1;
        v[0] = t1 + t2;
    }
    for (unsigned n = 0; n < 8; n++)
        h[n] += v[n];
}

START_TEST(sha_random_blocks)
{
    uint64_t random = 0x9E3779B97F4A7C15ull;
    uint32_t a1[5] = {1, 2, 3, 4, 5}, b1[5] = {1, 2, 3, 4, 5}, a256[8], b256[8];

    memcpy(a256, sha256_start, sizeof a256);
    memcpy(b256, sha256_start, sizeof b256);
    for (unsigned n = 0; n < 200; n++) {
        uint8_t block[64];
        for (unsigned at = 0; at < 64; at++) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            block[at] = (uint8_t)(random >> 56);
        }
        sha1_block(a1, block);
        sha1_formulas(b1, block);
        ck_assert_mem_eq(a1, b1, sizeof a1);
        sha256_block(a256, block);
        sha256_formulas(b256, block);
        ck_assert_mem_eq(a256, b256, sizeof a256);
    }
}
END_TEST

/* xmm1 and xmm2 or memory, and what is implied: each instruction against its kernel. */
START_TEST(sha_instructions)
{
    static const uint8_t last[] = {0xC8, 0xC9, 0xCA, 0xCB, 0xCC, 0xCD};
    const bool memory = _i;
    const uint8_t modrm = memory ? 0x08 : 0xCA; /* xmm1 with [rax] or xmm2 */

    for (unsigned n = 0; n < 10; n++) {
        struct cpu_test t = t_create();
        __m128i v[3], expected;
        t_long(&t, 0);
        for (unsigned at = 0; at < 3; at++) {
            v[at] = words(0x01234567 * (at + 3), 0x89ABCDEF, 0xFEDCBA98 + at, 0x76543210);
            memcpy(t.s.vector[at].q, &v[at], 16);
        }
        for (unsigned at = 0; at < 4; at++)
            t_put(&t, T_DATA + 4 * at, word(v[2], at), 4);
        t.s.gpr[CPU_RAX] = T_DATA;
        const uint8_t two[] = {0x0F, 0x38, last[n % 6], modrm, 0xF4};
        const uint8_t rounds[] = {0x0F, 0x3A, 0xCC, modrm, (uint8_t)(0xFC + n - 6), 0xF4}; /* SHA1RNDS4, all of imm8 */
        memory_write(t.memory, T_CODE, n < 6 ? two : rounds, n < 6 ? sizeof two : sizeof rounds);
        t_run(&t);
        ck_assert_int_eq(t.vector, -1);
        switch (n) {
        case 0: expected = simd_sha1nexte(v[1], v[2]); break;
        case 1: expected = simd_sha1msg1(v[1], v[2]); break;
        case 2: expected = simd_sha1msg2(v[1], v[2]); break;
        case 3: expected = simd_sha256rnds2(v[1], v[2], v[0]); break;
        case 4: expected = simd_sha256msg1(v[1], v[2]); break;
        case 5: expected = simd_sha256msg2(v[1], v[2]); break;
        default: expected = simd_sha1rnds4(v[1], v[2], n - 6); break;
        }
        ck_assert_mem_eq(t.s.vector[1].q, &expected, 16);
        t_destroy(&t);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("simd_crypto");
    TCase *tcase = tcase_create("portable and host");

    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, aes128_example, 0, 2);
    tcase_add_test(tcase, sha1_example);
    tcase_add_test(tcase, sha256_example);
    tcase_add_test(tcase, sha_random_blocks);
    tcase_add_loop_test(tcase, sha_instructions, 0, 2);
    return run_suite(suite, CK_FORK_GETENV);
}
