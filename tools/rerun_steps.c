/* See rerun_steps.h. All steps of the journal in one list in memory (40 bytes each), in its order; parts of requests by drive and tag, sorted. */
#include "tools/rerun_steps.h"

#include "block/block.h"
#include "replay/journal_steps.h"

#include <inttypes.h>
#include <stdlib.h>

struct part {
    uint32_t drive, tag;
    size_t first, count; /* in step[] */
    bool lost;           /* some were not kept, or are of a kind that this program does not know */
};

struct rerun_steps {
    struct block_step *step;
    struct part *part;
    size_t step_count, step_capacity, part_count, part_capacity;
};

/* Room for one more; false: no memory. */
static bool reserve(void **list, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity)
        return true;
    size_t wanted = *capacity ? *capacity * 2 : 256;
    void *larger = reallocarray(*list, wanted, size);
    if (!larger)
        return false;
    *list = larger;
    *capacity = wanted;
    return true;
}

/* The first step of a request with stacks says that it was submitted, and no more. */
static bool take_step(struct rerun_steps *steps, struct part *part, const struct journal_steps *frame,
                      const struct journal_step *from)
{
    if (from->kind == BLOCK_STEP_SUBMIT)
        return true;
    part->lost |= from->kind >= BLOCK_STEP_KINDS;
    void *list = steps->step;
    if (!reserve(&list, steps->step_count, &steps->step_capacity, sizeof *steps->step))
        return false;
    steps->step = list;
    steps->step[steps->step_count++] = (struct block_step){.kind = from->kind,
                                                           .file = (uint8_t)frame->file[from->file].index,
                                                           .status = (int16_t)from->status,
                                                           .offset = from->offset,
                                                           .size_bytes = from->size_bytes,
                                                           .value = from->value};
    part->count++;
    return true;
}

static bool take_request(struct rerun_steps *steps, const struct journal_steps *frame,
                         const struct journal_steps_request *from)
{
    void *list = steps->part;
    if (!reserve(&list, steps->part_count, &steps->part_capacity, sizeof *steps->part))
        return false;
    steps->part = list;
    struct part part = {.drive = from->drive, .tag = from->tag, .first = steps->step_count, .lost = from->lost != 0};
    for (size_t n = 0; n < from->count; n++) {
        if (!take_step(steps, &part, frame, &frame->step[from->first + n]))
            return false;
    }
    steps->part[steps->part_count++] = part;
    return true;
}

static enum status take_frame(struct rerun_steps *steps, const uint8_t *raw, size_t raw_bytes, struct error *error)
{
    struct journal_steps frame;
    enum status status = STATUS_OK;
    const char *fault = journal_steps_parse(&frame, raw, raw_bytes);
    if (fault)
        status = error_status(error, STATUS_CORRUPT, "a steps frame: %s", fault);
    for (size_t n = 0; n < frame.request_count && !status; n++) {
        if (!take_request(steps, &frame, &frame.request[n]))
            status = error_status(error, STATUS_NO_MEMORY, "out of memory for the recorded steps");
    }
    journal_steps_free(&frame);
    return status;
}

static int by_request(const void *a, const void *b)
{
    const struct part *one = a, *other = b;
    if (one->drive != other->drive)
        return one->drive < other->drive ? -1 : 1;
    if (one->tag != other->tag)
        return one->tag < other->tag ? -1 : 1;
    return one->first < other->first ? -1 : one->first > other->first; /* parts stay in order */
}

struct rerun_steps *rerun_steps_create(struct journal_reader *reader, uint8_t *raw, struct error *error)
{
    struct rerun_steps *steps = calloc(1, sizeof *steps);
    enum status status = steps ? STATUS_OK : error_status(error, STATUS_NO_MEMORY, "out of memory");
    for (size_t n = 0; n < journal_reader_count(reader) && !status; n++) {
        const struct journal_frame *frame = journal_reader_frame(reader, n);
        if (frame->kind != JOURNAL_FRAME_STEPS)
            continue;
        status = journal_reader_load(reader, n, raw, error);
        if (!status)
            status = take_frame(steps, raw, frame->raw_bytes, error);
    }
    if (status) {
        rerun_steps_destroy(steps);
        return NULL;
    }
    if (steps->part_count)
        qsort(steps->part, steps->part_count, sizeof *steps->part, by_request);
    return steps;
}

/* The first part of the request, of how many; 0: none. */
static const struct part *find(const struct rerun_steps *steps, uint32_t drive, uint32_t tag, size_t *count)
{
    const struct part wanted = {.drive = drive, .tag = tag};
    size_t low = 0, high = steps->part_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (by_request(&steps->part[middle], &wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (*count = 0; low + *count < steps->part_count; ++*count) {
        const struct part *part = &steps->part[low + *count];
        if (part->drive != drive || part->tag != tag)
            break;
    }
    return *count ? &steps->part[low] : NULL;
}

static bool alike(const struct block_step *a, const struct block_step *b)
{
    return a->kind == b->kind && a->file == b->file && a->status == b->status && a->size_bytes == b->size_bytes;
}

enum rerun_steps_verdict rerun_steps_judge(const struct rerun_steps *steps, uint32_t drive, uint32_t tag,
                                           const struct block_step *made, size_t count)
{
    enum rerun_steps_verdict verdict = RERUN_STEPS_SAME;
    size_t parts, at = 0;
    const struct part *part = find(steps, drive, tag, &parts);
    if (!part)
        return RERUN_STEPS_UNKNOWN;
    for (size_t p = 0; p < parts; p++) {
        if (part[p].lost)
            return RERUN_STEPS_UNKNOWN;
        for (size_t n = 0; n < part[p].count; n++, at++) {
            const struct block_step *recorded = &steps->step[part[p].first + n];
            if (at >= count || !alike(recorded, &made[at]))
                return RERUN_STEPS_OTHER;
            if (recorded->offset != made[at].offset || recorded->value != made[at].value)
                verdict = RERUN_STEPS_ELSEWHERE;
        }
    }
    return at == count ? verdict : RERUN_STEPS_OTHER;
}

void rerun_steps_print(const struct rerun_steps *steps, uint32_t drive, uint32_t tag, FILE *out)
{
    size_t parts;
    const struct part *part = find(steps, drive, tag, &parts);
    for (size_t p = 0; p < parts; p++) {
        for (size_t n = 0; n < part[p].count; n++) {
            const struct block_step *step = &steps->step[part[p].first + n];
            fprintf(out, "  %-13s file %u offset %" PRIu64 ", %" PRIu64 " bytes, value %" PRIx64 ": %s\n",
                    block_step_name((enum block_step_kind)step->kind), step->file, step->offset, step->size_bytes,
                    step->value, step->status ? status_name((enum status)step->status) : "ok");
        }
    }
}

void rerun_steps_destroy(struct rerun_steps *steps)
{
    if (!steps)
        return;
    free(steps->step);
    free(steps->part);
    free(steps);
}
