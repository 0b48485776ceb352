/* Writing checkpoints: see checkpoint_writer.h.
 *
 * The pages that the last one named stay in a store, and what number they have in the journal; a page of the next one that is
 * equal to one of them is named by its number again. What has gone in between and comes back is written again: so the memory
 * is that of one checkpoint, however long the run. */
#include "replay/checkpoint_writer.h"

#include "replay/checkpoint_frames.h"

#include <stdatomic.h>
#include <stdlib.h>

#define MEMORY_EXTRA (1ull << 30) /* video memory, and what is written to disks */

struct checkpoint_writer {
    struct checkpoint_writer_options options;
    struct page_store *store;
    struct content_writer last; /* holds its pages */
    uint32_t *number;           /* by page of the store: its number in the journal; 0: not of the last one */
    size_t number_count;
    uint32_t next_number;
    uint64_t next; /* icount */
    _Atomic bool over;
    uint8_t *group; /* of pages */
    uint32_t group_pages;
};

struct checkpoint_writer *checkpoint_writer_create(const struct checkpoint_writer_options *options)
{
    struct checkpoint_writer *writer = calloc(1, sizeof *writer);
    CHECK(writer);
    writer->options = *options;
    writer->next = options->every;
    writer->next_number = 1;
    writer->store = page_store_create();
    writer->last.store = writer->store;
    writer->group = malloc(CHECKPOINT_GROUP_PAGES * PAGE_STORE_BYTES);
    CHECK(writer->group);
    return writer;
}

void checkpoint_writer_destroy(struct checkpoint_writer *writer)
{
    if (!writer)
        return;
    content_writer_free(&writer->last);
    page_store_destroy(writer->store);
    free(writer->number);
    free(writer->group);
    free(writer);
}

bool checkpoint_writer_due(const struct checkpoint_writer *writer, struct position position)
{
    return !checkpoint_writer_over(writer) && position.icount >= writer->next;
}

bool checkpoint_writer_over(const struct checkpoint_writer *writer)
{
    return atomic_load_explicit(&writer->over, memory_order_relaxed);
}

uint64_t checkpoint_memory_default(const struct machine *machine)
{
    return 2 * machine_ram_bytes(machine) + MEMORY_EXTRA;
}

/* ---- frames ---- */

static enum status put_frame(struct checkpoint_writer *writer, enum journal_frame_kind kind, const void *raw,
                             size_t size)
{
    struct position last = journal_writer_last(writer->options.writer);
    struct journal_frame_info info = {.kind = kind, .flags = JOURNAL_FLAG_SKIPPABLE, .first = last, .last = last};
    return journal_writer_frame(writer->options.writer, &info, raw, size);
}

static enum status flush_group(struct checkpoint_writer *writer)
{
    uint32_t pages = writer->group_pages;
    writer->group_pages = 0;
    return pages ? put_frame(writer, JOURNAL_FRAME_PAGES, writer->group, (size_t)pages * PAGE_STORE_BYTES) : STATUS_OK;
}

static enum status put_page(struct checkpoint_writer *writer, uint32_t page)
{
    page_store_read(writer->store, page, writer->group + (size_t)writer->group_pages * PAGE_STORE_BYTES);
    return ++writer->group_pages == CHECKPOINT_GROUP_PAGES ? flush_group(writer) : STATUS_OK;
}

static enum status put_stream(struct checkpoint_writer *writer, const struct byte_sink *stream)
{
    enum status status = STATUS_OK;
    for (size_t at = 0; at < stream->used && !status; at += JOURNAL_FRAME_RAW_MAX) {
        size_t left = stream->used - at;
        status = put_frame(writer, JOURNAL_FRAME_STATE, stream->bytes + at,
                           left < JOURNAL_FRAME_RAW_MAX ? left : JOURNAL_FRAME_RAW_MAX);
    }
    return status;
}

static enum status put_head(struct checkpoint_writer *writer, const struct checkpoint_head *head)
{
    struct byte_sink sink = {0};
    checkpoint_head_put(&sink, head);
    enum status status =
        sink.failed ? STATUS_NO_MEMORY : put_frame(writer, JOURNAL_FRAME_CHECKPOINT, sink.bytes, sink.used);
    byte_sink_free(&sink);
    return status;
}

/* ---- numbers of pages ---- */

