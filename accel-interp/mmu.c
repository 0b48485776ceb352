/* Guest memory through the software TLB: the slow path of mem.h, fills and flushes.
 *
 * Two layers (see struct mmu_entry in interp.h): the architectural TLB decides what is mapped where, and the views cache
 * host addresses of a part of it. Invariants:
 *  1. An entry of a view, or of the jump cache, exists only while its page is in the architectural TLB (paging on).
 *  2. A write entry of a view (but for TLB_DEVICE) is only on pages that are RAM, dirty (MEMORY_PAGE_DIRTY) and not
 *     MEMORY_PAGE_WATCHED.
 *  3. Nothing is written before every page of the access has been checked for writing.
 * Not modelled: caches of upper-level entries (hardware may have them; a walk here always starts at CR3). */
#include "accel-interp/mmu.h"

#include "accel-interp/debug.h"
#include "accel-interp/flags.h"
#include "accel-interp/run_control.h"

#include "core/bus.h"

/* One page's part of an access. */
struct span {
    uint8_t *host; /* null: bus */
    uint64_t gpa;
    unsigned size_bytes;
    bool watched; /* the page has decoded code, or MONITOR's line; for a write */
};
struct access {
    struct span span[2];
    unsigned spans;
};

enum tlb_view mmu_view(const struct interp *cpu, unsigned cpl)
{
    if (cpl == 3)
        return TLB_USER;
    return (cpu->cr4 & CR4_SMAP) && (cpu->sysflags & FLAG_AC) ? TLB_SUPERVISOR_AC : TLB_SUPERVISOR;
}

static enum tlb_view current_view(const struct interp *cpu)
{
    return (enum tlb_view)(cpu->tlb - cpu->views);
}

static struct memory_page lookup(struct interp *cpu, uint64_t gpa)
{
    const struct memory_range *range = mmu_range(cpu, &cpu->mmu.pages, gpa);
    uint64_t offset = (gpa - range->start) & ~0xFFFull;

    if (!range->host)
        return (struct memory_page){0};
    return (struct memory_page){.host = range->host + offset,
                                .flags = range->flags + (offset >> MEMORY_PAGE_SHIFT),
                                .writable = range->writable};
}

/* ---- the two layers ------------------------------------------------------------------------------------------- */

static bool entry_valid(const struct interp *cpu, const struct mmu_entry *entry)
{
    return entry->generation == (entry->rights & MMU_GLOBAL ? cpu->mmu.global_generation : cpu->mmu.generation);
}

static void drop_from_views(struct interp *cpu, uint64_t page, unsigned where)
{
    for (; where; where &= where - 1) {
        unsigned bit = (unsigned)__builtin_ctz(where);
        struct tlb_entry *entry = &cpu->views[bit / 2].entry[bit & 1][TLB_INDEX(page)];
        if ((entry->tag & ~TLB_DEVICE) == page)
            entry->tag = TLB_EMPTY;
    }
}

static void evict(struct interp *cpu, struct mmu_entry *entry, bool code)
{
    if (!(entry->tag & 1) || !entry_valid(cpu, entry))
        return;
    if (code)
        block_forget_entered(cpu, entry->tag & ~1ull, mmu_a20(cpu, entry->gpa));
    else
        drop_from_views(cpu, entry->tag & ~1ull, entry->views);
    entry->tag = 0;
}

static void clear_views(struct interp *cpu, unsigned accesses)
{
    for (unsigned view = 0; view < TLB_VIEWS; view++) {
        for (unsigned access = accesses; access < 2; access++) {
            for (unsigned n = 0; n < TLB_ENTRIES; n++)
                cpu->views[view].entry[access][n].tag = TLB_EMPTY;
        }
    }
}

void mmu_drop_views(struct interp *cpu)
{
    clear_views(cpu, TLB_READ);
    cpu->mmu.fills = 0;
}

static unsigned filter_bit(uint64_t key)
{
    return (unsigned)((key ^ (key >> 8) ^ (key >> 16)) & 0xFF);
}

void mmu_note_large(struct interp *cpu, uint64_t linear, unsigned shift)
{
    uint64_t *filter = shift >= 30 ? cpu->mmu.huge : cpu->mmu.large;
    unsigned bit = filter_bit(linear >> (shift >= 30 ? 30 : 22));

    if (shift > 12)
        filter[bit >> 6] |= 1ull << (bit & 63);
}

