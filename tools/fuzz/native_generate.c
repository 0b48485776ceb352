/* The native instruction check: cases from a row's operands string. */
#include "tools/fuzz/native_internal.h"

#include "core/cpu_state.h"

#include <string.h>

#define RFLAGS_AC 0x40000u

/* ---- numbers --------------------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15ull;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

uint64_t native_random(struct native_case *c)
{
    return mix(&c->random);
}

bool native_chance(struct native_case *c, unsigned percent)
{
    return native_random(c) % 100 < percent;
}
uint64_t native_between(struct native_case *c, uint64_t low, uint64_t high)
{
    return low + native_random(c) % (high - low + 1);
}

uint64_t native_value(struct native_case *c)
{
    static const unsigned widths[] = {8, 16, 32, 64};
    unsigned bits = widths[native_random(c) % 4];
    uint64_t edge = 1ull << (bits - 1);

    switch (native_random(c) % 10) {
    case 0: return native_random(c) % 4;
    case 1: return 0 - native_random(c) % 4;
    case 2: return edge - native_random(c) % 2;
    case 3: return native_random(c) % 256;
    case 4: return (0 - edge) - native_random(c) % 2;
    case 5: return native_random(c) >> (native_random(c) % 64);
    default: return native_random(c);
    }
}

/* ---- operands -------------------------------------------------------------------------------------------------- */

bool native_has_operand(const struct opcode_row *row, const char *name)
{
    size_t size = strlen(name);
    const char *at = row->operands;

    while ((at = strstr(at, name))) {
        bool begins = at == row->operands || at[-1] == ',', ends = at[size] == ',' || !at[size];
        if (begins && ends)
            return true;
        at += size;
    }
    return false;
}
bool native_has_letter(const struct opcode_row *row, char letter) /* operand that begins with it, and a size */
{
    for (const char *at = row->operands; *at; at++)
        if (*at == letter && (at == row->operands || at[-1] == ',') && at[1] >= 'a' && at[1] <= 'z')
            return true;
    return false;
}

void native_emit(struct native_encoding *e, uint64_t value, unsigned size_bytes)
{
    memcpy(e->bytes + e->length, &value, size_bytes);
    e->length += size_bytes;
}

void native_emit_move(struct native_encoding *e, unsigned bits, unsigned reg, uint64_t value)
{
    if (bits == 64)
        native_emit(e, 0x48u | reg >> 3, 1);
    if (bits == 16)
        native_emit(e, 0x66, 1);
    native_emit(e, 0xB8u + (reg & 7), 1);
    native_emit(e, value, bits == 64 ? 8 : 4);
}

/* Effective sizes: 66 and 67 turn round what the code's size says. */
static bool operand16(const struct native_case *c, const struct native_choice *k)
{
    return k->operand16 != (c->bits == 16);
}
static bool address16(const struct native_case *c, const struct native_choice *k)
{
    return c->bits != 64 && k->address != (c->bits == 16);
}

static unsigned operand_size(const struct native_case *c, const struct native_choice *k)
{
    if (c->row->flags & OP_B8)
        return 1;
    if (c->bits == 64 && ((k->rex_bits & 8) || (c->row->flags & OP_F64)))
        return 8;
    if (c->bits == 64 && (c->row->flags & OP_D64))
        return k->operand16 ? 2 : 8;
    return operand16(c, k) ? 2 : 4;
}

static bool string_row(const struct opcode_row *row)
{
    return native_has_letter(row, 'X') || native_has_letter(row, 'Y');
}

/* Does 66 choose the operand's size beside a mandatory prefix (POPCNT, CRC32)? */
static bool has_v_operand(const struct opcode_row *row)
{
    return native_has_letter(row, 'E') && strchr(row->operands, 'v');
}

