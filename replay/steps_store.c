/* Steps frames, out (FORMAT.md, "Steps frame"). Each frame has its own tables of files, names and stacks; a frame goes out
 * when it is large enough, or before an events frame. A long log is cut into parts of one request. */
#include "replay/steps_store.h"

#include <stdlib.h>

/* All in all below JOURNAL_FRAME_RAW_MAX: what a frame has before a part, and what the part may add. */
#define FRAME_BYTES (256u << 10)
#define PART_STEPS 256u /* of at most 53 bytes */
#define FILES_MAX 512u  /* BLOCK_ACTIVITY_FILES of a drive have a path */
#define PATH_BYTES_MAX 4096u
#define STACK_BYTES (256u << 10) /* beyond: steps without a stack */
#define NAME_BYTES_MAX 256u
#define NAMES_MAX 4096u
#define STACKS_MAX 1024u
#define DEPTH_MAX 64u

struct file {
    uint32_t drive;
    uint8_t index;
    size_t at, size; /* its name in the store's bytes of names */
};

struct steps_store {
    struct journal_writer *writer;
    struct steps_stacks stacks;
    struct byte_sink files, names, stack_lists, requests, frame;
    struct file file[FILES_MAX];
    unsigned file_count;
    struct byte_sink name_bytes; /* to find a name again: files' and frames' */
    size_t name_at[NAMES_MAX], name_size[NAMES_MAX];
    unsigned name_count;
    uint32_t stack[STACKS_MAX]; /* by their numbers in the frame: those of steps_stacks */
    unsigned stack_count;
    uint64_t request_count;
};

struct steps_store *steps_store_create(struct journal_writer *writer, struct steps_stacks stacks)
{
    struct steps_store *store = calloc(1, sizeof *store);
    if (store) {
        store->writer = writer;
        store->stacks = stacks;
    }
    return store;
}

void steps_store_destroy(struct steps_store *store)
{
    if (!store)
        return;
    byte_sink_free(&store->files);
    byte_sink_free(&store->names);
    byte_sink_free(&store->stack_lists);
    byte_sink_free(&store->requests);
    byte_sink_free(&store->frame);
    byte_sink_free(&store->name_bytes);
    free(store);
}

/* ---- tables ---- */

static bool bytes_are(const struct steps_store *store, size_t at, size_t size, const char *text, size_t text_size)
{
    return text_size == size && (!size || !memcmp(store->name_bytes.bytes + at, text, size));
}

/* Number of a file in the frame's table. */
static unsigned file_number(struct steps_store *store, uint32_t drive, uint8_t index, const char *path)
{
    size_t size = strnlen(path, PATH_BYTES_MAX);
    for (unsigned n = store->file_count; n-- > 0;) {
        const struct file *file = &store->file[n];
        if (file->drive == drive && file->index == index && bytes_are(store, file->at, file->size, path, size))
            return n;
    }
    CHECK(store->file_count < FILES_MAX);
    store->file[store->file_count] = (struct file){drive, index, store->name_bytes.used, size};
    byte_sink_put(&store->name_bytes, path, size);
    byte_sink_put_varint(&store->files, drive);
    byte_sink_put_varint(&store->files, index);
    byte_sink_put_varint(&store->files, size);
    byte_sink_put(&store->files, path, size);
    return store->file_count++;
}

static unsigned name_number(struct steps_store *store, const char *text)
{
    size_t size = strnlen(text, NAME_BYTES_MAX);
    for (unsigned n = 0; n < store->name_count; n++) {
        if (bytes_are(store, store->name_at[n], store->name_size[n], text, size))
            return n;
    }
    store->name_at[store->name_count] = store->name_bytes.used;
    store->name_size[store->name_count] = size;
    byte_sink_put(&store->name_bytes, text, size);
    byte_sink_put_varint(&store->names, size);
    byte_sink_put(&store->names, text, size);
    return store->name_count++;
}

