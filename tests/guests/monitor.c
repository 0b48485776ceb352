/* MONITOR and MWAIT as an operating system uses them: the idle loop with interrupts off that wakes by an interrupt all the
 * same (ECX bit 0), waiting for a bus master to write memory, and not waiting when the line was written before. Prints
 * what depends on when each wait ended. */
#include "guest.h"

enum { SLEEPS = 40, REQUESTS = 60, SECTORS = 8, BYTES = SECTORS * 512 };

static uint8_t out[BYTES] __attribute__((aligned(65536)));
static uint8_t in[BYTES] __attribute__((aligned(65536)));
static uint32_t flag[32] __attribute__((aligned(64)));
static volatile unsigned ticks;
static unsigned misses;
static uint64_t sum;

static void check(const char *what, uint32_t got, uint32_t wanted)
{
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %x, expected %x\n", what, got, wanted);
}

static void monitor(const volatile void *line)
{
    __asm__ volatile("monitor" ::"a"(line), "c"(0), "d"(0) : "memory");
}
static void mwait(uint32_t extensions)
{
    __asm__ volatile("mwait" ::"a"(0), "c"(extensions) : "memory");
}

static void on_tick(void)
{
    ticks++;
}

static void start_timer(unsigned count)
{
    outb(0x43, 0x30); /* counter 0, mode 0: one interrupt */
    outb(0x40, (uint8_t)count);
    outb(0x40, (uint8_t)(count >> 8));
}

static bool tick_wanted(void)
{
    outb(0x20, 0x0A); /* read the request register */
    return inb(0x20) & 1;
}

static void identification(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    check("MONITOR in CPUID", c >> 3 & 1, 1);
    a = 5;
    c = 0;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    check("line", a & 0xFFFF, 64);
    check("waits with interrupts masked", c & 3, 3);
}

static void no_waiting(void)
{
    mwait(0); /* nothing is monitored */
    monitor(flag);
    ((volatile uint32_t *)flag)[15] = 1;
    mwait(0);
    monitor(flag);
    __asm__ volatile("lock incl %0" : "+m"(flag[0]));
    mwait(0);
}

static void masked_interrupts(void)
{
    for (unsigned n = 0; n < SLEEPS; n++) {
        uint64_t start = rdtsc();

        ticks = 0;
        start_timer(300 + 17 * n);
        monitor(flag);
        ((volatile uint32_t *)flag)[16] = n; /* another line */
        mwait(1);
        check("the interrupt is wanted", tick_wanted(), 1);
        check("and not taken", ticks, 0);
        interrupts_on();
        __asm__ volatile("nop; nop");
        interrupts_off();
        check("now it is", ticks, 1);
        sum = sum * 31 + (rdtsc() - start);
        if (rdtsc() - start < 200000)
            check("time slept", (uint32_t)(rdtsc() - start), 250000);
    }
}

static void taken_interrupts(void)
{
    for (unsigned n = 0; n < SLEEPS; n++) {
        ticks = 0;
        start_timer(500);
        monitor(flag);
        __asm__ volatile("sti; mwait; cli" ::"a"(0), "c"(0) : "memory");
        check("woken by the handler", ticks, 1);
        sum = sum * 31 + rdtsc();
    }
}

/* The end of a read is its last byte: interrupts of the drive are off, nothing else wakes. */
static void wait_for_memory(void)
{
    volatile uint32_t *last = (volatile uint32_t *)(void *)(in + BYTES - 4);
    unsigned wakes = 0;

    outb(0x3F6, 2);
    for (unsigned n = 0; n < REQUESTS; n++) {
        uint32_t wanted = 0xA5000000u + n;

        for (unsigned at = 0; at < BYTES; at += 4)
            *(uint32_t *)(void *)(out + at) = wanted;
        ide_start(true, n * SECTORS, SECTORS, out);
        while (ide_busy())
            ;
        if (!ide_finish())
            check("write", n, REQUESTS);
        *last = 0;
        ide_start(false, n * SECTORS, SECTORS, in);
        for (;;) {
            monitor(last);
            if (*last == wanted)
                break;
            mwait(0);
            wakes++;
        }
        sum = sum * 31 + rdtsc();
        while (ide_busy())
            ;
        if (!ide_finish())
            check("read", n, REQUESTS);
    }
    outb(0x3F6, 0);
    check("a wake a request at least", wakes >= REQUESTS, 1);
}

void guest_main(void)
{
    guest_interrupts_init();
    guest_irq_handler(0, on_tick);
    if (!ide_init()) {
        guest_print("no IDE drive\n");
        guest_exit(1);
    }
    identification();
    no_waiting();
    guest_irq_unmask(0);
    masked_interrupts();
    taken_interrupts();
    outb(0x21, 0xFF);
    wait_for_memory();
    guest_print("monitor: %s, sum %X, tsc %X\n", misses ? "misses" : "all as expected", sum, rdtsc());
    guest_exit(misses ? 2 : 0);
}
