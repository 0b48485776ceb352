/* A driver for one virtio block device on a machine without a CPU, shared by the tests of virtio: either interface, direct
 * and indirect descriptors. */
#ifndef VMRR_TESTS_DEVICES_VIRTIO_TEST_H
#define VMRR_TESTS_DEVICES_VIRTIO_TEST_H

#include "devices/lapic.h"
#include "devices/pci_bus.h"
#include "devices/virtio_blk.h"
#include "tests/block/probe_image.h"
#include "tests/support/fake_machine.h"

#include <check.h>

#define SECTORS 4096u
#define RAM_BYTES (16u << 20)
#define SLOT 4u
#define IO_BASE 0xC000u
#define MSIX_GPA 0xFEB00000ull
#define MODERN_GPA 0xFE000000ull
#define COMMON MODERN_GPA
#define ISR_GPA (MODERN_GPA + 0x1000)
#define CONFIG_GPA (MODERN_GPA + 0x2000)
#define NOTIFY_GPA (MODERN_GPA + 0x3000)

#define DESC_GPA 0x20000ull /* where a legacy queue of 256 lies, too */
#define AVAIL_GPA 0x21000ull
#define USED_GPA 0x22000ull
#define TABLE_GPA 0x30000ull   /* indirect tables, 4 KiB a head */
#define HEADER_GPA 0x140000ull /* header at 32 bytes a head, status behind */
#define DATA_GPA 0x200000ull

#define D_NEXT 1
#define D_WRITE 2
#define D_INDIRECT 4
#define F_INDIRECT (1ull << 28)
#define F_EVENT (1ull << 29)
#define F_V1 (1ull << 32)
#define F_FLUSH (1ull << 9)
#define F_WCE (1ull << 11)
#define UNTOUCHED 0x55

struct bench {
    struct fake_machine *fake;
    struct block_executor *executor;
    struct probe_image *probe;
    struct block_drive *drive;
    struct pci_bus *bus;
    struct device *lapic, *blk;
    bool legacy, level, event_index;
    unsigned size, rises;
    uint16_t offered, seen; /* avail index; how far the used ring was looked at */
};

static inline void set_pirq(void *opaque, unsigned pirq, bool level)
{
    struct bench *bench = opaque;
    ck_assert_uint_eq(pirq, (SLOT - 1) & 3);
    bench->rises += level && !bench->level;
    bench->level = level;
}

static inline void send_msi(void *opaque, uint64_t address, uint32_t data)
{
    (void)lapic_deliver_msi(opaque, address, data);
}

static inline uint32_t config_read(struct bench *bench, unsigned offset, unsigned size)
{
    return pci_bus_config_read(bench->bus, SLOT, 0, offset, size);
}

static inline void config_write(struct bench *bench, unsigned offset, uint32_t value, unsigned size)
{
    pci_bus_config_write(bench->bus, SLOT, 0, offset, value, size);
}

static inline void place(struct bench *bench)
{
    config_write(bench, 0x10, IO_BASE, 4);
    config_write(bench, 0x14, (uint32_t)MSIX_GPA, 4);
    config_write(bench, 0x20, (uint32_t)MODERN_GPA, 4);
    config_write(bench, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
}

static inline struct bench *bench_open_with(struct virtio_blk_options options, enum block_timing timing, bool read_only)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    bench->fake = fake_machine_create(RAM_BYTES);
    fake_machine_use_idle_accel(bench->fake);
    struct machine *machine = bench->fake->machine;
    if (timing == BLOCK_TIMING_HOST)
        bench->executor = block_executor_deferred_create();
    bench->probe = probe_create(SECTORS, 0);
    bench->probe->image.read_only = read_only;
    struct block_queue_options queue = {.drive = 3, .timing = timing, .executor = bench->executor};
    bench->drive = block_drive_create(machine, &queue, &bench->probe->image, &error);
    bench->lapic = lapic_create(machine);
    bench->bus = pci_bus_create(machine);
    pci_bus_set_router(bench->bus, set_pirq, bench);
    pci_bus_set_msi(bench->bus, send_msi, bench->lapic);
    options.drive = bench->drive;
    bench->blk = virtio_blk_create(machine, bench->bus, SLOT, &options);
    machine_reset(machine);
    bench->size = 256;
    place(bench);
    return bench;
}

static inline struct bench *bench_open(void)
{
    return bench_open_with((struct virtio_blk_options){0}, BLOCK_TIMING_MODEL, false);
}

static inline void bench_close(struct bench *bench)
{
    ck_assert(!bench->probe->breached);
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    free(bench);
}