static bool may_be_large(const struct interp *cpu, uint64_t linear)
{
    unsigned large = filter_bit(linear >> 22), huge = filter_bit(linear >> 30);

    return ((cpu->mmu.large[large >> 6] >> (large & 63)) | (cpu->mmu.huge[huge >> 6] >> (huge & 63))) & 1;
}

static struct mmu_entry *slot(struct interp *cpu, uint64_t linear, enum tlb_access access)
{
    uint64_t page = linear >> MEMORY_PAGE_SHIFT;

    return access == TLB_FETCH ? &cpu->mmu.code[page & (MMU_CODE_ENTRIES - 1)]
                               : &cpu->mmu.data[page & (MMU_DATA_ENTRIES - 1)];
}

/* Brings the translation of linear's page into the architectural TLB; paging is on. Raises #PF. */
static struct mmu_entry *translate(struct interp *cpu, const struct insn *i, uint64_t linear, enum tlb_access access,
                                   enum tlb_view view)
{
    struct mmu_entry *entry = slot(cpu, linear, access);
    struct mmu_walk walk;

    if (entry->tag == (TLB_PAGE(linear) | 1) && entry_valid(cpu, entry) &&
        (access != TLB_WRITE || (entry->rights & MMU_DIRTY)) && mmu_allowed(cpu, entry->rights, access, view) &&
        mmu_key_allows(cpu, entry->rights, entry->key, access, view))
        return entry;
    if (!mmu_walk(cpu, i, linear, access, view, true, &walk)) {
        evict(cpu, entry, access == TLB_FETCH); /* hardware drops what it finds to be stale */
        cpu->cr2 = linear;
        interp_raise_error(cpu, i, EXC_PF, walk.error);
    }
    evict(cpu, entry, access == TLB_FETCH);
    mmu_note_large(cpu, linear, walk.shift);
    cpu->mmu.keyed |= walk.key != 0;
    *entry =
        (struct mmu_entry){.tag = TLB_PAGE(linear) | 1,
                           .gpa = walk.gpa,
                           .rights = walk.rights,
                           .shift = walk.shift,
                           .key = walk.key,
                           .generation = walk.rights & MMU_GLOBAL ? cpu->mmu.global_generation : cpu->mmu.generation};
    return entry;
}

/* mapping: the page's in the architectural TLB; null with paging off. */
static void install(struct interp *cpu, uint64_t linear, uint64_t tag, uint64_t target, enum tlb_access access,
                    enum tlb_view view, struct mmu_entry *mapping)
{
    struct tlb_entry *entry = &cpu->views[view].entry[access][TLB_INDEX(linear)];

    if ((cpu->alignment_check && view == TLB_USER) ||
        ((cpu->dr[7] & DR7_ENABLED) && debug_watches_page(cpu, TLB_PAGE(linear))))
        return;
    entry->tag = tag;
    entry->addend = target - TLB_PAGE(linear);
    cpu->statistics.tlb_fills++;
    if (mapping)
        mapping->views |= (uint8_t)(1u << (view * 2u + access));
    if ((mapping && (mapping->rights & MMU_GLOBAL)) || cpu->mmu.fills > MMU_FILLS_MAX)
        return;
    if (cpu->mmu.fills < MMU_FILLS_MAX)
        cpu->mmu.fill[cpu->mmu.fills] = (uint16_t)((view * 2u + access) * TLB_ENTRIES + TLB_INDEX(linear));
    cpu->mmu.fills++;
}

/* ---- one access -------------------------------------------------------------------------------------------------- */

static uint64_t wrap(const struct interp *cpu, uint64_t linear)
{
    return cpu->mode & MODE_LONG ? linear : (uint32_t)linear;
}

_Noreturn static void raise_non_canonical(struct interp *cpu, const struct insn *i)
{
    interp_raise_error(cpu, i, i && i->seg == CPU_SS ? EXC_SS : EXC_GP, 0);
}

static void resolve_page(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes,
                         enum tlb_access access, enum tlb_view view, struct span *span)
{
    struct memory_page page;
    struct mmu_entry *entry = NULL;
    uint64_t gpa = linear;

