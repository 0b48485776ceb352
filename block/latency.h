/* The latency model of --timing=model: how long a drive takes for a request, as a function of the requests before it
 * and of a seed. Integers only; the generator's state is part of the machine's. */
#ifndef VMRR_BLOCK_LATENCY_H
#define VMRR_BLOCK_LATENCY_H

#include "core/state.h"
#include "core/trace.h"

#define BLOCK_LATENCY_STATE(S, A, N, T)                                                                                \
    S(T, uint64_t, generator)                                                                                          \
    S(T, uint64_t, head_sector)                                                                                        \
    S(T, uint64_t, unflushed_sectors)

struct block_latency {
    STATE_MEMBERS(BLOCK_LATENCY_STATE)
    uint64_t seed; /* configuration; 0: no variation */
};
extern const struct state_field block_latency_fields[];

void block_latency_init(struct block_latency *latency, uint64_t seed, uint32_t drive);
/* Takes note of the request as served next, and gives its duration: 1 us .. about 1 s. */
uint64_t block_latency_serve_ns(struct block_latency *latency, enum trace_block_op op, uint64_t sector,
                                uint32_t sectors, bool fua);
/* Which of count (at least 1) requests that may go is served next; with seed 0 the first. */
uint32_t block_latency_choose(struct block_latency *latency, uint32_t count);

#endif
