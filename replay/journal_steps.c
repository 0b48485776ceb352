/* Steps frames, in. Every count is held against the bytes that are left before memory is taken for it. */
#include "replay/journal_steps.h"

#include <stdlib.h>

#define STEP_BYTES_MIN 7u
#define REQUEST_BYTES_MIN 4u
#define PATH_BYTES_MAX 4096u
#define INDEX_MAX 255u

struct parse {
    struct byte_source source;
    struct journal_steps *steps;
    const char *fault;
    size_t frame_capacity, step_capacity;
};

void journal_steps_free(struct journal_steps *steps)
{
    free(steps->file);
    free(steps->name);
    free(steps->stack);
    free(steps->frame);
    free(steps->request);
    free(steps->step);
    memset(steps, 0, sizeof *steps);
}

/* A table's count, and memory for it. */
static void *take_table(struct parse *parse, size_t *count, size_t entry_bytes_min, size_t entry_size)
{
    uint64_t n = byte_source_varint(&parse->source);
    if (parse->source.failed || n > byte_source_left(&parse->source) / entry_bytes_min) {
        parse->fault = "steps frame: counts: expected as many entries as there are bytes for";
        return NULL;
    }
    void *table = calloc(n + 1, entry_size);
    CHECK(table);
    *count = n;
    return table;
}

/* Room for more entries in a table that grows: there are bytes in the frame for all of them. */
static void *grow(void *table, size_t count, size_t more, size_t *capacity, size_t entry_size)
{
    if (*capacity - count >= more)
        return table;
    *capacity = *capacity * 2 > count + more ? *capacity * 2 : count + more;
    void *grown = realloc(table, *capacity * entry_size);
    CHECK(grown);
    return grown;
}

static void take_text(struct parse *parse, struct journal_text *text)
{
    uint64_t size = byte_source_varint(&parse->source);
    const uint8_t *at = size <= PATH_BYTES_MAX ? byte_source_take(&parse->source, size) : NULL;
    if (!at || memchr(at, 0, size)) {
        parse->fault = "steps frame: names: expected at most 4096 bytes without NUL";
        return;
    }
    *text = (struct journal_text){(const char *)at, size};
}

static void take_files(struct parse *parse)
{
    struct journal_steps *steps = parse->steps;
    steps->file = take_table(parse, &steps->file_count, 3, sizeof *steps->file);
    for (size_t n = 0; n < steps->file_count && !parse->fault; n++) {
        uint64_t drive = byte_source_varint(&parse->source), index = byte_source_varint(&parse->source);
        if (drive > UINT8_MAX || index > INDEX_MAX)
            parse->fault = "steps frame: files: expected drive and index 0 .. 255";
        else
            take_text(parse, &steps->file[n].path);
        steps->file[n].drive = (uint32_t)drive;
        steps->file[n].index = (uint32_t)index;
    }
}

static void take_names(struct parse *parse)
{
    struct journal_steps *steps = parse->steps;
    steps->name = take_table(parse, &steps->name_count, 1, sizeof *steps->name);
    for (size_t n = 0; n < steps->name_count && !parse->fault; n++)
        take_text(parse, &steps->name[n]);
}

static void take_stack(struct parse *parse, struct journal_steps_stack *stack)
{
    struct journal_steps *steps = parse->steps;
    uint64_t depth = byte_source_varint(&parse->source);
    if (depth > byte_source_left(&parse->source)) {
        parse->fault = "steps frame: stacks: expected as many frames as there are bytes for";
        return;
    }
    steps->frame = grow(steps->frame, steps->frame_count, depth, &parse->frame_capacity, sizeof *steps->frame);
    *stack = (struct journal_steps_stack){steps->frame_count, depth};
    for (uint64_t n = 0; n < depth; n++) {
        uint64_t name = byte_source_varint(&parse->source);
        if (name >= steps->name_count) {
            parse->fault = "steps frame: stacks: expected names that are there";
            return;
        }
        steps->frame[steps->frame_count++] = (uint32_t)name;
    }
}

static void take_stacks(struct parse *parse)
{
    struct journal_steps *steps = parse->steps;
    steps->stack = take_table(parse, &steps->stack_count, 1, sizeof *steps->stack);
    for (size_t n = 0; n < steps->stack_count && !parse->fault; n++)
        take_stack(parse, &steps->stack[n]);
}

static void take_step(struct parse *parse, uint32_t drive, uint64_t *expected)
{
    struct journal_steps *steps = parse->steps;
    struct byte_source *source = &parse->source;
    struct journal_step step = {.kind = byte_source_u8(source)};
    uint64_t file = byte_source_varint(source), status = unzigzag(byte_source_varint(source));
    step.offset = *expected + unzigzag(byte_source_varint(source));
    step.size_bytes = byte_source_varint(source);
    step.value = byte_source_varint(source);
    uint64_t stack = byte_source_varint(source);
    *expected = step.offset + step.size_bytes;
    step.file = (uint32_t)file;
    step.stack = (uint32_t)stack;
    step.status = (int32_t)status;
    if (source->failed || file >= steps->file_count || steps->file[file].drive != drive || stack > steps->stack_count ||
        (int64_t)status > 0 || (int64_t)status < INT16_MIN)
        parse->fault = "steps frame: a step: expected a file of its drive, a stack and a status that are there";
    else
        steps->step[steps->step_count++] = step;
}

static void take_request(struct parse *parse, struct journal_steps_request *request)
{
    struct journal_steps *steps = parse->steps;
    struct byte_source *source = &parse->source;
    uint64_t drive = byte_source_varint(source), tag = byte_source_varint(source), expected = 0;
    uint64_t lost = byte_source_varint(source), count = byte_source_varint(source);
    if (source->failed || drive > UINT8_MAX || tag > UINT32_MAX || count > byte_source_left(source) / STEP_BYTES_MIN) {
        parse->fault = "steps frame: a request: expected drive, tag, and as many steps as there are bytes for";
        return;
    }
    *request = (struct journal_steps_request){(uint32_t)drive, (uint32_t)tag, lost, steps->step_count, count};
    steps->step = grow(steps->step, steps->step_count, count, &parse->step_capacity, sizeof *steps->step);
    for (uint64_t n = 0; n < count && !parse->fault; n++)
        take_step(parse, request->drive, &expected);
}

static void take_requests(struct parse *parse)
{
    struct journal_steps *steps = parse->steps;
    steps->request = take_table(parse, &steps->request_count, REQUEST_BYTES_MIN, sizeof *steps->request);
    for (size_t n = 0; n < steps->request_count && !parse->fault; n++)
        take_request(parse, &steps->request[n]);
}

const char *journal_steps_parse(struct journal_steps *steps, const uint8_t *raw, size_t raw_bytes)
{
    struct parse parse = {.source = {.at = raw, .end = raw + raw_bytes}, .steps = steps};
    void (*const parts[])(struct parse *) = {take_files, take_names, take_stacks, take_requests};
    memset(steps, 0, sizeof *steps);
    for (size_t n = 0; n < sizeof parts / sizeof parts[0] && !parse.fault; n++)
        parts[n](&parse);
    if (!parse.fault && (parse.source.failed || byte_source_left(&parse.source)))
        parse.fault = "steps frame: expected to end with the last request";
    return parse.fault;
}
