/* Recorder and player against each other, over a toy guest: bit-exact, divergences, torn and damaged files, following,
 * a full disk, death at any moment. */
#include "replay/journal_reader.h"
#include "replay/recorder.h"
#include "tests/replay/toy_guest.h"

#include <check.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char path[64], other_path[80];

static void setup(void)
{
    snprintf(path, sizeof path, "/tmp/vmrr-test-%d.vmrr", (int)getpid());
    snprintf(other_path, sizeof other_path, "%s.cut", path);
}

static void teardown(void)
{
    unlink(path);
    unlink(other_path);
}

static void assert_result(struct replay_player *player, enum status expected)
{
    struct error error = {{0}};
    enum status status = replay_player_result(player, &error);
    ck_assert_msg(status == expected, "%s: %s", status_name(status), error.text);
}

static uint8_t *read_file(const char *name, size_t *size)
{
    struct stat st;
    int file = open(name, O_RDONLY);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(fstat(file, &st), 0);
    *size = (size_t)st.st_size;
    uint8_t *bytes = malloc(*size + 1);
    ck_assert_int_eq(read(file, bytes, *size), (ssize_t)*size);
    close(file);
    return bytes;
}

static void write_file(const char *name, const uint8_t *bytes, size_t size)
{
    int file = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_ge(file, 0);
    ck_assert_int_eq(write(file, bytes, size), (ssize_t)size);
    close(file);
}

/* ---- the ordinary ---- */

START_TEST(test_bit_exact)
{
    uint64_t state = toy_record(path, 11 + (uint64_t)_i, 30000);
    for (int again = 0; again < 2; again++) {
        struct replay_player *player = toy_open(path, false);
        struct toy toy;
        char why[64];
        toy_init_replay(&toy, player);
        ck_assert(!replay_player_torn(player, why, sizeof why));
        ck_assert_int_eq(replay_player_stop(player), MACHINE_STOP_POWER_OFF);
        toy_run(&toy, 30000);
        ck_assert(position_equal(toy.now, replay_player_end(player)));
        toy_finish(&toy);
        ck_assert_uint_eq(toy.state, state);
        ck_assert_uint_eq(toy.beyond, 0);
        assert_result(player, STATUS_OK);
        ck_assert_ptr_null(replay_player_divergence(player));
        block_image_destroy(toy.disk);
        replay_player_destroy(player);
    }
}
END_TEST

START_TEST(test_same_start_same_file)
{
    size_t a_size, b_size;
    toy_record(path, 5, 5000);
    uint8_t *a = read_file(path, &a_size);
    toy_record(path, 5, 5000);
    uint8_t *b = read_file(path, &b_size);
    ck_assert_uint_eq(a_size, b_size);
    ck_assert_int_eq(memcmp(a, b, a_size), 0);
    free(a);
    free(b);
}
END_TEST

static void fill(struct journal_blob *blob, size_t size, uint64_t seed)
{
    blob->size_bytes = size;
    blob->bytes = malloc(size + 8);
    for (size_t i = 0; i < size; i += 8)
        le64_put(blob->bytes + i, seed ? toy_random(&seed) : 0);
}

static void assert_blob(const struct journal_blob *a, const struct journal_blob *b)
{
    ck_assert_uint_eq(a->size_bytes, b->size_bytes);
    ck_assert((a->bytes == NULL) == (b->bytes == NULL));
    ck_assert(!a->bytes || memcmp(a->bytes, b->bytes, a->size_bytes) == 0);
}

