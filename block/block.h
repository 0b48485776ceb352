/* The block layer as devices and tools see it.
 *
 * device -> block_submit -> request queue (queue.c: ordering, latency model or host threads) -> image vtable (raw.c,
 * ...) -> host_file.c, the only file that touches the host. Sector: 512 bytes. Thread: machine thread; image
 * functions may run on a worker under --timing=host, one request of an image at a time.
 *
 * A request: the device fills it and submits; it is in flight until complete is called on the machine thread, at a
 * position, with the data of a read already in `data`; null there: with data lent by the drive until complete returns or
 * submits, none after a failure. Writes take `data` at submit (the queue owns a copy until completion). Requests of a drive that overlap an earlier write (or a write that overlaps an earlier read) wait for
 * it; a flush waits for all before it and holds back all after it.
 *
 * Timing (options):
 *   model  a request comes due at a virtual time given by the latency model (seek, transfer, flush; `seed` varies
 *          latency and order); the image work is done then, inline, and its outcome is an input (INPUT_IO_STATUS).
 *   host   the image work is done by the executor, whose completion is an input (INPUT_BLOCK_COMPLETION).
 * An executor is chosen when the queue is made: block_executor_threads posts to the mailbox when the host is done;
 * block_executor_deferred does the work inline, when the completion message is delivered. */
#ifndef VMRR_BLOCK_BLOCK_H
#define VMRR_BLOCK_BLOCK_H

#include "block/activity.h"
#include "block/policy.h"
#include "core/machine.h"
#include "core/status.h"
#include "core/trace.h"

#include <stdbool.h>
#include <stdint.h>

#define BLOCK_SECTOR_BYTES 512u
#define BLOCK_REQUEST_SECTORS_MAX 65536u

struct block_image;
struct host_file;
struct host_file_options; /* block/host_file.h */

/* Where a range of an image lies. A run of sectors that have all of this in common. */
enum block_extent_flag {
    BLOCK_EXTENT_DATA = 1,       /* read from a file */
    BLOCK_EXTENT_ZERO = 2,       /* reads as zeros, known without reading */
    BLOCK_EXTENT_ALLOCATED = 4,  /* in this image or one of its chain: see depth; clear: nowhere, reads as zeros */
    BLOCK_EXTENT_COMPRESSED = 8, /* file_offset is where the compressed data start */
    BLOCK_EXTENT_OFFSET = 16,    /* file and file_offset are good; without COMPRESSED the run lies there as it is */
};
struct block_extent {
    uint64_t sectors; /* at least 1 */
    unsigned flags;
    unsigned depth; /* 0: this image, 1: its backing image, ... */
    struct host_file *file;
    uint64_t file_offset; /* bytes */
};

/* Where a whole request lies in one file as it is. */
struct block_place {
    struct host_file *file;
    uint64_t offset; /* bytes */
};

/* An image that contradicts itself: what was to be done was not, and nothing is written to the image any more. Functions
 * that meet it give STATUS_CORRUPT. */
struct block_corruption {
    const char *text; /* the file, the structure and its offset; the image's */
    uint64_t offset;  /* of the write that did not happen; UINT64_MAX: it was no write */
    uint64_t size_bytes;
};

