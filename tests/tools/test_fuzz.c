/* vmrr fuzz without a host's CPU: a reference that is the interpreter once more, and lies where it is told to. */
#include "core/cpu_state.h"
#include "tools/fuzz/fuzz.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* ---- the reference ---- */

struct liar {
    struct fuzz_reference reference;
    struct native_harness *harness;
    const struct native_case *cases;
    size_t count;
    bool lies, dies, excuses;
};

static struct liar *liar_of(struct fuzz_reference *self)
{
    return (struct liar *)(void *)self;
}

static bool liar_has_feature(struct fuzz_reference *self, const char *feature)
{
    (void)self;
    (void)feature;
    return true;
}

static enum status liar_submit(struct fuzz_reference *self, const struct native_case *cases, size_t count,
                               struct error *error)
{
    (void)error;
    liar_of(self)->cases = cases;
    liar_of(self)->count = count;
    return STATUS_OK;
}

/* BSWAP EAX or its like turns CF round, when RCX was not 0. */
static bool is_lied_about(const struct native_case *c)
{
    for (unsigned n = 0; n + 1 < c->length; n++) {
        if (c->code[n] == 0x0F && (c->code[n + 1] & 0xF8) == 0xC8 && c->in.gpr[CPU_RCX])
            return true;
    }
    return false;
}

/* LAHF: PF. */
static bool is_lied_about_too(const struct native_case *c)
{
    return memchr(c->code, 0x9F, c->length);
}

static enum status liar_collect(struct fuzz_reference *self, struct native_outcome *out, bool *valid,
                                struct error *error)
{
    struct liar *liar = liar_of(self);
    (void)error;
    for (size_t n = 0; n < liar->count; n++) {
        native_interp_run(liar->harness, &liar->cases[n], FUZZ_STEPS, &out[n].state, out[n].data);
        if (liar->lies && is_lied_about(&liar->cases[n]))
            out[n].state.rflags ^= 1;
        if (liar->excuses && is_lied_about_too(&liar->cases[n]))
            out[n].state.rflags ^= 4;
        valid[n] = !liar->dies;
    }
    return STATUS_OK;
}

static const char *liar_excuse(struct fuzz_reference *self, const struct native_harness *h, const struct native_case *c,
                               struct native_outcome *reference, struct native_outcome *interp, bool *guess)
{
    (void)h;
    if (!liar_of(self)->excuses || !is_lied_about(c))
        return NULL;
    *interp = *reference;
    *guess = true;
    return "bswap";
}

static const struct fuzz_reference_ops liar_ops = {.name = "liar",
                                                   .has_feature = liar_has_feature,
                                                   .submit = liar_submit,
                                                   .collect = liar_collect,
                                                   .excuse = liar_excuse};

struct fixture {
    struct liar liar;
    struct fuzz_run run;
    struct fuzz_case c;
};

static struct fixture *open_fixture(void)
{
    struct fixture *f = calloc(1, sizeof *f);
    ck_assert_ptr_nonnull(f);
    f->liar.reference.ops = &liar_ops;
    f->liar.harness = native_interp_create();
    f->run.reference = &f->liar.reference;
    f->run.harness = native_interp_create();
    return f;
}

static void close_fixture(struct fixture *f)
{
    native_interp_destroy(f->liar.harness);
    native_interp_destroy(f->run.harness);
    free(f);
}

/* ---- cases ---- */

START_TEST(test_generate)
{
    struct fixture *f = open_fixture();
    struct fuzz_case *again = malloc(sizeof *again);
    unsigned bits = 16u << _i, ended = 0, instructions = 0;
    for (uint64_t seed = 0; seed < 300; seed++) {
        fuzz_generate(&f->c, seed, bits, 3, f->run.harness, f->run.reference);
        fuzz_generate(again, seed, bits, 3, f->run.harness, f->run.reference);
        ck_assert_mem_eq(&f->c, again, sizeof f->c);
        ck_assert(f->c.count && fuzz_is_sound(&f->c, f->run.harness));
        ck_assert_uint_eq(fuzz_run_one(&f->run, &f->c).verdict == FUZZ_DIFFERENT, false);
        ended += f->run.of_interp.state.vector == -1;
        instructions += f->c.count;
    }
    ck_assert_uint_gt(ended, 90); /* many run to their end */
    ck_assert_uint_gt(instructions, 900);
    free(again);
    close_fixture(f);
}
END_TEST

