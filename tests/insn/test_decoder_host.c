/* The decoder against capstone and against this host's CPU: is it an instruction, and how long is it? In 16-, 32- and 64-bit
 * code.
 *
 * Byte strings: every opcode byte of every map under every set of prefixes with every ModRM byte (a part of them, or all:
 * VMRR_INSN_EXHAUSTIVE=1), every VEX form, and random strings. Where the decoder and capstone disagree, and in some cases
 * where they agree, the CPU judges. It is asked as a process can ask it: with k bytes of the instruction before the end of
 * executable memory, an instruction longer than k faults at the fetch; #UD says that there is none. What stays different
 * between the decoder and the CPU is listed here, with the reason, or in opcodes_other.def, which has the instructions that
 * processors have and no model; any other difference fails the test. What a process must not execute (system calls, segment
 * loads that would take its thread pointer away) is judged by capstone alone. */
#include "accel-interp/decode.h"
#include "tests/insn/native.h"
#include "tools/fuzz/native_host.h"

#include <capstone/capstone.h>
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VECTOR_UD = 6, VECTOR_GP = 13, VECTOR_PF = 14 };
enum { REASONS_MAX = 64, UNEXPLAINED_MAX = 20 };
#define FETCH 0x10u                                /* of a #PF's error code */
#define CODE_END (NATIVE_CODE + NATIVE_CODE_BYTES) /* nothing is mapped from here on */

static struct native_harness *harness;
static struct decode_tables *tables, *other_tables; /* of opcodes_other.def */

/* ---- strings ------------------------------------------------------------------------------------------------------ */

/* An instruction's bytes, taken apart as far as the lists below need it. */
struct string {
    uint8_t bytes[DECODE_BYTES_MAX];
    unsigned bits;
    bool operand, address, repeat, repne, lock, rex; /* prefixes */
    bool vex, evex;
    unsigned map; /* 0: one byte, 1: 0F, 2: 0F38, 3: 0F3A */
    uint8_t opcode, modrm;
};

