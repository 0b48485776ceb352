/* vmrr fuzz: random instructions on the interpreter and on a reference, what differs shrunk to the smallest case. Exit 0: no
 * difference; 3: differences; 4: nothing to judge by. */
#include "tools/help.h"
#include "tools/tools.h"

#include <string.h>

#if defined(__x86_64__)
#include "tools/fuzz/fuzz.h"
#include "tools/json_text.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>

#define COUNT_DEFAULT 1000000u
#define EXCUSES_MAX 32u
#define FAILURES_DEFAULT 10u

struct fuzz {
    uint64_t seed, count, seconds, bits, level, failures_max;
    enum native_paging paging;
    bool has_count, has_level, json;
    const char *replay, *directory, *where; /* where: of a reference that is somewhere */
    const struct fuzz_reference_ops *against;
    struct fuzz_run run;
    struct fuzz_case *cases;
    struct native_case *assembled;
    struct native_outcome *of_interp, *of_reference;
    struct fuzz_case rest;
    uint64_t done, instructions, same, failures, unstable;
    struct {
        const char *name;
        bool unknown;
        uint64_t count;
    } excuse[EXCUSES_MAX];
    unsigned excuses;
    json_t *list; /* of failures */
};

/* ---- options ---- */

static bool parse_number(const char *name, const char *text, uint64_t *value)
{
    if (parse_u64(text, value) == STATUS_OK)
        return true;
    tool_error("fuzz: %s: %s: expected a number", name, text);
    return false;
}

static bool parse_against(struct fuzz *fuzz, const char *name)
{
    static const struct fuzz_reference_ops *const known[] = {
        &fuzz_host_ops,
#ifdef VMRR_KVM
        &fuzz_kvm_ops,
#endif
        &fuzz_gdb_ops,
    };
    const char *colon = strchr(name, ':');
    size_t length = colon ? (size_t)(colon - name) : strlen(name);
    for (size_t n = 0; n < sizeof known / sizeof known[0]; n++) {
        if (strlen(known[n]->name) != length || strncmp(known[n]->name, name, length) != 0 ||
            !colon != (known[n] != &fuzz_gdb_ops))
            continue;
        fuzz->against = known[n];
        fuzz->where = colon ? colon + 1 : NULL;
        return true;
    }
    tool_error("fuzz: --against: %s: expected host, kvm, gdb:unix:PATH or gdb:tcp:HOST:PORT", name);
    return false;
}

static bool parse_mode(struct fuzz *fuzz, const char *text)
{
    if (parse_u64(text, &fuzz->bits) == STATUS_OK && (fuzz->bits == 16 || fuzz->bits == 32 || fuzz->bits == 64))
        return true;
    tool_error("fuzz: --mode: %s: expected 16, 32 or 64", text);
    return false;
}

static bool parse_level(struct fuzz *fuzz, const char *text)
{
    fuzz->has_level = true;
    if (parse_u64(text, &fuzz->level) == STATUS_OK && (fuzz->level == 0 || fuzz->level == 3))
        return true;
    tool_error("fuzz: --level: %s: expected 0 or 3", text);
    return false;
}

static bool parse_paging(struct fuzz *fuzz, const char *text)
{
    if (fuzz_paging_of(text, &fuzz->paging))
        return true;
    tool_error("fuzz: --paging: %s: expected long, pae or 32", text);
    return false;
}

static bool parse_option(struct fuzz *fuzz, int option, const char *value)
{
    switch (option) {
    case 's': return parse_number("--seed", value, &fuzz->seed);
    case 'c': fuzz->has_count = true; return parse_number("--count", value, &fuzz->count);
    case 't': return parse_number("--time", value, &fuzz->seconds);
    case 'f': return parse_number("--max", value, &fuzz->failures_max);
    case 'm': return parse_mode(fuzz, value);
    case 'l': return parse_level(fuzz, value);
    case 'a': return parse_against(fuzz, value);
    case 'p': return parse_paging(fuzz, value);
    case 'r': fuzz->replay = value; return true;
    case 'd': fuzz->directory = value; return true;
    case 'j': fuzz->json = true; return true;
    default: return false;
    }
}