/* The first case whose instructions all run. */
static void make_running(struct fixture *f, unsigned bits, uint64_t seed)
{
    do {
        fuzz_generate(&f->c, seed++, bits, 3, f->run.harness, f->run.reference);
        (void)fuzz_run_one(&f->run, &f->c);
    } while (f->c.count < 4 || f->c.count == FUZZ_INSNS_MAX || f->run.of_interp.state.vector != -1 ||
             is_lied_about(&f->run.c));
}

START_TEST(test_shrink)
{
    static const struct fuzz_insn bswap = {.bytes = {0x0F, 0xC8}, .length = 2};
    static const uint8_t zeros[NATIVE_DATA_BYTES];
    struct fixture *f = open_fixture();
    make_running(f, 64, 1000 + (uint64_t)_i * 50);
    memmove(&f->c.insn[2], &f->c.insn[1], (f->c.count - 1) * sizeof f->c.insn[0]);
    f->c.insn[1] = bswap;
    f->c.count++;
    f->c.in.gpr[CPU_RCX] = 5;
    ck_assert_int_ne(fuzz_run_one(&f->run, &f->c).verdict, FUZZ_DIFFERENT);
    f->liar.lies = true;
    ck_assert_int_eq(fuzz_run_one(&f->run, &f->c).verdict, FUZZ_DIFFERENT);
    fuzz_shrink(&f->run, &f->c);
    ck_assert_uint_eq(f->c.count, 1);
    ck_assert_mem_eq(f->c.insn[0].bytes, bswap.bytes, 2);
    for (unsigned n = 0; n < 16; n++)
        ck_assert_uint_eq(f->c.in.gpr[n] != 0, n == CPU_RCX);
    ck_assert_uint_eq(f->c.in.rflags, 0x202);
    ck_assert_uint_eq(f->c.offset, 0);
    ck_assert_mem_eq(f->c.data, zeros, sizeof zeros);
    ck_assert_mem_eq(f->c.in.fx + NATIVE_FX_XMM, zeros, 256);
    json_t *differences = fuzz_differences_json(&f->run);
    ck_assert_uint_eq(json_array_size(differences), 1);
    ck_assert_str_eq(json_string_value(json_object_get(json_array_get(differences, 0), "name")), "rflags");
    json_decref(differences);
    close_fixture(f);
}
END_TEST

START_TEST(test_sound)
{
    /* NOP; MOV EAX, imm; JZ to the NOP, the MOV, into the MOV, behind all. */
    static const struct fuzz_insn insns[] = {
        {.bytes = {0x90}, .length = 1}, {.bytes = {0xB8, 1, 2, 3, 4}, .length = 5}, {.bytes = {0x74, 0}, .length = 2}};
    static const struct {
        int8_t distance;
        bool sound;
    } rows[] = {{-8, true},  {-7, true}, {-6, false}, {-3, false}, {-2, true},
                {-1, false}, {0, true},  {9, true},   {-9, true}};
    struct fixture *f = open_fixture();
    f->c.bits = 16u << _i;
    f->c.count = 3;
    memcpy(f->c.insn, insns, sizeof insns);
    if (_i == 0) { /* 16-bit: MOV AX, imm16 */
        f->c.insn[1].length = 3;
        f->c.insn[0] = (struct fuzz_insn){.bytes = {0x66, 0x0F, 0x1F}, .length = 3};
        f->c.insn[0].bytes[2] = 0xC8; /* BSWAP */
    }
    for (size_t n = 0; n < sizeof rows / sizeof rows[0] && _i; n++) {
        f->c.insn[2].bytes[1] = (uint8_t)rows[n].distance;
        ck_assert_msg(fuzz_is_sound(&f->c, f->run.harness) == rows[n].sound, "distance %d", rows[n].distance);
    }
    for (int distance = -8; distance < 1 && !_i; distance++) {
        f->c.insn[2].bytes[1] = (uint8_t)distance;
        ck_assert_int_eq(fuzz_is_sound(&f->c, f->run.harness),
                         distance == -8 || distance == -5 || distance == -2 || distance == 0);
    }
    close_fixture(f);
}
END_TEST

