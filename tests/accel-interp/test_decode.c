/* The decoder: operand by operand for chosen encodings, and validity and length of random bytes against capstone. Where the
 * two differ there is a reason, and explained() knows it. */
#include "accel-interp/decode.h"

#include <capstone/capstone.h>
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MODE16 (MODE_CODE16 | MODE_REAL)
#define MODE32 (MODE_CODE32 | MODE_FLAT | MODE_STACK32)
#define MODE64 (MODE_CODE64 | MODE_FLAT | MODE_STACK32 | MODE_LONG)
#define RANDOM_CASES 150000u

static struct decode_tables *tables;

static void setup(void)
{
    struct cpu_model model;
    struct error error = {""};

    ck_assert_int_eq(cpu_model_init_unfinished(&model, "xsave,avx,avx2,bmi1,bmi2", &error), STATUS_OK);
    tables = decode_tables_create(&model);
}

static void teardown(void)
{
    decode_tables_destroy(tables);
}

static enum decode_status decode(unsigned mode, const char *hex, struct decoded *out)
{
    uint8_t bytes[32];
    unsigned count = 0;

    for (const char *p = hex; *p; p += strspn(p, " ")) {
        bytes[count++] = (uint8_t)strtoul(p, (char **)&p, 16);
    }
    return decode_insn(tables, (uint8_t)mode, bytes, count, 0, 0, out);
}

static struct insn good(unsigned mode, const char *hex, const char *mnemonic, unsigned length)
{
    struct decoded out;

    ck_assert_msg(decode(mode, hex, &out) == DECODE_OK, "%s", hex);
    ck_assert_str_eq(out.row->mnemonic, mnemonic);
    ck_assert_uint_eq(out.insn.len, length);
    return out.insn;
}

static void undefined(unsigned mode, const char *hex)
{
    struct decoded out;
    ck_assert_msg(decode(mode, hex, &out) == DECODE_UNDEFINED, "%s", hex);
}

START_TEST(test_registers)
{
    struct insn i = good(MODE64, "00 e1", "ADD", 2); /* ADD CL,AH */
    ck_assert_uint_eq(i.reg, 1);
    ck_assert_uint_eq(i.rm, 8);
    ck_assert_uint_eq(insn_osize(&i), 0);
    i = good(MODE64, "40 00 e1", "ADD", 3); /* with REX: SPL */
    ck_assert_uint_eq(i.reg, 32);
    i = good(MODE64, "45 00 e1", "ADD", 3); /* R12B to R9B */
    ck_assert_uint_eq(i.reg, 96);
    ck_assert_uint_eq(i.rm, 72);
    i = good(MODE64, "4d 01 c8", "ADD", 3);
    ck_assert_uint_eq(i.reg, 9);
    ck_assert_uint_eq(i.rm, 8);
    ck_assert_uint_eq(insn_osize(&i), 3);
    i = good(MODE64, "49 05 01 00 00 00", "ADD", 6); /* the accumulator, in spite of REX.B */
    ck_assert_uint_eq(i.rm, 0);
    i = good(MODE64, "41 b4 07", "MOV", 3); /* R12B */
    ck_assert_uint_eq(i.reg, 96);
    i = good(MODE32, "b4 07", "MOV", 2); /* AH */
    ck_assert_uint_eq(i.reg, 1);
    i = good(MODE32, "0f 20 00", "MOV", 3); /* CR0 to EAX, whatever mod says */
    ck_assert_uint_eq(i.rm, 0);
}
END_TEST

