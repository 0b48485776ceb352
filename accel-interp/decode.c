/* The instruction decoder (Intel SDM vol. 2, chapter 2 and appendix A).
 *
 * The rows of opcodes.def are sorted once an instance by (map, opcode, how specific they are); the first that matches the
 * prefixes, the ModRM byte and the mode is the instruction. VEX encodings have slots of their own: C4 and C5 are VEX in
 * 64-bit code and, in other protected code, where LES and LDS would have a register operand. Not modelled: EVEX and XOP
 * encodings (what their first byte means outside 64-bit code is BOUND and POP, which need a memory operand, so that they
 * end as #UD by themselves). */
#include "accel-interp/decode.h"

#include <stdlib.h>
#include <string.h>

enum immediate {
    IMM_NONE,
    IMM_IB,
    IMM_SIGNED_IB,
    IMM_IW,
    IMM_IZ,
    IMM_IV,
    IMM_JB,
    IMM_JZ,
    IMM_FAR,
    IMM_MOFFS,
    IMM_IW_IB,
};

/* A row with what its operands say. */
struct decode_row {
    const struct opcode_row *row;
    uint8_t immediate;
    bool reg_byte, rm_byte; /* 8-bit registers */
    bool rm_register;       /* a register whatever mod says: MOV to and from CR and DR */
    bool uses_vvvv;         /* H or B operand */
    bool imm_register;      /* L operand */
    bool vsib;
    unsigned rank;
};

struct decode_slot {
    uint16_t first, count;
    bool has_modrm;
};

#define VEX_MAPS 4u /* slots of VEX rows: map + VEX_MAPS */

struct decode_tables {
    struct decode_slot slot[2 * VEX_MAPS][256];
    struct decode_row *rows;
};

/* ---- tables --------------------------------------------------------------------------------------------------- */

static void parse_operand(struct decode_row *out, const char *token, size_t length)
{
    static const struct {
        char text[4];
        uint8_t immediate;
    } names[] = {{"Ib", IMM_IB}, {"sIb", IMM_SIGNED_IB}, {"Iw", IMM_IW},  {"Iz", IMM_IZ},    {"Iv", IMM_IV},
                 {"Jb", IMM_JB}, {"Jz", IMM_JZ},         {"Ap", IMM_FAR}, {"Ob", IMM_MOFFS}, {"Ov", IMM_MOFFS}};

    for (unsigned n = 0; n < sizeof names / sizeof names[0]; n++) {
        if (length == strlen(names[n].text) && !memcmp(token, names[n].text, length))
            out->immediate = out->immediate == IMM_IW ? (uint8_t)IMM_IW_IB : names[n].immediate;
    }
    if (token[0] == 'L')
        out->immediate = IMM_IB;
    out->imm_register |= token[0] == 'L';
    out->uses_vvvv |= token[0] == 'H' || token[0] == 'B';
    out->vsib |= length == 3 && token[0] == 'v' && token[1] == 'M';
    if (length != 2)
        return;
    if (token[0] == 'G' && token[1] == 'b')
        out->reg_byte = true;
    if ((token[0] == 'E' || token[0] == 'R') && token[1] == 'b')
        out->rm_byte = true;
    if ((token[0] == 'C' || token[0] == 'D') && token[1] == 'd')
        out->rm_register = true;
}

static unsigned rank_of(const struct opcode_row *row)
{
    unsigned prefix = row->prefix == PFX_ANY ? 0 : row->prefix == PFX_NONE ? 1 : 2;
    unsigned modrm = 0;

    switch (row->modrm & 0xF00u) {
    case 0x700u: modrm = 4; break;
    case 0x600u:
    case 0x500u: modrm = 3; break;
    case 0x400u: modrm = 2; break;
    case 0x300u:
    case 0x200u: modrm = 1; break;
    default: break;
    }
    return prefix * 16 + modrm * 2 + !(row->flags & OP_OPREG);
}

