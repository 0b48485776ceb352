/* NVMe: registers, queues, PRPs, and the commands on the namespace, as a driver sees them. */
#include "tests/devices/nvme_bench.h"

enum { FLUSH = 0, WRITE = 1, READ = 2, COMPARE = 5, ZEROES = 8, DATASET = 9 };
#define FUA 0x40000000u
#define DEALLOCATE 0x02000000u

/* ---- registers ---- */

START_TEST(test_registers)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    uint64_t cap = nvme_read(bench, 0, 8);
    ck_assert_uint_eq(cap & 0xFFFF, 2047);
    ck_assert_uint_eq(cap >> 16 & 1, 1); /* contiguous queues */
    ck_assert_uint_eq(cap >> 32 & 15, 0);
    ck_assert_uint_eq(cap >> 37 & 0xFF, 1);
    ck_assert_uint_eq(cap >> 48 & 0xFF, 0x40);
    ck_assert_uint_eq(nvme_read(bench, 0, 4), (uint32_t)cap);
    ck_assert_uint_eq(nvme_read(bench, 4, 4), cap >> 32);
    ck_assert_uint_eq(nvme_read(bench, 8, 4), 0x00010400);
    ck_assert_uint_eq(nvme_read(bench, 9, 1), 4);
    ck_assert_uint_eq(nvme_read(bench, 6, 4), 0x04000040); /* across two registers */
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0);
    nvme_write(bench, 0x0C, 0x0F, 4);
    nvme_write(bench, 0x10, 0x05, 4);
    ck_assert_uint_eq(nvme_read(bench, 0x0C, 4), 0x0A);
    ck_assert_uint_eq(nvme_read(bench, 0x10, 4), 0x0A);
    nvme_write(bench, 0x28, 0x123456789ull, 8);
    nvme_write(bench, 0x34, 0x55, 4);
    ck_assert_uint_eq(nvme_read(bench, 0x28, 8), 0x123456000ull);
    ck_assert_uint_eq(nvme_read(bench, 0x30, 8), 0x5500000000ull);
    nvme_write(bench, 0x28, 0, 2); /* too small: nothing */
    nvme_write(bench, 0x26, 0, 4);
    ck_assert_uint_eq(nvme_read(bench, 0x28, 8), 0x123456000ull);
    ck_assert_uint_eq(nvme_read(bench, 0x1000, 4), 0);
    nvme_write(bench, 0x1000, 1, 4); /* no queue, not enabled */
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_identity)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, NVME_SLOT, 0, 0, 4), 0x00101B36);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, NVME_SLOT, 0, 8, 4) >> 8, 0x010802);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, NVME_SLOT, 0, 0x10, 4) & 15, 4); /* 64-bit memory */
    nvme_config(bench, 0x10, 0, 4);
    nvme_config(bench, 0x14, 0x12, 4);
    ck_assert_uint_eq(bus_mmio_read(machine_bus(bench->fake->machine), 0x1200000008ull, 4), 0x00010400);
    nvme_bench_close(bench);
}
END_TEST

