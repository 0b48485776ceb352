/* Event delivery and IRET by a few loads and stores (Intel SDM vol. 3, 6.12, 6.14; vol. 2 IRET). See event_fast.h.
 *
 * All memory is reached through entries that the views have: no access here can fault, set an accessed bit, meet a device,
 * decoded code or a breakpoint. All is read and checked before anything changes, so the slow way finds what it would have
 * found. Descriptors are read each time; a segment register that already holds what its descriptor says need not be loaded. */
#include "accel-interp/event_fast.h"

#include "accel-interp/exec.h"

#define LONG_GATE_BYTES 16u
#define LONG_FRAME_BYTES 40u
#define FLAT32 (MODE_FLAT | MODE_CODE32 | MODE_STACK32)
#define FLAT32_MASK (MODE_FLAT | MODE_CODE_MASK | MODE_STACK32 | MODE_LONG | MODE_REAL | MODE_VM86)

static uint8_t *peek(const struct interp *cpu, enum tlb_view view, uint64_t linear, unsigned size_bytes,
                     enum tlb_access access)
{
    const struct tlb_entry *entry = &cpu->views[view].entry[access][TLB_INDEX(linear)];

    return entry->tag == TLB_PAGE(linear + size_bytes - 1) ? (uint8_t *)(uintptr_t)(linear + entry->addend) : NULL;
}

/* A descriptor of the GDT that is present and accessed, no system descriptor. */
static bool get_descriptor(const struct interp *cpu, uint16_t selector, struct descriptor *d)
{
    const uint16_t wanted = SEG_S | SEG_PRESENT | SEG_ACCESSED;
    const uint8_t *host;

    if (selector_null(selector) || (selector & 4) || (selector | 7u) > cpu->gdtr_limit)
        return false;
    d->linear = cpu->gdtr_base + (selector & 0xFFF8u);
    host = peek(cpu, TLB_SUPERVISOR, d->linear, 8, TLB_READ);
    if (!host)
        return false;
    d->low = host_get32(host);
    d->high = host_get32(host + 4);
    desc_decode(d);
    return (d->attributes & wanted) == wanted;
}

static bool holds(const struct seg *seg, const struct descriptor *d)
{
    return seg->attributes == d->attributes && seg->base == d->base && seg->limit == d->limit;
}

/* Non-conforming code of this level. */
static bool code_of_level(const struct descriptor *d, unsigned level)
{
    return (d->attributes & (SEG_CODE | SEG_CONFORMING)) == SEG_CODE && desc_dpl(d) == level;
}

static bool code64(const struct descriptor *d)
{
    return (d->attributes & (SEG_L | SEG_DB)) == SEG_L;
}

/* Interrupt and trap gates of 32 bits, or of long mode, present, that the event may use. high: the gate's second word. */
static bool usable_gate(const struct interp *cpu, const struct event *e, uint32_t high)
{
    return (high & 0x9E00u) == 0x8E00u && (!e->software || ((high >> 13) & 3u) >= cpu->cpl);
}

static void change_flags(struct interp *cpu, uint32_t gate_high)
{
    bool interrupt_gate = !(gate_high & 0x100u);

    cpu->sysflags &= ~(FLAG_TF | FLAG_NT | FLAG_VM | FLAG_RF | (interrupt_gate ? FLAG_IF : 0));
}

/* Six bytes of a 16-bit stack in real mode, from this SP on, that do not wrap. */
static uint8_t *real_frame(const struct interp *cpu, uint32_t sp, enum tlb_access access)
{
    const struct seg *ss = &cpu->seg[CPU_SS];

    if ((ss->attributes & SEG_DB) || sp > 0xFFFAu || !seg_inside(ss, sp, 6) || !ss->writable)
        return NULL;
    return peek(cpu, mmu_view(cpu, cpu->cpl), (uint32_t)(ss->base + sp), 6, access);
}

/* Limit and attributes stay, so nothing else follows. */
static void set_code_real(struct interp *cpu, uint16_t selector, uint64_t rip)
{
    cpu->seg[CPU_CS].selector = selector;
    cpu->seg[CPU_CS].base = (uint32_t)selector << 4;
    cpu->rip = rip;
}