static struct decode_row parse_row(const struct opcode_row *row)
{
    struct decode_row out = {.row = row, .rank = rank_of(row)};

    for (const char *token = row->operands; *token;) {
        size_t length = strcspn(token, ",");
        parse_operand(&out, token, length);
        token += length + (token[length] == ',');
    }
    if (row->flags & OP_OPREG)
        out.reg_byte = (row->flags & OP_B8) != 0;
    return out;
}

static unsigned row_span(const struct opcode_row *row)
{
    return row->flags & OP_OPREG ? 8 : 1;
}

static bool row_covers(const struct opcode_row *row, unsigned map, unsigned opcode)
{
    return row->map + (row->flags & OP_VEX ? VEX_MAPS : 0) == map && opcode - row->opcode < row_span(row);
}

static void fill_slot(struct decode_tables *tables, const struct decode_row *all, size_t count, unsigned map,
                      unsigned opcode, uint16_t *used)
{
    struct decode_slot *slot = &tables->slot[map][opcode];

    slot->first = *used;
    for (size_t n = 0; n < count; n++) {
        if (!row_covers(all[n].row, map, opcode))
            continue;
        uint16_t place = *used;
        while (place > slot->first && tables->rows[place - 1].rank < all[n].rank) {
            tables->rows[place] = tables->rows[place - 1];
            place--;
        }
        tables->rows[place] = all[n];
        ++*used;
        slot->has_modrm |= all[n].row->modrm != MODRM_NONE;
    }
    slot->count = (uint16_t)(*used - slot->first);
}

struct decode_tables *decode_tables_create(const struct cpu_model *model)
{
    return decode_tables_create_of(opcode_rows, opcode_rows_count, model);
}

struct decode_tables *decode_tables_create_of(const struct opcode_row *rows, size_t rows_count,
                                              const struct cpu_model *model)
{
    struct decode_tables *tables = calloc(1, sizeof *tables);
    struct decode_row *all = calloc(rows_count + 1, sizeof *all);
    size_t count = 0, total = 0;
    uint16_t used = 0;

    CHECK(tables && all);
    for (size_t n = 0; n < rows_count; n++) {
        if (model && rows[n].feature && !cpu_model_has(model, rows[n].feature))
            continue;
        all[count++] = parse_row(&rows[n]);
        total += row_span(&rows[n]);
    }
    CHECK(total < UINT16_MAX);
    tables->rows = calloc(total + 1, sizeof *tables->rows);
    CHECK(tables->rows);
    for (unsigned map = 0; map < 2 * VEX_MAPS; map++) {
        for (unsigned opcode = 0; opcode < 256; opcode++)
            fill_slot(tables, all, count, map, opcode, &used);
    }
    free(all);
    return tables;
}

void decode_tables_destroy(struct decode_tables *tables)
{
    if (tables)
        free(tables->rows);
    free(tables);
}

/* ---- one instruction ------------------------------------------------------------------------------------------ */

struct prefixes {
    bool operand, address, lock;
    bool wide;       /* REX.W or VEX.W, raw */
    uint8_t repeat;  /* 0, 0xF2, 0xF3: the last one */
    uint8_t rex;     /* 0: none; of VEX: the same bits, W only in 64-bit code */
    uint8_t segment; /* enum cpu_segment_index, or SEGMENT_DEFAULT */
};
#define SEGMENT_DEFAULT 0xFFu

struct vex {
    bool present;
    bool invalid; /* a prefix before it that may not be there, or a map that is none */
    uint8_t l;
    uint8_t vvvv; /* as a register number: 0 also when it names none */
};

struct reader {
    uint8_t bytes[48]; /* as far as available, then zeros: a reader past the end is found out by pos */
    unsigned pos;
    uint8_t mode;
    struct prefixes prefix;
    struct vex vex;
    uint8_t map, opcode, modrm;
};

