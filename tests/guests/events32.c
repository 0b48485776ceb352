/* Events that wait for each other, and hardware tasks as event handlers: NMIs are blocked up to the next IRET (that of a nested
 * exception too), STI and MOV SS hold interrupts back for one instruction; a double fault by a task gate, the T bit of a TSS,
 * #TS of JMP and IRET. Expectations from Intel's SDM, volume 3, 6.7.1, 6.8.1, 6.8.3, 6.15, 7.2, 7.3; volume 2, STI. */
#include "guest.h"

#define LAPIC ((volatile uint32_t *)(uintptr_t)0xFEE00000)
enum {
    CODE0 = 0x08,
    DATA0 = 0x10,
    TSS_MAIN = 0x18,
    TSS_DOUBLE = 0x20,
    TSS_TRAP = 0x28,
    TSS_SHORT = 0x30,
    GDT_BYTES = 0x38
};
enum { NT = 0x4000, BT = 0x8000, RF = 0x10000 };

struct tss {
    uint32_t back, esp0, ss0, unused[4], cr3, eip, eflags, eax, ecx, edx, ebx, esp, ebp, esi, edi;
    uint32_t es, cs, ss, ds, fs, gs, ldt;
    uint16_t trap, bitmap_offset;
} __attribute__((packed));

static uint64_t gdt[GDT_BYTES / 8];
static uint64_t *idt;
struct tss tss_main; /* for assembly too */
static struct tss tss_double, tss_trap;
static uint8_t double_stack[2048], trap_stack[2048];
static unsigned checks, misses;

static void check(const char *what, uint32_t got, uint32_t wanted)
{
    checks++;
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %x, expected %x\n", what, got, wanted);
}

static uint64_t descriptor(uint32_t base, uint32_t limit, uint32_t access, uint32_t flags)
{
    uint32_t low = (limit & 0xFFFF) | base << 16;
    uint32_t high = (base >> 16 & 0xFF) | access << 8 | (limit & 0xF0000) | flags << 20 | (base & 0xFF000000u);
    return (uint64_t)high << 32 | low;
}
static uint64_t gate(uint32_t selector, uint32_t offset, uint32_t access)
{
    return (uint64_t)((offset & 0xFFFF0000u) | access << 8) << 32 | selector << 16 | (offset & 0xFFFF);
}

/* ---- NMI ---- */

static volatile unsigned nmis, nmis_inside, faults;
static volatile uintptr_t nmi_rip[4];
static volatile bool nested_fault;
static volatile uint32_t fault, debug_status, debug_rip, debug_exceptions, trap_ran_then;
volatile uintptr_t resume;
extern uint32_t trap_ran;

static void send_nmi(void)
{
    LAPIC[0x310 / 4] = LAPIC[0x20 / 4];
    LAPIC[0x300 / 4] = 0x4400; /* NMI, asserted, to oneself by its number */
    __asm__ volatile("nop; nop; nop; nop" ::: "memory");
}

static void on_exception(unsigned vector, uintptr_t error, uintptr_t *rip)
{
    if (vector == 2) {
        unsigned number = nmis++;
        if (number < 4)
            nmi_rip[number] = *rip;
        if (number)
            return;
        send_nmi();
        nmis_inside = nmis;
        if (nested_fault) {
            __asm__ volatile("ud2");
            nmis_inside = nmis;
        }
    } else if (vector == 6) {
        faults++;
        *rip += 2;
    } else if (vector == 1) {
        uint32_t status;
        __asm__ volatile("mov %%dr6, %0" : "=r"(status));
        debug_status = status;
        debug_rip = *rip;
        debug_exceptions++;
        trap_ran_then = trap_ran;
    } else {
        fault = 0x80000000u | vector << 16 | (uint16_t)error;
        *rip = resume;
    }
}

static void nmi(void)
{
    nmis = 0;
    nested_fault = false;
    send_nmi();
    check("NMIs inside the handler of one", nmis_inside, 1);
    check("NMIs after its IRET", nmis, 2);
    check("the second interrupts where the first did", nmi_rip[1], nmi_rip[0]);
    nmis = 0;
    nested_fault = true;
    send_nmi();
    check("NMIs after the IRET of a nested exception", nmis_inside, 2);
    check("all", nmis, 2);
    check("exceptions", faults, 1);
}

/* ---- shadows ---- */

