/* A case of vmrr fuzz as somebody sends it: read, laid out, run by the interpreter at its level, and written again. What is taken comes
 * back the same. Input: the file. */
#include "tests/fuzz/fuzz.h"
#include "tools/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void check_round_trip(const struct fuzz_case *taken)
{
    struct fuzz_case *back = malloc(sizeof *back);
    struct error error = {{0}};
    json_t *object = fuzz_case_json(taken);
    CHECK(back && fuzz_case_parse(object, back, &error) == STATUS_OK);
    CHECK(!memcmp(back, taken, sizeof *back));
    json_decref(object);
    free(back);
}

static void run_case(const struct fuzz_case *taken)
{
    struct error error = {{0}};
    struct native_harness *h = native_harness_create(&(struct native_make){.paging = taken->paging, .level = taken->level}, &error);
    CHECK(h);
    struct native_case *c = calloc(1, sizeof *c);
    struct native_outcome *out = calloc(1, sizeof *out);
    CHECK(c && out);
    fuzz_assemble(taken, c);
    CHECK(c->length && c->offset + c->length < NATIVE_CODE_BYTES);
    native_interp_run(h, c, FUZZ_STEPS, &out->state, out->data);
    CHECK(out->state.vector >= -1 && out->state.vector <= NATIVE_ENDLESS);
    free(out);
    free(c);
    native_interp_destroy(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_case *taken = malloc(sizeof *taken);
    struct error error = {{0}};
    json_error_t where;
    json_t *object = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &where);
    CHECK(taken);
    enum status status = object ? fuzz_case_parse(object, taken, &error) : STATUS_CORRUPT;
    CHECK(!object || !status == !error.text[0]);
    if (!status) {
        check_round_trip(taken);
        run_case(taken);
    }
    json_decref(object);
    free(taken);
    return 0;
}
