/* Floating-point operands for the native instruction check: everything at which arithmetic can turn. */
#ifndef VMRR_TOOLS_FUZZ_NATIVE_FP_H
#define VMRR_TOOLS_FUZZ_NATIVE_FP_H

#include "accel-interp/opcodes.h"
#include "tools/fuzz/native.h"
#include "tools/fuzz/native_host.h"

#include <string.h>

static inline unsigned fp_pick(struct native_case *c, unsigned n)
{
    return (unsigned)(native_random(c) % n);
}

/* A float of the given width: fraction bits, exponent bits; sign on top. */
static inline uint64_t fp_value(struct native_case *c, unsigned fraction_bits, unsigned exponent_bits)
{
    const uint64_t fraction_max = (1ull << fraction_bits) - 1, exponent_max = (1ull << exponent_bits) - 1;
    uint64_t fraction = native_random(c) & fraction_max, exponent = native_random(c) & exponent_max;
    uint64_t sign = native_random(c) & 1;

    switch (fp_pick(c, 14)) {
    case 0: fraction = exponent = 0; break; /* zero */
    case 1: exponent = 0; break;            /* denormal */
    case 2:
        exponent = 0;
        fraction = fp_pick(c, 3);
        break; /* the smallest */
    case 3:
        exponent = exponent_max;
        fraction = 0;
        break; /* infinity */
    case 4:
        exponent = exponent_max;
        fraction |= 1ull << (fraction_bits - 1);
        break; /* quiet NaN */
    case 5:
        exponent = exponent_max;
        fraction &= fraction_max >> 1;
        break;                                   /* signalling NaN (or infinity) */
    case 6: exponent = exponent_max - 1; break;  /* large */
    case 7: exponent = 1 + fp_pick(c, 3); break; /* about to underflow */
    case 8:
        exponent = exponent_max / 2;
        fraction = 0;
        break; /* one */
    case 9:    /* an integer, or half of one */
        exponent = exponent_max / 2 + fp_pick(c, fraction_bits);
        fraction &= fraction_max << fp_pick(c, fraction_bits);
        break;
    case 10: exponent = exponent_max / 2 + 14 + fp_pick(c, 4) * 16 + fp_pick(c, 4); break; /* edges of integers */
    default: exponent = exponent_max / 2 - 8 + fp_pick(c, 17); break;                      /* near one another */
    }
    return sign << (fraction_bits + exponent_bits) | (exponent & exponent_max) << fraction_bits | fraction;
}
static inline uint32_t fp_f32(struct native_case *c)
{
    return (uint32_t)fp_value(c, 23, 8);
}
static inline uint64_t fp_f64(struct native_case *c)
{
    return fp_value(c, 52, 11);
}

static inline void fp_f80(struct native_case *c, uint8_t out[10])
{
    uint64_t significand = native_random(c) | 1ull << 63;
    uint16_t exponent = (uint16_t)(0x3FFF - 8 + fp_pick(c, 17));

    switch (fp_pick(c, 18)) {
    case 0:
        exponent = 0;
        significand = 0;
        break;
    case 1:
        exponent = 0;
        significand >>= 1 + fp_pick(c, 62);
        break;                   /* denormal */
    case 2: exponent = 0; break; /* pseudo-denormal */
    case 3:
        exponent = 0x7FFF;
        significand = 1ull << 63;
        break;
    case 4:
        exponent = 0x7FFF;
        significand |= 3ull << 62;
        break;
    case 5:
        exponent = 0x7FFF;
        significand &= ~(1ull << 62);
        break;
    case 6:
        significand &= ~(1ull << 63);
        exponent = (uint16_t)fp_pick(c, 0x8000);
        break; /* unnormal and such */
    case 7: exponent = (uint16_t)(0x7FFE - fp_pick(c, 3)); break;
    case 8: exponent = (uint16_t)(1 + fp_pick(c, 3)); break;
    case 9:
        exponent = 0x3FFF;
        significand = 1ull << 63;
        break;
    case 10:
        exponent = (uint16_t)(0x3FFF + fp_pick(c, 66));
        significand &= UINT64_MAX << fp_pick(c, 64);
        break;
    case 11: exponent = (uint16_t)fp_pick(c, 0x8000); break;
    case 12: exponent = (uint16_t)(0x3FFF - 1023 + 40 - fp_pick(c, 90)); break; /* edges of double */
    case 13: exponent = (uint16_t)(0x3FFF - 126 + 20 - fp_pick(c, 50)); break;  /* edges of single */
    case 14: exponent = (uint16_t)(0x3FFF + (fp_pick(c, 2) ? 1022 : 126) + fp_pick(c, 3)); break;
    default: break;
    }
    exponent |= (uint16_t)(fp_pick(c, 2) << 15);
    memcpy(out, &significand, 8);
    memcpy(out + 8, &exponent, 2);
}

static inline void fp_put16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, 2);
}
static inline uint16_t fp_get16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, 2);
    return v;
}