static bool code64(const struct reader *r)
{
    return (r->mode & MODE_CODE_MASK) == MODE_CODE64;
}
static bool code16(const struct reader *r)
{
    return (r->mode & MODE_CODE_MASK) == MODE_CODE16;
}

static uint64_t take(struct reader *r, unsigned size_bytes)
{
    uint64_t value = 0;

    if (r->pos + size_bytes <= sizeof r->bytes)
        memcpy(&value, r->bytes + r->pos, size_bytes);
    r->pos += size_bytes;
    return value;
}

static int64_t take_signed(struct reader *r, unsigned size_bytes)
{
    unsigned shift = 64 - size_bytes * 8;

    return (int64_t)(take(r, size_bytes) << shift) >> shift;
}

static void set_segment(struct reader *r, uint8_t segment)
{
    if (!code64(r) || segment >= CPU_FS)
        r->prefix.segment = segment;
}

static bool legacy_prefix(struct reader *r, uint8_t byte)
{
    switch (byte) {
    case 0x26: set_segment(r, CPU_ES); return true;
    case 0x2E: set_segment(r, CPU_CS); return true;
    case 0x36: set_segment(r, CPU_SS); return true;
    case 0x3E: set_segment(r, CPU_DS); return true;
    case 0x64: set_segment(r, CPU_FS); return true;
    case 0x65: set_segment(r, CPU_GS); return true;
    case 0x66: r->prefix.operand = true; return true;
    case 0x67: r->prefix.address = true; return true;
    case 0xF0: r->prefix.lock = true; return true;
    case 0xF2:
    case 0xF3: r->prefix.repeat = byte; return true;
    default: return false;
    }
}

static void read_prefixes(struct reader *r)
{
    uint8_t rex = 0;

    while (r->pos < DECODE_BYTES_MAX) {
        uint8_t byte = r->bytes[r->pos];
        if (code64(r) && (byte & 0xF0u) == 0x40)
            rex = byte;
        else if (legacy_prefix(r, byte))
            rex = 0; /* REX counts only directly before the opcode */
        else
            break;
        r->pos++;
    }
    r->prefix.rex = rex;
    r->prefix.wide = rex & 8;
}

static bool vex_follows(const struct reader *r)
{
    if (r->pos >= DECODE_BYTES_MAX || (r->bytes[r->pos] & 0xFE) != 0xC4 || (r->mode & (MODE_REAL | MODE_VM86)))
        return false;
    return code64(r) || r->bytes[r->pos + 1] >= 0xC0;
}

/* R, X, B and vvvv are stored inverted; outside 64-bit code B says nothing, nor does the high bit of a vvvv that names a
 * register (of one that names none it must be set). */
static void read_vex(struct reader *r)
{
    bool three_bytes = take(r, 1) == 0xC4;
    uint8_t first = (uint8_t)take(r, 1);
    uint8_t last = three_bytes ? (uint8_t)take(r, 1) : first & 0x7F; /* W vvvv L pp */
    uint8_t map = three_bytes ? first & 0x1F : MAP_0F;
    uint8_t rex = (uint8_t)(0x40u | (~first >> 5 & (three_bytes ? 7u : 4u)));

    r->vex.present = true;
    r->vex.invalid = r->prefix.operand || r->prefix.repeat || r->prefix.lock || r->prefix.rex;
    r->vex.invalid |= map < MAP_0F || map > MAP_0F3A;
    r->vex.l = last >> 2 & 1;
    r->vex.vvvv = ~last >> 3 & 15;
    r->prefix.wide = last & 0x80;
    r->prefix.rex = code64(r) ? (uint8_t)(rex | (last & 0x80) >> 4) : 0x40;
    r->prefix.operand = (last & 3) == 1;
    r->prefix.repeat = (last & 3) < 2 ? 0 : (last & 3) == 2 ? 0xF3 : 0xF2;
    r->map = (uint8_t)(VEX_MAPS + (r->vex.invalid ? 0u : map));
    r->opcode = (uint8_t)take(r, 1);
}

