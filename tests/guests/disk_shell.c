/* Does with its disk what lines on COM1 say, so that a run can be taken another way from any instant:
 *   r LBA        reads a sector, tells its first word and a sum
 *   w LBA VALUE  writes a sector of words VALUE, VALUE + 1, ...
 *   f            flush
 *   x            a random number of the CPU
 *   q            ends, with a sum of all that was told
 * Numbers are decimal. Each answer says by the TSC when it came. */
#include "serial_lines.h"

static uint32_t buffer[128] __attribute__((aligned(512)));
static uint32_t told;

static bool transfer(bool write, uint32_t lba)
{
    ide_start(write, lba, 1, buffer);
    while (ide_busy() && !(inb(0x3F6) & 1)) /* after an error the bus master goes on waiting */
        ;
    return ide_finish();
}

static uint32_t sum_of(void)
{
    uint32_t sum = 0;
    for (unsigned n = 0; n < 128; n++)
        sum = sum * 31 + buffer[n];
    return sum;
}

static void tell(const char *what, bool good, uint32_t a, uint32_t b)
{
    told = (told * 31 + good) * 31 + (a ^ b);
    guest_print("%s %u: %s %x at %X\n", what, a, good ? "ok" : "error", b, rdtsc());
}

static uint32_t random(void)
{
    uint32_t value;
    uint8_t good;
    do
        __asm__ volatile("rdrand %0; setc %1" : "=r"(value), "=q"(good)::"cc");
    while (!good);
    return value;
}

static void carry_out(const char *line)
{
    const char *at = line + 1;
    uint32_t lba = number(&at), value = number(&at);
    bool good;
    switch (line[0]) {
    case 'r':
        good = transfer(false, lba);
        tell("read", good, lba, good ? buffer[0] ^ sum_of() : 0);
        break;
    case 'w':
        for (unsigned n = 0; n < 128; n++)
            buffer[n] = value + n;
        tell("write", transfer(true, lba), lba, value);
        break;
    case 'f':
        ide_flush();
        tell("flush", !(inb(0x1F7) & 1), 0, 0);
        break;
    case 'x': tell("random", true, 0, random()); break;
    default: guest_print("what is %s?\n", line);
    }
}

void guest_main(void)
{
    char line[32];
    guest_interrupts_init();
    if (!ide_init()) {
        guest_print("no IDE drive\n");
        guest_exit(1);
    }
    outb(0x3F6, 2); /* polled */
    serial_lines_on();
    guest_print("disk shell\n");
    do {
        read_line(line, sizeof line);
        if (line[0] != 'q')
            carry_out(line);
    } while (line[0] != 'q');
    interrupts_off();
    guest_print("disk shell: told %x\n", told);
    guest_exit(0);
}