/* 0: none, else one more than its number in the frame's table. */
static uint64_t stack_number(struct steps_store *store, uint32_t stack)
{
    const char *text[DEPTH_MAX];
    if (!stack || !store->stacks.frames)
        return 0;
    for (unsigned n = 0; n < store->stack_count; n++) {
        if (store->stack[n] == stack)
            return n + 1;
    }
    if (store->stack_count == STACKS_MAX || store->name_count + DEPTH_MAX > NAMES_MAX ||
        store->names.used + store->stack_lists.used > STACK_BYTES)
        return 0;
    size_t depth = store->stacks.frames(store->stacks.opaque, stack, text, DEPTH_MAX);
    byte_sink_put_varint(&store->stack_lists, depth);
    for (size_t n = 0; n < depth; n++)
        byte_sink_put_varint(&store->stack_lists, name_number(store, text[n]));
    store->stack[store->stack_count] = stack;
    return ++store->stack_count;
}

/* ---- requests ---- */

static void put_step(struct steps_store *store, const struct block_step *step, unsigned file, uint64_t stack,
                     uint64_t *expected)
{
    struct byte_sink *out = &store->requests;
    byte_sink_put_u8(out, step->kind);
    byte_sink_put_varint(out, file);
    byte_sink_put_varint(out, zigzag((uint64_t)(int64_t)step->status));
    byte_sink_put_varint(out, zigzag(step->offset - *expected));
    byte_sink_put_varint(out, step->size_bytes);
    byte_sink_put_varint(out, step->value);
    byte_sink_put_varint(out, stack);
    *expected = step->offset + step->size_bytes;
}

static void put_part(struct steps_store *store, uint32_t drive, uint32_t tag, const struct block_activity *activity,
                     size_t first, size_t count)
{
    uint64_t expected = 0;
    byte_sink_put_varint(&store->requests, drive);
    byte_sink_put_varint(&store->requests, tag);
    byte_sink_put_varint(&store->requests, first + count == activity->count ? activity->lost : 0);
    byte_sink_put_varint(&store->requests, count);
    for (size_t n = first; n < first + count; n++) {
        const struct block_step *step = &activity->step[n];
        const char *path = step->file < BLOCK_ACTIVITY_FILES ? activity->path[step->file] : NULL;
        put_step(store, step, file_number(store, drive, step->file, path ? path : ""), stack_number(store, step->stack),
                 &expected);
    }
    store->request_count++;
}

static bool frame_is_large(const struct steps_store *store)
{
    return store->files.used + store->names.used + store->stack_lists.used + store->requests.used >= FRAME_BYTES ||
           store->file_count + PART_STEPS > FILES_MAX || store->stack_count + PART_STEPS > STACKS_MAX;
}

enum status steps_store_note(struct steps_store *store, uint32_t drive, uint32_t tag,
                             const struct block_activity *activity)
{
    enum status status = STATUS_OK;
    size_t first = 0;
    do {
        size_t left = activity->count - first, count = left < PART_STEPS ? left : PART_STEPS;
        if (frame_is_large(store))
            status = steps_store_flush(store);
        if (!status)
            put_part(store, drive, tag, activity, first, count);
        first += count;
    } while (first < activity->count && !status);
    return status;
}

static void restart(struct steps_store *store)
{
    store->files.used = store->names.used = store->stack_lists.used = store->requests.used = 0;
    store->name_bytes.used = 0;
    store->file_count = store->name_count = store->stack_count = 0;
    store->request_count = 0;
}

enum status steps_store_flush(struct steps_store *store)
{
    struct byte_sink *frame = &store->frame;
    if (!store->request_count)
        return STATUS_OK;
    frame->used = 0;
    byte_sink_put_varint(frame, store->file_count);
    byte_sink_put(frame, store->files.bytes, store->files.used);
    byte_sink_put_varint(frame, store->name_count);
    byte_sink_put(frame, store->names.bytes, store->names.used);
    byte_sink_put_varint(frame, store->stack_count);
    byte_sink_put(frame, store->stack_lists.bytes, store->stack_lists.used);
    byte_sink_put_varint(frame, store->request_count);
    byte_sink_put(frame, store->requests.bytes, store->requests.used);
    bool failed = frame->failed || store->files.failed || store->names.failed || store->stack_lists.failed ||
                  store->requests.failed || store->name_bytes.failed;
    restart(store);
    if (failed)
        return STATUS_NO_MEMORY;
    struct position last = journal_writer_last(store->writer);
    struct journal_frame_info info = {
        .kind = JOURNAL_FRAME_STEPS, .first = last, .last = last, .flags = JOURNAL_FLAG_SKIPPABLE};
    return journal_writer_frame(store->writer, &info, frame->bytes, frame->used);
}
