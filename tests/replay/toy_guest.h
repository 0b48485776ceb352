/* A guest without a machine: deterministic but for what comes through its input; does at its edge what a machine does.
 * For tests of recorder and player, also in processes that a test forks: so CHECK, not ck_assert. */
#ifndef VMRR_TESTS_REPLAY_TOY_GUEST_H
#define VMRR_TESTS_REPLAY_TOY_GUEST_H

#include "core/machine.h"
#include "replay/journal_format.h"
#include "replay/replay.h"

#include <stdio.h>
#include <stdlib.h>

#define TOY_SECTORS 4096u

static inline uint64_t toy_mix(uint64_t state, uint64_t value)
{
    uint64_t bytes[2] = {state, value};
    return journal_hash64(bytes, sizeof bytes);
}

/* ---- the outside world ---- */

struct toy_world {
    struct input input;
    uint64_t seed;
    unsigned chance; /* of a message at a position, in 256 */
};

static inline uint64_t toy_random(uint64_t *seed)
{
    *seed = toy_mix(*seed, 1);
    return *seed;
}

static uint64_t toy_pull(struct input *input, enum input_id id, struct position position,
                         uint64_t (*fetch)(void *opaque), void *opaque)
{
    (void)id;
    (void)position;
    return fetch ? fetch(opaque) : toy_random(&((struct toy_world *)input)->seed);
}

static bool toy_next(struct input *input, struct position position, struct input_message *message)
{
    struct toy_world *world = (struct toy_world *)input;
    (void)position;
    uint64_t r = toy_random(&world->seed);
    if ((r & 0xff) >= world->chance)
        return false;
    *message = (struct input_message){.id = INPUT_SERIAL_BYTE, .target = r >> 8 & 1, .a = r >> 16 & 0xff, .b = r >> 60};
    return true;
}

static struct position toy_horizon(struct input *input, struct position position)
{
    (void)input;
    (void)position;
    return MACHINE_NO_LIMIT;
}

static uint64_t toy_wait(struct input *input, struct position position, uint64_t deadline_ns)
{
    uint64_t r = toy_random(&((struct toy_world *)input)->seed);
    return r & 1 ? deadline_ns : position.vtime_ns + (deadline_ns - position.vtime_ns) / 2;
}

static void toy_destroy(struct input *input)
{
    (void)input;
}

static const struct input_ops toy_ops = {
    .pull = toy_pull, .next = toy_next, .horizon = toy_horizon, .wait = toy_wait, .destroy = toy_destroy};

static inline void toy_world_init(struct toy_world *world, uint64_t seed)
{
    *world = (struct toy_world){.input = {&toy_ops}, .seed = seed, .chance = 10};
}

/* ---- its disk: content by sector, some alike, some zero ---- */

static void toy_sector(uint64_t sector, uint8_t *out)
{
    uint64_t what = sector % 7 == 0 ? 0 : sector % 5 == 0 ? 5 : sector;
    for (unsigned i = 0; i < BLOCK_SECTOR_BYTES; i += 8)
        le64_put(out + i, what ? toy_mix(what, i) : 0);
}

static enum status toy_disk_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    (void)image;
    if (sector == 13) /* a bad one */
        return STATUS_IO;
    for (uint32_t i = 0; i < sectors; i++)
        toy_sector(sector + i, (uint8_t *)buffer + i * BLOCK_SECTOR_BYTES);
    return STATUS_OK;
}

static void toy_disk_destroy(struct block_image *image)
{
    free(image);
}

struct toy_failing {
    struct block_image image;
    struct block_image *below;
};

static enum status toy_failing_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct block_image *below = ((struct toy_failing *)image)->below;
    return below->ops->read(below, sector, sectors, buffer);
}

/* Some writes fail half-way, as those of a full disk do. */
static enum status toy_failing_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer,
                                     bool fua)
{
    struct block_image *below = ((struct toy_failing *)image)->below;
    if (sector % 3)
        return below->ops->write(below, sector, sectors, buffer, fua);
    enum status status = sectors > 1 ? below->ops->write(below, sector, sectors / 2, buffer, fua) : STATUS_OK;
    return status ? status : STATUS_NO_SPACE;
}

static void toy_failing_destroy(struct block_image *image)
{
    block_image_destroy(((struct toy_failing *)image)->below);
    free(image);
}

/* Writes stay in an overlay: the same disk again for each test. */
static inline struct block_image *toy_disk(void)
{
    static const struct block_image_ops ops = {.format = "toy", .read = toy_disk_read, .destroy = toy_disk_destroy};
    static const struct block_image_ops failing_ops = {
        .format = "toy", .read = toy_failing_read, .write = toy_failing_write, .destroy = toy_failing_destroy};
    struct block_image *image = calloc(1, sizeof *image);
    struct toy_failing *failing = calloc(1, sizeof *failing);
    *image = (struct block_image){&ops, TOY_SECTORS, true, "toy"};
    failing->image = (struct block_image){&failing_ops, TOY_SECTORS, false, "toy"};
    failing->below = block_overlay_create(image, TOY_SECTORS, NULL);
    return &failing->image;
}

