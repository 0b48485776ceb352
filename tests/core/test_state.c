/* Field tables: save, load, digest, diff, dump. */
#include "core/state.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define INNER_STATE(S, A, N, T)                                                                                        \
    S(T, uint16_t, word)                                                                                               \
    A(T, uint8_t, bytes, 3)
struct inner {
    STATE_MEMBERS(INNER_STATE)
};
STATE_TABLE(inner_fields, struct inner, INNER_STATE);

#define OUTER_STATE(S, A, N, T)                                                                                        \
    S(T, uint64_t, big)                                                                                                \
    N(T, struct inner, inner, 2, inner_fields)                                                                         \
    S(T, bool, flag)                                                                                                   \
    A(T, uint32_t, large, 600)
struct outer {
    int wiring;
    STATE_MEMBERS(OUTER_STATE)
};
STATE_TABLE(outer_fields, struct outer, OUTER_STATE);

#define FLAG_OFFSET 18 /* of flag in the saved bytes */

static void fill(struct outer *outer)
{
    memset(outer, 0, sizeof *outer);
    outer->big = 0x0123456789ABCDEFull;
    outer->inner[0] = (struct inner){0x1122, {1, 2, 3}};
    outer->inner[1] = (struct inner){0x3344, {4, 5, 6}};
    outer->flag = true;
    for (uint32_t n = 0; n < 600; n++)
        outer->large[n] = n * 2654435761u;
}

START_TEST(sizes_are_packed)
{
    ck_assert_uint_eq(state_size(inner_fields), 5);
    ck_assert_uint_eq(state_size(outer_fields), 8 + 2 * 5 + 1 + 2400);
}
END_TEST

START_TEST(saved_bytes_are_little_endian_in_list_order)
{
    struct outer outer;
    uint8_t bytes[8 + 2 * 5 + 1 + 2400];
    fill(&outer);
    state_save(outer_fields, &outer, bytes);
    static const uint8_t start[] = {0xEF, 0xCD, 0xAB, 0x89, 0x67, 0x45, 0x23, 0x01, 0x22, 0x11, 1, 2,
                                    3,    0x44, 0x33, 4,    5,    6,    1,    0,    0,    0,    0};
    ck_assert_mem_eq(bytes, start, sizeof start);
}
END_TEST

START_TEST(load_gives_back_what_was_saved_and_leaves_wiring)
{
    struct outer outer, again = {.wiring = 42};
    uint8_t bytes[8 + 2 * 5 + 1 + 2400];
    fill(&outer);
    state_save(outer_fields, &outer, bytes);
    ck_assert_int_eq(state_load(outer_fields, &again, bytes, sizeof bytes), STATUS_OK);
    ck_assert_int_eq(again.wiring, 42);
    ck_assert_uint_eq(state_diff(outer_fields, &outer, &again, NULL, NULL), 0);
    ck_assert_int_eq(state_load(outer_fields, &again, bytes, sizeof bytes - 1), STATUS_CORRUPT);
}
END_TEST

