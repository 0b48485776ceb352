/* Inside of a player: shared by player.c, input_replay.c, image_journal.c and divergence.c. */
#ifndef VMRR_REPLAY_PLAYER_H
#define VMRR_REPLAY_PLAYER_H

#include "replay/diversion.h"
#include "replay/journal_config.h"
#include "replay/journal_event.h"
#include "replay/journal_reader.h"
#include "replay/replay.h"
#include "replay/sector_index.h"

#include <stdatomic.h>

#define PLAYER_BEFORE 16u
#define PLAYER_KEPT 32u /* decoders, every so many events: a place is never far behind one */
#define PLAYER_KEEP_EVENTS 32768u

struct player_kept {
    size_t frame;
    uint32_t taken;
    size_t deliver_at;
    struct journal_decoder *decoder; /* null: none */
};

/* diversion.h; all zero: the player follows its journal. */
struct player_diversion {
    bool on;
    struct replay_host host;
    struct input *live; /* null: it is thrown away in the end */
    uint64_t entropy;
    struct position due; /* a halted CPU's: of the request that the executor has had longest */
    bool missing;
    uint32_t missing_medium;
    uint64_t missing_sector;
};

struct replay_player {
    struct input input; /* first: what the machine sees */
    struct player_diversion diversion;
    struct journal_reader *reader;
    struct journal_config_reader config;
    struct sector_index *sectors;
    struct machine *machine;
    struct block_image *overlay[JOURNAL_DRIVES]; /* the drives'; the machine owns them */
    /* Told of each run of sectors that a failed request left so; null: nobody. */
    void (*corrected)(void *opaque, uint32_t drive, uint64_t sector, uint32_t sectors, const uint8_t *data);
    void *corrected_opaque;
    bool follow;
    _Atomic bool cancelled;
    bool ended; /* followed: nothing more will come */
    /* where in the journal we are: the event that must come next */
    struct journal_decoder *decoder;
    uint8_t *raw;
    size_t next_frame;  /* first one not taken in yet */
    size_t raw_frame;   /* whose content is in raw; SIZE_MAX: no events frame's */
    size_t known_frame; /* sector contents of all frames before it are known */
    uint32_t taken;     /* events of the present frame that were accepted */
    bool keeps;         /* somebody may come back */
    struct player_kept kept[PLAYER_KEPT];
    unsigned kept_next; /* the oldest */
    bool in_frame, have_head;
    struct journal_event head;
    /* positions of the messages in the present frame, and of the first one in a later frame */
    struct position *deliver;
    size_t deliver_count, deliver_at, deliver_capacity;
    size_t deliver_frame; /* whose they are; SIZE_MAX: no frame's */
    struct journal_decoder *ahead;
    uint8_t *ahead_raw;
    size_t ahead_from; /* frames before this one have no messages that were not taken in */
    bool ahead_valid;  /* ahead_position is the first message of frame ahead_from */
    struct position ahead_position;
    struct position *first; /* by frame, of its first message; icount POSITION_NEVER: not looked up yet */
    size_t first_count;
    /* the last events that were right */
    struct journal_event before[PLAYER_BEFORE];
    uint64_t before_count;
    /* how it went */
    enum status status; /* the first trouble, with its text */
    struct error error;
    struct replay_divergence divergence;
    bool diverged;
};

/* player.c */
/* The event that must come next; null at the end of the journal, after a divergence, or when the file is broken. Waits
 * for it when the journal is followed. */
const struct journal_event *player_head(struct replay_player *player);
void player_accept_head(struct replay_player *player);
/* Position of the next message that is not behind us; POSITION_NEVER if there is none. */
struct position player_next_deliver(struct replay_player *player);
/* Followed: sees that the journal is known beyond the position, or that it ends before. */
void player_follow_beyond(struct replay_player *player, struct position position);
/* Last position of the events listed so far. */
struct position player_listed_end(const struct replay_player *player);
void player_fail(struct replay_player *player, enum status status);
/* Takes in what lies in the frame: sectors that are not known yet, events with the place of the first. */
enum status player_load_sectors(struct replay_player *player, size_t index) MUST_CHECK;
enum status player_load_events(struct replay_player *player, size_t index) MUST_CHECK;

/* player_place.c: keeps where the decoder is. */
void player_keep_decoder(struct replay_player *player);
void player_free_kept(struct replay_player *player);
/* What the frames before this one say of sectors. */
enum status player_know_sectors(struct replay_player *player, uint64_t frame) MUST_CHECK;

/* diversion.c: a sector is not known yet. Looks all of the journal through: true, if that was news. */
bool player_diverted_knows(struct replay_player *player);
/* Nobody knows it: the run ends. The status of the request. */
enum status player_diverted_missing(struct replay_player *player, uint32_t medium, uint64_t sector);

/* image_journal.c. Functions of images that lie under an overlay, which keeps all writes. */
enum status player_refuse_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer, bool fua);
enum status player_flush_nothing(struct block_image *image);
/* After a request that failed, its sectors hold what the journal says. */
void player_correct_failed(struct replay_player *player, const struct trace_event *completion);

/* divergence.c */
/* Null if the event is what the journal has, else what differs. */
const char *divergence_in_event(const struct journal_event *expected, const struct trace_event *actual);
/* actual may be null: nothing came. what: one line. */
void player_diverge(struct replay_player *player, struct position position, const struct journal_event *actual,
                    const char *what);

extern const struct input_ops player_input_ops; /* input_replay.c */
extern const struct trace_sink_ops player_trace_ops;

#endif
