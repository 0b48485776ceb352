/* Never ends: disk requests, timer interrupts and a line on COM1 now and then, for recordings that are stopped from outside. */
#include "guest.h"

static uint8_t buffer[8 * 512] __attribute__((aligned(4096)));
static volatile uint32_t ticks;
static volatile bool done;

static void on_timer(void)
{
    ticks++;
}

static void on_ide(void)
{
    ide_finish();
    done = true;
}

void guest_main(void)
{
    uint32_t turns = 0, state = 1;
    guest_interrupts_init();
    if (!ide_init()) {
        guest_print("no IDE drive\n");
        guest_exit(1);
    }
    outb(0x43, 0x34);
    outb(0x40, 0);
    outb(0x40, 0x20);
    guest_irq_handler(0, on_timer);
    guest_irq_handler(14, on_ide);
    guest_irq_unmask(0);
    guest_irq_unmask(14);
    for (uint32_t round = 0;; round++) {
        for (unsigned n = 0; n < sizeof buffer; n += 4)
            *(uint32_t *)(void *)(buffer + n) += state = state * 1664525u + 1013904223u;
        done = false;
        interrupts_on();
        ide_start(round & 1, (state >> 20) * 8 % 4096, 1 + (state >> 29), buffer);
        while (!done)
            turns++;
        interrupts_off();
        for (unsigned n = 0; n < 30000; n++)
            state = state * 31 + buffer[n % sizeof buffer];
        if (round % 100 == 0)
            guest_print("round %u, %u ticks, turns %u, state %x\n", round, ticks, turns, state);
    }
}