/* With all that can be said of a drive. */
static void full_drive(struct journal_drive *drive)
{
    *drive = (struct journal_drive){.size_sectors = 1u << 31, .present = true};
    drive->make = (struct journal_image_make){3, 21, 64, JOURNAL_IMAGE_EXTENDED_L2 | JOURNAL_IMAGE_BACKING};
    drive->at = (struct block_attachment){BLOCK_ATTACH_NVME, 0, 31, BLOCK_ATTACH_NO_DISCARD, "serial of 20 letters"};
    drive->policy = (struct block_policy){.rerror = BLOCK_ON_ERROR_IGNORE,
                                          .werror = BLOCK_ON_ERROR_STOP,
                                          .write_through = true,
                                          .keep_discarded = true,
                                          .asks_faults = true,
                                          .throttle = {.limit = {{1000, 2000, 3}}, .iops_size_bytes = 4096}};
    drive->path = strdup("a/b.qcow2");
    drive->format = strdup("qcow2");
    drive->id = strdup("disk0");
    drive->qdev = strdup("/machine/peripheral/nvme0");
}

static void assert_full_drive(const struct journal_drive *read, const struct journal_drive *drive)
{
    ck_assert(read->present && !read->read_only);
    ck_assert_uint_eq(read->size_sectors, drive->size_sectors);
    ck_assert_mem_eq(&read->make, &drive->make, sizeof read->make);
    ck_assert(read->at.kind == drive->at.kind && read->at.unit == drive->at.unit && read->at.slot == drive->at.slot);
    ck_assert_uint_eq(read->at.flags, drive->at.flags);
    ck_assert_str_eq(read->at.serial, drive->at.serial);
    ck_assert(read->policy.rerror == drive->policy.rerror && read->policy.werror == drive->policy.werror);
    ck_assert(read->policy.write_through && read->policy.keep_discarded && read->policy.asks_faults);
    ck_assert_mem_eq(&read->policy.throttle, &drive->policy.throttle, sizeof read->policy.throttle);
    ck_assert_str_eq(read->path, drive->path);
    ck_assert_str_eq(read->format, drive->format);
    ck_assert_str_eq(read->id, drive->id);
    ck_assert_str_eq(read->qdev, drive->qdev);
}

START_TEST(test_config)
{
    struct toy_recording recording = {.config = {.ram_bytes = 123u << 20}};
    struct journal_config *config = &recording.config;
    struct error error = {{0}};
    config->creator = strdup("somebody");
    config->accel = strdup("interp");
    config->append = strdup("console=ttyS0 \xc3\xa4");
    config->boot_order = strdup("");
    config->no_reboot = config->boot_menu = true;
    config->seed = 1ull << 63;
    config->timing = 1;
    config->checkpoint_steps = 12345;
    strcpy(config->cpu.name, "vmrr,+x,-y,-longer,-than,-thirty,-one,-bytes");
    config->cpu.count = 2;
    config->cpu.leaf[1] = (struct cpu_model_leaf){0x80000001, 7, true, 1, 2, 3, 0xffffffff};
    fill(&config->bios, 1000, 3);
    fill(&config->vgabios, 0, 3);
    fill(&config->kernel, 3000000, 4);
    fill(&config->initrd, 3000000, 4);
    fill(&config->module[0], 5000000, 0);
    fill(&config->module[1], 10, 0);
    config->module_args[1] = strdup("one two");
    config->module_count = 2;
    config->drive[2] =
        (struct journal_drive){.size_sectors = 77, .present = true, .read_only = true, .path = strdup("p")};
    full_drive(&config->drive[15]);
    toy_world_init(&recording.world, 1);
    struct replay_recorder_options options = {.path = path, .config = config, .live = &recording.world.input};
    recording.recorder = replay_recorder_create(&options, &error);
    ck_assert_msg(recording.recorder != NULL, "%s", error.text);
    ck_assert_int_eq(replay_recorder_close(recording.recorder, &error), STATUS_OK);
    replay_recorder_destroy(recording.recorder);

    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_lt(st.st_size, 3100000); /* kernel and initrd are the same: once */
    struct replay_player *player = toy_open(path, false);
    const struct journal_config *read = replay_player_config(player);
    ck_assert_str_eq(read->creator, config->creator);
    ck_assert_str_eq(read->append, config->append);
    ck_assert_str_eq(read->boot_order, "");
    ck_assert(read->no_reboot && read->boot_menu && !read->no_vga);
    ck_assert_uint_eq(read->seed, config->seed);
    ck_assert_uint_eq(read->timing, 1);
    ck_assert_uint_eq(read->ram_bytes, config->ram_bytes);
    ck_assert_uint_eq(read->checkpoint_steps, 12345);
    ck_assert_int_eq(memcmp(&read->cpu, &config->cpu, sizeof read->cpu), 0);
    assert_blob(&read->bios, &config->bios);
    ck_assert_ptr_nonnull(read->vgabios.bytes);
    ck_assert_uint_eq(read->vgabios.size_bytes, 0);
    assert_blob(&read->kernel, &config->kernel);
    assert_blob(&read->initrd, &config->initrd);
    assert_blob(&read->module[0], &config->module[0]);
    assert_blob(&read->module[1], &config->module[1]);
    ck_assert_ptr_null(read->module_args[0]);
    ck_assert_str_eq(read->module_args[1], "one two");
    ck_assert(read->drive[2].present && read->drive[2].read_only && !read->drive[2].format && !read->drive[0].present);
    ck_assert_str_eq(read->drive[2].path, "p");
    assert_full_drive(&read->drive[15], &config->drive[15]);
    replay_player_destroy(player);
    journal_config_free(config);
}
END_TEST

