/* What a drive does with a request beside carrying it out: who is told of errors, how fast it may be, what goes wrong on
 * purpose. All of it is a function of the guest, the configuration and inputs, so that the same run can be made again. */
#ifndef VMRR_BLOCK_POLICY_H
#define VMRR_BLOCK_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* What a host error means, as QEMU's rerror= and werror=. Numbers are part of the journal format: append only. */
enum block_on_error {
    BLOCK_ON_ERROR_REPORT, /* the guest sees it */
    BLOCK_ON_ERROR_IGNORE, /* the guest sees success; a read gives zeros */
    BLOCK_ON_ERROR_STOP,   /* the machine stops (MACHINE_STOP_IO_ERROR); when it goes on the request is tried again */
    BLOCK_ON_ERROR_ENOSPC, /* stop when there is no space, else report */
    BLOCK_ON_ERROR_KINDS
};

/* Limits as QEMU's throttling.*: a leaky bucket each, in virtual time. */
enum block_limit {
    BLOCK_LIMIT_BPS_TOTAL,
    BLOCK_LIMIT_BPS_READ,
    BLOCK_LIMIT_BPS_WRITE,
    BLOCK_LIMIT_IOPS_TOTAL,
    BLOCK_LIMIT_IOPS_READ,
    BLOCK_LIMIT_IOPS_WRITE,
    BLOCK_LIMITS
};
#define BLOCK_LIMIT_MAX 1000000000000000ull
#define BLOCK_BURST_SECONDS_MAX 1000000ull
struct block_throttle_config {
    struct {
        uint64_t average;       /* a second; 0: no limit */
        uint64_t maximum;       /* a second, in bursts; 0: a tenth of a second's worth may come at once */
        uint64_t burst_seconds; /* how long at maximum; 0 is 1 */
    } limit[BLOCK_LIMITS];
    uint64_t iops_size_bytes; /* a longer request counts as several; 0: as one */
};

struct block_policy {
    uint8_t rerror, werror; /* enum block_on_error */
    bool write_through;     /* a write is durable when it completes: cache=writethrough, directsync */
    bool keep_discarded;    /* discard=ignore: a discard succeeds and changes nothing */
    bool asks_faults;       /* each request asks INPUT_BLOCK_FAULT what goes wrong with it */
    struct block_throttle_config throttle;
};

/* ---- faults on purpose ---- */

/* What INPUT_BLOCK_FAULT gives: a kind in the low 8 bits, above them its argument. Numbers are part of the journal format:
 * append only. */
enum block_fault_kind {
    BLOCK_FAULT_NONE,
    BLOCK_FAULT_EIO,     /* fails and does nothing */
    BLOCK_FAULT_ENOSPC,  /* the same */
    BLOCK_FAULT_TORN,    /* a write that succeeds, but only its first argument sectors reach the image */
    BLOCK_FAULT_LOST,    /* a write, discard or flush that succeeds and does nothing */
    BLOCK_FAULT_FLIP,    /* argument: byte * 8 + bit, inverted in what a read gives or a write puts down */
    BLOCK_FAULT_DELAY,   /* starts so many ns later */
    BLOCK_FAULT_REORDER, /* a write that succeeds and stays in the drive: it reaches the image with the next flush, after
                            all other writes before that, or before a write that overlaps it; never, if none comes */
    BLOCK_FAULT_KINDS
};
#define BLOCK_FAULT_ARGUMENT_MAX ((1ull << 56) - 1)

static inline uint64_t block_fault_make(enum block_fault_kind kind, uint64_t argument)
{
    return (uint64_t)kind | argument << 8;
}
static inline enum block_fault_kind block_fault_kind(uint64_t fault)
{
    return (fault & 0xFF) < BLOCK_FAULT_KINDS ? (enum block_fault_kind)(fault & 0xFF) : BLOCK_FAULT_NONE;
}
static inline uint64_t block_fault_argument(uint64_t fault)
{
    return fault >> 8;
}

/* A rule: the nth (or every so many) of a drive's requests that it is about. */
#define BLOCK_FAULT_ANY_DRIVE UINT32_MAX
struct block_fault_rule {
    uint32_t drive;                     /* or BLOCK_FAULT_ANY_DRIVE */
    uint32_t ops;                       /* bit n: enum trace_block_op n */
    uint64_t first_sector, last_sector; /* a request that touches any of these; a flush always does */
    uint64_t nth, every;                /* 1 and up; nth 0: each time that every divides the count */
    bool once;
    bool
        in_sector; /* of BLOCK_FAULT_FLIP: the byte is counted from first_sector, and not from where the request begins */
    uint64_t fault;
    uint64_t count; /* so far; the rule's own */
    bool spent;
};

#define BLOCK_FAULT_RULES_MAX 64u

#endif
