/* See random_program.h. Physical layout of the image, from its start:
 *
 *   0     kernel: multiboot header, entry, exception stubs      1000  GDT, TSS       2000  IDT
 *   3000  page tables     A000  counters, hash, register table  B000  kernel stack   10000 the native check's arena
 *
 * The arena lies at the same linear addresses as in the native check (native.h), the body in its first 56 KiB. Each
 * instruction has a slot of 64 bytes: moves that set the registers of its operand, the instruction, padding. */
#include "tests/support/random_program.h"

#include "core/cpu_model.h"
#include "tools/fuzz/native_internal.h"

#include <string.h>

#define SLOT_BYTES 64u
#define IMAGE_GDT 0x1000u
#define IMAGE_TSS 0x1800u
#define IMAGE_IDT 0x2000u
#define IMAGE_TABLES 0x3000u
#define IMAGE_STACK_TOP 0xC000u
#define IMAGE_ARENA 0x10000u
#define IMAGE_TABLE (RANDOM_PROGRAM_COUNTS + 0x800u) /* 16 registers, then enum; the kernel knows the numbers */
#define IMAGE_FX (RANDOM_PROGRAM_COUNTS + 0xA00u)

enum { WORD_RIP = 16, WORD_RFLAGS, WORD_CS, WORD_LOOPS, WORD_BODY, WORD_BASE, WORD_PERIOD, WORD_TICKS_LEFT };

/* A run of the body that has seen so many ticks is in an endless loop of its own making: its code may be anything by
 * then. */
#define TICKS_A_RUN "40"

