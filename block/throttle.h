/* Leaky buckets of a drive, in virtual time. State: when each bucket will be empty, which with its rate says how full it
 * is. */
#ifndef VMRR_BLOCK_THROTTLE_H
#define VMRR_BLOCK_THROTTLE_H

#include "block/policy.h"
#include "core/state.h"
#include "core/trace.h"

#define BLOCK_THROTTLE_STATE(S, A, N, T)                                                                               \
    A(T, uint64_t, empty_ns, BLOCK_LIMITS)                                                                             \
    A(T, uint64_t, burst_empty_ns, BLOCK_LIMITS)

struct block_throttle {
    STATE_MEMBERS(BLOCK_THROTTLE_STATE)
};
extern const struct state_field block_throttle_fields[];

/* When the request may go: now_ns (and it is counted), or a later time to ask again. Flushes always may. */
uint64_t block_throttle_admit_ns(struct block_throttle *throttle, const struct block_throttle_config *config,
                                 enum trace_block_op op, uint64_t size_bytes, uint64_t now_ns);

#endif
