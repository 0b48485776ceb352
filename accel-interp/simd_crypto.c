/* The portable kernels of simd_crypto.h (FIPS 197; FIPS 180-4; Intel SDM vol. 2). Not of constant time: the guest's secrets
 * are no secrets to whoever runs it. */
#include "accel-interp/simd_crypto.h"

#include <string.h>

/* ---- AES -------------------------------------------------------------------------------------------------------- */

static const uint8_t aes_sbox[256] = {
    0x63, 0x7C, 0x77, 0x7B, 0xF2, 0x6B, 0x6F, 0xC5, 0x30, 0x01, 0x67, 0x2B, 0xFE, 0xD7, 0xAB, 0x76, 0xCA, 0x82, 0xC9,
    0x7D, 0xFA, 0x59, 0x47, 0xF0, 0xAD, 0xD4, 0xA2, 0xAF, 0x9C, 0xA4, 0x72, 0xC0, 0xB7, 0xFD, 0x93, 0x26, 0x36, 0x3F,
    0xF7, 0xCC, 0x34, 0xA5, 0xE5, 0xF1, 0x71, 0xD8, 0x31, 0x15, 0x04, 0xC7, 0x23, 0xC3, 0x18, 0x96, 0x05, 0x9A, 0x07,
    0x12, 0x80, 0xE2, 0xEB, 0x27, 0xB2, 0x75, 0x09, 0x83, 0x2C, 0x1A, 0x1B, 0x6E, 0x5A, 0xA0, 0x52, 0x3B, 0xD6, 0xB3,
    0x29, 0xE3, 0x2F, 0x84, 0x53, 0xD1, 0x00, 0xED, 0x20, 0xFC, 0xB1, 0x5B, 0x6A, 0xCB, 0xBE, 0x39, 0x4A, 0x4C, 0x58,
    0xCF, 0xD0, 0xEF, 0xAA, 0xFB, 0x43, 0x4D, 0x33, 0x85, 0x45, 0xF9, 0x02, 0x7F, 0x50, 0x3C, 0x9F, 0xA8, 0x51, 0xA3,
    0x40, 0x8F, 0x92, 0x9D, 0x38, 0xF5, 0xBC, 0xB6, 0xDA, 0x21, 0x10, 0xFF, 0xF3, 0xD2, 0xCD, 0x0C, 0x13, 0xEC, 0x5F,
    0x97, 0x44, 0x17, 0xC4, 0xA7, 0x7E, 0x3D, 0x64, 0x5D, 0x19, 0x73, 0x60, 0x81, 0x4F, 0xDC, 0x22, 0x2A, 0x90, 0x88,
    0x46, 0xEE, 0xB8, 0x14, 0xDE, 0x5E, 0x0B, 0xDB, 0xE0, 0x32, 0x3A, 0x0A, 0x49, 0x06, 0x24, 0x5C, 0xC2, 0xD3, 0xAC,
    0x62, 0x91, 0x95, 0xE4, 0x79, 0xE7, 0xC8, 0x37, 0x6D, 0x8D, 0xD5, 0x4E, 0xA9, 0x6C, 0x56, 0xF4, 0xEA, 0x65, 0x7A,
    0xAE, 0x08, 0xBA, 0x78, 0x25, 0x2E, 0x1C, 0xA6, 0xB4, 0xC6, 0xE8, 0xDD, 0x74, 0x1F, 0x4B, 0xBD, 0x8B, 0x8A, 0x70,
    0x3E, 0xB5, 0x66, 0x48, 0x03, 0xF6, 0x0E, 0x61, 0x35, 0x57, 0xB9, 0x86, 0xC1, 0x1D, 0x9E, 0xE1, 0xF8, 0x98, 0x11,
    0x69, 0xD9, 0x8E, 0x94, 0x9B, 0x1E, 0x87, 0xE9, 0xCE, 0x55, 0x28, 0xDF, 0x8C, 0xA1, 0x89, 0x0D, 0xBF, 0xE6, 0x42,
    0x68, 0x41, 0x99, 0x2D, 0x0F, 0xB0, 0x54, 0xBB, 0x16};
