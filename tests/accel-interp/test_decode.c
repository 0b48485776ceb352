/* The decoder: operand by operand for chosen encodings. Validity and length of all and of random bytes, against capstone and
 * the host: tests/insn/test_decoder_host.c. */
#include "accel-interp/decode.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define MODE16 (MODE_CODE16 | MODE_REAL)
#define MODE32 (MODE_CODE32 | MODE_FLAT | MODE_STACK32)
#define MODE64 (MODE_CODE64 | MODE_FLAT | MODE_STACK32 | MODE_LONG)

static struct decode_tables *tables;

static void setup(void)
{
    struct cpu_model model;
    struct error error = {""};

    ck_assert_int_eq(cpu_model_init(&model, "max", &error), STATUS_OK);
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
    undefined(MODE64, "8d c0"); /* LEA with a register */
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

int main(void)
{
    Suite *suite = suite_create("decode");
    TCase *tcase = tcase_create("decode");

    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, test_registers);
    tcase_add_test(tcase, test_memory);
    tcase_add_test(tcase, test_immediates);
    tcase_add_test(tcase, test_sizes);
    tcase_add_test(tcase, test_undefined);
    tcase_add_test(tcase, test_length);
    tcase_add_test(tcase, test_vex);
    tcase_add_test(tcase, test_table);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