START_TEST(test_memory)
{
    struct insn i = good(MODE64, "8b 44 cd fc", "MOV", 4); /* [RBP + RCX*8 - 4] */
    ck_assert_uint_eq(i.base, CPU_RBP);
    ck_assert_uint_eq(i.scaled, CPU_RCX);
    ck_assert_uint_eq(i.scale, 3);
    ck_assert_int_eq(i.disp, -4);
    ck_assert_uint_eq(i.seg, CPU_SS);
    i = good(MODE64, "42 8b 04 25 78 56 34 12", "MOV", 8); /* [R12*1 + 12345678] */
    ck_assert_uint_eq(i.base, REG_ZERO);
    ck_assert_uint_eq(i.scaled, 12);
    ck_assert_int_eq(i.disp, 0x12345678);
    i = good(MODE64, "8b 04 24", "MOV", 3); /* [RSP]: no index */
    ck_assert_uint_eq(i.base, CPU_RSP);
    ck_assert_uint_eq(i.scaled, REG_ZERO);
    ck_assert_uint_eq(i.seg, CPU_SS);
    i = good(MODE64, "41 8b 45 00", "MOV", 4); /* [R13 + 0]: not RBP, so DS */
    ck_assert_uint_eq(i.base, 13);
    ck_assert_uint_eq(i.seg, CPU_DS);
    i = good(MODE64, "c7 05 10 00 00 00 01 02 03 04", "MOV", 10); /* RIP-relative, an immediate behind */
    ck_assert_uint_eq(i.base, REG_RIP);
    ck_assert_int_eq(i.disp, 0x10 + 10);
    ck_assert_uint_eq(i.imm, 0x04030201);
    i = good(MODE32, "8b 05 10 00 00 00", "MOV", 6);
    ck_assert_uint_eq(i.base, REG_ZERO);
    ck_assert_int_eq(i.disp, 0x10);
    i = good(MODE16, "8b 42 80", "MOV", 3); /* [BP + SI - 80h] */
    ck_assert_uint_eq(i.base, CPU_RBP);
    ck_assert_uint_eq(i.scaled, CPU_RSI);
    ck_assert_int_eq(i.disp, -0x80);
    ck_assert_uint_eq(i.seg, CPU_SS);
    ck_assert_uint_eq(insn_asize(&i), 1);
    i = good(MODE16, "8b 06 34 12", "MOV", 4);
    ck_assert_uint_eq(i.base, REG_ZERO);
    ck_assert_int_eq(i.disp, 0x1234);
    i = good(MODE16, "67 66 2e 8b 04 24", "MOV", 6);
    ck_assert_uint_eq(insn_asize(&i), 2);
    ck_assert_uint_eq(insn_osize(&i), 2);
    ck_assert_uint_eq(i.seg, CPU_CS);
    i = good(MODE64, "64 2e 8b 00", "MOV", 4); /* CS is ignored, FS stays */
    ck_assert_uint_eq(i.seg, CPU_FS);
}
END_TEST

START_TEST(test_immediates)
{
    ck_assert_uint_eq(good(MODE64, "48 83 c0 ff", "ADD", 4).imm, UINT64_MAX);
    ck_assert_uint_eq(good(MODE64, "48 81 c0 00 00 00 80", "ADD", 7).imm, 0xFFFFFFFF80000000ull);
    ck_assert_uint_eq(good(MODE64, "48 b8 01 02 03 04 05 06 07 08", "MOV", 10).imm, 0x0807060504030201ull);
    ck_assert_uint_eq(good(MODE64, "b8 00 00 00 80", "MOV", 5).imm, 0x80000000ull);
    ck_assert_uint_eq(good(MODE64, "66 b8 00 80", "MOV", 4).imm, 0x8000);
    ck_assert_uint_eq(good(MODE64, "c8 34 12 03", "ENTER", 4).imm, 0x031234);
    ck_assert_uint_eq(good(MODE64, "a1 01 02 03 04 05 06 07 08", "MOV", 9).imm, 0x0807060504030201ull);
    ck_assert_uint_eq(good(MODE16, "a1 01 02", "MOV", 3).imm, 0x0201);
    ck_assert_uint_eq(good(MODE32, "ea 01 02 03 04 05 06", "JMPF", 7).imm, 0x060504030201ull);
    ck_assert_uint_eq(good(MODE64, "eb fe", "JMP", 2).imm, 0);
    ck_assert_uint_eq(good(MODE64, "66 e9 fb ff ff ff", "JMP", 6).imm, 1); /* Intel: 32 bits in spite of 66 */
    ck_assert_uint_eq(good(MODE32, "66 e9 fc ff", "JMP", 4).imm, 0);
    ck_assert_uint_eq(good(MODE16, "0f 84 00 80", "JZ", 4).imm, (uint64_t)(-0x8000 + 4));
}
END_TEST

