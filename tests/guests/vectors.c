/* AVX2 and the XSAVE family as an operating system and a program use them: XCR0 is set up from CPUID, a loop keeps sums in all
 * sixteen YMM registers while a timer interrupt saves them, spoils them and restores them (each of the forms in turn), and a
 * gather goes on after a page fault in its middle. Results are held against the same sums without vectors. */
#include "guest.h"

enum { WORDS = 4096, ROUNDS = 2500, REGISTERS = 16, LANES = 8, HOLE = 0x800000 };

static uint32_t data[WORDS] __attribute__((aligned(32)));
static uint32_t sums[REGISTERS * LANES] __attribute__((aligned(32)));
static uint8_t area[4096] __attribute__((aligned(64)));
static volatile unsigned interrupts;
static unsigned faults, misses;

static void check(const char *what, uint64_t got, uint64_t wanted)
{
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %X, expected %X\n", what, got, wanted);
}

static void cpuid(uint32_t leaf, uint32_t subleaf, uint32_t out[4])
{
    __asm__ volatile("cpuid" : "=a"(out[0]), "=b"(out[1]), "=c"(out[2]), "=d"(out[3]) : "a"(leaf), "c"(subleaf));
}

static void enable(void)
{
    uint32_t out[4], low, high;

    cpuid(1, 0, out);
    check("XSAVE and AVX in CPUID", out[2] >> 26 & 5, 5);
    check("OSXSAVE before CR4", out[2] >> 27 & 1, 0);
    __asm__ volatile("mov %%cr4, %%rax; or $0x40000, %%rax; mov %%rax, %%cr4" ::: "rax", "memory");
    cpuid(1, 0, out);
    check("OSXSAVE after CR4", out[2] >> 27 & 1, 1);
    cpuid(13, 0, out);
    check("image of x87 and SSE alone", out[1], 576);
    __asm__ volatile("xsetbv" ::"a"(7), "d"(0), "c"(0));
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    check("XCR0", low, 7);
    cpuid(13, 0, out);
    check("image with AVX", out[1], 832);
    cpuid(7, 0, out);
    check("AVX2 in CPUID", out[1] >> 5 & 1, 1);
}

/* ---- sums in registers ------------------------------------------------------------------------------------------- */

#define EACH(M) M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)

static void spoil(void)
{
#define SPOIL(n) "vpcmpeqd %%ymm" #n ", %%ymm" #n ", %%ymm" #n "\n"
    __asm__ volatile(EACH(SPOIL)::: "memory");
}

static void on_timer(void)
{
    const uint32_t all = 7;

    switch (interrupts++ % 3) {
    case 0: __asm__ volatile("xsave64 %0" : "+m"(area) : "a"(all), "d"(0)); break;
    case 1: __asm__ volatile("xsaveopt64 %0" : "+m"(area) : "a"(all), "d"(0)); break;
    default: __asm__ volatile("xsavec64 %0" : "+m"(area) : "a"(all), "d"(0)); break;
    }
    spoil();
    __asm__ volatile("xrstor64 %0" ::"m"(area), "a"(all), "d"(0));
    for (unsigned n = 0; n < sizeof area / 8; n++)
        ((uint64_t *)area)[n] = 0;
    outb(0x20, 0x20);
}

/* Register n takes data[128 k + 8 n ..]: sum = sum * 16777619 ^ data, lane by lane. */
static void sum_by_vectors(void)
{
    static const uint32_t prime = 16777619;
    const uint32_t *at, *end = data + WORDS;

    __asm__ volatile("vzeroall" ::: "memory");
    for (unsigned round = 0; round < ROUNDS; round++) {
#define STEP(n) "vpmulld %[prime], %%ymm" #n ", %%ymm" #n "\n vpxor 32*" #n "(%[at]), %%ymm" #n ", %%ymm" #n "\n"
        static uint32_t primes[LANES] __attribute__((aligned(32)));
        for (unsigned n = 0; n < LANES; n++)
            primes[n] = prime;
        for (at = data; at < end; at += REGISTERS * LANES)
            __asm__ volatile(EACH(STEP)::[at] "r"(at), [prime] "m"(primes) : "memory");
    }
#define KEEP(n) "vmovdqa %%ymm" #n ", 32*" #n "(%0)\n"
    __asm__ volatile(EACH(KEEP)::"r"(sums) : "memory");
}