static bool usable_code_real(const struct interp *cpu)
{
    return !(cpu->seg[CPU_CS].attributes & CPU_SEGMENT_UNUSABLE);
}

/* ---- delivery ------------------------------------------------------------------------------------------------------- */

static bool deliver_real(struct interp *cpu, const struct event *e)
{
    const uint8_t *entry = peek(cpu, TLB_SUPERVISOR, cpu->idtr_base + e->vector * 4u, 4, TLB_READ);
    uint16_t sp = (uint16_t)(cpu->r[CPU_RSP].w - 6u);
    uint8_t *frame = real_frame(cpu, sp, TLB_WRITE);
    uint16_t ip, selector;

    if (!entry || !frame || !usable_code_real(cpu) || e->vector * 4u + 3u > cpu->idtr_limit ||
        (cpu->sysflags & FLAG_AC))
        return false;
    ip = host_get16(entry);
    selector = host_get16(entry + 2);
    host_set16(frame, (uint16_t)e->return_rip);
    host_set16(frame + 2, cpu->seg[CPU_CS].selector);
    host_set16(frame + 4, (uint16_t)e->flags);
    cpu->r[CPU_RSP].w = sp;
    set_code_real(cpu, selector, ip);
    cpu->sysflags &= ~(FLAG_IF | FLAG_TF | FLAG_RF);
    return true;
}

static bool deliver_flat32(struct interp *cpu, const struct event *e)
{
    const uint8_t *gate = peek(cpu, TLB_SUPERVISOR, cpu->idtr_base + e->vector * 8u, 8, TLB_READ);
    unsigned size_bytes = e->has_error ? 16 : 12;
    uint32_t low, high, rip, esp = cpu->r[CPU_RSP].d - size_bytes;
    struct seg *cs = &cpu->seg[CPU_CS];
    struct descriptor code;
    uint16_t selector;
    uint8_t *frame;

    if (!gate || e->vector * 8u + 7u > cpu->idtr_limit)
        return false;
    low = host_get32(gate);
    high = host_get32(gate + 4);
    rip = (low & 0xFFFFu) | (high & 0xFFFF0000u);
    selector = (uint16_t)(low >> 16);
    if (!usable_gate(cpu, e, high) || !get_descriptor(cpu, selector, &code) || !code_of_level(&code, cpu->cpl) ||
        !holds(cs, &code) || rip > code.limit)
        return false;
    frame = peek(cpu, mmu_view(cpu, cpu->cpl), esp, size_bytes, TLB_WRITE);
    if (!frame)
        return false;
    if (e->has_error) {
        host_set32(frame, e->error);
        frame += 4;
    }
    host_set32(frame, (uint32_t)e->return_rip);
    host_set32(frame + 4, cs->selector);
    host_set32(frame + 8, e->flags);
    cpu->r[CPU_RSP].q = esp;
    cs->selector = (uint16_t)((selector & 0xFFFCu) | cpu->cpl);
    cpu->rip = rip;
    change_flags(cpu, high);
    return true;
}

/* RSP of an inner level by the TSS. */
static bool inner_stack_long(const struct interp *cpu, unsigned level, uint64_t *rsp)
{
    const struct seg *tr = &cpu->seg[CPU_TR];
    unsigned at = 4 + 8 * level;
    const uint8_t *host = at + 7 <= tr->limit ? peek(cpu, TLB_SUPERVISOR, tr->base + at, 8, TLB_READ) : NULL;

    if (!host)
        return false;
    *rsp = host_get64(host);
    return mmu_canonical(*rsp);
}

static void push_frame_long(const struct interp *cpu, const struct event *e, uint8_t *frame)
{
    if (e->has_error) {
        host_set64(frame, e->error);
        frame += 8;
    }
    host_set64(frame, e->return_rip);
    host_set64(frame + 8, cpu->seg[CPU_CS].selector);
    host_set64(frame + 16, e->flags);
    host_set64(frame + 24, cpu->r[CPU_RSP].q);
    host_set64(frame + 32, cpu->seg[CPU_SS].selector);
}