/* The kernel. K(label) is where a label lies when the image is at 1 MiB. */
__asm__(
    ".pushsection .rodata\n"
    ".balign 16\n"
    ".globl random_kernel_start, random_kernel_entry, random_kernel_stubs, random_kernel_end_stub, random_kernel_tick, "
    "random_kernel_end\n"
    ".set TABLE, 0x10A800\n"
    ".set COUNTS, 0x10A000\n"
    ".set HASH, 0x10A100\n"
    "random_kernel_start:\n"
    ".code32\n"
    ".long 0x1BADB002, 0x00010000, -(0x1BADB002 + 0x00010000)\n"
    ".long 0x100000, 0x100000, 0, 0, random_kernel_entry - random_kernel_start + 0x100000\n"
    "random_kernel_entry:\n"
    "  movl $0x10C000, %esp\n"
    "  lgdt 0x101700\n"
    "  lidt 0x101710\n"
    "  movl $1, %eax\n  cpuid\n"
    "  movl $0x620, %eax\n" /* PAE OSFXSR OSXMMEXCPT */
    "  testl $(1 << 26), %ecx\n  jz 1f\n  orl $(1 << 18), %eax\n1:\n"
    "  movl %eax, %cr4\n"
    "  movl %ecx, %ebp\n"
    "  movl $0x103000, %eax\n  movl %eax, %cr3\n"
    "  movl $0xC0000080, %ecx\n  rdmsr\n  orl $0x900, %eax\n  wrmsr\n" /* LME NXE; no SCE: SYSCALL is #UD */
    "  movl $0x80050033, %eax\n  movl %eax, %cr0\n"                    /* PG AM WP NE ET MP PE */
    "  ljmp $0x08, $(2f - random_kernel_start + 0x100000)\n"
    ".code64\n"
    "2:\n"
    "  movl $0x10, %eax\n  movl %eax, %ss\n"
    "  movl $0x38, %eax\n  ltr %ax\n"
    "  testl $(1 << 28), %ebp\n  jz 3f\n" /* AVX */
    "  xorl %ecx, %ecx\n  xorl %edx, %edx\n  movl $7, %eax\n  xsetbv\n"
    "3:\n" /* the 8259A's IRQ 0 alone, vector 20h; the 8254's counter 0 */
    "  movb $0x11, %al\n  outb %al, $0x20\n  movb $0x20, %al\n  outb %al, $0x21\n"
    "  movb $4, %al\n  outb %al, $0x21\n  movb $1, %al\n  outb %al, $0x21\n  movb $0xFE, %al\n  outb %al, $0x21\n"
    "  movb $0xFF, %al\n  outb %al, $0xA1\n"
    "  movb $0x34, %al\n  outb %al, $0x43\n  movq TABLE + 22 * 8, %rax\n  outb %al, $0x40\n"
    "  movb %ah, %al\n  outb %al, $0x40\n"
    "random_kernel_again:\n"
    "  movl $0x10C000, %esp\n"
    "  xorl %eax, %eax\n  movl %eax, %fs\n  movl %eax, %gs\n"
    "  movl $0x28 | 3, %eax\n  movl %eax, %ds\n  movl %eax, %es\n"
    "  movq $" TICKS_A_RUN ", TABLE + 23 * 8\n"
    "  pushq $0x28 | 3\n"
    "  pushq TABLE + 4 * 8\n"
    "  pushq TABLE + 17 * 8\n"
    "  pushq TABLE + 18 * 8\n"
    "  pushq TABLE + 16 * 8\n"
    "  fxrstor TABLE + 0x200\n"
    ".irp n, 0,1,2,3,5,6,7,8,9,10,11,12,13,14,15\n" /* the next time with other registers */
    "  rolq $3, TABLE + \\n * 8\n"
    ".endr\n"
    "  movq TABLE, %rax\n  movq TABLE + 8, %rcx\n  movq TABLE + 16, %rdx\n  movq TABLE + 24, %rbx\n"
    "  movq TABLE + 40, %rbp\n  movq TABLE + 48, %rsi\n  movq TABLE + 56, %rdi\n"
    ".irp n, 8,9,10,11,12,13,14,15\n"
    "  movq TABLE + \\n * 8, %r\\n\n"
    ".endr\n"
    "  iretq\n"
    ".balign 16\n"
    "random_kernel_end_stub:\n" /* the body has run to its end, or is made to end */
    "  rolq $9, HASH\n  xorq %rax, HASH\n  addq %rcx, HASH\n  xorq %rdi, HASH\n  addq %r11, HASH\n"
    "  decq TABLE + 19 * 8\n"
    "  jnz random_kernel_again\n"
    "  movb $0, %al\n  outb %al, $0xF4\n"
    "4: hlt\n  jmp 4b\n"
    ".balign 16\n"
    "random_kernel_tick:\n"
    "  pushq %rax\n"
    "  incq COUNTS + 2 * 8\n" /* where nothing else counts: there is no NMI */
    "  rolq $7, HASH\n  movq 8(%rsp), %rax\n  xorq %rax, HASH\n"
    "  movb $0x20, %al\n  outb %al, $0x20\n"
    "  decq TABLE + 23 * 8\n"
    "  popq %rax\n"
    "  jz random_kernel_end_stub\n"
    "  iretq\n"
    /* vector, error, RIP, CS, RFLAGS, RSP, SS: below two saved registers */
    "random_kernel_fault:\n"
    "  pushq %rax\n  pushq %rbx\n"
    "  movq 16(%rsp), %rax\n"
    "  incq COUNTS(, %rax, 8)\n"
    "  movq HASH, %rbx\n  rolq $5, %rbx\n  xorq %rax, %rbx\n  addq 24(%rsp), %rbx\n  xorq 32(%rsp), %rbx\n"
    "  addq 48(%rsp), %rbx\n  movq %rbx, HASH\n"
    "  cmpl $14, %eax\n  jne 5f\n  movq %cr2, %rbx\n  addq %rbx, HASH\n5:\n"
    "  cmpl $16, %eax\n  jne 6f\n  fnclex\n6:\n"
    "  movl 40(%rsp), %ebx\n  cmpl %ebx, TABLE + 18 * 8\n  jne 8f\n"      /* another CS, or the kernel's own IRETQ */
    "  cmpl $1, %eax\n  jne 7f\n  andl $~0x100, 48(%rsp)\n  jmp 9f\n7:\n" /* TF: go on without */
    "  movq 32(%rsp), %rbx\n  subq TABLE + 21 * 8, %rbx\n"
    "  andq $~63, %rbx\n  addq $64, %rbx\n" /* the next slot; there must be one */
    "  cmpq TABLE + 20 * 8, %rbx\n  jae 8f\n"
    "  addq TABLE + 21 * 8, %rbx\n  movq %rbx, 32(%rsp)\n"
    "  andl $~0x40000, 48(%rsp)\n" /* AC */
    "9: popq %rbx\n  popq %rax\n  addq $16, %rsp\n  iretq\n"
    "8: popq %rbx\n  popq %rax\n  jmp random_kernel_end_stub\n"
    ".balign 16\n"
    "random_kernel_stubs:\n"
    ".set n, 0\n"
    ".rept 32\n"
    ".balign 16\n"
    ".if (n == 8) || ((n >= 10) && (n <= 14)) || (n == 17)\n"
    ".else\n  pushq $0\n.endif\n"
    "  pushq $n\n  jmp random_kernel_fault\n"
    ".set n, n + 1\n"
    ".endr\n"
    "random_kernel_end:\n"
    ".popsection\n");