/* Returns -1 to go on. */
static int parse_options(struct fuzz *fuzz, int argc, char **argv)
{
    static const struct option options[] = {
        {"seed", required_argument, NULL, 's'},
        {"count", required_argument, NULL, 'c'},
        {"time", required_argument, NULL, 't'},
        {"mode", required_argument, NULL, 'm'},
        {"level", required_argument, NULL, 'l'},
        {"against", required_argument, NULL, 'a'},
        {"paging", required_argument, NULL, 'p'},
        {"replay", required_argument, NULL, 'r'},
        {"output", required_argument, NULL, 'd'},
        {"max", required_argument, NULL, 'f'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        if (option == 'h') {
            help_print("fuzz");
            return EXIT_CODE_OK;
        }
        if (!parse_option(fuzz, option, optarg))
            return EXIT_CODE_USAGE;
    }
    if (fuzz->paging && fuzz->bits == 64) {
        tool_error("fuzz: --paging=%s: 64-bit code is long mode's", fuzz_paging_name(fuzz->paging));
        return EXIT_CODE_USAGE;
    }
    if (optind == argc)
        return -1;
    tool_error("fuzz: %s: unexpected; see vmrr fuzz --help", argv[optind]);
    return EXIT_CODE_USAGE;
}

/* ---- what comes out ---- */

static void count_excuse(struct fuzz *fuzz, const struct fuzz_result *result)
{
    bool unknown = result->verdict == FUZZ_UNKNOWN;
    const char *name = result->excuse ? result->excuse : "?";
    unsigned n = 0;
    while (n < fuzz->excuses && strcmp(fuzz->excuse[n].name, name))
        n++;
    if (n == EXCUSES_MAX)
        return;
    if (n == fuzz->excuses) {
        fuzz->excuse[n].name = name;
        fuzz->excuse[n].unknown = unknown;
        fuzz->excuses++;
    }
    fuzz->excuse[n].count++;
}

static void write_reproducer(struct fuzz *fuzz, const struct fuzz_case *small, json_t *object)
{
    struct error error = {{0}};
    char path[4200];
    snprintf(path, sizeof path, "%s/fuzz-%u-%" PRIx64 ".json", fuzz->directory, small->bits, small->seed);
    if (fuzz_case_write(small, path, &error) != STATUS_OK)
        tool_error("fuzz: %s", error.text);
    else
        json_object_set_new(object, "file", json_text(path, strlen(path)));
    if (!fuzz->json && !error.text[0])
        printf("  written to %s\n\n", path);
}

/* run holds what the smallest case gave. */
static void report(struct fuzz *fuzz, const struct fuzz_case *small)
{
    json_t *object = json_object();
    json_object_set_new(object, "case", fuzz_case_json(small));
    json_object_set_new(object, "differences", fuzz_differences_json(&fuzz->run));
    if (!fuzz->json)
        fuzz_print(&fuzz->run, small, stdout);
    if (!fuzz->replay)
        write_reproducer(fuzz, small, object);
    json_array_append_new(fuzz->list, object);
}

/* Twice the same before it is believed: a host that overwrote something of its own is no judge. endless: the interpreter had not
 * come to an end. */
static void fail(struct fuzz *fuzz, const struct fuzz_case *failing, bool endless)
{
    struct fuzz_case *small = malloc(sizeof *small);
    CHECK(small);
    *small = *failing;
    enum fuzz_verdict again = fuzz_run_one(&fuzz->run, small).verdict;
    if (again == FUZZ_SAME && endless) {
        fuzz->same++;
    } else if (again == FUZZ_DIFFERENT && fuzz_run_one(&fuzz->run, small).verdict == FUZZ_DIFFERENT) {
        fuzz->failures++;
        if (!fuzz->replay) {
            fuzz->run.steps = endless ? FUZZ_STEPS_SHRINK : FUZZ_STEPS;
            fuzz_shrink(&fuzz->run, small);
            fuzz->run.steps = 0;
        }
        report(fuzz, small);
    } else {
        fuzz->unstable++;
    }
    free(small);
}

/* A case that is excused by an instruction in it may hide what another one does. */
static void look_behind(struct fuzz *fuzz, const struct fuzz_case *excused)
{
    fuzz->rest = *excused;
    fuzz->run.steps = FUZZ_STEPS;
    enum fuzz_verdict verdict = fuzz_without_known(&fuzz->run, &fuzz->rest);
    fuzz->run.steps = 0;
    if (verdict == FUZZ_DIFFERENT)
        fail(fuzz, &fuzz->rest, fuzz->run.of_interp.state.vector == NATIVE_ENDLESS);
}

static void judge(struct fuzz *fuzz, size_t n, bool valid)
{
    struct fuzz_result result = fuzz_judge(fuzz->run.reference, fuzz->run.harness, &fuzz->assembled[n], valid,
                                           &fuzz->of_reference[n], &fuzz->of_interp[n]);
    fuzz->done++;
    fuzz->same += result.verdict == FUZZ_SAME;
    if (result.verdict != FUZZ_UNKNOWN)
        fuzz->instructions += fuzz_reached(&fuzz->cases[n], &fuzz->of_interp[n]);
    if (result.verdict == FUZZ_EXCUSED || result.verdict == FUZZ_UNKNOWN)
        count_excuse(fuzz, &result);
    if (result.verdict == FUZZ_EXCUSED && result.guess)
        look_behind(fuzz, &fuzz->cases[n]);
    if (result.verdict == FUZZ_DIFFERENT)
        fail(fuzz, &fuzz->cases[n], fuzz->of_interp[n].state.vector == NATIVE_ENDLESS);
}

/* ---- the run ---- */

static uint64_t seed_of(uint64_t seed, uint64_t index)
{
    uint64_t z = seed * 0x9E3779B97F4A7C15ull + index * 0xD1B54A32D192ED03ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

/* The reference is gone: what did that? */
static void report_lost(struct fuzz *fuzz, const struct native_case *lost)
{
    if (!fuzz->run.lost && (lost < fuzz->assembled || lost >= fuzz->assembled + FUZZ_BATCH))
        return;
    json_t *object = json_object();
    write_reproducer(fuzz, fuzz->run.lost ? &fuzz->run.lost_case : &fuzz->cases[lost - fuzz->assembled], object);
    const char *file = json_string_value(json_object_get(object, "file"));
    if (file)
        tool_error("fuzz: the case that was under way: %s", file);
    json_decref(object);
}

static enum status run_batch(struct fuzz *fuzz, size_t count, struct error *error)
{
    struct fuzz_reference *reference = fuzz->run.reference;
    bool valid[FUZZ_BATCH] = {false};
    for (size_t n = 0; n < count; n++) {
        fuzz_generate(&fuzz->cases[n], seed_of(fuzz->seed, fuzz->done + n), (unsigned)fuzz->bits, (unsigned)fuzz->level,
                      fuzz->run.harness, reference);
        fuzz_assemble(&fuzz->cases[n], &fuzz->assembled[n]);
    }
    enum status status = reference->ops->submit(reference, fuzz->assembled, count, error);
    for (size_t n = 0; n < count && !status; n++)
        native_interp_run(fuzz->run.harness, &fuzz->assembled[n], FUZZ_STEPS, &fuzz->of_interp[n].state,
                          fuzz->of_interp[n].data);
    if (!status)
        status = reference->ops->collect(reference, fuzz->of_reference, valid, error);
    if (status && reference->under_way)
        report_lost(fuzz, reference->under_way);
    for (size_t n = 0; n < count && !status; n++)
        judge(fuzz, n, valid[n]);
    return status;
}

static bool enough(const struct fuzz *fuzz, uint64_t start_ns)
{
    if (fuzz->failures >= fuzz->failures_max || (fuzz->has_count && fuzz->done >= fuzz->count))
        return true;
    return fuzz->seconds && host_clock_ns() - start_ns >= fuzz->seconds * 1000000000u;
}

static enum status run_all(struct fuzz *fuzz, struct error *error)
{
    enum status status = STATUS_OK;
    uint64_t start_ns = host_clock_ns();
    while (!status && !enough(fuzz, start_ns)) {
        uint64_t left = fuzz->has_count ? fuzz->count - fuzz->done : FUZZ_BATCH;
        status = run_batch(fuzz, left < FUZZ_BATCH ? (size_t)left : FUZZ_BATCH, error);
    }
    return status;
}

static enum status run_file(struct fuzz *fuzz, struct fuzz_case *read)
{
    struct fuzz_result result = fuzz_run_one(&fuzz->run, read);
    fuzz->done = 1;
    fuzz->instructions = read->count;
    fuzz->same = result.verdict == FUZZ_SAME;
    if (result.verdict == FUZZ_DIFFERENT)
        fail(fuzz, read, false);
    else if (result.verdict != FUZZ_SAME)
        count_excuse(fuzz, &result);
    return STATUS_OK;
}

/* ---- the end ---- */

static void get_note(const struct fuzz *fuzz, char *text, size_t size)
{
    struct fuzz_reference *reference = fuzz->run.reference;
    text[0] = 0;
    if (reference->ops->note)
        reference->ops->note(reference, text, size);
}

static void print_summary(const struct fuzz *fuzz)
{
    char note[160];
    printf("fuzz: %u-bit, %s, level %u, against %s: %" PRIu64 " cases, %" PRIu64 " instructions: %" PRIu64
           " the same, %" PRIu64 " differ\n",
           (unsigned)fuzz->bits, fuzz->paging ? fuzz_paging_name(fuzz->paging) : "long mode", (unsigned)fuzz->level,
           fuzz->against->name, fuzz->done, fuzz->instructions, fuzz->same, fuzz->failures);
    for (unsigned n = 0; n < fuzz->excuses; n++)
        printf("  %s %s: %" PRIu64 "\n", fuzz->excuse[n].unknown ? "not judged:" : "known:", fuzz->excuse[n].name,
               fuzz->excuse[n].count);
    if (fuzz->unstable)
        printf("  not judged: differed once, and not again: %" PRIu64 "\n", fuzz->unstable);
    get_note(fuzz, note, sizeof note);
    if (note[0])
        printf("  %s\n", note);
}

static void print_json(const struct fuzz *fuzz)
{
    json_t *object = json_object(), *known = json_object(), *unknown = json_object();
    char note[160];
    json_object_set_new(object, "against", json_string(fuzz->against->name));
    json_set_number(object, "mode", fuzz->bits);
    json_set_number(object, "level", fuzz->level);
    json_object_set_new(object, "paging", json_string(fuzz_paging_name(fuzz->paging)));
    json_set_number(object, "seed", fuzz->seed);
    json_set_number(object, "cases", fuzz->done);
    json_set_number(object, "instructions", fuzz->instructions);
    json_set_number(object, "same", fuzz->same);
    for (unsigned n = 0; n < fuzz->excuses; n++)
        json_set_number(fuzz->excuse[n].unknown ? unknown : known, fuzz->excuse[n].name, fuzz->excuse[n].count);
    json_set_number(object, "unstable", fuzz->unstable);
    json_object_set_new(object, "known", known);
    json_object_set_new(object, "not_judged", unknown);
    json_object_set(object, "failures", fuzz->list);
    get_note(fuzz, note, sizeof note);
    if (note[0])
        json_object_set_new(object, "note", json_string(note));
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(object);
}

static int run(struct fuzz *fuzz)
{
    struct error error = {{0}};
    struct fuzz_case *read = calloc(1, sizeof *read);
    CHECK(read);
    enum status status = fuzz->replay ? fuzz_case_read(read, fuzz->replay, &error) : STATUS_OK;
    int code = status ? EXIT_CODE_USAGE : EXIT_CODE_OK;
    if (!status) {
        fuzz->bits = fuzz->replay ? read->bits : fuzz->bits;
        fuzz->level = fuzz->replay ? read->level : fuzz->level;
        fuzz->paging = fuzz->replay ? read->paging : fuzz->paging;
        fuzz->run.reference = fuzz->against->open(&(struct fuzz_reference_options){.bits = (unsigned)fuzz->bits,
                                                                                   .level = (unsigned)fuzz->level,
                                                                                   .paging = fuzz->paging,
                                                                                   .where = fuzz->where},
                                                  &error);
        status = fuzz->run.reference ? STATUS_OK : STATUS_UNSUPPORTED;
        code = status ? EXIT_CODE_NOT_COMPARED : EXIT_CODE_OK;
    }
    if (!status) {
        fuzz->run.harness = native_harness_create(
            &(struct native_make){.paging = fuzz->paging,
                                  .level = (unsigned)fuzz->level,
                                  .halts = fuzz_halts(fuzz->against, (unsigned)fuzz->bits, (unsigned)fuzz->level)},
            &error);
        CHECK(fuzz->run.harness);
        status = fuzz->replay ? run_file(fuzz, read) : run_all(fuzz, &error);
        code = fuzz->failures ? EXIT_CODE_DIVERGED : status ? EXIT_CODE_FAILED : EXIT_CODE_OK;
        if (fuzz->json)
            print_json(fuzz);
        else
            print_summary(fuzz);
    }
    if (status)
        tool_error("fuzz: %s", error.text[0] ? error.text : status_name(status));
    if (fuzz->run.reference)
        fuzz->run.reference->ops->close(fuzz->run.reference);
    native_interp_destroy(fuzz->run.harness);
    free(read);
    return code;
}

int cmd_fuzz(int argc, char **argv)
{
    struct fuzz *fuzz = calloc(1, sizeof *fuzz);
    CHECK(fuzz);
    fuzz->seed = 1;
    fuzz->bits = 64;
    fuzz->failures_max = FAILURES_DEFAULT;
    fuzz->directory = ".";
    fuzz->against = &fuzz_host_ops;
    int code = parse_options(fuzz, argc, argv);
    if (code < 0) {
        if (!fuzz->has_level)
            fuzz->level = fuzz->against == &fuzz_host_ops ? 3 : 0;
        if (!fuzz->has_count && !fuzz->seconds) {
            fuzz->has_count = true;
            fuzz->count = COUNT_DEFAULT;
        }
        fuzz->cases = calloc(FUZZ_BATCH, sizeof *fuzz->cases);
        fuzz->assembled = calloc(FUZZ_BATCH, sizeof *fuzz->assembled);
        fuzz->of_interp = calloc(FUZZ_BATCH, sizeof *fuzz->of_interp);
        fuzz->of_reference = calloc(FUZZ_BATCH, sizeof *fuzz->of_reference);
        CHECK(fuzz->cases && fuzz->assembled && fuzz->of_interp && fuzz->of_reference);
        fuzz->list = json_array();
        code = run(fuzz);
    }
    json_decref(fuzz->list);
    free(fuzz->cases);
    free(fuzz->assembled);
    free(fuzz->of_interp);
    free(fuzz->of_reference);
    free(fuzz);
    return code;
}

#else

int cmd_fuzz(int argc, char **argv)
{
    if (argc == 2 && (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h"))) {
        help_print("fuzz");
        return EXIT_CODE_OK;
    }
    tool_error("fuzz: the host's CPU must be an x86-64");
    return EXIT_CODE_NOT_COMPARED;
}

#endif
