/* FMA: fused multiply-add in its sixty forms (Intel SDM vol. 1, 14.5; vol. 2, VFMADD132PD and those that follow it). */
#include "accel-interp/avx_fp.h"
#include "accel-interp/fp_fma.h"

#define FMA_D xmm_get(cpu, i->reg)
#define FMA_D_HIGH xmm_get_high(cpu, i->reg)
#define FMA_PACKED(name, tiny)                                                                                         \
    AVX_FP_LOW(v##name##128, V16U, fp_v##name(cpu->host_features, FMA_D, AVX_H, src), tiny)                            \
    AVX_FP_WHOLE(v##name##256, V32U, fp_v##name(cpu->host_features, FMA_D, AVX_H, src.lane[0]),                        \
                 fp_v##name(cpu->host_features, FMA_D_HIGH, AVX_H_HIGH, src.lane[1]), tiny)
#define FMA_OF_PS(name, order, op, type) FMA_PACKED(name, FP_TINY_PS)
#define FMA_OF_PD(name, order, op, type) FMA_PACKED(name, FP_TINY_PD)
#define FMA_OF_SS(name, order, op, type)                                                                               \
    AVX_FP_LOW(v##name, V4, fp_v##name(cpu->host_features, FMA_D, AVX_H, src), FP_TINY_SS)
#define FMA_OF_SD(name, order, op, type)                                                                               \
    AVX_FP_LOW(v##name, V8, fp_v##name(cpu->host_features, FMA_D, AVX_H, src), FP_TINY_SD)
FMA_LIST_PS(FMA_OF_PS)
FMA_LIST_PD(FMA_OF_PD)
FMA_LIST_SS(FMA_OF_SS)
FMA_LIST_SD(FMA_OF_SD)
