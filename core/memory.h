/* Guest physical memory. Thread: machine thread.
 *
 * Physical address space = blocks (RAM, ROM, VRAM: host memory with per-page flags) mapped at addresses, later maps over
 * earlier ones; what no block covers is the bus (MMIO). The flat view is rebuilt at each change, the accelerator is told
 * (accel memory_map_changed), and lookups are binary searches with a last-hit cache.
 *
 * RAM of N bytes: [0, min(N, 3 GiB)) and, above that, [4 GiB, 4 GiB + N - 3 GiB): the PCI hole is 3 to 4 GiB.
 *
 * Page flags: MEMORY_PAGE_DIRTY is set by every write (accelerators set it when they install a writable translation) and
 * cleared by whoever looks what was written (memory_note_written), who leaves MEMORY_PAGE_UNHASHED and MEMORY_PAGE_UNSAVED in its
 * place: what the digest and the image taken last (memory_image.h) know of the page is no longer true; MEMORY_PAGE_CODE is set by the interpreter on pages that it has decoded, MEMORY_PAGE_MONITOR on
 * the one that MONITOR watches, MEMORY_PAGE_DEBUG on those with watchpoints of debug.h, and any write by others to a page with any of them (MEMORY_PAGE_WATCHED) calls accel
 * memory_written first. */
#ifndef VMRR_CORE_MEMORY_H
#define VMRR_CORE_MEMORY_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

#define MEMORY_PAGE_SHIFT 12
#define MEMORY_PAGE_BYTES 4096u
#define MEMORY_HOLE_START 0xC0000000ull
#define MEMORY_HOLE_END 0x100000000ull
#define MEMORY_RAM_MAX_BYTES (8ull << 30)

#define MEMORY_PAGE_DIRTY 0x01u
#define MEMORY_PAGE_CODE 0x02u
#define MEMORY_PAGE_MONITOR 0x04u
#define MEMORY_PAGE_DEBUG 0x08u
#define MEMORY_PAGE_UNHASHED 0x10u
#define MEMORY_PAGE_UNSAVED 0x20u
#define MEMORY_PAGE_WATCHED (MEMORY_PAGE_CODE | MEMORY_PAGE_MONITOR | MEMORY_PAGE_DEBUG)

struct machine;
struct memory;
struct memory_image; /* memory_image.h */

enum memory_kind { MEMORY_RAM, MEMORY_ROM };

struct memory_block {
    char name[16]; /* "ram", "bios", "vram" */
    uint8_t *host; /* page-aligned, zeroed */
    uint64_t size_bytes;
    uint8_t *page_flags; /* one byte a page */
    uint64_t *page_hash; /* of the last digest; see memory_digest */
    uint32_t index;
    bool digested; /* part of memory_digest: all but ROM that no one can write */
};

struct memory_map; /* handle of one mapping */

/* What lies at a guest physical page. host is null for MMIO and for nothing. */
struct memory_page {
    uint8_t *host;  /* of the page's first byte */
    uint8_t *flags; /* its page_flags byte */
    bool writable;  /* false: reads go to host, writes to the bus (ROM) */
};

struct memory *memory_create(struct machine *machine);
void memory_destroy(struct memory *memory);

struct memory_block *memory_add_block(struct memory *memory, const char *name, uint64_t size_bytes, bool digested,
                                      struct error *error);
struct memory_map *memory_map_block(struct memory *memory, uint64_t gpa, uint64_t size_bytes,
                                    struct memory_block *block, uint64_t block_offset, enum memory_kind kind,
                                    int priority /* higher wins */);
/* Kind may change (PAM), and a disabled map shows what lies below. Several changes may be made in a transaction. */
void memory_map_set(struct memory *memory, struct memory_map *map, uint64_t gpa, enum memory_kind kind, bool enabled);
void memory_transaction_begin(struct memory *memory);
void memory_transaction_commit(struct memory *memory);

struct memory_page memory_lookup(struct memory *memory, uint64_t gpa);

/* Whole ranges, for DMA, loaders and tools: RAM and ROM; reads of what is not memory give all ones, writes to it (and to
 * ROM) vanish. Sets the dirty flag, and tells the accelerator about code pages. */
void memory_read(struct memory *memory, uint64_t gpa, void *buffer, uint64_t size_bytes);
void memory_write(struct memory *memory, uint64_t gpa, const void *buffer, uint64_t size_bytes);
/* Little-endian accessors over the two above. */
uint16_t memory_read_u16(struct memory *memory, uint64_t gpa);
uint32_t memory_read_u32(struct memory *memory, uint64_t gpa);
uint64_t memory_read_u64(struct memory *memory, uint64_t gpa);
void memory_write_u16(struct memory *memory, uint64_t gpa, uint16_t value);
void memory_write_u32(struct memory *memory, uint64_t gpa, uint32_t value);
void memory_write_u64(struct memory *memory, uint64_t gpa, uint64_t value);

/* For people: what is mapped, ascending. */
struct memory_view {
    uint64_t start, end; /* end exclusive */
    const char *name;    /* of the block */
    uint64_t offset;     /* in the block */
    bool writable;
};
void memory_each_range(struct memory *memory, void (*look)(void *opaque, const struct memory_view *view), void *opaque);

uint64_t memory_ram_bytes(const struct memory *memory);

/* Of all digested blocks: clears the dirty flags, as said above; the accelerator drops writable translations first (accel
 * memory_protect_all). */
void memory_note_written(struct memory *memory);

/* Digest of all digested blocks: for each page a hash of (block, page, content), zero pages counting 0, summed. Only
 * pages written since the last call are hashed again (memory_note_written). The result does not depend on when it was called
 * before. */
uint64_t memory_digest(struct memory *memory);

struct memory_block *memory_block_first(struct memory *memory);
struct memory_block *memory_block_next(struct memory *memory, struct memory_block *block);

struct machine *memory_machine(struct memory *memory);
/* For memory_image.c: the image that memory was last equal to; null: none. Released with the memory. */
struct memory_image **memory_base(struct memory *memory);

#endif
