/* Debug exceptions in 64-bit mode: single steps across MOV SS, INT, IRET, SYSCALL and repeated string instructions, breakpoints
 * on execution, data and ports, general detect, ICEBP, branch steps. Expectations from Intel's SDM, volume 3, chapter 17
 * (17.2, 17.3.1, 17.4.3) and 6.8.3. Says every miss, then the verdict. */
#include "guest.h"

enum { TF = 0x100, RF = 0x10000, BS = 0x4000, BD = 0x2000, DR7_GD = 0x2400, TRAPS_MAX = 32 };
enum { MSR_STAR = 0xC0000081, MSR_LSTAR, MSR_SFMASK = 0xC0000084, MSR_EFER = 0xC0000080, MSR_DEBUGCTL = 0x1D9 };

static volatile struct {
    uintptr_t rip, dr6, flags;
} trap[TRAPS_MAX];
static volatile unsigned traps;
static unsigned checks, misses;
static volatile uint32_t words[16] __attribute__((aligned(64)));
static uint8_t from[16], to[16];

static void check(const char *what, uint64_t got, uint64_t wanted)
{
    checks++;
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %X, expected %X\n", what, got, wanted);
}

#define SET_DR(n, value) __asm__ volatile("mov %0, %%dr" #n ::"r"((uintptr_t)(value)))

static void set_msr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

/* A trap is noted; a breakpoint on execution is passed by RF; 20 of them are enough. */
static void on_exception(unsigned vector, uintptr_t error, uintptr_t *rip)
{
    uintptr_t dr6;

    if (vector != 1) {
        guest_print("vector %u, error %x at %X\n", vector, (uint32_t)error, (uint64_t)*rip);
        guest_exit(3);
    }
    __asm__ volatile("mov %%dr6, %0" : "=r"(dr6));
    SET_DR(6, 0xFFFF0FF0);
    if (traps < TRAPS_MAX) {
        trap[traps].rip = *rip;
        trap[traps].dr6 = dr6 & 0xE00F;
        trap[traps].flags = rip[2];
    }
    traps++;
    if (traps > 20)
        rip[2] &= ~(uintptr_t)TF;
    if (dr6 & 0xF)
        rip[2] |= RF;
}

static void expect(unsigned n, const char *what, const void *rip, uintptr_t dr6, uintptr_t rf)
{
    if (n >= traps) {
        check(what, 0, 1);
        return;
    }
    check(what, trap[n].rip, (uintptr_t)rip);
    check(what, trap[n].dr6, dr6);
    check(what, trap[n].flags & RF, rf);
}
static void expect_count(const char *what, unsigned count)
{
    check(what, traps, count);
    traps = 0;
}

#define SET_TF "pushfq; orl $0x100, (%%rsp); popfq\n"
#define CLEAR_TF "pushfq; andl $0xFFFFFEFF, (%%rsp); popfq\n"
#define LABEL(name) #name ":\n .globl " #name "\n"
extern const char s_1[], s_2[], s_4[], s_6[], s_7[], s_rep[], s_after[], s_iret[], s_iret_2[], s_sys_end[];

/* ---- single steps ---- */

static void steps(void)
{
    __asm__ volatile(SET_TF "nop\n" LABEL(s_1) "mov %%ss, %%eax\n" LABEL(
                         s_2) "mov %%eax, %%ss\n"              /* no trap here */
                              "nop\n" LABEL(s_4) "int $0x2F\n" /* clears TF; its IRET sets it, which traps one later */
                                                 "nop\n" LABEL(s_6) CLEAR_TF ::
                                                     : "rax", "memory");
    expect(0, "step: nop", s_1, BS, 0);
    expect(1, "step: mov from ss", s_2, BS, 0);
    expect(2, "step: mov ss and nop", s_4, BS, 0);
    expect(3, "step: int", s_6, BS, 0);
    expect_count("steps", 7); /* the three of CLEAR_TF too */
}

