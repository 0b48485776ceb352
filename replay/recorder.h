/* Inside of a recorder: shared by recorder.c, input_record.c and image_record.c. */
#ifndef VMRR_REPLAY_RECORDER_H
#define VMRR_REPLAY_RECORDER_H

#include "replay/checkpoint_writer.h"
#include "replay/journal_event.h"
#include "replay/journal_writer.h"
#include "replay/replay.h"
#include "replay/sector_store.h"
#include "replay/steps_store.h"

#include <pthread.h>
#include <stdatomic.h>

/* Who may touch the encoder. The machine thread owns it but while it waits for the host, when the flusher thread may
 * take it to write what has become old. */
enum recorder_owner { RECORDER_OWNER_MACHINE, RECORDER_OWNER_NONE, RECORDER_OWNER_FLUSHER };

/* A write or discard that failed, until its completion is traced: what its sectors hold. */
struct recorder_failed {
    struct recorder_failed *next;
    uint64_t sector;
    uint32_t drive, sectors;
    uint8_t data[];
};

struct replay_recorder {
    struct input input; /* first: what the machine sees */
    struct input *live;
    struct journal_encoder *encoder;
    struct journal_writer *writer;
    struct sector_store *sectors;
    struct steps_store *steps;
    struct checkpoint_writer *checkpoints; /* null: none are wanted */
    void (*checkpoint_words)(void *opaque, uint64_t word[CHECKPOINT_WORDS]);
    void (*checkpoints_over)(void *opaque);
    struct machine *machine;
    void (*out_of_space)(void *opaque);
    void *opaque;
    char *path;
    bool full_told, closed;
    enum machine_stop stop;
    _Atomic int failed;        /* enum status */
    _Atomic uint64_t fresh_ns; /* host time at which nothing was unwritten */
    _Atomic int owner;
    pthread_mutex_t failed_lock;
    struct recorder_failed *failed_writes;
    pthread_t flusher;
    pthread_mutex_t flusher_lock;
    pthread_cond_t flusher_wake;
    bool flusher_started, flusher_stop;
};

extern const struct input_ops recorder_input_ops; /* input_record.c */

/* Writes what is there; notes a failure. By whoever owns the encoder. */
void recorder_flush(struct replay_recorder *recorder);
void recorder_note(struct replay_recorder *recorder, enum status status); /* any thread */
/* Tells the machine and the caller of a failure noted since. Machine thread. */
void recorder_tell(struct replay_recorder *recorder);
/* Under lock: any thread. Owned from then on. */
/* The sectors are written again: what an attempt before this one left is nobody's business any more. */
void recorder_drop_failed(struct replay_recorder *recorder, uint32_t drive, uint64_t sector, uint32_t sectors);
void recorder_add_failed(struct replay_recorder *recorder, struct recorder_failed *failed);
void recorder_release(struct replay_recorder *recorder);
void recorder_take_back(struct replay_recorder *recorder);

#endif
