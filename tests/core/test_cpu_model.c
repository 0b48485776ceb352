/* CPU models: what each has, -cpu's changes and their refusals, the leaves that follow from the features; and that what CPUID
 * promises is what the instruction table has. */
#include "accel-interp/opcodes.h"
#include "core/cpu_model.h"

#include <check.h>
#include <string.h>

enum { EAX, EBX, ECX, EDX };

static struct cpu_model model_of(const char *name)
{
    struct cpu_model model;
    struct error error = {0};

    ck_assert_msg(cpu_model_init(&model, name, &error) == STATUS_OK, "%s: %s", name, error.text);
    return model;
}

static bool has_all(const struct cpu_model *model, const char *const *names)
{
    for (; *names; names++)
        if (!cpu_model_has(model, *names))
            return false;
    return true;
}
static bool has_any(const struct cpu_model *model, const char *const *names)
{
    for (; *names; names++)
        if (cpu_model_has(model, *names))
            return true;
    return false;
}

/* The levels of the x86-64 psABI; LAHF-SAHF is lahf-lm, LZCNT is abm, OSXSAVE comes with xsave. */
static const char *const level1[] = {"cmov", "cx8", "fpu", "fxsr", "mmx", "syscall", "sse", "sse2", "lm", NULL};
static const char *const level2[] = {"cx16", "lahf-lm", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3", NULL};
static const char *const level3[] = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave", NULL};
static const char *const beyond[] = {"aes",      "pclmulqdq", "sha-ni", "rdrand", "rdseed", "adx",
                                     "smep",     "smap",      "umip",   "pku",    "xsavec", "xsaves",
                                     "xsaveopt", "invpcid",   "pcid",   "rdpid",  "rdtscp", NULL};

START_TEST(levels)
{
    const struct cpu_model v1 = model_of("v1"), v2 = model_of("v2"), v3 = model_of("v3"), max = model_of("max");

    ck_assert(has_all(&v1, level1) && !has_any(&v1, level2) && !has_any(&v1, level3));
    ck_assert(has_all(&v2, level1) && has_all(&v2, level2) && !has_any(&v2, level3));
    ck_assert(has_all(&v3, level1) && has_all(&v3, level2) && has_all(&v3, level3) && !has_any(&v3, beyond));
    ck_assert(has_all(&max, level1) && has_all(&max, level2) && has_all(&max, level3) && has_all(&max, beyond));
}
END_TEST

START_TEST(names)
{
    struct cpu_model model = model_of("max"), other = model_of("vmrr");
    struct error error = {0};

    model = model_of("max,-avx,-avx2,-fma,-f16c,-aes,-pclmulqdq,-sha-ni,-rdrand,-rdseed,-adx");
    ck_assert_str_eq(model.name, "max,-avx,-avx2,-fma,-f16c,-aes,-pclmulqdq,-sha-ni,-rdrand,-rdseed,-adx");
    model = model_of("max");
    ck_assert_uint_eq(model.count, other.count);
    ck_assert(!memcmp(model.leaf, other.leaf, sizeof model.leaf));
    ck_assert(cpu_model_has(&model, "lahf_lm") && cpu_model_has(&model, "lahf-lm"));
    ck_assert(!cpu_model_has(&model, "avx512f"));
    model = model_of("qemu64");
    ck_assert(cpu_model_has(&model, "sse3") && cpu_model_has(&model, "cx16") && !cpu_model_has(&model, "ssse3"));
    model = model_of("vmrr,-cx16");
    ck_assert(!cpu_model_has(&model, "cx16") && cpu_model_has(&model, "rdrand"));
    model = model_of("v1,+rdrand");
    ck_assert(!cpu_model_has(&model, "cx16") && cpu_model_has(&model, "rdrand") && cpu_model_has(&model, "lm"));
    static const char *const bad[] = {"486", "vmrr,cx16", "vmrr,+nothing", "vmrr,+", "v1x", "max,+x2apic"};
    for (unsigned n = 0; n < sizeof bad / sizeof bad[0]; n++) {
        error_clear(&error);
        ck_assert_int_eq(cpu_model_init(&model, bad[n], &error), STATUS_INVALID);
        ck_assert(error.text[0]);
    }
    char many[CPU_MODEL_NAME_MAX + 8] = "max";
    while (strlen(many) < CPU_MODEL_NAME_MAX)
        strcat(many, ",-avx");
    error_clear(&error);
    ck_assert_int_eq(cpu_model_init(&model, many, &error), STATUS_INVALID);
    ck_assert_str_eq(error.text, "cpu: more than 511 bytes");
}
END_TEST

START_TEST(needs)
{
    struct cpu_model model = model_of("max,-avx");
    struct error error = {0};

    static const char *const gone[] = {"avx", "avx2", "fma", "f16c", NULL};
    ck_assert(!has_any(&model, gone) && cpu_model_has(&model, "xsave") && cpu_model_has(&model, "bmi2"));
    model = model_of("max,-xsave");
    static const char *const all_xsave[] = {"xsave", "xsaveopt", "xsavec", "xsaves", "xgetbv1", "avx", "avx2", NULL};
    ck_assert(!has_any(&model, all_xsave) && cpu_model_has(&model, "sse4.2"));
    model = model_of("max,-sse2"); /* and all of SSE after it */
    ck_assert(cpu_model_has(&model, "sse") && !cpu_model_has(&model, "sse3") && !cpu_model_has(&model, "avx") &&
              !cpu_model_has(&model, "aes"));
    ck_assert_int_eq(cpu_model_init(&model, "v1,+avx2", &error), STATUS_INVALID);
    ck_assert(strstr(error.text, "avx2") && strstr(error.text, "\"avx\""));
    error_clear(&error);
    ck_assert_int_eq(cpu_model_init(&model, "v3,-avx,+fma", &error), STATUS_INVALID);
    model = model_of("v1,+sse3,+ssse3,+sse4.1,+sse4.2,+xsave,+avx");
    ck_assert(cpu_model_has(&model, "avx") && !cpu_model_has(&model, "avx2"));
}
END_TEST

START_TEST(leaves)
{
    const struct cpu_model model = model_of("vmrr");
    uint32_t out[4], top[4];

    cpu_model_query(&model, 0, 0, out);
    ck_assert(!memcmp(&out[1], "Genu", 4) && !memcmp(&out[3], "ineI", 4) && !memcmp(&out[2], "ntel", 4));
    cpu_model_query(&model, out[0], 0, top);
    cpu_model_query(&model, 0x12345, 0, out); /* out of range: the highest basic leaf */
    ck_assert(!memcmp(out, top, sizeof out));
    cpu_model_query(&model, 0x80001234, 0, out);
    ck_assert(!memcmp(out, top, sizeof out));
    cpu_model_query(&model, 0x15, 0, out); /* TSC = crystal * ebx / eax = 1 GHz */
    ck_assert_uint_eq((uint64_t)out[2] * out[1] / out[0], 1000000000);
    cpu_model_query(&model, 0x80000002, 0, out);
    ck_assert(!memcmp(out, "vmrr virtual CPU", 16));
    cpu_model_query(&model, 0x80000008, 0, out);
    ck_assert_uint_eq(out[0], 40 | 48 << 8);
    cpu_model_query(&model, 4, 9, out); /* no such cache */
    ck_assert_uint_eq(out[0], 0);
    cpu_model_query(&model, 7, 0, out);
    ck_assert_uint_eq(out[EAX], 0); /* no more subleaves */
    cpu_model_query(&model, 7, 1, out);
    ck_assert_uint_eq(out[EAX] | out[EBX] | out[ECX] | out[EDX], 0);
}
END_TEST

/* Bits where the manual has them. */
START_TEST(bits)
{
    static const struct {
        const char *name;
        uint32_t leaf, subleaf, reg, bit;
    } rows[] = {{"avx", 1, 0, ECX, 28},         {"avx2", 7, 0, EBX, 5},   {"fma", 1, 0, ECX, 12},
                {"xsave", 1, 0, ECX, 26},       {"aes", 1, 0, ECX, 25},   {"sha-ni", 7, 0, EBX, 29},
                {"pku", 7, 0, ECX, 3},          {"rdpid", 7, 0, ECX, 22}, {"xsaves", 13, 1, EAX, 3},
                {"abm", 0x80000001, 0, ECX, 5}, {"umip", 7, 0, ECX, 2},   {"sse4.2", 1, 0, ECX, 20},
                {"popcnt", 1, 0, ECX, 23},      {"bmi2", 7, 0, EBX, 8},   {"f16c", 1, 0, ECX, 29}};

    for (unsigned n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        char without[32];
        uint32_t out[4];
        struct cpu_model model = model_of("max");
        cpu_model_query(&model, rows[n].leaf, rows[n].subleaf, out);
        ck_assert_msg(out[rows[n].reg] >> rows[n].bit & 1, "%s", rows[n].name);
        snprintf(without, sizeof without, "max,-%s", rows[n].name);
        model = model_of(without);
        cpu_model_query(&model, rows[n].leaf, rows[n].subleaf, out);
        ck_assert_msg(!(out[rows[n].reg] >> rows[n].bit & 1), "%s", without);
    }
    struct cpu_model model = model_of("max");
    uint32_t out[4];
    cpu_model_query(&model, 1, 0, out);
    ck_assert(!(out[ECX] >> 27 & 1)); /* OSXSAVE is CR4's */
}
END_TEST

/* What is implemented and yet in no model: a guest of max sees the same CPUID as before there was any of it. */
START_TEST(asked)
{
    static const struct {
        const char *name;
        uint32_t bit; /* of leaf 7, ECX */
    } rows[] = {{"vaes", 9}, {"vpclmulqdq", 10}};
    struct error error = {0};

    for (unsigned n = 0; n < sizeof rows / sizeof rows[0]; n++) {
        static const char *const models[] = {"v1", "v2", "v3", "qemu64", "max"};
        struct cpu_model model, max = model_of("max");
        uint32_t out[4], before[4];
        char with[32];

        for (unsigned m = 0; m < sizeof models / sizeof models[0]; m++) {
            model = model_of(models[m]);
            ck_assert_msg(!cpu_model_has(&model, rows[n].name), "%s %s", models[m], rows[n].name);
        }
        snprintf(with, sizeof with, "max,+%s", rows[n].name);
        model = model_of(with);
        cpu_model_query(&model, 7, 0, out);
        cpu_model_query(&max, 7, 0, before);
        ck_assert_uint_eq(out[ECX], before[ECX] | 1u << rows[n].bit);
        snprintf(with, sizeof with, "max,+%s,-avx", rows[n].name);
        model = model_of(with);
        ck_assert(!cpu_model_has(&model, rows[n].name));
    }
    struct cpu_model model;
    ck_assert_int_eq(cpu_model_init(&model, "v3,+vaes", &error), STATUS_INVALID);
    ck_assert(strstr(error.text, "vaes") && strstr(error.text, "\"aes\""));
    model = model_of("v3,+aes,+pclmulqdq,+vaes,+vpclmulqdq");
    ck_assert(cpu_model_has(&model, "vaes") && cpu_model_has(&model, "vpclmulqdq"));
}
END_TEST

START_TEST(extended_state)
{
    uint32_t out[4];
    struct cpu_model model = model_of("max");

    ck_assert_uint_eq(cpu_model_xsave_components(&model), 0x207);
    cpu_model_query(&model, 13, 0, out);
    ck_assert(out[EAX] == 0x207 && out[EBX] == 576 && out[ECX] == 2696 && out[EDX] == 0);
    cpu_model_query(&model, 13, 2, out);
    ck_assert(out[EAX] == 256 && out[EBX] == 576 && out[ECX] == 0);
    cpu_model_query(&model, 13, 9, out);
    ck_assert(out[EAX] == 8 && out[EBX] == 2688 && out[ECX] == 0);
    cpu_model_query(&model, 13, 3, out);
    ck_assert_uint_eq(out[EAX] | out[EBX] | out[ECX] | out[EDX], 0);
    ck_assert_uint_eq(cpu_model_xsave_bytes(7, false), 832);
    ck_assert_uint_eq(cpu_model_xsave_bytes(0x207, false), 2696);
    ck_assert_uint_eq(cpu_model_xsave_bytes(0x207, true), 840);
    ck_assert_uint_eq(cpu_model_xsave_bytes(0x203, true), 584);
    ck_assert_uint_eq(cpu_model_xsave_offset(0x203, 9, true), 576);
    ck_assert_uint_eq(cpu_model_xsave_offset(0x207, 9, true), 832);
    model = model_of("v3");
    cpu_model_query(&model, 13, 0, out);
    ck_assert(out[EAX] == 7 && out[ECX] == 832);
    cpu_model_query(&model, 13, 9, out);
    ck_assert_uint_eq(out[EAX], 0);
    model = model_of("v2");
    cpu_model_query(&model, 13, 0, out);
    ck_assert_uint_eq(out[EAX] | out[EBX] | out[ECX] | out[EDX], 0);
}
END_TEST

/* A row's feature is a name that CPUID has, in a model that has everything: no instruction without its bit, no bit that
 * is misspelt. And what is instructions alone has instructions. */
START_TEST(instructions)
{
    static const char *const with_rows[] = {
        "mmx",       "sse",      "sse2",   "sse3",    "ssse3",    "sse4.1",     "sse4.2",    "popcnt",
        "pclmulqdq", "aes",      "sha-ni", "avx",     "avx2",     "fma",        "f16c",      "bmi1",
        "bmi2",      "abm",      "movbe",  "adx",     "xsave",    "clflushopt", "rdpid",     "clwb",
        "xsavec",    "xsaveopt", "xsaves", "invpcid", "fsgsbase", "vaes",       "vpclmulqdq"};
    const struct cpu_model all = model_of("max,+vaes,+vpclmulqdq");

    for (unsigned n = 0; n < opcode_rows_count; n++)
        if (opcode_rows[n].feature)
            ck_assert_msg(cpu_model_has(&all, opcode_rows[n].feature), "%s: %s", opcode_rows[n].mnemonic,
                          opcode_rows[n].feature);
    for (unsigned f = 0; f < sizeof with_rows / sizeof with_rows[0]; f++) {
        unsigned count = 0;
        for (unsigned n = 0; n < opcode_rows_count; n++)
            count += opcode_rows[n].feature && !strcmp(opcode_rows[n].feature, with_rows[f]);
        ck_assert_msg(count, "%s", with_rows[f]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("CPU models");
    TCase *tcase = tcase_create("models");

    tcase_add_test(tcase, levels);
    tcase_add_test(tcase, names);
    tcase_add_test(tcase, needs);
    tcase_add_test(tcase, leaves);
    tcase_add_test(tcase, bits);
    tcase_add_test(tcase, asked);
    tcase_add_test(tcase, extended_state);
    tcase_add_test(tcase, instructions);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
