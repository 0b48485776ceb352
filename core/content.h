/* What is saved of a machine beside field lists and guest memory: a run of bytes, and pages in a store beside it.
 *
 * Writing never fails. A reader believes nothing: what is not there reads as zero and sets failed, and stays so. All integers
 * little-endian. */
#ifndef VMRR_CORE_CONTENT_H
#define VMRR_CORE_CONTENT_H

#include "core/page_store.h"
#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct content_writer {
    struct page_store *store;
    uint8_t *bytes; /* the owner's: content_writer_free */
    size_t size_bytes, capacity;
    uint32_t *page; /* each held once */
    size_t page_count, page_capacity;
};

void content_writer_free(struct content_writer *writer);                 /* and gives its pages back */
uint8_t *content_room(struct content_writer *writer, size_t size_bytes); /* at the end; to be filled at once */
void content_put_bytes(struct content_writer *writer, const void *bytes, size_t size_bytes);
void content_put_u32(struct content_writer *writer, uint32_t value);
void content_put_u64(struct content_writer *writer, uint64_t value);
void content_put_text(struct content_writer *writer, const char *text);
void content_put_page(struct content_writer *writer, uint32_t page); /* holds it once more */

struct content_reader {
    struct page_store *store;
    const uint8_t *at, *end;
    const uint32_t *page, *page_end;
    bool failed;
};

const uint8_t *content_get_bytes(struct content_reader *reader, size_t size_bytes); /* null: not there */
uint32_t content_get_u32(struct content_reader *reader);
uint64_t content_get_u64(struct content_reader *reader);
bool content_get_text(struct content_reader *reader, const char *expected); /* false, and failed: another one */
uint32_t content_get_page(struct content_reader *reader);                   /* borrowed */

#endif
