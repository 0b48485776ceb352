/* Spins on memory, doing nothing else, until a timer interrupt or a DMA transfer (with interrupts off) changes it. How often it
 * went round says at which instruction the change became visible. */
#include "guest.h"

static volatile uint32_t ticks;
static volatile uint32_t buffer[128] __attribute__((aligned(512)));

static void on_timer(void)
{
    ticks++;
}

static void start_timer(unsigned hz)
{
    unsigned divisor = 1193182 / hz;
    outb(0x43, 0x34);
    outb(0x40, (uint8_t)divisor);
    outb(0x40, (uint8_t)(divisor >> 8));
}

void guest_main(void)
{
    uint32_t sum = 0, first = 0;
    guest_interrupts_init();
    guest_irq_handler(0, on_timer);
    start_timer(2000);
    guest_irq_unmask(0);
    interrupts_on();
    for (uint32_t tick = 0; tick < 200; tick++) {
        uint32_t count = 0;
        while (ticks == tick)
            count++;
        first = tick == 1 ? count : first;
        sum = sum * 31 + count;
    }
    interrupts_off();
    guest_print("timer: 200 ticks, second after %u turns, sum %x\n", first, sum);
    outb(0x21, 0xFF);

    if (!ide_init()) {
        guest_print("no IDE drive\n");
        guest_exit(1);
    }
    outb(0x3F6, 2); /* no interrupt: the memory itself tells */
    sum = 0;
    for (uint32_t round = 0; round < 100; round++) {
        uint32_t count = 0;
        buffer[127] = round ^ 0x5A5A;
        ide_start(true, round, 1, (void *)buffer);
        while (ide_busy())
            count++;
        ide_finish();
        buffer[127] = 0xFFFFFFFF;
        ide_start(false, round, 1, (void *)buffer);
        while (buffer[127] == 0xFFFFFFFF)
            count++;
        if (buffer[127] != (round ^ 0x5A5A))
            guest_exit(2);
        while (ide_busy())
            count++;
        ide_finish();
        sum = sum * 31 + count;
    }
    guest_print("dma: 100 rounds, sum %x, tsc %X\n", sum, rdtsc());
    guest_exit(0);
}