    if (cpu->cr0 & CR0_PG) {
        if ((cpu->mode & MODE_LONG) && !mmu_canonical(linear))
            raise_non_canonical(cpu, i);
        entry = translate(cpu, i, linear, access, view);
        gpa = entry->gpa | (linear & 0xFFF);
    }
    gpa = mmu_a20(cpu, gpa);
    page = lookup(cpu, gpa);
    *span = (struct span){.gpa = gpa, .size_bytes = size_bytes};
    bool hidden =
        (cpu->control & CONTROL_WATCH) && run_control_watches(cpu, linear, gpa, page.host ? page.flags : NULL);
    if (!page.host || (access == TLB_WRITE && !page.writable)) {
        if (!hidden)
            install(cpu, linear, TLB_PAGE(linear) | TLB_DEVICE, TLB_PAGE(gpa), access, view, entry);
        return;
    }
    span->host = page.host + (gpa & 0xFFF);
    if (access == TLB_WRITE) {
        *page.flags |= MEMORY_PAGE_DIRTY;
        span->watched = *page.flags & MEMORY_PAGE_WATCHED;
    }
    if (!span->watched && !hidden)
        install(cpu, linear, TLB_PAGE(linear), (uint64_t)(uintptr_t)page.host, access, view, entry);
}

static bool all_memory(const struct access *a)
{
    return a->span[0].host && (a->spans == 1 || a->span[1].host);
}

static void touch(struct interp *cpu, const struct insn *i)
{
    if (i)
        interp_touch(cpu, i);
    cpu->stop_chain = true;
}

static void check_watchpoints(struct interp *cpu, const struct insn *i, uint64_t linear, const struct access *a,
                              enum run_control_access access)
{
    const struct span *first = &a->span[0], *second = &a->span[1];

    run_control_check(cpu, i, linear, first->gpa, first->size_bytes, access);
    if (a->spans == 2)
        run_control_check(cpu, i, wrap(cpu, linear + first->size_bytes), second->gpa, second->size_bytes, access);
}

/* Checks a whole access of up to a page, then does what must come before it: breakpoints, decoded code (writes), and for
 * devices being alone in the chain. */
static void resolve(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes,
                    enum tlb_access access, enum tlb_view view, enum run_control_access watched, struct access *a)
{
    unsigned room = MEMORY_PAGE_BYTES - (unsigned)(linear & 0xFFF);

    linear = wrap(cpu, linear);
    a->spans = size_bytes > room ? 2 : 1;
    resolve_page(cpu, i, linear, a->spans == 2 ? room : size_bytes, access, view, &a->span[0]);
    if (a->spans == 2)
        resolve_page(cpu, i, wrap(cpu, linear + room), size_bytes - room, access, view, &a->span[1]);
    if (cpu->dr[7] & DR7_ENABLED)
        debug_check_data(cpu, i, linear, size_bytes, access == TLB_WRITE);
    if (cpu->control & CONTROL_WATCH)
        check_watchpoints(cpu, i, linear, a, watched);
    if (!all_memory(a))
        touch(cpu, i);
    for (unsigned n = 0; n < a->spans; n++) {
        if (a->span[n].watched)
            block_code_written(cpu, i, a->span[n].gpa, a->span[n].size_bytes);
    }
}

/* Values of 1 to 8 bytes; a memcpy of a size that is not known here would be a call, and a stall when its result is read. */
static uint64_t value_get(const uint8_t *host, unsigned size_bytes)
{
    uint64_t value = 0;

    switch (size_bytes) {
    case 1: return *host;
    case 2: memcpy(&value, host, 2); return (uint16_t)value;
    case 4: memcpy(&value, host, 4); return (uint32_t)value;
    case 8: memcpy(&value, host, 8); return value;
    default: memcpy(&value, host, size_bytes); return value;
    }
}

static void value_put(uint8_t *host, uint64_t value, unsigned size_bytes)
{
    switch (size_bytes) {
    case 1: *host = (uint8_t)value; break;
    case 2: memcpy(host, &value, 2); break;
    case 4: memcpy(host, &value, 4); break;
    case 8: memcpy(host, &value, 8); break;
    default: memcpy(host, &value, size_bytes); break;
    }
}

static void span_read(struct interp *cpu, const struct span *span, uint8_t *out)
{
    struct bus *bus = machine_bus(cpu->accel.machine);
    unsigned chunk;

    if (span->host) {
        memcpy(out, span->host, span->size_bytes);
        return;
    }
    for (unsigned at = 0; at < span->size_bytes; at += chunk) {
        chunk = bus_chunk(span->size_bytes - at);
        uint64_t value = bus_mmio_read(bus, span->gpa + at, chunk);
        memcpy(out + at, &value, chunk);
    }
}