static void read_opcode(struct reader *r)
{
    r->map = MAP_1;
    r->opcode = (uint8_t)take(r, 1);
    if (r->opcode != 0x0F)
        return;
    r->map = MAP_0F;
    r->opcode = (uint8_t)take(r, 1);
    if (r->opcode != 0x38 && r->opcode != 0x3A)
        return;
    r->map = r->opcode == 0x38 ? MAP_0F38 : MAP_0F3A;
    r->opcode = (uint8_t)take(r, 1);
}

static bool modrm_matches(uint16_t pattern, unsigned modrm)
{
    bool is_register = modrm >= 0xC0;
    bool digit = ((modrm >> 3) & 7) == (pattern & 7);

    switch (pattern & 0xF00u) {
    case MODRM_MEM: return !is_register;
    case MODRM_REG: return is_register;
    case 0x400u: return digit;
    case 0x500u: return digit && !is_register;
    case 0x600u: return digit && is_register;
    case 0x700u: return modrm == (pattern & 0xFF);
    default: return true;
    }
}

static bool prefix_matches(uint8_t wanted, const struct prefixes *prefix)
{
    switch (wanted) {
    case PFX_NONE: return !prefix->operand && !prefix->repeat;
    case PFX_66: return prefix->operand && !prefix->repeat;
    case PFX_F3: return prefix->repeat == 0xF3;
    case PFX_F2: return prefix->repeat == 0xF2;
    default: return true;
    }
}

static bool vex_matches(const struct reader *r, const struct decode_row *candidate)
{
    uint16_t flags = candidate->row->flags;

    if ((flags & OP_L0 && r->vex.l) || (flags & OP_L1 && !r->vex.l))
        return false;
    return candidate->uses_vvvv || r->vex.vvvv == 0;
}

static bool row_matches(const struct reader *r, const struct decode_row *candidate)
{
    const struct opcode_row *row = candidate->row;

    if (!prefix_matches(row->prefix, &r->prefix) ||
        !modrm_matches(row->modrm, candidate->rm_register ? r->modrm | 0xC0u : r->modrm))
        return false;
    if (row->flags & (code64(r) ? OP_I64 : OP_O64) || (row->flags & OP_NO_REP && r->prefix.repeat))
        return false;
    if ((row->flags & OP_W0 && r->prefix.wide) || (row->flags & OP_W1 && !r->prefix.wide))
        return false;
    if (r->vex.present && !vex_matches(r, candidate))
        return false;
    return !(row->flags & OP_PROT) || !(r->mode & (MODE_REAL | MODE_VM86));
}

static const struct decode_row *find_row(const struct decode_tables *tables, const struct reader *r)
{
    const struct decode_slot *slot = &tables->slot[r->map][r->opcode];

    for (unsigned n = 0; n < slot->count; n++) {
        if (row_matches(r, &tables->rows[slot->first + n]))
            return &tables->rows[slot->first + n];
    }
    return NULL;
}

static unsigned address_size(const struct reader *r)
{
    if (code64(r))
        return r->prefix.address ? 2 : 3;
    return code16(r) == r->prefix.address ? 2 : 1;
}

static unsigned operand_size(const struct reader *r, const struct opcode_row *row)
{
    bool wide = (r->prefix.rex & 8) != 0;

    if (row->flags & OP_B8)
        return 0;
    if (row->flags & OP_VEX)
        return wide ? 3 : 2;
    if (row->prefix == PFX_66 || (row->prefix == PFX_NONE && row->map != MAP_1))
        return wide ? 3 : 2;
    if (!code64(r))
        return code16(r) == r->prefix.operand ? 2 : 1;
    if (wide || (row->flags & OP_F64))
        return 3;
    if (row->flags & OP_D64)
        return r->prefix.operand ? 1 : 3;
    return r->prefix.operand ? 1 : 2;
}

/* ---- operands ------------------------------------------------------------------------------------------------- */

