/* The block cache: see block.h for its invariants.
 *
 * Memory: one arena for blocks and one for what is known of each page with code, taken from the bottom up; a dropped block's
 * room is given to the next block of the same size, and when one of the two is full everything is dropped. Pages with
 * decoded code carry MEMORY_PAGE_CODE, so that writes to them come to block_code_written; a bitmap of 64-byte chunks that
 * hold decoded bytes makes writes beside the code cheap.
 * Not modelled: code executed out of MMIO (it reads as all ones, without touching the device). */
#include "accel-interp/block_internal.h"

#include "accel-interp/mem.h"
#include "accel-interp/monitor.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_BYTES_DEFAULT (48ull << 20)
#define CACHE_BYTES_MIN (64ull << 10)
/* More than a kernel needs to patch a jump in three steps, a few times. */
#define HOT_REWRITES 32u
/* Code that runs so many steps before it is rewritten is worth decoding in whole blocks: what compilers at run time write. */
#define HOT_STEPS 256u

/* A page that lost its last block is likely to be decoded again, and making it a page of code costs a search of the TLB: it
 * stays one for so many writes more. */
#define IDLE_WRITES_MAX 64u

/* Of the arena for each page with code: few programs have as little code in a page as that. */
#define ARENA_BYTES_A_PAGE 768u

/* ---- making and emptying -------------------------------------------------------------------------------------- */

static void clear_jump_cache(struct interp *cpu)
{
    for (unsigned n = 0; n < JUMP_CACHE_ENTRIES; n++)
        cpu->jump_cache[n] = cpu->cache->stub;
}

static struct block *create_scratch(void)
{
    struct block *block = calloc(1, sizeof(struct block) + SLOTS_MAX * sizeof(struct insn));

    CHECK(block);
    block->flags = BLOCK_SCRATCH;
    block->slots = SLOTS_MAX;
    return block;
}

void block_cache_create(struct interp *cpu, uint64_t cache_bytes, unsigned block_steps)
{
    struct block_cache *cache = calloc(1, sizeof *cache);

    CHECK(cache);
    cpu->cache = cache;
    cache->arena_bytes = cache_bytes ? cache_bytes : CACHE_BYTES_DEFAULT;
    if (cache->arena_bytes < CACHE_BYTES_MIN)
        cache->arena_bytes = CACHE_BYTES_MIN;
    cache->arena = aligned_alloc(64, (cache->arena_bytes + 63) & ~63ull);
    cache->pages_max = (unsigned)(cache->arena_bytes / ARENA_BYTES_A_PAGE);
    cache->pages = malloc(cache->pages_max * sizeof *cache->pages); /* cleared as they are used */
    cache->stub = create_scratch();
    cache->stub->steps = BLOCK_STEPS_NEVER;
    for (unsigned n = 0; n < SCRATCH_COUNT; n++)
        cache->scratch[n] = create_scratch();
    cache->peephole = peephole_create();
    cpu->jump_cache = calloc(JUMP_CACHE_ENTRIES, sizeof(struct block *));
    CHECK(cache->arena && cache->pages && cpu->jump_cache);
    memset(cache->ones, 0xFF, sizeof cache->ones);
    cache->block_steps = block_steps && block_steps < BLOCK_STEPS_MAX ? block_steps : BLOCK_STEPS_MAX;
    cache->generation = 1;
    clear_jump_cache(cpu);
    block_update_mode(cpu);
}

void block_cache_destroy(struct interp *cpu)
{
    struct block_cache *cache = cpu->cache;

    if (!cache)
        return;
    block_drop_all(cpu);
    free(cache->pages);
    for (unsigned n = 0; n < SCRATCH_COUNT; n++)
        free(cache->scratch[n]);
    free(cache->stub);
    peephole_destroy(cache->peephole);
    free(cache->arena);
    free(cpu->jump_cache);
    free(cache);
    cpu->cache = NULL;
}

static uint64_t fixed_bytes(const struct block_cache *cache)
{
    return sizeof *cache + peephole_bytes() + JUMP_CACHE_ENTRIES * sizeof(struct block *) +
           (SCRATCH_COUNT + 1) * (sizeof(struct block) + SLOTS_MAX * sizeof(struct insn));
}

