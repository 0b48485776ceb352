/* Timers through the local APIC: its own (one-shot, periodic, TSC deadline), the 8254 and the HPET through the I/O APIC. Halts
 * and spins between interrupts; prints a sum of all counts in between. */
#include "guest.h"

#define LAPIC ((volatile uint32_t *)(uintptr_t)0xFEE00000)
#define IOAPIC ((volatile uint32_t *)(uintptr_t)0xFEC00000)
#define HPET ((volatile uint32_t *)(uintptr_t)0xFED00000)

/* Vectors 32.. are guest.c's interrupts 0... */
enum { ON_LAPIC, ON_PIT, ON_HPET, ON_HPET_LEVEL, ON_SPURIOUS = 15 };

static volatile unsigned count[16];
static unsigned misses;
static uint32_t sum;

static void check(const char *what, uint32_t got, uint32_t wanted)
{
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %x, expected %x\n", what, got, wanted);
}

static void end_of_interrupt(unsigned n)
{
    count[n]++;
    LAPIC[0xB0 / 4] = 0;
}

static void on_lapic(void)
{
    end_of_interrupt(ON_LAPIC);
}
static void on_pit(void)
{
    end_of_interrupt(ON_PIT);
}
static void on_hpet(void)
{
    end_of_interrupt(ON_HPET);
}
static void on_hpet_level(void)
{
    check("HPET's level status", HPET[0x20 / 4], 2);
    HPET[0x20 / 4] = 2;
    end_of_interrupt(ON_HPET_LEVEL);
}
static void on_spurious(void)
{
    count[ON_SPURIOUS]++;
}

static void ioapic_write(uint32_t index, uint32_t value)
{
    IOAPIC[0] = index;
    IOAPIC[4] = value;
}

static void ioapic_route(unsigned pin, uint32_t low)
{
    ioapic_write(0x11 + 2 * pin, 0);
    ioapic_write(0x10 + 2 * pin, low);
}

/* Until `wanted` more interrupts have come; every second by HLT, the others spinning. */
static void wait_for(unsigned which, unsigned wanted)
{
    unsigned end = count[which] + wanted;
    while (count[which] != end) {
        unsigned before = count[which], turns = 0;
        if (before & 1) {
            wait_for_interrupt();
        } else {
            interrupts_on();
            while (count[which] == before && turns < 100000000)
                turns++;
            interrupts_off();
        }
        if (turns == 100000000) {
            guest_print("timer %u is silent\n", which);
            guest_exit(3);
        }
        sum = sum * 31 + turns + (uint32_t)rdtsc();
    }
}

static void lapic_timer(void)
{
    LAPIC[0x3E0 / 4] = 3; /* by 16 */
    LAPIC[0x320 / 4] = 32 + ON_LAPIC;
    LAPIC[0x380 / 4] = 2000;
    wait_for(ON_LAPIC, 1);
    check("one-shot has run out", LAPIC[0x390 / 4], 0);
    uint64_t start = rdtsc();
    interrupts_on();
    while (rdtsc() - start < 1000000)
        ;
    interrupts_off();
    check("one-shot fires once", count[ON_LAPIC], 1);
    LAPIC[0x320 / 4] = 0x20000 | (32 + ON_LAPIC);
    LAPIC[0x380 / 4] = 3000;
    wait_for(ON_LAPIC, 50);
    LAPIC[0x380 / 4] = 0;
    check("stopped", LAPIC[0x390 / 4], 0);
    count[ON_LAPIC] = 0;

    uint32_t a = 1, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    if (!has_tsc())
        return;
    check("TSC deadline in CPUID", c >> 24 & 1, 1);
    if (!(c >> 24 & 1))
        return;
    LAPIC[0x320 / 4] = 0x40000 | (32 + ON_LAPIC);
    __asm__ volatile("mfence" ::: "memory");
    for (unsigned n = 0; n < 20; n++) {
        uint64_t deadline = rdtsc() + 20000 + n * 777;
        uint32_t low, high;
        __asm__ volatile("wrmsr" ::"c"(0x6E0), "a"((uint32_t)deadline), "d"((uint32_t)(deadline >> 32)));
        wait_for(ON_LAPIC, 1);
        if (rdtsc() < deadline)
            check("TSC deadline", 0, 1);
        __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(0x6E0));
        check("disarmed", low | high, 0);
    }
    LAPIC[0x320 / 4] = 0x10000;
}

static void pit(void)
{
    ioapic_route(2, 32 + ON_PIT);
    outb(0x43, 0x34);
    outb(0x40, 0x00);
    outb(0x40, 0x08);
    wait_for(ON_PIT, 30);
    ioapic_route(2, 0x10000);
    outb(0x43, 0x30);
}

static void hpet(void)
{
    check("HPET's vendor", HPET[0] >> 16, 0x8086);
    uint32_t period_fs = HPET[1];
    uint32_t tick_100us = 100000000u / (period_fs / 1000);
    HPET[0x10 / 4] = 0;
    HPET[0xF0 / 4] = 0;
    HPET[0xF4 / 4] = 0;
    unsigned pin = 0;
    for (unsigned n = 0; n < 24; n++)
        if (HPET[0x104 / 4] >> n & 1)
            pin = n;
    ioapic_route(pin, 32 + ON_HPET);
    /* Timer 0: 32 bits, periodic, edge; its comparator is set with the period behind it. */
    HPET[0x100 / 4] = pin << 9 | 1u << 8 | 1u << 6 | 1u << 3 | 1u << 2;
    HPET[0x108 / 4] = tick_100us;
    HPET[0x108 / 4] = tick_100us;
    HPET[0x10 / 4] = 1;
    wait_for(ON_HPET, 20);
    uint32_t counter = HPET[0xF0 / 4];
    if (counter < 20 * tick_100us || counter > 21 * tick_100us)
        check("HPET's counter after 20 periods", counter, 20 * tick_100us);
    HPET[0x100 / 4] = 0;
    /* Timer 1: 32 bits, one-shot, level. */
    unsigned second = 0;
    for (unsigned n = 0; n < 24; n++)
        if (n != pin && (HPET[0x124 / 4] >> n & 1))
            second = n;
    ioapic_route(pin, 0x10000);
    ioapic_route(second, 0x8000 | (32 + ON_HPET_LEVEL));
    HPET[0x120 / 4] = second << 9 | 1u << 8 | 1u << 2 | 1u << 1;
    for (unsigned n = 0; n < 10; n++) {
        HPET[0x128 / 4] = HPET[0xF0 / 4] + tick_100us / 3;
        wait_for(ON_HPET_LEVEL, 1);
    }
    check("level interrupts", count[ON_HPET_LEVEL], 10);
}

void guest_main(void)
{
    guest_interrupts_init();
    outb(0x21, 0xFF);
    outb(0xA1, 0xFF);
    guest_irq_handler(ON_LAPIC, on_lapic);
    guest_irq_handler(ON_PIT, on_pit);
    guest_irq_handler(ON_HPET, on_hpet);
    guest_irq_handler(ON_HPET_LEVEL, on_hpet_level);
    guest_irq_handler(ON_SPURIOUS, on_spurious);
    LAPIC[0xF0 / 4] = 0x100 | (32 + ON_SPURIOUS);
    LAPIC[0x350 / 4] = 0x10000; /* LINT0: nothing from the 8259 pair */
    lapic_timer();
    pit();
    hpet();
    check("spurious", count[ON_SPURIOUS], 0);
    guest_print("timers: %s, sum %x, tsc %X\n", misses ? "misses" : "all as expected", sum, rdtsc());
    guest_exit(misses ? 2 : 0);
}
