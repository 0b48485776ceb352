/* What is in a block: decoding, instructions that go on in the next page, and parts of blocks. See block.h and block_internal.h. */
#include "accel-interp/block_internal.h"

#include "accel-interp/decode.h"
#include "accel-interp/fuse.h"
#include "accel-interp/run_control.h"

#include <string.h>

/* ---- decoding ------------------------------------------------------------------------------------------------- */

static const struct insn *exec_undefined(struct interp *cpu, const struct insn *i)
{
    if (i->imm)
        RAISE(EXC_UD);
    interp_unimplemented(cpu, i);
}

static const struct insn *exec_too_long(struct interp *cpu, const struct insn *i)
{
    RAISE_ERROR(EXC_GP, 0);
}

/* Pseudo instructions, after the last step of a block without a branch. */
static const struct insn *fall_page(struct interp *cpu, const struct insn *i)
{
    return block_chain_page(cpu, i, i->off, 1);
}

static const struct insn *fall_flat(struct interp *cpu, const struct insn *i)
{
    uint64_t rip = cpu->r[REG_RIP].q + i->off;
    struct block *target = block_linked_flat(cpu, i, rip, 1);

    return target ? block_enter(cpu, target, rip) : block_leave_to(cpu, i, rip, 1);
}

static const struct insn *fall_segmented(struct interp *cpu, const struct insn *i)
{
    uint64_t rip = cpu->r[REG_RIP].q + i->off;
    struct block *target = block_linked_segmented(cpu, i, rip, 1);

    return target ? block_enter(cpu, target, rip) : block_leave_to(cpu, i, rip, 1);
}

static const struct insn *fall_out(struct interp *cpu, const struct insn *i)
{
    cpu->rip = cpu->r[REG_RIP].q + i->off;
    return NULL;
}

static void append_fall(struct block *block, insn_fn *fn)
{
    struct insn *i = &block->insn[block->steps];

    memset(i, 0, sizeof *i);
    i->fn = fn;
    i->off = block->bytes;
    i->index = (uint8_t)block->steps;
}

static insn_fn *fall_function(const struct interp *cpu, const struct block *block)
{
    if (!block_is_flat(cpu))
        return fall_segmented;
    return block->page_offset + block->bytes >= (int)MEMORY_PAGE_BYTES ? fall_flat : fall_page;
}

/* The end of a decoded block: the fall-through unless a branch ended it, and the links. */
static void finish_block(struct interp *cpu, struct block *block, bool falls)
{
    if (falls) {
        append_fall(block, fall_function(cpu, block));
        block->flags |= BLOCK_FALLS;
    }
    block->slots = (uint16_t)(block->steps + (falls ? 2 : 1));
    block_links_init(cpu->cache, (struct block_links *)&block->insn[block->slots - 1]);
}

/* The block's last two instructions, just decoded: one function for both, if there is one. */
static void fuse_end(struct interp *cpu, struct block *block, const struct decoded *first, const struct decoded *last)
{
    struct insn *i = &block->insn[block->steps - 2];
    insn_fn *fn = first->row && last->row ? fuse_pair(first, last, block_is_flat(cpu)) : NULL;

    if (!fn)
        return;
    block->flags |= BLOCK_FUSED;
    block->entry_fn = i->fn;
    i->fn = fn;
}

/* Decodes a run into block. False: not one instruction without bytes after the available ones. Where code is rewritten again
 * and again each instruction is a block of its own, so that a write costs the decoding of one. */
