/* What the AHCI tests share: a controller with probe images behind its ports, and a driver's verbs. Port 0: a disk, port 1: a
 * CD-ROM drive with a medium, port 2: an empty CD-ROM drive, port 3: a second disk, the others empty. */
#ifndef VMRR_TESTS_DEVICES_AHCI_TEST_H
#define VMRR_TESTS_DEVICES_AHCI_TEST_H

#include "devices/ahci.h"
#include "tests/block/probe_image.h"
#include "tests/support/fake_machine.h"

#include <check.h>

#define SLOT 4u
#define ABAR 0xE0000000u
#ifndef SECTORS
#define SECTORS 40000u
#endif
#define RAM_BYTES (16u << 20)
#define PORT_MEMORY(port) (0x100000u + (port)*0x40000u) /* command list, FIS at +400h, tables from +1000h */
#define TABLE_BYTES 0x1000u
#define DATA_GPA 0x400000u

#define P_CLB 0x00
#define P_FB 0x08
#define P_IS 0x10
#define P_IE 0x14
#define P_CMD 0x18
#define P_TFD 0x20
#define P_SIG 0x24
#define P_SSTS 0x28
#define P_SCTL 0x2C
#define P_SERR 0x30
#define P_SACT 0x34
#define P_CI 0x38

#define READY 0x50u
#define ERR 0x01u
#define DHRS 0x1u
#define PSS 0x2u
#define SDBS 0x8u
#define DPS 0x20u
#define PCS 0x40u
#define OFS 0x01000000u
#define HBFS 0x20000000u
#define TFES 0x40000000u

struct bench {
    struct fake_machine *fake;
    struct pci_bus *bus;
    struct probe_image *probe[4];
    struct block_drive *drive[4];
    struct block_executor *executor;
    bool interrupt; /* level of PIRQ */
    unsigned port;  /* that the helpers use */
};

static inline void bench_pirq(void *opaque, unsigned pirq, bool level)
{
    (void)pirq;
    ((struct bench *)opaque)->interrupt = level;
}

static inline struct bench *bench_open(enum block_timing timing)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    bench->fake = fake_machine_create(RAM_BYTES);
    fake_machine_use_idle_accel(bench->fake);
    struct machine *machine = bench->fake->machine;
    if (timing == BLOCK_TIMING_HOST)
        bench->executor = block_executor_deferred_create();
    for (unsigned n = 0; n < 4; n++) {
        if (n == 2)
            continue;
        bench->probe[n] = probe_create(SECTORS, 0);
        struct block_queue_options options = {.drive = n, .timing = timing, .executor = bench->executor, .seed = 5};
        bench->drive[n] = block_drive_create(machine, &options, &bench->probe[n]->image, &error);
    }
    struct ahci_unit units[AHCI_PORTS] = {{.drive = bench->drive[0], .serial = "SERIAL-0"},
                                          {.drive = bench->drive[1], .cdrom = true},
                                          {.cdrom = true},
                                          {.drive = bench->drive[3]}};
    bench->bus = pci_bus_create(machine);
    pci_bus_set_router(bench->bus, bench_pirq, bench);
    ahci_create(machine, bench->bus, SLOT, units);
    machine_reset(machine);
    pci_bus_config_write(bench->bus, SLOT, 0, 0x24, ABAR, 4);
    pci_bus_config_write(bench->bus, SLOT, 0, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    return bench;
}

static inline void bench_close(struct bench *bench)
{
    for (unsigned n = 0; n < 4; n++)
        CHECK(!bench->probe[n] || !bench->probe[n]->breached);
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    free(bench);
}

static inline uint32_t hba(struct bench *bench, unsigned reg)
{
    return (uint32_t)bus_mmio_read(machine_bus(bench->fake->machine), ABAR + reg, 4);
}
static inline void set_hba(struct bench *bench, unsigned reg, uint32_t value)
{
    bus_mmio_write(machine_bus(bench->fake->machine), ABAR + reg, value, 4);
}
static inline uint32_t port(struct bench *bench, unsigned reg)
{
    return hba(bench, 0x100 + bench->port * 0x80 + reg);
}
static inline void set_port(struct bench *bench, unsigned reg, uint32_t value)
{
    set_hba(bench, 0x100 + bench->port * 0x80 + reg, value);
}
static inline struct memory *ram(struct bench *bench)
{
    return machine_memory(bench->fake->machine);
}
static inline void pass(struct bench *bench)
{
    fake_machine_advance_ns(bench->fake, 400000000);
}

/* Lists in place, receiving and running, interrupts on. */
static inline void port_start(struct bench *bench, unsigned number)
{
    bench->port = number;
    set_port(bench, P_CLB, PORT_MEMORY(number));
    set_port(bench, P_FB, PORT_MEMORY(number) + 0x400);
    set_port(bench, P_CMD, 0x10);
    set_port(bench, P_SERR, UINT32_MAX);
    set_port(bench, P_IS, UINT32_MAX);
    set_port(bench, P_IE, UINT32_MAX);
    set_port(bench, P_CMD, 0x11);
    set_hba(bench, 0x08, UINT32_MAX);
    set_hba(bench, 0x04, 0x80000002);
}

