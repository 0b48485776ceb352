/* The host's vector intrinsics, from here and nowhere else.
 *
 * On x86-64 accel-interp is compiled for x86-64-v2 (CMakeLists.txt), so everything up to SSE4.2 and POPCNT may be used
 * anywhere. What goes beyond is used only in functions of SIMD_TARGET(...), which run only if cpu->host_features
 * (host_features.h) has the bit; SIMD_HOST_X86 says whether such functions can be compiled at all.
 *
 * On other hosts the intrinsics of whole integers are SIMDe's (package libsimde-dev), by their own names. */
#ifndef VMRR_ACCEL_INTERP_SIMD_HOST_H
#define VMRR_ACCEL_INTERP_SIMD_HOST_H

#if defined(__x86_64__)
#define SIMD_HOST_X86 1
#define SIMD_TARGET(features) __attribute__((target(features)))
#include <immintrin.h>
#include <nmmintrin.h>
#else
#define SIMD_HOST_X86 0
#define SIMD_TARGET(features)
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/sse4.2.h>
#endif

#endif
