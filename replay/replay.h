/* Recording and replaying as tools/ sees it. The journal's format is replay/FORMAT.md.
 *
 * Record: replay_recorder_create over the live input; give its input and trace sink to machine_create, and put
 * replay_recorder_image around each drive's image. Replay: replay_player_open, and its input, trace sink and images
 * instead. Thread: machine thread, but for image functions (which may run on block workers). */
#ifndef VMRR_REPLAY_REPLAY_H
#define VMRR_REPLAY_REPLAY_H

#include "block/block.h"
#include "core/input.h"
#include "core/machine.h"
#include "core/status.h"
#include "core/trace.h"
#include "replay/steps_store.h"

/* ---- configuration, as it stands in the journal ---- */

/* Everything needed to make the same machine again. Strings and blobs owned by the struct: journal_config_free. */
struct journal_blob {
    uint8_t *bytes;
    uint64_t size_bytes;
};
/* How a qcow2 image was made, as far as it decides what becomes of a request. */
enum journal_image_flag {
    JOURNAL_IMAGE_LAZY_REFCOUNTS = 1,
    JOURNAL_IMAGE_EXTENDED_L2 = 2,
    JOURNAL_IMAGE_ZSTD = 4,
    JOURNAL_IMAGE_DATA_FILE = 8,
    JOURNAL_IMAGE_BACKING = 16,
    JOURNAL_IMAGE_FLAGS = 31,
};
struct journal_image_make {
    uint8_t version; /* 2 or 3; 0: not known, or another format */
    uint8_t cluster_bits, refcount_bits, flags;
};
struct journal_drive {
    struct journal_image_make make;
    uint64_t size_sectors;
    bool present, read_only;
    struct block_attachment at;
    struct block_policy policy;
    char *path;   /* where it came from, for people; null: it starts without a medium */
    char *format; /* "raw" */
    char *id;     /* how monitors call it, and its device; null: of no interest */
    char *qdev;
};
/* The run that a branch (replay/branch.h) was made from. */
struct journal_parent {
    bool present;
    uint64_t hash[2];         /* replay_branch_identity */
    struct position position; /* where it begins */
    char *path;               /* as it was given */
    char *changes;            /* what was changed there, for people; null: nothing */
};
#define JOURNAL_DRIVES 16
/* Media by number: those that drives start with have the drive's, those that come later the next free one. */
#define JOURNAL_MEDIA_MAX 65536u
#define JOURNAL_MODULES 16
#define JOURNAL_TSC_SITES_MAX 65536u
struct journal_config {
    char *creator; /* "vmrr 0.1.0 (gcc 12.2.0, zstd 1.5.4, ...)" */
    char *accel;   /* "interp" or "kvm": who made it */
    uint64_t ram_bytes;
    struct cpu_model cpu;
    uint64_t checkpoint_steps;
    uint32_t digest_version; /* when read: MACHINE_DIGEST_VERSION of who made it; written is this program's */
    uint32_t trace_kinds;    /* bit TRACE_*: what the run emits (machine_options); written: 0 is all */
    uint32_t ways;           /* enum machine_way */
    uint64_t *tsc_sites;     /* MACHINE_WAY_TSC_PORT: where the kernel had RDTSC, virtual addresses; _SITES: that way's; owned */
    uint32_t tsc_site_count;
    bool counts_exits;       /* positions are exits (core/position.h); checkpoint_steps then is exits too */
    bool no_reboot;
    bool no_vga;
    bool boot_menu;
    char *boot_order;
    char *append;
    uint32_t timing; /* enum block_timing */
    uint64_t seed;
    struct journal_blob bios, vgabios, kernel, initrd;
    struct journal_blob module[JOURNAL_MODULES];
    char *module_args[JOURNAL_MODULES];
    uint32_t module_count;
    struct journal_drive drive[JOURNAL_DRIVES];
    struct journal_parent parent;
};
void journal_config_free(struct journal_config *config);

/* ---- recording ---- */

struct replay_recorder;
#define REPLAY_WORDS 8u /* what the user of a replay wants back at a position */
struct replay_recorder_options {
    const char *path;                    /* must not exist, or is replaced: atomically never; opened with O_TRUNC */
    const struct journal_config *config; /* written at once */
    struct input *live;                  /* borrowed */
    int zstd_level;                      /* 0: default 3 */
    struct steps_stacks stacks;          /* of who wrote to the host; may be empty */
    void (*out_of_space)(void *opaque);  /* called once when the disk is full: tools stop the machine */
    /* Full machine states at the first checkpoint event (machine_options) that is so far from the last one in icount, so that a
     * replay begins there; 0: none. Of machines that can be saved (core/snapshot.h). */
    uint64_t checkpoint_every;
    uint64_t checkpoint_memory;          /* that they may take; 0: twice the guest's and 1 GiB */
    void (*checkpoint_words)(void *opaque, uint64_t word[REPLAY_WORDS]); /* may be null */
    void (*checkpoints_over)(void *opaque); /* called once: they would take more, and no more come. May be null */
    void *opaque;
};
struct replay_recorder *replay_recorder_create(const struct replay_recorder_options *options, struct error *error);
struct input *replay_recorder_input(struct replay_recorder *recorder);
struct trace_sink replay_recorder_trace(struct replay_recorder *recorder);
/* For each drive's queue: what the block layer does goes to the journal with the request. */
struct block_watcher replay_recorder_watcher(struct replay_recorder *recorder);
/* Needed before the first event so that a full disk can stop the run (machine_fail). */
void replay_recorder_attach(struct replay_recorder *recorder, struct machine *machine);
/* Wraps a drive's image: the first content of every sector read before it was written goes to the journal. Owns image. */
struct block_image *replay_recorder_image(struct replay_recorder *recorder, uint32_t drive, struct block_image *image,
                                          struct error *error);
