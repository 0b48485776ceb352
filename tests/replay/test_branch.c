/* Branches over the toy guest: the prefix is the parent's, what follows comes from another world, and the branch's own journal
 * replays; failed writes of the parent; sectors that nobody knows; images that are not what the run began with. */
#include "replay/branch.h"
#include "tests/replay/toy_guest.h"

#include <check.h>
#include <unistd.h>

#define STEPS 6000u

static char path[64], branch_path[80];

static void setup(void)
{
    snprintf(path, sizeof path, "/tmp/vmrr-branch-%d.vmrr", (int)getpid());
    snprintf(branch_path, sizeof branch_path, "%s.branch", path);
}

static void teardown(void)
{
    unlink(path);
    unlink(branch_path);
}

/* ---- images from outside: that of the toy without its bad sector, or with one bit of sector 62 changed ---- */

struct other_image {
    struct block_image image;
    bool changed;
};

static enum status other_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    for (uint32_t n = 0; n < sectors; n++)
        toy_sector(sector + n, (uint8_t *)buffer + n * BLOCK_SECTOR_BYTES);
    if (((struct other_image *)image)->changed && sector <= 62 && sector + sectors > 62)
        ((uint8_t *)buffer)[(62 - sector) * BLOCK_SECTOR_BYTES + 511] ^= 0x80;
    return STATUS_OK;
}

static void other_destroy(struct block_image *image)
{
    free(image);
}

static struct block_image *other_image(const char *name, uint64_t sectors, bool changed)
{
    static const struct block_image_ops ops = {.format = "toy", .read = other_read, .destroy = other_destroy};
    struct other_image *other = calloc(1, sizeof *other);
    *other = (struct other_image){{&ops, sectors, true, name}, changed};
    return &other->image;
}

/* ---- a branch ---- */

struct toy_branch {
    struct toy_world world; /* after the instant */
    struct replay_player *player;
    struct replay_branch *branch;
    struct replay_recorder *recorder;
    struct toy toy;
};

static void open_branch(struct toy_branch *it, uint64_t seed, struct block_image *original)
{
    struct error error = {{0}};
    memset(it, 0, sizeof *it);
    toy_world_init(&it->world, seed);
    it->player = toy_open(path, false);
    it->branch = replay_branch_create(
        &(struct replay_branch_options){.player = it->player, .path = path, .live = &it->world.input}, &error);
    ck_assert_msg(it->branch != NULL, "%s", error.text);
    it->recorder = replay_recorder_create(&(struct replay_recorder_options){.path = branch_path,
                                                                            .config = replay_player_config(it->player),
                                                                            .live = replay_branch_input(it->branch)},
                                          &error);
    ck_assert_msg(it->recorder != NULL, "%s", error.text);
    replay_branch_record(it->branch, it->recorder);
    it->toy.input = replay_recorder_input(it->recorder);
    it->toy.sink = replay_branch_trace(it->branch);
    it->toy.disk = replay_branch_image(it->branch, 0, original, &error);
    ck_assert_msg(it->toy.disk != NULL, "%s", error.text);
    it->toy.disk = replay_recorder_image(it->recorder, 0, it->toy.disk, &error);
    ck_assert_ptr_nonnull(it->toy.disk);
}

static void close_branch(struct toy_branch *it)
{
    struct error error = {{0}};
    ck_assert_int_eq(replay_recorder_close(it->recorder, &error), STATUS_OK);
    block_image_destroy(it->toy.disk);
    replay_branch_destroy(it->branch);
    replay_recorder_destroy(it->recorder);
    replay_player_destroy(it->player);
}

/* Steps, not positions: the toy stops anywhere. */
static void replay_again(uint64_t steps, uint64_t state)
{
    struct error error = {{0}};
    struct replay_player *player = toy_open(branch_path, false);
    struct toy toy;
    toy_init_replay(&toy, player);
    toy_run(&toy, steps);
    toy_finish(&toy);
    enum status status = replay_player_result(player, &error);
    ck_assert_msg(status == STATUS_OK, "%s: %s", status_name(status), error.text);
    ck_assert_uint_eq(toy.state, state);
    ck_assert_uint_eq(toy.beyond, 0);
    block_image_destroy(toy.disk);
    replay_player_destroy(player);
}