uint64_t block_cache_bytes(const struct interp *cpu)
{
    const struct block_cache *cache = cpu->cache;

    return fixed_bytes(cache) + cache->used_bytes + cache->pages_used * sizeof *cache->pages;
}

uint64_t block_cache_bytes_max(const struct interp *cpu)
{
    const struct block_cache *cache = cpu->cache;

    return fixed_bytes(cache) + cache->arena_bytes + cache->pages_max * sizeof *cache->pages;
}

void block_update_mode(struct interp *cpu)
{
    cpu->jump_key = cpu->cache->generation << 8 | cpu->mode;
    cpu->rip_limit = cpu->seg[CPU_CS].limit;
}

void block_forget_pending(struct interp *cpu)
{
    cpu->cache->pending = NULL;
}

void block_drop_all(struct interp *cpu)
{
    struct block_cache *cache = cpu->cache;

    for (unsigned n = 0; n < 1u << PAGE_HASH_BITS; n++) {
        while (cache->page_hash[n]) {
            struct code_page *page = cache->page_hash[n];
            *page->flags &= (uint8_t)~MEMORY_PAGE_CODE;
            cache->page_hash[n] = page->next;
        }
    }
    cache->unused_pages = NULL;
    cache->pages_used = 0;
    memset(cache->hash, 0, sizeof cache->hash);
    memset(cache->unused, 0, sizeof cache->unused);
    cache->used_bytes = 0;
    block_forget_pending(cpu);
    clear_jump_cache(cpu);
    cpu->statistics.cache_flushes++;
}

void block_jump_cache_flush(struct interp *cpu)
{
    struct block_cache *cache = cpu->cache;

    if (++cache->generation == 1u << 24) {
        block_drop_all(cpu); /* no block keeps a key of the first round */
        cache->generation = 1;
    }
    block_update_mode(cpu);
}

/* ---- links ---------------------------------------------------------------------------------------------------- */

static struct block_links *end_links(struct block *block)
{
    return (struct block_links *)&block->insn[block->slots - 1 - (block->flags & BLOCK_CROSS ? 1 : 0)];
}

static struct block_links *incoming_links(uintptr_t incoming)
{
    return (struct block_links *)(incoming & ~(uintptr_t)1);
}

static void link_to(struct block_links *links, unsigned slot, struct block *target)
{
    links->to[slot] = target;
    links->next_incoming[slot] = target->incoming;
    target->incoming = (uintptr_t)links | slot;
}

static void unlink_from(const struct block_cache *cache, struct block_links *links, unsigned slot)
{
    uintptr_t *where = &links->to[slot]->incoming;

    if (links->to[slot] == cache->stub)
        return;
    while (*where != ((uintptr_t)links | slot))
        where = &incoming_links(*where)->next_incoming[*where & 1];
    *where = links->next_incoming[slot];
    links->to[slot] = cache->stub;
}

static void fill_pending(struct interp *cpu, struct block *target)
{
    struct block_cache *cache = cpu->cache;
    struct block_links *links = cache->pending;

    if (links && cache->pending_rip == cpu->rip && cache->pending_key == cpu->jump_key) {
        unlink_from(cache, links, cache->pending_slot);
        link_to(links, cache->pending_slot, target);
    }
    cache->pending = NULL;
}

const struct insn *block_leave_to(struct interp *cpu, const struct insn *i, uint64_t rip, unsigned slot)
{
    struct block_cache *cache = cpu->cache;

    if ((cpu->mode & MODE_CODE_MASK) != MODE_CODE64)
        rip = (uint32_t)rip;
    if (!(block_of(i)->flags & BLOCK_SCRATCH)) {
        cache->pending = block_links_of(i);
        cache->pending_slot = slot;
        cache->pending_rip = rip;
        cache->pending_key = cpu->jump_key;
    }
    cpu->rip = rip;
    return NULL;
}

/* ---- dropping ------------------------------------------------------------------------------------------------- */

static unsigned hash_of(const uint8_t *page, unsigned page_offset, uint8_t mode)
{
    uint64_t key = (uint64_t)(uintptr_t)page * 0x9E3779B97F4A7C15ull + page_offset * 0x9E3779B1ull + mode;
    return (unsigned)((key ^ key >> 29) & ((1u << HASH_BITS) - 1));
}