extern const uint8_t random_kernel_start[], random_kernel_entry[], random_kernel_stubs[], random_kernel_end_stub[],
    random_kernel_tick[], random_kernel_end[];

/* ---- tables --------------------------------------------------------------------------------------------------------- */

static void put64(uint8_t *image, unsigned at, uint64_t value)
{
    memcpy(image + at, &value, 8);
}

static void put_gate(uint8_t *image, unsigned vector, const uint8_t *label, uint64_t type)
{
    uint32_t to = RANDOM_PROGRAM_BASE + (uint32_t)(label - random_kernel_start);

    put64(image, IMAGE_IDT + vector * 16, (to & 0xFFFF) | 0x00080000u | type << 40 | (uint64_t)(to >> 16) << 48);
}

static void put_descriptors(uint8_t *image)
{
    static const uint64_t gdt[] = {0,
                                   0x00AF9B000000FFFFull, /* 08 kernel's code, 10 data */
                                   0x00CF93000000FFFFull,
                                   0x00CF9B000000FFFFull,
                                   0x00CFFB000000FFFFull, /* 20 32-bit code, 28 data, 30 64-bit code, of the body */
                                   0x00CFF3000000FFFFull,
                                   0x00AFFB000000FFFFull,
                                   (uint64_t)0x67 | ((uint64_t)(RANDOM_PROGRAM_BASE + IMAGE_TSS) << 16) | 0x89ull << 40,
                                   0, /* 38 TSS */
                                   0x1000FB000000FFFFull /* 48 16-bit code over the arena */};
    memcpy(image + IMAGE_GDT, gdt, sizeof gdt);
    for (unsigned vector = 0; vector < 32; vector++)
        put_gate(image, vector, random_kernel_stubs + vector * 16, 0x8E);
    put_gate(image, 0x20, random_kernel_tick, 0x8E);
    put_gate(image, 0x80, random_kernel_end_stub, 0xEE);
    put64(image, IMAGE_TSS + 4, RANDOM_PROGRAM_BASE + IMAGE_STACK_TOP);
    put64(image, IMAGE_TSS + 0x60, 0xFFFFull << 48);
    put64(image, 0x1700, 0x4F | (uint64_t)(RANDOM_PROGRAM_BASE + IMAGE_GDT) << 16);
    put64(image, 0x1710, 0xFFF | (uint64_t)(RANDOM_PROGRAM_BASE + IMAGE_IDT) << 16);
}

static void put_page_tables(uint8_t *image)
{
    const unsigned pml4 = IMAGE_TABLES, pdpt = pml4 + 0x1000, pd = pml4 + 0x2000, arena = pml4 + 0x3000;
    const uint64_t base = RANDOM_PROGRAM_BASE;

    put64(image, pml4, (base + pdpt) | 7);
    put64(image, pdpt, (base + pd) | 7);
    put64(image, pd, 0x83); /* the first 2 MiB, large, the kernel's alone */
    put64(image, pd + (NATIVE_CODE >> 21) * 8, (base + arena) | 7);
    for (unsigned page = 0; page < 0x16; page++) {
        uint32_t linear = NATIVE_CODE + page * 0x1000;
        uint64_t rights = 0;
        if (page < 14 || (linear >= NATIVE_DATA && linear < NATIVE_DATA + NATIVE_DATA_BYTES))
            rights = 7;
        else if (linear >= NATIVE_RODATA && linear < NATIVE_RODATA + NATIVE_RODATA_BYTES)
            rights = 5;
        if (rights)
            put64(image, arena + page * 8, (base + IMAGE_ARENA + page * 0x1000) | rights);
    }
}