static uint64_t mix(uint64_t x)
{
    x = (x + 0x9E3779B97F4A7C15ull) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

static bool take_prefix(struct string *s, uint8_t byte)
{
    bool rex = s->bits == 64 && (byte & 0xF0) == 0x40;

    s->operand |= byte == 0x66;
    s->address |= byte == 0x67;
    s->repne |= byte == 0xF2;
    s->repeat |= byte == 0xF3;
    s->lock |= byte == 0xF0;
    s->rex |= rex;
    return rex || memchr("\x26\x2E\x36\x3E\x64\x65\x66\x67\xF0\xF2\xF3", byte, 11);
}

static void take_apart(struct string *s)
{
    unsigned at = 0;

    while (at < sizeof s->bytes - 5 && take_prefix(s, s->bytes[at]))
        at++;
    const uint8_t *b = s->bytes + at;
    bool long_form = s->bits == 64 || b[1] >= 0xC0;
    s->vex = (b[0] == 0xC4 || b[0] == 0xC5) && long_form;
    s->evex = b[0] == 0x62 && long_form;
    if (s->vex) {
        s->map = b[0] == 0xC4 ? b[1] & 31 : 1;
        b += b[0] == 0xC4 ? 3 : 2;
    } else if (b[0] == 0x0F && (b[1] == 0x38 || b[1] == 0x3A)) {
        s->map = b[1] == 0x38 ? 2 : 3;
        b += 2;
    } else if (b[0] == 0x0F) {
        s->map = 1;
        b++;
    }
    s->opcode = b[0];
    s->modrm = b[1];
}

static const char *const prefix_sets[] = {"",         "\x66",     "\xF2",     "\xF3",     "\x67",     "\xF0",
                                          "\x66\xF2", "\x66\xF3", "\xF3\x66", "\x2E",     "\x66\x67", "\x48",
                                          "\x45",     "\x66\x4F", "\xF3\x49", "\xF2\x48", "\x64",     "\xF0\x66"};
#define PREFIX_SETS (sizeof prefix_sets / sizeof prefix_sets[0])
#define LEGACY_STRINGS (PREFIX_SETS * 4 * 65536)
#define VEX_STRINGS (3u * 32 * 65536) /* map; pp L W, vvvv 1111b or any */

static void fill_tail(struct string *s, unsigned from, uint64_t seed)
{
    for (unsigned n = from; n < sizeof s->bytes; n++)
        s->bytes[n] = (uint8_t)mix(seed * 16 + n);
}

static void legacy_string(struct string *s, uint64_t index)
{
    static const char *const maps[] = {"", "\x0F", "\x0F\x38", "\x0F\x3A"};
    const char *prefixes = prefix_sets[index >> 18], *map = maps[index >> 16 & 3];
    unsigned at = (unsigned)strlen(prefixes);

    fill_tail(s, 0, index + s->bits);
    memcpy(s->bytes, prefixes, at);
    memcpy(s->bytes + at, map, strlen(map));
    at += (unsigned)strlen(map);
    s->bytes[at] = (uint8_t)(index >> 8);
    s->bytes[at + 1] = (uint8_t)index;
}

static void vex_string(struct string *s, uint64_t index)
{
    unsigned form = (unsigned)(index >> 16) & 31, map = 1 + (unsigned)(index >> 21);
    uint64_t random = mix(index + s->bits);
    unsigned vvvv = form & 16 ? random & 15 : 15;
    unsigned last = (form & 8) << 4 | vvvv << 3 | (form & 7); /* W vvvv L pp */

    fill_tail(s, 0, index + s->bits);
    s->bytes[0] = 0xC4;
    s->bytes[1] = (uint8_t)((s->bits == 64 ? (random >> 8 & 0xE0) : 0xE0) | map);
    s->bytes[2] = (uint8_t)last;
    s->bytes[3] = (uint8_t)(index >> 8);
    s->bytes[4] = (uint8_t)index;
    if (map == 1 && !(form & 8) && (random >> 20 & 1)) { /* the two-byte form of it */
        s->bytes[0] = 0xC5;
        s->bytes[1] = (uint8_t)((s->bytes[1] & 0x80) | (last & 0x7F));
        memmove(s->bytes + 2, s->bytes + 3, sizeof s->bytes - 3);
    }
}

static void random_string(struct string *s, uint64_t index)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x64, 0x36, 0x48, 0x41, 0x44, 0xF0};
    uint64_t random = mix(index * 3 + s->bits);
    unsigned at = 0, kind = random & 7;

    fill_tail(s, 0, index * 5 + s->bits);
    for (unsigned count = random >> 8 & 7; count > 3; count--)
        s->bytes[at++] = prefixes[mix(random + count) % sizeof prefixes];
    if (kind >= 4)
        s->bytes[at++] = 0x0F;
    if (kind >= 6)
        s->bytes[at] = kind == 6 ? 0x38 : 0x3A;
}

/* ---- judges ------------------------------------------------------------------------------------------------------- */

/* 0: no instruction. */
static unsigned decoder_length(const struct decode_tables *by, const struct string *s, struct decoded *out)
{
    enum decode_status status = decode_insn(by, native_mode(s->bits), s->bytes, sizeof s->bytes, 0, 0, out);

    return status == DECODE_OK ? out->insn.len : status == DECODE_TOO_LONG ? DECODE_BYTES_MAX : 0;
}

static unsigned capstone_length(csh handle, const struct string *s)
{
    cs_insn *insn;
    size_t count = cs_disasm(handle, s->bytes, sizeof s->bytes, 0, 1, &insn);
    unsigned length = count ? insn->size : 0;

    if (count)
        cs_free(insn, count);
    return length;
}

/* What a process must not do to itself, or the outcome of which is no matter of decoding. */
static bool forbidden(const struct string *s)
{
    uint8_t reg = s->modrm >> 3 & 7, op = s->opcode;
    bool registers = s->modrm >= 0xC0;

    if (s->vex || s->evex)
        return false;
    if (s->map == 0)
        return op == 0xCD || op == 0x8E || op == 0x07 || op == 0x17 || op == 0x1F || op == 0xCE || op == 0xF1;
    if (s->map != 1)
        return false;
    return op == 0x05 || op == 0x34 || op == 0xA1 || op == 0xA9 || (op == 0xAE && registers && reg < 4) ||
           (op == 0x01 && (reg == 0 || (s->modrm & 0xFC) == 0xD4 || (s->modrm & 0xF8) == 0xD8) && registers);
}