START_TEST(test_judge)
{
    struct fixture *f = open_fixture();
    make_running(f, 64, 5000);
    ck_assert_int_eq(fuzz_run_one(&f->run, &f->c).verdict, FUZZ_SAME);
    f->liar.dies = true;
    ck_assert_int_eq(fuzz_run_one(&f->run, &f->c).verdict, FUZZ_UNKNOWN);
    struct native_outcome *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    const struct native_outcome good = f->run.of_interp;
    /* Each part that is compared. */
    uint8_t *parts[] = {(uint8_t *)&a->state.gpr[7], (uint8_t *)&a->state.rip,        (uint8_t *)&a->state.rflags,
                        a->state.fx + NATIVE_FX_FSW, a->state.fx + NATIVE_FX_ST + 73, a->state.fx + NATIVE_FX_XMM + 255,
                        a->state.high[15] + 15,      (uint8_t *)&a->state.vector,     a->data + NATIVE_DATA_BYTES - 1};
    for (size_t n = 0; n < sizeof parts / sizeof parts[0]; n++) {
        *a = *b = good;
        ck_assert_int_eq(fuzz_judge(f->run.reference, f->run.harness, &f->run.c, true, a, b).verdict, FUZZ_SAME);
        *a = *b = good;
        *parts[n] ^= 4;
        ck_assert_int_eq(fuzz_judge(f->run.reference, f->run.harness, &f->run.c, true, a, b).verdict, FUZZ_DIFFERENT);
    }
    *a = *b = good;
    a->state.vector = NATIVE_ENDLESS;
    ck_assert_int_eq(fuzz_judge(f->run.reference, f->run.harness, &f->run.c, true, a, b).verdict, FUZZ_DIFFERENT);
    a->state.vector = NATIVE_SYSCALL;
    ck_assert_int_eq(fuzz_judge(f->run.reference, f->run.harness, &f->run.c, true, a, b).verdict, FUZZ_UNKNOWN);
    free(a);
    free(b);
    close_fixture(f);
}
END_TEST

/* An excuse for one instruction hides nothing of another. */
START_TEST(test_without_known)
{
    static const struct fuzz_insn insns[] = {
        {.bytes = {0x0F, 0xC8}, .length = 2}, {.bytes = {0x90}, .length = 1}, {.bytes = {0x9F}, .length = 1}};
    struct fixture *f = open_fixture();
    fuzz_generate(&f->c, 1, 64, 3, f->run.harness, f->run.reference);
    memcpy(f->c.insn, insns, sizeof insns);
    f->c.count = 3;
    f->c.in.gpr[CPU_RCX] = 5;
    f->liar.lies = f->liar.excuses = true;
    ck_assert_int_eq(fuzz_run_one(&f->run, &f->c).verdict, FUZZ_EXCUSED);
    ck_assert_int_eq(fuzz_without_known(&f->run, &f->c), FUZZ_DIFFERENT);
    ck_assert_uint_eq(f->c.count, 2);
    ck_assert_uint_eq(f->c.insn[1].bytes[0], 0x9F);
    memcpy(f->c.insn, insns, sizeof insns);
    f->c.count = 2;
    ck_assert_int_eq(fuzz_run_one(&f->run, &f->c).verdict, FUZZ_EXCUSED);
    ck_assert_int_eq(fuzz_without_known(&f->run, &f->c), FUZZ_EXCUSED);
    close_fixture(f);
}
END_TEST

