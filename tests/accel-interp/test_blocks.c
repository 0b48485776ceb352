/* The block cache and the run loop: self-modifying code, instructions that cross pages, exact positions at devices, faults and
 * interrupts, and invariant 5 of interp.h: how code was cut into blocks, or runs into calls, can't be seen. */
#include "accel-interp/accel_interp.h"
#include "accel-interp/block.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define CODE 0x8000u

/* Guest programs, linked at CODE by position-independent code. */
#define GUEST(name, width, text)                                                                                       \
    extern const uint8_t name[], name##_end[];                                                                         \
    __asm__(".pushsection .rodata\n.balign 16\n" #name ":\n.code" #width "\n" text "\n.code64\n" #name                 \
            "_end:\n.popsection\n");
#define GUEST_SIZE(name) ((size_t)(name##_end - name))

GUEST(guest_mix16, 16,
      "movw $0x2000,%si; movw $1,%bx\n"
      "1: addw %bx,%ax; rolw $3,%ax; movw %ax,(%si); xorw (%si),%bx; addw $2,%si; andw $0x2ffe,%si; orw $0x2000,%si\n"
      "call 3f; decw %cx; jnz 1b; pushf; popw %dx; jmp 1b\n"
      "3: pushw %ax; cmpw $100,%ax; jb 4f; addw $7,%bx; 4: popw %ax; ret\n")
GUEST(guest_mix64, 64,
      "movl $0x200000,%esi; movl $0x200,%ecx; cld\n"
      "1: leaq 3(%rax,%rax,4),%rax; movq %rax,(%rsi,%rcx,8); imulq %rax,%rdx; addq %rdx,%rbx\n"
      "call 3f; testb $4,%al; jz 2f; incb 9f+2(%rip)\n"
      "2: decl %ecx; jnz 1b; movl $0x200,%ecx; pushq %rcx; leaq 0x1000(%rsi),%rdi; rep movsb; movl $0x200000,%esi\n"
      "popq %rcx; jmp 1b\n"
      "3: pushq %rax\n"
      "9: movb $1,%r8b; addq %r8,%rbx; popq %rax; ret\n")
/* Counts in DL the byte that the store before has put into the MOV. */
GUEST(guest_smc, 64,
      "xorl %ecx,%ecx; xorl %edx,%edx\n"
      "1: incl %ecx; movb %cl,2f+1(%rip)\n"
      "2: movb $0x55,%al; movzbl %al,%eax; addl %eax,%edx; cmpl $50,%ecx; jne 1b\n"
      "3: jmp 3b\n")
GUEST(guest_beside, 64,
      "1: incl %ecx; movl %ecx,4f(%rip); cmpl $1000,%ecx; jne 1b\n"
      "3: jmp 3b\n"
      ".balign 128\n4: .long 0\n")
GUEST(guest_read_loop, 64, "1: movl $5,%eax; incl %ecx; jmp 1b\n")
GUEST(guest_device, 64,
      "movl $0xfed00000,%ebx; incl %ecx; incl %ecx; movl (%rbx),%eax; incl %ecx; movl %ecx,4(%rbx); incl %ecx\n"
      "movl $0x80,%edx; movb $7,%al; outb %al,%dx; incl %ecx; inb %dx,%al; incl %ecx; orl %ecx,8(%rbx)\n"
      "3: jmp 3b\n")
/* Real mode: UD2 in the middle of a block; the handler steps over it. */
GUEST(guest_fault, 16,
      "xorw %ax,%ax; movw %ax,%ds; movw $0x9000,0x18; movw %ax,0x1a\n"
      "1: incw %cx; incw %cx; ud2; incw %dx; jmp 1b\n")
GUEST(guest_fault_handler, 16, "incw %bx; movw %sp,%bp; addw $2,(%bp); iretw\n")
GUEST(guest_interrupt, 16,
      "xorw %ax,%ax; movw %ax,%ds; movw $0x9000,0x80; movw %ax,0x82; sti\n"
      "1: incw %cx; incw %dx; incw %si; jmp 1b\n")
