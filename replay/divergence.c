/* Comparing what the replay does with what the journal has, and the report of the first difference. */
#include "replay/player.h"

#include <stdio.h>

static uint64_t low_bits(uint64_t value, unsigned bits)
{
    return bits >= 64 ? value : value & ((UINT64_C(1) << bits) - 1);
}

static const char *block_difference(const struct trace_event *a, const struct trace_event *b)
{
    if (a->drive != b->drive)
        return "drive differs";
    if (a->tag != b->tag)
        return "tag differs";
    if (a->op != b->op)
        return "operation differs";
    if (a->address != b->address || a->sectors != b->sectors)
        return "sectors differ";
    if (a->status != b->status)
        return "status differs";
    return a->value != b->value ? "hash of the data differs" : NULL;
}

static const char *origin_difference(const struct trace_event *a, const struct trace_event *b)
{
    if (a->drive != b->drive || a->tag != b->tag)
        return "drive or tag differs";
    if (a->op != b->op)
        return "command differs";
    if ((!a->address && !a->value) || (!b->address && !b->value)) /* an accelerator that did not know, or does not */
        return (a->flags ^ b->flags) & TRACE_ORIGIN_FUA ? "FUA differs" : NULL;
    if (a->address != b->address || a->value != b->value)
        return "RIP or CR3 differs";
    return a->flags != b->flags ? "mode differs" : NULL;
}

static const char *segment_difference(const struct trace_event *a, const struct trace_event *b)
{
    if (a->drive != b->drive || a->tag != b->tag)
        return "drive or tag differs";
    return a->address != b->address || a->size_bytes != b->size_bytes ? "segment differs" : NULL;
}

static const char *field_difference(const struct journal_event *expected, const struct trace_event *b)
{
    const struct trace_event *a = &expected->trace;
    switch (a->kind) {
    case TRACE_PIO_READ:
    case TRACE_PIO_WRITE:
    case TRACE_MMIO_READ:
    case TRACE_MMIO_WRITE:
        if (a->address != b->address)
            return "address differs";
        if (a->size_bytes != b->size_bytes)
            return "size differs";
        return a->value != low_bits(b->value, b->size_bytes * 8) ? "value differs" : NULL;
    case TRACE_IRQ: return a->value != b->value ? "vector differs" : NULL;
    case TRACE_HALT: return a->value != b->value ? "time skipped differs" : NULL;
    case TRACE_BLOCK_REQUEST:
    case TRACE_BLOCK_COMPLETION:
    case TRACE_HOST_WRITE: return block_difference(a, b);
    case TRACE_DIGEST:
        return a->value != low_bits(b->value, expected->digest_bits) ? "digest of CPU and devices differs" : NULL;
    case TRACE_CHECKPOINT:
        if (a->address != b->address)
            return "digest of CPU and devices differs";
        return a->value != b->value ? "digest of memory differs" : NULL;
    case TRACE_END:
        if (a->address != b->address)
            return "the runs ended differently";
        return a->value != b->value ? "final digest differs" : NULL;
    case TRACE_RESET: return a->value != b->value ? "kind of reset differs" : NULL;
    case TRACE_BLOCK_ORIGIN: return origin_difference(a, b);
    case TRACE_BLOCK_SEGMENT: return segment_difference(a, b);
    case TRACE_KIND_COUNT:
    default: return NULL;
    }
}

const char *divergence_in_event(const struct journal_event *expected, const struct trace_event *actual)
{
    if (expected->type != JOURNAL_EVENT_TRACE)
        return "the journal has an input here";
    if (expected->trace.kind != actual->kind)
        return "another event";
    if (expected->trace.position.icount != actual->position.icount)
        return "position differs";
    if (expected->trace.position.vtime_ns != actual->position.vtime_ns)
        return "virtual time differs";
    return field_difference(expected, actual);
}

static void describe(const struct journal_event *event, char out[160])
{
    char text[112];
    snprintf(out, 160, "%llu %llu %s", (unsigned long long)event->trace.position.icount,
             (unsigned long long)event->trace.position.vtime_ns, journal_event_text(event, text, sizeof text));
}

void player_diverge(struct replay_player *player, struct position position, const struct journal_event *actual,
                    const char *what)
{
    struct replay_divergence *divergence = &player->divergence;
    if (player->diverged || player->status)
        return;
    const struct journal_event *expected = player->have_head ? &player->head : NULL;
    /* The checkpoint at position 0 differs when the recording program had another option ROM, DSDT, font... built in. */
    bool as_built = position.icount == 0 && expected && actual && expected->trace.kind == TRACE_CHECKPOINT &&
                    actual->trace.kind == TRACE_CHECKPOINT;
    const char *creator = player->config.config.creator;
    player->diverged = true;
    divergence->position = position;
    divergence->have_expected = expected != NULL;
    divergence->have_actual = actual != NULL;
    if (expected) {
        divergence->expected = expected->trace;
        describe(expected, divergence->expected_text);
    }
    if (actual) {
        divergence->actual = actual->trace;
        describe(actual, divergence->actual_text);
    }
    snprintf(divergence->text, sizeof divergence->text, "divergence at instruction %llu: %s%s%s%s",
             (unsigned long long)position.icount, what, as_built ? ": " : "",
             as_built ? "the machine was built otherwise by " : "",
             as_built ? (creator ? creator : "the program that recorded") : "");
    uint64_t count = player->before_count < PLAYER_BEFORE ? player->before_count : PLAYER_BEFORE;
    for (uint64_t i = 0; i < count; i++) {
        const struct journal_event *event = &player->before[(player->before_count - count + i) % PLAYER_BEFORE];
        divergence->before[i] = event->trace;
        describe(event, divergence->before_text[i]);
    }
    divergence->before_count = (unsigned)count;
    player_fail(player, STATUS_DIVERGED);
}