/* ---- the guest ---- */

struct toy {
    struct input *input;
    struct trace_sink sink;
    struct block_image *disk; /* may be null */
    struct position now;
    uint64_t state, digest;
    uint32_t tag;
    uint64_t steps;
    uint64_t beyond; /* times it went beyond the horizon: only a journal that lies can make it do that */
    /* to leave the path on purpose at a step */
    uint64_t deviate_at;
    enum {
        TOY_STAYS,
        TOY_OTHER_VALUE,
        TOY_OTHER_EVENT,
        TOY_NO_EVENT,
        TOY_EXTRA_EVENT,
        TOY_OTHER_PULL,
        TOY_OTHER_STATE
    } deviate;
};

static inline void toy_emit(struct toy *toy, struct trace_event event)
{
    event.position = toy->now;
    toy->sink.ops->emit(toy->sink.opaque, &event);
}

static inline void toy_access(struct toy *toy, uint64_t r, bool deviates)
{
    static const uint16_t ports[] = {0x3f8, 0x3fd, 0x1f0, 0x40, 0xcf8};
    struct trace_event event = {.kind = r & 1 ? TRACE_PIO_READ : TRACE_PIO_WRITE,
                                .address = ports[r % 5],
                                .size_bytes = 1u << (r >> 8) % 3,
                                .value = r >> 16 & 0xff};
    if (deviates && toy->deviate == TOY_OTHER_VALUE)
        event.value ^= 1;
    if (deviates && toy->deviate == TOY_OTHER_EVENT)
        event.kind = TRACE_MMIO_READ;
    if (deviates && toy->deviate == TOY_NO_EVENT)
        return;
    toy_emit(toy, event);
    if (deviates && toy->deviate == TOY_EXTRA_EVENT)
        toy_emit(toy, event);
}

static uint64_t toy_outcome(void *opaque)
{
    return (uint64_t)(int64_t) * (enum status *)opaque;
}

static inline void toy_block(struct toy *toy, uint64_t r)
{
    uint8_t data[16 * BLOCK_SECTOR_BYTES];
    uint32_t sectors = 1 + (r >> 8) % 16;
    uint64_t sector = (r >> 16) % (r >> 63 ? 64 : TOY_SECTORS - 16); /* often where it was before */
    bool write = (r & 7) == 0;
    struct trace_event event = {.address = sector, .sectors = sectors, .tag = toy->tag++, .op = write};
    for (size_t i = 0; write && i < sizeof data; i += 8)
        le64_put(data + i, toy_mix(r, i));
    event.kind = TRACE_BLOCK_REQUEST;
    event.value = write ? journal_hash64(data, sectors * BLOCK_SECTOR_BYTES) : 0;
    toy_emit(toy, event);
    enum status outcome = write ? toy->disk->ops->write(toy->disk, sector, sectors, data, false)
                                : toy->disk->ops->read(toy->disk, sector, sectors, data);
    int64_t status = (int64_t)toy->input->ops->pull(toy->input, INPUT_IO_STATUS, toy->now, toy_outcome, &outcome);
    event.kind = TRACE_BLOCK_COMPLETION;
    event.status = (int32_t)status;
    event.value = !write && !status ? journal_hash64(data, sectors * BLOCK_SECTOR_BYTES) : 0;
    toy_emit(toy, event);
    toy->state = toy_mix(toy->state, event.value + (uint64_t)status);
}

static inline void toy_halt(struct toy *toy, uint64_t r)
{
    uint64_t until = toy->input->ops->wait(toy->input, toy->now, toy->now.vtime_ns + 1000 + r % 100000);
    uint64_t skipped = until - toy->now.vtime_ns;
    if (skipped) {
        toy_emit(toy, (struct trace_event){.kind = TRACE_HALT, .value = skipped});
        toy->now.vtime_ns += skipped;
    }
    toy->state = toy_mix(toy->state, skipped);
}

static inline void toy_boundary(struct toy *toy)
{
    struct input_message message;
    if (toy->now.icount && toy->now.icount % MACHINE_SLICE_STEPS == 0 &&
        toy->now.icount / MACHINE_SLICE_STEPS > toy->digest) {
        toy->digest = toy->now.icount / MACHINE_SLICE_STEPS;
        toy_emit(toy, (struct trace_event){.kind = TRACE_DIGEST, .value = toy->state});
    }
    while (toy->input->ops->next(toy->input, toy->now, &message))
        toy->state = toy_mix(toy->state, toy_mix(message.a, message.target) + message.b);
}

static inline void toy_advance(struct toy *toy, uint64_t r)
{
    struct position horizon = toy->input->ops->horizon(toy->input, toy->now);
    uint64_t step = 1 + (r >> 40) % (r >> 32 & 15 ? 64 : 30000);
    uint64_t left = MACHINE_SLICE_STEPS - toy->now.icount % MACHINE_SLICE_STEPS;
    if (step > left)
        step = left;
    if (r >> 60 == 0)
        toy_halt(toy, r >> 8);
    else {
        toy->now.icount += step;
        toy->now.vtime_ns += step;
    }
    toy->beyond += !position_reached(horizon, toy->now);
}