struct block_image_ops {
    const char *format; /* "raw" */
    enum status (*read)(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer);
    enum status (*write)(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer, bool fua);
    enum status (*flush)(struct block_image *image);
    /* The range reads as zeros afterwards, whatever lies below. unmap: space is given back where that is possible, else
     * it stays, or becomes, allocated where the format can tell. Null: zeros are written. */
    enum status (*zero)(struct block_image *image, uint64_t sector, uint32_t sectors, bool unmap);
    /* The first extent of the range (sectors: at most so many). Null: all of it is data, somewhere. */
    enum status (*map)(struct block_image *image, uint64_t sector, uint64_t sectors, struct block_extent *extent);
    /* Null: never. True: the range lies there; a write: and may be written there, with nothing else of the image to be
     * changed for it. Whoever asked may then transfer it at the same time as other functions of the image run, and calls
     * transferred (may be null) when that went well: as read or write would have ended. Otherwise he calls read or write.
     * Thread of locate: as the other functions, but any if flat (it depends on nothing that they change); of transferred:
     * any. */
    bool (*locate)(struct block_image *image, uint64_t sector, uint32_t sectors, bool write, struct block_place *place);
    void (*transferred)(struct block_image *image, uint64_t sector, uint32_t sectors, bool write, void *buffer);
    bool flat;
    /* Null: can't. Sectors that come new read as zeros. */
    enum status (*resize)(struct block_image *image, uint64_t size_sectors, struct error *error);
    /* What the image was found to contradict itself in since it was opened, the first that was found: false: nothing. May
     * be null. Any thread; what it says stays as it is while the image does. */
    bool (*corruption)(struct block_image *image, struct block_corruption *corruption);
    /* Before destroy, and nothing but that after it: what is only in memory goes to the files. Null: nothing is. */
    enum status (*settle)(struct block_image *image);
    /* What it holds, saved and put back (core/content.h), size included; its base stays as it is. After a load that failed it
     * holds something else. Null, both: can't be; load alone: it is saved for an image of another machine. Thread of save: the
     * machine's, while other functions may run. */
    void (*content_save)(struct block_image *image, struct content_writer *writer);
    enum status (*content_load)(struct block_image *image, struct content_reader *reader);
    /* Who logs the steps from now on, in all files of the image (activity.h); null activity: nobody. May be null. */
    void (*watch)(struct block_image *image, struct block_activity *activity);
    void (*destroy)(struct block_image *image);
};

/* First member of every image implementation. */
struct block_image {
    const struct block_image_ops *ops;
    uint64_t size_sectors;
    bool read_only;
    const char *name; /* for messages; borrowed or owned by the implementation */
};

void block_image_destroy(struct block_image *image); /* null allowed */

enum block_detect_zeroes { BLOCK_DETECT_OFF, BLOCK_DETECT_ON, BLOCK_DETECT_UNMAP };

struct block_open_options {
    const char *format; /* "raw", ...; null: by the first bytes of the file */
    bool read_only;
    /* How its files are opened, those that it names too: O_DIRECT, flushes, locks. Null: through the page cache, locked
     * where the host can. read_only and create are not looked at. */
    const struct host_file_options *host;
    /* An internal one to read instead: its id or name, or as qemu-img takes it, snapshot.id=ID or snapshot.name=NAME or both
     * with a comma; null: none. */
    const char *snapshot;
    bool check; /* to be checked or mended: inconsistencies do not refuse it, and nothing mends by itself */
    /* qcow2: memory for L2 tables, for refcount blocks, for both together, as QEMU shares it out (a kind has room for four at
     * least); 0: not said. Nothing said: for all L2 tables up to 32 MiB, 1 MiB of refcount blocks. */
    uint64_t l2_cache_bytes, refcount_cache_bytes, cache_bytes;
    uint32_t unguarded; /* qcow2: enum qcow2_guard that the overlap check leaves out; 0: none */
    bool no_backing;    /* the chain is not opened: only for asking what the image says of itself */
};
/* open.c: an image by its format, with all that it names (backing files, data file). Null with the path, the field and
 * what was expected in error. */
struct block_image *block_image_open(const char *path, const struct block_open_options *options, struct error *error);
/* The functions above for any image, in pieces that every format takes; what a format has no function for is made up. */
enum status block_image_zero(struct block_image *image, uint64_t sector, uint64_t sectors, bool unmap) MUST_CHECK;
enum status block_image_map(struct block_image *image, uint64_t sector, uint64_t sectors,
                            struct block_extent *extent) MUST_CHECK;
void block_image_watch(struct block_image *image, struct block_activity *activity);
bool block_image_corruption(struct block_image *image, struct block_corruption *corruption);
const char *block_image_fault(struct block_image *image); /* its text; null: none */
enum status block_image_settle(struct block_image *image) MUST_CHECK;

/* raw.c: file or block device. Size rounded down to sectors, at least one. The image owns the file, also when this
 * fails. */
struct block_image *block_raw_open(struct host_file *file, struct error *error);
/* Nobody said that it is raw: a write that would make it another format's, to the next one who looks, fails. */
void block_raw_guessed(struct block_image *image);
/* overlay.c: writes stay in memory (sparse, 64 KiB chunks), reads fall through to base. Owns base; base may be null
 * (all zero, size given). For -snapshot, for journal-driven machines, for tests. */
