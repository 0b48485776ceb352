/* Protected mode as nobody uses it any more: limits, expand-down, descriptor checks, LDT, 16-bit code, call gates with
 * parameters, ring 3 with an I/O bitmap, hardware tasks (JMP, CALL and IRET, a task gate), virtual-8086 mode with a monitor.
 * Expectations by hand from Intel's SDM, volume 3, chapters 5, 7 and 20. Says every miss, then the verdict. (QEMU's TCG does not
 * check limits: it misses those and no other.) */
#include "guest.h"

enum {
    CODE0 = 0x08,
    DATA0 = 0x10,
    CODE3 = 0x1B,
    DATA3 = 0x23,
    TSS_MAIN = 0x28,
    TSS_OTHER = 0x30,
    LDT = 0x38,
    LIMITED = 0x40,
    EXPAND_DOWN = 0x48,
    READ_ONLY = 0x50,
    ABSENT = 0x58,
    CODE16 = 0x60,
    CALL_GATE = 0x68,
    TASK_GATE = 0x70,
    EXECUTE_ONLY = 0x78,
    GATE_TO_RING_3 = 0x80,
    SELECTORS = 0x88,
    LDT_DATA = 0x04, /* entry 0 of the LDT */
};

struct tss {
    uint32_t back, esp0, ss0, unused[4], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, bitmap_offset;
    uint8_t bitmap[129]; /* ports 0 to 1023 and the byte of ones */
} __attribute__((packed));

static uint64_t gdt[SELECTORS / 8], ldt[1];
static struct tss tss_main, tss_other;
static uint8_t memory[8192] __attribute__((aligned(4096)));
static uint8_t ring0_stack[4096], ring3_stack[4096], task_stack[4096];
static unsigned checks, misses;

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t access, uint32_t flags)
{
    uint32_t low = (limit & 0xFFFF) | base << 16;
    uint32_t high = (base >> 16 & 0xFF) | access << 8 | (limit & 0xF0000) | flags << 20 | (base & 0xFF000000u);
    return (uint64_t)high << 32 | low;
}

static uint64_t gate(uint32_t selector, uint32_t offset, uint32_t access, uint32_t parameters)
{
    return (uint64_t)((offset & 0xFFFF0000u) | access << 8 | parameters) << 32 | selector << 16 | (offset & 0xFFFF);
}

static void check(const char *what, uint32_t got, uint32_t wanted)
{
    checks++;
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %x, expected %x\n", what, got, wanted);
}

/* ---- faults: vector << 16 | error code; 0 when there was none ---- */

static volatile uint32_t fault;
static uintptr_t resume;

static void on_exception(unsigned vector, uintptr_t error, uintptr_t *rip)
{
    fault = vector << 16 | (uint16_t)error | 0x80000000u;
    *rip = resume;
}

#define FAULT(vector, error) (0x80000000u | (vector) << 16 | (error))
#define TRY(code, ...)                                                                                                 \
    ({                                                                                                                 \
        fault = 0;                                                                                                     \
        __asm__ volatile("movl $9f, %0\n" code "\n9: movl $0x10, %%eax; movw %%ax, %%es; movw %%ax, %%fs"              \
                         : "=m"(resume)                                                                                \
                         : __VA_ARGS__                                                                                 \
                         : "eax", "ecx", "edx", "memory", "cc");                                                       \
        fault;                                                                                                         \
    })
#define TRY_ES(selector, code) TRY("movw %w1, %%es\n" code, "b"((uint32_t)(selector)))

