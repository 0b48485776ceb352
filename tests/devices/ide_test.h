/* What the IDE tests share: channels with probe images behind them, and a driver's verbs. */
#ifndef VMRR_TESTS_DEVICES_IDE_TEST_H
#define VMRR_TESTS_DEVICES_IDE_TEST_H

#include "devices/ide.h"
#include "tests/block/probe_image.h"
#include "tests/support/fake_machine.h"

#include <check.h>

#define SECTORS 40000u /* of the small disk */
#define HUGE_SECTORS (1ull << 33)
#define BM 0xC000u
#define PRD_GPA 0x1000u
#define DATA_GPA 0x100000u
#define RAM_BYTES (16u << 20)

#define BSY 0x80
#define DRDY 0x40
#define DF 0x20
#define DSC 0x10
#define DRQ 0x08
#define ERR 0x01
#define READY (DRDY | DSC)
#define UNC 0x40
#define IDNF 0x10
#define ABRT 0x04

struct bench {
    struct fake_machine *fake;
    struct probe_image *probe[4];
    struct block_drive *drive[4];
    struct block_executor *executor;
    struct fake_line irq[2];
    uint16_t base; /* of the channel that the helpers use */
};

/* present, cdroms: bit n: drive n exists, is a CD-ROM drive (with present: with a medium). Drive 1 claims to be huge; only its first SECTORS exist. */
static inline struct bench *bench_open_with(unsigned present, unsigned cdroms, enum block_timing timing)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    bench->fake = fake_machine_create(RAM_BYTES);
    fake_machine_use_idle_accel(bench->fake);
    struct machine *machine = bench->fake->machine;
    if (timing == BLOCK_TIMING_HOST)
        bench->executor = block_executor_deferred_create();
    for (unsigned n = 0; n < 4; n++) {
        if (!(present >> n & 1))
            continue;
        bench->probe[n] = probe_create(SECTORS, n == 1 ? HUGE_SECTORS : 0);
        struct block_queue_options options = {.drive = n, .timing = timing, .executor = bench->executor};
        bench->drive[n] = block_drive_create(machine, &options, &bench->probe[n]->image, &error);
    }
    struct irq_line lines[2] = {fake_line(&bench->irq[0]), fake_line(&bench->irq[1])};
    struct pci_bus *bus = pci_bus_create(machine);
    struct ide_unit units[4];
    for (unsigned n = 0; n < 4; n++)
        units[n] = (struct ide_unit){.drive = bench->drive[n], .cdrom = cdroms >> n & 1};
    ide_piix3_create(machine, bus, units, lines);
    machine_reset(machine);
    pci_bus_config_write(bus, 1, 1, 0x20, BM, 4);
    pci_bus_config_write(bus, 1, 1, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MASTER, 2);
    bench->base = 0x1F0;
    return bench;
}

static inline struct bench *bench_open(unsigned present, enum block_timing timing)
{
    return bench_open_with(present, 0, timing);
}

static inline void bench_close(struct bench *bench)
{
    for (unsigned n = 0; n < 4; n++)
        ck_assert(!bench->probe[n] || !bench->probe[n]->breached);
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    free(bench);
}

/* ---- a driver's verbs ---- */

static inline uint8_t in(struct bench *bench, unsigned reg)
{
    return fake_inb(bench->fake, (uint16_t)(bench->base + reg));
}
static inline void out(struct bench *bench, unsigned reg, uint8_t value)
{
    fake_outb(bench->fake, (uint16_t)(bench->base + reg), value);
}
static inline uint8_t alternate(struct bench *bench)
{
    return fake_inb(bench->fake, (uint16_t)(bench->base + 0x206));
}
static inline void control(struct bench *bench, uint8_t value)
{
    fake_outb(bench->fake, (uint16_t)(bench->base + 0x206), value);
}
static inline struct fake_line *irq(struct bench *bench)
{
    return &bench->irq[bench->base == 0x170];
}

static inline void pass(struct bench *bench)
{
    fake_machine_advance_ns(bench->fake, 40000000);
}

static inline void command28(struct bench *bench, uint8_t command, uint32_t lba, uint8_t count, unsigned disk)
{
    out(bench, 6, (uint8_t)(0xE0 | disk << 4 | (lba >> 24 & 15)));
    out(bench, 2, count);
    out(bench, 3, (uint8_t)lba);
    out(bench, 4, (uint8_t)(lba >> 8));
    out(bench, 5, (uint8_t)(lba >> 16));
    out(bench, 7, command);
}