START_TEST(test_sizes)
{
    struct insn i = good(MODE64, "50", "PUSH", 1);
    ck_assert_uint_eq(insn_osize(&i), 3);
    i = good(MODE64, "66 50", "PUSH", 2);
    ck_assert_uint_eq(insn_osize(&i), 1);
    i = good(MODE64, "66 48 01 c0", "ADD", 4); /* REX.W wins */
    ck_assert_uint_eq(insn_osize(&i), 3);
    i = good(MODE64, "48 66 01 c0", "ADD", 4); /* REX not before the opcode: none */
    ck_assert_uint_eq(insn_osize(&i), 1);
    i = good(MODE16, "01 c0", "ADD", 2);
    ck_assert_uint_eq(insn_osize(&i), 1);
    i = good(MODE64, "67 8b 00", "MOV", 3);
    ck_assert_uint_eq(insn_asize(&i), 2);
    good(MODE64, "90", "XCHG", 1); /* with itself; its function knows that it is NOP */
    good(MODE64, "f3 90", "PAUSE", 2);
    good(MODE64, "41 90", "XCHG", 2);
}
END_TEST

START_TEST(test_undefined)
{
    struct decoded out;

    undefined(MODE64, "06");       /* PUSH ES */
    undefined(MODE64, "f0 01 c0"); /* LOCK with a register */
    undefined(MODE64, "f0 03 00"); /* LOCK with a memory source */
    undefined(MODE64, "f0 39 00"); /* LOCK CMP */
    undefined(MODE64, "f0 90");
    good(MODE64, "f0 01 00", "ADD", 3);
    undefined(MODE64, "8d c0");       /* LEA with a register */
    undefined(MODE64, "c5 f8 58 c0"); /* VEX */
    undefined(MODE32, "c5 f8 58 c0");
    undefined(MODE16, "c4 c0 00 00");
    good(MODE32, "c5 00", "LDS", 2);
    undefined(MODE16, "0f 00 d8"); /* LTR in real mode */
    good(MODE32, "0f 00 d8", "LTR", 3);
    ck_assert_int_eq(decode(MODE64, "0f ff 00 00 00 00 00 00 00 00 00 00 00 00 00", &out) == DECODE_OK, 1);
    /* RIP-relative, out of reach of struct insn */
}
END_TEST

START_TEST(test_length)
{
    struct decoded out;

    ck_assert_int_eq(decode(MODE64, "66 66 66 66 66 66 66 66 66 66 66 66 66 01 c0", &out), DECODE_OK);
    ck_assert_uint_eq(out.insn.len, 15);
    ck_assert_int_eq(decode(MODE64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 01 c0", &out), DECODE_TOO_LONG);
    ck_assert_int_eq(decode(MODE64, "66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 01", &out), DECODE_TOO_LONG);
    ck_assert_int_eq(decode(MODE64, "48 81 80 00 00 00", &out), DECODE_MORE);
    ck_assert_int_eq(decode(MODE64, "0f", &out), DECODE_MORE);
    ck_assert_int_eq(decode(MODE64, "66", &out), DECODE_MORE);
    ck_assert_int_eq(decode(MODE64, "8b 04", &out), DECODE_MORE);
    ck_assert_int_eq(decode(MODE32, "66 66 66 66 66 66 66 66 66 66 c7 80 00 00 00 00 01 02", &out), DECODE_TOO_LONG);
}
END_TEST

/* Rows of one opcode agree on whether there is a ModRM byte: the decoder reads it before it knows the row. */
START_TEST(test_table)
{
    for (unsigned a = 0; a < opcode_rows_count; a++) {
        for (unsigned b = 0; b < a; b++) {
            const struct opcode_row *x = &opcode_rows[a], *y = &opcode_rows[b];
            if (x->map == y->map && x->opcode == y->opcode)
                ck_assert_msg((x->modrm == MODRM_NONE) == (y->modrm == MODRM_NONE), "%u %02x %s", x->map, x->opcode,
                              x->mnemonic);
        }
    }
}
END_TEST

/* ---- against capstone ----------------------------------------------------------------------------------------- */

static uint64_t random_state = 88172645463325252ull;

static uint32_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 16);
}