static uint32_t sum_plainly(unsigned lane)
{
    uint32_t sum = 0;

    for (unsigned round = 0; round < ROUNDS; round++)
        for (unsigned n = lane; n < WORDS; n += REGISTERS * LANES)
            sum = (sum * 16777619) ^ data[n];
    return sum;
}

static void sums_survive_interrupts(void)
{
    for (unsigned n = 0; n < WORDS; n++)
        data[n] = n * 2654435761u ^ n >> 3;
    guest_irq_handler(0, on_timer);
    outb(0x43, 0x34);
    outb(0x40, 0xFF);
    outb(0x40, 0x00); /* every 214 us */
    guest_irq_unmask(0);
    interrupts_on();
    sum_by_vectors();
    interrupts_off();
    for (unsigned lane = 0; lane < REGISTERS * LANES; lane++)
        check("sum", sums[lane], sum_plainly(lane));
    if (interrupts < 10)
        check("interrupts", interrupts, 10);
}

/* ---- gather ------------------------------------------------------------------------------------------------------- */

extern volatile uint64_t directories[4][512]; /* 2 MiB pages: start64.S */
#define HOLE_ENTRY directories[0][HOLE / 0x200000]

static void on_exception(unsigned vector, uintptr_t error, uintptr_t *rip)
{
    uint64_t cr2;

    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    check("vector", vector, 14);
    check("error code", error, 0);
    check("address", cr2, HOLE + 12);
    if (vector != 14 || faults++) {
        guest_print("at %X\n", (uint64_t)*rip);
        guest_exit(3);
    }
    HOLE_ENTRY |= 1;
}

static void gather_over_a_fault(void)
{
    static const int32_t index[LANES] __attribute__((aligned(32))) = {-1, -2, 3, -3, 4, 5, -4, 6};
    static uint32_t mask[LANES] __attribute__((aligned(32))), result[LANES] __attribute__((aligned(32)));
    uint32_t *base = (uint32_t *)(uintptr_t)HOLE;

    for (int n = -4; n < 8; n++)
        base[n] = 1000 + (uint32_t)n;
    for (unsigned n = 0; n < LANES; n++)
        mask[n] = n == 4 ? 0x7FFFFFFF : 0x80000000;
    HOLE_ENTRY &= ~1ull;
    __asm__ volatile("invlpg (%0)" ::"r"(base) : "memory");
    __asm__ volatile("vmovdqa %[index], %%ymm1; vmovdqa %[mask], %%ymm2; vpxor %%ymm3, %%ymm3, %%ymm3\n"
                     "vpgatherdd %%ymm2, (%[base],%%ymm1,4), %%ymm3\n"
                     "vmovdqa %%ymm2, %[mask]; vmovdqa %%ymm3, %[result]"
                     : [mask] "+m"(mask), [result] "=m"(result)
                     : [index] "m"(index), [base] "r"(base)
                     : "memory");
    for (unsigned n = 0; n < LANES; n++) {
        check("gathered", result[n], n == 4 ? 0 : 1000 + (uint32_t)index[n]);
        check("mask", mask[n], 0);
    }
    check("faults", faults, 1);
}

void guest_main(void)
{
    guest_interrupts_init();
    guest_exception = on_exception;
    enable();
    sums_survive_interrupts();
    gather_over_a_fault();
    guest_print("vectors: %s, %u interrupts\n", misses ? "misses" : "all as expected", interrupts);
    guest_exit(misses ? 2 : 0);
}