/* CC and admin queue registers that can't be: fatal status, and no way on but a reset. */
START_TEST(test_enable)
{
    static const struct {
        uint32_t cc, aqa;
        uint64_t asq, acq;
        uint32_t csts;
    } row[] = {
        {0x00460001, 0x00070007, 0x20000, 0x40000, 1}, {0x00460001, 0x00000007, 0x20000, 0x40000, 2},
        {0x00460001, 0x00070000, 0x20000, 0x40000, 2}, {0x00460001, 0x0FFF0FFF, 0x20000, 0x40000, 1},
        {0x00460001, 0x00070007, 0, 0x40000, 2},       {0x00460001, 0x00070007, 0x20000, 0, 2},
        {0x00460201, 0x00070007, 0x20000, 0x40000, 1}, {0x00460201, 0x00070007, 0x21000, 0x40000, 2},
        {0x00460281, 0x00070007, 0x20000, 0x40000, 2}, {0x00460011, 0x00070007, 0x20000, 0x40000, 2},
        {0x00460801, 0x00070007, 0x20000, 0x40000, 2},
    };
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    for (size_t n = 0; n < sizeof row / sizeof row[0]; n++) {
        nvme_write(bench, 0x24, row[n].aqa, 4);
        nvme_write(bench, 0x28, row[n].asq, 8);
        nvme_write(bench, 0x30, row[n].acq, 8);
        nvme_write(bench, 0x14, row[n].cc, 4);
        ck_assert_msg(nvme_read(bench, 0x1C, 4) == row[n].csts, "row %zu", n);
        nvme_write(bench, 0x14, row[n].cc & ~1u, 4);
        ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0);
        ck_assert_uint_eq(nvme_read(bench, 0x24, 4), row[n].aqa);
    }
    nvme_bench_close(bench);
}
END_TEST

/* Queues where no memory is: fatal status. */
START_TEST(test_broken_queues)
{
    for (unsigned broken = 0; broken < 3; broken++) {
        struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
        nvme_enable(bench);
        nvme_write(bench, 0x14, 0, 4);
        if (broken < 2)
            nvme_write(bench, broken ? 0x30 : 0x28, 0x80000000u, 8);
        else
            nvme_config(bench, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
        nvme_write(bench, 0x14, 0x00460001, 4);
        ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 1);
        bench->queue[0].tail = 0;
        nvme_send(bench, 0, nvme_admin(8, 0, 0));
        ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 3);
        nvme_pass(bench, 1000000);
        ck_assert_uint_eq(memory_read_u32(nvme_memory(bench), bench->queue[0].cq + 12), 0);
        nvme_config(bench, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
        nvme_write(bench, 0x14, 0, 4);
        nvme_enable(bench);
        nvme_assert_status(bench, 0, nvme_admin(0x0A, 7, 0), 0);
        nvme_bench_close(bench);
    }
}
END_TEST

/* ---- PRPs ---- */

/* A transfer whose pages lie apart, described as the rules of 4.3 want it; returns the command and where each page is. */
struct layout {
    struct nvme_sent sent;
    uint64_t page[140];
    unsigned pages;
    uint32_t first_offset, page_bytes;
};

static struct layout lay_out(struct nvme_bench *bench, uint8_t opcode, uint64_t lba, uint32_t blocks,
                             uint32_t first_offset, uint32_t list_offset, uint32_t page_bytes)
{
    struct layout layout = {.first_offset = first_offset, .page_bytes = page_bytes};
    uint32_t bytes = blocks * 512;
    layout.pages = (first_offset + bytes + page_bytes - 1) / page_bytes;
    ck_assert_uint_le(layout.pages, 140);
    for (unsigned n = 0; n < layout.pages; n++)
        layout.page[n] = NVME_DATA + (uint64_t)(n * 37 % 149) * 2 * page_bytes;
    uint64_t list = NVME_LISTS + list_offset, prp2 = layout.pages < 2 ? 0 : layout.page[1];
    if (layout.pages > 2) {
        prp2 = list;
        uint64_t next_page = NVME_LISTS + 8 * page_bytes;
        for (unsigned n = 1; n < layout.pages; n++, list += 8) {
            if (list % page_bytes == page_bytes - 8 && n + 1 < layout.pages) {
                memory_write_u64(nvme_memory(bench), list, next_page);
                list = next_page;
                next_page += 8 * page_bytes;
            }
            memory_write_u64(nvme_memory(bench), list, layout.page[n]);
        }
    }
    layout.sent = nvme_block_command(opcode, lba, blocks, layout.page[0] + first_offset, prp2);
    return layout;
}

/* Byte n of the transfer. */
static uint8_t *layout_byte(struct nvme_bench *bench, const struct layout *layout, uint32_t n)
{
    uint32_t at = layout->first_offset + n;
    return &bench->fake->ram->host[layout->page[at / layout->page_bytes] + at % layout->page_bytes];
}