struct sample {
    uint8_t bytes[DECODE_BYTES_MAX];
    bool operand, address, repeat, lock;
};

static bool is_prefix(uint8_t byte)
{
    return (byte & 0xF0) == 0x40 || memchr("\x26\x2E\x36\x3E\x64\x65\x66\x67\xF0\xF2\xF3", byte, 11);
}

static struct sample make_sample(void)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0xF2, 0xF3, 0x2E, 0x64, 0x36, 0x48, 0x41, 0x44};
    struct sample s = {.operand = false};
    unsigned place = 0, kind = next_random() % 8;

    for (unsigned count = next_random() % 8; count > 4; count--)
        s.bytes[place++] = prefixes[next_random() % sizeof prefixes];
    if (kind >= 4)
        s.bytes[place++] = 0x0F;
    if (kind >= 6)
        s.bytes[place++] = kind == 6 ? 0x38 : 0x3A;
    while (place < sizeof s.bytes)
        s.bytes[place++] = (uint8_t)next_random();
    for (unsigned n = 0; n < sizeof s.bytes && is_prefix(s.bytes[n]); n++) {
        s.lock |= s.bytes[n] == 0xF0;
        s.operand |= s.bytes[n] == 0x66;
        s.address |= s.bytes[n] == 0x67;
        s.repeat |= s.bytes[n] == 0xF2 || s.bytes[n] == 0xF3;
    }
    return s;
}

static bool is_any(const char *name, const char *const *list)
{
    for (; *list; list++) {
        if (!strcmp(name, *list))
            return true;
    }
    return false;
}

/* Rows with capstone's mnemonic, which has other names for some conditions; strict: no 66,
 * F2 or F3 but as part of the encoding. */
struct rows {
    bool any, strict, only64;
};
static struct rows rows_named(const char *mnemonic)
{
    static const char *const conditions[][2] = {{"ae", "nb"}, {"e", "z"},   {"ne", "nz"},
                                                {"a", "nbe"}, {"ge", "nl"}, {"g", "nle"}};
    struct rows rows = {.any = false, .strict = true, .only64 = true};
    char alias[48] = "";
    size_t stem = mnemonic[0] == 'j' ? 1 : !strncmp(mnemonic, "set", 3) ? 3 : !strncmp(mnemonic, "cmov", 4) ? 4 : 0;

    for (unsigned n = 0; stem && n < 6; n++) {
        if (!strcmp(mnemonic + stem, conditions[n][0]))
            snprintf(alias, sizeof alias, "%.*s%s", (int)stem, mnemonic, conditions[n][1]);
    }
    for (unsigned n = 0; n < opcode_rows_count; n++) {
        if (strcasecmp(opcode_rows[n].mnemonic, mnemonic) && strcasecmp(opcode_rows[n].mnemonic, alias))
            continue;
        rows.any = true;
        rows.strict &= opcode_rows[n].prefix != PFX_ANY;
        rows.only64 &= (opcode_rows[n].flags & OP_O64) != 0;
    }
    return rows;
}