static void memory_operand16(struct reader *r, struct insn *insn)
{
    static const uint8_t bases[8] = {CPU_RBX, CPU_RBX, CPU_RBP, CPU_RBP, CPU_RSI, CPU_RDI, CPU_RBP, CPU_RBX};
    static const uint8_t indices[8] = {CPU_RSI, CPU_RDI, CPU_RSI, CPU_RDI, REG_ZERO, REG_ZERO, REG_ZERO, REG_ZERO};
    unsigned mod = r->modrm >> 6, rm = r->modrm & 7;

    insn->base = bases[rm];
    insn->scaled = indices[rm];
    if (mod == 0 && rm == 6) {
        insn->base = REG_ZERO;
        insn->disp = (int32_t)take_signed(r, 2);
    } else if (mod) {
        insn->disp = (int32_t)take_signed(r, mod);
    }
}

static void read_sib(struct reader *r, struct insn *insn, unsigned mod, bool vsib)
{
    uint8_t sib = (uint8_t)take(r, 1);
    unsigned index = ((sib >> 3) & 7) | ((r->prefix.rex & 2u) << 2);

    insn->base = (uint8_t)((sib & 7) | ((r->prefix.rex & 1u) << 3));
    if ((sib & 7) == 5 && mod == 0) {
        insn->base = REG_ZERO;
        insn->disp = (int32_t)take_signed(r, 4);
    }
    if (vsib || index != CPU_RSP) {
        insn->scaled = (uint8_t)index;
        insn->scale = sib >> 6;
    }
}

static void memory_operand(struct reader *r, struct insn *insn, bool vsib)
{
    unsigned mod = r->modrm >> 6, rm = r->modrm & 7;

    insn->scaled = REG_ZERO;
    insn->base = (uint8_t)(rm | ((r->prefix.rex & 1u) << 3));
    if (rm == 4) {
        read_sib(r, insn, mod, vsib);
    } else if (rm == 5 && mod == 0) {
        insn->base = code64(r) ? REG_RIP : REG_ZERO;
        insn->disp = (int32_t)take_signed(r, 4);
    }
    if (mod)
        insn->disp = (int32_t)take_signed(r, mod == 1 ? 1 : 4);
}

static uint8_t operand_segment(const struct reader *r, const struct insn *insn)
{
    if (r->prefix.segment != SEGMENT_DEFAULT)
        return r->prefix.segment;
    return insn->base == CPU_RSP || insn->base == CPU_RBP ? CPU_SS : CPU_DS;
}

static uint8_t byte_register(const struct reader *r, unsigned number)
{
    if (!r->prefix.rex && number >= 4)
        return (uint8_t)((number - 4) * 8 + 1);
    return (uint8_t)(number * 8);
}

static void read_registers(const struct reader *r, const struct decode_row *found, struct insn *insn)
{
    unsigned reg, rm;

    if (found->row->flags & OP_OPREG) {
        reg = rm = (r->opcode & 7) | ((r->prefix.rex & 1u) << 3);
    } else if (found->row->modrm == MODRM_NONE) {
        reg = rm = 0; /* the accumulator, whatever REX says */
    } else {
        reg = ((r->modrm >> 3) & 7) | ((r->prefix.rex & 4u) << 1);
        rm = (r->modrm & 7) | ((r->prefix.rex & 1u) << 3);
    }
    insn->reg = found->reg_byte ? byte_register(r, reg) : (uint8_t)reg;
    insn->rm = found->rm_byte ? byte_register(r, rm) : (uint8_t)rm;
}

static void read_moffs(struct reader *r, struct insn *insn)
{
    insn->imm = take(r, 1u << address_size(r));
    insn->disp = (int32_t)(uint32_t)insn->imm; /* for 16- and 32-bit addresses that is all */
}

