/* The AHCI controller and a CD-ROM drive on IDE under a hostile driver: registers, command tables, packets, resets, media that
 * come and go and disks that change size, in any order. Nothing crashes, no drive is asked for what it has not, and the same input gives the same machine
 * again.
 * Input: one byte (bit 0: completions by the executor), then operations: a byte, its low three bits the kind, the next two the
 * port; what it takes follows. */
#define SECTORS 2000u /* small: a run makes four of them */
#include "devices/ide.h"
#include "tests/devices/ahci_test.h"
#include "tests/fuzz/fuzz.h"

#define OPERATIONS_MAX 400u
#define IDE_BASE 0x1F0u
#define IDE_BUS_MASTER 0xC000u

enum operation { PORT_WRITE, TABLE_WRITE, COMMAND, QUEUE, WAIT, IDE_WRITE, IDE_READ, EVENT };

struct cursor {
    const uint8_t *bytes;
    size_t size;
};

static uint32_t take(struct cursor *input, unsigned bytes)
{
    uint32_t value = 0;
    for (unsigned n = 0; n < bytes && input->size; n++, input->size--)
        value |= (uint32_t)*input->bytes++ << (8 * n);
    return value;
}

static void set_up(struct bench *bench)
{
    pci_bus_config_write(bench->bus, SLOT, 0, 0x24, ABAR, 4);
    pci_bus_config_write(bench->bus, SLOT, 0, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pci_bus_config_write(bench->bus, 1, 1, 0x20, IDE_BUS_MASTER, 4);
    pci_bus_config_write(bench->bus, 1, 1, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
    fake_outl(bench->fake, IDE_BUS_MASTER + 4, 0x1000);
    for (unsigned n = 0; n < 4; n++)
        port_start(bench, n);
}

static struct block_image *new_medium(void *opaque, uint32_t drive, uint32_t number, uint64_t sectors)
{
    struct error error = {0};
    (void)opaque, (void)drive, (void)number;
    return block_overlay_create(NULL, sectors, &error);
}

static struct bench *open_both(enum block_timing timing)
{
    struct bench *bench = bench_open(timing);
    struct machine *machine = bench->fake->machine;
    struct error error = {0};
    struct block_queue_options options = {
        .drive = 5, .timing = timing, .executor = bench->executor, .media = {new_medium, NULL}};
    struct block_drive *drive = block_drive_create(machine, &options, &probe_create(SECTORS, 0)->image, &error);
    CHECK(drive);
    struct ide_unit units[4] = {{.drive = drive, .cdrom = true}, {.cdrom = true}};
    ide_piix3_create(machine, bench->bus, units, (struct irq_line[2]){{0}});
    machine_reset(machine);
    set_up(bench);
    memory_write_u64(ram(bench), 0x1000, 0x0000100000002000ull); /* PRD: 4 KiB, then 60 KiB */
    memory_write_u64(ram(bench), 0x1008, 0x8000F00000010000ull);
    return bench;
}

static void put(struct bench *bench, struct cursor *input)
{
    unsigned slot = take(input, 1) & 31, code = take(input, 1), count;
    uint64_t lba = take(input, 2);
    count = take(input, 1);
    put_command(bench, slot, (uint8_t)code, lba, count, (count + 1) * 512);
    if (code != 0xA0)
        return;
    for (unsigned n = 0; n < 12; n++)
        put_fis_byte(bench, slot, 0x40 + n, (uint8_t)take(input, 1));
}

static void event(struct bench *bench, unsigned what)
{
    static const uint32_t drives[4] = {0, 1, 3, 5};
    if (what < 4) {
        machine_reset(bench->fake->machine);
        set_up(bench);
        return;
    }
    /* Media go from the one drive only that the bench does not look at when it closes. */
    bool ide = drives[what & 3] == 5;
    struct input_message message = {.id = INPUT_MEDIA_CHANGE, .target = drives[what & 3], .a = what >> 2 & 3};
    if (what & 0x80) {
        message = (struct input_message){.id = INPUT_BLOCK_RESIZE, .target = drives[what & 3], .a = (what & 0x7C) << 4};
    } else if (ide && what & 0x40) {
        message.a = what >> 2 & 7;
        if (message.a == BLOCK_MEDIA_LAID_IN || message.a == BLOCK_MEDIA_INSERTED) {
            message.b = what & 0x20 ? SECTORS : SECTORS / 3;
            message.a |= 16u << 16;
        }
    }
    input_mailbox_post(bench->fake->mailbox, message);
}

static void operate(struct bench *bench, struct cursor *input)
{
    unsigned first = take(input, 1), reg, count;
    bench->port = first >> 3 & 3;
    switch (first & 7) {
    case PORT_WRITE:
        reg = 4 * (take(input, 1) & 31);
        set_port(bench, reg, take(input, 4));
        break;
    case TABLE_WRITE:
        reg = take(input, 1);
        put_fis_byte(bench, reg & 31, take(input, 1), (uint8_t)take(input, 1));
        break;
    case COMMAND: put(bench, input); break;
    case QUEUE:
        reg = take(input, 4);
        if (first & 0x20)
            set_port(bench, P_SACT, reg);
        set_port(bench, P_CI, reg);
        break;
    case WAIT: fake_machine_advance_ns(bench->fake, (take(input, 1) + 1) * 20000u); break;
    case IDE_WRITE:
        reg = take(input, 1);
        count = first & 0x20 ? 6 : 1; /* a packet, or a register */
        for (unsigned n = 0; n < count; n++) {
            uint16_t at = (uint16_t)(reg & 0x80 ? IDE_BUS_MASTER + (reg & 7) : IDE_BASE + (reg & 7));
            if (count == 6)
                fake_outw(bench->fake, IDE_BASE, (uint16_t)take(input, 2));
            else
                fake_outb(bench->fake, reg == 0x46 ? 0x3F6 : at, (uint8_t)take(input, 1));
        }
        break;
    case IDE_READ:
        reg = take(input, 1) & 7;
        count = reg ? 1 : (first >> 3) * 64 + 1;
        for (unsigned n = 0; n < count; n++)
            (void)fake_inw(bench->fake, (uint16_t)(IDE_BASE + reg));
        break;
    default: event(bench, take(input, 1)); break;
    }
}

static uint64_t run(const uint8_t *data, size_t size)
{
    struct cursor input = {data, size};
    struct bench *bench = open_both(take(&input, 1) & 1 ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL);
    for (unsigned n = 0; n < OPERATIONS_MAX && input.size; n++)
        operate(bench, &input);
    fake_machine_advance_ns(bench->fake, 1000000000);
    uint64_t digest = machine_digest_all(bench->fake->machine);
    bench_close(bench);
    return digest;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t first = run(data, size);
    CHECK(run(data, size) == first);
    return 0;
}