static inline struct memory *ram(struct bench *bench)
{
    return machine_memory(bench->fake->machine);
}

static inline uint64_t mmio_read(struct bench *bench, uint64_t gpa, unsigned size)
{
    return bus_mmio_read(machine_bus(bench->fake->machine), gpa, size);
}

static inline void mmio_write(struct bench *bench, uint64_t gpa, uint64_t value, unsigned size)
{
    bus_mmio_write(machine_bus(bench->fake->machine), gpa, value, size);
}

static inline void pass(struct bench *bench)
{
    fake_machine_advance_ns(bench->fake, 100000000);
}

/* ---- registers of either interface ---- */

static inline uint8_t status(struct bench *bench)
{
    return bench->legacy ? fake_inb(bench->fake, IO_BASE + 18) : (uint8_t)mmio_read(bench, COMMON + 0x14, 1);
}

static inline void set_status(struct bench *bench, uint8_t value)
{
    if (bench->legacy)
        fake_outb(bench->fake, IO_BASE + 18, value);
    else
        mmio_write(bench, COMMON + 0x14, value, 1);
}

static inline uint8_t take_isr(struct bench *bench)
{
    return bench->legacy ? fake_inb(bench->fake, IO_BASE + 19) : (uint8_t)mmio_read(bench, ISR_GPA, 1);
}

static inline uint64_t device_features(struct bench *bench)
{
    if (bench->legacy)
        return fake_inl(bench->fake, IO_BASE);
    mmio_write(bench, COMMON, 0, 4);
    uint64_t low = mmio_read(bench, COMMON + 4, 4);
    mmio_write(bench, COMMON, 1, 4);
    return low | mmio_read(bench, COMMON + 4, 4) << 32;
}

static inline void accept_features(struct bench *bench, uint64_t features)
{
    if (bench->legacy) {
        fake_outl(bench->fake, IO_BASE + 4, (uint32_t)features);
        return;
    }
    for (unsigned half = 0; half < 2; half++) {
        mmio_write(bench, COMMON + 8, half, 4);
        mmio_write(bench, COMMON + 12, (uint32_t)(features >> (32 * half)), 4);
    }
}

static inline uint64_t blk_config(struct bench *bench, unsigned offset, unsigned size)
{
    if (!bench->legacy)
        return mmio_read(bench, CONFIG_GPA + offset, size);
    bool msix = false;
    for (unsigned at = config_read(bench, 0x34, 1); at; at = config_read(bench, at + 1, 1))
        msix |= config_read(bench, at, 1) == 0x11 && (config_read(bench, at + 2, 2) & 0x8000);
    return bus_io_read(machine_bus(bench->fake->machine), (uint16_t)(IO_BASE + (msix ? 24 : 20) + offset), size);
}

static inline void place_queue(struct bench *bench)
{
    if (bench->legacy) {
        fake_outw(bench->fake, IO_BASE + 14, 0);
        fake_outl(bench->fake, IO_BASE + 8, (uint32_t)(DESC_GPA >> 12));
        return;
    }
    mmio_write(bench, COMMON + 0x16, 0, 2);
    mmio_write(bench, COMMON + 0x18, bench->size, 2);
    mmio_write(bench, COMMON + 0x20, DESC_GPA, 8);
    mmio_write(bench, COMMON + 0x28, AVAIL_GPA, 8);
    mmio_write(bench, COMMON + 0x30, USED_GPA, 8);
    mmio_write(bench, COMMON + 0x1C, 1, 2);
}

/* What a driver does from the start, without vectors. */
static inline void start(struct bench *bench, bool legacy, uint64_t features)
{
    bench->legacy = legacy;
    bench->event_index = features & F_EVENT;
    bench->offered = bench->seen = 0;
    memset(bench->fake->ram->host + DESC_GPA, 0, 0x4000);
    set_status(bench, 0);
    set_status(bench, 3);
    accept_features(bench, features | (legacy ? 0 : F_V1));
    set_status(bench, legacy ? 3 : 11);
    ck_assert_uint_eq(status(bench), legacy ? 3 : 11);
    place_queue(bench);
    set_status(bench, legacy ? 7 : 15);
}

/* ---- the ring ---- */

static inline void put_descriptor(struct bench *bench, uint64_t table, unsigned index, uint64_t gpa, uint32_t bytes,
                                  unsigned flags, unsigned next)
{
    memory_write_u64(ram(bench), table + 16 * index, gpa);
    memory_write_u32(ram(bench), table + 16 * index + 8, bytes);
    memory_write_u16(ram(bench), table + 16 * index + 12, (uint16_t)flags);
    memory_write_u16(ram(bench), table + 16 * index + 14, (uint16_t)next);
}

