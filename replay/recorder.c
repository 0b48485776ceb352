/* The recorder: trace events and inputs into frames, frames into the file. */
#include "replay/recorder.h"
#include "replay/journal_config.h"

#include <stdlib.h>
#include <time.h>

#define FRAME_AGE_NS 900000000ull /* a frame is written when it is older */
#define FLUSHER_PERIOD_NS 250000000ull

static uint64_t host_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* ---- failures ---- */

void recorder_note(struct replay_recorder *recorder, enum status status)
{
    int none = STATUS_OK;
    if (status && atomic_compare_exchange_strong(&recorder->failed, &none, (int)status) && recorder->machine)
        machine_interrupt(recorder->machine);
}

void recorder_tell(struct replay_recorder *recorder)
{
    if (recorder->full_told || !atomic_load_explicit(&recorder->failed, memory_order_relaxed))
        return;
    recorder->full_told = true;
    if (recorder->out_of_space)
        recorder->out_of_space(recorder->opaque);
    if (recorder->machine)
        machine_fail(recorder->machine, MACHINE_STOP_HOST);
}

/* ---- frames ---- */

static void frame_full(void *opaque, const struct journal_encoder_frame *frame)
{
    struct replay_recorder *recorder = opaque;
    struct journal_frame_info info = {.kind = JOURNAL_FRAME_EVENTS,
                                      .first = frame->first,
                                      .last = frame->last,
                                      .events = frame->events,
                                      .delivers = frame->delivers};
    recorder_note(recorder, sector_store_flush(recorder->sectors)); /* before the completions that tell of them */
    recorder_note(recorder, steps_store_flush(recorder->steps));
    recorder_note(recorder, journal_writer_frame(recorder->writer, &info, frame->raw, frame->raw_bytes));
}

void recorder_flush(struct replay_recorder *recorder)
{
    journal_encoder_flush(recorder->encoder);
    recorder_note(recorder, sector_store_flush(recorder->sectors));
    recorder_note(recorder, steps_store_flush(recorder->steps));
    atomic_store(&recorder->fresh_ns, host_clock_ns(CLOCK_MONOTONIC));
}

static bool frame_is_old(struct replay_recorder *recorder)
{
    return host_clock_ns(CLOCK_MONOTONIC) - atomic_load(&recorder->fresh_ns) >= FRAME_AGE_NS;
}

void replay_recorder_tick(struct replay_recorder *recorder)
{
    if (frame_is_old(recorder))
        recorder_flush(recorder);
    recorder_tell(recorder);
}

/* ---- the flusher ---- */

void recorder_release(struct replay_recorder *recorder)
{
    atomic_store(&recorder->owner, RECORDER_OWNER_NONE);
}

void recorder_take_back(struct replay_recorder *recorder)
{
    int none = RECORDER_OWNER_NONE;
    while (!atomic_compare_exchange_weak(&recorder->owner, &none, RECORDER_OWNER_MACHINE)) {
        struct timespec moment = {0, 50000};
        none = RECORDER_OWNER_NONE;
        nanosleep(&moment, NULL);
    }
}

static void flush_if_waiting(struct replay_recorder *recorder)
{
    int none = RECORDER_OWNER_NONE;
    if (!frame_is_old(recorder) || !atomic_compare_exchange_strong(&recorder->owner, &none, RECORDER_OWNER_FLUSHER))
        return;
    recorder_flush(recorder);
    atomic_store(&recorder->owner, RECORDER_OWNER_NONE);
}

static void *flusher_run(void *opaque)
{
    struct replay_recorder *recorder = opaque;
    pthread_mutex_lock(&recorder->flusher_lock);
    while (!recorder->flusher_stop) {
        uint64_t at = host_clock_ns(CLOCK_REALTIME) + FLUSHER_PERIOD_NS;
        struct timespec until = {(time_t)(at / 1000000000u), (long)(at % 1000000000u)};
        pthread_cond_timedwait(&recorder->flusher_wake, &recorder->flusher_lock, &until);
        if (!recorder->flusher_stop)
            flush_if_waiting(recorder);
    }
    pthread_mutex_unlock(&recorder->flusher_lock);
    return NULL;
}