static void check_layout(struct nvme_bench *bench, uint32_t blocks, uint32_t offset, uint32_t list, uint32_t page_bytes)
{
    uint8_t *ram = bench->fake->ram->host;
    struct layout layout = lay_out(bench, READ, 100, blocks, offset, list, page_bytes);
    memset(ram + NVME_DATA, 0xA5, NVME_RAM_BYTES - NVME_DATA);
    nvme_assert_status(bench, 1, layout.sent, 0);
    for (uint32_t n = 0; n < blocks * 512; n++)
        ck_assert_uint_eq(*layout_byte(bench, &layout, n), probe_byte(100 + n / 512, n % 512));
    size_t touched = 0; /* and nothing else */
    for (uint32_t n = NVME_DATA; n < NVME_RAM_BYTES; n++)
        touched += ram[n] != 0xA5;
    size_t expected = 0;
    for (uint32_t n = 0; n < blocks * 512; n++)
        expected += *layout_byte(bench, &layout, n) != 0xA5;
    ck_assert_uint_eq(touched, expected);
    for (uint32_t n = 0; n < blocks * 512; n++)
        *layout_byte(bench, &layout, n) = (uint8_t)(n * 5 + n / 512);
    struct layout out = lay_out(bench, WRITE, 3000, blocks, offset, list, page_bytes);
    nvme_assert_status(bench, 1, out.sent, 0);
    for (uint32_t n = 0; n < blocks * 512; n++)
        ck_assert_uint_eq(bench->probe->bytes[3000 * 512 + n], (uint8_t)(n * 5 + n / 512));
}

START_TEST(test_prps)
{
    static const uint32_t row[][3] = {/* blocks, offset in the first page, offset of the list in its page */
                                      {1, 0, 0},
                                      {1, 4, 0},
                                      {1, 3584, 0},
                                      {1, 4092, 0},
                                      {8, 0, 0},
                                      {8, 512, 0},
                                      {16, 0, 0},
                                      {9, 0, 0},
                                      {17, 0, 0},
                                      {17, 0, 8},
                                      {17, 0, 0xFF8},
                                      {24, 0, 0xFF8},
                                      {24, 0, 0xFF0},
                                      {25, 0, 0xFF0},
                                      {1024, 0, 0},
                                      {1024, 2048, 0x18},
                                      {1024, 4, 8},
                                      {1024, 0, 4096 - 127 * 8},
                                      {1024, 4, 4096 - 127 * 8},
                                      {1000, 100, 0xFE0}};
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    for (size_t n = 0; n < sizeof row / sizeof row[0]; n++)
        check_layout(bench, row[n][0], row[n][1], row[n][2], 4096);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_prps_large_pages)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    nvme_enable(bench);
    nvme_write(bench, 0x14, 0, 4);
    nvme_queue_place(bench, 0, NVME_ADMIN_ENTRIES, NVME_ADMIN_ENTRIES);
    nvme_write(bench, 0x14, 0x00460101, 4); /* 16 KiB */
    nvme_add_queue(bench, 1, 64, 64, 0);
    check_layout(bench, 64, 0, 0, 16384);
    check_layout(bench, 64, 8192, 0, 16384);
    check_layout(bench, 1024, 512, 0x3FF0, 16384);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_prp_errors)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct memory *memory = nvme_memory(bench);
    uint64_t far = 0x90000000u; /* nothing there */
    for (unsigned opcode = WRITE; opcode <= READ; opcode++) {
        uint8_t op = (uint8_t)opcode;
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 1, NVME_DATA + 2, 0), 0x13 | NVME_DNR);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 1, far, 0), 0x04);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 1, UINT64_MAX - 1023, 0), 0x04);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 1, NVME_RAM_BYTES - 256, far), 0x04);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 16, NVME_DATA, 0), 0x02 | NVME_DNR);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 16, NVME_DATA, NVME_DATA + 0x1008), 0x13 | NVME_DNR);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 16, NVME_DATA, far), 0x04);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 24, NVME_DATA, NVME_LISTS + 4), 0x13 | NVME_DNR);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 24, NVME_DATA, far), 0x04);
        memory_write_u64(memory, NVME_LISTS, NVME_DATA + 0x1000);
        memory_write_u64(memory, NVME_LISTS + 8, NVME_DATA + 0x2010);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 24, NVME_DATA, NVME_LISTS), 0x13 | NVME_DNR);
        memory_write_u64(memory, NVME_LISTS + 8, far);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 24, NVME_DATA, NVME_LISTS), 0x04);
        memory_write_u64(memory, NVME_LISTS + 0xFF8, NVME_LISTS + 0x1FF8); /* a chain pointer */
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 24, NVME_DATA, NVME_LISTS + 0xFF8), 0x13 | NVME_DNR);
        memory_write_u64(memory, NVME_LISTS + 0xFF8, far);
        nvme_assert_status(bench, 1, nvme_block_command(op, 0, 24, NVME_DATA, NVME_LISTS + 0xFF8), 0x04);
    }
    ck_assert_uint_eq(bench->probe->log_count, 0);
    nvme_bench_close(bench);
}
END_TEST

