/* The host's processor must be what accel-interp is compiled for (accel-interp/CMakeLists.txt). This file is compiled for
 * any x86-64, so that it can say so. */
#include "tools/host_check.h"
#include "tools/tools.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

const char *host_check_missing(uint32_t ecx)
{
    static const struct {
        uint8_t bit;
        const char *name;
    } wanted[] = {{0, "SSE3"}, {9, "SSSE3"}, {13, "CMPXCHG16B"}, {19, "SSE4.1"}, {20, "SSE4.2"}, {23, "POPCNT"}};

    for (unsigned n = 0; n < sizeof wanted / sizeof wanted[0]; n++) {
        if (!(ecx >> wanted[n].bit & 1))
            return wanted[n].name;
    }
    return NULL;
}

bool host_check(void)
{
#if defined(__x86_64__)
    uint32_t eax, ebx, ecx = 0, edx;
    const char *missing;

    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx))
        ecx = 0;
    missing = host_check_missing(ecx);
    if (missing) {
        tool_error("this processor has no %s: vmrr needs x86-64-v2, as every x86 processor since 2011 is", missing);
        return false;
    }
#endif
    return true;
}