static void read_immediate(struct reader *r, enum immediate kind, struct insn *insn)
{
    unsigned osize = insn_osize(insn);

    switch (kind) {
    case IMM_NONE: break;
    case IMM_IB: insn->imm = take(r, 1); break;
    case IMM_SIGNED_IB:
    case IMM_JB: insn->imm = (uint64_t)take_signed(r, 1); break;
    case IMM_IW: insn->imm = take(r, 2); break;
    case IMM_IZ:
    case IMM_JZ: insn->imm = (uint64_t)take_signed(r, osize == 1 ? 2 : 4); break;
    case IMM_IV: insn->imm = take(r, 1u << osize); break;
    case IMM_FAR:
        insn->imm = take(r, osize == 1 ? 2 : 4);
        insn->imm |= take(r, 2) << 32;
        break;
    case IMM_MOFFS: read_moffs(r, insn); break;
    case IMM_IW_IB:
        insn->imm = take(r, 2);
        insn->imm |= take(r, 1) << 16;
        break;
    }
}

/* ---- the function --------------------------------------------------------------------------------------------- */

static enum insn_form form_of(const struct reader *r, const struct insn *insn)
{
    unsigned asize = insn_asize(insn);
    bool flat = code64(r) || (r->mode & MODE_FLAT);

    /* CS is flat too, but not for writing */
    if (!flat || insn->seg >= CPU_FS || (insn->seg == CPU_CS && !code64(r)))
        return FORM_MEMSEG;
    if (asize == 3)
        return FORM_MEM64;
    return asize == 2 ? FORM_MEM32 : FORM_MEMSEG;
}

static const struct insn_forms *prefer(const struct insn_forms *forms, const struct insn_forms *special,
                                       const struct insn *insn, enum insn_form form)
{
    return special && special->fn[insn_osize(insn)][form] ? special : forms;
}

static insn_fn *pick_function(const struct reader *r, const struct opcode_row *row, const struct insn *insn,
                              enum insn_form form, bool other_page)
{
    const struct insn_forms *forms = row->forms;
    const uint8_t flat32 = MODE_FLAT | MODE_STACK32 | MODE_CODE32;

    if (code64(r))
        forms = prefer(forms, forms->code64, insn, form);
    else if ((r->mode & (flat32 | MODE_CODE_MASK)) == flat32)
        forms = prefer(forms, forms->flat32, insn, form);
    if (other_page)
        forms = prefer(forms, forms->other_page, insn, form);
    insn_fn *base = forms->fn[insn_osize(insn)][FORM_BASE64];
    if (form == FORM_MEM64 && insn->scaled == REG_ZERO && base)
        return base;
    return forms->fn[insn_osize(insn)][form];
}

static uint8_t insn_bits(const struct reader *r, const struct opcode_row *row)
{
    unsigned bits = operand_size(r, row) | (address_size(r) << INSN_ASIZE_SHIFT);

    if (r->prefix.lock)
        bits |= INSN_LOCK;
    if (r->prefix.rex && !r->vex.present)
        bits |= INSN_REX;
    if (r->prefix.repeat && !(row->flags & (OP_SUPPRESS_REP | OP_VEX)))
        bits |= r->prefix.repeat == 0xF3 ? INSN_REP : INSN_REPNE;
    return (uint8_t)bits;
}

static enum decode_status bytes_status(const struct reader *r, unsigned available)
{
    if (r->pos > DECODE_BYTES_MAX && available >= DECODE_BYTES_MAX)
        return DECODE_TOO_LONG;
    return r->pos > available ? DECODE_MORE : DECODE_OK;
}

/* Operands that count from the instruction's end. */
static void finish_relative(struct insn *insn, enum immediate kind)
{
    if (kind == IMM_JB || kind == IMM_JZ)
        insn->imm += (uint64_t)insn->off + insn->len;
    if (insn->base != REG_RIP || !__builtin_add_overflow(insn->disp, (int32_t)insn->off + insn->len, &insn->disp))
        return;
    insn->scaled = REG_FAR;
    insn->disp = (int32_t)((uint32_t)insn->disp - REG_FAR_VALUE);
}