/* A list that loses its memory between submission and completion. */
START_TEST(test_prp_changed_in_flight)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    memory_write_u64(nvme_memory(bench), NVME_LISTS, NVME_DATA + 0x1000);
    memory_write_u64(nvme_memory(bench), NVME_LISTS + 8, NVME_DATA + 0x2000);
    nvme_send(bench, 1, nvme_block_command(READ, 0, 24, NVME_DATA, NVME_LISTS));
    memory_write_u64(nvme_memory(bench), NVME_LISTS + 8, 0x90000000u);
    ck_assert_uint_eq(nvme_wait(bench, 1).status, 0x04);
    nvme_bench_close(bench);
}
END_TEST

/* ---- queues ---- */

/* A completion queue of three entries holds two: the rest waits in the submission queue. Phases change at each wrap. */
START_TEST(test_small_completion_queue)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_answer answer;
    uint16_t cid[7];
    nvme_enable(bench);
    nvme_add_queue(bench, 1, 8, 3, 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned n = 0; n < 7; n++)
            cid[n] = nvme_enter(bench, 1, nvme_block_command(READ, n, 1, NVME_DATA + n * 4096, 0));
        nvme_ring(bench, 1);
        for (unsigned n = 0; n < 7; n++) {
            nvme_pass(bench, 50000000);
            ck_assert_uint_eq(bench->probe->log_count, round * 7 + (n < 5 ? n + 2 : 7));
            ck_assert(nvme_take(bench, 1, &answer));
            ck_assert_uint_eq(answer.cid, cid[n]);
            ck_assert_uint_eq(answer.status, 0);
            nvme_ring_cq(bench, 1);
        }
        ck_assert(!nvme_take(bench, 1, &answer));
    }
    nvme_bench_close(bench);
}
END_TEST

