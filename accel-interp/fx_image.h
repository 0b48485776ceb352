/* The legacy area of FXSAVE and XSAVE images (Intel SDM vol. 1, 10.5.1 and 13.4.1), in a buffer (exec_fxsave.c). Of the image's
 * parts the functions write or read their own only. */
#ifndef VMRR_ACCEL_INTERP_FX_IMAGE_H
#define VMRR_ACCEL_INTERP_FX_IMAGE_H

#include "accel-interp/interp.h"

enum {
    FX_MXCSR = 24,
    FX_ST = 32,
    FX_XMM = 160,
    FX_XMM_END_32 = FX_XMM + 8 * 16,
    FX_XMM_END_64 = FX_XMM + 16 * 16,
    FX_BYTES = 512
};

/* Bytes 0..23 and 32..159; 24..31; from 160 on. The FIP and FDP are 64 bits wide with a 64-bit operand size. */
void fx_put_x87(struct interp *cpu, const struct insn *i, uint8_t *image);
void fx_put_mxcsr(struct interp *cpu, uint8_t *image);
void fx_put_xmm(const struct interp *cpu, uint8_t *image);
void fx_get_x87(struct interp *cpu, const struct insn *i, const uint8_t *image);
void fx_get_xmm(struct interp *cpu, const uint8_t *image);
/* Raises #GP(0) for reserved bits. */
uint32_t fx_check_mxcsr(struct interp *cpu, const struct insn *i, const uint8_t *image);
/* XMM registers that the mode has: 8 or 16. */
static inline unsigned fx_xmm_count(const struct interp *cpu)
{
    return (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? 16 : 8;
}

#endif