/* ---- legacy protected mode ---- */

static struct native_harness *make_harness(enum native_paging paging, unsigned level)
{
    struct error error = {{0}};
    struct native_harness *h =
        native_harness_create(&(struct native_make){.paging = paging, .level = level}, &error);
    ck_assert_ptr_nonnull(h);
    return h;
}

/* Compatibility code and the same code in legacy mode: nearly all of it does the same. */
START_TEST(test_legacy)
{
    const enum native_paging paging = _i & 1 ? NATIVE_PAGING_PAE : NATIVE_PAGING_32;
    const unsigned level = _i & 2 ? 3 : 0, bits = _i & 4 ? 16 : 32;
    struct fixture *f = open_fixture();
    struct native_harness *legacy = make_harness(paging, level), *compatible = make_harness(NATIVE_PAGING_LONG, level);
    struct native_outcome *a = malloc(sizeof *a), *b = malloc(sizeof *b);
    unsigned same = 0, faults = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        fuzz_generate(&f->c, seed, bits, level, legacy, f->run.reference);
        ck_assert_int_eq(f->c.paging, paging);
        fuzz_assemble(&f->c, &f->run.c);
        native_interp_run(legacy, &f->run.c, FUZZ_STEPS, &a->state, a->data);
        native_interp_run(compatible, &f->run.c, FUZZ_STEPS, &b->state, b->data);
        native_normalise(&a->state, 0);
        native_normalise(&b->state, 0);
        same += !native_differ(&f->run.c, false, a, b, NULL, NULL);
        faults += a->state.vector >= 0 && a->state.vector < 32;
    }
    ck_assert_msg(same > 390 && faults > 80, "%u of 400 the same, %u faults", same, faults);
    free(a);
    free(b);
    native_interp_destroy(legacy);
    native_interp_destroy(compatible);
    close_fixture(f);
}
END_TEST

/* A fault has its code, address and place, and what was before it has been done, whatever the stack. */
START_TEST(test_legacy_fault)
{
    static const uint8_t code[] = {0x43, 0xA3, 0x10, 0x50, 0x01, 0x10, 0x43}; /* INC EBX; MOV [10015010], EAX */
    struct fixture *f = open_fixture();
    struct native_harness *h = make_harness(_i & 1 ? NATIVE_PAGING_PAE : NATIVE_PAGING_32, _i & 2 ? 3 : 0);
    native_case_init(&f->run.c, 1, 32);
    memcpy(f->run.c.code, code, sizeof code);
    f->run.c.length = sizeof code;
    f->run.c.offset = 0x20;
    f->run.c.in.rip = NATIVE_CODE + 0x20;
    f->run.c.in.gpr[CPU_RBX] = 7;
    f->run.c.in.gpr[CPU_RSP] = 0x90000000;
    for (unsigned n = 0; n < 2; n++) { /* the handler's task can be entered again */
        native_interp_run(h, &f->run.c, FUZZ_STEPS, &f->run.of_interp.state, f->run.of_interp.data);
        const struct native_state *s = &f->run.of_interp.state;
        ck_assert_int_eq(s->vector, 14);
        ck_assert_uint_eq(s->cr2, 0x10015010);
        ck_assert_uint_eq(s->error, _i & 2 ? 7 : 3);
        ck_assert_uint_eq(s->rip, NATIVE_CODE + 0x21);
        ck_assert_uint_eq(s->gpr[CPU_RBX], 8);
        ck_assert_uint_eq(s->gpr[CPU_RSP], 0x90000000);
    }
    native_interp_destroy(h);
    close_fixture(f);
}
END_TEST

/* ---- files ---- */