/* More commands than the drive takes, from two queues: never more than 32 under way, each in turn, all answered. */
START_TEST(test_fair_queues)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_answer answer;
    unsigned answered[3] = {0};
    nvme_add_queue(bench, 2, 64, 64, 0);
    for (unsigned n = 0; n < 50; n++) {
        nvme_enter(bench, 1, nvme_block_command(READ, n * 8, 8, NVME_DATA + n * 4096, 0));
        nvme_enter(bench, 2, nvme_block_command(READ, 1000 + n, 1, NVME_DATA + (100 + n) * 4096, 0));
    }
    nvme_ring(bench, 1);
    ck_assert_uint_eq(block_drive_room(bench->drive), 0);
    nvme_ring(bench, 2);
    for (unsigned n = 0; n < 100000 && answered[1] + answered[2] < 100; n++) {
        nvme_pass(bench, 10000);
        for (unsigned qid = 1; qid <= 2; qid++) {
            while (nvme_take(bench, qid, &answer)) {
                ck_assert_uint_eq(answer.status, 0);
                answered[qid]++;
                nvme_ring_cq(bench, qid);
            }
        }
        /* queue 1 had 32 places at first: from then on one of each */
        if (answered[1] > 33 && answered[1] < 50)
            ck_assert_uint_ge(answered[2] + 2, answered[1] - 32);
    }
    ck_assert_uint_eq(answered[1], 50);
    ck_assert_uint_eq(answered[2], 50);
    for (unsigned n = 0; n < 50; n++) {
        nvme_assert_data(bench, NVME_DATA + n * 4096, n * 8, 4096, 0);
        nvme_assert_data(bench, NVME_DATA + (100 + n) * 4096, 1000 + n, 512, 0);
    }
    nvme_bench_close(bench);
}
END_TEST

/* Commands that fail at once come in batches, not all within one doorbell write. */
START_TEST(test_batches)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_answer answer;
    unsigned count = 0;
    nvme_enable(bench);
    nvme_add_queue(bench, 1, 256, 256, 0);
    for (unsigned n = 0; n < 100; n++)
        nvme_enter(bench, 1, nvme_block_command(0x77, 0, 1, NVME_DATA, 0));
    nvme_ring(bench, 1);
    while (nvme_take(bench, 1, &answer)) {
        ck_assert_uint_eq(answer.status, 0x01 | NVME_DNR);
        count++;
    }
    ck_assert_uint_eq(count, 32);
    nvme_pass(bench, 10000);
    while (nvme_take(bench, 1, &answer))
        count++;
    ck_assert_uint_eq(count, 100);
    ck_assert_uint_eq(answer.sq_head, 100);
    nvme_bench_close(bench);
}
END_TEST

/* ---- interrupts ---- */

START_TEST(test_intx)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_answer answer;
    unsigned pirq = NVME_SLOT - 1;
    ck_assert(!bench->pirq[pirq]);
    nvme_send(bench, 1, nvme_block_command(READ, 0, 1, NVME_DATA, 0));
    nvme_send(bench, 1, nvme_block_command(READ, 0, 1, NVME_DATA, 0));
    nvme_pass(bench, 50000000);
    ck_assert(bench->pirq[pirq]);
    nvme_write(bench, 0x0C, 1, 4);
    ck_assert(!bench->pirq[pirq]);
    nvme_write(bench, 0x10, 1, 4);
    ck_assert(bench->pirq[pirq]);
    ck_assert(nvme_take(bench, 1, &answer));
    nvme_ring_cq(bench, 1);
    ck_assert(bench->pirq[pirq]);
    ck_assert(nvme_take(bench, 1, &answer));
    nvme_ring_cq(bench, 1);
    ck_assert(!bench->pirq[pirq]);
    /* a queue without interrupts */
    nvme_queue_place(bench, 2, 8, 8);
    nvme_assert_status(bench, 0, nvme_create_queue(bench, 5, 2, 8, 1), 0);
    nvme_assert_status(bench, 0, nvme_create_queue(bench, 1, 2, 8, 2 << 16 | 1), 0);
    nvme_send(bench, 2, nvme_block_command(READ, 0, 1, NVME_DATA, 0));
    nvme_pass(bench, 50000000);
    ck_assert(!bench->pirq[pirq]);
    ck_assert(nvme_take(bench, 2, &answer));
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_msix)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    uint32_t capability = pci_bus_config_read(bench->bus, NVME_SLOT, 0, 0x34, 1);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, NVME_SLOT, 0, capability, 1), 0x11);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, NVME_SLOT, 0, capability + 2, 2) & 0x7FF, 63);
    for (unsigned vector = 0; vector < 4; vector++) {
        nvme_write(bench, 0x2000 + 16 * vector, 0xFEE00000u, 8);
        nvme_write(bench, 0x2008 + 16 * vector, 0x40 + vector, 4);
        nvme_write(bench, 0x200C + 16 * vector, 0, 4);
    }
    ck_assert_uint_eq(nvme_read(bench, 0x2018, 8), 0x41);
    nvme_enable(bench);
    nvme_queue_place(bench, 1, 8, 8);
    nvme_assert_status(bench, 0, nvme_create_queue(bench, 5, 1, 8, 3 << 16 | 3), 0x108 | NVME_DNR);
    nvme_config(bench, capability + 2, 0x8000, 2);
    nvme_assert_status(bench, 0, nvme_create_queue(bench, 5, 1, 8, 64u << 16 | 3), 0x108 | NVME_DNR);
    nvme_add_queue(bench, 1, 8, 8, 3);
    bench->message_count = 0;
    nvme_run(bench, 1, nvme_block_command(READ, 0, 1, NVME_DATA, 0));
    ck_assert_uint_eq(bench->message_count, 1);
    ck_assert_uint_eq(bench->message_data, 0x43);
    nvme_run(bench, 0, nvme_admin(0x0A, 7, 0));
    ck_assert_uint_eq(bench->message_data, 0x40);
    ck_assert(!bench->pirq[NVME_SLOT - 1]);
    nvme_bench_close(bench);
}
END_TEST