static bool deliver_long(struct interp *cpu, const struct event *e)
{
    const uint8_t *gate =
        peek(cpu, TLB_SUPERVISOR, cpu->idtr_base + e->vector * LONG_GATE_BYTES, LONG_GATE_BYTES, TLB_READ);
    unsigned size_bytes = LONG_FRAME_BYTES + (e->has_error ? 8 : 0), level;
    uint64_t rip, rsp = cpu->r[CPU_RSP].q;
    struct seg *cs = &cpu->seg[CPU_CS];
    struct descriptor code;
    uint32_t low, high;
    uint16_t selector;
    uint8_t *frame;

    if (!gate || e->vector * LONG_GATE_BYTES + LONG_GATE_BYTES - 1 > cpu->idtr_limit)
        return false;
    low = host_get32(gate);
    high = host_get32(gate + 4);
    rip = (low & 0xFFFFu) | (high & 0xFFFF0000u) | (uint64_t)host_get32(gate + 8) << 32;
    selector = (uint16_t)(low >> 16);
    if (!usable_gate(cpu, e, high) || (high & 7u) || !get_descriptor(cpu, selector, &code))
        return false;
    level = desc_dpl(&code);
    if (level > cpu->cpl || !code_of_level(&code, level) || !code64(&code) || !mmu_canonical(rip))
        return false;
    if (level < cpu->cpl ? !inner_stack_long(cpu, level, &rsp) : !holds(cs, &code))
        return false;
    rsp = (rsp & ~15ull) - size_bytes;
    frame = peek(cpu, mmu_view(cpu, level), rsp, size_bytes, TLB_WRITE);
    if (!frame)
        return false;
    push_frame_long(cpu, e, frame);
    cpu->r[CPU_RSP].q = rsp;
    cpu->rip = rip;
    change_flags(cpu, high);
    if (level == cpu->cpl) {
        cs->selector = (uint16_t)((selector & 0xFFFCu) | level);
        return true;
    }
    seg_set_null(cpu, CPU_SS, (uint16_t)level);
    seg_set(cpu, CPU_CS, (uint16_t)((selector & 0xFFFCu) | level), &code);
    cpu_update_mode(cpu);
    return true;
}

bool event_fast_deliver(struct interp *cpu, const struct event *e)
{
    if (cpu->alignment_check)
        return false;
    if ((cpu->mode & FLAT32_MASK) == FLAT32)
        return deliver_flat32(cpu, e);
    if (cpu->mode & MODE_REAL)
        return deliver_real(cpu, e);
    return (cpu->mode & (MODE_LONG | MODE_CODE_MASK)) == (MODE_LONG | MODE_CODE64) && deliver_long(cpu, e);
}

/* ---- IRET ----------------------------------------------------------------------------------------------------------- */

static void put_flags(struct interp *cpu, uint32_t flags, uint32_t mask)
{
    /* the arithmetic ones are all in mask */
    cpu_write_rflags(cpu, (cpu->sysflags & ~mask) | (flags & mask));
}

static bool iret_real(struct interp *cpu, uint32_t mask)
{
    const uint8_t *frame = real_frame(cpu, cpu->r[CPU_RSP].w, TLB_READ);
    uint16_t ip;

    if (!frame || !usable_code_real(cpu))
        return false;
    ip = host_get16(frame);
    if (ip > cpu->seg[CPU_CS].limit)
        return false;
    cpu->r[CPU_RSP].w = (uint16_t)(cpu->r[CPU_RSP].w + 6u);
    set_code_real(cpu, host_get16(frame + 2), ip);
    put_flags(cpu, host_get16(frame + 4), mask);
    return true;
}

