/* Reads what is not the same every time: the RTC and when its seconds pass, RDRAND, RDTSC. Prints all of it. */
#include "guest.h"

static uint8_t cmos(uint8_t index)
{
    outb(0x70, index);
    return inb(0x71);
}

static volatile unsigned updates;

static void on_rtc(void)
{
    updates += cmos(0x0C) >> 4 & 1;
}

static uint32_t random_word(void)
{
    uint32_t value;
    uint8_t good;
    unsigned tries = 0;
    do
        __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=qm"(good)::"cc");
    while (!good && ++tries < 1000);
    return value;
}

void guest_main(void)
{
    uint32_t a = 1, b, c, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "=c"(c), "=d"(d));
    if (!(c >> 30 & 1)) {
        guest_print("no RDRAND\n");
        guest_exit(1);
    }
    while (cmos(0x0A) & 0x80)
        ;
    guest_print("rtc %x%x-%x-%x %x:%x:%x\n", cmos(0x32), cmos(9), cmos(8), cmos(7), cmos(4), cmos(2), cmos(0));
    uint32_t first = random_word(), sum = first, same = 1;
    for (unsigned n = 0; n < 1000; n++) {
        uint32_t value = random_word();
        same &= value == first;
        sum = sum * 31 + value;
    }
    uint64_t before = rdtsc();
    guest_interrupts_init();
    guest_irq_handler(8, on_rtc);
    outb(0x70, 0x0B);
    outb(0x71, 0x12); /* interrupts at updates, 24 hours */
    cmos(0x0C);
    guest_irq_unmask(8);
    while (updates < 2)
        wait_for_interrupt();
    guest_print("rdrand %x, sum %x, tsc %X then %X\n", first, sum, before, rdtsc());
    guest_print("inputs: %s\n", same ? "rdrand gives one value" : "all read");
    guest_exit(same ? 2 : 0);
}