static void judge_case(struct native_case *c, const struct string *s, unsigned available)
{
    for (unsigned n = 0; n < 16; n++) /* wherever an operand lies, nothing is mapped there */
        c->in.gpr[n] = 0x6A000000 + n * 0x1000 + (s->bits == 64 ? 1ull << 62 : 0);
    c->in.rflags = 0x202;
    c->bits = s->bits;
    c->length = available;
    c->offset = NATIVE_CODE_BYTES - available;
    c->in.rip = NATIVE_CODE + c->offset;
    memcpy(c->code, s->bytes, available);
}

/* 0: #UD. */
static unsigned host_length(struct native_case *c, const struct string *s)
{
    struct native_state out;

    for (unsigned available = 1; available <= DECODE_BYTES_MAX; available++) {
        judge_case(c, s, available);
        native_run_host(c, &out);
        bool fetch = out.vector == VECTOR_PF && (out.error & FETCH) && out.cr2 == CODE_END && out.rip == c->in.rip;
        if (!fetch)
            return out.vector == VECTOR_UD ? 0 : available;
    }
    return DECODE_BYTES_MAX;
}

/* What the decoder leaves to the instruction's function. */
static bool interp_undefined(struct native_case *c, const struct string *s, unsigned length)
{
    struct native_state out;

    judge_case(c, s, length);
    native_run_interp(harness, c, &out);
    return out.vector == VECTOR_UD;
}

/* ---- differences that are known ----------------------------------------------------------------------------------- */

/* Lengths; 0: no instruction. */
struct difference {
    const struct string *s;
    unsigned ours, theirs;
    const struct opcode_row *row; /* ours; null: none */
};
struct known {
    const char *reason;
    bool (*applies)(const struct difference *d);
};

static bool is_0f(const struct string *s, uint8_t opcode)
{
    return !s->vex && !s->evex && s->map == 1 && s->opcode == opcode;
}

/* Of AVX-512 and its successors; the byte is nothing else in 64-bit code. */
static bool evex(const struct difference *d)
{
    return d->s->evex && !d->ours;
}
static bool host_lacks(const struct difference *d)
{
    return d->row && d->ours && !d->theirs && !native_host_has(d->row->feature);
}
/* Skylake's servers take CLWB with a VEX prefix; the manual has nothing there. */
static bool vex_clwb(const struct difference *d)
{
    const struct string *s = d->s;

    return s->vex && s->map == 1 && s->opcode == 0xAE && (s->modrm >> 3 & 7) == 6 && s->modrm < 0xC0 && !d->ours &&
           d->theirs;
}
/* The three of AMD are by its manual (vol. 2, 3.1.1; vol. 3): not tried here. */
static bool amd_near_branch(const struct difference *d)
{
    const struct string *s = d->s;
    bool near_branch =
        (s->map == 0 && (s->opcode == 0xE8 || s->opcode == 0xE9)) || (s->map == 1 && s->opcode >> 4 == 8);

    return native_host_is("AuthenticAMD") && s->bits == 64 && s->operand && !s->vex && !s->evex && near_branch &&
           d->theirs + 2 == d->ours;
}
static bool amd_lock_cr0(const struct difference *d)
{
    return native_host_is("AuthenticAMD") && d->s->lock && (is_0f(d->s, 0x20) || is_0f(d->s, 0x22)) &&
           !(d->s->modrm & 0x38) && !d->ours && d->theirs;
}
static bool amd_sysexit(const struct difference *d)
{
    return native_host_is("AuthenticAMD") && is_0f(d->s, 0x35) && d->ours && !d->theirs;
}