static const uint8_t aes_inverse_sbox[256] = {
    0x52, 0x09, 0x6A, 0xD5, 0x30, 0x36, 0xA5, 0x38, 0xBF, 0x40, 0xA3, 0x9E, 0x81, 0xF3, 0xD7, 0xFB, 0x7C, 0xE3, 0x39,
    0x82, 0x9B, 0x2F, 0xFF, 0x87, 0x34, 0x8E, 0x43, 0x44, 0xC4, 0xDE, 0xE9, 0xCB, 0x54, 0x7B, 0x94, 0x32, 0xA6, 0xC2,
    0x23, 0x3D, 0xEE, 0x4C, 0x95, 0x0B, 0x42, 0xFA, 0xC3, 0x4E, 0x08, 0x2E, 0xA1, 0x66, 0x28, 0xD9, 0x24, 0xB2, 0x76,
    0x5B, 0xA2, 0x49, 0x6D, 0x8B, 0xD1, 0x25, 0x72, 0xF8, 0xF6, 0x64, 0x86, 0x68, 0x98, 0x16, 0xD4, 0xA4, 0x5C, 0xCC,
    0x5D, 0x65, 0xB6, 0x92, 0x6C, 0x70, 0x48, 0x50, 0xFD, 0xED, 0xB9, 0xDA, 0x5E, 0x15, 0x46, 0x57, 0xA7, 0x8D, 0x9D,
    0x84, 0x90, 0xD8, 0xAB, 0x00, 0x8C, 0xBC, 0xD3, 0x0A, 0xF7, 0xE4, 0x58, 0x05, 0xB8, 0xB3, 0x45, 0x06, 0xD0, 0x2C,
    0x1E, 0x8F, 0xCA, 0x3F, 0x0F, 0x02, 0xC1, 0xAF, 0xBD, 0x03, 0x01, 0x13, 0x8A, 0x6B, 0x3A, 0x91, 0x11, 0x41, 0x4F,
    0x67, 0xDC, 0xEA, 0x97, 0xF2, 0xCF, 0xCE, 0xF0, 0xB4, 0xE6, 0x73, 0x96, 0xAC, 0x74, 0x22, 0xE7, 0xAD, 0x35, 0x85,
    0xE2, 0xF9, 0x37, 0xE8, 0x1C, 0x75, 0xDF, 0x6E, 0x47, 0xF1, 0x1A, 0x71, 0x1D, 0x29, 0xC5, 0x89, 0x6F, 0xB7, 0x62,
    0x0E, 0xAA, 0x18, 0xBE, 0x1B, 0xFC, 0x56, 0x3E, 0x4B, 0xC6, 0xD2, 0x79, 0x20, 0x9A, 0xDB, 0xC0, 0xFE, 0x78, 0xCD,
    0x5A, 0xF4, 0x1F, 0xDD, 0xA8, 0x33, 0x88, 0x07, 0xC7, 0x31, 0xB1, 0x12, 0x10, 0x59, 0x27, 0x80, 0xEC, 0x5F, 0x60,
    0x51, 0x7F, 0xA9, 0x19, 0xB5, 0x4A, 0x0D, 0x2D, 0xE5, 0x7A, 0x9F, 0x93, 0xC9, 0x9C, 0xEF, 0xA0, 0xE0, 0x3B, 0x4D,
    0xAE, 0x2A, 0xF5, 0xB0, 0xC8, 0xEB, 0xBB, 0x3C, 0x83, 0x53, 0x99, 0x61, 0x17, 0x2B, 0x04, 0x7E, 0xBA, 0x77, 0xD6,
    0x26, 0xE1, 0x69, 0x14, 0x63, 0x55, 0x21, 0x0C, 0x7D};

/* Byte r + 4 * c is row r of column c. */
struct aes_state {
    uint8_t byte[16];
};

static struct aes_state aes_from(__m128i v)
{
    struct aes_state state;

    memcpy(state.byte, &v, sizeof state.byte);
    return state;
}
static __m128i aes_to(const struct aes_state *state)
{
    __m128i v;

    memcpy(&v, state->byte, sizeof v);
    return v;
}

/* Row r moves by r columns: to the left, or with step 3 to the right. */
static struct aes_state aes_substitute_rows(__m128i v, const uint8_t *sbox, unsigned step)
{
    const struct aes_state in = aes_from(v);
    struct aes_state out;

    for (unsigned n = 0; n < 16; n++) {
        unsigned row = n & 3, column = (n >> 2) + row * step;
        out.byte[n] = sbox[in.byte[row + 4 * (column & 3)]];
    }
    return out;
}

