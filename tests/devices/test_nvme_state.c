/* NVMe: resets and shutdown with commands under way, saved state in the middle of them, damaged saved state, and full places
 * at a drive with host timing. */
#include "devices/nvme_internal.h"
#include "tests/devices/nvme_bench.h"

enum { FLUSH = 0, WRITE = 1, READ = 2, COMPARE = 5, ZEROES = 8, DATASET = 9 };
#define SHUTDOWN_NORMAL 0x00464001u

static void fill(struct nvme_bench *bench, uint8_t value)
{
    memset(bench->fake->ram->host + NVME_DATA, value, 0x100000);
}

static void assert_filled(struct nvme_bench *bench, uint8_t value)
{
    for (unsigned n = 0; n < 0x100000; n++)
        ck_assert_uint_eq(bench->fake->ram->host[NVME_DATA + n], value);
}

/* Reads, writes and a flush, all under way. */
static void start_several(struct nvme_bench *bench)
{
    for (unsigned n = 0; n < 6; n++)
        nvme_enter(bench, 1, nvme_block_command(READ, 64 * n, 8, NVME_DATA + n * 4096, 0));
    for (unsigned n = 6; n < 10; n++)
        nvme_enter(bench, 1, nvme_block_command(WRITE, 1000 + 64 * n, 8, NVME_DATA + n * 4096, 0));
    nvme_enter(bench, 1, nvme_command_of(FLUSH, 1, 0, 0));
    nvme_enter(bench, 1, nvme_block_command(ZEROES, 5000, 100, 0, 0));
    nvme_ring(bench, 1);
}

static void check_reset(enum block_timing timing, bool whole_machine)
{
    struct nvme_bench *bench = nvme_bench_open(timing, 512, false);
    struct nvme_answer answer;
    fill(bench, 0x42);
    start_several(bench);
    if (whole_machine)
        machine_reset(bench->fake->machine);
    else
        nvme_write(bench, 0x14, 0, 4);
    nvme_config(bench, 0x10, NVME_BAR, 4);
    nvme_config(bench, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0);
    ck_assert(!bench->pirq[NVME_SLOT - 1]);
    nvme_pass(bench, 100000000);
    assert_filled(bench, 0x42); /* nothing read reached memory, nothing was answered */
    ck_assert(!nvme_take(bench, 1, &answer));
    ck_assert_uint_eq(block_drive_room(bench->drive), BLOCK_PENDING_MAX);
    ck_assert_uint_eq(bench->probe->bytes[(1000 + 64 * 9) * 512], 0x42); /* what was written is */
    nvme_enable(bench);
    nvme_add_queue(bench, 1, 64, 64, 0);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 3, 1, NVME_DATA, 0), 0);
    nvme_assert_data(bench, NVME_DATA, 3, 512, 0);
    nvme_bench_close(bench);
}

START_TEST(test_controller_reset)
{
    check_reset(BLOCK_TIMING_MODEL, false);
}
END_TEST
START_TEST(test_machine_reset)
{
    check_reset(BLOCK_TIMING_MODEL, true);
}
END_TEST

/* Shutdown: complete when what was written is on the medium, and not before. */
START_TEST(test_shutdown)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    start_several(bench);
    nvme_write(bench, 0x14, SHUTDOWN_NORMAL, 4);
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0x05);
    for (unsigned n = 0; n < 100000 && nvme_read(bench, 0x1C, 4) == 0x05; n++) {
        ck_assert(block_drive_room(bench->drive) < BLOCK_PENDING_MAX);
        nvme_pass(bench, 10000);
    }
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0x09);
    ck_assert_int_eq(bench->probe->log[bench->probe->log_count - 1].op, TRACE_BLOCK_FLUSH);
    ck_assert_uint_eq(bench->probe->log_count, 13);
    nvme_write(bench, 0x14, 0, 4);
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0);
    nvme_bench_close(bench);
}
END_TEST