static bool decode_block(struct interp *cpu, struct block *block, const uint8_t *bytes, unsigned available)
{
    struct decoded decoded = {.row = NULL}, before;
    uint64_t hot = block_hot_chunks(cpu->cache, block->page);
    unsigned offset = 0, steps = 0;
    bool ended = false, alone = false, cuts = cpu->control & CONTROL_CUT;

    while (!ended && !alone && steps < cpu->cache->block_steps && offset < available) {
        if (cuts && run_control_cuts(cpu, block->page_offset + offset)) {
            if (steps)
                break;
            alone = true;
        }
        before = decoded;
        enum decode_status status = decode_insn(cpu->tables, cpu->mode, bytes + offset, available - offset, offset,
                                                block->page_offset, &decoded);
        if (status == DECODE_MORE)
            break;
        if (status == DECODE_UNDEFINED) {
            decoded.insn.fn = exec_undefined;
            decoded.insn.imm = decoded.reserved;
        } else if (status == DECODE_TOO_LONG) {
            decoded.insn.fn = exec_too_long;
        }
        bool rewritten =
            hot && (hot & block_chunk_mask(block->page_offset + offset,
                                           block_last_in_page(block->page_offset, offset + decoded.insn.len)));
        if (rewritten && steps)
            break;
        alone = alone || rewritten;
        ended = status != DECODE_OK || (decoded.row->flags & OP_END);
        decoded.insn.index = (uint8_t)steps;
        block->insn[steps++] = decoded.insn;
        offset += decoded.insn.len;
    }
    block->steps = (int32_t)steps;
    block->bytes = (uint16_t)offset;
    block->mode = cpu->mode;
    if (ended && steps >= 2)
        fuse_end(cpu, block, &before, &decoded);
    peephole_run(cpu->cache->peephole, block->insn, steps, block->flags & BLOCK_FUSED ? block->entry_fn : NULL);
    if (steps)
        finish_block(cpu, block, !ended);
    return steps > 0;
}

/* ---- an instruction that goes on in the next page ------------------------------------------------------------- */

static uint8_t *crossing_bytes(struct block *block)
{
    return (uint8_t *)&block->insn[block->slots - 1];
}

static const uint8_t *fetch_page(struct interp *cpu, uint64_t linear)
{
    struct memory_page page;

    mmu_fetch(cpu, linear, &page);
    return page.host ? page.host : cpu->cache->ones;
}

/* Entry of a BLOCK_CROSS block: its second page may be another one by now, or none. */
static const struct insn *check_crossing(struct interp *cpu, const struct insn *i)
{
    struct block *block = block_of(i);
    unsigned first = MEMORY_PAGE_BYTES - block->page_offset;
    uint64_t next = block_code_linear(cpu, cpu->r[REG_RIP].q + first);
    const uint8_t *bytes;

    cpu->rip = cpu->r[REG_RIP].q;
    cpu->current = NULL;
    cpu->budget += 1; /* a fault of the fetch is outside of the chain */
    if ((block->flags & BLOCK_BREAK) && run_control_breaks(cpu, block_code_linear(cpu, cpu->rip), block_icount(cpu)))
        return NULL;
    bytes = fetch_page(cpu, next);
    if (memcmp(bytes, crossing_bytes(block), block->bytes - first)) {
        if (!(block->flags & BLOCK_SCRATCH))
            block_drop(cpu, block);
        return NULL;
    }
    cpu->budget -= 1;
    return block->entry_fn(cpu, i);
}

/* Entry of a BLOCK_BREAK block. */
static const struct insn *check_break(struct interp *cpu, const struct insn *i)
{
    struct block *block = block_of(i);
    uint64_t rip = cpu->r[REG_RIP].q;

    if ((cpu->control & CONTROL_BREAK) && run_control_breaks(cpu, block_code_linear(cpu, rip), block_icount(cpu) - 1)) {
        cpu->budget += 1;
        cpu->rip = rip;
        cpu->current = NULL;
        return NULL;
    }
    return block->entry_fn(cpu, i);
}

/* A block of one instruction, just decoded. */
static void guard(struct block *block)
{
    block->flags |= BLOCK_BREAK;
    if (block->flags & BLOCK_CROSS)
        return;
    block->entry_fn = block->insn[0].fn;
    block->insn[0].fn = check_break;
}

static bool decode_one(struct interp *cpu, struct block *block, const uint8_t *bytes, unsigned available)
{
    unsigned steps = cpu->cache->block_steps;

    cpu->cache->block_steps = 1;
    bool whole = decode_block(cpu, block, bytes, available);
    cpu->cache->block_steps = steps;
    return whole;
}