static void emit_prefixes(struct native_case *c, struct native_encoding *e, struct native_choice *k)
{
    static const uint8_t segments[] = {0x26, 0x2E, 0x36, 0x3E};
    const struct opcode_row *row = c->row;

    if (row->flags & OP_VEX) {
        if (native_chance(c, 4))
            native_emit(e, segments[native_random(c) % 4], 1);
        k->address = native_chance(c, c->bits == 16 ? 85 : 5);
        if (k->address)
            native_emit(e, 0x67, 1);
        return;
    }
    k->operand16 = row->prefix == PFX_66 || (row->prefix != PFX_NONE && native_chance(c, 20));
    if (row->prefix == PFX_NONE ||
        ((row->prefix == PFX_F2 || row->prefix == PFX_F3) && row->map != MAP_1 && !has_v_operand(row)))
        k->operand16 = false;
    k->address = native_chance(c, c->bits == 16 ? 85 : 5);
    if (native_chance(c, 3))
        native_emit(e, 0xF0, 1);
    if (native_chance(c, 4))
        native_emit(e, segments[native_random(c) % 4], 1);
    if (k->operand16)
        native_emit(e, 0x66, 1);
    if (k->address)
        native_emit(e, 0x67, 1);
    if (row->prefix == PFX_F2 || row->prefix == PFX_F3)
        native_emit(e, row->prefix == PFX_F2 ? 0xF2 : 0xF3, 1);
    else if (row->prefix == PFX_ANY && row->map == MAP_1 && !string_row(row) && row->opcode != 0x90 &&
             native_chance(c, 3))
        native_emit(e, native_chance(c, 50) ? 0xF2 : 0xF3, 1);
}

static void emit_rex(struct native_case *c, struct native_encoding *e, struct native_choice *k)
{
    const unsigned flags = c->row->flags;

    if (!(flags & OP_W1) && !native_chance(c, 60))
        return;
    k->rex_bits = (uint8_t)(native_random(c) & 15);
    if (flags & OP_W1)
        k->rex_bits |= 8;
    else if (flags & OP_W0)
        k->rex_bits &= 7;
    native_emit(e, 0x40u | k->rex_bits, 1);
}

static void emit_opcode(struct native_case *c, struct native_encoding *e)
{
    const struct opcode_row *row = c->row;

    if (row->map != MAP_1)
        native_emit(e, 0x0F, 1);
    if (row->map == MAP_0F38)
        native_emit(e, 0x38, 1);
    if (row->map == MAP_0F3A)
        native_emit(e, 0x3A, 1);
    native_emit(e, row->opcode + (row->flags & OP_OPREG ? native_random(c) % 8 : 0), 1);
}

static void choose_modrm(struct native_case *c, struct native_choice *k)
{
    unsigned kind = c->row->modrm & 0x700u, reg = (unsigned)native_random(c) % 8;
    bool can_memory = kind == MODRM_ANY || kind == MODRM_MEM || kind == 0x400 || kind == 0x500;
    bool can_register = kind != MODRM_MEM && kind != 0x500;

    if (kind == 0x700) {
        k->modrm = (uint8_t)c->row->modrm;
        return;
    }
    if (native_has_letter(c->row, 'M') ||
        strchr(c->row->operands, 'M') == c->row->operands + strlen(c->row->operands) - 1)
        can_register = can_register && kind != MODRM_ANY;
    if (kind >= 0x400)
        reg = c->row->modrm & 7;
    if (native_is_vsib(c->row)) {
        k->memory = true;
        k->modrm = (uint8_t)(reg << 3 | 4 | (native_random(c) % 3) << 6);
        return;
    }
    k->memory = can_memory && (!can_register || native_chance(c, 50));
    k->modrm = (uint8_t)(reg << 3 | native_random(c) % 8 | (k->memory ? (native_random(c) % 3) << 6 : 0xC0));
}