/* Times x in GF(2^8). */
static uint8_t aes_double(uint8_t v)
{
    return (uint8_t)(v << 1 ^ (v & 0x80 ? 0x1B : 0));
}

static void aes_mix_columns(struct aes_state *state)
{
    for (uint8_t *column = state->byte; column < state->byte + 16; column += 4) {
        uint8_t first = column[0], all = column[0] ^ column[1] ^ column[2] ^ column[3];
        for (unsigned n = 0; n < 4; n++) {
            uint8_t next = n < 3 ? column[n + 1] : first;
            column[n] = (uint8_t)(column[n] ^ all ^ aes_double(column[n] ^ next));
        }
    }
}

/* The inverse matrix is the matrix times (4 x^2 + 5): add 4 times the elements of equal parity first. */
static void aes_unmix_columns(struct aes_state *state)
{
    for (uint8_t *column = state->byte; column < state->byte + 16; column += 4) {
        uint8_t even = aes_double(aes_double(column[0] ^ column[2]));
        uint8_t odd = aes_double(aes_double(column[1] ^ column[3]));
        column[0] ^= even;
        column[1] ^= odd;
        column[2] ^= even;
        column[3] ^= odd;
    }
    aes_mix_columns(state);
}

__m128i simd_aesenc_portable(__m128i d, __m128i s)
{
    struct aes_state state = aes_substitute_rows(d, aes_sbox, 1);

    aes_mix_columns(&state);
    return _mm_xor_si128(aes_to(&state), s);
}

__m128i simd_aesenclast_portable(__m128i d, __m128i s)
{
    struct aes_state state = aes_substitute_rows(d, aes_sbox, 1);

    return _mm_xor_si128(aes_to(&state), s);
}

__m128i simd_aesdec_portable(__m128i d, __m128i s)
{
    struct aes_state state = aes_substitute_rows(d, aes_inverse_sbox, 3);

    aes_unmix_columns(&state);
    return _mm_xor_si128(aes_to(&state), s);
}

__m128i simd_aesdeclast_portable(__m128i d, __m128i s)
{
    struct aes_state state = aes_substitute_rows(d, aes_inverse_sbox, 3);

    return _mm_xor_si128(aes_to(&state), s);
}

__m128i simd_aesimc_portable(__m128i s)
{
    struct aes_state state = aes_from(s);

    aes_unmix_columns(&state);
    return aes_to(&state);
}

/* Of doublewords 1 and 3: substituted, and rotated by a byte. */
__m128i simd_aeskeygenassist_portable(__m128i s)
{
    const struct aes_state in = aes_from(s);
    struct aes_state out;

    for (unsigned n = 0; n < 4; n++) {
        for (unsigned half = 0; half < 16; half += 8) {
            out.byte[half + n] = aes_sbox[in.byte[half + 4 + n]];
            out.byte[half + 4 + n] = aes_sbox[in.byte[half + 4 + ((n + 1) & 3)]];
        }
    }
    return aes_to(&out);
}

/* ---- carry-less multiplication ----------------------------------------------------------------------------------- */

__m128i simd_pclmul_portable(__m128i d, __m128i s)
{
    uint64_t a = (uint64_t)_mm_cvtsi128_si64(d), b = (uint64_t)_mm_cvtsi128_si64(s);
    uint64_t low = b & 1 ? a : 0, high = 0;

    for (unsigned n = 1; n < 64; n++) {
        uint64_t take = 0 - (b >> n & 1);
        low ^= a << n & take;
        high ^= a >> (64 - n) & take;
    }
    return _mm_set_epi64x((long long)high, (long long)low);
}

/* ---- SHA -------------------------------------------------------------------------------------------------------- */

/* Element 0 is bits 31:0. */
struct sha_words {
    uint32_t w[4];
};

static struct sha_words sha_from(__m128i v)
{
    struct sha_words words;

    memcpy(words.w, &v, sizeof words.w);
    return words;
}
static __m128i sha_to(uint32_t w3, uint32_t w2, uint32_t w1, uint32_t w0)
{
    return _mm_set_epi32((int)w3, (int)w2, (int)w1, (int)w0);
}
static uint32_t rotate_left(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}
static uint32_t rotate_right(uint32_t v, unsigned n)
{
    return v >> n | v << (32 - n);
}