static void segments(void)
{
    check("within the limit", TRY_ES(LIMITED, "movb %%es:0xFFF, %%al"), 0);
    check("byte beyond the limit", TRY_ES(LIMITED, "movb %%es:0x1000, %%al"), FAULT(13, 0));
    check("word across the limit", TRY_ES(LIMITED, "movw %%es:0xFFF, %%ax"), FAULT(13, 0));
    check("dword below 4 GiB", TRY_ES(LIMITED, "movl %%es:0xFFFFFFFE, %%eax"), FAULT(13, 0));
    check("expand-down, below", TRY_ES(EXPAND_DOWN, "movb %%es:0xFFF, %%al"), FAULT(13, 0));
    check("expand-down, above", TRY_ES(EXPAND_DOWN, "movb %%es:0x1000, %%al"), 0);
    check("read-only, read", TRY_ES(READ_ONLY, "movb %%es:0, %%al"), 0);
    check("read-only, write", TRY_ES(READ_ONLY, "movb %%al, %%es:0"), FAULT(13, 0));
    check("null, load", TRY_ES(0, ""), 0);
    check("null, use", TRY_ES(0, "movb %%es:0, %%al"), FAULT(13, 0));
    check("absent, load", TRY_ES(ABSENT, ""), FAULT(11, ABSENT));
    check("beyond the GDT", TRY_ES(SELECTORS + 3, ""), FAULT(13, SELECTORS));
    check("execute-only, load", TRY_ES(EXECUTE_ONLY, ""), FAULT(13, EXECUTE_ONLY));
    check("RPL 3 on DPL 0", TRY_ES(DATA0 | 3, ""), FAULT(13, DATA0));
    check("a system descriptor", TRY_ES(TSS_MAIN, ""), FAULT(13, TSS_MAIN));
    check("SS null", TRY("xorl %%eax, %%eax; movw %%ax, %%ss", "b"(0)), FAULT(13, 0));
    check("SS read-only", TRY("movw %w1, %%ss", "b"(READ_ONLY)), FAULT(13, READ_ONLY));
    check("SS absent", TRY("movw %w1, %%ss", "b"(ABSENT)), FAULT(12, ABSENT));
    check("LDT data", TRY_ES(LDT_DATA, "movb $0x5A, %%es:7"), 0);
    check("LDT data's base", memory[0x800 + 7], 0x5A);
    check("LDT data's limit", TRY_ES(LDT_DATA, "movb $0x5A, %%es:16"), FAULT(13, 0));
    check("beyond the LDT", TRY_ES(LDT_DATA + 8, ""), FAULT(13, LDT_DATA + 8));
    check("far jump to data", TRY("ljmp $0x10, $0", "b"(0)), FAULT(13, DATA0));
    check("far jump to null", TRY("ljmp $0, $0", "b"(0)), FAULT(13, 0));
    check("far jump to ring 3", TRY("ljmp $0x1B, $0", "b"(0)), FAULT(13, CODE3 & ~3));

    uint32_t value = 0, zero;
    __asm__ volatile("lsl %2, %0; setz %b1" : "=r"(value), "=&q"(zero) : "r"((uint32_t)LIMITED) : "cc");
    check("LSL", value, 0xFFF);
    __asm__ volatile("lsl %1, %0" : "=r"(value) : "r"((uint32_t)DATA0) : "cc");
    check("LSL of 4 KiB units", value, 0xFFFFFFFF);
    __asm__ volatile("lar %1, %0" : "=r"(value) : "r"((uint32_t)READ_ONLY) : "cc");
    check("LAR", value & 0xF0FF00, 0x409100); /* accessed: it was loaded above */
    uint8_t flag;
    __asm__ volatile("verw %w1; setz %0" : "=q"(flag) : "r"((uint32_t)READ_ONLY) : "cc");
    check("VERW of read-only", flag, 0);
    __asm__ volatile("verr %w1; setz %0" : "=q"(flag) : "r"((uint32_t)EXECUTE_ONLY) : "cc");
    check("VERR of execute-only", flag, 0);
    __asm__ volatile("verr %w1; setz %0" : "=q"(flag) : "r"((uint32_t)READ_ONLY) : "cc");
    check("VERR of read-only", flag, 1);
}

/* ---- 16-bit code ---- */

