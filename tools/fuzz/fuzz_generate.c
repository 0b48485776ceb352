/* vmrr fuzz: cases. Each instruction is made by the native check's generator for its row; the registers that its operand needs
 * are loaded by moves before it, and what it should find there is put into the data. All rows that a process can execute are
 * used, but those whose result is the host's own (its descriptor tables, clocks, XCR0), and branches at the end only. */
#include "core/cpu_model.h"
#include "core/cpu_state.h"
#include "tools/fuzz/fuzz.h"
#include "tools/fuzz/native_fp.h"
#include "tools/fuzz/native_internal.h"

#include <string.h>

#define TRIES 1000u
#define OPERAND_BYTES 64u

bool native_in_list(const char *list, const char *name)
{
    size_t size = strlen(name);

    for (const char *at = list; (at = strstr(at, name)); at += size)
        if ((at == list || at[-1] == ' ') && (at[size] == ' ' || !at[size]))
            return true;
    return false;
}

/* At CPL 3 these fault. */
static bool privileged(const struct opcode_row *row)
{
    return native_in_list(
        "LLDT LTR LGDT LIDT LMSW INVLPG SWAPGS CLAC STAC CLTS INVD WBINVD HLT CLI STI WRMSR RDMSR UD0 UD1 UD2",
        row->mnemonic);
}

/* At CPL 0 these do something, and leave the machine as it is. */
static bool harmless(const struct opcode_row *row)
{
    return native_in_list("INVLPG CLAC STAC CLTS INVD WBINVD CLI STI UD0 UD1 UD2 SGDT SIDT SLDT STR SMSW", row->mnemonic);
}

static bool wanted(struct native_case *c, const struct opcode_row *row, unsigned level)
{
    switch (native_group_of(row)) {
    case NATIVE_GROUP_BRANCH:
    case NATIVE_GROUP_XSAVE: return false;
    case NATIVE_GROUP_SYSTEM: return level ? privileged(row) && native_chance(c, 2) : harmless(row) && native_chance(c, 30);
    case NATIVE_GROUP_INTEGER:
        return !native_in_list("IN OUT INS OUTS INT3 INT INTO IRET", row->mnemonic) || native_chance(c, 1);
    case NATIVE_GROUP_X87: return native_chance(c, 60);
    case NATIVE_GROUP_SSE:
    case NATIVE_GROUP_AVX: return !fp_is_other_table(row);
    case NATIVE_GROUP_BMI:
    case NATIVE_GROUP_COUNT:
    default: return true;
    }
}

static bool last_branch(const struct opcode_row *row)
{
    return native_group_of(row) == NATIVE_GROUP_BRANCH &&
           (native_has_operand(row, "Jb") || native_has_operand(row, "Jz"));
}

static void add(struct fuzz_case *fuzz, const uint8_t *bytes, unsigned length)
{
    struct fuzz_insn *insn = &fuzz->insn[fuzz->count++];

    *insn = (struct fuzz_insn){.length = (uint8_t)length};
    memcpy(insn->bytes, bytes, length);
}

static unsigned count_bits(unsigned bits)
{
    return (unsigned)__builtin_popcount(bits);
}

/* What it finds where its operand lies: as generated, or numbers of a kind. */
static void put_operand(struct native_case *from, struct fuzz_case *fuzz)
{
    uint64_t at = from->target - NATIVE_DATA;
    unsigned style = fp_pick(from, 4);

    if (!from->memory || from->target < NATIVE_DATA || at + OPERAND_BYTES > NATIVE_DATA_BYTES)
        return;
    memcpy(fuzz->data + at, from->data + at, OPERAND_BYTES);
    for (unsigned n = 0; n < OPERAND_BYTES && style < 2; n += 8) {
        uint64_t value = style ? fp_f64(from) : (uint64_t)fp_f32(from) << 32 | fp_f32(from);
        memcpy(fuzz->data + at + n, &value, 8);
    }
    if (style == 2 && native_group_of(from->row) == NATIVE_GROUP_X87)
        fp_f80(from, fuzz->data + at);
}

/* False: there is no room for it and the moves. */
static bool add_row(struct fuzz_case *fuzz, struct native_case *c)
{
    if (fuzz->count + count_bits(c->placed) + 1 > FUZZ_INSNS_MAX)
        return false;
    for (unsigned reg = 0; reg < 16; reg++) {
        struct native_encoding move = {.length = 0};
        if (!(c->placed >> reg & 1))
            continue;
        native_emit_move(&move, fuzz->bits, reg, c->in.gpr[reg]);
        add(fuzz, move.bytes, move.length);
    }
    add(fuzz, c->code, c->length);
    fuzz->insn[fuzz->count - 1].rip_disp_at = (uint8_t)c->rip_disp_at;
    fuzz->insn[fuzz->count - 1].rip_target = c->target;
    put_operand(c, fuzz);
    return true;
}

