/* What one call of an image function caused further down, step by step: changes of the format's own structures, and
 * calls to the host. An image and its files share the log that block_image_watch gave them (null: nobody wants to know);
 * whoever performs a request empties it afterwards. A log never fails: what memory has no room for is counted.
 * Thread: that of the image function. */
#ifndef VMRR_BLOCK_ACTIVITY_H
#define VMRR_BLOCK_ACTIVITY_H

#include "core/status.h"

#include <stddef.h>
#include <stdint.h>

/* Numbers are part of the journal format: append only. */
enum block_step_kind {
    BLOCK_STEP_HOST_READ, /* offset, size_bytes in the file */
    BLOCK_STEP_HOST_WRITE,
    BLOCK_STEP_HOST_FLUSH,
    BLOCK_STEP_HOST_ZERO,     /* fallocate or written zeros; value 1: the space may be given back */
    BLOCK_STEP_HOST_RESIZE,   /* offset: the new size */
    BLOCK_STEP_ALLOCATE,      /* clusters of the image: offset in the file, size_bytes; value: guest offset */
    BLOCK_STEP_FREE,          /* the same */
    BLOCK_STEP_MAP_UPDATE,    /* an L2 entry (or extended one): offset of the entry; value: what it holds now */
    BLOCK_STEP_TABLE_UPDATE,  /* an L1 entry; the same */
    BLOCK_STEP_REFCOUNT,      /* offset of the first cluster, size_bytes; value: the count now */
    BLOCK_STEP_REFTABLE,      /* a refcount table entry; offset, value */
    BLOCK_STEP_HEADER,        /* offset, size_bytes of the part that changed */
    BLOCK_STEP_COPY_ON_WRITE, /* bytes of the guest read to fill a new cluster: offset is the guest's */
    BLOCK_STEP_DECOMPRESS,    /* offset, size_bytes of the compressed data */
    BLOCK_STEP_SUBMIT,        /* first of all, where stacks are kept: the device hands the request over */
    BLOCK_STEP_CORRUPT, /* the image contradicts itself: offset, size_bytes of the write that did not happen; 0: no
                                 write; value: the structure's offset, where it is known */
    BLOCK_STEP_KINDS
};

struct block_step {
    uint8_t kind;
    uint8_t file;   /* struct host_file index: 0 the image, then its data file and backing files in order of opening */
    int16_t status; /* 0 or a negative enum status */
    uint64_t offset, size_bytes, value;
    uint32_t stack; /* of vmrr itself, a number of struct block_stacks; 0: not known */
};

#define BLOCK_ACTIVITY_MAX 65536u
#define BLOCK_ACTIVITY_FILES 64u /* whose names are known; an image with more has steps in files without a name */

/* Who knows the caller's stack, as a number that is the same for the same stack. Any thread. */
struct block_stacks {
    uint32_t (*capture)(void *opaque); /* null: nobody */
    void *opaque;
};

struct block_activity {
    struct block_step *step;
    size_t count, capacity;
    size_t lost;                            /* had no room */
    struct block_stacks stacks;             /* asked at each call to the host that changes something */
    const char *path[BLOCK_ACTIVITY_FILES]; /* of the files in the log, borrowed from them; null: not in it */
};

/* A step in a file whose path is given. */
void block_activity_add_in(struct block_activity *activity, const char *path,
                           struct block_step step);                               /* null allowed */
void block_activity_add(struct block_activity *activity, struct block_step step); /* null allowed */
void block_activity_clear(struct block_activity *activity);                       /* keeps its memory */
void block_activity_free(struct block_activity *activity);                        /* empty afterwards */
const char *block_step_name(enum block_step_kind kind);                           /* "?" when out of range */

#endif