/* One position: what is due, one step's work, and on to the next. */
static inline void toy_step(struct toy *toy)
{
    bool deviates = toy->deviate && toy->steps == toy->deviate_at;
    toy_boundary(toy);
    uint64_t r = toy_mix(toy->state, toy->now.icount + toy->now.vtime_ns);
    if (deviates && toy->deviate == TOY_OTHER_STATE)
        toy->state ^= 1;
    if (deviates && toy->deviate == TOY_OTHER_PULL)
        toy->input->ops->pull(toy->input, INPUT_CLOCK, toy->now, NULL, NULL);
    switch (deviates ? 0 : r >> 52 & 7) {
    case 0:
    case 1:
    case 2:
    case 3: toy_access(toy, r, deviates); break;
    case 4:
        toy->state = toy_mix(toy->state, toy->input->ops->pull(toy->input, INPUT_ENTROPY, toy->now, NULL, NULL));
        break;
    case 5:
        if (toy->disk)
            toy_block(toy, r);
        break;
    case 6: toy_emit(toy, (struct trace_event){.kind = TRACE_IRQ, .value = 0x20 + r % 16}); break;
    default: toy->state = toy_mix(toy->state, 7);
    }
    toy_advance(toy, r);
    toy->steps++;
}

/* As machine_run and machine_finish: to a limit of steps or a position, and the end events. */
static inline void toy_run(struct toy *toy, uint64_t steps)
{
    for (uint64_t i = 0; i < steps; i++)
        toy_step(toy);
}

static inline void toy_run_to(struct toy *toy, struct position end)
{
    while (!position_reached(toy->now, end))
        toy_step(toy);
    toy_boundary(toy);
}

static inline void toy_finish(struct toy *toy)
{
    toy_emit(toy, (struct trace_event){.kind = TRACE_CHECKPOINT, .address = toy->state, .value = ~toy->state});
    toy_emit(toy, (struct trace_event){.kind = TRACE_END, .address = MACHINE_STOP_POWER_OFF, .value = toy->state});
}

/* ---- recording and replaying it ---- */

static inline void toy_config(struct journal_config *config)
{
    memset(config, 0, sizeof *config);
    config->creator = strdup("toy");
    config->accel = strdup("interp");
    config->ram_bytes = 1u << 20;
    config->drive[0] = (struct journal_drive){
        .size_sectors = TOY_SECTORS, .present = true, .path = strdup("toy.img"), .format = strdup("raw")};
}

struct toy_recording {
    struct toy_world world;
    struct journal_config config;
    struct replay_recorder *recorder;
    struct toy toy;
};

static inline void toy_record_start(struct toy_recording *recording, const char *path, uint64_t seed, bool with_disk)
{
    struct error error = {{0}};
    memset(recording, 0, sizeof *recording);
    toy_world_init(&recording->world, seed);
    toy_config(&recording->config);
    struct replay_recorder_options options = {
        .path = path, .config = &recording->config, .live = &recording->world.input};
    recording->recorder = replay_recorder_create(&options, &error);
    CHECK(recording->recorder != NULL);
    recording->toy.input = replay_recorder_input(recording->recorder);
    recording->toy.sink = replay_recorder_trace(recording->recorder);
    if (with_disk)
        recording->toy.disk = replay_recorder_image(recording->recorder, 0, toy_disk(), &error);
}

static inline enum status toy_record_end(struct toy_recording *recording, struct error *error)
{
    enum status status = replay_recorder_close(recording->recorder, error);
    block_image_destroy(recording->toy.disk);
    replay_recorder_destroy(recording->recorder);
    journal_config_free(&recording->config);
    return status;
}

/* Returns the guest's state at the end. */
static inline uint64_t toy_record(const char *path, uint64_t seed, uint64_t steps)
{
    struct toy_recording recording;
    struct error error = {{0}};
    toy_record_start(&recording, path, seed, true);
    toy_run(&recording.toy, steps);
    toy_finish(&recording.toy);
    uint64_t state = recording.toy.state;
    enum status status = toy_record_end(&recording, &error);
    CHECK(status == STATUS_OK);
    return state;
}

static inline struct replay_player *toy_open(const char *path, bool follow)
{
    struct error error = {{0}};
    struct replay_player_options options = {.path = path, .follow = follow};
    struct replay_player *player = replay_player_open(&options, &error);
    CHECK(player != NULL);
    return player;
}

static inline void toy_init_replay(struct toy *toy, struct replay_player *player)
{
    memset(toy, 0, sizeof *toy);
    toy->input = replay_player_input(player);
    toy->sink = replay_player_trace(player);
    if (replay_player_config(player)->drive[0].present)
        toy->disk = replay_player_image(player, 0, NULL);
}

#endif