static void span_write(struct interp *cpu, const struct span *span, const uint8_t *in)
{
    struct bus *bus = machine_bus(cpu->accel.machine);
    unsigned chunk;

    if (span->host) {
        memcpy(span->host, in, span->size_bytes);
        return;
    }
    for (unsigned at = 0; at < span->size_bytes; at += chunk) {
        uint64_t value = 0;

        chunk = bus_chunk(span->size_bytes - at);
        memcpy(&value, in + at, chunk);
        bus_mmio_write(bus, span->gpa + at, value, chunk);
    }
}

static void access_read(struct interp *cpu, const struct access *a, uint8_t *out)
{
    span_read(cpu, &a->span[0], out);
    if (a->spans == 2)
        span_read(cpu, &a->span[1], out + a->span[0].size_bytes);
}

static void access_write(struct interp *cpu, const struct access *a, const uint8_t *in)
{
    span_write(cpu, &a->span[0], in);
    if (a->spans == 2)
        span_write(cpu, &a->span[1], in + a->span[0].size_bytes);
}

/* A whole access to a page that is known to be a device's. */
static bool device_hit(const struct tlb_entry *entry, uint64_t linear, unsigned size_bytes)
{
    return entry->tag == (TLB_PAGE(linear) | TLB_DEVICE) && TLB_PAGE(linear + size_bytes - 1) == TLB_PAGE(linear) &&
           !(size_bytes & (size_bytes - 1));
}

uint64_t mmu_read(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes, enum tlb_view view)
{
    const struct tlb_entry *entry = &cpu->views[view].entry[TLB_READ][TLB_INDEX(linear)];
    struct access a;
    uint64_t value = 0;

    if (entry->tag == TLB_PAGE(linear + size_bytes - 1))
        return value_get((const uint8_t *)(uintptr_t)(linear + entry->addend), size_bytes);
    if (device_hit(entry, linear, size_bytes)) {
        touch(cpu, i);
        return bus_mmio_read(machine_bus(cpu->accel.machine), linear + entry->addend, size_bytes);
    }
    resolve(cpu, i, linear, size_bytes, TLB_READ, view, CONTROL_READS, &a);
    if (a.spans == 1 && a.span[0].host)
        return value_get(a.span[0].host, size_bytes);
    access_read(cpu, &a, (uint8_t *)&value);
    return value;
}

void mmu_write(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t value, unsigned size_bytes,
               enum tlb_view view)
{
    const struct tlb_entry *entry = &cpu->views[view].entry[TLB_WRITE][TLB_INDEX(linear)];
    struct access a;

    if (entry->tag == TLB_PAGE(linear + size_bytes - 1)) {
        value_put((uint8_t *)(uintptr_t)(linear + entry->addend), value, size_bytes);
        return;
    }
    if (device_hit(entry, linear, size_bytes)) {
        touch(cpu, i);
        bus_mmio_write(machine_bus(cpu->accel.machine), linear + entry->addend, value, size_bytes);
        return;
    }
    resolve(cpu, i, linear, size_bytes, TLB_WRITE, view, CONTROL_WRITES, &a);
    if (a.spans == 1 && a.span[0].host)
        value_put(a.span[0].host, value, size_bytes);
    else
        access_write(cpu, &a, (const uint8_t *)&value);
}

void mmu_probe(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes, enum tlb_access access,
               enum tlb_view view)
{
    struct span span;
    unsigned room = MEMORY_PAGE_BYTES - (unsigned)(linear & 0xFFF);

    linear = wrap(cpu, linear);
    resolve_page(cpu, i, linear, size_bytes, access, view, &span);
    if (size_bytes > room)
        resolve_page(cpu, i, wrap(cpu, linear + room), size_bytes - room, access, view, &span);
}

bool mmu_locate(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t *gpa)
{
    struct span span;

    resolve_page(cpu, i, wrap(cpu, linear), 1, TLB_READ, current_view(cpu), &span);
    *gpa = span.gpa;
    return span.host;
}

/* ---- mem.h ------------------------------------------------------------------------------------------------------ */