START_TEST(test_sectors_once)
{
    struct toy_recording recording;
    struct error error = {{0}};
    uint8_t data[64 * 512], again[64 * 512];
    toy_record_start(&recording, path, 1, true);
    struct block_image *disk = recording.toy.disk;
    toy_emit(&recording.toy, (struct trace_event){.kind = TRACE_IRQ, .value = 1});
    ck_assert_int_eq(disk->ops->read(disk, 100, 64, data), STATUS_OK);
    ck_assert_int_eq(disk->ops->read(disk, 120, 64, data), STATUS_OK); /* overlaps */
    ck_assert_int_eq(disk->ops->read(disk, 13, 1, data), STATUS_IO);   /* leaves no trace */
    memset(data, 0xaa, sizeof data);
    ck_assert_int_eq(disk->ops->write(disk, 1000, 2, data, false), STATUS_OK);
    ck_assert_int_eq(disk->ops->read(disk, 1000, 4, data), STATUS_OK); /* two of the four are the guest's own */
    toy_emit(&recording.toy, (struct trace_event){.kind = TRACE_IRQ, .value = 2});
    toy_finish(&recording.toy);
    ck_assert_int_eq(toy_record_end(&recording, &error), STATUS_OK);

    struct journal_reader *reader = journal_reader_open(path, &error);
    uint64_t raw = 0;
    for (size_t i = 0; i < journal_reader_count(reader); i++)
        if (journal_reader_frame(reader, i)->kind == JOURNAL_FRAME_SECTORS)
            raw += journal_reader_frame(reader, i)->raw_bytes;
    uint64_t contents = 1; /* that of the multiples of five */
    for (uint64_t sector = 100; sector < 184; sector++)
        contents += sector % 7 && sector % 5;
    contents += 2; /* 1002, 1003 */
    ck_assert_uint_eq(raw / 512, contents);
    journal_reader_destroy(reader);

    struct replay_player *player = toy_open(path, false);
    struct toy toy;
    toy_init_replay(&toy, player);
    toy_emit(&toy, (struct trace_event){.kind = TRACE_IRQ, .value = 1});
    ck_assert_int_eq(toy.disk->ops->read(toy.disk, 110, 64, data), STATUS_OK);
    for (unsigned i = 0; i < 64; i++)
        toy_sector(110 + i, again + i * 512);
    ck_assert_int_eq(memcmp(data, again, sizeof data), 0);
    ck_assert_int_eq(toy.disk->ops->read(toy.disk, 999, 6, data), STATUS_OK);
    memset(again, 0, sizeof again);
    toy_sector(1002, again + 3 * 512);
    toy_sector(1003, again + 4 * 512);
    ck_assert_int_eq(memcmp(data, again, 6 * 512), 0); /* what is not in the journal reads as zeros */
    toy_emit(&toy, (struct trace_event){.kind = TRACE_IRQ, .value = 2});
    toy_finish(&toy);
    assert_result(player, STATUS_OK);
    block_image_destroy(toy.disk);
    replay_player_destroy(player);
}
END_TEST