GUEST(guest_interrupt_handler, 16, "movw %cx,0x2000(%di); addw $2,%di; outb %al,$0x42; iretw\n")
GUEST(guest_halt, 16, "xorw %ax,%ax; movw %ax,%ds; movw $0x9000,0x80; movw %ax,0x82; 1: sti; hlt; incw %si; jmp 1b\n")

struct guest {
    struct fake_machine *fake;
    struct accel *accel;
    struct memory *memory;
};

/* bits 16: real mode. 64: long mode, 1 GiB identity-mapped by 2 MiB pages but for [0, 2 MiB), which has 4 KiB pages, and the
 * MMIO at fed00000. */
static void map_long_mode(struct memory *memory)
{
    memory_write_u64(memory, 0x10000, 0x11003);
    memory_write_u64(memory, 0x11000, 0x12003);
    memory_write_u64(memory, 0x11018, 0x14003);
    memory_write_u64(memory, 0x12000, 0x13003);
    for (uint64_t n = 1; n < 16; n++)
        memory_write_u64(memory, 0x12000 + n * 8, n << 21 | 0x83);
    for (uint64_t n = 0; n < 512; n++)
        memory_write_u64(memory, 0x13000 + n * 8, n << 12 | 3);
    for (uint64_t n = 0; n < 512; n++)
        memory_write_u64(memory, 0x14000 + n * 8, 0xC0000000ull | n << 21 | 0x83);
}

static void set_mode(struct guest *g, unsigned bits)
{
    struct cpu_state state;

    g->accel->ops->get_state(g->accel, &state);
    state.rip = CODE;
    state.rflags = 2;
    memset(state.gpr, 0, sizeof state.gpr);
    state.gpr[CPU_RSP] = 0x7000;
    state.idtr_limit = bits == 16 ? 0x3FF : 0;
    state.idtr_base = 0;
    for (unsigned n = 0; n < 6; n++) {
        struct cpu_segment *seg = &state.segment[n];
        *seg = (struct cpu_segment){.limit = bits == 16 ? 0xFFFF : 0xFFFFFFFF};
        seg->attributes = n == CPU_CS ? (bits == 16 ? 0x9B : 0xA09B) : (bits == 16 ? 0x93 : 0xC093);
        seg->selector = bits == 16 ? 0 : n == CPU_CS ? 8 : 16;
    }
    if (bits == 64) {
        state.cr0 = 0x80010011;
        state.cr4 = 0x620;
        state.efer = 0x500;
        state.cr3 = 0x10000;
        map_long_mode(g->memory);
    }
    g->accel->ops->set_state(g->accel, &state);
}

static struct guest guest_create(unsigned bits, const uint8_t *code, size_t size, unsigned block_steps,
                                 uint64_t cache_bytes)
{
    struct guest g = {.fake = fake_machine_create(32 << 20)};
    struct error error = {""};

    g.accel = interp_create(g.fake->machine,
                            &(struct interp_options){.block_steps = block_steps, .cache_bytes = cache_bytes}, &error);
    ck_assert_msg(g.accel != NULL, "%s", error.text);
    machine_set_accel(g.fake->machine, g.accel);
    g.memory = machine_memory(g.fake->machine);
    machine_reset(g.fake->machine);
    memory_write(g.memory, CODE, code, size);
    set_mode(&g, bits);
    return g;
}

static void guest_destroy(struct guest *g)
{
    fake_machine_destroy(g->fake);
}

static enum machine_stop run_to(struct guest *g, uint64_t icount)
{
    return machine_run(g->fake->machine, (struct position){icount, 0});
}

static struct cpu_state state_of(struct guest *g)
{
    struct cpu_state state;
    g->accel->ops->get_state(g->accel, &state);
    return state;
}

static void ck_same_state(struct guest *a, struct guest *b)
{
    struct cpu_state x = state_of(a), y = state_of(b);

    ck_assert_uint_eq(a->accel->ops->icount(a->accel), b->accel->ops->icount(b->accel));
    for (unsigned n = 0; n < 16; n++)
        ck_assert_uint_eq(x.gpr[n], y.gpr[n]);
    ck_assert_uint_eq(x.rip, y.rip);
    ck_assert_uint_eq(x.rflags, y.rflags);
    ck_assert_uint_eq(state_digest(cpu_state_fields, &x, 0), state_digest(cpu_state_fields, &y, 0));
}