static void steps_off(void)
{
    __asm__ volatile(SET_TF "nop\n" LABEL(s_7) CLEAR_TF ::: "memory");
    expect(0, "step", s_7, BS, 0);
    check("POPF that clears TF has trapped", traps, 4);
    traps = 0;
}

static void repeated(void)
{
    uintptr_t count = 3, at = (uintptr_t)to;

    __asm__ volatile(SET_TF LABEL(s_rep) "rep stosb\n" LABEL(s_after) CLEAR_TF
                     : "+c"(count), "+D"(at)
                     : "a"(7)
                     : "memory");
    expect(0, "first iteration", s_rep, BS, RF);
    expect(1, "second iteration", s_rep, BS, RF);
    expect(2, "last iteration", s_after, BS, 0);
    expect_count("iterations", 6);
}

/* IRET with TF set to code without: one trap, at the target. */
static void step_iret(void)
{
    __asm__ volatile("mov %%ss, %%eax; mov %%rsp, %%rcx; push %%rax; push %%rcx; pushfq\n"
                     "mov %%cs, %%eax; push %%rax; lea s_iret(%%rip), %%rax; push %%rax\n" SET_TF
                     "iretq\n" LABEL(s_iret) "nop\n" ::
                         : "rax", "rcx", "memory");
    expect(0, "iret from stepped code", s_iret, BS, 0);
    expect_count("iret", 1);
}

/* SYSCALL whose mask has TF is not followed by a trap. The selectors fit: code 8, data 10h. */
static void step_syscall(void)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_EFER));
    set_msr(MSR_EFER, (uint64_t)high << 32 | low | 1);
    set_msr(MSR_STAR, 8ull << 32);
    set_msr(MSR_LSTAR, (uintptr_t)s_sys_end);
    set_msr(MSR_SFMASK, TF);
    __asm__ volatile(SET_TF "syscall\n" LABEL(s_sys_end) "nop; nop\n" ::: "rcx", "r11", "memory");
    expect_count("syscall", 0);
}

/* ---- breakpoints ---- */

extern const char b_1[], b_2[], b_data[], b_ss[], b_rep[], b_io[], b_gd[], b_ice[], b_both[];

static __attribute__((noipa)) void two_places(void)
{
    __asm__ volatile("nop\n" LABEL(b_1) "nop; mov %%ss, %%eax; mov %%eax, %%ss\n" LABEL(b_2) "nop\n" ::: "rax");
}

static void execution(void)
{
    SET_DR(0, b_1);
    SET_DR(1, b_2);
    SET_DR(7, 0x405); /* L0, L1 */
    two_places();
    two_places();
    SET_DR(7, 0x400);
    expect(0, "execution", b_1, 1, 0);
    expect(1, "execution again", b_1, 1, 0);
    expect_count("after MOV SS there is none", 2);
}

static void one_write(volatile void *at, unsigned size)
{
    if (size == 1)
        *(volatile uint8_t *)at = 1;
    else
        __asm__ volatile("movl $1, (%0)" ::"r"(at) : "memory");
}

static void data(void)
{
    volatile uint8_t *bytes = (volatile uint8_t *)words;

    SET_DR(1, words + 4);
    SET_DR(7, 0x400 | 0x00D00008); /* DR1: writes, 4 bytes, G1 */
    one_write(bytes + 15, 1);
    one_write(bytes + 20, 1);
    one_write(bytes + 12, 4);
    (void)words[4];
    expect_count("beside it, and reads", 0);
    __asm__ volatile("movl $5, %0\n" LABEL(b_data) "nop" : "=m"(words[4]));
    expect(0, "write", b_data, 2, 0);
    one_write(bytes + 19, 1);
    one_write(bytes + 13, 4);
    one_write(bytes + 18, 4);
    expect_count("writes", 4);
    SET_DR(7, 0x400 | 0x00F00008); /* reads too */
    (void)words[4];
    expect_count("read", 1);
    /* a breakpoint on the operand of MOV SS waits for the next instruction */
    words[4] = 0x10;
    traps = 0;
    __asm__ volatile("movw %0, %%ss\n nop\n" LABEL(b_ss) "nop" ::"m"(words[4]));
    expect(0, "operand of MOV SS", b_ss, 2, 0);
    expect_count("MOV SS", 1);
    /* with a step */
    __asm__ volatile(SET_TF "movl $5, %0\n" LABEL(b_both) CLEAR_TF : "=m"(words[4])::"memory");
    expect(0, "write and step", b_both, BS | 2, 0);
    traps = 0;
    SET_DR(7, 0x400);
}