/* x87 registers, tags, control: most of the time full registers and masked exceptions. */
static inline void fp_prepare_x87(struct native_case *c)
{
    uint16_t fcw = 0x37F, fsw = (uint16_t)(native_random(c) & 0x7F00);

    if (fp_pick(c, 2))
        fcw = (uint16_t)((native_random(c) & 0x1F00) | 0x7F);
    if (fp_pick(c, 4) == 0)
        fcw = (uint16_t)((native_random(c) & 0x1F3F) | 0x40);
    if (fp_pick(c, 2))
        fsw |= (uint16_t)(native_random(c) & 0x7F & (fp_pick(c, 8) ? fcw | 0x40 : 0x7F)); /* seldom one pending */
    fp_put16(c->in.fx + NATIVE_FX_FCW, fcw);
    fp_put16(c->in.fx + NATIVE_FX_FSW, fsw);
    c->in.fx[NATIVE_FX_FTW] = fp_pick(c, 3) ? 0xFF : (uint8_t)native_random(c);
    for (unsigned n = 0; n < 8; n++)
        fp_f80(c, c->in.fx + NATIVE_FX_ST + 16 * n);
}

/* SSE registers: singles or doubles throughout. MXCSR: most of the time masked. */
static inline void fp_prepare_sse(struct native_case *c)
{
    uint32_t mxcsr = 0x1F80;
    unsigned style = fp_pick(c, 4);

    if (fp_pick(c, 2))
        mxcsr = 0x1F80 | (uint32_t)(native_random(c) & 0xE07F);
    if (fp_pick(c, 4) == 0)
        mxcsr = (uint32_t)(native_random(c) & 0xFFFF);
    memcpy(c->in.fx + NATIVE_FX_MXCSR, &mxcsr, 4);
    for (unsigned n = 0; n < 32; n++) {
        uint64_t value = style == 0 ? native_value(c) : style == 1 ? (uint64_t)fp_f32(c) << 32 | fp_f32(c) : fp_f64(c);
        if (style == 2)
            value = fp_pick(c, 2) ? fp_f64(c) : (uint64_t)fp_f32(c) << 32 | fp_f32(c);
        memcpy(c->in.fx + NATIVE_FX_XMM + 8 * n, &value, 8);
        value = style == 0 ? native_value(c) : style == 1 ? (uint64_t)fp_f32(c) << 32 | fp_f32(c) : fp_f64(c);
        memcpy((uint8_t *)c->in.high + 8 * n, &value, 8);
    }
}

/* Writes size bytes at the memory operand, when it lies within the data. */
static inline void fp_put_operand(struct native_case *c, const void *bytes, unsigned size_bytes)
{
    if (c->memory && c->target >= NATIVE_DATA && c->target + size_bytes <= NATIVE_DATA + NATIVE_DATA_BYTES)
        memcpy(c->data + (c->target - NATIVE_DATA), bytes, size_bytes);
}

/* Takes out what differs between processors, or between a process and the interpreter's machine:
 *   - a fault at low addresses, where the machine has supervisor pages and the process nothing: P of the error code
 *   - CR2 of an operand of many words: which word faults first is the silicon's choice
 *   - an MMX instruction that faults: this host has then set TOP and tags already
 *   - FDP that the interpreter leaves, on a host that sets it always */
static inline void fp_normalise(const struct native_case *c, struct native_state *host, struct native_state *interp)
{
    const bool mmx = strpbrk(c->row->operands, "PNQ") != NULL;

    if (host->vector == 14 && host->cr2 < 0x40000)
        host->error = interp->error = 0;
    if (host->vector == 14 && !strcmp(c->row->operands, "M"))
        host->cr2 = interp->cr2 = 0;
    if (mmx && ((host->vector >= 12 && host->vector <= 14) || host->vector == 17 || host->vector == 19)) {
        memcpy(interp->fx + NATIVE_FX_FSW, host->fx + NATIVE_FX_FSW, 2);
        interp->fx[NATIVE_FX_FTW] = host->fx[NATIVE_FX_FTW];
        memcpy(interp->fx + NATIVE_FX_ST, host->fx + NATIVE_FX_ST, 128);
    }
    if (native_host_fdp_moves() && !memcmp(interp->fx + NATIVE_FX_FDP, c->in.fx + NATIVE_FX_FDP, 8))
        memcpy(interp->fx + NATIVE_FX_FDP, host->fx + NATIVE_FX_FDP, 8);
}

/* A store of many words that runs out of the mapped memory may be half done on the host. Such a case becomes a NOP. */
static inline void fp_avoid_half_store(struct native_case *c, unsigned size_bytes)
{
    const uint64_t end = NATIVE_DATA + NATIVE_DATA_BYTES;

    if (c->memory && c->target < end && c->target + size_bytes > end) {
        memset(c->code, 0x66, c->length);
        c->code[c->length - 1] = 0x90;
        c->memory = false;
    }
}

/* RCP and RSQRT are tables of Intel's (fp_approximate.c): nothing to hold against another maker's. */
static inline bool fp_is_other_table(const struct opcode_row *row)
{
    return (strstr(row->mnemonic, "RCP") || strstr(row->mnemonic, "RSQRT")) && !native_host_is("GenuineIntel");
}

#endif