/* The same program cut in four ways: whole, one instruction a block, stopped all the time, with hardly any cache. */
static void check_cuts(unsigned bits, const uint8_t *code, size_t size)
{
    struct guest whole = guest_create(bits, code, size, 0, 0), single = guest_create(bits, code, size, 1, 0);
    struct guest chopped = guest_create(bits, code, size, 0, 0), small = guest_create(bits, code, size, 3, 1);

    for (uint64_t icount = 0, step = 1; icount < 60000; icount += step, step = step * 7 % 997 + 1) {
        ck_assert_int_eq(run_to(&whole, icount), MACHINE_STOP_LIMIT);
        run_to(&single, icount);
        run_to(&small, icount);
        for (uint64_t part = icount > step ? icount - step : 0; part <= icount; part += part % 5 + 1)
            run_to(&chopped, part);
        run_to(&chopped, icount);
        ck_same_state(&whole, &single);
        ck_same_state(&whole, &small);
        ck_same_state(&whole, &chopped);
    }
    ck_assert_uint_eq(memory_digest(whole.memory), memory_digest(single.memory));
    ck_assert_uint_eq(memory_digest(whole.memory), memory_digest(small.memory));
    ck_assert_uint_eq(memory_digest(whole.memory), memory_digest(chopped.memory));
    guest_destroy(&whole);
    guest_destroy(&single);
    guest_destroy(&chopped);
    guest_destroy(&small);
}

START_TEST(test_cuts16)
{
    check_cuts(16, guest_mix16, GUEST_SIZE(guest_mix16));
}
END_TEST
START_TEST(test_cuts64)
{
    check_cuts(64, guest_mix64, GUEST_SIZE(guest_mix64));
}
END_TEST

/* Pairs of arithmetic and a conditional branch over INC CL, all kinds and conditions: fused against one by one. */
static size_t emit_pairs(uint8_t *code, const uint8_t pairs[][4], unsigned count)
{
    static const uint8_t mix[] = {0xC1, 0xC0, 0x05, 0x31,
                                  0xC3, 0xC1, 0xC3, 0x0B}; /* ROL EAX,5; XOR EBX,EAX; ROL EBX,11 */
    size_t at = 0;

    for (unsigned n = 0; n < count; n++) {
        for (unsigned condition = 0; condition < 16; condition++) {
            uint8_t immediate = (uint8_t)(condition * 37);
            memcpy(code + at, mix, sizeof mix);
            at += sizeof mix;
            memcpy(code + at, &pairs[n][1], pairs[n][0] & 15);
            at += pairs[n][0] & 15;
            if (pairs[n][0] & 0x10)
                code[at++] = immediate;
            memcpy(code + at, (uint8_t[]){(uint8_t)(0x70 + condition), 2, 0xFE, 0xC1, 0xC0, 0xC1, 0x01}, 7);
            at += 7; /* Jcc; INC CL; ROL CL,1 */
        }
    }
    memcpy(code + at, (uint8_t[]){0xE9, 0, 0, 0, 0}, 5);
    return at;
}

static void check_pairs(unsigned bits, const uint8_t pairs[][4], unsigned count)
{
    static uint8_t code[0x4000];
    size_t end = emit_pairs(code, pairs, count);
    int32_t back = -(int32_t)(end + (bits == 16 ? 3 : 5));

    ck_assert_uint_lt(end + 5, sizeof code);
    memcpy(code + end + 1, &back, bits == 16 ? 2 : 4);
    for (unsigned round = 0; round < 4; round++) {
        struct guest fused = guest_create(bits, code, end + 5, 0, 0), single = guest_create(bits, code, end + 5, 1, 0);
        for (unsigned n = 0; n < 2; n++) {
            struct guest *g = n ? &single : &fused;
            struct cpu_state state = state_of(g);
            state.gpr[CPU_RSI] = round == 3 ? 0x5FFE : 0x6000; /* 5ffe: across a page, the slow path */
            state.gpr[CPU_RAX] = 0x123456789ABCDEFull * (round + 1);
            g->accel->ops->set_state(g->accel, &state);
        }
        for (uint64_t icount = 1000; icount <= 30000; icount += 1009) {
            run_to(&fused, icount);
            run_to(&single, icount);
            ck_same_state(&fused, &single);
        }
        guest_destroy(&fused);
        guest_destroy(&single);
    }
}