/* The parent's events are in it, up to the instant and failed writes included; then another world's. */
START_TEST(test_replays_by_itself)
{
    struct error error = {{0}};
    uint64_t parent = toy_record(path, 100 + (uint64_t)_i, STEPS), seed = 5000 + (uint64_t)_i;
    uint64_t prefix = toy_random(&seed) % STEPS;
    struct toy_branch it;
    open_branch(&it, 900 + (uint64_t)_i, _i % 2 ? other_image("start.img", TOY_SECTORS, false) : NULL);
    toy_run(&it.toy, prefix);
    ck_assert(!replay_branch_live(it.branch));
    ck_assert_int_eq(replay_branch_go_live(it.branch, &error), STATUS_OK);
    ck_assert(replay_branch_live(it.branch));
    toy_run(&it.toy, STEPS);
    toy_finish(&it.toy);
    uint64_t state = it.toy.state;
    uint32_t medium;
    uint64_t sector;
    if (_i % 2)
        ck_assert(!replay_branch_missing(it.branch, &medium, &sector));
    close_branch(&it);
    ck_assert_uint_ne(state, parent);
    replay_again(prefix + STEPS, state);
}
END_TEST

START_TEST(test_unknown_sector)
{
    struct error error = {{0}};
    uint8_t data[2 * BLOCK_SECTOR_BYTES], expected[BLOCK_SECTOR_BYTES];
    uint32_t medium = 99;
    uint64_t sector = 0, unknown = 0;
    toy_record(path, 3, 200);
    struct toy_branch it;
    open_branch(&it, 4, NULL);
    /* Before the instant: a request that failed in the parent, nobody's fault now. */
    while (it.toy.disk->ops->read(it.toy.disk, unknown, 1, data) == STATUS_OK)
        unknown++;
    ck_assert(!replay_branch_missing(it.branch, &medium, &sector));
    ck_assert_int_eq(replay_branch_go_live(it.branch, &error), STATUS_OK);
    ck_assert_int_eq(it.toy.disk->ops->read(it.toy.disk, unknown, 1, data), STATUS_NOT_FOUND);
    ck_assert_int_eq(it.toy.disk->ops->read(it.toy.disk, TOY_SECTORS - 1, 1, data), STATUS_NOT_FOUND);
    ck_assert(replay_branch_missing(it.branch, &medium, &sector));
    ck_assert_uint_eq(medium, 0);
    ck_assert_uint_eq(sector, unknown); /* the first */
    /* What is written is known. */
    memset(data, 7, sizeof data);
    ck_assert_int_eq(it.toy.disk->ops->write(it.toy.disk, TOY_SECTORS - 1, 1, data, false), STATUS_OK);
    ck_assert_int_eq(it.toy.disk->ops->read(it.toy.disk, TOY_SECTORS - 1, 1, data), STATUS_OK);
    close_branch(&it);
    open_branch(&it, 4, other_image("start.img", TOY_SECTORS, false));
    ck_assert_int_eq(it.toy.disk->ops->read(it.toy.disk, TOY_SECTORS - 2, 1, data), STATUS_OK);
    toy_sector(TOY_SECTORS - 2, expected);
    ck_assert_mem_eq(data, expected, sizeof expected);
    close_branch(&it);
}
END_TEST

/* The guest leaves the journal before the instant: there is no branch. */
START_TEST(test_diverged_prefix)
{
    struct error error = {{0}};
    toy_record(path, 3, 500);
    struct toy_branch it;
    open_branch(&it, 4, NULL);
    it.toy.deviate = TOY_EXTRA_EVENT + (unsigned)_i;
    it.toy.deviate_at = 100;
    toy_run(&it.toy, 300);
    ck_assert_int_eq(replay_branch_go_live(it.branch, &error), STATUS_DIVERGED);
    ck_assert_msg(error.text[0], "no text");
    ck_assert(!replay_branch_live(it.branch));
    close_branch(&it);
}
END_TEST

START_TEST(test_other_image)
{
    struct error error = {{0}}, size_error = {{0}};
    toy_record(path, 3, STEPS); /* reads sector 62 more than once */
    struct replay_player *player = toy_open(path, false);
    struct toy_world world;
    toy_world_init(&world, 1);
    struct replay_branch *branch = replay_branch_create(
        &(struct replay_branch_options){.player = player, .path = path, .live = &world.input}, &error);
    ck_assert_ptr_nonnull(branch);
    ck_assert_ptr_null(replay_branch_image(branch, 0, other_image("other.img", TOY_SECTORS, true), &error));
    ck_assert_msg(strstr(error.text, "other.img: sector 62 is not"), "%s", error.text);
    ck_assert_ptr_null(replay_branch_image(branch, 0, other_image("short.img", TOY_SECTORS - 1, false), &size_error));
    ck_assert_msg(strstr(size_error.text, "short.img: has 4095 sectors, drive 0 of the journal had 4096"), "%s",
                  size_error.text);
    replay_branch_destroy(branch);
    replay_player_destroy(player);
}
END_TEST

