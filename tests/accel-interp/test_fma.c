/* FMA and F16C in integers against the host's units: results and flags of every form, under every rounding, DAZ and FTZ. */
#include "accel-interp/fp_fma.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#if SIMD_HOST_X86
#define CASES 4000u
#define HALF_VALUES 0x10000u

static uint64_t next_random(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ull;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* A float at which arithmetic can turn: zeros, denormals, infinities, NaNs, near one another, near the ends. */
static uint64_t float_value(uint64_t *state, unsigned fraction_bits, unsigned exponent_bits)
{
    const uint64_t random = next_random(state), fraction_max = (1ull << fraction_bits) - 1;
    const uint64_t exponent_max = (1ull << exponent_bits) - 1;
    uint64_t fraction = next_random(state) & fraction_max, exponent = next_random(state) & exponent_max;

    if (random & 0x100)
        fraction &= fraction_max << (random >> 16) % fraction_bits;
    switch (random & 15) {
    case 0: fraction = exponent = 0; break;
    case 1: exponent = 0; break;
    case 2: exponent = exponent_max; break;
    case 3:
        exponent = exponent_max;
        fraction = 0;
        break;
    case 4: exponent = exponent_max - 1 - (random >> 32) % 3; break;
    case 5: exponent = 1 + (random >> 32) % 3; break;
    case 6: exponent = exponent_max / 4 + (random >> 32) % 4; break; /* products about to underflow */
    case 7: break;
    default: exponent = exponent_max / 2 - 2 + (random >> 32) % 5; break;
    }
    return (random >> 63) << (fraction_bits + exponent_bits) | exponent << fraction_bits | fraction;
}
static __m128i vector(uint64_t *state, bool doubles)
{
    uint64_t q[2];

    for (unsigned n = 0; n < 2; n++)
        q[n] = doubles ? float_value(state, 52, 11) : float_value(state, 23, 8) << 32 | float_value(state, 23, 8);
    return _mm_set_epi64x((long long)q[1], (long long)q[0]);
}

/* All masked, no flags: rounding, DAZ and FTZ at random. */
static uint32_t control(uint64_t *state)
{
    return MXCSR_MASKS | (uint32_t)(next_random(state) & 0xE040u);
}
static void set_mxcsr(uint32_t value)
{
    __asm__ volatile("ldmxcsr %0" : : "m"(value));
}
static uint32_t take_mxcsr(void) /* and back to the program's */
{
    const uint32_t usual = MXCSR_DEFAULT;
    uint32_t value;

    __asm__ volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(value) : "m"(usual));
    return value;
}

static bool same(__m128i a, __m128i b)
{
    return _mm_movemask_epi8(_mm_cmpeq_epi8(a, b)) == 0xFFFF;
}
static void print(const char *what, __m128i v, uint32_t mxcsr)
{
    uint64_t q[2];

    _mm_storeu_si128((__m128i *)q, v);
    fprintf(stderr, "    %-8s %016llx %016llx mxcsr %04x\n", what, (unsigned long long)q[1], (unsigned long long)q[0],
            mxcsr);
}

typedef __m128i kernel_fn(__m128i d, __m128i h, __m128i s);
static const struct form {
    const char *name;
    kernel_fn *host;
    unsigned what;
} forms[] = {
#define FORM(name, order, op, type) {#name, fp_host_v##name, (order) | (op) | (type)},
    FMA_LIST(FORM)
#undef FORM
};
#define FORM_COUNT (int)(sizeof forms / sizeof forms[0])