/* Does a direct branch have a successor in another page? */
static bool leaves_page(const struct insn *insn, enum immediate kind, unsigned block_page_offset)
{
    if (kind != IMM_JB && kind != IMM_JZ)
        return false;
    return block_page_offset + insn->imm >= MEMORY_PAGE_BYTES ||
           block_page_offset + insn->off + insn->len >= MEMORY_PAGE_BYTES;
}

static enum decode_status decode_row(struct reader *r, const struct decode_row *found, unsigned available,
                                     unsigned block_page_offset, struct decoded *out)
{
    const struct opcode_row *row = found->row;
    struct insn *insn = &out->insn;
    bool has_modrm = row->modrm != MODRM_NONE;
    bool memory = has_modrm && r->modrm < 0xC0 && !found->rm_register;
    enum insn_form form = FORM_REG;

    insn->bits = insn_bits(r, row);
    insn->modrm = r->modrm;
    insn->base = insn->scaled = REG_ZERO;
    read_registers(r, found, insn);
    if (memory && address_size(r) == 1)
        memory_operand16(r, insn);
    else if (memory)
        memory_operand(r, insn, found->vsib);
    insn->seg = operand_segment(r, insn);
    read_immediate(r, found->immediate, insn);
    if (found->imm_register && !code64(r))
        insn->imm &= 0x7F;
    if (row->flags & OP_VEX)
        insn->imm |= (uint64_t)(r->vex.vvvv & (code64(r) ? 15 : 7)) << INSN_VVVV_SHIFT;
    insn->len = (uint8_t)(r->pos > DECODE_BYTES_MAX ? DECODE_BYTES_MAX : r->pos);

    enum decode_status status = bytes_status(r, available);
    if (status != DECODE_OK)
        return status;
    if (found->vsib && ((r->modrm & 7) != 4 || address_size(r) == 1))
        return DECODE_UNDEFINED;
    if (r->prefix.lock && !((row->flags & OP_LOCKOK) && memory))
        return DECODE_UNDEFINED;
    finish_relative(insn, found->immediate);
    if (memory)
        form = form_of(r, insn);
    out->leaves_page = leaves_page(insn, found->immediate, block_page_offset);
    insn->fn = pick_function(r, row, insn, form, out->leaves_page);
    out->row = row;
    return insn->fn ? DECODE_OK : DECODE_UNDEFINED;
}

enum decode_status decode_insn(const struct decode_tables *tables, uint8_t mode, const uint8_t *bytes,
                               unsigned available, unsigned block_offset, unsigned block_page_offset,
                               struct decoded *out)
{
    struct reader r = {.mode = mode, .prefix.segment = SEGMENT_DEFAULT};
    enum decode_status status;

    memcpy(r.bytes, bytes, available < DECODE_BYTES_MAX ? available : DECODE_BYTES_MAX);
    memset(out, 0, sizeof *out);
    out->insn.off = (uint16_t)block_offset;
    read_prefixes(&r);
    if (vex_follows(&r))
        read_vex(&r);
    else
        read_opcode(&r);
    if (tables->slot[r.map][r.opcode].has_modrm)
        r.modrm = (uint8_t)take(&r, 1);
    out->insn.len = (uint8_t)(r.pos > DECODE_BYTES_MAX ? DECODE_BYTES_MAX : r.pos);

    status = bytes_status(&r, available);
    if (status != DECODE_OK)
        return status;
    const struct decode_row *found = find_row(tables, &r);
    out->reserved = r.map == MAP_0F && (r.opcode == 0x0B || r.opcode == 0xB9 || r.opcode == 0xFF);
    if (!found)
        return DECODE_UNDEFINED;
    if (tables->slot[r.map][r.opcode].has_modrm && found->row->modrm == MODRM_NONE)
        r.pos--; /* an opcode that has a ModRM byte only in other rows */
    return decode_row(&r, found, available, block_page_offset, out);
}