/* ---- divergence ---- */

static const char *const deviations[] = {"",
                                         "value differs",
                                         "another event",
                                         "did not come",
                                         "another event",
                                         "does not have here",
                                         "digest of CPU and devices differs"};

/* TOY_NO_EVENT .. may show in different words; what matters is that it is seen, where, and what was before. */
START_TEST(test_divergence)
{
    toy_record(path, 77, 4000);
    unsigned tried = 0;
    for (uint64_t at = 1000; at < 1400; at += 7) {
        struct replay_player *player = toy_open(path, false);
        struct toy toy;
        toy_init_replay(&toy, player);
        toy_run(&toy, at);
        /* deviate only where the honest guest makes an access */
        struct position position = toy.now;
        toy.deviate = _i;
        toy.deviate_at = at;
        uint64_t r = toy_mix(toy.state, toy.now.icount + toy.now.vtime_ns);
        ck_assert_ptr_null(replay_player_divergence(player));
        bool usable = (r >> 52 & 7) < 4;
        struct error error = {{0}};
        toy_step(&toy);
        if (usable && _i != TOY_OTHER_STATE && replay_player_divergence(player) == NULL)
            toy_step(&toy);
        const struct replay_divergence *divergence = replay_player_divergence(player);
        if (usable && _i != TOY_OTHER_STATE && _i != TOY_STAYS) {
            ck_assert_msg(divergence != NULL, "deviation %d at %lu not seen", _i, at);
            /* a message at this position made the honest guest do something else than an access */
            enum trace_kind kind = divergence->expected.kind;
            usable = _i == TOY_OTHER_PULL || kind == TRACE_PIO_READ || kind == TRACE_PIO_WRITE ||
                     (_i == TOY_EXTRA_EVENT && kind != 0);
        }
        if (usable && _i != TOY_OTHER_STATE && _i != TOY_STAYS) {
            ck_assert_uint_ge(divergence->position.icount, position.icount);
            ck_assert_uint_eq(divergence->before_count, 16);
            ck_assert_uint_gt(strlen(divergence->before_text[15]), 0);
            ck_assert(divergence->have_expected && strlen(divergence->expected_text));
            ck_assert_int_eq(replay_player_result(player, &error), STATUS_DIVERGED);
            if (_i == TOY_OTHER_VALUE || _i == TOY_OTHER_EVENT || _i == TOY_OTHER_PULL)
                ck_assert_msg(strstr(divergence->text, deviations[_i]) != NULL, "%s", divergence->text);
            if (_i == TOY_OTHER_VALUE) {
                ck_assert_uint_eq(divergence->actual.value ^ divergence->expected.value, 1);
                ck_assert(position_equal(divergence->position, position));
            }
            tried++;
        }
        block_image_destroy(toy.disk);
        replay_player_destroy(player);
    }
    ck_assert(_i == TOY_OTHER_STATE || _i == TOY_STAYS || tried > 10);
}
END_TEST

