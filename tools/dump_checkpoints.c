/* vmrr dump --checkpoints: the checkpoints of a journal, one a line. */
#include "tools/dump_checkpoints.h"

#include "replay/checkpoint_frames.h"
#include "tools/json_text.h"

#include <inttypes.h>
#include <stdio.h>

/* Of pages that the checkpoint before had not. */
static uint64_t new_pages(const struct checkpoint_frames *frames, size_t n)
{
    uint64_t before = n ? checkpoint_frames_entry(frames, n - 1)->pages_before : 0;
    return checkpoint_frames_entry(frames, n)->pages_before - before;
}

static void print_json(const struct checkpoint_entry *entry, uint64_t sequence, uint64_t pages)
{
    json_t *object = json_object();
    json_set_number(object, "icount", entry->head.position.icount);
    json_set_number(object, "vtime_ns", entry->head.position.vtime_ns);
    json_set_number(object, "steps", entry->head.steps);
    json_set_number(object, "frame", sequence);
    json_set_number(object, "state_bytes", entry->head.state_bytes);
    json_set_number(object, "pages", entry->head.pages);
    json_set_number(object, "new_pages", pages);
    json_print_line(object);
}

static void print_text(const struct checkpoint_entry *entry, uint64_t sequence, uint64_t pages)
{
    printf("%12" PRIu64 " %14" PRIu64 " steps %" PRIu64 ", frame %" PRIu64 ", state %" PRIu64 " bytes, pages %" PRIu64
           ", new %" PRIu64 "\n",
           entry->head.position.icount, entry->head.position.vtime_ns, entry->head.steps, sequence,
           entry->head.state_bytes, entry->head.pages, pages);
}

enum status dump_checkpoints(struct journal_reader *reader, bool json, struct error *error)
{
    struct checkpoint_frames *frames = checkpoint_frames_create(reader);
    for (size_t n = 0; n < checkpoint_frames_count(frames) && !ferror(stdout); n++) {
        const struct checkpoint_entry *entry = checkpoint_frames_entry(frames, n);
        uint64_t sequence = journal_reader_frame(reader, entry->frame)->sequence;
        (json ? print_json : print_text)(entry, sequence, new_pages(frames, n));
    }
    const char *fault = checkpoint_frames_fault(frames);
    enum status status = fault ? error_status(error, STATUS_CORRUPT, "%s", fault) : STATUS_OK;
    checkpoint_frames_destroy(frames);
    return status;
}