uint32_t code16(void); /* far */
__asm__(".text\n"
        ".globl code16\n"
        "code16:\n"
        ".code16\n"
        "mov $0xFFFF, %ax\n"
        "inc %ax\n" /* 16 bits wrap, the upper half of EAX stays */
        "push %cs\n"
        "pop %ax\n"
        "data32 lret\n"
        ".code32\n");

static void code_of_16_bits(void)
{
    uint32_t value;
    struct {
        uint32_t offset;
        uint16_t selector;
    } __attribute__((packed)) target = {0, CODE16};
    __asm__ volatile("movl $0x12340000, %%eax; lcall *%1" : "=&a"(value) : "m"(target) : "ecx", "edx", "memory", "cc");
    check("16-bit code", value, 0x12340000u | CODE16);
}

/* ---- ring 3, call gates ---- */

/* call_ring3(function, DATA3, stack): function runs in ring 3 and comes back through INT 30h, with EAX. */
uint32_t call_ring3(void (*function)(void), uint32_t *stack);
void ring3_end(void), gate_target(void), ring3_gate(void), ring3_sti(void), ring3_ports(void), ring3_hlt(void),
    ring3_allowed(void);
extern uint32_t kernel_esp;
__asm__(".text\n"
        "call_ring3:\n"
        "push %ebp; push %ebx; push %esi; push %edi; pushf\n"
        "mov %esp, kernel_esp\n"
        "mov 24(%esp), %eax\n"
        "mov 28(%esp), %ecx\n"
        "mov $0x23, %dx\n mov %dx, %ds\n mov %dx, %es\n"
        "push $0x23\n push %ecx\n push $2\n push $0x1B\n push %eax\n"
        "iret\n"
        "ring3_end:\n" /* vector 30h */
        "mov $0x10, %dx\n mov %dx, %ds\n mov %dx, %es\n mov %dx, %fs\n mov %dx, %gs\n"
        "mov kernel_esp, %esp\n"
        "popf; pop %edi; pop %esi; pop %ebx; pop %ebp\n"
        "ret\n"
        "gate_target:\n" /* ring 0, by the gate: its two parameters were copied */
        "mov 8(%esp), %eax\n"
        "shl $16, %eax\n"
        "mov 12(%esp), %ax\n"
        "xor 4(%esp), %eax\n" /* CS of the caller */
        "lret $8\n"
        "ring3_gate:\n"
        "push $0x2222\n push $0x1111\n"
        "mov %esp, %esi\n"
        "lcall $0x6B, $0\n"
        "sub %esp, %esi\n" /* LRET 8 has taken the parameters from this stack too */
        "shl $28, %esi\n"
        "xor %esi, %eax\n"
        "int $0x30\n"
        "ring3_hlt: hlt\n ring3_sti: sti\n ring3_ports: in $0x71, %al\n"
        "1: jmp 1b\n"
        "ring3_allowed: xor %eax, %eax; in $0x64, %al\n xor %eax, %eax\n int $0x30\n"
        ".data\n"
        "kernel_esp: .long 0\n"
        ".text\n");

static void ring3_return(void)
{
    __asm__ volatile("int $0x30");
}

static uint32_t ring3_fault(void (*function)(void))
{
    resume = (uintptr_t)ring3_return;
    fault = 0;
    call_ring3(function, (uint32_t *)(void *)(ring3_stack + sizeof ring3_stack));
    return fault;
}

static void ring3(void)
{
    uint32_t *stack = (uint32_t *)(void *)(ring3_stack + sizeof ring3_stack);
    check("call gate", call_ring3(ring3_gate, stack), 0x11112222u ^ CODE3 ^ (0xFFFFFFF8u << 28));
    check("HLT in ring 3", ring3_fault(ring3_hlt), FAULT(13, 0));
    check("STI in ring 3", ring3_fault(ring3_sti), FAULT(13, 0));
    check("port 71h, forbidden", ring3_fault(ring3_ports), FAULT(13, 0));
    check("port 64h, allowed", ring3_fault(ring3_allowed), 0);
    check("gate to an outer ring", TRY("lcall $0x80, $0", "b"(0)), FAULT(13, CODE3 & ~3));
}