#define IMM 0x10 /* an immediate byte follows */
START_TEST(test_fused64)
{
    static const uint8_t pairs[][4] = {{2, 0x39, 0xD8},
                                       {2, 0x3B, 0xC3},
                                       {2 | IMM, 0x83, 0xF8},
                                       {3, 0x48, 0x39, 0xD8},
                                       {3, 0x48, 0x3B, 0xC3},
                                       {3 | IMM, 0x48, 0x83, 0xF8},
                                       {2, 0x38, 0xD8},
                                       {2, 0x3A, 0xC3},
                                       {1 | IMM, 0x3C},
                                       {3, 0x66, 0x39, 0xD8},
                                       {3 | IMM, 0x66, 0x83, 0xFB},
                                       {2, 0x85, 0xC3},
                                       {2, 0x85, 0xC0},
                                       {3, 0x48, 0x85, 0xC0},
                                       {2, 0x84, 0xC3},
                                       {1 | IMM, 0xA8},
                                       {2 | IMM, 0xF6, 0xC3},
                                       {3, 0x66, 0x85, 0xC3},
                                       {2, 0x29, 0xD8},
                                       {3, 0x48, 0x29, 0xD8},
                                       {2 | IMM, 0x83, 0xE8},
                                       {3 | IMM, 0x48, 0x83, 0xEB},
                                       {2, 0x01, 0xD8},
                                       {2 | IMM, 0x83, 0xC3},
                                       {3 | IMM, 0x48, 0x83, 0xC3},
                                       {2, 0x21, 0xD8},
                                       {2 | IMM, 0x83, 0xE3},
                                       {3, 0x48, 0x21, 0xC3},
                                       {2, 0xFF, 0xC8},
                                       {3, 0x48, 0xFF, 0xC0},
                                       {2, 0xFF, 0xC3},
                                       {2, 0x39, 0x06},
                                       {2, 0x3B, 0x06},
                                       {2 | IMM, 0x83, 0x3E},
                                       {2, 0x38, 0x06},
                                       {2, 0x3A, 0x06},
                                       {2 | IMM, 0x80, 0x3E},
                                       {2 | IMM, 0xF6, 0x06},
                                       {3, 0x48, 0x39, 0x06},
                                       {3, 0x67, 0x3B, 0x06},
                                       {3 | IMM, 0x67, 0x83, 0x3E},
                                       {3, 0x67, 0x39, 0x06},
                                       {3, 0x66, 0x39, 0x06},
                                       {2, 0x01, 0x06},
                                       {2, 0xF7, 0xD8}};
    check_pairs(64, pairs, sizeof pairs / sizeof pairs[0]);
}
END_TEST
START_TEST(test_fused16)
{
    static const uint8_t pairs[][4] = {
        {2, 0x39, 0xD8}, {2, 0x3B, 0xC3},      {2 | IMM, 0x83, 0xF8}, {2, 0x38, 0xD8}, {2, 0x3A, 0xC3}, {1 | IMM, 0x3C},
        {2, 0x85, 0xC3}, {2, 0x84, 0xC3},      {1 | IMM, 0xA8},       {1, 0x40},       {1, 0x48},       {1, 0x43},
        {1, 0x4B},       {3, 0x66, 0x39, 0xD8}};
    check_pairs(16, pairs, sizeof pairs / sizeof pairs[0]);
}
END_TEST