/* ---- commands on the namespace ---- */

START_TEST(test_range_errors)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    static const uint8_t opcodes[] = {WRITE, READ, COMPARE, ZEROES};
    for (unsigned n = 0; n < sizeof opcodes; n++) {
        uint8_t op = opcodes[n];
        nvme_assert_status(bench, 1, nvme_block_command(op, NVME_SECTORS, 1, NVME_DATA, 0), 0x80 | NVME_DNR);
        nvme_assert_status(bench, 1, nvme_block_command(op, NVME_SECTORS - 1, 2, NVME_DATA, 0), 0x80 | NVME_DNR);
        nvme_assert_status(bench, 1, nvme_block_command(op, UINT64_MAX, 2, NVME_DATA, 0), 0x80 | NVME_DNR);
        struct nvme_sent sent = nvme_block_command(op, 0, 1, NVME_DATA, 0);
        sent.word[1] = 2;
        nvme_assert_status(bench, 1, sent, 0x0B | NVME_DNR);
        sent.word[1] = op == WRITE ? 0xFFFFFFFF : 0;
        nvme_assert_status(bench, 1, sent, 0x0B | NVME_DNR);
        sent.word[1] = 1;
        sent.word[0] |= op == WRITE ? 0x100 : 0x4000; /* fused; SGL */
        nvme_assert_status(bench, 1, sent, 0x02 | NVME_DNR);
    }
    nvme_assert_status(bench, 1, nvme_block_command(READ, 0, 1025, NVME_DATA, 0), 0x02 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(0x04, 0, 1, NVME_DATA, 0), 0x01 | NVME_DNR);
    ck_assert_uint_eq(bench->probe->log_count, 0);
    nvme_bench_close(bench);
}
END_TEST

static struct probe_operation last_operation(struct nvme_bench *bench)
{
    ck_assert_uint_gt(bench->probe->log_count, 0);
    return bench->probe->log[bench->probe->log_count - 1];
}