/* ---- tasks ---- */

static volatile uint32_t task_steps, task_back, task_nested, task_selector;
static void task_main(void);
__asm__(".text\n"
        "task_entry:\n"
        "call task_main\n"
        "iret\n" /* NT is set: back to the task that called; at the next call it goes on here */
        "jmp task_entry\n");
void task_entry(void);

static __attribute__((used)) void task_main(void)
{
    uint32_t flags;
    uint16_t selector;
    __asm__ volatile("pushfl; popl %0; str %1" : "=r"(flags), "=r"(selector));
    task_nested = flags >> 14 & 1;
    task_selector = selector;
    task_back = tss_other.back;
    task_steps++;
}

static void tasks(void)
{
    tss_other = (struct tss){.eip = (uint32_t)(uintptr_t)task_entry,
                             .esp = (uint32_t)(uintptr_t)(task_stack + sizeof task_stack),
                             .eflags = 2,
                             .cs = CODE0,
                             .ss = DATA0,
                             .ds = DATA0,
                             .es = DATA0,
                             .fs = DATA0,
                             .gs = DATA0,
                             .bitmap_offset = 104};
    uint32_t kept = 0x13579BDF;
    __asm__ volatile("lcall $0x30, $0" : "+b"(kept)::"memory", "cc");
    check("task by CALL", task_steps, 1);
    check("its NT", task_nested, 1);
    check("its back link", task_back, TSS_MAIN);
    check("its TR", task_selector, TSS_OTHER);
    check("registers kept", kept, 0x13579BDF);
    __asm__ volatile("lcall $0x70, $0" ::: "memory", "cc");
    check("task by a task gate", task_steps, 2);
    __asm__ volatile("int $0x31" ::: "memory", "cc");
    check("task by an interrupt", task_steps, 3);
    uint32_t cr0;
    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    check("CR0.TS after a task switch", cr0 >> 3 & 1, 1);
    __asm__ volatile("clts");
    check("busy bits", (uint32_t)(gdt[TSS_MAIN / 8] >> 40 & 0xFF) << 8 | (uint32_t)(gdt[TSS_OTHER / 8] >> 40 & 0xFF),
          0x8B89);
    check("LTR of a busy task", TRY("movl $0x28, %%eax; ltr %%ax", "b"(0)), FAULT(13, TSS_MAIN));
    check("JMP to a busy task", TRY("ljmp $0x28, $0", "b"(0)), FAULT(13, TSS_MAIN));
}

/* ---- virtual-8086 mode ---- */

struct v86_frame {
    uint32_t edi, esi, ebp, esp_ring0, ebx, edx, ecx, eax, error, eip, cs, eflags, esp, ss, es, ds, fs, gs;
};
uint32_t v86_run(void);
void v86_gp(void);
void v86_monitor(struct v86_frame *frame, uint32_t ds);
void v86_done(void);
extern const uint8_t v86_code[], v86_code_end[];
static volatile uint32_t v86_trapped, v86_ds_seen, v86_frame_segments, v86_interrupts;
static uintptr_t plain_gp __attribute__((used));