static uint32_t *new_numbers(const struct content_writer *content, size_t *count)
{
    uint32_t most = 0;
    for (size_t n = 0; n < content->page_count; n++)
        most = content->page[n] > most ? content->page[n] : most;
    *count = (size_t)most + 1;
    uint32_t *number = calloc(*count, sizeof *number);
    CHECK(number);
    return number;
}

/* All pages of content have numbers afterwards; those that the last checkpoint had not are written. */
static enum status number_pages(struct checkpoint_writer *writer, const struct content_writer *content)
{
    size_t count;
    uint32_t *number = new_numbers(content, &count);
    enum status status = STATUS_OK;
    for (size_t n = 0; n < content->page_count && !status; n++) {
        uint32_t page = content->page[n];
        if (page == PAGE_REF_ZERO || number[page])
            continue;
        number[page] = page < writer->number_count ? writer->number[page] : 0;
        if (number[page])
            continue;
        CHECK(writer->next_number);
        number[page] = writer->next_number++;
        status = put_page(writer, page);
    }
    free(writer->number);
    writer->number = number;
    writer->number_count = count;
    return status ? status : flush_group(writer);
}

static void put_numbers(const struct checkpoint_writer *writer, const struct content_writer *content,
                        struct byte_sink *stream)
{
    uint64_t before = 0;
    for (size_t n = 0; n < content->page_count; n++) {
        uint64_t number = writer->number[content->page[n]];
        byte_sink_put_varint(stream, zigzag(number - before));
        before = number;
    }
}

/* ---- one checkpoint ---- */

static enum status put_checkpoint(struct checkpoint_writer *writer, const struct content_writer *content,
                                  struct checkpoint_head *head)
{
    struct byte_sink stream = {0};
    enum status status = number_pages(writer, content);
    if (!status) {
        byte_sink_put(&stream, content->bytes, content->size_bytes);
        put_numbers(writer, content, &stream);
        head->state_bytes = content->size_bytes;
        head->pages = content->page_count;
        head->stream_bytes = stream.used;
        status = stream.failed ? STATUS_NO_MEMORY : put_stream(writer, &stream);
    }
    byte_sink_free(&stream);
    return status ? status : put_head(writer, head);
}

static bool fits(const struct checkpoint_writer *writer, const struct machine *machine)
{
    uint64_t most = writer->options.memory_bytes ? writer->options.memory_bytes : checkpoint_memory_default(machine);
    return page_store_bytes(writer->store) + writer->last.capacity + writer->number_count * sizeof *writer->number <=
           most;
}

/* From now on what is written to disks is not kept; what memory and images have by now goes with them. */
static void end(struct checkpoint_writer *writer)
{
    content_writer_free(&writer->last);
    atomic_store(&writer->over, true);
}

enum status checkpoint_writer_lay(struct checkpoint_writer *writer, struct machine *machine,
                                  const uint64_t word[CHECKPOINT_WORDS])
{
    struct machine_snapshot *snapshot = machine_snapshot_take(machine, writer->store);
    struct content_writer content = {.store = writer->store};
    struct checkpoint_head head = {.position = machine_position(machine), .steps = checkpoint_icount(machine)};
    if (!snapshot)
        return STATUS_OK;
    memcpy(head.word, word, sizeof head.word);
    machine_snapshot_write(snapshot, &content);
    machine_snapshot_destroy(snapshot);
    enum status status = put_checkpoint(writer, &content, &head);
    content_writer_free(&writer->last); /* not before: equal pages have equal numbers in the store */
    writer->last = content;
    writer->next = head.position.icount + writer->options.every;
    if (status || !fits(writer, machine))
        end(writer);
    return status;
}

/* ---- what is written to disks ---- */

static enum status nothing_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    (void)image;
    (void)sector;
    memset(buffer, 0, (size_t)sectors * BLOCK_SECTOR_BYTES);
    return STATUS_OK;
}

static void nothing_destroy(struct block_image *image)
{
    free(image);
}

/* Over something that has the image's size, so that the overlay knows what of it still shows. */
struct block_image *checkpoint_shadow_create(uint64_t size_sectors)
{
    static const struct block_image_ops ops = {.format = "none", .read = nothing_read, .destroy = nothing_destroy};
    struct block_image *nothing = calloc(1, sizeof *nothing);
    if (!nothing)
        return NULL;
    *nothing = (struct block_image){&ops, size_sectors, true, "nothing"};
    return block_overlay_create(nothing, size_sectors, NULL);
}
