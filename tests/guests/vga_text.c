/* The text screen in memory, the cursor and character registers, ROM below 1 MiB. Writes a line that a screen dump shows. */
#include "guest.h"

#define SCREEN ((volatile uint16_t *)(uintptr_t)0xB8000)

static unsigned misses;

static void check(const char *what, uint32_t got, uint32_t wanted)
{
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %x, expected %x\n", what, got, wanted);
}

static uint32_t sum(uintptr_t from, uintptr_t to)
{
    uint32_t value = 0;
    for (; from < to; from += 4)
        value = value * 31 + *(volatile uint32_t *)from;
    return value;
}

static uint8_t crtc(uint8_t index)
{
    outb(0x3D4, index);
    return inb(0x3D5);
}

void guest_main(void)
{
    static const char text[] = "vmrr was here";
    for (unsigned n = 0; n < 80 * 25; n++)
        SCREEN[n] = 0x0720;
    for (unsigned n = 0; text[n]; n++)
        SCREEN[12 * 80 + 30 + n] = (uint16_t)(0x1F00 | (uint8_t)text[n]);
    uint32_t read = 0;
    for (unsigned n = 0; text[n]; n++)
        read += SCREEN[12 * 80 + 30 + n] == (0x1F00 | (uint8_t)text[n]);
    check("text read back", read, sizeof text - 1);
    check("columns", crtc(1), 79);
    outb(0x3D4, 0x0E);
    outb(0x3D5, 0x01);
    outb(0x3D4, 0x0F);
    outb(0x3D5, 0x23);
    check("cursor", (uint32_t)crtc(0x0E) << 8 | crtc(0x0F), 0x123);
    uint32_t seen = 0;
    for (unsigned n = 0; n < 2000; n++) { /* 20 ms, a picture takes 14 */
        uint64_t start = rdtsc();
        while (rdtsc() - start < 10000)
            ;
        seen |= inb(0x3DA);
    }
    check("retrace comes", seen & 9, 9);
    /* The last 64 KiB below 1 MiB: firmware, not memory. */
    volatile uint8_t *vector = (volatile uint8_t *)(uintptr_t)0xFFFF0;
    uint8_t before = *vector;
    *vector = (uint8_t)~before;
    guest_print("rom: reset vector %x, %s, sum %x\n", before, *vector == before ? "not writable" : "writable",
                sum(0xF0000, 0x100000));
    *vector = before;
    guest_print("vga text: %s\n", misses ? "misses" : "all as expected");
    guest_exit(misses ? 2 : 0);
}
