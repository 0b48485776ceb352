/* Run control: see run_control.h.
 *
 * A stop between two iterations of a slice leaves RF set (Intel SDM vol. 3, 17.3.1.1), so that what the step has done at
 * its beginning is not done again; the end of the slice sets RF as it would have. */
#include "accel-interp/run_control.h"

#include "accel-interp/block.h"
#include "accel-interp/flags.h"
#include "accel-interp/mmu.h"

#include <stdlib.h>
#include <string.h>

/* Offsets that are still cut though their breakpoints are gone: a debugger takes them out at every stop and puts them back.
 * With more than these the blocks are joined again. */
#define STALE_CUTS_MAX 256u

struct watched_page {
    uint64_t linear, gpa;
    uint8_t *flags;
};

struct run_control {
    struct debug_point *breaks; /* sorted by address */
    size_t break_count, break_capacity;
    struct debug_point *watches;
    size_t watch_count, watch_capacity;
    uint64_t cut[MEMORY_PAGE_BYTES / 64]; /* by offset in the page */
    unsigned cuts;
    struct watched_page pages[DEBUG_PAGES_MAX];
    unsigned page_count;
    struct debug_stop stop;
    bool muted;    /* nothing hits */
    bool reported; /* the stop has been returned: the next hit begins another one */
    /* The breakpoint that has been passed. */
    bool passed;
    uint64_t passed_linear, passed_icount;
    uint64_t step_from; /* CONTROL_STEP: icount */
    uint64_t until;     /* icount; POSITION_NEVER: not asked for */
    bool until_met;
};

void run_control_create(struct interp *cpu)
{
    cpu->run_control = calloc(1, sizeof *cpu->run_control);
    CHECK(cpu->run_control);
    cpu->run_control->until = POSITION_NEVER;
}

void run_control_destroy(struct interp *cpu)
{
    if (!cpu->run_control)
        return;
    free(cpu->run_control->breaks);
    free(cpu->run_control->watches);
    free(cpu->run_control);
}

/* ---- hits ----------------------------------------------------------------------------------------------------- */

static void note(struct interp *cpu, const struct debug_hit *hit)
{
    struct run_control *control = cpu->run_control;
    struct debug_stop *stop = &control->stop;

    if (control->muted)
        return;
    if (control->reported)
        stop->hits = 0;
    control->reported = false;
    cpu->control |= CONTROL_HIT;
    for (unsigned n = 0; n < stop->hits; n++) {
        const struct debug_hit *other = &stop->hit[n];
        if (!memcmp(&other->point, &hit->point, sizeof hit->point) && other->write == hit->write &&
            other->by == hit->by)
            return;
    }
    if (stop->hits < DEBUG_HITS_MAX)
        stop->hit[stop->hits++] = *hit;
}

const struct debug_stop *run_control_stop(const struct accel *accel)
{
    return &((const struct interp *)accel)->run_control->stop;
}

bool run_control_hit_waits(const struct accel *accel)
{
    return ((const struct interp *)accel)->control & CONTROL_HIT;
}

void run_control_reported(struct interp *cpu)
{
    cpu->run_control->reported = true;
    cpu->control &= (uint8_t) ~(CONTROL_HIT | CONTROL_STEP);
}

static void forget_hits(struct interp *cpu)
{
    cpu->run_control->stop.hits = 0;
    cpu->control &= (uint8_t)~CONTROL_HIT;
}

void run_control_faulted(struct interp *cpu)
{
    struct debug_stop *stop = &cpu->run_control->stop;
    unsigned kept = 0;

    if (!(cpu->control & CONTROL_HIT))
        return;
    for (unsigned n = 0; n < stop->hits; n++) {
        if (stop->hit[n].write)
            stop->hit[kept++] = stop->hit[n];
    }
    stop->hits = kept;
    if (!kept)
        cpu->control &= (uint8_t)~CONTROL_HIT;
}

void run_control_forget(struct interp *cpu)
{
    forget_hits(cpu);
    cpu->control &= (uint8_t) ~(CONTROL_IN_STEP | CONTROL_ITERATE | CONTROL_STEP);
    cpu->run_control->passed = false;
}