static struct code_page **page_place(struct block_cache *cache, const uint8_t *flags)
{
    uint64_t key = (uint64_t)(uintptr_t)flags;
    struct code_page **place = &cache->page_hash[(key ^ key >> PAGE_HASH_BITS) & ((1u << PAGE_HASH_BITS) - 1)];

    while (*place && (*place)->flags != flags)
        place = &(*place)->next;
    return place;
}

static unsigned last_byte(const struct block *block)
{
    return block_last_in_page(block->page_offset, block->bytes);
}

static bool overlaps(const struct block *block, unsigned first, unsigned last)
{
    return block->page_offset <= last && last_byte(block) >= first;
}

/* Takes those that go from the list of the entered ones: before they are released, in one walk. */
static void leave_entered(struct code_page *page, bool (*goes)(const struct block *block, uint64_t a, uint64_t b),
                          uint64_t a, uint64_t b)
{
    for (struct block **where = &page->entered; *where;) {
        struct block *block = *where;
        if (goes(block, a, b)) {
            *where = block->entered_next;
            block->flags &= (uint8_t)~BLOCK_ENTERED;
            block->key = 0;
        } else {
            where = &block->entered_next;
        }
    }
}

static bool overlapped(const struct block *block, uint64_t first, uint64_t last)
{
    return overlaps(block, (unsigned)first, (unsigned)last);
}

static bool same_place(const struct block *block, uint64_t page_offset, uint64_t mode)
{
    return block->page_offset == page_offset && block->mode == mode;
}

static bool entered_in(const struct block *block, uint64_t page, uint64_t unused)
{
    (void)unused;
    return TLB_PAGE(block->linear) == page;
}

/* All but the page's lists. */
static void release_block(struct interp *cpu, struct block *block)
{
    struct block_cache *cache = cpu->cache;
    struct block **place = &cache->hash[hash_of(block->page, block->page_offset, block->mode)];

    while (*place != block)
        place = &(*place)->hash_next;
    *place = block->hash_next;
    for (unsigned slot = 0; slot < 2; slot++)
        unlink_from(cache, end_links(block), slot);
    while (block->incoming) {
        struct block_links *links = incoming_links(block->incoming);
        unsigned slot = block->incoming & 1;
        block->incoming = links->next_incoming[slot];
        links->to[slot] = cache->stub;
    }
    block_forget_pending(cpu);
    block->key = 0;
    block->hash_next = cache->unused[block->slots];
    cache->unused[block->slots] = block;
    cpu->statistics.blocks_dropped++;
}

static void retire_page(struct block_cache *cache, struct code_page **place)
{
    struct code_page *page = *place;

    *page->flags &= (uint8_t)~MEMORY_PAGE_CODE;
    *place = page->next;
    page->next = cache->unused_pages;
    cache->unused_pages = page;
}

static void note_rewrite(struct code_page *page, unsigned chunk, uint64_t icount)
{
    if (icount - page->last_rewrite > HOT_STEPS) {
        page->rewrites[chunk] = 0;
        page->hot &= ~(1ull << chunk);
    } else if (page->rewrites[chunk] < HOT_REWRITES) {
        page->rewrites[chunk]++;
    } else {
        page->hot |= 1ull << chunk;
    }
    page->last_rewrite = icount;
}

/* Those of a page that have any of these bytes. */
static void drop_from(struct interp *cpu, struct code_page *page, unsigned first, unsigned last)
{
    uint64_t chunks = 0;

    leave_entered(page, overlapped, first, last);
    for (struct block **where = &page->blocks; *where;) {
        struct block *block = *where;
        if (overlaps(block, first, last)) {
            *where = block->page_next;
            release_block(cpu, block);
        } else {
            chunks |= block_chunk_mask(block->page_offset, last_byte(block));
            where = &block->page_next;
        }
    }
    page->chunks = chunks;
}

static void drop_overlapped(struct interp *cpu, struct code_page *page, unsigned first, unsigned last)
{
    drop_from(cpu, page, first, last);
    note_rewrite(page, first >> CHUNK_SHIFT, block_icount(cpu));
}

void block_drop_offset(struct interp *cpu, unsigned page_offset)
{
    struct block_cache *cache = cpu->cache;
    uint64_t mask = block_chunk_mask(page_offset, page_offset);

    for (unsigned n = 0; n < 1u << PAGE_HASH_BITS; n++) {
        for (struct code_page *page = cache->page_hash[n]; page; page = page->next) {
            if (page->chunks & mask)
                drop_from(cpu, page, page_offset, page_offset);
        }
    }
}