/* Between the decoder and the CPU, beside opcodes_other.def. */
static const struct known known_host[] = {
    {"AVX-512, which no model has", evex},
    {"this CPU lacks the feature", host_lacks},
    {"VEX before CLWB: this CPU runs it, #UD here as the manual says", vex_clwb},
    {"66 before a near branch: two bytes to AMD", amd_near_branch},
    {"LOCK MOV CR0: to AMD it is CR8", amd_lock_cr0},
    {"SYSEXIT: AMD has none in long mode", amd_sysexit},
    {NULL, NULL},
};

static bool lock(const struct difference *d)
{
    return d->s->lock && !d->ours;
}
static bool segment_number(const struct difference *d)
{
    return !d->s->vex && d->s->map == 0 && d->s->opcode == 0x8E && d->ours && !d->theirs;
}
static bool of_other_machines(const struct difference *d)
{
    return is_0f(d->s, 0x01) && d->s->modrm >= 0xC0 && !d->ours;
}
static bool fsgsbase(const struct difference *d)
{
    return is_0f(d->s, 0xAE) && d->s->modrm >= 0xC0 && d->ours && !d->theirs;
}

/* Between the decoder and capstone, where the CPU can't be asked. */
static const struct known known_capstone[] = {
    {"capstone lets LOCK pass on what takes none", lock},
    {"MOV to CS, or to a segment register that does not exist: the function's #UD; capstone: REX.R is ignored",
     segment_number},
    {"VMX and SVM: not in any model", of_other_machines},
    {"66 beside F3: capstone takes it for another mandatory prefix", fsgsbase},
    {NULL, NULL},
};

static const char *explained(const struct known *list, const struct difference *d)
{
    for (; list->reason; list++)
        if (list->applies(d))
            return list->reason;
    return NULL;
}

/* ---- instructions that no model has ------------------------------------------------------------------------------- */

/* They are decoded all the same, so a row stays for its encoding alone. Where CPUID shows the feature every encoding of the row
 * must run, else the row says too much; where it does not, the silicon may run it or not. */

static const struct insn *never(struct interp *cpu, const struct insn *i)
{
    (void)cpu;
    return i;
}
static FORMS_ANY(no_forms, never);

#define OP(map, opcode, prefix, modrm, mnemonic, operands, feature, flags)                                             \
    {map, opcode, prefix, modrm, flags, mnemonic, operands, &no_forms, feature},
static const struct opcode_row other_rows[] = {
#include "tests/insn/opcodes_other.def"
};
#undef OP

/* Mask registers are eight. */
static bool no_such_mask(const struct decoded *decoded)
{
    bool takes_mask = strchr(decoded->row->operands, 'K');

    return takes_mask && (decoded->insn.reg >= 8 || insn_vvvv(&decoded->insn) >= 8);
}

/* The length by opcodes_other.def of what is #UD by ours; 0: of none. */
static unsigned other_length(const struct string *s, unsigned ours, struct decoded *out)
{
    unsigned length = ours ? 0 : decoder_length(other_tables, s, out);

    return out->row ? length : 0;
}

static bool must_run(const struct decoded *other)
{
    return native_host_says(other->row->feature) == NATIVE_RUNS && !no_such_mask(other);
}

/* ---- the comparison ----------------------------------------------------------------------------------------------- */

struct totals {
    unsigned strings, capstone_differs, judged, known, unexplained;
    struct {
        const char *reason;
        unsigned count;
    } reasons[REASONS_MAX];
};

static void note_known(struct totals *totals, const char *reason)
{
    unsigned n = 0;

    while (n < REASONS_MAX - 1 && totals->reasons[n].count && strcmp(totals->reasons[n].reason, reason))
        n++;
    totals->reasons[n].reason = reason;
    totals->reasons[n].count++;
    totals->known++;
}

static void print_known(const struct totals *totals)
{
    for (unsigned n = 0; n < REASONS_MAX && totals->reasons[n].count; n++)
        fprintf(stderr, "  %u: %s\n", totals->reasons[n].count, totals->reasons[n].reason);
}

