/* Does what COM1 says with the CD-ROM drive on the secondary channel (packet commands, by programmed I/O) and with the disk
 * on the primary one, halted between lines, and says how it went. A command is a letter, with numbers behind it:
 *   t         TEST UNIT READY            b BLOCK        READ(10) of one block: its first 4 bytes and the sum of all
 *   c         READ CAPACITY              v              GET EVENT STATUS NOTIFICATION, media class
 *   e, l      START STOP UNIT: eject, load              p, a   PREVENT, ALLOW MEDIUM REMOVAL
 *   r LBA     a sector of the disk: its first 4 bytes   w LBA VALUE   the sector, filled with it
 *   i         IDENTIFY DEVICE: the disk's size          f      FLUSH CACHE
 *   o         soft off (ACPI S5)         x              a reset by port CF9
 *   q         the end */
#include "serial_lines.h"

/* ---- the CD-ROM drive ---- */

#define CD 0x170

static uint32_t block[512];

static uint8_t cd_wait(void)
{
    uint8_t status;
    do
        status = inb(CD + 0x206);
    while (status & 0x80);
    return status;
}

/* The reply, or as much as fits, into block. Its size in bytes, or -1: CHECK CONDITION. */
static int packet(const uint8_t bytes[12])
{
    int got = 0;
    outb(CD + 6, 0xA0);
    outb(CD + 1, 0);
    outb(CD + 4, 0x00);
    outb(CD + 5, 0x08);
    outb(CD + 7, 0xA0);
    if ((cd_wait() & 0x09) != 0x08)
        return -1;
    for (unsigned n = 0; n < 12; n += 2)
        outw(CD, (uint16_t)(bytes[n] | bytes[n + 1] << 8));
    for (;;) {
        uint8_t status = cd_wait();
        if (status & 1)
            return -1;
        if (!(status & 8))
            break;
        unsigned size = inb(CD + 4) | (unsigned)inb(CD + 5) << 8;
        for (unsigned n = 0; n < size; n += 2, got += 2) {
            uint16_t word = inw(CD);
            if (got < (int)sizeof block)
                ((uint16_t *)block)[got / 2] = word;
        }
    }
    (void)inb(CD + 7);
    return got;
}

static void say_sense(void)
{
    static const uint8_t request[12] = {0x03, 0, 0, 0, 18};
    const uint8_t *sense = (const uint8_t *)block;
    packet(request);
    guest_print("sense %x/%x\n", sense[2], (uint32_t)sense[12] << 8 | sense[13]);
}

static void plain(uint8_t code, uint8_t argument)
{
    uint8_t bytes[12] = {code, 0, 0, 0, argument};
    if (packet(bytes) < 0)
        say_sense();
    else
        guest_print("ok\n");
}

static void read_block(uint32_t lba)
{
    uint8_t bytes[12] = {0x28, 0, (uint8_t)(lba >> 24), (uint8_t)(lba >> 16), (uint8_t)(lba >> 8), (uint8_t)lba, 0,
                         0,    1};
    uint32_t sum = 0;
    if (packet(bytes) != 2048) {
        say_sense();
        return;
    }
    for (unsigned n = 0; n < 512; n++)
        sum += block[n];
    guest_print("block %u: %x, sum %x\n", lba, block[0], sum);
}

static uint32_t swapped(uint32_t value)
{
    return __builtin_bswap32(value);
}

static void capacity(void)
{
    static const uint8_t bytes[12] = {0x25};
    if (packet(bytes) != 8)
        say_sense();
    else
        guest_print("%u blocks\n", swapped(block[0]) + 1);
}

static void media_event(void)
{
    static const uint8_t bytes[12] = {0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8};
    const uint8_t *reply = (const uint8_t *)block;
    if (packet(bytes) != 8)
        say_sense();
    else
        guest_print("event %u, media %u\n", reply[4], reply[5]);
}

/* ---- the disk ---- */

static _Alignas(512) uint32_t sector[128];

static void move_sector(bool write, uint32_t lba)
{
    ide_start(write, lba, 1, sector);
    while (ide_busy())
        ;
    if (!ide_finish())
        guest_print("sector %u: error\n", lba);
    else
        guest_print("sector %u: %x\n", lba, sector[0]);
}

static void write_sector(uint32_t lba, uint32_t value)
{
    for (unsigned n = 0; n < 128; n++)
        sector[n] = value;
    move_sector(true, lba);
}

static void identify(void)
{
    uint16_t words[256];
    outb(0x1F6, 0xE0);
    outb(0x1F7, 0xEC);
    while (inb(0x3F6) & 0x80)
        ;
    for (unsigned n = 0; n < 256; n++)
        words[n] = inw(0x1F0);
    (void)inb(0x1F7);
    guest_print("%u sectors\n", words[100] | (uint32_t)words[101] << 16);
}

/* ---- lines ---- */

static bool carry_out(const char *line)
{
    char letter = *line;
    const char *at = line + 1;
    uint32_t first = letter ? number(&at) : 0, second = letter ? number(&at) : 0;
    switch (letter) {
    case 't': plain(0x00, 0); break;
    case 'e': plain(0x1B, 2); break;
    case 'l': plain(0x1B, 3); break;
    case 'p': plain(0x1E, 1); break;
    case 'a': plain(0x1E, 0); break;
    case 'b': read_block(first); break;
    case 'c': capacity(); break;
    case 'v': media_event(); break;
    case 'r': move_sector(false, first); break;
    case 'w': write_sector(first, second); break;
    case 'i': identify(); break;
    case 'f':
        ide_flush();
        guest_print("ok\n");
        break;
    case 'o': outw(0x604, 0x2000); break; /* SLP_TYP 0, SLP_EN */
    case 'x': outb(0xCF9, 6); break;
    case 'q': return false;
    default: guest_print("?\n"); break;
    }
    return true;
}

void guest_main(void)
{
    char line[64];
    guest_interrupts_init();
    serial_lines_on();
    outb(0x376, 2); /* no interrupts from the CD-ROM drive */
    (void)ide_init();
    guest_print("media: say\n");
    do
        read_line(line, sizeof line);
    while (carry_out(line));
    interrupts_off();
    guest_print("media: bye\n");
    guest_exit(0);
}
