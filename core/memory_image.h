/* Guest memory as it was: the content of all digested blocks, page by page in a page store. What two images have in common
 * they share, so that taking one costs what was written since the last one that was taken or restored, and restoring one
 * what differs. Thread: machine thread, machine not running. */
#ifndef VMRR_CORE_MEMORY_IMAGE_H
#define VMRR_CORE_MEMORY_IMAGE_H

#include "core/content.h"
#include "core/memory.h"
#include "core/page_store.h"

struct memory_image;

/* Never null. Released by its owner; memory keeps the one that it was last equal to. The store outlives both. All images of a
 * memory are in one store. */
struct memory_image *memory_image_take(struct memory *memory, struct page_store *store);
/* The accelerator is told what pages are other ones (accel page_replaced). Flags, digests and what is kept of them are as they
 * should be afterwards. */
void memory_image_restore(struct memory *memory, struct memory_image *image);
void memory_image_release(struct memory_image *image); /* null allowed */
/* As bytes and pages (content.h). Read: null when it can't be one of this memory; its pages are held. */
void memory_image_write(const struct memory_image *image, struct content_writer *writer);
struct memory_image *memory_image_read(struct memory *memory, struct content_reader *reader);
/* Host memory beside the store's, all of it, also what is shared. */
uint64_t memory_image_bytes(const struct memory_image *image);

#endif