__asm__(".text\n"
        "v86_run:\n"
        "push %ebp; push %ebx; push %esi; push %edi; pushf\n"
        "mov %esp, kernel_esp\n"
        "push $0xA01\n push $0xA02\n push $0xA03\n push $0xA04\n" /* GS FS DS ES */
        "push $0x700\n push $0xFFE\n push $0x20002\n push $0x800\n push $0\n"
        "iret\n"
        "v86_done:\n"
        "mov kernel_esp, %esp\n"
        "mov v86_result_value, %eax\n"
        "popf; pop %edi; pop %esi; pop %ebx; pop %ebp\n"
        "ret\n"
        "v86_gp:\n"
        "testl $0x20000, 12(%esp)\n"
        "jnz 1f\n"
        "jmp *plain_gp\n" /* SS is flat, DS too: not from V86 */
        "1: pusha\n"
        "mov %ds, %eax\n"
        "mov $0x10, %cx\n mov %cx, %ds\n mov %cx, %es\n mov %cx, %fs\n mov %cx, %gs\n"
        "mov %esp, %ecx\n"
        "push %eax\n push %ecx\n"
        "call v86_monitor\n"
        "add $8, %esp\n"
        "popa\n"
        "add $4, %esp\n"
        "iret\n"
        ".data\n"
        "v86_result_value: .long 0\n"
        ".section .rodata\n"
        "v86_code:\n"
        ".code16\n"
        "mov $0x900, %ax\n"
        "mov %ax, %ds\n"
        "movw $0xBEEF, 0x10\n" /* linear 9010h */
        "mov %fs, %bx\n"
        "push %bx\n"
        "pop %cx\n"
        "cli\n"       /* traps: IOPL 0 */
        "int $0x21\n" /* traps */
        "pushf\n"     /* traps */
        "mov $0xFFFF, %si\n"
        "lodsb\n" /* SI wraps */
        "add %si, %cx\n"
        "mov %ds:0xFFFF, %ax\n" /* across the limit of 64 KiB: #GP */
        "hlt\n"
        "v86_code_end:\n"
        ".code32\n"
        ".text\n");

extern uint32_t v86_result_value;

void v86_monitor(struct v86_frame *frame, uint32_t ds)
{
    const uint8_t *code = (const uint8_t *)(uintptr_t)(frame->cs * 16 + frame->eip);
    v86_ds_seen = ds & 0xFFFF;
    v86_frame_segments =
        (frame->ds & 0xFFF) << 20 | (frame->es & 0xFFF) << 8 | (frame->fs & 0xF) << 4 | (frame->gs & 0xF);
    v86_trapped++;
    if (frame->error)
        misses++;
    switch (code[0]) {
    case 0xFA: frame->eip += 1; return;
    case 0x9C: frame->eip += 1; return;
    case 0xCD:
        v86_interrupts = code[1];
        frame->eip += 2;
        return;
    case 0xA1: frame->eip += 3; return; /* the word across the limit */
    case 0x3E: frame->eip += 4; return; /* the same with its prefix */
    case 0xF4:
        v86_result_value = (frame->ebx & 0xFFFF) << 16 | (frame->ecx & 0xFFFF);
        v86_done();
        return;
    default:
        guest_print("virtual-8086: unexpected trap at %x:%x, code %x\n", frame->cs, frame->eip, (uint32_t)code[0]);
        guest_exit(98);
    }
}

static void virtual_8086(void)
{
    volatile uint8_t *low = (volatile uint8_t *)(uintptr_t)0x8000;
    volatile uint16_t *written = (volatile uint16_t *)(uintptr_t)0x9010;
    __asm__("" : "+r"(low), "+r"(written));
    for (const uint8_t *byte = v86_code; byte < v86_code_end; byte++)
        *low++ = *byte;
    *written = 0;
    check("virtual-8086 registers", v86_run(), 0xA020A02u);
    check("virtual-8086 store", *written, 0xBEEF);
    check("virtual-8086 traps", v86_trapped, 5);
    check("virtual-8086 INT", v86_interrupts, 0x21);
    check("DS in the monitor", v86_ds_seen, 0);
    check("segments on the frame", v86_frame_segments, 0x900A0421);
}

/* ---- set-up ---- */

static void set_gate(unsigned vector, uint64_t value)
{
    struct {
        uint16_t limit;
        uint64_t *base;
    } __attribute__((packed)) pointer;
    __asm__ volatile("sidt %0" : "=m"(pointer));
    /* The table has 48 vectors; guest_exception's are in it. 30h and 31h need a longer one. */
    static uint64_t table[0x32];
    if (pointer.base != table) {
        for (unsigned n = 0; n < 48; n++)
            table[n] = pointer.base[n];
        pointer.limit = sizeof table - 1;
        pointer.base = table;
        __asm__ volatile("lidt %0" ::"m"(pointer));
    }
    if (vector == 13)
        plain_gp = (uintptr_t)((table[13] >> 32 & 0xFFFF0000u) | (table[13] & 0xFFFF));
    table[vector] = value;
}