void block_drop(struct interp *cpu, struct block *block)
{
    struct code_page **place = page_place(cpu->cache, block->page);
    struct block **where = &(*place)->blocks;

    leave_entered(*place, same_place, block->page_offset, block->mode);
    while (*where != block)
        where = &(*where)->page_next;
    *where = block->page_next;
    release_block(cpu, block);
    if (!(*place)->blocks)
        retire_page(cpu->cache, place);
}

/* A truncated copy must not outlive its block: with that dropped, the next write into the copy would go unseen. */
static bool runs_in(const struct insn *i, const struct code_page *page, unsigned first, unsigned last)
{
    const struct block *block = block_of(i);

    return block->page == page->flags && ((block->flags & BLOCK_SCRATCH) || overlaps(block, first, last));
}

static void code_rewritten(struct interp *cpu, const struct insn *i, struct code_page *page, unsigned first,
                           unsigned last)
{
    if (i && !cpu->single && runs_in(i, page, first, last))
        interp_touch(cpu, i);
    drop_overlapped(cpu, page, first, last);
}

static void page_written(struct interp *cpu, const struct insn *i, const uint8_t *flags, unsigned first, unsigned last)
{
    struct code_page **place = page_place(cpu->cache, flags), *page = *place;

    if (page && !page->blocks && ++page->idle_writes > IDLE_WRITES_MAX)
        retire_page(cpu->cache, place);
    else if (page && (page->chunks & block_chunk_mask(first, last)))
        code_rewritten(cpu, i, page, first, last);
}

void block_code_written(struct interp *cpu, const struct insn *i, uint64_t gpa, unsigned size_bytes)
{
    struct memory *memory = machine_memory(cpu->accel.machine);
    uint64_t end = gpa + size_bytes;

    monitor_written(cpu, gpa, size_bytes);
    while (gpa < end) {
        struct memory_page page = memory_lookup(memory, gpa);
        unsigned first = gpa & (MEMORY_PAGE_BYTES - 1);
        uint64_t count = MEMORY_PAGE_BYTES - first < end - gpa ? MEMORY_PAGE_BYTES - first : end - gpa;
        if (page.host && (*page.flags & MEMORY_PAGE_CODE))
            page_written(cpu, i, page.flags, first, first + (unsigned)count - 1);
        gpa += count;
    }
}

void block_page_replaced(struct interp *cpu, const uint8_t *flags)
{
    struct code_page *page = *page_place(cpu->cache, flags);

    if (page)
        drop_overlapped(cpu, page, 0, MEMORY_PAGE_BYTES - 1);
}

/* The translation of a linear page to gpa is no longer held: what was entered there is looked up again. */
void block_forget_entered(struct interp *cpu, uint64_t page, uint64_t gpa)
{
    struct memory_page memory = memory_lookup(machine_memory(cpu->accel.machine), gpa);
    bool decoded = memory.host && (*memory.flags & MEMORY_PAGE_CODE);
    struct code_page *code = decoded ? *page_place(cpu->cache, memory.flags) : NULL;

    if (code)
        leave_entered(code, entered_in, page, 0);
}

/* ---- keeping -------------------------------------------------------------------------------------------------- */

uint64_t block_hot_chunks(struct block_cache *cache, const uint8_t *flags)
{
    const struct code_page *page = flags ? *page_place(cache, flags) : NULL;

    return page ? page->hot : 0;
}

static uint64_t block_size(unsigned slots)
{
    return sizeof(struct block) + slots * sizeof(struct insn);
}

static struct block *allocate(struct interp *cpu, unsigned slots)
{
    struct block_cache *cache = cpu->cache;
    struct block *block = cache->unused[slots];

    if (block) {
        cache->unused[slots] = block->hash_next;
        return block;
    }
    if (cache->used_bytes + block_size(slots) > cache->arena_bytes)
        block_drop_all(cpu);
    block = (struct block *)(cache->arena + cache->used_bytes);
    cache->used_bytes += block_size(slots);
    return block;
}

/* Room for one page more: before a block is allocated, since this may drop all. */
static void make_room_for_page(struct interp *cpu)
{
    struct block_cache *cache = cpu->cache;

    if (!cache->unused_pages && cache->pages_used == cache->pages_max)
        block_drop_all(cpu);
}