static bool taken(struct native_case *base, const struct opcode_row *row, struct fuzz_reference *reference)
{
    unsigned share = reference->ops->share ? reference->ops->share(reference, row) : 100;
    return share >= 100 || (share && native_chance(base, share));
}

/* A row that the reference has, and its case; base: the generator. */
static bool choose(struct native_case *base, struct native_case *c, bool branch, unsigned level,
                   const struct native_harness *h, struct fuzz_reference *reference)
{
    for (unsigned n = 0; n < TRIES; n++) {
        const struct opcode_row *row = &opcode_rows[native_random(base) % opcode_rows_count];
        const struct native_profile profile = {.bits = base->bits, .aligned = native_chance(base, 60)};
        if (!(branch ? last_branch(row) : wanted(base, row, level)) || !native_has_feature(h, row->feature) ||
            !reference->ops->has_feature(reference, row->feature) ||
            !taken(base, row, reference))
            continue;
        if (native_generate(c, row, &profile, native_random(base)) && !native_host_lacks_case(h, c))
            return true;
    }
    return false;
}

static void start(struct fuzz_case *fuzz, const struct native_case *c)
{
    fuzz->in = c->in;
    memcpy(fuzz->data, c->data, NATIVE_DATA_BYTES);
}

void fuzz_generate(struct fuzz_case *fuzz, uint64_t seed, unsigned bits, unsigned level, const struct native_harness *h,
                   struct fuzz_reference *reference)
{
    static const unsigned lengths[] = {1, 2, 3, 4, 6, 8, 12, 20};
    struct native_case base, c;

    native_case_init(&base, seed, bits);
    fp_prepare_sse(&base);
    fp_prepare_x87(&base);
    if (native_chance(&base, 5))
        base.in.rflags |= 0x40000; /* AC */
    *fuzz = (struct fuzz_case){.seed = seed, .bits = bits, .level = level, .paging = native_paging(h), .offset = base.offset};
    start(fuzz, &base);
    unsigned wanted_count = lengths[fp_pick(&base, 8)];
    for (unsigned n = 0; n < wanted_count; n++) {
        bool branch = n && n == wanted_count - 1 && native_chance(&base, 10);
        if (!choose(&base, &c, branch, level, h, reference))
            break;
        if (!n && native_is_vsib(c.row)) /* its indices */
            start(fuzz, &c);
        if (!add_row(fuzz, &c))
            break;
        if (branch && !fuzz_is_sound(fuzz, h))
            fuzz->insn[--fuzz->count] = (struct fuzz_insn){.length = 0};
    }
}

bool fuzz_is_sound(const struct fuzz_case *fuzz, const struct native_harness *h)
{
    const uint64_t start = fuzz_address(fuzz, 0), end = fuzz_address(fuzz, fuzz->count);

    for (unsigned n = 0; n < fuzz->count; n++) {
        int64_t distance;
        if (!native_branch_of(h, fuzz->bits, fuzz->insn[n].bytes, fuzz->insn[n].length, &distance))
            continue;
        uint64_t target = fuzz_address(fuzz, n) + (uint64_t)distance;
        unsigned at = 0;
        while (at < fuzz->count && fuzz_address(fuzz, at) != target)
            at++;
        if (at == fuzz->count && target >= start && target < end)
            return false;
    }
    return true;
}

uint64_t fuzz_address(const struct fuzz_case *fuzz, unsigned n)
{
    uint64_t at = NATIVE_CODE + fuzz->offset;

    for (unsigned before = 0; before < n; before++)
        at += fuzz->insn[before].length;
    return at;
}

unsigned fuzz_reached(const struct fuzz_case *fuzz, const struct native_outcome *outcome)
{
    for (unsigned n = 0; n < fuzz->count && outcome->state.vector >= 0; n++) {
        if (fuzz_address(fuzz, n) == outcome->state.rip)
            return n + 1; /* its fault is looked at too; behind a trap: one more than there were */
    }
    return fuzz->count;
}

void fuzz_assemble(const struct fuzz_case *fuzz, struct native_case *c)
{
    memset(c, 0, offsetof(struct native_case, data));
    c->seed = fuzz->seed;
    c->bits = fuzz->bits;
    c->offset = fuzz->offset;
    c->in = fuzz->in;
    c->in.rip = NATIVE_CODE + fuzz->offset;
    memcpy(c->data, fuzz->data, NATIVE_DATA_BYTES);
    for (unsigned n = 0; n < fuzz->count; n++) {
        const struct fuzz_insn *insn = &fuzz->insn[n];
        uint8_t *to = c->code + c->length;
        memcpy(to, insn->bytes, insn->length);
        c->length += insn->length;
        if (!insn->rip_disp_at)
            continue;
        uint32_t disp = (uint32_t)(insn->rip_target - (c->in.rip + c->length));
        memcpy(to + insn->rip_disp_at, &disp, 4);
    }
}
