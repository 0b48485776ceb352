/* The native instruction check: what VEX rows have beside the others (Intel SDM vol. 2, 2.3): the prefix in its two forms,
 * and vectors as indices of memory operands. */
#include "tools/fuzz/native_internal.h"

#include "core/cpu_state.h"

#include <string.h>

static bool wanted_bit(struct native_case *c, unsigned zero, unsigned one)
{
    bool bit = c->row->flags & one ? true : c->row->flags & zero ? false : native_chance(c, 40);

    return native_chance(c, 1) ? !bit : bit; /* another row, or none */
}

/* What may not stand before VEX. */
static void emit_forbidden(struct native_case *c, struct native_encoding *e)
{
    static const uint8_t forbidden[] = {0x66, 0xF2, 0xF3, 0xF0, 0x48};

    if (native_chance(c, 1))
        native_emit(e, forbidden[native_random(c) % (c->bits == 64 ? 5 : 4)], 1);
}

static unsigned choose_vvvv(struct native_case *c)
{
    bool used = native_has_letter(c->row, 'H') || native_has_letter(c->row, 'B');

    if (!used)
        return native_chance(c, 2) ? (unsigned)native_random(c) & 15 : 0;
    return (unsigned)native_random(c) & (c->bits == 64 ? 15 : 7);
}

void native_emit_vex(struct native_case *c, struct native_encoding *e, struct native_choice *k)
{
    static const uint8_t pp_of[] = {
        [PFX_ANY] = 0, [PFX_NONE] = 0, [PFX_66] = 1, [PFX_F3] = 2, [PFX_F2] = 3}; /* as encoded */
    bool w = wanted_bit(c, OP_W0, OP_W1), l = wanted_bit(c, OP_L0, OP_L1);
    unsigned rxb = c->bits == 64 ? (unsigned)native_random(c) & 7 : 0, pp = pp_of[c->row->prefix];
    bool ignored = c->bits != 64 && native_chance(c, 10); /* B and vvvv[3], which 32-bit code ignores */

    k->vvvv = (uint8_t)choose_vvvv(c);
    k->rex_bits = (uint8_t)((w ? 8 : 0) | rxb);
    emit_forbidden(c, e);
    unsigned low = (~(unsigned)k->vvvv & 15) << 3 | (l ? 4u : 0) | pp;
    if (c->row->map == MAP_0F && !w && !(rxb & 3) && !ignored && native_chance(c, 50)) {
        native_emit(e, 0xC5, 1);
        native_emit(e, (rxb & 4 ? 0 : 0x80) | low, 1);
    } else {
        native_emit(e, 0xC4, 1);
        native_emit(e, ((~(rxb << 5) & 0xE0) ^ (ignored ? 0x20u : 0)) | c->row->map, 1);
        native_emit(e, ((w ? 0x80u : 0) | low) ^ (ignored ? 0x40 : 0), 1);
    }
    native_emit(e, c->row->opcode, 1);
}

bool native_is_vsib(const struct opcode_row *row)
{
    return strstr(row->operands, "vM") != NULL;
}

static void put_index(struct native_case *c, unsigned vector, unsigned at, unsigned size_bytes, unsigned scale)
{
    int64_t value = (int64_t)(native_between(c, 0, 0x300) >> scale) - (0x100 >> scale);
    uint8_t *half = at < 16 ? c->in.fx + NATIVE_FX_XMM + vector * 16 : c->in.high[vector];

    if (native_chance(c, 2))
        value = (int64_t)native_random(c); /* faults, if its mask says so */
    memcpy(half + at % 16, &value, size_bytes);
}

/* Destination, mask and index must be three registers. */
static void make_distinct(struct native_case *c, struct native_choice *k, unsigned *index)
{
    unsigned reg = ((k->modrm >> 3) & 7) | (k->rex_bits & 4) << 1;

    if (native_chance(c, 5))
        return;
    if (reg == k->vvvv) {
        k->modrm ^= 8;
        reg ^= 1;
    }
    for (unsigned try = 0; try < 3 && (*index == reg || *index == k->vvvv); try++) {
        *index = (*index & 8) | ((*index + 1) & 7);
        k->sib = (uint8_t)((k->sib & 0xC7) | (*index & 7) << 3);
    }
}

void native_place_vsib(struct native_case *c, struct native_choice *k)
{
    unsigned index = ((k->sib >> 3) & 7) | (k->rex_bits & 2) << 2;
    unsigned size_bytes = strstr(c->row->mnemonic, "GATHERQ") ? 8 : 4;

    make_distinct(c, k, &index);
    for (unsigned at = 0; at < 32; at += size_bytes)
        put_index(c, index, at, size_bytes, k->sib >> 6);
}