/* ---- what is refused, and what is written down ---- */

static struct replay_player *record_config(const struct journal_config *config)
{
    struct error error = {{0}};
    struct toy_world world;
    toy_world_init(&world, 1);
    struct replay_recorder *recorder = replay_recorder_create(
        &(struct replay_recorder_options){.path = path, .config = config, .live = &world.input}, &error);
    ck_assert_msg(recorder != NULL, "%s", error.text);
    ck_assert_int_eq(replay_recorder_close(recorder, &error), STATUS_OK);
    replay_recorder_destroy(recorder);
    return toy_open(path, false);
}

START_TEST(test_exits_are_refused)
{
    struct error error = {{0}};
    struct journal_config config;
    struct toy_world world;
    toy_world_init(&world, 1);
    toy_config(&config);
    config.counts_exits = true;
    struct replay_player *player = record_config(&config);
    ck_assert_ptr_null(replay_branch_create(
        &(struct replay_branch_options){.player = player, .path = path, .live = &world.input}, &error));
    ck_assert_msg(strstr(error.text, "exits"), "%s", error.text);
    replay_player_destroy(player);
    journal_config_free(&config);
}
END_TEST

START_TEST(test_parent_in_config)
{
    struct journal_config config;
    toy_config(&config);
    config.parent = (struct journal_parent){.present = true,
                                            .hash = {0x1122334455667788, 0x99AABBCCDDEEFF00},
                                            .position = {123456789, 987654321012},
                                            .path = strdup("some/where.vmrr"),
                                            .changes = _i ? strdup("drop-flush; key=ret") : NULL};
    struct replay_player *player = record_config(&config);
    const struct journal_parent *read = &replay_player_config(player)->parent;
    ck_assert(read->present && position_equal(read->position, config.parent.position));
    ck_assert_mem_eq(read->hash, config.parent.hash, sizeof read->hash);
    ck_assert_str_eq(read->path, config.parent.path);
    ck_assert_pstr_eq(read->changes, config.parent.changes);
    replay_player_destroy(player);
    journal_config_free(&config);
}
END_TEST

/* It names the frames up to the position: the same when the journal goes on, another one farther on. */
START_TEST(test_identity)
{
    struct toy_recording recording;
    struct error error = {{0}};
    uint64_t early[2], early_again[2], late[2];
    toy_record_start(&recording, path, 8, true);
    toy_run(&recording.toy, 2000);
    ck_assert_int_eq(replay_recorder_close(recording.recorder, &error), STATUS_OK);
    struct position middle = recording.toy.now;
    block_image_destroy(recording.toy.disk);
    replay_recorder_destroy(recording.recorder);
    journal_config_free(&recording.config);
    struct replay_player *player = toy_open(path, false);
    struct position end = replay_player_end(player);
    ck_assert_int_eq(replay_branch_identity(player, (struct position){0, 0}, early, &error), STATUS_OK);
    ck_assert_int_eq(replay_branch_identity(player, end, late, &error), STATUS_OK);
    ck_assert_int_eq(replay_branch_identity(player, (struct position){0, 0}, early_again, &error), STATUS_OK);
    ck_assert(position_reached(middle, end));
    ck_assert_mem_eq(early, early_again, sizeof early);
    ck_assert(early[0] && early[1] && late[0]);
    replay_player_destroy(player);
    toy_record(path, 9, 2000);
    player = toy_open(path, false);
    ck_assert_int_eq(replay_branch_identity(player, replay_player_end(player), early_again, &error), STATUS_OK);
    ck_assert_mem_ne(late, early_again, sizeof late);
    replay_player_destroy(player);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("branch");
    TCase *tcase = tcase_create("toy");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_replays_by_itself, 0, 60);
    tcase_add_test(tcase, test_unknown_sector);
    tcase_add_loop_test(tcase, test_diverged_prefix, 0, 3);
    tcase_add_test(tcase, test_other_image);
    tcase_add_test(tcase, test_exits_are_refused);
    tcase_add_loop_test(tcase, test_parent_in_config, 0, 2);
    tcase_add_test(tcase, test_identity);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
