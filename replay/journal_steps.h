/* Steps frames, in (FORMAT.md, "Steps frame"): what the block layer of the recording did for each request. */
#ifndef VMRR_REPLAY_JOURNAL_STEPS_H
#define VMRR_REPLAY_JOURNAL_STEPS_H

#include "block/block.h"
#include "replay/journal_format.h"

struct journal_text {
    const char *at; /* in the frame's bytes: not terminated, no NUL inside */
    size_t size;
};
struct journal_steps_file {
    uint32_t drive, index; /* of the drive's files: struct block_step */
    struct journal_text path;
};
struct journal_steps_stack {
    size_t first, depth; /* in frame[] */
};
struct journal_step {
    uint8_t kind; /* may be one that this version does not know */
    int32_t status;
    uint32_t file;  /* in file[] */
    uint32_t stack; /* 0: none, else stack[stack - 1] */
    uint64_t offset, size_bytes, value;
};
struct journal_steps_request {
    uint32_t drive, tag;
    uint64_t lost;
    size_t first, count; /* in step[] */
};

/* A parsed frame. Memory in proportion to its bytes, which it borrows. */
struct journal_steps {
    struct journal_steps_file *file;
    struct journal_text *name;
    struct journal_steps_stack *stack;
    uint32_t *frame;                       /* of the stacks, innermost first: in name[] */
    struct journal_steps_request *request; /* several of one drive and tag: one after the other */
    struct journal_step *step;
    size_t file_count, name_count, stack_count, frame_count, request_count, step_count;
};

/* Null, or what is wrong: field and expected. steps is to be freed in either case. */
const char *journal_steps_parse(struct journal_steps *steps, const uint8_t *raw, size_t raw_bytes);
void journal_steps_free(struct journal_steps *steps);

#endif