/* Asked for while all places are taken, it waits for one. */
START_TEST(test_shutdown_when_full)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    for (unsigned n = 0; n < 32; n++)
        nvme_enter(bench, 1, nvme_block_command(READ, n, 1, NVME_DATA + n * 512, 0));
    nvme_ring(bench, 1);
    ck_assert_uint_eq(block_drive_room(bench->drive), 0);
    nvme_write(bench, 0x14, SHUTDOWN_NORMAL, 4);
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0x05);
    nvme_pass(bench, 500000000);
    ck_assert_uint_eq(nvme_read(bench, 0x1C, 4), 0x09);
    ck_assert_uint_eq(bench->probe->log_count, 33);
    nvme_bench_close(bench);
}
END_TEST

/* ---- saved state ---- */

static void load_device(struct device *from, struct device *to)
{
    size_t size = state_size(from->class->fields);
    uint8_t *bytes = malloc(size ? size : 1);
    state_save(from->class->fields, from, bytes);
    ck_assert_int_eq(state_load(to->class->fields, to, bytes, size), STATUS_OK);
    free(bytes);
}

/* Everything of one machine into another; the driver's own memory too. */
static void copy_all(struct nvme_bench *from, struct nvme_bench *to)
{
    struct device *a = machine_device_first(from->fake->machine), *b = machine_device_first(to->fake->machine);
    fake_machine_advance_ns(to->fake, fake_machine_now_ns(from->fake) - fake_machine_now_ns(to->fake));
    memcpy(to->fake->ram->host, from->fake->ram->host, NVME_RAM_BYTES);
    memcpy(to->probe->bytes, from->probe->bytes, (size_t)NVME_SECTORS * 512);
    memcpy(to->queue, from->queue, sizeof to->queue);
    to->next_cid = from->next_cid;
    for (; a; a = a->next, b = b->next)
        load_device(a, b);
    size_t size = block_drive_payload_bytes(from->drive);
    uint8_t *payload = malloc(size ? size : 1);
    block_drive_payload_save(from->drive, payload);
    ck_assert_int_eq(block_drive_payload_load(to->drive, payload, size), STATUS_OK);
    free(payload);
    for (b = machine_device_first(to->fake->machine); b; b = b->next)
        if (b->class->post_load)
            b->class->post_load(b);
}

/* Commands of every kind, more than the drive takes; some failing, so that the queue's timer is armed too. */
static void start_all(struct nvme_bench *bench)
{
    struct nvme_sent trim = nvme_command_of(DATASET, 1, NVME_DATA + 0x80000, 0);
    memory_write_u32(nvme_memory(bench), NVME_DATA + 0x80004, 66000);
    memory_write_u32(nvme_memory(bench), NVME_DATA + 0x80014, 7);
    memory_write_u64(nvme_memory(bench), NVME_DATA + 0x80018, 69000);
    trim.word[10] = 1;
    trim.word[11] = 4;
    nvme_send(bench, 0, nvme_admin(0x0C, 0, 0));
    for (unsigned n = 0; n < 10; n++) {
        nvme_enter(bench, 1, nvme_block_command(READ, 64 * n, 8, NVME_DATA + n * 4096, 0));
        nvme_enter(bench, 1, nvme_block_command(WRITE, 9000 + n, 1, NVME_DATA + 0x40000, 0));
        nvme_enter(bench, 1, nvme_block_command(COMPARE, 64 * n, 8, NVME_DATA + n * 4096, 0));
        nvme_enter(bench, 1, nvme_block_command(0x55, 0, 1, 0, 0));
    }
    nvme_enter(bench, 1, trim);
    nvme_enter(bench, 1, nvme_block_command(ZEROES, 100, 50, 0, 0));
    nvme_enter(bench, 1, nvme_command_of(FLUSH, 1, 0, 0));
    nvme_ring(bench, 1);
}

static unsigned finish_all(struct nvme_bench *bench)
{
    struct nvme_answer answer;
    unsigned count = 0;
    for (unsigned n = 0; n < 3000; n++) {
        nvme_pass(bench, 100000);
        for (; nvme_take(bench, 1, &answer); count++)
            nvme_ring_cq(bench, 1);
    }
    nvme_write(bench, 0x1000 + 8 * 9, 1, 4); /* an event */
    ck_assert(nvme_take(bench, 0, &answer));
    return count;
}