static void flusher_end(struct replay_recorder *recorder)
{
    if (!recorder->flusher_started)
        return;
    pthread_mutex_lock(&recorder->flusher_lock);
    recorder->flusher_stop = true;
    pthread_cond_signal(&recorder->flusher_wake);
    pthread_mutex_unlock(&recorder->flusher_lock);
    pthread_join(recorder->flusher, NULL);
    recorder->flusher_started = false;
}

/* ---- the outside ---- */

static bool recorder_open(struct replay_recorder *recorder, const struct replay_recorder_options *options,
                          struct error *error)
{
    struct journal_writer_options writer = {.path = options->path, .zstd_level = options->zstd_level};
    recorder->writer = journal_writer_create(&writer, error);
    if (!recorder->writer)
        return false;
    recorder->encoder = journal_encoder_create(MACHINE_SLICE_STEPS, frame_full, recorder);
    recorder->sectors = sector_store_create(recorder->writer);
    recorder->steps = steps_store_create(recorder->writer, options->stacks);
    recorder->path = strdup(options->path);
    if (options->checkpoint_every)
        recorder->checkpoints = checkpoint_writer_create(&(struct checkpoint_writer_options){
            .writer = recorder->writer, .every = options->checkpoint_every, .memory_bytes = options->checkpoint_memory});
    if (!recorder->encoder || !recorder->sectors || !recorder->steps || !recorder->path) {
        error_set(error, "%s: out of memory", options->path);
        return false;
    }
    if (journal_config_write(recorder->writer, options->config, error) != STATUS_OK)
        return false;
    if (pthread_create(&recorder->flusher, NULL, flusher_run, recorder) != 0) {
        error_set(error, "%s: can't start a thread", options->path);
        return false;
    }
    recorder->flusher_started = true;
    return true;
}

struct replay_recorder *replay_recorder_create(const struct replay_recorder_options *options, struct error *error)
{
    struct replay_recorder *recorder = calloc(1, sizeof *recorder);
    if (!recorder) {
        error_set(error, "%s: out of memory", options->path);
        return NULL;
    }
    recorder->input.ops = &recorder_input_ops;
    recorder->live = options->live;
    recorder->out_of_space = options->out_of_space;
    recorder->checkpoint_words = options->checkpoint_words;
    recorder->checkpoints_over = options->checkpoints_over;
    recorder->opaque = options->opaque;
    pthread_mutex_init(&recorder->flusher_lock, NULL);
    pthread_mutex_init(&recorder->failed_lock, NULL);
    pthread_cond_init(&recorder->flusher_wake, NULL);
    atomic_store(&recorder->fresh_ns, host_clock_ns(CLOCK_MONOTONIC));
    if (!recorder_open(recorder, options, error)) {
        replay_recorder_destroy(recorder);
        return NULL;
    }
    return recorder;
}

struct input *replay_recorder_input(struct replay_recorder *recorder)
{
    return &recorder->input;
}

void recorder_add_failed(struct replay_recorder *recorder, struct recorder_failed *failed)
{
    pthread_mutex_lock(&recorder->failed_lock);
    failed->next = recorder->failed_writes;
    recorder->failed_writes = failed;
    pthread_mutex_unlock(&recorder->failed_lock);
}

void recorder_drop_failed(struct replay_recorder *recorder, uint32_t drive, uint64_t sector, uint32_t sectors)
{
    pthread_mutex_lock(&recorder->failed_lock);
    struct recorder_failed **link = &recorder->failed_writes;
    while (*link) {
        struct recorder_failed *failed = *link;
        if (failed->drive != drive || failed->sector >= sector + sectors ||
            failed->sector + failed->sectors <= sector) {
            link = &failed->next;
            continue;
        }
        *link = failed->next;
        free(failed);
    }
    pthread_mutex_unlock(&recorder->failed_lock);
}

