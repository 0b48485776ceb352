/* What the host's processor has beyond the baseline that accel-interp is compiled for. An instruction gives the same
 * bits whether its kernel used one of these or not: they are in struct interp so that tests can take them away. */
#ifndef VMRR_ACCEL_INTERP_HOST_FEATURES_H
#define VMRR_ACCEL_INTERP_HOST_FEATURES_H

#include <stdint.h>

#define HOST_PCLMUL 0x01u
#define HOST_AES 0x02u
#define HOST_AVX2 0x08u /* and the operating system saves YMM registers */
#define HOST_FMA 0x10u
#define HOST_F16C 0x20u

uint32_t host_features(void);

#endif