START_TEST(test_flush_and_fua)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_sent fua = nvme_block_command(WRITE, 5, 1, NVME_DATA, 0);
    nvme_assert_status(bench, 1, fua, 0);
    ck_assert(!last_operation(bench).fua);
    fua.word[12] |= FUA;
    nvme_assert_status(bench, 1, fua, 0);
    ck_assert(last_operation(bench).fua);
    nvme_assert_status(bench, 1, nvme_command_of(FLUSH, 1, 0, 0), 0);
    ck_assert_int_eq(last_operation(bench).op, TRACE_BLOCK_FLUSH);
    nvme_assert_status(bench, 1, nvme_command_of(FLUSH, 0xFFFFFFFF, 0, 0), 0);
    ck_assert_uint_eq(bench->probe->log_count, 4);
    nvme_assert_status(bench, 1, nvme_command_of(FLUSH, 3, 0, 0), 0x0B | NVME_DNR);
    /* write cache off: a flush, then every write goes through */
    nvme_assert_status(bench, 0, nvme_admin(0x09, 6, 0), 0);
    ck_assert_uint_eq(bench->probe->log_count, 5);
    ck_assert_int_eq(last_operation(bench).op, TRACE_BLOCK_FLUSH);
    nvme_assert_status(bench, 0, nvme_admin(0x09, 6, 0), 0);
    ck_assert_uint_eq(bench->probe->log_count, 5);
    nvme_assert_status(bench, 1, nvme_block_command(WRITE, 5, 1, NVME_DATA, 0), 0);
    ck_assert(last_operation(bench).fua);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_write_zeroes)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_sent sent = nvme_block_command(ZEROES, 10, 20, 0, 0);
    nvme_assert_status(bench, 1, sent, 0);
    ck_assert_int_eq(last_operation(bench).op, TRACE_BLOCK_WRITE_ZEROES);
    for (unsigned n = 0; n < 20 * 512; n++)
        ck_assert_uint_eq(bench->probe->bytes[10 * 512 + n], 0);
    ck_assert_uint_eq(bench->probe->bytes[30 * 512], probe_byte(30, 0));
    sent.word[12] |= DEALLOCATE;
    nvme_assert_status(bench, 1, sent, 0);
    ck_assert_int_eq(last_operation(bench).op, TRACE_BLOCK_DISCARD);
    sent.word[12] |= FUA;
    nvme_assert_status(bench, 1, sent, 0);
    ck_assert_uint_eq(bench->probe->log_count, 4);
    ck_assert_int_eq(last_operation(bench).op, TRACE_BLOCK_FLUSH);
    nvme_assert_status(bench, 1, nvme_block_command(ZEROES, 0, 65536, 0, 0), 0);
    ck_assert_uint_eq(last_operation(bench).sectors, 65536);
    nvme_bench_close(bench);
}
END_TEST

static void put_range(struct nvme_bench *bench, unsigned n, uint32_t blocks, uint64_t lba)
{
    memory_write_u32(nvme_memory(bench), NVME_DATA + 16 * n + 4, blocks);
    memory_write_u64(nvme_memory(bench), NVME_DATA + 16 * n + 8, lba);
}