void mem_check_alignment(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    if (!cpu->alignment_check || !(linear & (size_bytes - 1)))
        return;
    if ((cpu->mode & MODE_LONG) && !mmu_canonical(linear)) /* comes first, as measured */
        raise_non_canonical(cpu, i);
    interp_raise_error(cpu, i, EXC_AC, 0);
}

/* Measured on Intel processors, which want nothing of vectors of 16 bytes and more. */
static void check_buffer_alignment(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    unsigned alignment = 1;

    switch (size_bytes) {
    case 2:
    case 4:
    case 8: alignment = size_bytes; break;
    case 10: alignment = 8; break;
    case 28:
    case 108: alignment = 4; break;
    case 14:
    case 94: alignment = 2; break;
    default: break;
    }
    mem_check_alignment(cpu, i, linear, alignment);
}

uint64_t mem_read_slow(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    mem_check_alignment(cpu, i, linear, size_bytes);
    return mmu_read(cpu, i, linear, size_bytes, current_view(cpu));
}

void mem_write_slow(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t value, unsigned size_bytes)
{
    mem_check_alignment(cpu, i, linear, size_bytes);
    mmu_write(cpu, i, linear, value, size_bytes, current_view(cpu));
}

uint64_t rmw_read_slow(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    struct access a;
    uint64_t value = 0;

    mem_check_alignment(cpu, i, linear, size_bytes);
    resolve(cpu, i, linear, size_bytes, TLB_WRITE, current_view(cpu), CONTROL_WILL_WRITE, &a);
    if (cpu->control & CONTROL_WATCH)
        check_watchpoints(cpu, i, wrap(cpu, linear), &a, CONTROL_READS);
    if (!all_memory(&a)) /* ROM reads from memory though its writes go to the bus */
        return mmu_read(cpu, i, linear, size_bytes, current_view(cpu));
    access_read(cpu, &a, (uint8_t *)&value);
    return value;
}

void mem_read_buffer_slow(struct interp *cpu, const struct insn *i, uint64_t linear, void *out, unsigned size_bytes)
{
    struct access a;

    check_buffer_alignment(cpu, i, linear, size_bytes);
    resolve(cpu, i, linear, size_bytes, TLB_READ, current_view(cpu), CONTROL_READS, &a);
    access_read(cpu, &a, out);
}

void mem_write_unaligned(struct interp *cpu, const struct insn *i, uint64_t linear, const void *in, unsigned size_bytes)
{
    struct access a;

    resolve(cpu, i, linear, size_bytes, TLB_WRITE, current_view(cpu), CONTROL_WRITES, &a);
    access_write(cpu, &a, in);
}

void mem_write_buffer_slow(struct interp *cpu, const struct insn *i, uint64_t linear, const void *in,
                           unsigned size_bytes)
{
    check_buffer_alignment(cpu, i, linear, size_bytes);
    mem_write_unaligned(cpu, i, linear, in, size_bytes);
}

void mem_probe_write(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    mem_check_alignment(cpu, i, linear, size_bytes);
    mmu_probe(cpu, i, linear, size_bytes, TLB_WRITE, current_view(cpu));
}

void mem_read_buffer(struct interp *cpu, const struct insn *i, uint64_t linear, void *out, unsigned size_bytes)
{
    const uint8_t *host = mem_hit(cpu, linear, size_bytes, TLB_READ);

    if (host)
        memcpy(out, host, size_bytes);
    else
        mem_read_buffer_slow(cpu, i, linear, out, size_bytes);
}

void mem_write_buffer(struct interp *cpu, const struct insn *i, uint64_t linear, const void *in, unsigned size_bytes)
{
    uint8_t *host = mem_hit(cpu, linear, size_bytes, TLB_WRITE);

    if (host)
        memcpy(host, in, size_bytes);
    else
        mem_write_buffer_slow(cpu, i, linear, in, size_bytes);
}

uint64_t sys_read(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    return mmu_read(cpu, i, linear, size_bytes, TLB_SUPERVISOR);
}

void sys_write(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t value, unsigned size_bytes)
{
    mmu_write(cpu, i, linear, value, size_bytes, TLB_SUPERVISOR);
}