static void check_copy(enum block_timing timing, uint64_t after_ns)
{
    struct nvme_bench *first = nvme_bench_open(timing, 512, false);
    struct nvme_bench *second = nvme_bench_plain(timing, 512, false);
    start_all(first);
    nvme_pass(first, after_ns);
    copy_all(first, second);
    ck_assert_uint_eq(finish_all(first), finish_all(second));
    ck_assert_int_eq(memcmp(first->fake->ram->host, second->fake->ram->host, NVME_RAM_BYTES), 0);
    ck_assert_int_eq(memcmp(first->probe->bytes, second->probe->bytes, (size_t)NVME_SECTORS * 512), 0);
    struct device *a = machine_device_first(first->fake->machine), *b = machine_device_first(second->fake->machine);
    for (; a; a = a->next, b = b->next)
        ck_assert_uint_eq(state_diff(a->class->fields, a, b, rig_print_difference, (void *)a->id), 0);
    nvme_bench_close(first);
    nvme_bench_close(second);
}

START_TEST(test_saved_state)
{
    static const uint64_t after_ns[] = {1, 500, 20000, 300000, 2000000, 10000000, 30000000};
    for (size_t n = 0; n < sizeof after_ns / sizeof after_ns[0]; n++)
        check_copy(BLOCK_TIMING_MODEL, after_ns[n]);
}
END_TEST

static uint8_t *saved(struct device *device)
{
    uint8_t *bytes = malloc(state_size(device->class->fields));
    ck_assert_ptr_nonnull(bytes);
    state_save(device->class->fields, device, bytes);
    return bytes;
}

static void restore(struct device *device, const uint8_t *bytes)
{
    ck_assert_int_eq(state_load(device->class->fields, device, bytes, state_size(device->class->fields)), STATUS_OK);
    device->class->post_load(device);
}

/* Any damage: the chip resets itself or goes on, and never leaves its bounds (run this with the sanitizers). */
START_TEST(test_damaged_state)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct device *drive = machine_device_find(bench->fake->machine, "drive0");
    size_t size = state_size(bench->device->class->fields);
    uint64_t seed = 7;
    unsigned survived = 0;
    start_all(bench);
    uint8_t *good_drive = saved(drive), *good = saved(bench->device), *bad = malloc(size);
    for (unsigned round = 0; round < 400; round++) {
        memcpy(bad, good, size);
        for (unsigned n = 0; n < 1 + round % 50; n++) {
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            bad[(seed >> 33) % size] = (uint8_t)(seed >> 25);
        }
        restore(drive, good_drive);
        restore(bench->device, bad);
        survived += nvme_read(bench, 0x1C, 4) == 1;
        nvme_config(bench, 0x10, NVME_BAR, 4);
        nvme_config(bench, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
        for (unsigned qid = 0; qid < 64; qid++)
            nvme_write(bench, 0x1000 + 8 * qid, 3, 8);
        nvme_pass(bench, 5000000);
        nvme_write(bench, 0x14, 0, 4);
        nvme_enable(bench);
        nvme_assert_status(bench, 0, nvme_admin(0x0A, 7, 0), 0);
    }
    ck_assert_uint_gt(survived, 10);
    ck_assert_uint_lt(survived, 390);
    free(good);
    free(good_drive);
    free(bad);
    nvme_bench_close(bench);
}
END_TEST

