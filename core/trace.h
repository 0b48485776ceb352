/* Trace events: what the guest did at its edge. Each goes through machine_trace to the one sink that was chosen when the
 * machine was made. Thread: machine thread. A sink never changes the guest. */
#ifndef VMRR_CORE_TRACE_H
#define VMRR_CORE_TRACE_H

#include "core/position.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum trace_kind {
    TRACE_PIO_READ = 1, /* address: port, size_bytes, value */
    TRACE_PIO_WRITE,
    TRACE_MMIO_READ, /* address: gpa, size_bytes, value */
    TRACE_MMIO_WRITE,
    TRACE_IRQ,              /* the CPU accepts an interrupt; value: vector (NMI: 2) */
    TRACE_HALT,             /* value: ns skipped from this position's virtual time to the wake-up or the next stop */
    TRACE_BLOCK_REQUEST,    /* drive, tag, op, sector, sectors; value: XXH3-64 of the data of a write, else 0 */
    TRACE_BLOCK_COMPLETION, /* drive, tag, op, sector, sectors, status; value: XXH3-64 of the data of a read, else 0 */
    TRACE_HOST_WRITE,       /* drive, tag: a write or flush that reached the image; sector, sectors */
    TRACE_DIGEST,           /* value: chained digest of CPU and devices, at each multiple of MACHINE_SLICE_STEPS */
    TRACE_CHECKPOINT,       /* value: digest of memory (memory_digest); address: digest of CPU and devices; the first
                               one at position 0: the machine as it was built */
    TRACE_RESET,            /* machine reset */
    TRACE_END,              /* the run ended; address: enum machine_stop; value: digest of everything */
    TRACE_BLOCK_ORIGIN, /* after BLOCK_REQUEST, at its position; drive, tag, op: the device's own command, flags; address:
                               the instruction under way, or the next one (linear); value: CR3 */
    TRACE_BLOCK_SEGMENT, /* drive, tag; address: gpa; size_bytes. Of a request's scatter list, in order: after
                               BLOCK_ORIGIN, or after BLOCK_COMPLETION where the device looks at the list then */
    TRACE_KIND_COUNT
};

/* Write zeroes: the space stays allocated; discard: it may be given back. Both read as zeros afterwards. */
enum trace_block_op {
    TRACE_BLOCK_READ,
    TRACE_BLOCK_WRITE,
    TRACE_BLOCK_FLUSH,
    TRACE_BLOCK_DISCARD,
    TRACE_BLOCK_WRITE_ZEROES,
    TRACE_BLOCK_OPS
};
/* Kinds as bits. A machine emits those of its options: older runs know fewer. */
#define TRACE_KINDS_FIRST (((1u << (TRACE_END + 1)) - 1) & ~1u)
#define TRACE_KINDS_ALL (((1u << TRACE_KIND_COUNT) - 1) & ~1u)

/* flags of a BLOCK_ORIGIN. Numbers are part of the journal format. */
#define TRACE_ORIGIN_CPL 0x03u
enum trace_origin_flag {
    TRACE_ORIGIN_CODE32 = 0x04, /* neither this nor CODE64: 16-bit code */
    TRACE_ORIGIN_CODE64 = 0x08,
    TRACE_ORIGIN_PROTECTED = 0x10, /* clear: real mode */
    TRACE_ORIGIN_V86 = 0x20,
    TRACE_ORIGIN_PAGING = 0x40,
    TRACE_ORIGIN_FUA = 0x80,
    TRACE_ORIGIN_FLAGS = 0xff
};
const char *trace_origin_mode(uint32_t flags);           /* "64-bit", "real", ... */
const char *trace_block_op_name(enum trace_block_op op); /* "?" when out of range */

struct trace_event {
    enum trace_kind kind;
    uint32_t flags;           /* of a BLOCK_ORIGIN */
    struct position position; /* filled by machine_trace */
    uint64_t address;         /* port, gpa, first sector, or as said above */
    uint64_t value;
    uint32_t size_bytes; /* of an access or segment */
    uint32_t sectors;    /* of a block event */
    uint32_t drive;
    uint32_t tag;
    uint32_t op;    /* enum trace_block_op, or a command */
    int32_t status; /* 0 or a negative enum status */
};

struct trace_sink_ops {
    void (*emit)(void *opaque, const struct trace_event *event);
    /* The data that goes with a BLOCK_REQUEST write (before its event), for sinks that want it. May be null. */
    void (*block_data)(void *opaque, uint32_t drive, uint64_t sector, const void *data, size_t size_bytes);
};

struct trace_sink {
    const struct trace_sink_ops *ops; /* null: nobody looks */
    void *opaque;
};

const char *trace_kind_name(enum trace_kind kind);

#endif