uint64_t mmu_fetch(struct interp *cpu, uint64_t linear, struct memory_page *page)
{
    uint64_t gpa = linear = wrap(cpu, linear);

    if (cpu->cr0 & CR0_PG) {
        if ((cpu->mode & MODE_LONG) && !mmu_canonical(linear))
            interp_raise_error(cpu, NULL, EXC_GP, 0);
        gpa =
            translate(cpu, NULL, linear, TLB_FETCH, cpu->cpl == 3 ? TLB_USER : TLB_SUPERVISOR)->gpa | (linear & 0xFFF);
    }
    gpa = mmu_a20(cpu, gpa);
    *page = lookup(cpu, gpa);
    return gpa;
}

bool mmu_translate_debug(struct interp *cpu, uint64_t linear, uint64_t *gpa)
{
    struct mmu_walk walk;

    linear = wrap(cpu, linear);
    *gpa = linear;
    if (cpu->cr0 & CR0_PG) {
        bool mapped = (!(cpu->mode & MODE_LONG) || mmu_canonical(linear)) &&
                      (mmu_walk(cpu, NULL, linear, TLB_READ, TLB_SUPERVISOR_AC, false, &walk));
        if (!mapped)
            return false;
        *gpa = walk.gpa | (linear & 0xFFF);
    }
    *gpa = mmu_a20(cpu, *gpa);
    return true;
}

/* ---- flushes ---------------------------------------------------------------------------------------------------- */

void mmu_flush_all(struct interp *cpu)
{
    cpu->mmu.generation++;
    cpu->mmu.global_generation++;
    memset(cpu->mmu.large, 0, sizeof cpu->mmu.large);
    memset(cpu->mmu.huge, 0, sizeof cpu->mmu.huge);
    mmu_drop_views(cpu);
    block_jump_cache_flush(cpu);
    cpu->statistics.tlb_flushes++;
}

void mmu_flush_non_global(struct interp *cpu)
{
    cpu->mmu.generation++;
    if (cpu->mmu.fills > MMU_FILLS_MAX) {
        mmu_drop_views(cpu);
    } else {
        struct tlb_entry *entries = &cpu->views[0].entry[0][0];
        for (unsigned n = 0; n < cpu->mmu.fills; n++)
            entries[cpu->mmu.fill[n]].tag = TLB_EMPTY;
        cpu->mmu.fills = 0;
    }
    block_jump_cache_flush(cpu);
    cpu->statistics.tlb_flushes++;
}

static void flush_large(struct interp *cpu, uint64_t linear, struct mmu_entry *entries, unsigned count, bool code)
{
    for (unsigned n = 0; n < count; n++) {
        struct mmu_entry *entry = &entries[n];
        if (entry->shift > 12 && ((entry->tag ^ linear) >> entry->shift) == 0)
            evict(cpu, entry, code);
    }
}

void mmu_flush_page(struct interp *cpu, uint64_t linear)
{
    struct mmu_entry *data, *code;

    linear = wrap(cpu, linear);
    data = slot(cpu, linear, TLB_READ);
    code = slot(cpu, linear, TLB_FETCH);
    if (data->tag == (TLB_PAGE(linear) | 1))
        evict(cpu, data, false);
    if (code->tag == (TLB_PAGE(linear) | 1))
        evict(cpu, code, true);
    if (may_be_large(cpu, linear)) {
        flush_large(cpu, linear, cpu->mmu.data, MMU_DATA_ENTRIES, false);
        flush_large(cpu, linear, cpu->mmu.code, MMU_CODE_ENTRIES, true);
    }
}

void mmu_write_pkru(struct interp *cpu, uint32_t value)
{
    uint32_t changed = value ^ cpu->s.pkru;

    cpu->s.pkru = value;
    if ((cpu->cr4 & CR4_PKE) && ((changed & 3) || (changed && cpu->mmu.keyed)))
        mmu_drop_views(cpu);
}

void mmu_protect_all(struct interp *cpu)
{
    clear_views(cpu, TLB_WRITE);
}

void mmu_protect_page(struct interp *cpu, uint64_t gpa)
{
    uint8_t *host = lookup(cpu, gpa).host;

    for (unsigned view = 0; view < TLB_VIEWS; view++) {
        for (unsigned n = 0; n < TLB_ENTRIES; n++) {
            struct tlb_entry *entry = &cpu->views[view].entry[TLB_WRITE][n];
            if (entry->tag + entry->addend == (uint64_t)(uintptr_t)host)
                entry->tag = TLB_EMPTY;
        }
    }
}