/* Each of these alone is more than this chip could have saved. */
static void spoil(struct nvme *chip, unsigned which)
{
    switch (which) {
    case 1: chip->sq[1].head = 64; break;
    case 2: chip->sq[1].tail = 64; break;
    case 3: chip->sq[1].cqid = 64; break;
    case 4: chip->sq[1].cqid = 0; break;
    case 5: chip->sq[1].cqid = 2; break;
    case 6: chip->sq[1].size = NVME_QUEUE_ENTRIES_MAX + 1; break;
    case 7: chip->sq[0].size = 0; break;
    case 8: chip->cq[1].head = 64; break;
    case 9: chip->cq[1].tail = 64; break;
    case 10: chip->cq[1].size = 1; break;
    case 11: chip->cq[1].vector = 64; break;
    case 12: chip->next_sq = 64; break;
    case 13: chip->held_count = NVME_HELD_MAX + 1; break;
    case 14: chip->cc |= 5 << 7; break;
    case 15: chip->command[0].sqid = 64; break;
    case 16: chip->command[0].sqid = 2; break;
    case 17: chip->command[0].owner = NVME_OWNERS; break;
    case 18: chip->command[0].request_op = TRACE_BLOCK_OPS; break;
    case 19: chip->command[0].sectors = NVME_SECTORS + 1; break;
    case 20: chip->command[0].sector = UINT64_MAX; break;
    case 21: chip->command[0].request_tag += 1000; break;
    case 22: chip->command[0].ranges = NVME_RANGES_MAX + 1; break;
    case 23: chip->command[0].next_range = 1; break;
    default: break;
    }
}

START_TEST(test_spoilt_fields)
{
    for (unsigned which = 0; which < 24; which++) {
        struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
        nvme_send(bench, 1, nvme_block_command(READ, 0, 8, NVME_DATA, 0));
        spoil(device_of(bench->device, struct nvme), which);
        uint8_t *bytes = saved(bench->device);
        restore(bench->device, bytes);
        free(bytes);
        ck_assert_msg(nvme_read(bench, 0x1C, 4) == (which ? 0xFFFFFFFFu : 1), "field %u", which); /* no BAR any more */
        nvme_bench_close(bench);
    }
}
END_TEST

/* Requests of before a reset keep their places at the drive until the host is done with them. */
START_TEST(test_reset_with_host_timing)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_HOST, 512, false);
    struct nvme_answer answer;
    unsigned answered = 0;
    fill(bench, 0x42);
    for (unsigned n = 0; n < 32; n++)
        nvme_enter(bench, 1, nvme_block_command(READ, 8 * n, 8, NVME_DATA + n * 4096, 0));
    nvme_ring(bench, 1);
    nvme_write(bench, 0x14, 0, 4);
    nvme_enable(bench);
    nvme_add_queue(bench, 1, 64, 64, 0);
    for (unsigned n = 0; n < 30; n++)
        nvme_enter(bench, 1, nvme_block_command(READ, 100 + n, 1, NVME_DATA + 0x80000 + n * 4096, 0));
    nvme_ring(bench, 1);
    ck_assert_uint_eq(block_drive_room(bench->drive), 0);
    for (uint32_t tag = 0; tag < 62; tag++) {
        if (tag == 32) { /* the old ones are done: they reached no memory, and all of the new ones have begun */
            for (unsigned n = 0; n < 32 * 4096; n++)
                ck_assert_uint_eq(bench->fake->ram->host[NVME_DATA + n], 0x42);
            ck_assert_uint_eq(block_drive_room(bench->drive), BLOCK_PENDING_MAX - 30);
        }
        input_mailbox_post(bench->fake->mailbox, (struct input_message){.id = INPUT_BLOCK_COMPLETION, .a = tag});
        nvme_pass(bench, 1000000);
        for (; nvme_take(bench, 1, &answer); answered++)
            nvme_ring_cq(bench, 1);
    }
    ck_assert_uint_eq(answered, 30);
    for (unsigned n = 0; n < 30; n++)
        nvme_assert_data(bench, NVME_DATA + 0x80000 + n * 4096, 100 + n, 512, 0);
    nvme_bench_close(bench);
}
END_TEST

RIG_MAIN("nvme state", test_spoilt_fields, test_reset_with_host_timing, test_controller_reset, test_machine_reset,
         test_shutdown, test_shutdown_when_full, test_saved_state, test_damaged_state)