static struct code_page *page_of(struct interp *cpu, uint8_t *flags, uint64_t gpa)
{
    struct block_cache *cache = cpu->cache;
    struct code_page **place = page_place(cache, flags);
    struct code_page *page = *place;

    if (page) {
        page->idle_writes = 0;
        return page;
    }
    page = cache->unused_pages;
    if (page)
        cache->unused_pages = page->next;
    else
        page = &cache->pages[cache->pages_used++];
    *page = (struct code_page){.flags = flags};
    *place = page;
    *flags |= MEMORY_PAGE_CODE;
    mmu_protect_page(cpu, gpa);
    return page;
}

/* Moves what was decoded into scratch to the arena. */
static struct block *keep(struct interp *cpu, const struct block *scratch, uint64_t gpa)
{
    make_room_for_page(cpu);
    struct block *block = allocate(cpu, scratch->slots);
    struct code_page *page = page_of(cpu, scratch->page, gpa);
    struct block **hash = &cpu->cache->hash[hash_of(scratch->page, scratch->page_offset, scratch->mode)];

    memcpy(block, scratch, block_size(scratch->slots));
    block->flags &= (uint8_t)~BLOCK_SCRATCH;
    block->incoming = 0;
    block->hash_next = *hash;
    *hash = block;
    block->page_next = page->blocks;
    page->blocks = block;
    page->chunks |= block_chunk_mask(block->page_offset, last_byte(block));
    cpu->statistics.blocks_decoded++;
    return block;
}

/* ---- finding -------------------------------------------------------------------------------------------------- */

static struct block *find(const struct block_cache *cache, const uint8_t *page, unsigned page_offset, uint8_t mode)
{
    struct block *block = cache->hash[hash_of(page, page_offset, mode)];

    while (block && (block->page != page || block->page_offset != page_offset || block->mode != mode))
        block = block->hash_next;
    return block;
}

/* Bytes from rip to the limit of CS, 0 for none; not more than matters. */
static uint64_t bytes_to_limit(const struct interp *cpu, uint64_t rip)
{
    if (block_is_flat(cpu))
        return 2 * MEMORY_PAGE_BYTES;
    return rip > cpu->rip_limit ? 0 : cpu->rip_limit - rip + 1;
}

static struct block *lookup_page(struct interp *cpu, uint64_t linear, uint64_t limit)
{
    struct memory_page page;
    uint64_t gpa = mmu_fetch(cpu, linear, &page);
    unsigned offset = linear & (MEMORY_PAGE_BYTES - 1);
    struct block *block = page.host ? find(cpu->cache, page.flags, offset, cpu->mode) : NULL;

    if (block && block->bytes <= limit)
        return block;
    bool kept = page.host && !block && limit >= MEMORY_PAGE_BYTES;
    struct block *decoded = block_decode_at(cpu, &page, linear, limit, kept);
    return kept ? keep(cpu, decoded, gpa) : decoded;
}

static void enter(struct interp *cpu, struct block *block, uint64_t linear)
{
    block->linear = linear;
    block->key = cpu->jump_key;
    if (!(block->flags & BLOCK_ENTERED)) {
        struct code_page *page = *page_place(cpu->cache, block->page);
        block->flags |= BLOCK_ENTERED;
        block->entered_next = page->entered;
        page->entered = block;
    }
}

struct block *block_lookup(struct interp *cpu)
{
    uint64_t rip = cpu->rip = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? cpu->rip : (uint32_t)cpu->rip;
    uint64_t linear = block_code_linear(cpu, rip);
    struct block **cached = &cpu->jump_cache[jump_cache_index(linear)];
    uint64_t limit = bytes_to_limit(cpu, rip);
    struct block *block = *cached;

    if (block->linear != linear || block->key != cpu->jump_key || block->bytes > limit) {
        if (limit == 0 || ((cpu->mode & MODE_CODE_MASK) == MODE_CODE64 && !mmu_canonical(rip)))
            interp_raise_error(cpu, NULL, EXC_GP, 0);
        cpu->statistics.block_searches++;
        block = lookup_page(cpu, linear, limit);
        if (block->flags & BLOCK_SCRATCH)
            return block;
        enter(cpu, block, linear);
        *cached = block;
    }
    fill_pending(cpu, block);
    return block;
}
