/* Names of trace events. */
#include "core/trace.h"

const char *trace_kind_name(enum trace_kind kind)
{
    static const char *const names[TRACE_KIND_COUNT] = {
        [TRACE_PIO_READ] = "pio-read",
        [TRACE_PIO_WRITE] = "pio-write",
        [TRACE_MMIO_READ] = "mmio-read",
        [TRACE_MMIO_WRITE] = "mmio-write",
        [TRACE_IRQ] = "irq",
        [TRACE_HALT] = "halt",
        [TRACE_BLOCK_REQUEST] = "block-request",
        [TRACE_BLOCK_COMPLETION] = "block-completion",
        [TRACE_HOST_WRITE] = "host-write",
        [TRACE_DIGEST] = "digest",
        [TRACE_CHECKPOINT] = "checkpoint",
        [TRACE_RESET] = "reset",
        [TRACE_END] = "end",
        [TRACE_BLOCK_ORIGIN] = "block-origin",
        [TRACE_BLOCK_SEGMENT] = "block-segment",
    };
    return kind < TRACE_KIND_COUNT && names[kind] ? names[kind] : "unknown";
}

const char *trace_origin_mode(uint32_t flags)
{
    if (!(flags & TRACE_ORIGIN_PROTECTED))
        return "real";
    if (flags & TRACE_ORIGIN_V86)
        return "v86";
    return flags & TRACE_ORIGIN_CODE64 ? "64-bit" : flags & TRACE_ORIGIN_CODE32 ? "32-bit" : "16-bit";
}

const char *trace_block_op_name(enum trace_block_op op)
{
    static const char *const names[TRACE_BLOCK_OPS] = {"read", "write", "flush", "discard", "write-zeroes"};
    return op < TRACE_BLOCK_OPS ? names[op] : "?";
}