START_TEST(test_self_modifying)
{
    struct guest g = guest_create(64, guest_smc, GUEST_SIZE(guest_smc), 0, 0);
    struct accel_statistics statistics;

    run_to(&g, 1000);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RDX], 50 * 51 / 2);
    g.accel->ops->statistics(g.accel, &statistics);
    ck_assert_uint_ge(statistics.blocks_dropped, 49);
    guest_destroy(&g);
}
END_TEST

START_TEST(test_data_beside_code)
{
    struct guest g = guest_create(64, guest_beside, GUEST_SIZE(guest_beside), 0, 0);
    struct accel_statistics statistics;

    run_to(&g, 5000);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RCX], 1000);
    g.accel->ops->statistics(g.accel, &statistics);
    ck_assert_uint_eq(statistics.blocks_dropped, 0);
    guest_destroy(&g);
}
END_TEST

START_TEST(test_dma_into_code)
{
    struct guest g = guest_create(64, guest_read_loop, GUEST_SIZE(guest_read_loop), 0, 0);

    run_to(&g, 30);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RAX], 5);
    memory_write_u32(g.memory, CODE + 1, 77);
    run_to(&g, 33);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RAX], 77);
    guest_destroy(&g);
}
END_TEST

/* MOV EAX,imm32 whose immediate lies in the next page, then a jump back. */
static void place_crossing(struct guest *g, uint32_t immediate)
{
    static const uint8_t nop_and_move[] = {0x90, 0xB8}, back[] = {0xEB, 0xF8};

    memory_write(g->memory, 0x8FFE, nop_and_move, 2);
    memory_write_u32(g->memory, 0x9000, immediate);
    memory_write(g->memory, 0x9004, back, 2);
}

static struct guest guest_crossing(void)
{
    static const uint8_t go[] = {0xE9, 0xF9, 0x0F, 0, 0}; /* JMP 8FFE */
    struct guest g = guest_create(64, go, sizeof go, 0, 0);

    place_crossing(&g, 0x11223344);
    return g;
}

START_TEST(test_crossing_page)
{
    struct guest g = guest_crossing();

    run_to(&g, 31);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RAX], 0x11223344);
    memory_write_u32(g.memory, 0x9000, 0x55667788); /* written */
    run_to(&g, 61);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RAX], 0x55667788);
    guest_destroy(&g);
}
END_TEST

static void remap(struct guest *g, uint64_t page, uint64_t entry)
{
    struct cpu_state state = state_of(g);

    memory_write_u64(g->memory, 0x13000 + page * 8, entry);
    g->accel->ops->set_state(g->accel, &state); /* flushes the TLB */
}

START_TEST(test_crossing_remapped)
{
    struct guest g = guest_crossing();

    run_to(&g, 31);
    memory_write_u32(g.memory, 0x20000, 0x01020304);
    memory_write_u32(g.memory, 0x20004, 0xF8EB);
    remap(&g, 9, 0x20003); /* another page with another end of the instruction */
    run_to(&g, 61);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RAX], 0x01020304);
    remap(&g, 9, 0x20002); /* not there: the fetch faults in the middle of the instruction; no IDT: triple fault */
    ck_assert_int_eq(run_to(&g, 91), MACHINE_STOP_SHUTDOWN);
    ck_assert_uint_eq(state_of(&g).cr2, 0x9000);
    guest_destroy(&g);
}
END_TEST

static uint64_t device_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)size_bytes;
    ++*(unsigned *)opaque;
    return address + 1;
}
static void device_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    (void)address;
    (void)value;
    (void)size_bytes;
    ++*(unsigned *)opaque;
}