static void decode_crossing(struct interp *cpu, struct block *block, const uint8_t *bytes, unsigned available,
                            uint64_t limit)
{
    uint8_t joined[2 * DECODE_BYTES_MAX];
    unsigned total = available;

    memcpy(joined, bytes, available);
    if (limit > available) {
        unsigned more = limit - available < DECODE_BYTES_MAX ? (unsigned)limit - available : DECODE_BYTES_MAX;
        memcpy(joined + available, fetch_page(cpu, block_code_linear(cpu, cpu->rip + available)), more);
        total += more;
    }
    if (!decode_one(cpu, block, joined, total))
        interp_raise_error(cpu, NULL, EXC_GP, 0); /* beyond the limit */
    if (block->bytes <= available)
        return;
    block->flags |= BLOCK_CROSS;
    block->slots++;
    memcpy(crossing_bytes(block), joined + available, block->bytes - available);
    block->entry_fn = block->insn[0].fn;
    block->insn[0].fn = check_crossing;
}

struct block *block_decode_at(struct interp *cpu, const struct memory_page *page, uint64_t linear, uint64_t limit,
                              bool whole_run)
{
    struct block *block = cpu->cache->scratch[SCRATCH_DECODE];
    unsigned offset = linear & (MEMORY_PAGE_BYTES - 1);
    unsigned available = MEMORY_PAGE_BYTES - offset;
    const uint8_t *bytes = (page->host ? page->host : cpu->cache->ones) + offset;

    if (available > limit)
        available = (unsigned)limit;
    block->flags = BLOCK_SCRATCH;
    block->page = page->host ? page->flags : NULL;
    block->page_offset = (uint16_t)offset;
    bool whole = whole_run ? decode_block(cpu, block, bytes, available) : decode_one(cpu, block, bytes, available);
    if (!whole)
        decode_crossing(cpu, block, bytes, available, limit);
    if ((cpu->control & CONTROL_CUT) && run_control_cuts(cpu, offset))
        guard(block);
    return block;
}

/* ---- parts of blocks ------------------------------------------------------------------------------------------ */

static void copy_place(struct block *to, const struct block *from)
{
    to->page = from->page;
    to->page_offset = from->page_offset;
    to->mode = from->mode;
    to->entry_fn = from->entry_fn;
    to->flags = BLOCK_SCRATCH;
}

struct block *block_truncate(struct interp *cpu, const struct block *block, unsigned steps)
{
    struct block *copy = cpu->cache->scratch[SCRATCH_TRUNCATED];

    CHECK((int)steps < block->steps);
    copy_place(copy, block);
    memcpy(copy->insn, block->insn, steps * sizeof(struct insn));
    for (unsigned n = 0; n < steps; n++)
        copy->insn[n].fn = peephole_plain(cpu->cache->peephole, copy->insn[n].fn);
    if ((block->flags & BLOCK_FUSED) && (int)steps == block->steps - 1)
        copy->insn[steps - 1].fn = block->entry_fn;
    copy->steps = (int32_t)steps;
    copy->bytes = block->insn[steps].off;
    copy->flags |= BLOCK_FALLS;
    append_fall(copy, fall_out);
    return copy;
}

struct block *block_single(struct interp *cpu, const struct insn *i)
{
    const struct block *block = block_of(i);
    struct block *copy = cpu->cache->scratch[SCRATCH_SINGLE];

    copy_place(copy, block);
    copy->insn[0] = *i;
    copy->insn[0].fn = peephole_plain(cpu->cache->peephole, i->fn);
    copy->insn[0].index = 0;
    if ((block->flags & (BLOCK_CROSS | BLOCK_BREAK)) || ((block->flags & BLOCK_FUSED) && i->index == block->steps - 2))
        copy->insn[0].fn = block->entry_fn;
    copy->steps = 1;
    copy->bytes = (uint16_t)(i->off + i->len);
    if (i->index == block->steps - 1 && !(block->flags & BLOCK_FALLS))
        block_links_init(cpu->cache, (struct block_links *)&copy->insn[1]);
    else
        append_fall(copy, fall_out);
    return copy;
}

struct block *block_lone(struct interp *cpu)
{
    struct block *block = cpu->cache->scratch[SCRATCH_SINGLE];

    memset(&block->insn[0], 0, sizeof block->insn[0]);
    block->flags = BLOCK_SCRATCH;
    block->steps = 1;
    block->bytes = 0;
    return block;
}