/* A memory operand of any shape, whose registers are then set so that it points to target. */
static void choose_memory(struct native_case *c, struct native_choice *k)
{
    const bool code64 = c->bits == 64;
    uint64_t mask = code64 && !k->address ? UINT64_MAX : UINT32_MAX, sum = 0;
    unsigned mod = k->modrm >> 6, rm = k->modrm & 7, base = rm | (k->rex_bits & 1) << 3, scale = 0;
    int index = -1;
    bool has_base = true;

    k->disp_bytes = mod == 1 ? 1 : mod == 2 ? 4 : 0;
    if (address16(c, k)) { /* 64 KiB at most: no arena there, so it faults */
        k->disp_bytes = mod == 1 ? 1 : mod == 2 || rm == 6 ? 2 : 0;
        k->disp = (int64_t)native_random(c);
        c->target = 0;
        return;
    }
    if (rm == 4) {
        k->has_sib = true;
        k->sib = (uint8_t)native_random(c);
        scale = k->sib >> 6;
        index = ((k->sib >> 3) & 7) | (k->rex_bits & 2) << 2;
        if (index == 4 || native_is_vsib(c->row))
            index = -1;
        base = (k->sib & 7) | (k->rex_bits & 1) << 3;
        has_base = (k->sib & 7) != 5 || mod != 0;
    } else if (rm == 5 && mod == 0) {
        has_base = false;
        k->rip_relative = code64;
    }
    if (!has_base)
        k->disp_bytes = 4;
    c->placed |= (uint16_t)((has_base ? 1u << base : 0) | (index >= 0 ? 1u << index : 0));
    k->disp = k->disp_bytes == 1 ? (int8_t)native_random(c) : k->disp_bytes == 4 ? (int32_t)native_random(c) : 0;
    if (!has_base) {
        if (index >= 0)
            c->in.gpr[index] = native_random(c) % 256;
        sum = index >= 0 ? c->in.gpr[index] << scale : 0;
        k->disp = (int64_t)(c->target - sum); /* low enough for 31 bits */
    } else if (index == (int)base) {          /* r * (1 + 2^scale) + disp: take a reachable target instead */
        k->disp = k->disp_bytes == 1 ? (int8_t)k->disp : 0;
        c->in.gpr[base] = (c->target / (1 + (1ull << scale))) & mask;
        c->target = (c->in.gpr[base] * (1 + (1ull << scale)) + (uint64_t)k->disp) & mask;
    } else {
        sum = index >= 0 ? c->in.gpr[index] << scale : 0;
        c->in.gpr[base] = (c->target - sum - (uint64_t)k->disp) & mask;
        if (code64 && k->address && native_chance(c, 50)) /* the upper half does not count */
            c->in.gpr[base] |= native_random(c) << 32;
    }
}

static uint64_t choose_target(struct native_case *c, const struct native_profile *profile)
{
    uint64_t at = native_between(c, NATIVE_DATA + 0x200, NATIVE_DATA + NATIVE_DATA_BYTES - 0x400);

    switch (native_random(c) % 32) {
    case 0: at = NATIVE_DATA + NATIVE_DATA_BYTES - native_random(c) % 20; break; /* runs out of it */
    case 1: at = NATIVE_DATA - native_random(c) % 20; break;
    case 2: at = NATIVE_RODATA + native_random(c) % 0xE00; break;
    case 3:
    case 4: at = NATIVE_DATA + 0x1000 * native_between(c, 1, 3) - native_random(c) % 20; break; /* crosses pages */
    case 5:
        if (c->bits == 64)
            at = native_random(c) | 1ull << 62; /* not canonical */
        break;
    default: break;
    }
    if ((profile->aligned || profile->aligned64) && !native_chance(c, 5))
        at &= profile->aligned64 ? ~63ull : ~15ull;
    return at;
}

static void emit_modrm(struct native_case *c, struct native_encoding *e, struct native_choice *k)
{
    (void)c;
    native_emit(e, k->modrm, 1);
    if (k->has_sib)
        native_emit(e, k->sib, 1);
    k->disp_at = e->length;
    native_emit(e, (uint64_t)k->disp, k->disp_bytes);
}

/* Not into the instruction itself: the host would run on. */
static uint64_t branch_distance(uint64_t distance)
{
    return (int8_t)distance < 0 && (int8_t)distance >= -15 ? distance - 16 : distance;
}

static void emit_immediates(struct native_case *c, struct native_encoding *e, const struct native_choice *k)
{
    const struct opcode_row *row = c->row;
    unsigned size = operand_size(c, k), word = size == 2 ? 2 : 4;

    if (native_has_operand(row, "Iw"))
        native_emit(e, native_value(c), 2);
    if (native_has_operand(row, "Iz"))
        native_emit(e, native_value(c), word);
    if (native_has_operand(row, "Iv"))
        native_emit(e, native_value(c), size);
    if (native_has_operand(row, "Ib") || native_has_operand(row, "sIb") || native_has_letter(row, 'L'))
        native_emit(e, native_value(c), 1);
    if (native_has_operand(row, "Jb"))
        native_emit(e, branch_distance(native_value(c)), 1);
    if (native_has_operand(row, "Jz")) /* within the code most of the time */
        native_emit(e,
                    branch_distance(native_chance(c, 80) ? native_between(c, 0, 0x1000) - c->offset : native_value(c)),
                    word);
    if (native_has_letter(row, 'O'))
        native_emit(e, choose_target(c, &(struct native_profile){0}),
                    c->bits == 64     ? (k->address ? 4 : 8)
                    : address16(c, k) ? 2
                                      : 4);
}