static inline void offer(struct bench *bench, unsigned head)
{
    memory_write_u16(ram(bench), AVAIL_GPA + 4 + 2 * (bench->offered % bench->size), (uint16_t)head);
    memory_write_u16(ram(bench), AVAIL_GPA + 2, ++bench->offered);
}

static inline void kick(struct bench *bench)
{
    if (bench->legacy)
        fake_outw(bench->fake, IO_BASE + 16, 0);
    else
        mmio_write(bench, NOTIFY_GPA, 0, 2);
}

static inline uint16_t used_index(struct bench *bench)
{
    return memory_read_u16(ram(bench), USED_GPA + 2);
}

static inline uint64_t status_of(unsigned head)
{
    return HEADER_GPA + 32 * head + 16;
}

static inline uint8_t answer_of(struct bench *bench, unsigned head)
{
    uint8_t byte;
    memory_read(ram(bench), status_of(head), &byte, 1);
    return byte;
}

static inline void put_header(struct bench *bench, unsigned head, uint32_t type, uint64_t sector)
{
    uint8_t untouched = UNTOUCHED;
    memory_write_u32(ram(bench), HEADER_GPA + 32 * head, type);
    memory_write_u32(ram(bench), HEADER_GPA + 32 * head + 4, 0);
    memory_write_u64(ram(bench), HEADER_GPA + 32 * head + 8, sector);
    memory_write(ram(bench), status_of(head), &untouched, 1);
}

/* A request of header, data in pieces of part bytes, and status, from descriptor head on; offered. */
static inline void request(struct bench *bench, unsigned head, uint32_t type, uint64_t sector, uint64_t gpa,
                           uint32_t bytes, uint32_t part, bool indirect)
{
    uint64_t table = indirect ? TABLE_GPA + 0x1000 * head : DESC_GPA;
    unsigned first = indirect ? 0 : head, at = first, data = type & 1 ? 0 : D_WRITE;
    put_header(bench, head, type, sector);
    put_descriptor(bench, table, at, HEADER_GPA + 32 * head, 16, D_NEXT, at + 1);
    for (uint64_t done = 0; done < bytes; done += part) {
        at++;
        put_descriptor(bench, table, at, gpa + done, bytes - done < part ? (uint32_t)(bytes - done) : part,
                       D_NEXT | data, at + 1);
    }
    at++;
    put_descriptor(bench, table, at, status_of(head), 1, D_WRITE, 0);
    if (indirect)
        put_descriptor(bench, DESC_GPA, head, table, 16 * (at + 1), D_INDIRECT, 0);
    offer(bench, head);
}

/* The next entry of the used ring is this one. */
#define assert_used(bench, head, length)                                                                               \
    do {                                                                                                               \
        uint64_t entry_ = USED_GPA + 4 + 8 * ((bench)->seen % (bench)->size);                                          \
        ck_assert_uint_ne(used_index(bench), (bench)->seen);                                                           \
        ck_assert_uint_eq(memory_read_u32(ram(bench), entry_), head);                                                  \
        ck_assert_uint_eq(memory_read_u32(ram(bench), entry_ + 4), length);                                            \
        (bench)->seen++;                                                                                               \
    } while (0)

/* One request from start to end; returns its status byte. */
static inline uint8_t transfer(struct bench *bench, uint32_t type, uint64_t sector, uint64_t gpa, uint32_t bytes)
{
    request(bench, 0, type, sector, gpa, bytes, 1u << 30, false);
    kick(bench);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), (uint16_t)(bench->seen + 1));
    bench->seen++;
    return answer_of(bench, 0);
}

static inline void assert_memory(struct bench *bench, uint64_t gpa, uint64_t sector, size_t bytes)
{
    for (size_t n = 0; n < bytes; n++)
        ck_assert_uint_eq(bench->fake->ram->host[gpa + n], probe_byte(sector + n / 512, n % 512));
}

static inline void assert_image(struct bench *bench, uint64_t sector, uint32_t sectors, uint8_t fill)
{
    for (size_t n = 0; n < sectors * 512u; n++)
        ck_assert_uint_eq(bench->probe->bytes[sector * 512 + n], fill);
}

static inline struct probe_operation operation(struct bench *bench, unsigned from_last)
{
    ck_assert_uint_gt(bench->probe->log_count, from_last);
    return bench->probe->log[bench->probe->log_count - 1 - from_last];
}

#endif
