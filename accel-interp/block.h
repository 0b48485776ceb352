/* The block cache: decoded code by physical page and mode, found again through the jump cache, linked block to block.
 * Internal to accel-interp: interp.c, block.c, block_decode.c and exec_branch.c.
 *
 * Invariants
 *  1. A block lies in one physical page, but for a BLOCK_CROSS block: one instruction that goes on in the next page,
 *     whose first function compares those bytes again each time.
 *  2. block->key == cpu->jump_key means: block->linear translates to the block's code, in the present mode and by
 *     translations the CPU holds. What changes many translations gives cpu->jump_key a new generation; where one page's
 *     goes, its blocks get key 0, and a dropped block has it too. So the jump cache and links need no cleaning; what they find is checked by linear and key.
 *  3. A link within a page, between flat modes, is taken without that check: source and target have the same
 *     linear and physical page. It is cut when its target is dropped.
 *  4. A block's memory is used again only outside a chain. */
#ifndef VMRR_ACCEL_INTERP_BLOCK_H
#define VMRR_ACCEL_INTERP_BLOCK_H

#include "accel-interp/flags.h"
#include "accel-interp/run_control.h"

#define BLOCK_STEPS_MAX 48u
#define BLOCK_STEPS_NEVER 0x40000000 /* of what may not be entered: takes any budget below zero */
#define BLOCK_BUDGET_MAX 0x20000000
#define JUMP_CACHE_BITS 13u
#define JUMP_CACHE_ENTRIES (1u << JUMP_CACHE_BITS)

#define BLOCK_CROSS 0x01u
#define BLOCK_FALLS 0x04u   /* ends with a fall-through pseudo instruction after its steps */
#define BLOCK_FUSED 0x08u   /* the last two instructions run as one function (fuse.h) */
#define BLOCK_BREAK 0x10u   /* one instruction, where run_control.h has breakpoints: its first function asks */
#define BLOCK_SCRATCH 0x02u /* not kept, not linked */
#define BLOCK_ENTERED 0x20u /* in its page's list of those that lookup gave a key */

/* The slot after a block's last instruction: where a direct branch goes on. */
struct block_links {
    struct block *to[2];        /* 0 taken, 1 fallen through; never null (the cache's stub) */
    uintptr_t next_incoming[2]; /* chain of links to the same target: links address | slot */
};

struct block {
    uint64_t linear; /* where it was last entered by lookup */
    uint32_t key;    /* jump_key of then; 0: dropped, or never */
    int32_t steps;
    uint8_t *page; /* the page_flags byte of the page it lies in: one for each page, wherever it is mapped */
    uint16_t page_offset;
    uint16_t bytes;
    uint8_t mode;
    uint8_t flags;
    uint16_t slots; /* of insn[] */
    struct block *hash_next;
    struct block *page_next;
    struct block *entered_next;
    uintptr_t incoming;
    /* What a function was by decoding, when something else stands there: insn[0]'s in a BLOCK_CROSS or BLOCK_BREAK block, that of the last
     * instruction but one in a BLOCK_FUSED block. A translator
     * to host code would put its entry into insn[0].fn likewise: block entry is always insn[0].fn. */
    insn_fn *entry_fn;
    struct insn insn[];
};

static inline struct block *block_of(const struct insn *i)
{
    return (struct block *)((char *)(uintptr_t)(i - i->index) - offsetof(struct block, insn));
}
static inline struct block_links *block_links_of(const struct insn *i)
{
    return (struct block_links *)(uintptr_t)(i + 1);
}
/* Steps of the running block after instruction i. */
static inline int block_steps_after(const struct insn *i)
{
    return block_of(i)->steps - i->index - 1;
}

/* What asks for the run loop now: an interrupt that waits while IF is clear does not. */
static inline bool interp_attention(const struct interp *cpu)
{
    uint32_t ignored = cpu->sysflags & FLAG_IF ? 0 : (uint32_t)ATTENTION_INTR;

    return *cpu->attention & ~ignored;
}

/* May the chain go on after instruction i touched a device? Not where the run loop may want to act at any exit. key: jump_key of
 * before. */
static inline bool interp_undisturbed(const struct interp *cpu, const struct insn *i, uint32_t key)
{
    return !interp_attention(cpu) && *cpu->next_timer_ns == cpu->planned_timer_ns && cpu->jump_key == key &&
           !(cpu->control & CONTROL_HIT) && block_of(i)->key && !cpu->may_want;
}

static inline unsigned jump_cache_index(uint64_t linear)
{
    return (unsigned)(linear ^ (linear >> JUMP_CACHE_BITS)) & (JUMP_CACHE_ENTRIES - 1);
}

#if INTERP_TAIL_CALLS
#define BLOCK_ENTER(target) return (target)->insn[0].fn(cpu, (target)->insn)
#else
#define BLOCK_ENTER(target) return (target)->insn
#endif

/* Leaves the chain for rip; links (i's slot) are filled in when the run loop has found the block there. */
const struct insn *block_leave_to(struct interp *cpu, const struct insn *i, uint64_t rip, unsigned slot);

/* END_CHAIN and its kin: return from an instruction function, at the end of its block. */