/* A state that differs shows at the next digest at the latest. */
START_TEST(test_divergence_by_digest)
{
    toy_record(path, 77, 4000);
    struct replay_player *player = toy_open(path, false);
    struct toy toy;
    toy_init_replay(&toy, player);
    toy.deviate = TOY_OTHER_STATE;
    toy.deviate_at = 1000;
    toy_run(&toy, 1000);
    struct position before = toy.now;
    while (!replay_player_divergence(player) && toy.steps < 3900)
        toy_step(&toy);
    const struct replay_divergence *divergence = replay_player_divergence(player);
    ck_assert_ptr_nonnull(divergence);
    ck_assert_uint_le(divergence->position.icount, before.icount + MACHINE_SLICE_STEPS);
    block_image_destroy(toy.disk);
    replay_player_destroy(player);
}
END_TEST

START_TEST(test_ends_early_or_late)
{
    toy_record(path, 78, 3000);
    struct replay_player *player = toy_open(path, false);
    struct toy toy;
    toy_init_replay(&toy, player);
    toy_run(&toy, 2900);
    assert_result(player, STATUS_DIVERGED);
    ck_assert_ptr_nonnull(strstr(replay_player_divergence(player)->text, "before its journal"));
    block_image_destroy(toy.disk);
    replay_player_destroy(player);

    player = toy_open(path, false);
    toy_init_replay(&toy, player);
    toy_run(&toy, 3000);
    toy_finish(&toy);
    toy_finish(&toy);
    assert_result(player, STATUS_DIVERGED);
    ck_assert_ptr_nonnull(strstr(replay_player_divergence(player)->text, "after the end"));
    block_image_destroy(toy.disk);
    replay_player_destroy(player);
}
END_TEST

/* ---- torn and damaged files ---- */

/* Replays what there is of the file. Returns false when it can't be opened. */
static bool replay_file(const char *name, bool *torn, enum status *result, struct position *end)
{
    struct error error = {{0}};
    struct replay_player_options options = {.path = name};
    struct replay_player *player = replay_player_open(&options, &error);
    struct toy toy;
    if (!player) {
        ck_assert_msg(strstr(error.text, name) != NULL, "no name in: %s", error.text);
        return false;
    }
    toy_init_replay(&toy, player);
    char why[200] = "";
    *torn = replay_player_torn(player, why, sizeof why);
    *end = replay_player_end(player);
    toy_run_to(&toy, *end);
    if (!*torn)
        toy_finish(&toy);
    *result = replay_player_result(player, &error);
    ck_assert(*result == STATUS_OK || error.text[0]);
    block_image_destroy(toy.disk);
    replay_player_destroy(player);
    return true;
}

/* Frames of a few hundred steps each: as if a second had gone by between. */
static void record_in_frames(struct toy_recording *recording, uint64_t steps, uint64_t frame_steps)
{
    toy_record_start(recording, path, 21, true);
    for (uint64_t i = 0; i < steps; i += frame_steps) {
        toy_run(&recording->toy, frame_steps);
        recorder_flush(recording->recorder);
    }
}

START_TEST(test_every_length)
{
    struct toy_recording recording;
    struct error error = {{0}};
    record_in_frames(&recording, 240, 40);
    toy_finish(&recording.toy);
    ck_assert_int_eq(toy_record_end(&recording, &error), STATUS_OK);
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    struct position best = {0, 0};
    unsigned opened = 0;
    for (size_t length = 0; length <= size; length += length > 3000 && length + 300 < size ? 7 : 1) {
        bool torn;
        enum status result;
        struct position end;
        write_file(other_path, bytes, length);
        if (!replay_file(other_path, &torn, &result, &end))
            continue;
        opened++;
        ck_assert_msg(result == STATUS_OK, "length %zu", length);
        ck_assert(torn == (length < size));
        ck_assert(position_reached(end, best));
        best = end;
    }
    ck_assert_uint_gt(opened, 100);
    free(bytes);
}
END_TEST