struct block_image *block_overlay_create(struct block_image *base, uint64_t size_sectors, struct error *error);

enum block_timing { BLOCK_TIMING_MODEL, BLOCK_TIMING_HOST };

/* How the host is asked for transfers that lie in a file as they are; all else is done by calls that wait. */
enum block_aio {
    BLOCK_AIO_THREADS,  /* pread and pwrite, several workers at once */
    BLOCK_AIO_NATIVE,   /* libaio; O_DIRECT only, else it would wait at submit */
    BLOCK_AIO_IO_URING, /* liburing */
    BLOCK_AIO_KINDS
};

struct block_executor; /* one a machine, shared by its queues */
struct block_executor *block_executor_threads_create(struct input_mailbox *mailbox, unsigned threads);
/* Makes ready for drives with this aio. STATUS_UNSUPPORTED with the reason: not in this build, or not on this host. */
enum status block_executor_threads_enable(struct block_executor *executor, enum block_aio aio,
                                          struct error *error) MUST_CHECK;
/* How long a request that was cut waits for the next piece, in host time: else a millisecond. Machine thread. */
void block_executor_threads_await(struct block_executor *executor, uint64_t await_ns);
struct block_executor *block_executor_deferred_create(void);
void block_executor_destroy(struct block_executor *executor); /* waits for work under way */

/* What the block layer did for a request: at its end, before its trace events. The log is borrowed for the call. */
struct block_watcher {
    void (*done)(void *opaque, uint32_t drive, uint32_t tag, const struct block_activity *activity); /* null: nobody */
    void *opaque;
    struct block_stacks stacks; /* kept in the logs */
};

/* ---- what happens to the medium ---- */

/* INPUT_MEDIA_CHANGE: a & 255. Numbers are part of the journal format: append only. */
enum block_media_change {
    BLOCK_MEDIA_EJECTED, /* by force: tray opened, unlocked, medium taken out */
    BLOCK_MEDIA_INSERTED, /* and the tray closed; a new one (a >> 16: its number, not 0), or that which was in the drive */
    BLOCK_MEDIA_BUTTON,      /* the eject button was pressed: a guest that has locked the tray is asked */
    BLOCK_MEDIA_TRAY_OPENED, /* from outside, locked or not; the medium lies in it */
    BLOCK_MEDIA_TRAY_CLOSED,
    BLOCK_MEDIA_REMOVED, /* out of the open tray */
    BLOCK_MEDIA_LAID_IN, /* a new one (a >> 16) into the open tray, which stays open */
    BLOCK_MEDIA_CHANGES
};
#define BLOCK_MEDIUM_NONE UINT32_MAX

/* The image of a new medium of that number and size. Null: there is none, and the machine can't go on. */
struct block_media_source {
    struct block_image *(*take)(void *opaque, uint32_t drive, uint32_t number, uint64_t sectors);
    void *opaque;
};

/* The device that has the drive. Called on the machine thread, at a position, when it has happened. Either may be null. */
struct block_listener {
    void (*media)(void *opaque, enum block_media_change change); /* a drive with it is removable */
    void (*resized)(void *opaque);
    void *opaque;
};

struct block_queue_options {
    uint32_t drive; /* index in the machine: in trace events and inputs */
    enum block_timing timing;
    uint64_t seed; /* model */
    struct block_executor
        *executor; /* borrowed; host: needed; model: who does the work inline, null: the queue itself */
    struct block_policy policy;
    /* What the guest can't see. */
    struct block_media_source media; /* null take: no other medium comes */
    enum block_detect_zeroes detect_zeroes;
    enum block_aio aio;
    struct block_fault_rule *fault_rules; /* asked where policy.asks_faults says so; borrowed; null: none */
    unsigned fault_rule_count;
    struct block_watcher watcher;
};

/* A piece of guest memory that a request's data come from or go to. */
struct block_segment {
    uint64_t gpa;
    uint32_t size_bytes;
};
#define BLOCK_SEGMENTS_TRACED 1024u /* of a request; those behind them are left out */