/* ---- state ----------------------------------------------------------------------------------------------------- */

static void fill_data(struct native_case *c)
{
    uint64_t style = native_random(c) % 4, word = native_random(c), state = c->random;

    for (unsigned at = 0; at < NATIVE_DATA_BYTES; at += 8) {
        uint64_t value = style == 0 ? (mix(&state) & 0x0101010101010101ull) : style == 1 ? word : mix(&state);
        memcpy(c->data + at, &value, 8);
    }
    if (style == 1) /* alike but for a few places */
        for (unsigned n = 0; n < 4; n++)
            c->data[mix(&state) % NATIVE_DATA_BYTES] ^= 1;
    c->random = state;
}

void native_case_init(struct native_case *c, uint64_t seed, unsigned bits)
{
    const uint16_t fcw = 0x37F;
    const uint32_t mxcsr = 0x1F80;
    uint64_t limit = bits == 64 ? UINT64_MAX : UINT32_MAX;

    c->row = NULL;
    c->seed = seed;
    c->random = seed;
    c->bits = bits;
    c->length = 0;
    c->placed = 0;
    c->rip_disp_at = 0;
    c->memory = false;
    c->target = 0;
    memset(&c->in, 0, sizeof c->in);
    fill_data(c);
    for (unsigned n = 0; n < 16; n++)
        c->in.gpr[n] = n < 8 || bits == 64 ? native_value(c) & limit : 0;
    c->in.gpr[CPU_RSP] = native_between(c, NATIVE_DATA + 0x1000, NATIVE_DATA + 0x3000);
    if (!native_chance(c, 20))
        c->in.gpr[CPU_RSP] &= ~7ull;
    c->in.rflags = (native_random(c) & 0x8D5u) | 0x202u | (native_chance(c, 10) ? 0x400u : 0);
    memcpy(c->in.fx + NATIVE_FX_FCW, &fcw, 2);
    memcpy(c->in.fx + NATIVE_FX_MXCSR, &mxcsr, 4);
    for (unsigned n = 0; n < 256; n += 8) {
        uint64_t value = native_value(c);
        memcpy(c->in.fx + NATIVE_FX_XMM + n, &value, 8);
        value = native_value(c);
        memcpy((uint8_t *)c->in.high + n, &value, 8);
    }
    c->offset = (unsigned)(native_random(c) % 0xF00);
}

static void place_implicit(struct native_case *c)
{
    const struct opcode_row *row = c->row;
    const char *name = row->mnemonic;

    if (string_row(row)) {
        c->placed |= 1u << CPU_RSI | 1u << CPU_RDI | 1u << CPU_RCX;
        c->in.gpr[CPU_RSI] = choose_target(c, &(struct native_profile){0});
        c->in.gpr[CPU_RDI] = native_chance(c, 30) ? c->in.gpr[CPU_RSI] + native_between(c, 0, 32) - 16 /* overlap */
                                                  : choose_target(c, &(struct native_profile){0});
        c->in.gpr[CPU_RCX] =
            native_chance(c, 5) ? native_value(c) : native_random(c) % (native_chance(c, 20) ? 9000 : 40);
        if (native_chance(c, 20))
            c->in.rflags ^= 0x400;
        if (c->bits != 64)
            c->in.gpr[CPU_RCX] &= UINT32_MAX;
    }
    if (!strcmp(name, "XLAT")) {
        c->placed |= 1u << CPU_RBX;
        c->in.gpr[CPU_RBX] = choose_target(c, &(struct native_profile){0});
    }
    if (!strcmp(name, "LEAVE") || !strcmp(name, "ENTER")) {
        c->placed |= 1u << CPU_RBP;
        c->in.gpr[CPU_RBP] = choose_target(c, &(struct native_profile){0});
    }
}

