/* See throttle.h. The rule is that of QEMU's docs/throttle.txt: a bucket leaks at `average` a second and takes a request as
 * long as it is not fuller than its size: a tenth of a second at average, or `maximum` times the length of a burst; while a
 * burst is longer than a second, a second bucket that leaks at `maximum` and holds a tenth of a second's worth keeps the
 * burst itself at that rate. Integers only. Not done: groups of drives with common limits. */
#include "block/throttle.h"

#define SECOND_NS 1000000000ull
#define SLACK_NS (SECOND_NS / 10)

#define FIELDS(S, A, N, T) BLOCK_THROTTLE_STATE(S, A, N, T)
const struct state_field block_throttle_fields[] = {
    FIELDS(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct block_throttle){NULL, 0, 0, 0, NULL, false, 0}};

/* a * b / c, at most a century; c is not 0. */
static uint64_t scale(uint64_t a, uint64_t b, uint64_t c)
{
    unsigned __int128 result = (unsigned __int128)a * b / c;
    uint64_t most = 100ull * 366 * 86400 * SECOND_NS;
    return result < most ? (uint64_t)result : most;
}

static bool concerns(enum block_limit limit, enum trace_block_op op)
{
    switch (limit) {
    case BLOCK_LIMIT_BPS_READ:
    case BLOCK_LIMIT_IOPS_READ: return op == TRACE_BLOCK_READ;
    case BLOCK_LIMIT_BPS_WRITE:
    case BLOCK_LIMIT_IOPS_WRITE: return op != TRACE_BLOCK_READ;
    default: return true;
    }
}

/* How long it takes a bucket that leaks at rate to lose this request. */
static uint64_t drain_ns(const struct block_throttle_config *config, enum block_limit limit, uint64_t size_bytes,
                         uint64_t rate)
{
    if (limit <= BLOCK_LIMIT_BPS_WRITE)
        return scale(size_bytes, SECOND_NS, rate);
    uint64_t each_ns = scale(1, SECOND_NS, rate);
    uint64_t size = config->iops_size_bytes;
    return size && size_bytes > size ? scale(each_ns, size_bytes, size) : each_ns;
}

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* When a bucket that will be empty at empty_ns is no fuller than what leaks in slack_ns. */
static uint64_t ready_ns(uint64_t empty_ns, uint64_t slack_ns)
{
    return empty_ns > slack_ns ? empty_ns - slack_ns : 0;
}

static uint64_t limit_ready_ns(const struct block_throttle *throttle, const struct block_throttle_config *config,
                               enum block_limit limit)
{
    uint64_t average = config->limit[limit].average, maximum = config->limit[limit].maximum;
    uint64_t seconds = config->limit[limit].burst_seconds ? config->limit[limit].burst_seconds : 1;
    if (!maximum)
        return ready_ns(throttle->empty_ns[limit], SLACK_NS);
    uint64_t ready = ready_ns(throttle->empty_ns[limit], scale(maximum, seconds * SECOND_NS, average));
    return seconds > 1 ? later(ready, ready_ns(throttle->burst_empty_ns[limit], SLACK_NS)) : ready;
}

uint64_t block_throttle_admit_ns(struct block_throttle *throttle, const struct block_throttle_config *config,
                                 enum trace_block_op op, uint64_t size_bytes, uint64_t now_ns)
{
    uint64_t ready = now_ns;
    if (op == TRACE_BLOCK_FLUSH)
        return now_ns;
    for (unsigned n = 0; n < BLOCK_LIMITS; n++) {
        if (config->limit[n].average && concerns((enum block_limit)n, op))
            ready = later(ready, limit_ready_ns(throttle, config, (enum block_limit)n));
    }
    if (ready > now_ns)
        return ready;
    for (unsigned n = 0; n < BLOCK_LIMITS; n++) {
        enum block_limit limit = (enum block_limit)n;
        if (!config->limit[n].average || !concerns(limit, op))
            continue;
        throttle->empty_ns[n] =
            later(throttle->empty_ns[n], now_ns) + drain_ns(config, limit, size_bytes, config->limit[n].average);
        if (config->limit[n].maximum)
            throttle->burst_empty_ns[n] = later(throttle->burst_empty_ns[n], now_ns) +
                                          drain_ns(config, limit, size_bytes, config->limit[n].maximum);
    }
    return now_ns;
}