static inline void command48(struct bench *bench, uint8_t command, uint64_t lba, uint16_t count, unsigned disk)
{
    out(bench, 6, (uint8_t)(0xE0 | disk << 4));
    out(bench, 2, (uint8_t)(count >> 8));
    out(bench, 2, (uint8_t)count);
    for (unsigned n = 0; n < 3; n++)
        out(bench, 3 + n, (uint8_t)(lba >> (24 + 8 * n)));
    for (unsigned n = 0; n < 3; n++)
        out(bench, 3 + n, (uint8_t)(lba >> (8 * n)));
    out(bench, 7, command);
}

/* Status now, without INTRQ. */
#define assert_state(bench, status_value, level_value)                                                                 \
    do {                                                                                                               \
        ck_assert_uint_eq(alternate(bench), status_value);                                                             \
        ck_assert_int_eq(irq(bench)->level, level_value);                                                              \
    } while (0)

static inline void assert_done(struct bench *bench)
{
    pass(bench);
    assert_state(bench, READY, true);
    ck_assert_uint_eq(in(bench, 7), READY);
    ck_assert_int_eq(irq(bench)->level, false);
}

static inline void assert_failed(struct bench *bench, uint8_t status, uint8_t error)
{
    pass(bench);
    assert_state(bench, status, true);
    ck_assert_uint_eq(in(bench, 1), error);
    ck_assert_uint_eq(in(bench, 7), status);
}

static inline void assert_sector_in(struct bench *bench, uint64_t sector)
{
    for (unsigned n = 0; n < 256; n++) {
        uint16_t expected = (uint16_t)(probe_byte(sector, 2 * n) | probe_byte(sector, 2 * n + 1) << 8);
        ck_assert_uint_eq(fake_inw(bench->fake, bench->base), expected);
    }
}

static inline void sector_out(struct bench *bench, uint8_t fill)
{
    for (unsigned n = 0; n < 128; n++)
        fake_outl(bench->fake, bench->base, fill * 0x01010101u);
}

static inline void assert_image(struct bench *bench, unsigned drive, uint64_t sector, uint32_t sectors, uint8_t fill)
{
    for (size_t n = 0; n < sectors * 512u; n++)
        ck_assert_uint_eq(bench->probe[drive]->bytes[sector * 512 + n], fill);
}

static inline struct probe_operation last_operation(struct bench *bench, unsigned drive)
{
    ck_assert_uint_gt(bench->probe[drive]->log_count, 0);
    return bench->probe[drive]->log[bench->probe[drive]->log_count - 1];
}

/* ---- bus master ---- */

static inline void prd(struct bench *bench, unsigned entry, uint32_t gpa, uint32_t bytes, bool end)
{
    memory_write_u32(machine_memory(bench->fake->machine), PRD_GPA + 8 * entry, gpa);
    memory_write_u32(machine_memory(bench->fake->machine), PRD_GPA + 8 * entry + 4,
                     (bytes & 0xFFFF) | (end ? 0x80000000u : 0));
}

static inline uint16_t bm(struct bench *bench, unsigned reg)
{
    return (uint16_t)(BM + (bench->base == 0x170 ? 8 : 0) + reg);
}

static inline void bm_prepare(struct bench *bench, bool to_memory)
{
    fake_outl(bench->fake, bm(bench, 4), PRD_GPA);
    fake_outb(bench->fake, bm(bench, 0), to_memory ? 8 : 0);
    fake_outb(bench->fake, bm(bench, 2), 0x66);
}

static inline void bm_start(struct bench *bench, bool to_memory)
{
    fake_outb(bench->fake, bm(bench, 0), to_memory ? 9 : 1);
}
static inline uint8_t bm_status(struct bench *bench)
{
    return fake_inb(bench->fake, bm(bench, 2));
}

static inline void assert_memory(struct bench *bench, uint32_t gpa, uint64_t sector, uint32_t bytes)
{
    for (uint32_t n = 0; n < bytes; n++)
        ck_assert_uint_eq(bench->fake->ram->host[gpa + n], probe_byte(sector + n / 512, n % 512));
}

#endif
