/* What the NVMe tests share: a controller with a probe image, and the verbs of a driver that checks what it gets. */
#ifndef VMRR_TESTS_DEVICES_NVME_BENCH_H
#define VMRR_TESTS_DEVICES_NVME_BENCH_H

#include "devices/nvme.h"
#include "tests/block/probe_image.h"
#include "tests/devices/device_test.h"

#define NVME_SECTORS 70000u
#define NVME_RAM_BYTES (16u << 20)
#define NVME_BAR 0xFE000000u
#define NVME_SLOT 4
#define NVME_BENCH_QUEUES 4
#define NVME_ADMIN_ENTRIES 8u
#define NVME_DATA 0x400000u /* to 8 MiB: data; PRP lists from 0x200000 */
#define NVME_LISTS 0x200000u
#define NVME_DRIVE_WRITE_THROUGH 0x100u /* beside the attachment's flags: the drive says it, not they */
#define NVME_DNR 0x4000u
#define NVME_MORE_BIT 0x2000u

struct nvme_driver_queue {
    uint64_t sq, cq;
    uint32_t sq_size, cq_size, tail, head;
    bool phase;
};

struct nvme_bench {
    struct fake_machine *fake;
    struct probe_image *probe;
    struct block_drive *drive;
    struct block_executor *executor;
    struct pci_bus *bus;
    struct device *device;
    struct nvme_driver_queue queue[NVME_BENCH_QUEUES];
    uint16_t next_cid;
    bool pirq[PCI_PIRQS];
    unsigned message_count;
    uint32_t message_data;
};

struct nvme_answer {
    uint32_t result;
    uint16_t sq_head, sqid, cid, status; /* status without phase and More */
};

struct nvme_sent {
    uint32_t word[16];
};

static inline void nvme_bench_pirq(void *opaque, unsigned pirq, bool level)
{
    ((struct nvme_bench *)opaque)->pirq[pirq] = level;
}

static inline void nvme_bench_message(void *opaque, uint64_t address, uint32_t data)
{
    struct nvme_bench *bench = opaque;
    ck_assert_uint_eq(address, 0xFEE00000u);
    bench->message_count++;
    bench->message_data = data;
}

static inline struct memory *nvme_memory(struct nvme_bench *bench)
{
    return machine_memory(bench->fake->machine);
}

static inline void nvme_config(struct nvme_bench *bench, unsigned offset, uint32_t value, unsigned size)
{
    pci_bus_config_write(bench->bus, NVME_SLOT, 0, offset, value, size);
}

static inline void nvme_write(struct nvme_bench *bench, uint32_t offset, uint64_t value, unsigned size)
{
    bus_mmio_write(machine_bus(bench->fake->machine), NVME_BAR + offset, value, size);
}

static inline uint64_t nvme_read(struct nvme_bench *bench, uint32_t offset, unsigned size)
{
    return bus_mmio_read(machine_bus(bench->fake->machine), NVME_BAR + offset, size);
}

static inline void nvme_pass(struct nvme_bench *bench, uint64_t ns)
{
    fake_machine_advance_ns(bench->fake, ns);
}