void irq_entry(void);
extern uint32_t irq_eip, irq_count;
__asm__(".text\n"
        "irq_entry:\n"
        "push %eax\n"
        "mov 4(%esp), %eax\n mov %eax, irq_eip\n"
        "incl irq_count\n"
        "mov $0x20, %al\n out %al, $0x20\n"
        "pop %eax\n"
        "iret\n"
        ".data\n irq_eip: .long 0\n irq_count: .long 0\n .text\n");

static void want_interrupt(void)
{
    outb(0x43, 0x30);
    outb(0x40, 20);
    outb(0x40, 0);
    outb(0x20, 0x0A);
    while (!(inb(0x20) & 1))
        ;
    irq_count = irq_eip = 0;
}

#define LABEL(name) #name ":\n .globl " #name "\n"
extern const char h_1[], h_2[], h_3[], h_4[];

static void shadows(void)
{
    want_interrupt();
    __asm__ volatile("sti; nop\n" LABEL(h_1) "nop; nop; cli" ::: "memory");
    check("after STI and one more", irq_eip, (uint32_t)(uintptr_t)h_1);
    want_interrupt();
    __asm__ volatile("sti; sti\n" LABEL(h_2) "nop; nop; cli" ::: "memory");
    check("a second STI holds nothing back", irq_eip, (uint32_t)(uintptr_t)h_2);
    want_interrupt();
    __asm__ volatile("mov %%ss, %%eax; sti; mov %%eax, %%ss; nop\n" LABEL(h_3) "nop; nop; cli" ::: "eax", "memory");
    check("STI, MOV SS and one more", irq_eip, (uint32_t)(uintptr_t)h_3);
    want_interrupt();
    __asm__ volatile("sti; cli; nop; nop" ::: "memory");
    check("STI, CLI", irq_count, 0);
    __asm__ volatile("sti; hlt\n" LABEL(h_4) "cli" ::: "memory");
    check("STI, HLT", irq_eip, (uint32_t)(uintptr_t)h_4);
    check("once", irq_count, 1);
}

/* ---- tasks ---- */

void double_task(void), trap_task(void);
extern uint32_t double_error, double_flags, double_task_register, double_eip, double_saved, trap_ran;
__asm__(".text\n"
        "double_task:\n"
        "pop double_error\n"
        "pushf\n pop double_flags\n"
        "xor %eax, %eax\n str %ax\n mov %eax, double_task_register\n"
        "mov tss_main + 32, %eax\n mov %eax, double_eip\n" /* the faulting EIP */
        "mov tss_main + 36, %eax\n mov %eax, double_saved\n"
        "mov resume, %eax\n mov %eax, tss_main + 32\n"
        "iret\n"
        "jmp double_task\n"
        "trap_task: incl trap_ran\n iret\n jmp trap_task\n"
        ".data\n double_error: .long 1\n double_flags: .long 0\n double_task_register: .long 0\n"
        "double_eip: .long 0\n double_saved: .long 0\n trap_ran: .long 0\n .text\n");

#define TRY(code)                                                                                                      \
    ({                                                                                                                 \
        fault = 0;                                                                                                     \
        __asm__ volatile("movl $9f, %0\n" code "\n9: pushfl; andl $0xFFFFBFFF, (%%esp); popfl"                         \
                         : "=m"(resume)::"eax", "memory", "cc");                                                       \
        fault;                                                                                                         \
    })
#define FAULT(vector, error) (0x80000000u | (vector) << 16 | (error))

static void init_task(struct tss *tss, void (*entry)(void), uint8_t *stack_end)
{
    tss->eip = (uint32_t)(uintptr_t)entry;
    tss->esp = (uint32_t)(uintptr_t)stack_end;
    tss->eflags = 2;
    tss->cs = CODE0;
    tss->ss = tss->ds = tss->es = tss->fs = tss->gs = DATA0;
    tss->bitmap_offset = sizeof *tss;
}

