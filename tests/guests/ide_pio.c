/* The primary master by programmed I/O, with interrupts: IDENTIFY, single, MULTIPLE, the 48-bit commands, FLUSH, errors. The
 * drive has 4096 sectors. */
#include "guest.h"

#define SECTORS_MAX 32

static uint16_t out[SECTORS_MAX * 256], in[SECTORS_MAX * 256];
static volatile unsigned interrupts, last_status;
static unsigned misses;

static void on_ide(void)
{
    last_status = inb(0x1F7);
    interrupts++;
}

static void check(const char *what, uint32_t got, uint32_t wanted)
{
    if (got == wanted)
        return;
    misses++;
    guest_print("%s: got %x, expected %x\n", what, got, wanted);
}

static uint8_t wait_ready(void)
{
    uint8_t status;
    do
        status = inb(0x3F6);
    while (status & 0x80);
    return status;
}

/* DRQ blocks end in an interrupt each; wait until the one after this has come. */
static void wait_interrupt(unsigned before)
{
    interrupts_on();
    for (unsigned n = 0; interrupts == before && n < 100000000; n++)
        ;
    interrupts_off();
    check("an interrupt", interrupts, before + 1);
}

static void command(uint8_t code, uint64_t lba, unsigned sectors, bool extended)
{
    outb(0x1F6, 0xE0 | (extended ? 0 : (lba >> 24 & 15)));
    if (extended) {
        outb(0x1F2, (uint8_t)(sectors >> 8));
        outb(0x1F3, (uint8_t)(lba >> 24));
        outb(0x1F4, (uint8_t)(lba >> 32));
        outb(0x1F5, (uint8_t)(lba >> 40));
    }
    outb(0x1F2, (uint8_t)sectors);
    outb(0x1F3, (uint8_t)lba);
    outb(0x1F4, (uint8_t)(lba >> 8));
    outb(0x1F5, (uint8_t)(lba >> 16));
    outb(0x1F7, code);
}

static void read_words(uint16_t *words, unsigned count)
{
    __asm__ volatile("rep insw" : "+D"(words), "+c"(count) : "d"(0x1F0) : "memory");
}

static void write_words(const uint16_t *words, unsigned count)
{
    __asm__ volatile("rep outsw" : "+S"(words), "+c"(count) : "d"(0x1F0) : "memory");
}

static void do_write(uint8_t code, uint64_t lba, unsigned sectors, unsigned block, bool extended)
{
    unsigned before = interrupts;
    command(code, lba, sectors, extended);
    check("DRQ for the first block", wait_ready() & 0x89, 0x08);
    check("no interrupt before it", interrupts, before);
    for (unsigned done = 0; done < sectors; done += block) {
        unsigned now = sectors - done < block ? sectors - done : block;
        before = interrupts;
        write_words(out + done * 256, now * 256);
        wait_interrupt(before);
        check("status of a write", last_status & 0x89, done + now < sectors ? 0x08 : 0);
    }
}

static void do_read(uint8_t code, uint64_t lba, unsigned sectors, unsigned block, bool extended)
{
    unsigned before = interrupts;
    command(code, lba, sectors, extended);
    for (unsigned done = 0; done < sectors; done += block) {
        unsigned now = sectors - done < block ? sectors - done : block;
        wait_interrupt(before);
        check("status of a read", last_status & 0x89, 0x08);
        before = interrupts;
        read_words(in + done * 256, now * 256);
    }
    check("status after a read", wait_ready() & 0x89, 0);
}

static void fill(uint32_t seed)
{
    for (unsigned n = 0; n < SECTORS_MAX * 256; n++)
        out[n] = (uint16_t)((seed = seed * 1664525u + 1013904223u) >> 16);
}

static void compare(const char *what, unsigned sectors)
{
    unsigned different = 0;
    for (unsigned n = 0; n < sectors * 256; n++)
        different += in[n] != out[n];
    check(what, different, 0);
}

static void expect_error(const char *what, uint8_t code, uint64_t lba, uint8_t error)
{
    unsigned before = interrupts;
    command(code, lba, 1, true);
    wait_interrupt(before);
    check(what, last_status & 0x89, 1);
    check(what, inb(0x1F1), error);
}

static void identify(void)
{
    unsigned before = interrupts;
    command(0xEC, 0, 0, false);
    wait_interrupt(before);
    read_words(in, 256);
    check("sectors by 28 bits", in[60] | (uint32_t)in[61] << 16, 4096);
    check("sectors by 48 bits", in[100] | (uint32_t)in[101] << 16, 4096);
    check("48-bit feature", in[83] >> 10 & 1, 1);
    check("flush", in[83] >> 12 & 3, 3);
}

static void set_multiple(unsigned sectors)
{
    unsigned before = interrupts;
    command(0xC6, 0, sectors, false);
    wait_interrupt(before);
    check("set multiple", last_status & 0x89, 0);
}

static void flush(uint8_t code)
{
    unsigned before = interrupts;
    command(code, 0, 0, false);
    wait_interrupt(before);
    check("flush", last_status & 0xE9, 0x40);
}

void guest_main(void)
{
    guest_interrupts_init();
    if (!ide_init()) {
        guest_print("no IDE drive\n");
        guest_exit(1);
    }
    guest_irq_handler(14, on_ide);
    guest_irq_unmask(14);
    outb(0x1F6, 0xF0);
    check("no slave", inb(0x1F7), 0);
    identify();
    fill(1);
    do_write(0x30, 100, 5, 1, false);
    do_read(0x20, 100, 5, 1, false);
    compare("sectors", 5);
    set_multiple(8);
    fill(2);
    do_write(0xC5, 200, 19, 8, false);
    flush(0xE7);
    do_read(0xC4, 200, 19, 8, false);
    compare("multiple", 19);
    fill(3);
    do_write(0x34, 4093, 3, 1, true);
    do_read(0x24, 4093, 3, 1, true);
    compare("48 bits", 3);
    fill(4);
    do_write(0x39, 2000, 32, 8, true);
    flush(0xEA);
    do_read(0x29, 2000, 32, 8, true);
    compare("multiple, 48 bits", 32);
    expect_error("beyond the end", 0x24, 4096, 0x10);
    expect_error("far beyond the end", 0x24, 0x123456789ABull, 0x10);
    expect_error("an unknown command", 0xFF, 0, 0x04);
    guest_print("ide pio: %u interrupts, %s, tsc %X\n", interrupts, misses ? "misses" : "all as expected", rdtsc());
    guest_exit(misses ? 2 : 0);
}