static void in_the_middle(void)
{
    uintptr_t count = 8, source = (uintptr_t)from, target = (uintptr_t)to, left;

    SET_DR(2, to + 2);
    SET_DR(7, 0x400 | 0x01000020); /* DR2: writes, 1 byte, G2 */
    __asm__ volatile(LABEL(b_rep) "rep movsb" : "+c"(count), "+S"(source), "+D"(target)::"memory");
    left = count;
    SET_DR(7, 0x400);
    expect(0, "byte in a REP", b_rep, 4, RF);
    check("goes on to the end", left, 0);
    expect_count("once", 1);
}

static void ports(void)
{
    __asm__ volatile("mov %%cr4, %%rax; or $8, %%rax; mov %%rax, %%cr4" ::: "rax");
    SET_DR(3, 0x80);
    SET_DR(7, 0x400 | 0x20000080); /* DR3: I/O, 1 byte, G3 */
    __asm__ volatile("outb %%al, $0x80\n" LABEL(b_io) "nop" ::"a"(1));
    expect(0, "OUT", b_io, 8, 0);
    (void)inb(0x80);
    outb(0x81, 0);
    words[0] = 1;
    outw(0x7F, 0x0101);
    expect_count("IN, and OUT of a word", 3);
    SET_DR(7, 0x400);
}

static void general_detect(void)
{
    uintptr_t value, dr7;

    SET_DR(7, DR7_GD);
    __asm__ volatile(LABEL(b_gd) "mov %%dr0, %0" : "=r"(value));
    __asm__ volatile("mov %%dr7, %0" : "=r"(dr7));
    expect(0, "general detect", b_gd, BD, RF);
    expect_count("once", 1);
    check("GD is clear", dr7, 0x400);
    __asm__ volatile(".byte 0xF1\n" LABEL(b_ice) "nop" ::: "memory");
    expect(0, "ICEBP", b_ice, 0, 0);
    expect_count("ICEBP", 1);
}

/* ---- branches ---- */

extern const char j_1[];

static void branches(void)
{
    uint32_t low, high;

    set_msr(MSR_DEBUGCTL, 2);
    /* two instructions before the jump do not trap; the first #DB ends branch stepping, the POPF of CLEAR_TF steps */
    __asm__ volatile(SET_TF "nop; cmp %%eax, %%eax; jne 1f; jmp j_1; nop\n 1:\n" LABEL(j_1) CLEAR_TF ::
                         : "cc", "memory");
    expect(0, "branch", j_1, BS, 0);
    expect_count("branch and steps", 4);
    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(MSR_DEBUGCTL));
    check("BTF is clear", low, 0);
}

static void on_irq(void) {}

void guest_main(void)
{
    guest_interrupts_init();
    guest_exception = on_exception;
    guest_irq_handler(15, on_irq); /* vector 2Fh */
    SET_DR(6, 0xFFFF0FF0);
    steps();
    steps_off();
    repeated();
    step_iret();
    step_syscall();
    execution();
    data();
    in_the_middle();
    ports();
    general_detect();
    branches();
    guest_print("debug64: %u checks, %s, tsc %X\n", checks, misses ? "misses" : "all as expected", rdtsc());
    guest_exit(misses ? 2 : 0);
}