/* Flat code, target in the block's page. */
static inline __attribute__((always_inline)) const struct insn *
block_chain_page(struct interp *cpu, const struct insn *i, uint64_t delta, unsigned slot)
{
    struct block *target = block_links_of(i)->to[slot];
    int64_t budget = cpu->budget - target->steps;
    uint64_t rip = cpu->r[REG_RIP].q + delta;

    if (__builtin_expect(budget < 0, 0))
        return block_leave_to(cpu, i, rip, slot);
    cpu->budget = budget;
    cpu->r[REG_RIP].q = rip;
    BLOCK_ENTER(target);
}

/* Flat code, any target: null unless it may be entered. */
static inline struct block *block_check_flat(const struct interp *cpu, struct block *target, uint64_t rip)
{
    if (__builtin_expect(target->linear != rip || target->key != cpu->jump_key, 0))
        return NULL;
    return __builtin_expect(cpu->budget < target->steps, 0) ? NULL : target;
}
static inline struct block *block_linked_flat(const struct interp *cpu, const struct insn *i, uint64_t rip,
                                              unsigned slot)
{
    return block_check_flat(cpu, block_links_of(i)->to[slot], rip);
}
static inline struct block *block_cached_flat(const struct interp *cpu, uint64_t rip)
{
    return block_check_flat(cpu, cpu->jump_cache[jump_cache_index(rip)], rip);
}

/* Code with a segment base or limit (rip is within it). */
static inline struct block *block_check_segmented(const struct interp *cpu, struct block *target, uint64_t linear,
                                                  uint64_t rip)
{
    if (target->linear != linear || target->key != cpu->jump_key || cpu->budget < target->steps)
        return NULL;
    return rip + target->bytes - 1 > cpu->rip_limit ? NULL : target;
}
static inline uint64_t block_linear(const struct interp *cpu, uint64_t rip)
{
    return (uint32_t)(cpu->seg[CPU_CS].base + rip);
}
static inline struct block *block_linked_segmented(const struct interp *cpu, const struct insn *i, uint64_t rip,
                                                   unsigned slot)
{
    return block_check_segmented(cpu, block_links_of(i)->to[slot], block_linear(cpu, rip), rip);
}
static inline struct block *block_cached_segmented(const struct interp *cpu, uint64_t rip)
{
    uint64_t linear = block_linear(cpu, rip);
    return block_check_segmented(cpu, cpu->jump_cache[jump_cache_index(linear)], linear, rip);
}
static inline bool block_is_flat(const struct interp *cpu)
{
    return (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ||
           ((cpu->mode & (MODE_FLAT | MODE_CODE_MASK)) == (MODE_FLAT | MODE_CODE32));
}

static inline const struct insn *block_enter(struct interp *cpu, struct block *target, uint64_t rip)
{
    cpu->budget -= target->steps;
    cpu->r[REG_RIP].q = rip;
    BLOCK_ENTER(target);
}

/* Where a direct or indirect branch may go in segmented code; raises #GP(0). */
static inline uint64_t block_target_segmented(struct interp *cpu, const struct insn *i, uint64_t rip)
{
    rip = insn_osize(i) == 1 ? (uint16_t)rip : (uint32_t)rip;
    if (__builtin_expect(rip > cpu->rip_limit, 0))
        RAISE_ERROR(EXC_GP, 0);
    return rip;
}

static inline const struct insn *block_go_segmented(struct interp *cpu, const struct insn *i, uint64_t rip,
                                                    unsigned slot)
{
    struct block *target = block_linked_segmented(cpu, i, rip, slot);

    return target ? block_enter(cpu, target, rip) : block_leave_to(cpu, i, rip, slot);
}

/* ---- for the run loop ----------------------------------------------------------------------------------------- */

/* Creates the cache; cache_bytes and block_steps as in struct interp_options. */
void block_cache_create(struct interp *cpu, uint64_t cache_bytes, unsigned block_steps);
void block_cache_destroy(struct interp *cpu);
/* Host memory that decoded code takes now, and the most that it may take: arena, pages, tables. When there is no room for
 * more, everything is dropped. */
uint64_t block_cache_bytes(const struct interp *cpu);
uint64_t block_cache_bytes_max(const struct interp *cpu);
/* The block at cpu->rip (checked for limits, fetched: may raise with i null). Valid until the next chain or lookup. May be
 * one that is not kept (steps shorter than elsewhere), when a limit or MMIO forbids more. */
struct block *block_lookup(struct interp *cpu);
/* The first `steps` instructions of block, then the end of the chain: not kept, valid until the next call. */
struct block *block_truncate(struct interp *cpu, const struct block *block, unsigned steps);
/* A block of instruction i alone (i may lie in what block_truncate returned). */
struct block *block_single(struct interp *cpu, const struct insn *i);
/* A block of one instruction that is none, for what is done in an instruction's name. */
struct block *block_lone(struct interp *cpu);
/* An instruction at this offset in any page begins a block from now on (run_control.h): drops those that have it inside. */
void block_drop_offset(struct interp *cpu, unsigned page_offset);
/* The page with these flags has another content, all of it. Outside a chain. */
void block_page_replaced(struct interp *cpu, const uint8_t *flags);
/* Forgets which link the last chain wanted filled in. */
void block_forget_pending(struct interp *cpu);
/* Recomputes jump_key and rip_limit from mode and CS. */
void block_update_mode(struct interp *cpu);

#endif