/* Valid for capstone alone. */
static bool explained_theirs(const cs_insn *insn, const struct sample *s, unsigned bits)
{
    struct rows rows = rows_named(insn->mnemonic);

    /* capstone lets LOCK pass on what takes none, and prefixes where the manual has none */
    if (!rows.any || s->lock || strchr(insn->mnemonic, ' '))
        return true;
    if (((s->operand || s->repeat) && rows.strict) || (bits != 64 && rows.only64))
        return true;
    if (!strcmp(insn->mnemonic, "invpcid") || !strcmp(insn->mnemonic, "dppd")) /* it takes them without their 66 */
        return true;
    /* control and debug registers that do not exist */
    return !strcmp(insn->mnemonic, "mov") && (strstr(insn->op_str, "cr") || strstr(insn->op_str, "dr"));
}

/* Valid for the table alone: what capstone 4 does not know. */
static bool explained_ours(const struct opcode_row *row, const struct sample *s)
{
    static const char *const names[] = {"NOP",    "PREFETCHW", "PREFETCH",   "UD0",     "UD1",
                                        "SFENCE", "LFENCE",    "MFENCE",     "ADCX",    "ADOX",
                                        "RDPID",  "CLWB",      "CLFLUSHOPT", "INVPCID", NULL};
    /* not with a second prefix (REX, segment, 67), nor in 16-bit code */
    static const char *const sse2[] = {"CVTPD2DQ", "CVTDQ2PD", "CVTTPD2DQ", "PUNPCKHQDQ", "PUNPCKLQDQ",
                                       "MOVQ",     "MOVQ2DQ",  "MOVDQ2Q",   NULL};

    if (s->operand && s->repeat)
        return true; /* it takes both for one mandatory prefix */
    if (is_any(row->mnemonic, names) || is_any(row->mnemonic, sse2))
        return true;
    return !strcmp(row->mnemonic, "MOV") && strstr(row->operands, "Sw"); /* its function rejects bad registers */
}

static bool explained_length(const struct opcode_row *row, const struct sample *s, unsigned bits)
{
    if (!strncmp(row->mnemonic, "UD", 2))
        return true; /* capstone: without ModRM */
    /* 66 or 67 with a branch: capstone takes AMD's view in 64-bit code, and has no 16-bit one after BND; pushed immediates and RET
     * it miscounts with more than one prefix */
    return (row->flags & (OP_F64 | OP_D64)) && (s->operand || s->address) && (bits == 64 || s->repeat);
}

START_TEST(test_vex)
{
    struct insn i = good(MODE64, "c5 fe 6f 48 10", "VMOVDQU", 5); /* YMM1, [RAX + 10h] */
    ck_assert(i.reg == 1 && i.base == CPU_RAX && i.disp == 0x10 && insn_vvvv(&i) == 0);
    ck_assert_uint_eq(insn_osize(&i), 2);
    ck_assert_uint_eq(i.bits & (INSN_REP | INSN_REPNE), 0); /* pp is no REP */
    i = good(MODE64, "c4 01 fe 6f 4c 91 10", "VMOVDQU", 7); /* YMM9, [R9 + R10 * 4 + 10h] */
    ck_assert(i.reg == 9 && i.base == 9 && i.scaled == 10 && i.scale == 2);
    ck_assert_uint_eq(insn_osize(&i), 3);
    i = good(MODE64, "67 65 c5 fe 6f 08", "VMOVDQU", 6); /* address size and segment may be before it */
    ck_assert(i.seg == CPU_GS && insn_asize(&i) == 2);
    i = good(MODE64, "c5 fe 6f 0d 10 00 00 00", "VMOVDQU", 8); /* relative to RIP */
    ck_assert(i.base == REG_RIP && i.disp == 0x18);
    i = good(MODE32, "c4 c1 fe 6f 08", "VMOVDQU", 5); /* 32-bit code: B and W say nothing */
    ck_assert(i.base == CPU_RAX && i.reg == 1 && insn_osize(&i) == 2);
    undefined(MODE32, "c4 e1 3e 6f 08"); /* a vvvv that nothing uses must be 1111b, its high bit too */
    good(MODE_CODE16, "c5 f8 77", "VZEROUPPER", 3);
    good(MODE64, "c5 fc 77", "VZEROALL", 3);
    good(MODE32, "c5 08", "LDS", 2); /* a memory operand: the old meaning */
    good(MODE32, "c4 48 10", "LES", 3);
    undefined(MODE16, "c5 f8 77"); /* real mode: LDS of a register */
    undefined(MODE_CODE16 | MODE_VM86, "c5 f8 77");
    undefined(MODE64, "c5 08 77"); /* vvvv names a register that nothing uses */
    undefined(MODE64, "c5 f9 77"); /* pp */
    undefined(MODE64, "c4 e0 78 77");
    undefined(MODE64, "c4 e2 78 77"); /* map */
    undefined(MODE64, "c4 e4 78 77");
    static const char *const before[] = {"66", "f2", "f3", "f0", "40", "48"};
    for (unsigned n = 0; n < 6; n++) {
        char hex[32];
        snprintf(hex, sizeof hex, "%s c5 f8 77", before[n]);
        undefined(MODE64, hex);
    }
    struct decoded out;
    ck_assert_int_eq(decode(MODE64, "c5", &out), DECODE_MORE);
    ck_assert_int_eq(decode(MODE64, "c4 e1 7e", &out), DECODE_MORE);
    ck_assert_int_eq(decode(MODE32, "c5", &out), DECODE_MORE);
    ck_assert_int_eq(decode(MODE64, "67 67 67 67 67 67 67 67 67 67 67 67 67 c5 f8 77", &out), DECODE_TOO_LONG);
}
END_TEST

