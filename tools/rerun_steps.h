/* The steps of a journal's requests, for replay --block=rerun: what the block layer of the recording did for a request, held
 * against what it does now. Same: step by step, in every number. Elsewhere: the same steps of the same sizes at other offsets,
 * as when clusters lie in another order. A scratch image is not the recorded one: it has what the guest read, and no backing
 * file, so that other steps are no fault by themselves. */
#ifndef VMRR_TOOLS_RERUN_STEPS_H
#define VMRR_TOOLS_RERUN_STEPS_H

#include "block/activity.h"
#include "replay/journal_reader.h"

#include <stdio.h>

enum rerun_steps_verdict {
    RERUN_STEPS_SAME,
    RERUN_STEPS_ELSEWHERE,
    RERUN_STEPS_OTHER,
    RERUN_STEPS_UNKNOWN, /* the journal has none, or not all, of the request */
    RERUN_STEPS_VERDICTS
};

struct rerun_steps;
/* raw: room for a frame. Null with the reason. */
struct rerun_steps *rerun_steps_create(struct journal_reader *reader, uint8_t *raw, struct error *error);
enum rerun_steps_verdict rerun_steps_judge(const struct rerun_steps *steps, uint32_t drive, uint32_t tag,
                                           const struct block_step *made, size_t count);
void rerun_steps_print(const struct rerun_steps *steps, uint32_t drive, uint32_t tag, FILE *out);
void rerun_steps_destroy(struct rerun_steps *steps); /* null allowed */

#endif