static uint32_t sha_choose(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (~x & z);
}
static uint32_t sha_majority(uint32_t x, uint32_t y, uint32_t z)
{
    return (x & y) ^ (x & z) ^ (y & z);
}
static uint32_t sha1_function(unsigned function, uint32_t b, uint32_t c, uint32_t d)
{
    if (function == 0)
        return sha_choose(b, c, d);
    return function == 2 ? sha_majority(b, c, d) : b ^ c ^ d;
}

/* A is element 3; E is already in the first word of s. */
__m128i simd_sha1rnds4(__m128i d, __m128i s, unsigned function)
{
    static const uint32_t constants[4] = {0x5A827999, 0x6ED9EBA1, 0x8F1BBCDC, 0xCA62C1D6};
    const struct sha_words state = sha_from(d), w = sha_from(s);
    uint32_t a = state.w[3], b = state.w[2], c = state.w[1], e = 0, dd = state.w[0];

    function &= 3;
    for (unsigned n = 0; n < 4; n++) {
        uint32_t next = sha1_function(function, b, c, dd) + rotate_left(a, 5) + w.w[3 - n] + e + constants[function];
        e = dd;
        dd = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    return sha_to(a, b, c, dd);
}

__m128i simd_sha1nexte(__m128i d, __m128i s)
{
    const struct sha_words x = sha_from(d), y = sha_from(s);

    return sha_to(y.w[3] + rotate_left(x.w[3], 30), y.w[2], y.w[1], y.w[0]);
}

__m128i simd_sha1msg1(__m128i d, __m128i s)
{
    const struct sha_words x = sha_from(d), y = sha_from(s);

    return sha_to(x.w[3] ^ x.w[1], x.w[2] ^ x.w[0], x.w[1] ^ y.w[3], x.w[0] ^ y.w[2]);
}

__m128i simd_sha1msg2(__m128i d, __m128i s)
{
    const struct sha_words x = sha_from(d), y = sha_from(s);
    uint32_t w16 = rotate_left(x.w[3] ^ y.w[2], 1), w17 = rotate_left(x.w[2] ^ y.w[1], 1);
    uint32_t w18 = rotate_left(x.w[1] ^ y.w[0], 1), w19 = rotate_left(x.w[0] ^ w16, 1);

    return sha_to(w16, w17, w18, w19);
}

/* d has C D G H, s has A B E F, from the top. */
__m128i simd_sha256rnds2(__m128i d, __m128i s, __m128i wk)
{
    const struct sha_words x = sha_from(d), y = sha_from(s), input = sha_from(wk);
    uint32_t a = y.w[3], b = y.w[2], c = x.w[3], dd = x.w[2], e = y.w[1], f = y.w[0], g = x.w[1], h = x.w[0];

    for (unsigned n = 0; n < 2; n++) {
        uint32_t sum1 = rotate_right(e, 6) ^ rotate_right(e, 11) ^ rotate_right(e, 25);
        uint32_t sum0 = rotate_right(a, 2) ^ rotate_right(a, 13) ^ rotate_right(a, 22);
        uint32_t first = sha_choose(e, f, g) + sum1 + input.w[n] + h, second = sha_majority(a, b, c) + sum0;
        h = g;
        g = f;
        f = e;
        e = first + dd;
        dd = c;
        c = b;
        b = a;
        a = first + second;
    }
    return sha_to(a, b, e, f);
}

static uint32_t sha256_small0(uint32_t v)
{
    return rotate_right(v, 7) ^ rotate_right(v, 18) ^ v >> 3;
}
static uint32_t sha256_small1(uint32_t v)
{
    return rotate_right(v, 17) ^ rotate_right(v, 19) ^ v >> 10;
}

__m128i simd_sha256msg1(__m128i d, __m128i s)
{
    const struct sha_words x = sha_from(d), y = sha_from(s);

    return sha_to(x.w[3] + sha256_small0(y.w[0]), x.w[2] + sha256_small0(x.w[3]), x.w[1] + sha256_small0(x.w[2]),
                  x.w[0] + sha256_small0(x.w[1]));
}

__m128i simd_sha256msg2(__m128i d, __m128i s)
{
    const struct sha_words x = sha_from(d), y = sha_from(s);
    uint32_t w16 = x.w[0] + sha256_small1(y.w[2]), w17 = x.w[1] + sha256_small1(y.w[3]);

    return sha_to(x.w[3] + sha256_small1(w17), x.w[2] + sha256_small1(w16), w17, w16);
}