struct block_request {
    enum trace_block_op op;
    uint64_t sector;
    uint32_t sectors;
    bool fua;
    bool cut; /* by the look of it a piece of a larger one, as large as the device takes: the next comes soon. Makes no
                   difference that the guest could see */
    void *data; /* read: filled before complete; write: copied at submit; sectors * 512 bytes; the device's */
    void (*complete)(void *opaque, struct block_request *request, enum status status);
    void *opaque;
    uint32_t tag; /* set by block_submit: ordinal of the request in its drive */
    /* For the trace; all zero does no harm. The device's own command, and the scatter list of what goes by DMA, which is
     * looked at within block_submit only. */
    uint32_t command; /* below 2^24 */
    const struct block_segment *segment;
    uint32_t segment_count;
};

/* What a drive is to the guest: the controller, its place there, and what it says of itself. The queue does not look at
 * it; boards do. Numbers are part of the journal format: append only. */
enum block_attach {
    BLOCK_ATTACH_IDE_DISK,   /* unit 0..3: primary master, slave, secondary master, slave */
    BLOCK_ATTACH_IDE_CD,     /* the same */
    BLOCK_ATTACH_VIRTIO_BLK, /* a PCI function of its own */
    BLOCK_ATTACH_NVME,       /* a PCI function of its own; its only namespace */
    BLOCK_ATTACH_AHCI_DISK,  /* unit: port 0..5 of the controller in this slot */
    BLOCK_ATTACH_AHCI_CD,    /* the same */
    BLOCK_ATTACH_KINDS
};
enum block_attach_flag {
    BLOCK_ATTACH_NO_LEGACY = 1,      /* virtio: modern only */
    BLOCK_ATTACH_NO_MODERN = 2,      /* virtio: legacy only */
    BLOCK_ATTACH_NO_WRITE_CACHE = 4, /* the guest is told that writes are durable when they complete */
    BLOCK_ATTACH_NO_DISCARD = 8,     /* the guest is not offered discard, and what it discards stays */
    BLOCK_ATTACH_FLAGS = 15
};
#define BLOCK_SERIAL_BYTES 21u

struct block_attachment {
    enum block_attach kind;
    uint8_t unit, slot; /* slot: of PCI bus 0, 0 for IDE */
    uint8_t flags;
    char serial[BLOCK_SERIAL_BYTES]; /* empty: the device makes one up of the drive's index */
};
const char *block_attach_name(enum block_attach kind); /* "ide-hd", ..., "?" */

/* A drive: image plus queue. It registers itself with the machine (receivers, device "drive0" for its state: pending
 * requests), which owns it from then on. Owns the image, also when it fails; null: a removable drive without a medium. The
 * executor must live longer than the machine, the mailbox longer than the executor. */
struct block_drive;
struct block_drive *block_drive_create(struct machine *machine, const struct block_queue_options *options,
                                       struct block_image *image, struct error *error);
uint64_t block_drive_sectors(const struct block_drive *drive); /* as the guest knows it; 0: no medium */
bool block_drive_has_medium(const struct block_drive *drive);
bool block_drive_read_only(const struct block_drive *drive);
uint32_t block_drive_index(const struct block_drive *drive);
/* What to say to the guest: completed writes may be lost without a flush (cache=writeback, none, unsafe). A device that
 * lets its guest switch that off sets fua on each write. */
bool block_drive_write_cache(const struct block_drive *drive);
/* A discard does something (discard=unmap): discarded sectors read as zeros. */
bool block_drive_discards(const struct block_drive *drive);
struct block_image *block_drive_image(struct block_drive *drive); /* null: no medium */
/* By the one device that has the drive. */
void block_drive_listen(struct block_drive *drive, struct block_listener listener);
/* By a removable one, at each change. */
void block_drive_set_tray(struct block_drive *drive, bool open, bool locked);

/* For people: nothing here is a function of the guest. hook: the tray has moved. */
struct block_tray {
    bool removable, open, locked;
};
struct block_tray block_drive_tray(const struct block_drive *drive);
void block_drive_on_tray(struct block_drive *drive, void (*hook)(void *opaque, uint32_t drive, bool open),
                         void *opaque);
/* Waits until the host has done what it was asked for: no image function of the drive runs, nor will one before the
 * machine goes on or is given its messages. True: something has been done that it has not been told of. */