static void load_tables(void)
{
    struct {
        uint16_t limit;
        uint64_t *base;
    } __attribute__((packed)) pointer = {sizeof gdt - 1, gdt};
    uint32_t data = (uint32_t)(uintptr_t)memory;
    gdt[CODE0 / 8] = descriptor(0, 0xFFFFF, 0x9A, 0xC);
    gdt[DATA0 / 8] = descriptor(0, 0xFFFFF, 0x92, 0xC);
    gdt[CODE3 / 8] = descriptor(0, 0xFFFFF, 0xFA, 0xC);
    gdt[DATA3 / 8] = descriptor(0, 0xFFFFF, 0xF2, 0xC);
    gdt[TSS_MAIN / 8] = descriptor((uint32_t)(uintptr_t)&tss_main, sizeof tss_main - 1, 0x89, 0);
    gdt[TSS_OTHER / 8] = descriptor((uint32_t)(uintptr_t)&tss_other, 103, 0x89, 0);
    gdt[LDT / 8] = descriptor((uint32_t)(uintptr_t)ldt, sizeof ldt - 1, 0x82, 0);
    gdt[LIMITED / 8] = descriptor(data, 0xFFF, 0x92, 0x4);
    gdt[EXPAND_DOWN / 8] = descriptor(data, 0xFFF, 0x96, 0x4);
    gdt[READ_ONLY / 8] = descriptor(data, 0xFFF, 0x90, 0x4);
    gdt[ABSENT / 8] = descriptor(data, 0xFFF, 0x12, 0x4);
    gdt[CODE16 / 8] = descriptor((uint32_t)(uintptr_t)code16, 0xFFFF, 0x9A, 0);
    gdt[CALL_GATE / 8] = gate(CODE0, (uint32_t)(uintptr_t)gate_target, 0xEC, 2);
    gdt[TASK_GATE / 8] = gate(TSS_OTHER, 0, 0x85, 0);
    gdt[EXECUTE_ONLY / 8] = descriptor(0, 0xFFFFF, 0x98, 0xC);
    gdt[GATE_TO_RING_3 / 8] = gate(CODE3, 0, 0xEC, 0);
    ldt[0] = descriptor(data + 0x800, 15, 0x92, 0x4);
    tss_main.ss0 = DATA0;
    tss_main.esp0 = (uint32_t)(uintptr_t)(ring0_stack + sizeof ring0_stack);
    tss_main.bitmap_offset = 104;
    for (unsigned n = 0; n < sizeof tss_main.bitmap; n++)
        tss_main.bitmap[n] = 0xFF;
    tss_main.bitmap[0x64 / 8] &= (uint8_t) ~(1u << (0x64 & 7));
    __asm__ volatile("lgdt %0; ljmp $0x08, $1f; 1: lldt %w1; ltr %w2" ::"m"(pointer), "r"((uint32_t)LDT),
                     "r"((uint32_t)TSS_MAIN)
                     : "memory");
    set_gate(0x30, gate(CODE0, (uint32_t)(uintptr_t)ring3_end, 0xEE, 0));
    set_gate(0x31, gate(TSS_OTHER, 0, 0x85, 0));
    set_gate(13, gate(CODE0, (uint32_t)(uintptr_t)v86_gp, 0x8E, 0));
}

void guest_main(void)
{
    guest_interrupts_init();
    guest_exception = on_exception;
    load_tables();
    segments();
    code_of_16_bits();
    ring3();
    tasks();
    virtual_8086();
    guest_print("protected32: %u checks, %s, tsc %X\n", checks, misses ? "misses" : "all as expected", rdtsc());
    guest_exit(misses ? 2 : 0);
}