static void print_string(const struct string *s, unsigned ours, unsigned capstone, int host, const char *why)
{
    fprintf(stderr, "  %u bits:", s->bits);
    for (unsigned n = 0; n < sizeof s->bytes; n++)
        fprintf(stderr, " %02x", s->bytes[n]);
    fprintf(stderr, "  length: decoder %u, capstone %u, CPU %d%s\n", ours, capstone, host, why);
}

/* Where the CPU can't be asked. */
static void compare_capstone(const struct difference *d, struct totals *totals)
{
    if (d->ours != d->theirs && !explained(known_capstone, d) && totals->unexplained++ < UNEXPLAINED_MAX)
        print_string(d->s, d->ours, d->theirs, -1, "");
}

static void compare_string(csh handle, struct string *s, struct totals *totals)
{
    static struct native_case c;
    struct decoded decoded, other = {.row = NULL};

    take_apart(s);
    unsigned ours = decoder_length(tables, s, &decoded), capstone = capstone_length(handle, s);
    unsigned others = other_length(s, ours, &other);
    bool differ = ours != capstone;
    totals->strings++;
    totals->capstone_differs += differ;
    if (!differ && !others && mix(totals->strings) % 16)
        return;
    if (forbidden(s) || (s->bits == 16 && !native_host_has16())) {
        compare_capstone(&(struct difference){s, ours, capstone, decoded.row}, totals);
        return;
    }
    unsigned host = host_length(&c, s);
    totals->judged++;
    if (others && !host && must_run(&other)) {
        if (totals->unexplained++ < UNEXPLAINED_MAX)
            print_string(s, ours, capstone, 0, ": but opcodes_other.def has it");
        return;
    }
    if (ours == host || (ours && !host && interp_undefined(&c, s, ours)))
        return;
    const char *reason = explained(known_host, &(struct difference){s, ours, host, decoded.row});
    if (others && others == host)
        reason = other.row->feature;
    if (reason)
        note_known(totals, reason);
    else if (totals->unexplained++ < UNEXPLAINED_MAX)
        print_string(s, ours, capstone, (int)host, "");
}

static void each_string(csh handle, unsigned bits, void (*make)(struct string *s, uint64_t index), uint64_t count,
                        uint64_t stride, struct totals *totals)
{
    for (uint64_t index = mix(bits) % stride; index < count; index += stride) {
        struct string s = {.bits = bits};
        make(&s, index);
        compare_string(handle, &s, totals);
    }
}

START_TEST(test_strings)
{
    static const struct {
        unsigned bits;
        cs_mode mode;
    } modes[] = {{16, CS_MODE_16}, {32, CS_MODE_32}, {64, CS_MODE_64}};
    const bool all = getenv("VMRR_INSN_EXHAUSTIVE") != NULL;
    const unsigned bits = modes[_i].bits;
    struct totals totals = {0};
    csh handle;

    ck_assert_int_eq(cs_open(CS_ARCH_X86, modes[_i].mode, &handle), CS_ERR_OK);
    each_string(handle, bits, legacy_string, LEGACY_STRINGS, all ? 1 : 61, &totals);
    each_string(handle, bits, vex_string, VEX_STRINGS, all ? 1 : 211, &totals);
    each_string(handle, bits, random_string, all ? 2000000 : 30000, 1, &totals);
    cs_close(&handle);
    fprintf(stderr, "%u bits: %u strings; capstone differs in %u; the CPU judged %u, %u known differences, %u new\n",
            bits, totals.strings, totals.capstone_differs, totals.judged, totals.known, totals.unexplained);
    print_known(&totals);
    ck_assert_uint_eq(totals.unexplained, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decoder against capstone and the CPU");
    TCase *tcase = tcase_create("strings");

    tcase_set_timeout(tcase, 0);
    tcase_add_loop_test(tcase, test_strings, 0, 3);
    suite_add_tcase(suite, tcase);
    harness = native_create();
    tables = decode_tables_create(native_cpu_model(harness));
    other_tables = decode_tables_create_of(other_rows, sizeof other_rows / sizeof other_rows[0], NULL);
    int status = run_suite(suite, CK_NOFORK);
    decode_tables_destroy(other_tables);
    decode_tables_destroy(tables);
    native_destroy(harness);
    return status;
}