static inline uint32_t table_gpa(struct bench *bench, unsigned slot)
{
    return PORT_MEMORY(bench->port) + 0x1000 + slot * TABLE_BYTES;
}

static inline void set_prd(struct bench *bench, unsigned slot, unsigned entry, uint64_t gpa, uint32_t bytes)
{
    uint64_t at = table_gpa(bench, slot) + 0x80 + 16 * entry;
    memory_write_u64(ram(bench), at, gpa);
    memory_write_u32(ram(bench), at + 8, 0);
    memory_write_u32(ram(bench), at + 12, bytes - 1);
}

static inline void set_header(struct bench *bench, unsigned slot, unsigned entries, uint32_t flags)
{
    uint64_t at = PORT_MEMORY(bench->port) + 32 * slot;
    memory_write_u32(ram(bench), at, 5 | flags | entries << 16);
    memory_write_u32(ram(bench), at + 4, 0xDEAD);
    memory_write_u64(ram(bench), at + 8, table_gpa(bench, slot));
}

/* A command of a 48-bit address, with one PRD of bytes at DATA_GPA + slot * 256 KiB. */
static inline void put_command(struct bench *bench, unsigned slot, uint8_t code, uint64_t lba, uint32_t count,
                               uint32_t bytes)
{
    uint8_t fis[20] = {0x27, 0x80, code};
    bool queued = code == 0x60 || code == 0x61;
    for (unsigned n = 0; n < 3; n++) {
        fis[4 + n] = (uint8_t)(lba >> (8 * n));
        fis[8 + n] = (uint8_t)(lba >> (24 + 8 * n));
    }
    fis[7] = 0x40;
    fis[queued ? 3 : 12] = (uint8_t)count;
    fis[queued ? 11 : 13] = (uint8_t)(count >> 8);
    if (queued)
        fis[12] = (uint8_t)(slot << 3);
    memory_write(ram(bench), table_gpa(bench, slot), fis, sizeof fis);
    set_header(bench, slot, bytes ? 1 : 0, 0);
    if (bytes)
        set_prd(bench, slot, 0, DATA_GPA + slot * 0x40000, bytes);
}

static inline void put_fis_byte(struct bench *bench, unsigned slot, unsigned at, uint8_t value)
{
    memory_write(ram(bench), table_gpa(bench, slot) + at, &value, 1);
}

static inline void go(struct bench *bench, unsigned slot)
{
    set_port(bench, P_CI, 1u << slot);
    pass(bench);
}

static inline uint8_t *host(struct bench *bench, uint32_t gpa)
{
    return bench->fake->ram->host + gpa;
}

static inline uint8_t *slot_data(struct bench *bench, unsigned slot)
{
    return host(bench, DATA_GPA + slot * 0x40000);
}

static inline uint32_t moved(struct bench *bench, unsigned slot)
{
    return memory_read_u32(ram(bench), PORT_MEMORY(bench->port) + 32 * slot + 4);
}

static inline void assert_sectors(const uint8_t *data, uint64_t sector, uint32_t sectors)
{
    for (uint32_t n = 0; n < sectors * 512; n++)
        ck_assert_uint_eq(data[n], probe_byte(sector + n / 512, n % 512));
}

/* The command of slot 0 is over, as it should be. */
static inline void assert_done(struct bench *bench, uint32_t is)
{
    ck_assert_uint_eq(port(bench, P_CI), 0);
    ck_assert_uint_eq(port(bench, P_TFD), READY);
    ck_assert_uint_eq(port(bench, P_IS), is);
    ck_assert_uint_eq(hba(bench, 0x08), 1u << bench->port);
    ck_assert(bench->interrupt);
    set_port(bench, P_IS, is);
    set_hba(bench, 0x08, UINT32_MAX);
    ck_assert(!bench->interrupt);
}

/* The command failed: the port stands until it is stopped and started. */
static inline void assert_failed(struct bench *bench, unsigned slot, uint8_t status, uint8_t error)
{
    ck_assert_uint_eq(port(bench, P_CI), 1u << slot);
    ck_assert_uint_eq(port(bench, P_TFD), (uint32_t)error << 8 | status);
    ck_assert_uint_eq(port(bench, P_IS) & TFES, TFES);
    ck_assert_uint_eq(port(bench, P_CMD) >> 8 & 31, slot);
    set_port(bench, P_CMD, 0x10);
    ck_assert_uint_eq(port(bench, P_CI), 0);
    set_port(bench, P_IS, UINT32_MAX);
    set_hba(bench, 0x08, UINT32_MAX);
    set_port(bench, P_CMD, 0x11);
}

#endif
