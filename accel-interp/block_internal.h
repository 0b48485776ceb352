/* What the files of the block cache share: block.c keeps and finds blocks, block_decode.c makes what is in them. */
#ifndef VMRR_ACCEL_INTERP_BLOCK_INTERNAL_H
#define VMRR_ACCEL_INTERP_BLOCK_INTERNAL_H

#include "accel-interp/block.h"
#include "accel-interp/mmu.h"
#include "accel-interp/peephole.h"

#define SLOTS_MAX (BLOCK_STEPS_MAX + 3) /* fall-through, links, bytes of a crossing */
#define HASH_BITS 17u
#define PAGE_HASH_BITS 12u
#define CHUNK_SHIFT 6

struct code_page {
    uint8_t *flags;
    struct code_page *next;
    struct block *blocks;
    struct block *entered; /* those of them that have a key, or had one: BLOCK_ENTERED */
    uint64_t chunks;       /* bit n: decoded bytes in [64n, 64n + 64) */
    uint64_t hot;          /* chunks that were rewritten too often: see decode_block */
    uint8_t rewrites[MEMORY_PAGE_BYTES >> CHUNK_SHIFT];
    unsigned idle_writes;  /* while it has no blocks */
    uint64_t last_rewrite; /* icount, that of the block about */
};

enum { SCRATCH_DECODE, SCRATCH_TRUNCATED, SCRATCH_SINGLE, SCRATCH_COUNT };

struct block_cache {
    struct block *stub; /* what unlinked links lead to */
    uint8_t *arena;
    uint64_t arena_bytes, used_bytes;
    struct block *unused[SLOTS_MAX + 1]; /* dropped, by slots; linked by hash_next */
    struct block *hash[1u << HASH_BITS];
    struct code_page *page_hash[1u << PAGE_HASH_BITS];
    struct code_page *pages; /* pages_max of them, pages_used ever used since all was dropped */
    unsigned pages_max, pages_used;
    struct code_page *unused_pages;
    struct block *scratch[SCRATCH_COUNT];
    struct block_links *pending; /* the link that the next lookup fills in */
    unsigned pending_slot;
    uint64_t pending_rip;
    uint32_t pending_key;
    uint32_t generation;
    unsigned block_steps;
    struct peephole *peephole;
    uint8_t ones[MEMORY_PAGE_BYTES];
};

/* Bits of struct code_page.chunks. */
static inline uint64_t block_chunk_mask(unsigned first, unsigned last)
{
    unsigned low = first >> CHUNK_SHIFT, high = last >> CHUNK_SHIFT;
    return (~0ull << low) & (~0ull >> (63 - high));
}

/* Where `bytes` of code from page_offset end in its (first) page. */
static inline unsigned block_last_in_page(unsigned page_offset, unsigned bytes)
{
    unsigned last = page_offset + bytes - 1u;
    return last < MEMORY_PAGE_BYTES ? last : MEMORY_PAGE_BYTES - 1;
}
static inline uint64_t block_icount(const struct interp *cpu)
{
    return cpu->icount_end - (uint64_t)cpu->budget;
}

static inline uint64_t block_code_linear(const struct interp *cpu, uint64_t rip)
{
    return (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? rip : block_linear(cpu, rip);
}

static inline void block_links_init(const struct block_cache *cache, struct block_links *links)
{
    *links = (struct block_links){.to = {cache->stub, cache->stub}};
}

/* Of a page with code, or of none (null). */
uint64_t block_hot_chunks(struct block_cache *cache, const uint8_t *flags);
void block_drop(struct interp *cpu, struct block *block);
/* block_decode.c: the code at linear, in this page, into a scratch block; may raise. whole_run: the block will be kept. One that is not,
 * is one instruction: writes into it are not noticed. */
struct block *block_decode_at(struct interp *cpu, const struct memory_page *page, uint64_t linear, uint64_t limit,
                              bool whole_run);

#endif