START_TEST(fma_forms)
{
    const struct form *form = &forms[_i];
    uint64_t state = (uint64_t)_i << 32;
    unsigned bad = 0;

    for (unsigned n = 0; n < CASES && bad < 3; n++) {
        const bool doubles = form->what & FMA_DOUBLE;
        const __m128i d = vector(&state, doubles), h = vector(&state, doubles), s = vector(&state, doubles);
        const uint32_t mode = control(&state);
        set_mxcsr(mode);
        const __m128i host = form->host(d, h, s);
        const uint32_t host_mxcsr = take_mxcsr();
        set_mxcsr(mode);
        const __m128i ours = fp_fma_portable(d, h, s, form->what);
        const uint32_t our_mxcsr = take_mxcsr();
        if (same(host, ours) && host_mxcsr == our_mxcsr)
            continue;
        bad++;
        fprintf(stderr, "  %s\n", form->name);
        print("operand", d, mode);
        print("operand", h, mode);
        print("operand", s, mode);
        print("host", host, host_mxcsr);
        print("ours", ours, our_mxcsr);
    }
    ck_assert_uint_eq(bad, 0);
}
END_TEST

START_TEST(halves_to_singles) /* all of them */
{
    unsigned bad = 0;
    uint64_t state = 1;

    for (unsigned n = 0; n < HALF_VALUES && bad < 3; n++) {
        const __m128i s = _mm_cvtsi64_si128((long long)(n | (next_random(&state) & 0xFFFFFFFF0000ull)));
        const uint32_t mode = control(&state);
        set_mxcsr(mode);
        const __m128i host = fp_cvtph2ps(HOST_F16C, s);
        const uint32_t host_mxcsr = take_mxcsr();
        set_mxcsr(mode);
        const __m128i ours = fp_cvtph2ps(0, s);
        const uint32_t our_mxcsr = take_mxcsr();
        if (same(host, ours) && host_mxcsr == our_mxcsr)
            continue;
        bad++;
        print("operand", s, mode);
        print("host", host, host_mxcsr);
        print("ours", ours, our_mxcsr);
    }
    ck_assert_uint_eq(bad, 0);
}
END_TEST

/* Singles near what halves can be, or any. */
static uint32_t single_for_half(uint64_t *state)
{
    uint64_t random = next_random(state);

    if (random & 1)
        return (uint32_t)float_value(state, 23, 8);
    return (uint32_t)(random >> 32 & 0x807FFFFF) | (uint32_t)(127 - 28 + (random >> 8) % 48) << 23;
}
START_TEST(singles_to_halves)
{
    unsigned bad = 0;
    uint64_t state = 2;

    for (unsigned n = 0; n < 20 * CASES && bad < 3; n++) {
        const __m128i s = _mm_set_epi32((int)single_for_half(&state), (int)single_for_half(&state),
                                        (int)single_for_half(&state), (int)single_for_half(&state));
        const uint32_t mode = control(&state);
        const unsigned imm8 = (unsigned)next_random(&state) & 0xFF;
        set_mxcsr(mode);
        const __m128i host = fp_cvtps2ph(HOST_F16C, s, imm8);
        const uint32_t host_mxcsr = take_mxcsr();
        set_mxcsr(mode);
        const __m128i ours = fp_cvtps2ph(0, s, imm8);
        const uint32_t our_mxcsr = take_mxcsr();
        if (same(host, ours) && host_mxcsr == our_mxcsr)
            continue;
        bad++;
        fprintf(stderr, "  imm8 %02x\n", imm8);
        print("operand", s, mode);
        print("host", host, host_mxcsr);
        print("ours", ours, our_mxcsr);
    }
    ck_assert_uint_eq(bad, 0);
}
END_TEST

int main(void)
{
    const uint32_t features = host_features();
    Suite *suite = suite_create("FMA and F16C in integers");
    TCase *tc = tcase_create("host");

    if (!(features & HOST_FMA) || !(features & HOST_F16C)) {
        puts("SKIP: this host's CPU lacks FMA or F16C");
        return 77;
    }
    tcase_add_loop_test(tc, fma_forms, 0, FORM_COUNT);
    tcase_add_test(tc, halves_to_singles);
    tcase_add_test(tc, singles_to_halves);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
#else
int main(void)
{
    puts("SKIP: not an x86 host: nothing to compare with");
    return 77;
}
#endif
