/* The media of a session's drives as people know them: which file, in what format, the names of its nodes; and what
 * monitors do with them: another medium, another size, a new file over the one that is there.
 *
 * What the guest can see of that is an input (INPUT_MEDIA_CHANGE, INPUT_BLOCK_RESIZE), delivered where the machine stands:
 * when a function returns it has happened. A new file over the old one is nothing that the guest can see.
 * Thread: machine thread, machine not running. Not for replays, but for what is said to be. */
#ifndef VMRR_TOOLS_MEDIA_H
#define VMRR_TOOLS_MEDIA_H

#include "replay/replay.h"
#include "tools/options.h"

#define MEDIA_NODE_BYTES 32

struct session;

/* An image of a chain is two nodes, as in QEMU: its format's, and below it the file. */
struct media_node {
    char name[MEDIA_NODE_BYTES], file_name[MEDIA_NODE_BYTES];
    struct media_node *backing; /* owned; null: the last */
};

struct medium {
    char *path, *format;     /* owned; null: not known, or no medium */
    struct block_image *top; /* as it was opened; below it nothing but its own chain. Null: a replay's */
    struct media_node *node; /* owned */
    bool thrown_away;        /* snapshot=on: writes stay in memory, over top */
    bool read_only;
    bool internal; /* an internal snapshot of the file is read, not its present state */
};

struct media {
    struct medium drive[JOURNAL_DRIVES];
    unsigned next_node;
    uint32_t next_number; /* of a new medium */
    /* On its way into a drive. */
    struct medium coming;
    struct block_image *coming_image;
};

void media_init(struct session *session);
void media_fini(struct session *session); /* after the machine */
/* The image that a drive starts with, and the medium that is said of it; null with the reason in error. Null too, without
 * an error, when it starts without one. */
struct block_image *media_open_first(struct session *session, unsigned drive, struct error *error);
/* A replay's: by the journal's configuration. */
void media_tell_replayed(struct session *session, unsigned drive);
/* struct block_media_source; opaque: the session. */
struct block_image *media_take(void *opaque, uint32_t drive, uint32_t number, uint64_t sectors);

/* The drives in the order in which they were given, which is that of lists (a replay's: of their indices). False: there is no
 * nth. */
bool media_nth(const struct session *session, unsigned n, unsigned *drive);
/* The id of a drive's -drive, or what stands for it. */
const char *media_device_name(const struct session *session, unsigned drive);
const char *media_qdev_name(const struct session *session, unsigned drive);
/* "#block123", a new one. */
void media_make_node_name(struct session *session, char name[MEDIA_NODE_BYTES]);

/* ---- by monitors; error: QEMU's words ---- */

/* A guest that has locked the tray is asked to open it; without force that is all. */
enum status media_open_tray(struct session *session, unsigned drive, bool force, struct error *error) MUST_CHECK;
enum status media_close_tray(struct session *session, unsigned drive, struct error *error) MUST_CHECK;
/* Out of the open tray. */
enum status media_remove(struct session *session, unsigned drive, struct error *error) MUST_CHECK;
/* The tray is opened, the medium goes, the new one comes, the tray is closed. Nothing happens if the file can't be opened.
 * format: null: by its first bytes. */
enum status media_change(struct session *session, unsigned drive, const char *path, const char *format, bool force,
                         struct error *error) MUST_CHECK;
enum status media_resize(struct session *session, unsigned drive, uint64_t size_bytes, struct error *error) MUST_CHECK;

struct media_snapshot {
    const char *path, *format; /* format: qcow2 */
    const char *node_name;     /* null: made up */
    bool existing;             /* the file is there, and names the present one as its backing file */
};
/* media_snapshot.c: from now on writes go to a new image over the present one. */
enum status media_take_snapshot(struct session *session, unsigned drive, const struct media_snapshot *snapshot,
                                struct error *error) MUST_CHECK;

/* Among media*.c: what -drive says to qcow2: struct block_open_options. */
void media_set_format_options(struct block_open_options *open, const struct drive_option *option);
/* Names for the chain of medium->top; those that the old top's chain had stay with it. */
void media_name_nodes(struct session *session, struct medium *medium, const char *name);

#endif