/* ---- breakpoints ---------------------------------------------------------------------------------------------- */

static uint64_t code_linear(const struct interp *cpu)
{
    return (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? cpu->rip : block_linear(cpu, cpu->rip);
}

static uint64_t icount_now(const struct interp *cpu)
{
    return cpu->icount_end - (uint64_t)cpu->budget;
}

/* The first breakpoint at or above linear. */
static size_t break_place(const struct run_control *control, uint64_t linear)
{
    size_t low = 0, high = control->break_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        if (control->breaks[middle].address < linear)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool break_at(const struct run_control *control, uint64_t linear)
{
    size_t place = break_place(control, linear);

    return place < control->break_count && control->breaks[place].address == linear;
}

static bool passed_at(const struct run_control *control, uint64_t linear, uint64_t icount)
{
    return control->passed && control->passed_linear == linear && control->passed_icount == icount;
}

bool run_control_breaks(const struct interp *cpu, uint64_t linear, uint64_t icount)
{
    const struct run_control *control = cpu->run_control;

    if (control->muted && !cpu->landmark_set)
        return false;
    return break_at(control, linear) && !passed_at(control, linear, icount);
}

static void pass(struct interp *cpu)
{
    struct run_control *control = cpu->run_control;

    control->passed = true;
    control->passed_linear = code_linear(cpu);
    control->passed_icount = icount_now(cpu);
}

/* Those at linear; each_iteration: only such. */
static bool note_breaks(struct interp *cpu, uint64_t linear, bool each_iteration)
{
    struct run_control *control = cpu->run_control;
    bool any = false;

    for (size_t n = break_place(control, linear); n < control->break_count; n++) {
        const struct debug_point *point = &control->breaks[n];
        if (point->address != linear)
            break;
        if ((point->flags & CONTROL_OWN) || (each_iteration && !(point->flags & DEBUG_EACH_ITERATION)))
            continue;
        note(cpu, &(struct debug_hit){.point = *point, .address = linear});
        any = true;
    }
    return any;
}

static void iterate_if_wanted(struct interp *cpu, uint64_t linear)
{
    const struct run_control *control = cpu->run_control;

    for (size_t n = break_place(control, linear); n < control->break_count; n++) {
        if (control->breaks[n].address == linear && (control->breaks[n].flags & DEBUG_EACH_ITERATION))
            cpu->control |= CONTROL_ITERATE;
    }
}

/* Muted, a landmark's breakpoint has still ended the chain, and must not again. */
bool run_control_stops(struct interp *cpu)
{
    uint64_t linear = code_linear(cpu);
    bool muted = cpu->run_control->muted;

    if (!break_at(cpu->run_control, linear) || (muted && !cpu->landmark_set))
        return false;
    if (muted) {
        pass(cpu);
        return false;
    }
    if (passed_at(cpu->run_control, linear, icount_now(cpu))) {
        iterate_if_wanted(cpu, linear);
        return false;
    }
    bool any = note_breaks(cpu, linear, false);
    pass(cpu);
    return any;
}

void run_control_forget_hits(struct accel *accel)
{
    forget_hits(interp_of(accel));
}

void run_control_mute(struct accel *accel, bool mute)
{
    interp_of(accel)->run_control->muted = mute;
}

void run_control_step(struct accel *accel)
{
    struct interp *cpu = interp_of(accel);

    cpu->control |= CONTROL_STEP;
    cpu->run_control->step_from = icount_now(cpu);
}

void run_control_run_until(struct accel *accel, uint64_t icount)
{
    struct run_control *control = interp_of(accel)->run_control;

    control->until = icount;
    control->until_met = false;
}

bool run_control_until_met(struct accel *accel)
{
    struct run_control *control = interp_of(accel)->run_control;

    control->until = POSITION_NEVER;
    return control->until_met;
}

uint64_t run_control_until(const struct interp *cpu)
{
    return cpu->run_control->until;
}

bool run_control_meets_until(struct interp *cpu, uint64_t icount)
{
    struct run_control *control = cpu->run_control;

    if (icount != control->until)
        return false;
    if (control->reported)
        control->stop.hits = 0;
    control->until = POSITION_NEVER;
    control->until_met = true;
    return true;
}

bool run_control_stepped(struct interp *cpu, uint64_t icount)
{
    struct run_control *control = cpu->run_control;

    if (icount == control->step_from)
        return false;
    if (control->reported)
        control->stop.hits = 0;
    return true;
}

void run_control_go_past(struct accel *accel)
{
    interp_of(accel)->control &= (uint8_t)~CONTROL_STEP;
    pass(interp_of(accel));
}

/* ---- within a step -------------------------------------------------------------------------------------------- */

const struct insn *run_control_pause(struct interp *cpu, const struct insn *i)
{
    uint64_t rip = interp_rip(cpu, i);

    cpu->budget += block_steps_after(i) + 1;
    cpu->rip = (cpu->mode & MODE_CODE_MASK) == MODE_CODE64 ? rip : (uint32_t)rip;
    cpu->sysflags |= FLAG_RF;
    if (cpu->control & CONTROL_ITERATE)
        note_breaks(cpu, code_linear(cpu), true);
    cpu->control |= CONTROL_IN_STEP;
    return NULL;
}

bool run_control_in_step(const struct accel *accel)
{
    return ((const struct interp *)accel)->control & CONTROL_IN_STEP;
}

void run_control_resume_step(struct interp *cpu)
{
    cpu->control &= (uint8_t)~CONTROL_IN_STEP;
    pass(cpu);
    iterate_if_wanted(cpu, code_linear(cpu));
}

/* ---- watchpoints ---------------------------------------------------------------------------------------------- */

static bool meet(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a - b < b_bytes || b - a < a_bytes;
}

static bool on_page(const struct debug_point *point, uint64_t linear, uint64_t gpa)
{
    uint64_t page = (point->flags & DEBUG_PHYSICAL ? gpa : linear) & ~(uint64_t)(MEMORY_PAGE_BYTES - 1);

    return meet(page, MEMORY_PAGE_BYTES, point->address, point->size_bytes);
}

static void remember_page(struct run_control *control, uint64_t linear, uint64_t gpa, uint8_t *flags)
{
    linear = TLB_PAGE(linear);
    gpa = TLB_PAGE(gpa);
    for (unsigned n = 0; n < control->page_count; n++) {
        const struct watched_page *page = &control->pages[n];
        if (page->linear == linear && page->gpa == gpa)
            return;
    }
    if (control->page_count == DEBUG_PAGES_MAX)
        return;
    control->pages[control->page_count++] = (struct watched_page){linear, gpa, flags};
    *flags |= MEMORY_PAGE_DEBUG;
}

bool run_control_watches(struct interp *cpu, uint64_t linear, uint64_t gpa, uint8_t *flags)
{
    struct run_control *control = cpu->run_control;
    bool any = false;

    for (size_t n = 0; n < control->watch_count && !any; n++)
        any = on_page(&control->watches[n], linear, gpa);
    if (any && flags)
        remember_page(control, linear, gpa, flags);
    return any;
}

static bool wants(const struct debug_point *point, bool write)
{
    return point->kind == DEBUG_ACCESS || point->kind == (write ? DEBUG_WRITE : DEBUG_READ);
}

void run_control_check(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t gpa, unsigned size_bytes,
                       enum run_control_access access)
{
    const struct run_control *control = cpu->run_control;
    bool write = access != CONTROL_READS;

    for (size_t n = 0; n < control->watch_count && !control->muted; n++) {
        const struct debug_point *point = &control->watches[n];
        uint64_t address = point->flags & DEBUG_PHYSICAL ? gpa : linear;
        if (!wants(point, write) || !meet(address, size_bytes, point->address, point->size_bytes))
            continue;
        if (i && !cpu->single)
            interp_redo_single(cpu, i);
        if (access == CONTROL_WILL_WRITE)
            continue;
        note(cpu, &(struct debug_hit){.point = *point, .address = address, .size_bytes = size_bytes, .write = write});
        cpu->stop_chain = true;
    }
}

static void check_dma(struct interp *cpu, const struct debug_point *point, uint64_t address, uint64_t size_bytes)
{
    if (!wants(point, true) || !meet(address, size_bytes, point->address, point->size_bytes))
        return;
    uint32_t shown = size_bytes < UINT32_MAX ? (uint32_t)size_bytes : UINT32_MAX;
    note(cpu, &(struct debug_hit){
                  .point = *point, .address = address, .size_bytes = shown, .write = true, .by = DEBUG_BY_DMA});
}

/* Is linear still mapped to gpa? */
static bool still_mapped(struct interp *cpu, const struct watched_page *page)
{
    uint64_t gpa;

    return mmu_translate_debug(cpu, page->linear, &gpa) && TLB_PAGE(gpa) == page->gpa;
}

/* size_bytes lie in one page (memory_write). */
void run_control_dma(struct interp *cpu, uint64_t gpa, uint64_t size_bytes)
{
    const struct run_control *control = cpu->run_control;

    for (size_t n = 0; n < control->watch_count; n++) {
        if (control->watches[n].flags & DEBUG_PHYSICAL)
            check_dma(cpu, &control->watches[n], gpa, size_bytes);
    }
    for (unsigned p = 0; p < control->page_count; p++) {
        const struct watched_page *page = &control->pages[p];
        if (page->gpa != TLB_PAGE(gpa) || !still_mapped(cpu, page))
            continue;
        for (size_t n = 0; n < control->watch_count; n++) {
            if (!(control->watches[n].flags & DEBUG_PHYSICAL))
                check_dma(cpu, &control->watches[n], page->linear | (gpa & (MEMORY_PAGE_BYTES - 1)), size_bytes);
        }
    }
}

/* ---- the lists ------------------------------------------------------------------------------------------------ */

static void set_control(struct interp *cpu, uint8_t bit, bool set)
{
    cpu->control = (uint8_t)(set ? cpu->control | bit : cpu->control & ~bit);
}

static void remember_point(struct interp *cpu, const struct debug_point *point)
{
    uint64_t first = TLB_PAGE(point->address), last = TLB_PAGE(point->address + point->size_bytes - 1);

    for (uint64_t page = first;; page += MEMORY_PAGE_BYTES) {
        uint64_t gpa = page;
        bool mapped = (point->flags & DEBUG_PHYSICAL) || mmu_translate_debug(cpu, page, &gpa);
        struct memory_page at =
            mapped ? memory_lookup(machine_memory(cpu->accel.machine), gpa) : (struct memory_page){0};
        if (at.host)
            remember_page(cpu->run_control, page, gpa, at.flags);
        if (page == last || cpu->run_control->page_count == DEBUG_PAGES_MAX ||
            page - first >= DEBUG_PAGES_MAX * (uint64_t)MEMORY_PAGE_BYTES)
            return;
    }
}

/* After a change of the list. */
static void watches_changed(struct interp *cpu)
{
    struct run_control *control = cpu->run_control;

    for (unsigned n = 0; n < control->page_count; n++)
        *control->pages[n].flags &= (uint8_t)~MEMORY_PAGE_DEBUG;
    control->page_count = 0;
    for (size_t n = 0; n < control->watch_count; n++)
        remember_point(cpu, &control->watches[n]);
    set_control(cpu, CONTROL_WATCH, control->watch_count);
    mmu_drop_views(cpu);
}

void run_control_look_again(struct interp *cpu)
{
    if (cpu->run_control && cpu->run_control->watch_count)
        watches_changed(cpu);
}

static unsigned stale_cuts(const struct run_control *control)
{
    unsigned needed = 0;
    uint64_t cut[MEMORY_PAGE_BYTES / 64] = {0};

    for (size_t n = 0; n < control->break_count; n++) {
        unsigned offset = control->breaks[n].address & (MEMORY_PAGE_BYTES - 1);
        needed += !(cut[offset / 64] >> (offset % 64) & 1);
        cut[offset / 64] |= 1ull << (offset % 64);
    }
    return control->cuts - needed;
}

bool run_control_cuts(const struct interp *cpu, unsigned page_offset)
{
    unsigned offset = page_offset & (MEMORY_PAGE_BYTES - 1);

    return cpu->run_control->cut[offset / 64] >> (offset % 64) & 1;
}

static void cut_at(struct interp *cpu, uint64_t address)
{
    struct run_control *control = cpu->run_control;
    unsigned offset = address & (MEMORY_PAGE_BYTES - 1);

    if (run_control_cuts(cpu, offset))
        return;
    control->cut[offset / 64] |= 1ull << (offset % 64);
    control->cuts++;
    cpu->control |= CONTROL_CUT;
    block_drop_offset(cpu, offset);
}

static void breaks_changed(struct interp *cpu)
{
    struct run_control *control = cpu->run_control;

    set_control(cpu, CONTROL_BREAK, control->break_count);
    if (control->cuts <= STALE_CUTS_MAX || stale_cuts(control) <= STALE_CUTS_MAX)
        return;
    memset(control->cut, 0, sizeof control->cut);
    control->cuts = 0;
    cpu->control &= (uint8_t)~CONTROL_CUT;
    block_drop_all(cpu);
    for (size_t n = 0; n < control->break_count; n++)
        cut_at(cpu, control->breaks[n].address);
}

static enum status insert_at(struct debug_point **list, size_t *count, size_t *capacity, size_t place,
                             const struct debug_point *point)
{
    if (*count == *capacity) {
        size_t more = *capacity ? 2 * *capacity : 16;
        struct debug_point *larger = realloc(*list, more * sizeof **list);
        if (!larger)
            return STATUS_NO_MEMORY;
        *list = larger;
        *capacity = more;
    }
    memmove(&(*list)[place + 1], &(*list)[place], (*count - place) * sizeof **list);
    (*list)[place] = *point;
    ++*count;
    return STATUS_OK;
}

static enum status remove_from(struct debug_point *list, size_t *count, const struct debug_point *point)
{
    for (size_t n = 0; n < *count; n++) {
        if (memcmp(&list[n], point, sizeof *point))
            continue;
        --*count;
        memmove(&list[n], &list[n + 1], (*count - n) * sizeof *list);
        return STATUS_OK;
    }
    return STATUS_NOT_FOUND;
}

/* What compares equal is the same point. */
static struct debug_point normal(const struct debug_point *point)
{
    struct debug_point result;

    memset(&result, 0, sizeof result);
    result.kind = point->kind;
    result.address = point->address;
    if (point->kind == DEBUG_EXECUTE) {
        result.flags = point->flags & (DEBUG_EACH_ITERATION | CONTROL_OWN);
    } else {
        result.flags = point->flags & DEBUG_PHYSICAL;
        result.size_bytes = point->size_bytes;
    }
    return result;
}

enum status run_control_insert(struct accel *accel, const struct debug_point *point)
{
    struct interp *cpu = interp_of(accel);
    struct run_control *control = cpu->run_control;
    const struct debug_point normalized = normal(point);
    enum status status;

    if (point->kind == DEBUG_EXECUTE) {
        status = insert_at(&control->breaks, &control->break_count, &control->break_capacity,
                           break_place(control, point->address), &normalized);
        if (status == STATUS_OK)
            cut_at(cpu, point->address);
        breaks_changed(cpu);
        return status;
    }
    status = insert_at(&control->watches, &control->watch_count, &control->watch_capacity, control->watch_count,
                       &normalized);
    watches_changed(cpu);
    return status;
}

enum status run_control_remove(struct accel *accel, const struct debug_point *point)
{
    struct interp *cpu = interp_of(accel);
    struct run_control *control = cpu->run_control;
    const struct debug_point normalized = normal(point);
    enum status status;

    if (point->kind == DEBUG_EXECUTE) {
        status = remove_from(control->breaks, &control->break_count, &normalized);
        breaks_changed(cpu);
        return status;
    }
    status = remove_from(control->watches, &control->watch_count, &normalized);
    watches_changed(cpu);
    return status;
}