/* All that a reader can say against a file: a flipped byte must be among it. */
static bool damage_is_seen(const char *name)
{
    struct error error = {{0}};
    struct journal_reader *reader = journal_reader_open_scanning(name, &error);
    if (!reader) {
        ck_assert_uint_gt(strlen(error.text), 0);
        return true;
    }
    bool seen = journal_reader_torn(reader) != NULL;
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    for (size_t i = 0; i < journal_reader_count(reader); i++)
        seen |= journal_reader_load(reader, i, raw, &error) != STATUS_OK;
    free(raw);
    journal_reader_destroy(reader);
    return seen;
}

START_TEST(test_every_byte)
{
    struct toy_recording recording;
    struct error error = {{0}};
    record_in_frames(&recording, 120, 40);
    toy_finish(&recording.toy);
    ck_assert_int_eq(toy_record_end(&recording, &error), STATUS_OK);
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    for (size_t at = 0; at<size; at += at> 4000 && at + 600 < size ? 11 : 1) {
        bool torn;
        enum status result;
        struct position end;
        uint8_t was = bytes[at];
        bytes[at] ^= (uint8_t)(1u << at % 8);
        write_file(other_path, bytes, size);
        bytes[at] = was;
        ck_assert_msg(damage_is_seen(other_path), "byte %zu of %zu", at, size);
        if (replay_file(other_path, &torn, &result, &end))
            ck_assert(result == STATUS_OK || result == STATUS_CORRUPT || result == STATUS_UNSUPPORTED);
    }
    free(bytes);
}
END_TEST

/* Frames that lie with right checksums: no crash, no wrong "bit-exact". */
START_TEST(test_lying_frames)
{
    toy_record(path, 31, 60);
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    struct error error = {{0}};
    struct journal_reader *reader = journal_reader_open(path, &error);
    for (size_t i = 0; i < journal_reader_count(reader); i++) {
        struct journal_frame frame = *journal_reader_frame(reader, i);
        for (unsigned at = 4; at < 72; at++) {
            for (unsigned bit = 0; bit < 8; bit += 3) {
                bool torn;
                enum status result;
                struct position end;
                uint8_t *header = bytes + frame.offset;
                uint8_t saved[80];
                memcpy(saved, header, 80);
                header[at] ^= (uint8_t)(1u << bit);
                le64_put(header + 72, journal_hash64_pair(header, 72, header + 80, frame.packed_bytes));
                write_file(other_path, bytes, size);
                memcpy(header, saved, 80);
                (void)replay_file(other_path, &torn, &result, &end);
            }
        }
    }
    journal_reader_destroy(reader);
    free(bytes);
}
END_TEST

static void set_version(uint16_t major, uint16_t minor)
{
    size_t size;
    uint8_t *bytes = read_file(path, &size);
    le16_put(bytes + 8, major);
    le16_put(bytes + 10, minor);
    le64_put(bytes + 24, journal_hash64(bytes, 24));
    write_file(other_path, bytes, size);
    free(bytes);
}

START_TEST(test_versions)
{
    bool torn;
    enum status result;
    struct position end;
    struct error error = {{0}};
    toy_record(path, 41, 100);
    set_version(1, 9);
    ck_assert(replay_file(other_path, &torn, &result, &end));
    ck_assert_int_eq(result, STATUS_OK);
    set_version(2, 0);
    ck_assert_ptr_null(journal_reader_open(other_path, &error));
    ck_assert_msg(strstr(error.text, "major version") && strstr(error.text, "2.0"), "%s", error.text);
}
END_TEST

START_TEST(test_not_a_journal)
{
    static const char *const names[] = {"/dev/null", "/dev/zero", "/", "/nonexistent/file", "/bin/true"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct error error = {{0}};
        ck_assert_ptr_null(journal_reader_open(names[i], &error));
        ck_assert_msg(strstr(error.text, names[i]) != NULL, "%s", error.text);
    }
}
END_TEST

/* ---- hosts that die, fill up, and wait ---- */

static void sleep_ms(long ms)
{
    struct timespec moment = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&moment, NULL);
}