/* The same for a medium that is put into a drive later. number: JOURNAL_DRIVES and up, each once. */
struct block_image *replay_recorder_medium(struct replay_recorder *recorder, uint32_t drive, uint32_t number,
                                           struct block_image *image, struct error *error);
/* An image of these two, from now on over another one with the same content and size. Gives back the one before.
 * Nothing may be under way on it. */
struct block_image *replay_recorder_exchange(struct block_image *recorded, struct block_image *below);
/* Flushes if the current frame is older than a second of host time. Called at slices, and before a wait. */
void replay_recorder_tick(struct replay_recorder *recorder);
/* Writes the last frame and the index. The status of the whole recording. */
enum status replay_recorder_close(struct replay_recorder *recorder, struct error *error) MUST_CHECK;
void replay_recorder_destroy(struct replay_recorder *recorder);

/* ---- replaying ---- */

struct replay_player;
struct replay_divergence {
    struct position position;
    bool have_expected, have_actual;
    struct trace_event expected, actual;
    char text[256];                /* one line: what differs */
    struct trace_event before[16]; /* the events before it, oldest first; kind 0 for an input */
    unsigned before_count;
    /* The same as lines of text, inputs too: what the journal has and what the replay did. */
    char expected_text[160], actual_text[160], before_text[16][160];
};
struct replay_player_options {
    const char *path;
    bool follow; /* at the end of a journal that has no end mark: wait for more (it is still being recorded) */
};
struct replay_player *replay_player_open(const struct replay_player_options *options, struct error *error);
const struct journal_config *replay_player_config(const struct replay_player *player);
struct input *replay_player_input(struct replay_player *player);
struct trace_sink replay_player_trace(struct replay_player *player);
void replay_player_attach(struct replay_player *player, struct machine *machine);
/* The drive as it was: reads give the recorded first content, writes stay in memory. Machine thread only: not for an
 * executor with workers. */
struct block_image *replay_player_image(struct replay_player *player, uint32_t drive, struct error *error);
/* A medium that was put in later, by what INPUT_MEDIA_CHANGE says of it. */
struct block_image *replay_player_medium(struct replay_player *player, uint32_t number, uint64_t size_sectors,
                                         struct error *error);
/* Where the journal ends: run with this as the limit. For a torn journal, the last whole frame's last position. While a
 * followed journal is still being recorded: never; the machine stops with MACHINE_STOP_LIMIT when its end is reached. */
struct position replay_player_end(const struct replay_player *player);
/* Ends waiting for more of a followed journal (as does a handled signal): the machine stops with MACHINE_STOP_HOST.
 * Async-signal-safe, any thread. */
void replay_player_cancel(struct replay_player *player);
bool replay_player_torn(const struct replay_player *player, char *why, size_t why_size);
enum machine_stop replay_player_stop(const struct replay_player *player); /* how the recorded run ended; NONE if torn */
/* After the run, when it was not broken off: STATUS_OK (bit-exact to the end, or to where a torn journal ends),
 * STATUS_DIVERGED, or why it could not be read. */
enum status replay_player_result(struct replay_player *player, struct error *error) MUST_CHECK;
/* Where the player is in its journal: with a snapshot of the machine of the same moment (core/snapshot.h) a place to go back to.
 * Between two calls of machine_run. Not for a followed journal. */
struct replay_place {
    uint64_t frame;    /* first one not taken in */
    uint32_t taken;    /* events of the one before it; */
    bool within_frame; /* else all of them */
};
struct replay_place replay_player_place(struct replay_player *player);
/* Goes there, forgetting what trouble there was since. STATUS_CORRUPT: there is no such place. What the journal was found to say
 * of sectors stays known. */
enum status replay_player_return(struct replay_player *player, const struct replay_place *place) MUST_CHECK;
/* Names the journal, by its frames and its configuration: for what is kept beside it. */
struct replay_identity {
    uint64_t low, high;
};
enum status replay_player_identity(struct replay_player *player, struct replay_identity *identity,
                                   struct error *error) MUST_CHECK;
/* The position of an event, counting from 1; and the one before whose step virtual time gets there. STATUS_NOT_FOUND: the journal
 * ends before. Nothing of the replay changes. Not for runs whose positions are exits: find_time. */
enum status replay_player_find_event(struct replay_player *player, uint64_t number, struct position *position,
                                     struct error *error) MUST_CHECK;
enum status replay_player_find_time(struct replay_player *player, uint64_t vtime_ns, uint64_t *icount,
                                    struct error *error) MUST_CHECK;
const struct replay_divergence *replay_player_divergence(const struct replay_player *player);
void replay_player_destroy(struct replay_player *player);

#endif
