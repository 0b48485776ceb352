/* Pages of 4 KiB by content: what snapshots keep of guest memory and of media. Equal pages are kept once, pages of zeros not
 * at all. Thread: the owner's. The store outlives all who hold pages in it. */
#ifndef VMRR_CORE_PAGE_STORE_H
#define VMRR_CORE_PAGE_STORE_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE_STORE_BYTES 4096u

/* A page in the store is a number. Whoever has one from page_store_put or page_store_hold gives it back once. */
#define PAGE_REF_ZERO 0u

struct page_store;

struct page_store *page_store_create(void); /* never null */
void page_store_destroy(struct page_store *store);

uint32_t page_store_put(struct page_store *store, const uint8_t page[PAGE_STORE_BYTES]);
void page_store_hold(struct page_store *store, uint32_t ref);
void page_store_drop(struct page_store *store, uint32_t ref);
void page_store_read(const struct page_store *store, uint32_t ref, uint8_t page[PAGE_STORE_BYTES]);

/* Host memory that it takes, and how many different pages are in it. */
uint64_t page_store_bytes(const struct page_store *store);
uint64_t page_store_pages(const struct page_store *store);

#endif