static uint64_t clock_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Records for ever, slowly, and says where it is through the pipe. */
static _Noreturn void record_until_killed(int report)
{
    struct toy_recording recording;
    toy_record_start(&recording, path, 51, true);
    for (;;) {
        toy_run(&recording.toy, 100);
        replay_recorder_tick(recording.recorder);
        uint64_t note[2] = {clock_ms(), recording.toy.now.icount};
        if (write(report, note, sizeof note) != sizeof note)
            _exit(1);
        sleep_ms(10);
    }
}

START_TEST(test_killed)
{
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0)
        record_until_killed(pipes[1]);
    close(pipes[1]);
    sleep_ms(2600);
    kill(child, SIGKILL);
    uint64_t killed_at = clock_ms();
    waitpid(child, NULL, 0);
    uint64_t note[2], covered = 0;
    while (read(pipes[0], note, sizeof note) == sizeof note)
        if (note[0] + 1100 <= killed_at)
            covered = note[1];
    close(pipes[0]);
    bool torn;
    enum status result;
    struct position end;
    ck_assert_uint_gt(covered, 0);
    ck_assert(replay_file(path, &torn, &result, &end));
    ck_assert(torn);
    ck_assert_int_eq(result, STATUS_OK);
    ck_assert_msg(end.icount >= covered, "journal ends at %lu, expected at least %lu", end.icount, covered);
}
END_TEST

/* Follows a journal while another process records it. */
START_TEST(test_follow)
{
    int pipes[2];
    ck_assert_int_eq(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        struct toy_recording recording;
        struct error error = {{0}};
        toy_record_start(&recording, path, 61, true);
        (void)!write(pipes[1], "x", 1);
        for (unsigned i = 0; i < 150; i++) {
            toy_run(&recording.toy, 100);
            replay_recorder_tick(recording.recorder);
            sleep_ms(i % 50 == 49 ? 300 : 10);
        }
        if (_i == 1)
            kill(getpid(), SIGKILL);
        toy_finish(&recording.toy);
        uint64_t state = recording.toy.state;
        _exit(toy_record_end(&recording, &error) != STATUS_OK || write(pipes[1], &state, 8) != 8);
    }
    char go;
    ck_assert_int_eq(read(pipes[0], &go, 1), 1);
    struct replay_player *player = toy_open(path, true);
    struct toy toy;
    toy_init_replay(&toy, player);
    ck_assert_uint_eq(replay_player_end(player).icount, POSITION_NEVER);
    if (_i == 0) {
        toy_run(&toy, 15000);
        toy_finish(&toy);
        uint64_t state = 0;
        ck_assert_int_eq(read(pipes[0], &state, 8), 8);
        ck_assert_uint_eq(toy.state, state);
        ck_assert_int_eq(replay_player_stop(player), MACHINE_STOP_POWER_OFF);
    } else {
        while (!position_reached(toy.now, replay_player_end(player)))
            toy_step(&toy);
        ck_assert(replay_player_torn(player, NULL, 0));
        ck_assert_uint_gt(toy.steps, 1000);
    }
    assert_result(player, STATUS_OK);
    ck_assert_uint_eq(toy.beyond, 0);
    int status;
    waitpid(child, &status, 0);
    ck_assert_int_eq(status, _i == 0 ? 0 : SIGKILL);
    close(pipes[0]);
    close(pipes[1]);
    block_image_destroy(toy.disk);
    replay_player_destroy(player);
}
END_TEST

static void count_call(void *opaque)
{
    ++*(unsigned *)opaque;
}

