/* Writes 2,000 sectors in requests of 1 to 16 by bus-master DMA, one interrupt each, reads them back and compares; between two
 * interrupts it counts. Prints what depends on every interrupt's instant. */
#include "guest.h"

#ifndef REQUESTS
#define REQUESTS 250
#endif
#ifndef SECTORS_SHIFT
#define SECTORS_SHIFT 28 /* of 32 random bits */
#endif
#define SECTORS_MAX 16
#define SECTORS_END 4096 /* of the disk; then from the start again */

static uint8_t out[SECTORS_MAX * 512] __attribute__((aligned(65536)));
static uint8_t in[SECTORS_MAX * 512] __attribute__((aligned(65536)));
static volatile unsigned interrupts;
static volatile bool done;
static unsigned errors;

static void on_ide(void)
{
    if (!ide_finish())
        errors++;
    interrupts++;
    done = true;
}

static uint32_t next_random(uint32_t *state)
{
    return *state = *state * 1664525u + 1013904223u;
}

static uint32_t transfer(bool write, uint32_t lba, unsigned sectors, void *buffer)
{
    uint32_t count = 0;
    done = false;
    interrupts_on();
    ide_start(write, lba, sectors, buffer);
    while (!done)
        count++;
    interrupts_off();
    return count;
}

void guest_main(void)
{
    uint32_t state = 1, lba = 0, loops = 0, written = 0;
    guest_interrupts_init();
    if (!ide_init()) {
        guest_print("no IDE drive\n");
        guest_exit(1);
    }
    guest_irq_handler(14, on_ide);
    guest_irq_unmask(14);
    for (unsigned request = 0; request < REQUESTS; request++) {
        unsigned sectors = next_random(&state) >> SECTORS_SHIFT;
        sectors += !sectors;
        for (unsigned n = 0; n < sectors * 512; n += 4)
            *(uint32_t *)(void *)(out + n) = next_random(&state);
        loops += transfer(true, lba, sectors, out);
        if (request % 16 == 15)
            ide_flush();
        loops += transfer(false, lba, sectors, in);
        for (unsigned n = 0; n < sectors * 512; n++)
            errors += out[n] != in[n];
        lba = lba + sectors + SECTORS_MAX > SECTORS_END ? 0 : lba + sectors;
        written += sectors;
    }
    guest_print("dma writer: %u interrupts, %u sectors, %u errors, loops %u\n", interrupts, written, errors, loops);
    guest_exit(errors ? 2 : 0);
}