/* Each access happens once, at the position of its instruction. */
static void check_device_positions(unsigned block_steps)
{
    static const struct bus_ops ops = {.read = device_read, .write = device_write};
    static const struct {
        enum trace_kind kind;
        uint64_t icount, value;
    } expected[] = {{TRACE_MMIO_READ, 3, 1}, {TRACE_MMIO_WRITE, 5, 3}, {TRACE_PIO_WRITE, 9, 7},
                    {TRACE_PIO_READ, 11, 1}, {TRACE_MMIO_READ, 13, 9}, {TRACE_MMIO_WRITE, 13, 15}};
    struct guest g = guest_create(64, guest_device, GUEST_SIZE(guest_device), block_steps, 0);
    unsigned accesses = 0, seen = 0;

    bus_map_mmio(machine_bus(g.fake->machine), 0xFED00000, 4096, &ops, &accesses, "test");
    bus_map_io(machine_bus(g.fake->machine), 0x80, 1, &ops, &accesses, "test");
    run_to(&g, 50);
    ck_assert_uint_eq(accesses, 6);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RCX], 6);
    for (size_t n = 0; n < g.fake->event_count; n++) {
        const struct trace_event *event = &g.fake->events[n];
        if (event->kind > TRACE_MMIO_WRITE)
            continue;
        ck_assert_uint_lt(seen, 6);
        ck_assert_int_eq(event->kind, expected[seen].kind);
        ck_assert_uint_eq(event->position.icount, expected[seen].icount);
        ck_assert_uint_eq(event->value, expected[seen].value);
        seen++;
    }
    ck_assert_uint_eq(seen, 6);
    guest_destroy(&g);
}
START_TEST(test_device_positions)
{
    check_device_positions(0);
    check_device_positions(1);
}
END_TEST

START_TEST(test_fault_positions)
{
    for (unsigned block_steps = 0; block_steps < 2; block_steps++) {
        struct guest g = guest_create(16, guest_fault, GUEST_SIZE(guest_fault), block_steps, 0);
        memory_write(g.memory, 0x9000, guest_fault_handler, GUEST_SIZE(guest_fault_handler));
        run_to(&g, 4 + 2); /* before UD2 */
        ck_assert_uint_eq(state_of(&g).gpr[CPU_RCX], 2);
        run_to(&g, 4 + 3); /* the fault is a step, the handler's first instruction is next */
        ck_assert_uint_eq(state_of(&g).rip, 0x9000);
        ck_assert_uint_eq(state_of(&g).gpr[CPU_RSP], 0x7000 - 6);
        run_to(&g, 4 + 9 * 100);
        ck_assert_uint_eq(state_of(&g).gpr[CPU_RBX], 100);
        ck_assert_uint_eq(state_of(&g).gpr[CPU_RCX], 200);
        ck_assert_uint_eq(state_of(&g).gpr[CPU_RDX], 100);
        guest_destroy(&g);
    }
}
END_TEST

/* ---- interrupts ----------------------------------------------------------------------------------------------- */

struct source {
    struct machine *machine;
    struct vtimer timer;
    uint64_t next_ns;
};

static int acknowledge(void *opaque)
{
    machine_set_intr(((struct source *)opaque)->machine, false);
    return 0x20;
}

static void source_fire(void *opaque)
{
    struct source *source = opaque;

    machine_set_intr(source->machine, true);
    source->next_ns += 37 + source->next_ns % 11;
    vtimer_arm(&source->timer, source->next_ns);
}

static struct guest guest_with_timer(struct source *source, const uint8_t *code, size_t size, unsigned block_steps)
{
    static const struct cpu_link_ops ops = {.acknowledge = acknowledge};
    struct guest g = guest_create(16, code, size, block_steps, 0);

    memory_write(g.memory, 0x9000, guest_interrupt_handler, GUEST_SIZE(guest_interrupt_handler));
    *source = (struct source){.machine = g.fake->machine, .next_ns = 50};
    machine_set_cpu_link(g.fake->machine, (struct cpu_link){&ops, source});
    vtimer_init(&source->timer, g.fake->machine, source_fire, source);
    vtimer_arm(&source->timer, source->next_ns);
    return g;
}