static inline struct nvme_bench *nvme_bench_flags(enum block_timing timing, uint32_t block_bytes, bool read_only,
                                                  unsigned flags)
{
    struct nvme_bench *bench = calloc(1, sizeof *bench);
    struct error error = {{0}};
    bench->fake = fake_machine_create(NVME_RAM_BYTES);
    fake_machine_use_idle_accel(bench->fake);
    if (timing == BLOCK_TIMING_HOST)
        bench->executor = block_executor_deferred_create();
    bench->probe = probe_create(NVME_SECTORS, 0);
    bench->probe->image.read_only = read_only;
    struct block_queue_options queue = {.drive = 0, .timing = timing, .executor = bench->executor};
    queue.policy.write_through = flags & NVME_DRIVE_WRITE_THROUGH;
    bench->drive = block_drive_create(bench->fake->machine, &queue, &bench->probe->image, &error);
    bench->bus = pci_bus_create(bench->fake->machine);
    pci_bus_set_router(bench->bus, nvme_bench_pirq, bench);
    pci_bus_set_msi(bench->bus, nvme_bench_message, bench);
    struct nvme_options options = {
        .drive = bench->drive, .serial = "serial-7", .block_bytes = block_bytes, .flags = flags & BLOCK_ATTACH_FLAGS};
    bench->device = nvme_create(bench->fake->machine, bench->bus, NVME_SLOT, &options);
    machine_reset(bench->fake->machine);
    nvme_config(bench, 0x10, NVME_BAR, 4);
    nvme_config(bench, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    return bench;
}

static inline struct nvme_bench *nvme_bench_plain(enum block_timing timing, uint32_t block_bytes, bool read_only)
{
    return nvme_bench_flags(timing, block_bytes, read_only, 0);
}

static inline void nvme_bench_close(struct nvme_bench *bench)
{
    ck_assert(!bench->probe->breached);
    fake_machine_end(bench->fake);
    block_executor_destroy(bench->executor);
    fake_machine_destroy(bench->fake);
    free(bench);
}

static inline void nvme_queue_place(struct nvme_bench *bench, unsigned qid, uint32_t sq_size, uint32_t cq_size)
{
    uint64_t base = 0x20000u + 0x40000u * qid;
    bench->queue[qid] = (struct nvme_driver_queue){base, base + 0x20000u, sq_size, cq_size, 0, 0, true};
    memset(bench->fake->ram->host + base, 0, 0x40000u);
}

static inline void nvme_enable(struct nvme_bench *bench)
{
    nvme_queue_place(bench, 0, NVME_ADMIN_ENTRIES, NVME_ADMIN_ENTRIES);
    nvme_write(bench, 0x24, (NVME_ADMIN_ENTRIES - 1) << 16 | (NVME_ADMIN_ENTRIES - 1), 4);
    nvme_write(bench, 0x28, bench->queue[0].sq, 8);
    nvme_write(bench, 0x30, bench->queue[0].cq, 8);
    nvme_write(bench, 0x14, 0x00460001u, 4);
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 1);
}

/* ---- commands ---- */

static inline struct nvme_sent nvme_command_of(uint8_t opcode, uint32_t nsid, uint64_t prp1, uint64_t prp2)
{
    return (struct nvme_sent){.word = {[0] = opcode,
                                       [1] = nsid,
                                       [6] = (uint32_t)prp1,
                                       [7] = (uint32_t)(prp1 >> 32),
                                       [8] = (uint32_t)prp2,
                                       [9] = (uint32_t)(prp2 >> 32)}};
}

static inline struct nvme_sent nvme_block_command(uint8_t opcode, uint64_t lba, uint32_t count, uint64_t prp1,
                                                  uint64_t prp2)
{
    struct nvme_sent sent = nvme_command_of(opcode, 1, prp1, prp2);
    sent.word[10] = (uint32_t)lba;
    sent.word[11] = (uint32_t)(lba >> 32);
    sent.word[12] = count - 1;
    return sent;
}

static inline uint16_t nvme_enter(struct nvme_bench *bench, unsigned qid, struct nvme_sent sent)
{
    struct nvme_driver_queue *queue = &bench->queue[qid];
    uint16_t cid = ++bench->next_cid;
    sent.word[0] |= (uint32_t)cid << 16;
    for (unsigned n = 0; n < 16; n++)
        memory_write_u32(nvme_memory(bench), queue->sq + queue->tail * 64ull + 4 * n, sent.word[n]);
    queue->tail = (queue->tail + 1) % queue->sq_size;
    return cid;
}

static inline void nvme_ring(struct nvme_bench *bench, unsigned qid)
{
    nvme_write(bench, 0x1000 + 8 * qid, bench->queue[qid].tail, 4);
}

static inline uint16_t nvme_send(struct nvme_bench *bench, unsigned qid, struct nvme_sent sent)
{
    uint16_t cid = nvme_enter(bench, qid, sent);
    nvme_ring(bench, qid);
    return cid;
}