static void load_tables(void)
{
    struct {
        uint16_t limit;
        uint64_t *base;
    } __attribute__((packed)) pointer = {sizeof gdt - 1, gdt}, table;
    gdt[CODE0 / 8] = descriptor(0, 0xFFFFF, 0x9A, 0xC);
    gdt[DATA0 / 8] = descriptor(0, 0xFFFFF, 0x92, 0xC);
    gdt[TSS_MAIN / 8] = descriptor((uint32_t)(uintptr_t)&tss_main, sizeof tss_main - 1, 0x89, 0);
    gdt[TSS_DOUBLE / 8] = descriptor((uint32_t)(uintptr_t)&tss_double, sizeof tss_double - 1, 0x89, 0);
    gdt[TSS_TRAP / 8] = descriptor((uint32_t)(uintptr_t)&tss_trap, sizeof tss_trap - 1, 0x89, 0);
    gdt[TSS_SHORT / 8] = descriptor((uint32_t)(uintptr_t)&tss_trap, 0x66, 0x89, 0);
    init_task(&tss_double, double_task, double_stack + sizeof double_stack);
    init_task(&tss_trap, trap_task, trap_stack + sizeof trap_stack);
    __asm__ volatile("lgdt %0; ltr %w1" ::"m"(pointer), "r"((uint32_t)TSS_MAIN) : "memory");
    __asm__ volatile("sidt %0" : "=m"(table));
    idt = table.base;
    idt[32] = gate(CODE0, (uint32_t)(uintptr_t)irq_entry, 0x8E);
    idt[8] = gate(TSS_DOUBLE, 0, 0x85);
}

extern const char d_1[], d_2[];

static unsigned busy(void)
{
    return (unsigned)(gdt[TSS_MAIN / 8] >> 41 & 1) << 2 | (unsigned)(gdt[TSS_DOUBLE / 8] >> 41 & 1) << 1 |
           (unsigned)(gdt[TSS_TRAP / 8] >> 41 & 1);
}

/* The gate of #GP is absent: #NP while #GP is delivered. */
static void double_fault(void)
{
    uint64_t before = idt[13];

    idt[13] &= ~(1ull << 47);
    (void)TRY("movl $0x1000, %%eax\n" LABEL(d_1) "movw %%ax, %%fs");
    idt[13] = before;
    check("double fault: error code", double_error, 0);
    check("double fault: NT", double_flags & NT, NT);
    check("double fault: task", double_task_register, TSS_DOUBLE);
    check("double fault: link", tss_double.back, TSS_MAIN);
    check("double fault: saved EIP", double_eip, (uint32_t)(uintptr_t)d_1);
    check("busy tasks after IRET", busy(), 4);
}

/* #GP by a task gate: its error code is on the task's stack, RF is set in the TSS of the task that faulted. */
static void fault_task(void)
{
    uint64_t before = idt[13];

    idt[13] = gate(TSS_DOUBLE, 0, 0x85);
    tss_double.eip = (uint32_t)(uintptr_t)double_task;
    (void)TRY("movl $0x1000, %%eax\n" LABEL(d_2) "movw %%ax, %%fs");
    idt[13] = before;
    check("fault by a task gate: error code", double_error, 0x1000);
    check("fault by a task gate: saved EIP", double_eip, (uint32_t)(uintptr_t)d_2);
    check("fault by a task gate: RF", double_saved & RF, RF);
    check("busy tasks", busy(), 4);
}

static void trap_bit(void)
{
    tss_trap.trap = 1;
    __asm__ volatile("lcall $0x28, $0" ::: "memory", "cc");
    check("T bit: one #DB", debug_exceptions, 1);
    check("T bit: DR6.BT", debug_status & BT, BT);
    check("T bit: before the first instruction", trap_ran_then, 0);
    check("T bit: at it", debug_rip, (uint32_t)(uintptr_t)trap_task);
    check("the task has run", trap_ran, 1);
    check("busy tasks after its IRET", busy(), 4);
}

static void invalid_tasks(void)
{
    check("JMP to a short TSS", TRY("ljmp $0x30, $0"), FAULT(10, TSS_SHORT));
    check("CALL of a busy TSS", TRY("lcall $0x18, $0"), FAULT(13, TSS_MAIN));
    tss_main.back = TSS_DOUBLE; /* not busy */
    check("IRET to a task that is not busy", TRY("pushfl; orl $0x4000, (%%esp); popfl; iret"), FAULT(10, TSS_DOUBLE));
    tss_main.back = 0;
    check("IRET to no task", TRY("pushfl; orl $0x4000, (%%esp); popfl; iret"), FAULT(10, 0));
    tss_main.back = 4;
    check("IRET to a task of the LDT", TRY("pushfl; orl $0x4000, (%%esp); popfl; iret"), FAULT(10, 4));
    check("busy tasks", busy(), 4);
}

void guest_main(void)
{
    guest_interrupts_init();
    guest_exception = on_exception;
    load_tables();
    guest_irq_unmask(0);
    nmi();
    shadows();
    double_fault();
    fault_task();
    trap_bit();
    invalid_tasks();
    guest_print("events32: %u checks, %s, tsc %X\n", checks, misses ? "misses" : "all as expected", rdtsc());
    guest_exit(misses ? 2 : 0);
}