static bool iret_flat32(struct interp *cpu, uint32_t mask)
{
    uint32_t esp = cpu->r[CPU_RSP].d, rip, flags;
    const uint8_t *frame = peek(cpu, mmu_view(cpu, cpu->cpl), esp, 12, TLB_READ);
    struct seg *cs = &cpu->seg[CPU_CS];
    struct descriptor code;
    uint16_t selector;

    if (!frame)
        return false;
    rip = host_get32(frame);
    selector = (uint16_t)host_get32(frame + 4);
    flags = host_get32(frame + 8);
    if ((flags & FLAG_VM) || (selector & 3u) != cpu->cpl || !get_descriptor(cpu, selector, &code) ||
        !code_of_level(&code, cpu->cpl) || !holds(cs, &code) || rip > code.limit)
        return false;
    cpu->r[CPU_RSP].q = esp + 12;
    cs->selector = selector;
    cpu->rip = rip;
    put_flags(cpu, flags, mask);
    return true;
}

/* SS of an IRET to `level`: true when it may be loaded; *load: it must be. */
static bool return_stack_long(const struct interp *cpu, uint16_t selector, unsigned level, struct descriptor *ss,
                              bool *load)
{
    const struct seg *now = &cpu->seg[CPU_SS];

    *load = false;
    if (selector_null(selector)) /* only what is there already, as a handler of level 0 finds it */
        return selector == now->selector && (now->attributes & CPU_SEGMENT_UNUSABLE) && level == cpu->cpl &&
               level < 3 && now->attributes == (uint16_t)(CPU_SEGMENT_UNUSABLE | SEG_S | (level << 5)) &&
               now->base == 0 && now->limit == 0;
    *load = true;
    return (selector & 3u) == level && get_descriptor(cpu, selector, ss) && desc_dpl(ss) == level &&
           desc_writable_data(ss);
}

static bool iret_long(struct interp *cpu, uint32_t mask)
{
    const uint8_t *frame = peek(cpu, mmu_view(cpu, cpu->cpl), cpu->r[CPU_RSP].q, LONG_FRAME_BYTES, TLB_READ);
    struct seg *cs = &cpu->seg[CPU_CS], *ss = &cpu->seg[CPU_SS];
    uint16_t selector, ss_selector;
    struct descriptor code, stack;
    uint64_t rip, flags;
    bool load_stack;
    unsigned level;

    if (!frame)
        return false;
    rip = host_get64(frame);
    selector = (uint16_t)host_get64(frame + 8);
    flags = host_get64(frame + 16);
    ss_selector = (uint16_t)host_get64(frame + 32);
    level = selector & 3u;
    if (level < cpu->cpl || !get_descriptor(cpu, selector, &code) || !code_of_level(&code, level) || !code64(&code) ||
        !mmu_canonical(rip) || !return_stack_long(cpu, ss_selector, level, &stack, &load_stack))
        return false;
    if (level == cpu->cpl && !(holds(cs, &code) && (!load_stack || holds(ss, &stack))))
        return false;
    cpu->r[CPU_RSP].q = host_get64(frame + 24);
    cpu->rip = rip;
    if (level == cpu->cpl) {
        cs->selector = selector;
        ss->selector = ss_selector;
        put_flags(cpu, (uint32_t)flags, mask);
        return true;
    }
    seg_set(cpu, CPU_SS, ss_selector, &stack);
    put_flags(cpu, (uint32_t)flags, mask);
    seg_set(cpu, CPU_CS, selector, &code);
    cpu_update_mode(cpu);
    seg_clear_outer(cpu); /* in 64-bit code no mode depends on it */
    return true;
}

bool event_fast_iret(struct interp *cpu, const struct insn *i, uint32_t mask)
{
    if (cpu->alignment_check)
        return false;
    if (insn_osize(i) == 2 && (cpu->mode & FLAT32_MASK) == FLAT32)
        return iret_flat32(cpu, mask);
    if (insn_osize(i) == 1 && (cpu->mode & MODE_REAL))
        return iret_real(cpu, mask);
    return insn_osize(i) == 3 && (cpu->mode & (MODE_LONG | MODE_CODE_MASK)) == (MODE_LONG | MODE_CODE64) &&
           iret_long(cpu, mask);
}