/* A file that may not grow beyond a limit, which the reserve does not notice: the harder of the two kinds of full disk. */
START_TEST(test_disk_full)
{
    pid_t child = fork();
    if (child == 0) {
        struct toy_recording recording = {.world = {.seed = 0}};
        struct error error = {{0}};
        unsigned calls = 0;
        struct rlimit limit = {200000, 200000};
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &limit);
        toy_world_init(&recording.world, 71);
        toy_config(&recording.config);
        struct replay_recorder_options options = {.path = path,
                                                  .config = &recording.config,
                                                  .live = &recording.world.input,
                                                  .out_of_space = count_call,
                                                  .opaque = &calls};
        recording.recorder = replay_recorder_create(&options, &error);
        if (!recording.recorder)
            _exit(10);
        recording.toy.input = replay_recorder_input(recording.recorder);
        recording.toy.sink = replay_recorder_trace(recording.recorder);
        recording.toy.disk = replay_recorder_image(recording.recorder, 0, toy_disk(), &error);
        for (unsigned i = 0; i < 100; i++) {
            toy_run(&recording.toy, 200);
            recorder_flush(recording.recorder);
            replay_recorder_tick(recording.recorder);
        }
        if (calls != 1)
            _exit(11);
        toy_finish(&recording.toy);
        if (toy_record_end(&recording, &error) != STATUS_NO_SPACE || !strstr(error.text, "replayed"))
            _exit(12);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    bool torn;
    enum status result;
    struct position end;
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_le(st.st_size, 200000);
    ck_assert(replay_file(path, &torn, &result, &end));
    ck_assert_int_eq(result, STATUS_OK);
    ck_assert_uint_gt(end.icount, 1000);
}
END_TEST

static uint64_t slow_wait(struct input *input, struct position position, uint64_t deadline_ns)
{
    (void)input;
    (void)position;
    sleep_ms(2200);
    return deadline_ns;
}

static void *wait_in_thread(void *opaque)
{
    struct toy_recording *recording = opaque;
    toy_halt(&recording->toy, 5);
    return NULL;
}

/* What happened before a long wait for the host is in the file while the wait goes on. */
START_TEST(test_flushed_while_waiting)
{
    struct toy_recording recording;
    struct input_ops ops = toy_ops;
    struct error error = {{0}};
    pthread_t thread;
    toy_record_start(&recording, path, 81, true);
    ops.wait = slow_wait;
    toy_run(&recording.toy, 500);
    recording.world.input.ops = &ops;
    uint64_t before = recording.toy.now.icount;
    ck_assert_int_eq(pthread_create(&thread, NULL, wait_in_thread, &recording), 0);
    sleep_ms(1600);
    struct journal_reader *reader = journal_reader_open(path, &error);
    ck_assert_msg(reader != NULL, "%s", error.text);
    ck_assert(journal_reader_writer_lives(reader));
    const struct journal_frame *last = journal_reader_frame(reader, journal_reader_count(reader) - 1);
    ck_assert_uint_ge(last->last.icount + 31000, before);
    ck_assert_uint_gt(last->last.icount, 0);
    journal_reader_destroy(reader);
    pthread_join(thread, NULL);
    toy_finish(&recording.toy);
    ck_assert_int_eq(toy_record_end(&recording, &error), STATUS_OK);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("record_replay");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 120);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, test_bit_exact, 0, 3);
    tcase_add_test(tcase, test_same_start_same_file);
    tcase_add_test(tcase, test_config);
    tcase_add_test(tcase, test_sectors_once);
    tcase_add_loop_test(tcase, test_divergence, TOY_STAYS, TOY_OTHER_STATE + 1);
    tcase_add_test(tcase, test_divergence_by_digest);
    tcase_add_test(tcase, test_ends_early_or_late);
    tcase_add_test(tcase, test_every_length);
    tcase_add_test(tcase, test_every_byte);
    tcase_add_test(tcase, test_lying_frames);
    tcase_add_test(tcase, test_versions);
    tcase_add_test(tcase, test_not_a_journal);
    tcase_add_test(tcase, test_killed);
    tcase_add_loop_test(tcase, test_follow, 0, 2);
    tcase_add_test(tcase, test_disk_full);
    tcase_add_test(tcase, test_flushed_while_waiting);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_NOFORK);
}
