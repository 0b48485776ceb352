/* See trace_tee.h. */
#include "tools/trace_tee.h"

static void emit_to(const struct trace_sink *sink, const struct trace_event *event)
{
    if (sink->ops)
        sink->ops->emit(sink->opaque, event);
}

static void data_to(const struct trace_sink *sink, uint32_t drive, uint64_t sector, const void *data, size_t size_bytes)
{
    if (sink->ops && sink->ops->block_data)
        sink->ops->block_data(sink->opaque, drive, sector, data, size_bytes);
}

static void tee_emit(void *opaque, const struct trace_event *event)
{
    struct trace_tee *tee = opaque;
    emit_to(&tee->first, event);
    emit_to(&tee->second, event);
}

static void tee_data(void *opaque, uint32_t drive, uint64_t sector, const void *data, size_t size_bytes)
{
    struct trace_tee *tee = opaque;
    data_to(&tee->first, drive, sector, data, size_bytes);
    data_to(&tee->second, drive, sector, data, size_bytes);
}

struct trace_sink trace_tee_sink(struct trace_tee *tee)
{
    static const struct trace_sink_ops ops = {.emit = tee_emit, .block_data = tee_data};
    return (struct trace_sink){&ops, tee};
}