/* No other request for these sectors is under way before this one's completion (block.h). */
static void settle_failed(struct replay_recorder *recorder, const struct trace_event *event)
{
    pthread_mutex_lock(&recorder->failed_lock);
    struct recorder_failed **link = &recorder->failed_writes;
    while (*link) {
        struct recorder_failed *failed = *link;
        if (failed->drive != event->drive || failed->sector < event->address ||
            failed->sector + failed->sectors > event->address + event->sectors) {
            link = &failed->next;
            continue;
        }
        recorder_note(recorder, sector_store_note_failed(recorder->sectors, failed->drive, event->tag, failed->sector,
                                                         failed->sectors, failed->data));
        *link = failed->next;
        free(failed);
    }
    pthread_mutex_unlock(&recorder->failed_lock);
}

/* Its event goes out before it, and is the last one that does. */
static void lay_checkpoint(struct replay_recorder *recorder)
{
    uint64_t word[CHECKPOINT_WORDS] = {0};
    recorder_flush(recorder);
    if (recorder->checkpoint_words)
        recorder->checkpoint_words(recorder->opaque, word);
    enum status status = checkpoint_writer_lay(recorder->checkpoints, recorder->machine, word);
    recorder_note(recorder, status);
    if (!status && checkpoint_writer_over(recorder->checkpoints) && recorder->checkpoints_over)
        recorder->checkpoints_over(recorder->opaque);
}

static void recorder_emit(void *opaque, const struct trace_event *event)
{
    struct replay_recorder *recorder = opaque;
    if (event->kind == TRACE_BLOCK_COMPLETION && event->status)
        settle_failed(recorder, event); /* before its event: the sectors frame comes before that of the event */
    if (event->kind == TRACE_END)
        recorder->stop = (enum machine_stop)event->address;
    journal_encoder_trace(recorder->encoder, event);
    if (event->kind == TRACE_CHECKPOINT && recorder->checkpoints && recorder->machine &&
        checkpoint_writer_due(recorder->checkpoints, event->position))
        lay_checkpoint(recorder);
}

struct trace_sink replay_recorder_trace(struct replay_recorder *recorder)
{
    static const struct trace_sink_ops ops = {.emit = recorder_emit};
    return (struct trace_sink){&ops, recorder};
}

/* Machine thread, before the request's completion is traced. */
static void recorder_steps(void *opaque, uint32_t drive, uint32_t tag, const struct block_activity *activity)
{
    struct replay_recorder *recorder = opaque;
    recorder_note(recorder, steps_store_note(recorder->steps, drive, tag, activity));
}

struct block_watcher replay_recorder_watcher(struct replay_recorder *recorder)
{
    return (struct block_watcher){.done = recorder_steps, .opaque = recorder};
}

void replay_recorder_attach(struct replay_recorder *recorder, struct machine *machine)
{
    recorder->machine = machine;
}

enum status replay_recorder_close(struct replay_recorder *recorder, struct error *error)
{
    CHECK(!recorder->closed);
    recorder->closed = true;
    flusher_end(recorder);
    recorder_flush(recorder);
    enum status status = journal_writer_finish(recorder->writer, (uint32_t)recorder->stop, error);
    if (!status)
        status = (enum status)atomic_load(&recorder->failed);
    if (status)
        error_set(error, "%s: %s", recorder->path, status_name(status));
    return status;
}

void replay_recorder_destroy(struct replay_recorder *recorder)
{
    if (!recorder)
        return;
    flusher_end(recorder);
    journal_encoder_destroy(recorder->encoder);
    sector_store_destroy(recorder->sectors);
    steps_store_destroy(recorder->steps);
    checkpoint_writer_destroy(recorder->checkpoints);
    journal_writer_destroy(recorder->writer);
    while (recorder->failed_writes) {
        struct recorder_failed *failed = recorder->failed_writes;
        recorder->failed_writes = failed->next;
        free(failed);
    }
    pthread_mutex_destroy(&recorder->failed_lock);
    pthread_mutex_destroy(&recorder->flusher_lock);
    pthread_cond_destroy(&recorder->flusher_wake);
    free(recorder->path);
    free(recorder);
}