bool block_drive_quiesce(struct block_drive *drive);
/* Another image with the same content and size, from now on. Gives back the one before, of which nothing is left. Nothing
 * is at the host (block_drive_quiesce is false). */
struct block_image *block_drive_exchange(struct block_drive *drive, struct block_image *image);
/* Another executor from now on, in place of a deferred one: requests whose completion has not come are started there. It must
 * live as long. */
void block_drive_hand_over(struct block_drive *drive, struct block_executor *executor);
/* The request that the executor has had longest (host timing); false: it has none. */
bool block_drive_oldest_at_host(struct block_drive *drive, uint32_t *tag);

/* What a drive has done, for people: nothing that a guest can see. Times are virtual, from submit to completion. Merged and
 * partial requests: there are none. */
struct block_operations {
    uint64_t bytes, operations, total_time_ns; /* of those that succeeded; the time of the failed ones as well */
    uint64_t failed;                           /* on the image */
    uint64_t invalid;                          /* out of range, or a write to what is read-only */
};
struct block_stats {
    struct block_operations operation[TRACE_BLOCK_OPS]; /* by enum trace_block_op */
    uint64_t write_highest_bytes;                       /* end of the furthest write */
    uint64_t last_ns;                                   /* virtual time of the last completion */
    bool active;                                        /* there was one */
};
const struct block_stats *block_drive_stats(const struct block_drive *drive);

/* A request failed on the host. Called on the machine thread, before the guest hears of it or the machine stops.
 *
 * STATUS_CORRUPT stops the machine (MACHINE_STOP_IO_ERROR) whatever rerror= and werror= say, and is not tried again: the
 * device gets its error, the guest hears of it if the machine goes on, and the next request that meets it stops the machine
 * again. */
struct block_error_event {
    uint32_t drive, tag;
    enum trace_block_op op;
    uint64_t sector;
    uint32_t sectors;
    enum status status;
    enum block_on_error action; /* REPORT, IGNORE or STOP */
    bool closing;               /* no request: what was only in memory could not be written at the end */
    bool has_corruption;        /* the image knows why it is corrupt; where there is no image, nobody does */
    struct block_corruption corruption;
};
void block_drive_on_error(struct block_drive *drive, void (*hook)(void *opaque, const struct block_error_event *event),
                          void *opaque);

/* How many more requests the drive takes now. A device that can have more than BLOCK_PENDING_MAX in flight, abandoned
 * ones included, asks before it submits. */
#define BLOCK_PENDING_MAX 32u
unsigned block_drive_room(const struct block_drive *drive);
/* Out of range or read-only writes complete with a status; they never fail here. The request must stay until complete,
 * which is never called from within block_submit. */
void block_submit(struct block_drive *drive, struct block_request *request);
/* Where the drive will keep the data of the next request, if that is a write of so many bytes: who puts them there and submits
 * it with this `data`, at the same position, saves a copy. Null: there is no room. */
void *block_write_buffer(struct block_drive *drive, size_t size_bytes);
/* What is submitted between them reaches the host together, where it can: for a device that takes several commands at once.
 * They nest; not to be kept open over a return to the run loop. */
void block_hold(struct block_drive *drive);
void block_release(struct block_drive *drive);
/* The scatter list of a request whose device looks at it only when the data are there: by the device, at that position. */
void block_trace_segments(struct block_drive *drive, uint32_t tag, const struct block_segment *segment, uint32_t count);
/* A device reset: requests in flight finish on the image but their complete is never called. With timing=model they
 * finish at once; with timing=host when the host is done. A reset of the machine does the same. */
void block_drive_abandon(struct block_drive *drive);

/* Restoring a machine. The drive's field list has the requests in flight with a hash of each write's data; the data
 * themselves, like guest memory and images, are saved and loaded apart from the field lists: load the fields, then the
 * payload, then post_load. load gives STATUS_CORRUPT if size or a hash does not fit the fields. */
size_t block_drive_payload_bytes(struct block_drive *drive);
void block_drive_payload_save(struct block_drive *drive, uint8_t *out);
enum status block_drive_payload_load(struct block_drive *drive, const uint8_t *in, size_t size) MUST_CHECK;
/* A device's post_load: the request in flight with this tag, operation and range is this one again. False: there is
 * none. */
bool block_reattach(struct block_drive *drive, struct block_request *request);

#endif