START_TEST(test_dataset)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_sent sent = nvme_command_of(DATASET, 1, NVME_DATA, 0);
    put_range(bench, 0, 8, 100);
    put_range(bench, 1, 0, 5);
    put_range(bench, 2, 69000, 50); /* more than one request takes */
    put_range(bench, 3, 1, NVME_SECTORS - 1);
    put_range(bench, 4, 2, NVME_SECTORS - 1);
    sent.word[10] = 3;
    nvme_assert_status(bench, 1, sent, 0); /* a hint */
    ck_assert_uint_eq(bench->probe->log_count, 0);
    sent.word[11] = 4;
    nvme_assert_status(bench, 1, sent, 0);
    ck_assert_uint_eq(bench->probe->log_count, 4);
    ck_assert_uint_eq(bench->probe->log[1].sectors, 65536);
    ck_assert_uint_eq(bench->probe->log[2].sector, 50 + 65536);
    ck_assert_uint_eq(bench->probe->log[2].sectors, 69000 - 65536);
    ck_assert_uint_eq(bench->probe->bytes[49 * 512], probe_byte(49, 0));
    ck_assert_uint_eq(bench->probe->bytes[100 * 512 + 1], 0);
    ck_assert_uint_eq(bench->probe->bytes[(NVME_SECTORS - 1) * 512 + 7], 0);
    sent.word[10] = 4;
    nvme_assert_status(bench, 1, sent, 0x80 | NVME_DNR);
    ck_assert_uint_eq(bench->probe->log_count, 8); /* up to the bad one */
    sent.word[6] = NVME_DATA + 4096 - 32;          /* the list crosses a page */
    sent.word[8] = NVME_LISTS;
    memcpy(bench->fake->ram->host + NVME_DATA + 4096 - 32, bench->fake->ram->host + NVME_DATA, 32);
    memcpy(bench->fake->ram->host + NVME_LISTS, bench->fake->ram->host + NVME_DATA + 32, 32);
    sent.word[10] = 3;
    nvme_assert_status(bench, 1, sent, 0);
    ck_assert_uint_eq(bench->probe->log_count, 12);
    sent.word[8] = 0x90000000u;
    nvme_assert_status(bench, 1, sent, 0x04);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_compare)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 40, 8, NVME_DATA, 0), 0);
    nvme_assert_status(bench, 1, nvme_block_command(COMPARE, 40, 8, NVME_DATA, 0), 0);
    bench->fake->ram->host[NVME_DATA + 4095] ^= 1;
    nvme_assert_status(bench, 1, nvme_block_command(COMPARE, 40, 8, NVME_DATA, 0), 0x285 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(COMPARE, 40, 7, NVME_DATA, 0), 0);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_media_errors)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_sent trim = nvme_command_of(DATASET, 1, NVME_DATA, 0);
    bench->probe->fail_read = bench->probe->fail_write = bench->probe->fail_flush = bench->probe->fail_discard =
        STATUS_IO;
    memset(bench->fake->ram->host + NVME_DATA, 0x33, 512);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 1, 1, NVME_DATA, 0), 0x281);
    ck_assert_uint_eq(bench->fake->ram->host[NVME_DATA], 0x33);
    nvme_assert_status(bench, 1, nvme_block_command(COMPARE, 1, 1, NVME_DATA, 0), 0x281);
    nvme_assert_status(bench, 1, nvme_block_command(WRITE, 1, 1, NVME_DATA, 0), 0x280);
    nvme_assert_status(bench, 1, nvme_block_command(ZEROES, 1, 1, NVME_DATA, 0), 0x280);
    nvme_assert_status(bench, 1, nvme_command_of(FLUSH, 1, 0, 0), 0x06);
    trim.word[11] = 4;
    put_range(bench, 0, 1, 1);
    nvme_assert_status(bench, 1, trim, 0x280);
    nvme_bench_close(bench);
    bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, true);
    nvme_assert_status(bench, 1, nvme_block_command(WRITE, 1, 1, NVME_DATA, 0), 0x20 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(ZEROES, 1, 1, NVME_DATA, 0), 0x20 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 1, 1, NVME_DATA, 0), 0);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_large_blocks)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 4096, false);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 3, 1, NVME_DATA, 0), 0);
    nvme_assert_data(bench, NVME_DATA, 24, 4096, 0);
    nvme_assert_status(bench, 1, nvme_block_command(WRITE, 0, 1, NVME_DATA, 0), 0);
    ck_assert_uint_eq(bench->probe->bytes[4095], probe_byte(31, 511));
    nvme_assert_status(bench, 1, nvme_block_command(READ, NVME_SECTORS / 8, 1, NVME_DATA, 0), 0x80 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 0, 129, NVME_DATA, 0), 0x02 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(ZEROES, 0, 8750, 0, 0), 0); /* 70000 sectors: two requests */
    ck_assert_uint_eq(last_operation(bench).sectors, 70000 - 65536);
    nvme_bench_close(bench);
}
END_TEST

RIG_MAIN("nvme", test_registers, test_identity, test_enable, test_broken_queues, test_prps, test_prps_large_pages,
         test_prp_errors, test_prp_changed_in_flight, test_small_completion_queue, test_fair_queues, test_batches,
         test_intx, test_msix, test_range_errors, test_flush_and_fua, test_write_zeroes, test_dataset, test_compare,
         test_media_errors, test_large_blocks)