/* Targets of indirect branches and returns, within the code most of the time. */
static void place_branch(struct native_case *c)
{
    uint64_t to = native_chance(c, 80) ? NATIVE_CODE + native_between(c, 0, 0x1FFF) : native_random(c);
    uint64_t from = strcmp(c->row->mnemonic, "RET") ? c->target : c->in.gpr[CPU_RSP];

    if (native_group_of(c->row) != NATIVE_GROUP_BRANCH)
        return;
    if (to - c->in.rip < 16)
        to += 16;
    if (from >= NATIVE_DATA && from + 8 <= NATIVE_DATA + NATIVE_DATA_BYTES)
        memcpy(c->data + (from - NATIVE_DATA), &to, 8);
    if (!c->memory && c->row->modrm != MODRM_NONE)
        for (unsigned n = 0; n < 16; n++)
            if (n != CPU_RSP)
                c->in.gpr[n] = to;
}

/* Interesting values where the instruction will look. */
static void place_operand(struct native_case *c)
{
    uint64_t value = native_value(c);

    if (c->target >= NATIVE_DATA && c->target + 8 <= NATIVE_DATA + NATIVE_DATA_BYTES && native_chance(c, 60))
        memcpy(c->data + (c->target - NATIVE_DATA), &value, 8);
    if (native_chance(c, 30)) { /* compare-and-exchange, equal strings */
        bool inside = c->target >= NATIVE_DATA && c->target < NATIVE_DATA + NATIVE_DATA_BYTES - 8;
        memcpy(&c->in.gpr[CPU_RAX], c->data + (inside ? c->target - NATIVE_DATA : 0), c->bits == 64 ? 8 : 4);
    }
}

/* Where this silicon checks no alignment (MOVBE with 66 and REX.W) or does so before the segment (FXSAVE to CS). */
static bool odd_alignment(const struct native_case *c)
{
    return !strcmp(c->row->mnemonic, "MOVBE") || memchr(c->code, 0x2E, 4);
}

bool native_generate(struct native_case *c, const struct opcode_row *row, const struct native_profile *profile,
                     uint64_t seed)
{
    unsigned bits = profile->bits ? profile->bits : 64;
    struct native_encoding e = {.length = 0};
    struct native_choice k = {0};

    if (row->flags & (bits == 64 ? OP_I64 : OP_O64))
        return false;
    native_case_init(c, seed, bits);
    c->row = row;
    if (bits == 64 && native_chance(c, 2))
        c->in.gpr[CPU_RSP] |= 1ull << 62;
    emit_prefixes(c, &e, &k);
    if (row->flags & OP_VEX) {
        native_emit_vex(c, &e, &k);
    } else {
        if (bits == 64)
            emit_rex(c, &e, &k);
        emit_opcode(c, &e);
    }
    c->target = choose_target(c, profile);
    place_implicit(c);
    if (row->modrm != MODRM_NONE) {
        choose_modrm(c, &k);
        c->memory = k.memory;
        if (k.memory)
            choose_memory(c, &k);
        if (native_is_vsib(row) && k.has_sib)
            native_place_vsib(c, &k);
        emit_modrm(c, &e, &k);
    }
    emit_immediates(c, &e, &k);
    if (native_chance(c, 10))
        c->offset = 0x1000 - e.length + (unsigned)(native_random(c) % e.length); /* into the next page */
    c->in.rip = NATIVE_CODE + c->offset;
    if (k.rip_relative) {
        uint32_t disp = (uint32_t)(c->target - c->in.rip - e.length);
        c->rip_disp_at = k.disp_at;
        memcpy(e.bytes + k.disp_at, &disp, 4);
    }
    if (e.length > 15)
        return false;
    place_branch(c);
    if (bits != 64)
        for (unsigned n = 0; n < 16; n++)
            c->in.gpr[n] = n < 8 ? (uint32_t)c->in.gpr[n] : 0;
    if (native_group_of(row) != NATIVE_GROUP_BRANCH)
        place_operand(c);
    memcpy(c->code, e.bytes, e.length);
    c->length = e.length;
    if ((seed >> 9) % 12 == 0 && !odd_alignment(c))
        c->in.rflags |= RFLAGS_AC;
    if (profile->prepare)
        profile->prepare(c);
    return true;
}

uint64_t native_seed(const struct opcode_row *row, unsigned n)
{
    uint64_t state = (uint64_t)row->map << 40 | (uint64_t)row->opcode << 32 | (uint64_t)row->modrm << 16 | row->prefix |
                     (uint64_t)(row->flags & (OP_VEX | OP_L0 | OP_L1 | OP_W0 | OP_W1)) << 50;

    state += (uint64_t)n << 44;
    return mix(&state) >> 1;
}