static void compare(csh handle, unsigned bits, unsigned mode)
{
    for (unsigned n = 0; n < RANDOM_CASES; n++) {
        struct sample s = make_sample();
        struct decoded ours;
        cs_insn *theirs = NULL;
        bool mine = decode_insn(tables, (uint8_t)mode, s.bytes, sizeof s.bytes, 0, 0, &ours) == DECODE_OK;
        bool yours = cs_disasm(handle, s.bytes, sizeof s.bytes, 0, 1, &theirs) == 1;
        char hex[64] = "";

        for (unsigned b = 0; b < sizeof s.bytes; b++)
            snprintf(hex + b * 3, 4, "%02x ", s.bytes[b]);
        if (mine && yours && ours.insn.len != theirs->size)
            ck_assert_msg(explained_length(ours.row, &s, bits), "%u bits, %s %s: length %u, capstone %s %s: %u: %s",
                          bits, ours.row->mnemonic, ours.row->operands, ours.insn.len, theirs->mnemonic, theirs->op_str,
                          theirs->size, hex);
        else if (mine && !yours)
            ck_assert_msg(explained_ours(ours.row, &s), "%u bits, only %s %s: %s", bits, ours.row->mnemonic,
                          ours.row->operands, hex);
        else if (yours && !mine)
            ck_assert_msg(explained_theirs(theirs, &s, bits), "%u bits, only capstone, %s %s: %s", bits,
                          theirs->mnemonic, theirs->op_str, hex);
        if (yours)
            cs_free(theirs, 1);
    }
}

START_TEST(test_capstone)
{
    static const struct {
        unsigned bits, mode;
        cs_mode theirs;
    } modes[] = {{16, MODE_CODE16, CS_MODE_16}, {32, MODE32, CS_MODE_32}, {64, MODE64, CS_MODE_64}};
    csh handle;

    ck_assert_int_eq(cs_open(CS_ARCH_X86, modes[_i].theirs, &handle), CS_ERR_OK);
    compare(handle, modes[_i].bits, modes[_i].mode);
    cs_close(&handle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("decode");
    TCase *tcase = tcase_create("decode");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_registers);
    tcase_add_test(tcase, test_memory);
    tcase_add_test(tcase, test_immediates);
    tcase_add_test(tcase, test_sizes);
    tcase_add_test(tcase, test_undefined);
    tcase_add_test(tcase, test_length);
    tcase_add_test(tcase, test_vex);
    tcase_add_test(tcase, test_table);
    tcase_add_loop_test(tcase, test_capstone, 0, 3);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