START_TEST(test_round_trip)
{
    struct fixture *f = open_fixture();
    struct fuzz_case *back = malloc(sizeof *back);
    struct error error;
    for (uint64_t seed = 0; seed < 60; seed++) {
        error_clear(&error);
        fuzz_generate(&f->c, seed, 16u << seed % 3, 3, f->run.harness, f->run.reference);
        json_t *object = fuzz_case_json(&f->c);
        ck_assert_msg(fuzz_case_parse(object, back, &error) == STATUS_OK, "seed %u: %s", (unsigned)seed, error.text);
        f->c.in.rip = back->in.rip; /* not of a case, as vector, error and cr2 */
        f->c.in.vector = back->in.vector;
        for (unsigned n = 0; n < f->c.count; n++) {
            if (!f->c.insn[n].rip_disp_at)
                f->c.insn[n].rip_target = 0;
        }
        ck_assert_mem_eq(back, &f->c, sizeof *back);
        json_decref(object);
    }
    free(back);
    close_fixture(f);
}
END_TEST

static void check_refused(struct fixture *f, const char *key, json_t *value, const char *word)
{
    struct fuzz_case *back = malloc(sizeof *back);
    struct error error = {{0}};
    json_t *object = fuzz_case_json(&f->c);
    json_object_set_new(object, key, value);
    ck_assert_msg(fuzz_case_parse(object, back, &error) == STATUS_CORRUPT, "%s was taken", key);
    ck_assert_msg(strstr(error.text, word), "%s: %s", key, error.text);
    json_decref(object);
    free(back);
}

START_TEST(test_refused)
{
    struct fixture *f = open_fixture();
    fuzz_generate(&f->c, 3, 64, 3, f->run.harness, f->run.reference);
    check_refused(f, "format", json_string("vmrr-fuzz-2"), "format");
    check_refused(f, "mode", json_integer(33), "mode");
    check_refused(f, "paging", json_string("pse"), "paging");
    check_refused(f, "paging", json_string("pae"), "paging"); /* in 64-bit code */
    check_refused(f, "offset", json_integer(-1), "offset");
    check_refused(f, "offset", json_integer(NATIVE_CODE_BYTES), "offset");
    check_refused(f, "offset", json_integer(NATIVE_CODE_BYTES - 1), "code");
    check_refused(f, "rflags", json_string("0x10202"), "rflags");
    check_refused(f, "rflags", json_string("202"), "rflags");
    check_refused(f, "code", json_pack("[]"), "code");
    check_refused(f, "code", json_pack("[{s:s}]", "bytes", "9"), "code");
    check_refused(f, "code", json_pack("[{s:s}]", "bytes", "90909090909090909090909090909090"), "code");
    check_refused(f, "code",
                  json_pack("[{s:s, s:i, s:s}]", "bytes", "9090909090", "displacement_at", 2, "target", "0x1"), "code");
    json_t *many = json_array();
    for (unsigned n = 0; n <= FUZZ_INSNS_MAX; n++)
        json_array_append_new(many, json_pack("{s:s}", "bytes", "90"));
    check_refused(f, "code", many, "code");
    check_refused(f, "gpr", json_pack("[s]", "0x1"), "gpr");
    check_refused(f, "fxsave", json_string("00"), "fxsave");
    check_refused(f, "ymm_high", json_string("zz"), "ymm_high");
    check_refused(f, "data", json_pack("[{s:s, s:s}]", "address", "0x10013fff", "bytes", "0000"), "data");
    check_refused(f, "data", json_pack("[{s:s, s:s}]", "address", "0x10014000", "bytes", "00"), "data");
    close_fixture(f);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("fuzz");
    TCase *tcase = tcase_create("fuzz");
    suite_add_tcase(suite, tcase);
    tcase_add_loop_test(tcase, test_generate, 0, 3);
    tcase_add_loop_test(tcase, test_shrink, 0, 4);
    tcase_add_loop_test(tcase, test_sound, 0, 3);
    tcase_add_test(tcase, test_judge);
    tcase_add_test(tcase, test_without_known);
    tcase_add_loop_test(tcase, test_legacy, 0, 8);
    tcase_add_loop_test(tcase, test_legacy_fault, 0, 4);
    tcase_add_test(tcase, test_round_trip);
    tcase_add_test(tcase, test_refused);
    return run_suite(suite, CK_FORK);
}
