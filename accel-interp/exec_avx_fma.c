/* FMA: fused multiply-add in its sixty forms (Intel SDM vol. 1, 14.5; vol. 2, VFMADD132PD and those that follow it). */
#include "accel-interp/avx_fp.h"
#include "accel-interp/fp_fma.h"

#define FMA_D xmm_get(cpu, i->reg)
#define FMA_D_HIGH xmm_get_high(cpu, i->reg)
#define FMA_LOW(name, kernel, kind, ranged, what)                                                                      \
    AVX_FP_LOW_(name, kind, kernel(cpu->host_features, FMA_D, AVX_H, src), ranged,                                     \
                fp_exact_fma(cpu, FMA_D, AVX_H, src, what))
#define FMA_PACKED(name, ranged, what)                                                                                 \
    FMA_LOW(v##name##128, fp_v##name, V16U, ranged, what)                                                              \
    AVX_FP_WHOLE_(v##name##256, V32U, fp_v##name(cpu->host_features, FMA_D, AVX_H, src.lane[0]),                       \
                  fp_v##name(cpu->host_features, FMA_D_HIGH, AVX_H_HIGH, src.lane[1]), ranged,                         \
                  (fp_exact_fma(cpu, FMA_D, AVX_H, src.lane[0], what),                                                 \
                   fp_exact_fma(cpu, FMA_D_HIGH, AVX_H_HIGH, src.lane[1], what)))
#define FMA_OF_PS(name, order, op, type) FMA_PACKED(name, FP_PS, (order) | (op) | (type))
#define FMA_OF_PD(name, order, op, type) FMA_PACKED(name, FP_PD, (order) | (op) | (type))
#define FMA_OF_SS(name, order, op, type) FMA_LOW(v##name, fp_v##name, V4, FP_SS, (order) | (op) | (type))
#define FMA_OF_SD(name, order, op, type) FMA_LOW(v##name, fp_v##name, V8, FP_SD, (order) | (op) | (type))
FMA_LIST_PS(FMA_OF_PS)
FMA_LIST_PD(FMA_OF_PD)
FMA_LIST_SS(FMA_OF_SS)
FMA_LIST_SD(FMA_OF_SD)