START_TEST(every_bit_changes_the_digest)
{
    struct outer outer;
    uint8_t bytes[8 + 2 * 5 + 1 + 2400];
    fill(&outer);
    uint64_t digest = state_digest(outer_fields, &outer, 0);
    ck_assert_uint_ne(digest, state_digest(outer_fields, &outer, 1));
    state_save(outer_fields, &outer, bytes);
    for (size_t bit = 0; bit < sizeof bytes * 8; bit += bit < 200 ? 1 : 37) {
        struct outer other = {0};
        if (bit / 8 == FLAG_OFFSET && bit % 8)
            continue; /* a bool is one bit */
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        ck_assert_int_eq(state_load(outer_fields, &other, bytes, sizeof bytes), STATUS_OK);
        ck_assert_uint_ne(digest, state_digest(outer_fields, &other, 0));
        bytes[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    outer.wiring = 7;
    ck_assert_uint_eq(digest, state_digest(outer_fields, &outer, 0));
}
END_TEST

struct buffer {
    uint8_t bytes[3000];
    struct state_kept kept;
};
STATE_TABLE_KEPT(buffer_fields, struct buffer, uint8_t, bytes, 3000);
#define OWNER_STATE(S, A, N, T)                                                                                        \
    S(T, uint32_t, before)                                                                                             \
    N(T, struct buffer, buffer, 1, buffer_fields)                                                                      \
    S(T, uint8_t, after)
struct owner {
    STATE_MEMBERS(OWNER_STATE)
};
STATE_TABLE(owner_fields, struct owner, OWNER_STATE);

START_TEST(gathered_digests_are_those_of_the_objects_and_kept_hashes_follow_a_touch)
{
    struct owner owner = {.before = 1, .after = 2};
    struct outer outer;
    uint8_t bytes[4 + 3000 + 1];
    fill(&outer);
    struct state_gather *one = state_gather_create(), *both = state_gather_create();
    state_gather_add(one, owner_fields, &owner);
    state_gather_add(both, owner_fields, &owner);
    state_gather_add(both, outer_fields, &outer);
    for (size_t at = 0; at < sizeof owner.buffer->bytes; at += 7) {
        uint64_t of_both = state_gather_digest(both, 3);
        owner.buffer->bytes[at] ^= 0x10;
        state_kept_touch(&owner.buffer->kept);
        ck_assert_uint_eq(state_gather_digest(one, at), state_digest(owner_fields, &owner, at));
        ck_assert_uint_eq(state_gather_digest(one, at), state_gather_digest(one, at));
        ck_assert_uint_ne(state_gather_digest(both, 3), of_both);
        of_both = state_gather_digest(both, 3);
        outer.large[at % 600]++;
        ck_assert_uint_ne(state_gather_digest(both, 3), of_both);
    }
    /* Loading is a write too. */
    uint64_t digest = state_gather_digest(one, 0);
    state_save(owner_fields, &owner, bytes);
    bytes[4 + 1234] ^= 1;
    ck_assert_int_eq(state_load(owner_fields, &owner, bytes, sizeof bytes), STATUS_OK);
    ck_assert_uint_ne(state_gather_digest(one, 0), digest);
    ck_assert_uint_eq(state_gather_digest(one, 0), state_digest(owner_fields, &owner, 0));
    state_gather_destroy(one);
    state_gather_destroy(both);
}
END_TEST

static void keep_path(void *opaque, const char *path, uint64_t a, uint64_t b)
{
    snprintf(opaque, 128, "%s %llx %llx", path, (unsigned long long)a, (unsigned long long)b);
}

START_TEST(a_damaged_bool_loads_as_true)
{
    struct outer outer;
    uint8_t bytes[8 + 2 * 5 + 1 + 2400];
    fill(&outer);
    state_save(outer_fields, &outer, bytes);
    bytes[FLAG_OFFSET] = 0xFE;
    ck_assert_int_eq(state_load(outer_fields, &outer, bytes, sizeof bytes), STATUS_OK);
    ck_assert(outer.flag);
    state_save(outer_fields, &outer, bytes);
    ck_assert_uint_eq(bytes[FLAG_OFFSET], 1);
}
END_TEST

START_TEST(diff_names_the_element)
{
    struct outer a, b;
    char text[128] = "";
    fill(&a);
    fill(&b);
    b.inner[1].bytes[2] = 9;
    ck_assert_uint_eq(state_diff(outer_fields, &a, &b, keep_path, text), 1);
    ck_assert_str_eq(text, "inner[1].bytes[2] 6 9");
}
END_TEST

START_TEST(dump_has_a_line_a_field)
{
    struct outer outer;
    char *text = NULL;
    size_t size = 0;
    fill(&outer);
    FILE *file = open_memstream(&text, &size);
    state_dump(outer_fields, &outer, "dev", file);
    fclose(file);
    ck_assert_ptr_nonnull(strstr(text, "dev.big = 123456789abcdef\n"));
    ck_assert_ptr_nonnull(strstr(text, "dev.inner[1].bytes = 4 5 6\n"));
    ck_assert_ptr_nonnull(strstr(text, "dev.large = digest "));
    free(text);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state");
    TCase *tests = tcase_create("state");
    tcase_add_test(tests, sizes_are_packed);
    tcase_add_test(tests, saved_bytes_are_little_endian_in_list_order);
    tcase_add_test(tests, load_gives_back_what_was_saved_and_leaves_wiring);
    tcase_add_test(tests, every_bit_changes_the_digest);
    tcase_add_test(tests, gathered_digests_are_those_of_the_objects_and_kept_hashes_follow_a_touch);
    tcase_add_test(tests, a_damaged_bool_loads_as_true);
    tcase_add_test(tests, diff_names_the_element);
    tcase_add_test(tests, dump_has_a_line_a_field);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
