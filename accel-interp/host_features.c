/* The host's CPUID (Intel SDM vol. 2, CPUID; vol. 1, 14.3 for the check of AVX). On other processors there is nothing. */
#include "accel-interp/host_features.h"

#if defined(__x86_64__)
#include <cpuid.h>

#define XCR0_SSE_AVX 6u

static uint32_t leaf1_features(uint32_t ecx)
{
    uint32_t xcr0 = 0, high, found = 0;

    found |= ecx & bit_PCLMUL ? HOST_PCLMUL : 0;
    found |= ecx & bit_AES ? HOST_AES : 0;
    if (ecx & bit_OSXSAVE)
        __asm__ volatile("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
    if (!(ecx & bit_AVX) || (xcr0 & XCR0_SSE_AVX) != XCR0_SSE_AVX)
        return found;
    found |= ecx & bit_FMA ? HOST_FMA : 0;
    found |= ecx & bit_F16C ? HOST_F16C : 0;
    return found | HOST_AVX2; /* if leaf 7 has it too */
}

uint32_t host_features(void)
{
    uint32_t eax, ebx, ecx, edx, found;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        return 0;
    found = leaf1_features(ecx);
    if (!__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx))
        ebx = 0;
    if (!(ebx & bit_AVX2))
        found &= ~HOST_AVX2;
    return found;
}
#else
uint32_t host_features(void)
{
    return 0;
}
#endif