/* ---- the body ------------------------------------------------------------------------------------------------------- */

struct body {
    const struct random_program *program;
    const struct cpu_model *model;
    struct native_case c; /* the case being placed; its generator is everybody's */
    uint8_t *code;        /* the arena */
    uint64_t random;
    uint8_t patch[RANDOM_PROGRAM_SLOTS_MAX]; /* where in a slot a 32-bit immediate is; 0: nowhere */
    bool may_copy[RANDOM_PROGRAM_SLOTS_MAX];
    unsigned loops;
};

static uint64_t body_random(struct body *b)
{
    uint64_t z = b->random += 0x9E3779B97F4A7C15ull;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

static unsigned pick(struct body *b, unsigned n)
{
    return (unsigned)(body_random(b) % n);
}

/* A slot's rest: nothing, in instructions of one to four bytes, or a jump over INT3s. */
static void pad(struct body *b, struct native_encoding *e)
{
    static const uint32_t nops[] = {0x90, 0x9066, 0x001F0F, 0x00401F0F};

    if (pick(b, 3) == 0 && SLOT_BYTES - e->length >= 2) {
        native_emit(e, 0xEB, 1);
        native_emit(e, SLOT_BYTES - e->length - 1, 1);
        while (e->length < SLOT_BYTES)
            native_emit(e, 0xCC, 1);
    }
    while (e->length < SLOT_BYTES) {
        unsigned size = 1 + pick(b, 4);
        if (size <= SLOT_BYTES - e->length)
            native_emit(e, nops[size - 1], size);
    }
}

static bool wanted_row(struct body *b, const struct opcode_row *row)
{
    enum native_group group = native_group_of(row);

    if (group == NATIVE_GROUP_BRANCH || (row->feature && !cpu_model_has(b->model, row->feature)))
        return false;
    return group != NATIVE_GROUP_SYSTEM || pick(b, 8) == 0; /* most of them fault */
}

static void put_native(struct body *b, struct native_encoding *e, unsigned slot)
{
    unsigned bits = b->program->bits;
    const struct native_profile profile = {.bits = bits, .aligned = pick(b, 2)};
    struct native_case *c = &b->c;
    const struct opcode_row *row;

    do
        row = &opcode_rows[body_random(b) % opcode_rows_count];
    while (!wanted_row(b, row) || !native_generate(c, row, &profile, body_random(b)));
    for (unsigned reg = 0; reg < 16; reg++)
        if ((c->placed >> reg & 1) && e->length + 10 + c->length <= SLOT_BYTES)
            native_emit_move(e, bits, reg, c->in.gpr[reg]);
    if (c->rip_disp_at) {
        uint32_t disp, from = NATIVE_CODE + slot * SLOT_BYTES + e->length;
        memcpy(&disp, c->code + c->rip_disp_at, 4);
        disp += (uint32_t)c->in.rip - from;
        memcpy(c->code + c->rip_disp_at, &disp, 4);
    }
    memcpy(e->bytes + e->length, c->code, c->length);
    e->length += c->length;
    b->may_copy[slot] = true;
}

/* To a slot not far ahead. */
static void put_branch(struct body *b, struct native_encoding *e, unsigned slot)
{
    unsigned ahead = 1 + pick(b, 8), bits = b->program->bits;

    if (slot + ahead >= b->program->slots)
        ahead = 1;
    bool call = pick(b, 6) == 0;
    unsigned length = bits == 16 ? (call ? 3 : 4) : (call ? 5 : 6), distance = ahead * SLOT_BYTES - length;
    if (call) {
        native_emit(e, 0xE8, 1);
    } else {
        native_emit(e, 0x0F, 1);
        native_emit(e, 0x80u + pick(b, 16), 1);
    }
    native_emit(e, distance, bits == 16 ? 2 : 4);
}

/* To a slot ahead by a register, or by a return. */
static void put_indirect(struct body *b, struct native_encoding *e, unsigned slot)
{
    unsigned ahead = 1 + pick(b, 8), reg = pick(b, 4), bits = b->program->bits;

    if (slot + ahead >= b->program->slots)
        ahead = 1;
    native_emit_move(e, bits, reg, (bits == 16 ? 0 : NATIVE_CODE) + (slot + ahead) * SLOT_BYTES);
    switch (pick(b, 3)) {
    case 0: native_emit(e, 0xE0FF + reg * 0x100, 2); break; /* JMP */
    case 1: native_emit(e, 0xD0FF + reg * 0x100, 2); break; /* CALL */
    case 2: native_emit(e, 0xC350 + reg, 2); break;         /* PUSH, RET */
    }
}

/* [address] of a MOV, DEC or the like: opcode and ModRM digit. */
static void put_absolute(struct native_encoding *e, unsigned bits, unsigned opcode, unsigned digit, uint32_t address)
{
    if (bits == 16)
        native_emit(e, 0x6667, 2);
    native_emit(e, opcode, 1);
    native_emit(e, bits == 64 ? 0x2504u | digit << 3 : 0x05u | digit << 3, bits == 64 ? 2 : 1);
    native_emit(e, address, 4);
}

/* The end of a loop: its counter in memory, modulo 2, 4 or 8; JNZ to a slot not far behind. */
static void put_loop(struct body *b, struct native_encoding *e, unsigned slot)
{
    unsigned bits = b->program->bits, back = 1 + pick(b, 12);
    uint32_t counter = NATIVE_DATA + 0x80 + b->loops++ % 64 * 4;

    if (back > slot)
        back = slot;
    put_absolute(e, bits, 0xFF, 1, counter); /* DEC */
    put_absolute(e, bits, 0x83, 4, counter); /* AND */
    native_emit(e, (2u << pick(b, 3)) - 1, 1);
    native_emit(e, 0x850F, 2);
    native_emit(e, 0 - (back * SLOT_BYTES + e->length + (bits == 16 ? 2 : 4)), bits == 16 ? 2 : 4);
}

/* ADD EAX, imm32: what the stores below change. */
static void put_patched(struct body *b, struct native_encoding *e, unsigned slot)
{
    if (b->program->bits == 16)
        native_emit(e, 0x66, 1);
    native_emit(e, 0x05, 1);
    b->patch[slot] = (uint8_t)e->length;
    native_emit(e, body_random(b), 4);
    b->may_copy[slot] = true;
}

/* MOV dword [immediate of a patched slot], imm32: the slot may be this one's neighbour, behind it, or far away. */
static void put_store(struct body *b, struct native_encoding *e, unsigned slot)
{
    unsigned to = pick(b, 2) && slot + 1 < b->program->slots ? slot + 1 : pick(b, b->program->slots);

    for (unsigned tries = 0; tries < b->program->slots && !b->patch[to]; tries++)
        to = (to + 1) % b->program->slots;
    if (!b->patch[to])
        return;
    put_absolute(e, b->program->bits, 0xC7, 0, NATIVE_CODE + to * SLOT_BYTES + b->patch[to]);
    native_emit(e, body_random(b), 4);
}

/* REP MOVSD of a whole slot over another. */
static void put_copy(struct body *b, struct native_encoding *e, unsigned slot)
{
    unsigned from = pick(b, b->program->slots), to = pick(b, b->program->slots), bits = b->program->bits;

    if (!b->may_copy[from] || !b->may_copy[to] || from == slot || to == slot)
        return;
    native_emit_move(e, bits, CPU_RSI, NATIVE_CODE + from * SLOT_BYTES);
    native_emit_move(e, bits, CPU_RDI, NATIVE_CODE + to * SLOT_BYTES);
    native_emit_move(e, bits, CPU_RCX, SLOT_BYTES / 4);
    if (bits == 16)
        native_emit(e, 0x6667, 2);
    native_emit(e, 0xFC, 1); /* CLD; prefixes do nothing to it */
    if (bits == 16)
        native_emit(e, 0x6667, 2);
    native_emit(e, 0xA5F3, 2);
}

static void put_slot(struct body *b, unsigned slot)
{
    struct native_encoding e = {.length = 0};
    unsigned kind = pick(b, 100);

    if (slot + 1 == b->program->slots)
        native_emit(&e, 0x80CD, 2); /* INT 80h: the end */
    else if (b->patch[slot])
        put_patched(b, &e, slot);
    else if (kind < 6)
        put_branch(b, &e, slot);
    else if (kind < 8)
        put_indirect(b, &e, slot);
    else if (kind < 11 && slot)
        put_loop(b, &e, slot);
    else if (kind < 16)
        put_store(b, &e, slot);
    else if (kind < 19)
        put_copy(b, &e, slot);
    else
        put_native(b, &e, slot);
    pad(b, &e);
    memcpy(b->code + slot * SLOT_BYTES, e.bytes, SLOT_BYTES);
}

/* Any rounding and precision, denormals as zero, some exceptions unmasked. */
static void put_controls(struct body *b, uint8_t *fx)
{
    const uint16_t fcw = (uint16_t)(0x40 | pick(b, 0x1000) | (pick(b, 2) ? 0x3F : 0));
    const uint32_t mxcsr = pick(b, 0x10000) & ~0x3Fu, masked = pick(b, 2) ? 0x1F80 : 0;
    const uint32_t both = mxcsr | masked;

    memcpy(fx + NATIVE_FX_FCW, &fcw, 2);
    memcpy(fx + NATIVE_FX_MXCSR, &both, 4);
}

static void put_start(struct body *b, uint8_t *image)
{
    const struct random_program *p = b->program;
    static const uint64_t cs[] = {[1] = 0x48 | 3, [2] = 0x20 | 3, [4] = 0x30 | 3};
    uint64_t base = p->bits == 16 ? 0 : NATIVE_CODE;

    native_case_init(&b->c, body_random(b), p->bits == 64 ? 64 : 32);
    for (unsigned n = 0; n < 16; n++)
        put64(image, IMAGE_TABLE + n * 8, b->c.in.gpr[n]);
    put64(image, IMAGE_TABLE + WORD_RIP * 8, base);
    put64(image, IMAGE_TABLE + WORD_RFLAGS * 8, b->c.in.rflags);
    put64(image, IMAGE_TABLE + WORD_CS * 8, cs[p->bits / 16]);
    put64(image, IMAGE_TABLE + WORD_LOOPS * 8, p->iterations);
    put64(image, IMAGE_TABLE + WORD_BODY * 8, p->slots * SLOT_BYTES);
    put64(image, IMAGE_TABLE + WORD_BASE * 8, base);
    put64(image, IMAGE_TABLE + WORD_PERIOD * 8, 4 + pick(b, 40)); /* in 838 ns */
    memcpy(image + IMAGE_FX, b->c.in.fx, NATIVE_FX_BYTES);
    if (pick(b, 2))
        put_controls(b, image + IMAGE_FX);
    memcpy(image + IMAGE_ARENA + NATIVE_DATA - NATIVE_CODE, b->c.data, NATIVE_DATA_BYTES);
    memset(image + IMAGE_ARENA + NATIVE_RODATA - NATIVE_CODE, 0x5A, NATIVE_RODATA_BYTES);
}

void random_program_make(const struct random_program *program, const struct cpu_model *model, uint8_t *image)
{
    static struct body b;

    memset(&b, 0, sizeof b);
    b.program = program;
    b.model = model;
    b.code = image + IMAGE_ARENA;
    b.random = program->seed * 4 + program->bits / 32;
    memset(image, 0, RANDOM_PROGRAM_BYTES);
    memcpy(image, random_kernel_start, (size_t)(random_kernel_end - random_kernel_start));
    put_descriptors(image);
    put_page_tables(image);
    put_start(&b, image);
    for (unsigned slot = 0; slot + 1 < program->slots; slot++) /* patched slots first: stores must know them */
        b.patch[slot] = pick(&b, 8) == 0 ? (program->bits == 16 ? 2 : 1) : 0;
    for (unsigned slot = 0; slot < program->slots; slot++)
        put_slot(&b, slot);
}