START_TEST(test_interrupt_positions)
{
    struct source a, b;
    struct guest whole = guest_with_timer(&a, guest_interrupt, GUEST_SIZE(guest_interrupt), 0);
    struct guest single = guest_with_timer(&b, guest_interrupt, GUEST_SIZE(guest_interrupt), 1);

    for (uint64_t icount = 40; icount < 3000; icount += 13) {
        run_to(&whole, icount);
        run_to(&single, icount);
        ck_same_state(&whole, &single);
    }
    ck_assert_uint_gt(fake_machine_count_events(whole.fake, TRACE_IRQ), 50);
    for (size_t n = 0; n < whole.fake->event_count; n++) {
        if (whole.fake->events[n].kind != TRACE_IRQ)
            continue;
        ck_assert_uint_eq(whole.fake->events[n].position.icount, 50); /* at its deadline, not later */
        break;
    }
    ck_assert_uint_eq(memory_digest(whole.memory), memory_digest(single.memory));
    vtimer_disarm(&a.timer);
    vtimer_disarm(&b.timer);
    guest_destroy(&whole);
    guest_destroy(&single);
}
END_TEST

/* Code in very many pages: 4 KiB apart, a jump to the next one each. */
static void emit_page_jumps(struct guest *g, uint64_t first, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        uint32_t delta = n + 1 < count ? 0x1000 - 5 : (uint32_t)(0 - (n * 0x1000ull) - 5);
        memory_write(g->memory, first + n * 0x1000ull, (uint8_t[]){0xE9}, 1);
        memory_write(g->memory, first + n * 0x1000ull + 1, &delta, 4);
    }
}

START_TEST(test_memory_bound)
{
    enum { PAGES = 5000, FIRST = 0x800000, MIB = 1 << 20 };
    static const uint8_t start[] = {0xE9, 0xFB, 0x7F, 0x7F, 0}; /* JMP to FIRST */
    struct guest g = guest_create(64, start, sizeof start, 0, 256 << 10);
    struct interp *cpu = interp_of(g.accel);
    struct accel_statistics statistics;
    uint64_t seen = 0;

    emit_page_jumps(&g, FIRST, PAGES);
    for (uint64_t icount = 1; icount <= 3 * PAGES; icount += 97) {
        run_to(&g, icount);
        ck_assert_uint_le(block_cache_bytes(cpu), block_cache_bytes_max(cpu));
        ck_assert_uint_eq(state_of(&g).rip, FIRST + (icount - 1) % PAGES * 0x1000);
        seen = block_cache_bytes(cpu) > seen ? block_cache_bytes(cpu) : seen;
    }
    g.accel->ops->statistics(g.accel, &statistics);
    ck_assert_uint_ge(statistics.cache_flushes, 3 * PAGES / 400); /* there is room for 341 pages */
    ck_assert_uint_gt(seen, (256 << 10) / 3);                     /* and they have been filled */
    guest_destroy(&g);

    struct guest ordinary = guest_create(64, start, sizeof start, 0, 0);
    ck_assert_uint_le(block_cache_bytes_max(interp_of(ordinary.accel)) + TLB_VIEWS * sizeof(struct tlb_set) +
                          sizeof(struct interp),
                      64 * MIB);
    guest_destroy(&ordinary);
}
END_TEST

START_TEST(test_halt)
{
    struct source source;
    struct guest g = guest_with_timer(&source, guest_halt, GUEST_SIZE(guest_halt), 0);

    run_to(&g, 4 + 8 * 20);
    ck_assert_uint_eq(state_of(&g).gpr[CPU_RSI], 20); /* STI, HLT, 4 of the handler, INC, JMP */
    vtimer_disarm(&source.timer);
    guest_destroy(&g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("blocks");
    TCase *tcase = tcase_create("blocks");

    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_cuts16);
    tcase_add_test(tcase, test_cuts64);
    tcase_add_test(tcase, test_fused64);
    tcase_add_test(tcase, test_fused16);
    tcase_add_test(tcase, test_self_modifying);
    tcase_add_test(tcase, test_data_beside_code);
    tcase_add_test(tcase, test_dma_into_code);
    tcase_add_test(tcase, test_crossing_page);
    tcase_add_test(tcase, test_crossing_remapped);
    tcase_add_test(tcase, test_device_positions);
    tcase_add_test(tcase, test_fault_positions);
    tcase_add_test(tcase, test_interrupt_positions);
    tcase_add_test(tcase, test_halt);
    tcase_add_test(tcase, test_memory_bound);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