/* The next completion, if it is there: its phase bit says so. */
static inline bool nvme_take(struct nvme_bench *bench, unsigned qid, struct nvme_answer *answer)
{
    struct nvme_driver_queue *queue = &bench->queue[qid];
    uint64_t at = queue->cq + queue->head * 16ull;
    uint32_t last = memory_read_u32(nvme_memory(bench), at + 12);
    if ((last >> 16 & 1) != queue->phase)
        return false;
    *answer = (struct nvme_answer){.result = memory_read_u32(nvme_memory(bench), at),
                                   .sq_head = memory_read_u16(nvme_memory(bench), at + 8),
                                   .sqid = memory_read_u16(nvme_memory(bench), at + 10),
                                   .cid = (uint16_t)last,
                                   .status = (uint16_t)(last >> 17 & ~NVME_MORE_BIT)};
    queue->head = (queue->head + 1) % queue->cq_size;
    queue->phase ^= !queue->head;
    return true;
}

static inline void nvme_ring_cq(struct nvme_bench *bench, unsigned qid)
{
    nvme_write(bench, 0x1004 + 8 * qid, bench->queue[qid].head, 4);
}

static inline struct nvme_answer nvme_wait(struct nvme_bench *bench, unsigned qid)
{
    struct nvme_answer answer = {0};
    unsigned tries = 0;
    while (!nvme_take(bench, qid, &answer)) {
        ck_assert_msg(tries++ < 100000, "no completion in queue %u", qid);
        nvme_pass(bench, 10000);
    }
    nvme_ring_cq(bench, qid);
    return answer;
}

static inline struct nvme_answer nvme_run(struct nvme_bench *bench, unsigned qid, struct nvme_sent sent)
{
    uint16_t cid = nvme_send(bench, qid, sent);
    struct nvme_answer answer = nvme_wait(bench, qid);
    ck_assert_uint_eq(answer.cid, cid);
    ck_assert_uint_eq(answer.sqid, qid);
    ck_assert_uint_eq(answer.sq_head, bench->queue[qid].tail);
    return answer;
}

#define nvme_assert_status(bench, qid, sent, expected) ck_assert_uint_eq(nvme_run(bench, qid, sent).status, (expected))

static inline struct nvme_sent nvme_admin(uint8_t opcode, uint32_t dword10, uint32_t dword11)
{
    struct nvme_sent sent = nvme_command_of(opcode, 0, 0, 0);
    sent.word[10] = dword10;
    sent.word[11] = dword11;
    return sent;
}

static inline struct nvme_sent nvme_create_queue(struct nvme_bench *bench, uint8_t opcode, unsigned qid, uint32_t size,
                                                 uint32_t dword11)
{
    struct nvme_sent sent = nvme_admin(opcode, (size - 1) << 16 | qid, dword11);
    sent.word[6] = (uint32_t)(opcode == 5 ? bench->queue[qid].cq : bench->queue[qid].sq);
    return sent;
}

static inline void nvme_add_queue(struct nvme_bench *bench, unsigned qid, uint32_t sq_size, uint32_t cq_size,
                                  unsigned vector)
{
    nvme_queue_place(bench, qid, sq_size, cq_size);
    nvme_assert_status(bench, 0, nvme_create_queue(bench, 5, qid, cq_size, vector << 16 | 3), 0);
    nvme_assert_status(bench, 0, nvme_create_queue(bench, 1, qid, sq_size, qid << 16 | 1), 0);
}

/* Enabled, with I/O queue 1 of 64 entries. */
static inline struct nvme_bench *nvme_bench_open(enum block_timing timing, uint32_t block_bytes, bool read_only)
{
    struct nvme_bench *bench = nvme_bench_plain(timing, block_bytes, read_only);
    nvme_enable(bench);
    nvme_add_queue(bench, 1, 64, 64, 0);
    return bench;
}

static inline void nvme_assert_data(struct nvme_bench *bench, uint64_t gpa, uint64_t sector, uint32_t bytes,
                                    uint32_t skip)
{
    for (uint32_t n = 0; n < bytes; n++)
        ck_assert_msg(bench->fake->ram->host[gpa + n] == probe_byte(sector + (skip + n) / 512, (skip + n) % 512),
                      "byte %u of sector %u", n, (unsigned)sector);
}

#endif
