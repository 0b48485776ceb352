/* vmrr dump --steps: the steps frames of a journal, a request a line. */
#include "tools/dump_steps.h"

#include "tools/json_text.h"

#include <inttypes.h>
#include <stdlib.h>

static struct block_step step_of(const struct journal_steps *steps, const struct journal_step *from)
{
    return (struct block_step){.kind = from->kind,
                               .file = (uint8_t)steps->file[from->file].index,
                               .status = (int16_t)from->status,
                               .offset = from->offset,
                               .size_bytes = from->size_bytes,
                               .value = from->value};
}

static json_t *json_stack(const struct journal_steps *steps, const struct journal_steps_stack *stack)
{
    json_t *list = json_array();
    for (size_t n = 0; n < stack->depth; n++) {
        const struct journal_text *name = &steps->name[steps->frame[stack->first + n]];
        json_array_append_new(list, json_text(name->at, name->size));
    }
    return list;
}

static void print_json(const struct journal_steps *steps, const struct journal_steps_request *request, uint64_t frame)
{
    json_t *object = json_object(), *list = json_array();
    for (size_t n = request->first; n < request->first + request->count; n++) {
        const struct journal_text *path = &steps->file[steps->step[n].file].path;
        struct block_step step = step_of(steps, &steps->step[n]);
        json_t *item = json_object();
        json_set_step(item, &step, path->at, path->size);
        if (steps->step[n].stack)
            json_object_set_new(item, "stack", json_stack(steps, &steps->stack[steps->step[n].stack - 1]));
        json_array_append_new(list, item);
    }
    json_set_number(object, "drive", request->drive);
    json_set_number(object, "tag", request->tag);
    json_set_number(object, "lost", request->lost);
    json_set_number(object, "frame", frame);
    json_object_set_new(object, "steps", list);
    json_print_line(object);
}

static void print_text(const struct journal_steps *steps, const struct journal_steps_request *request)
{
    printf("%u.%u", request->drive, request->tag);
    for (size_t n = request->first; n < request->first + request->count; n++) {
        const struct journal_step *step = &steps->step[n];
        printf("%s %s[%u] %" PRIu64 "+%" PRIu64, n == request->first ? "" : ",",
               block_step_name((enum block_step_kind)step->kind), steps->file[step->file].index, step->offset,
               step->size_bytes);
        if (step->status)
            printf(" %s", status_name((enum status)step->status));
    }
    printf("%s\n", request->lost ? ", ..." : "");
}

static enum status dump_frame(struct journal_reader *reader, size_t index, uint8_t *raw, bool json, struct error *error)
{
    const struct journal_frame *frame = journal_reader_frame(reader, index);
    struct journal_steps steps;
    enum status status = journal_reader_load(reader, index, raw, error);
    if (status)
        return status;
    const char *fault = journal_steps_parse(&steps, raw, frame->raw_bytes);
    for (size_t n = 0; !fault && n < steps.request_count && !ferror(stdout); n++) {
        if (json)
            print_json(&steps, &steps.request[n], frame->sequence);
        else
            print_text(&steps, &steps.request[n]);
    }
    journal_steps_free(&steps);
    return fault ? error_status(error, STATUS_CORRUPT, "%s: frame %" PRIu64 " at offset %" PRIu64 ": %s",
                                journal_reader_path(reader), frame->sequence, frame->offset, fault)
                 : STATUS_OK;
}

enum status dump_steps(struct journal_reader *reader, bool json, struct error *error)
{
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    enum status status = raw ? STATUS_OK : STATUS_NO_MEMORY;
    for (size_t n = 0; !status && n < journal_reader_count(reader); n++) {
        if (journal_reader_frame(reader, n)->kind == JOURNAL_FRAME_STEPS)
            status = dump_frame(reader, n, raw, json, error);
    }
    free(raw);
    return status;
}
