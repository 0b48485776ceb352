/* RCPSS and RSQRTSS in integers against the host's, where the host is an Intel processor: every float when
 * VMRR_APPROXIMATE_ALL is set (label slow), else a stride of them and all about the edges. And the bits that this gave are
 * written out for some, for other hosts. */
#include "accel-interp/fp_sse.h"

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>

static bool host_is_intel(void)
{
    uint32_t eax, words[3] = {0};

    return __get_cpuid(0, &eax, &words[0], &words[2], &words[1]) && !memcmp(words, "GenuineIntel", 12);
}
static uint32_t host_rcp(uint32_t a)
{
    __m128i v = _mm_cvtsi32_si128((int)a), out;
    __asm__("rcpss %1, %0" : "=x"(out) : "x"(v));
    return (uint32_t)_mm_cvtsi128_si32(out);
}
static uint32_t host_rsqrt(uint32_t a)
{
    __m128i v = _mm_cvtsi32_si128((int)a), out;
    __asm__("rsqrtss %1, %0" : "=x"(out) : "x"(v));
    return (uint32_t)_mm_cvtsi128_si32(out);
}
#else
static bool host_is_intel(void)
{
    return false;
}
static uint32_t host_rcp(uint32_t a)
{
    return a;
}
static uint32_t host_rsqrt(uint32_t a)
{
    return a;
}
#endif

static unsigned check_range(uint64_t first, uint64_t end, uint64_t stride)
{
    unsigned bad = 0;

    for (uint64_t a = first; a < end && bad < 10; a += stride) {
        uint32_t v = (uint32_t)a;
        if (fp_rcp_f32(v) == host_rcp(v) && fp_rsqrt_f32(v) == host_rsqrt(v))
            continue;
        fprintf(stderr, "  %08x: rcp %08x host %08x, rsqrt %08x host %08x\n", v, fp_rcp_f32(v), host_rcp(v),
                fp_rsqrt_f32(v), host_rsqrt(v));
        bad++;
    }
    return bad;
}

START_TEST(same_as_host)
{
    unsigned bad = 0;

    if (!host_is_intel())
        return;
    if (getenv("VMRR_APPROXIMATE_ALL")) {
        ck_assert_uint_eq(check_range(0, 1ull << 32, 1), 0);
        return;
    }
    bad += check_range(0, 1ull << 32, 1009);
    for (uint64_t edge = 0; edge <= 1ull << 32; edge += 1u << 12) /* where the result may change */
        bad += check_range(edge ? edge - 1 : 0, edge == 1ull << 32 ? edge : edge + 1, 1);
    ck_assert_uint_eq(bad, 0);
}
END_TEST

START_TEST(known_values)
{
    static const struct {
        uint32_t a, rcp, rsqrt;
    } known[] = {
        {0x00000000, 0x7F800000, 0x7F800000}, {0x80000001, 0xFF800000, 0xFF800000},
        {0x007FFFFF, 0x7F800000, 0x7F800000}, {0x00800000, 0x7E7FF000, 0x5EFFF000},
        {0x3F800000, 0x3F7FF000, 0x3F7FF000}, {0xBF800000, 0xBF7FF000, 0xFFC00000},
        {0x7E7FFFFF, 0x00800800, 0x20000800}, {0x7E800000, 0x00000000, 0x1FFFF000},
        {0x7F7FFFFF, 0x00000000, 0x1F800800}, {0x7F800000, 0x00000000, 0x00000000},
        {0xFF800000, 0x80000000, 0xFFC00000}, {0x7F800001, 0x7FC00001, 0x7FC00001},
        {0xFFC12345, 0xFFC12345, 0xFFC12345},
    };

    for (unsigned n = 0; n < sizeof known / sizeof known[0]; n++) {
        ck_assert_uint_eq(fp_rcp_f32(known[n].a), known[n].rcp);
        ck_assert_uint_eq(fp_rsqrt_f32(known[n].a), known[n].rsqrt);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("RCP and RSQRT");
    TCase *tc = tcase_create("approximations");

    tcase_add_test(tc, same_as_host);
    tcase_add_test(tc, known_values);
    tcase_set_timeout(tc, 600);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
