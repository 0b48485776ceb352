/* The virtio block device as a driver sees it, by both interfaces: identity, negotiation, every request, the write cache,
 * interrupts, what has no room, resets, saved state. Broken rings: test_virtio_queue.c. */
#include "block/executor.h"
#include "tests/devices/device_test.h"
#include "tests/devices/virtio_test.h"

#define T_IN 0u
#define T_OUT 1u
#define T_FLUSH 4u
#define T_GET_ID 8u
#define T_DISCARD 11u
#define T_WRITE_ZEROES 13u
#define OK 0
#define IOERR 1
#define UNSUPP 2

/* ---- identity and negotiation ---- */

START_TEST(identities)
{
    static const struct {
        struct virtio_blk_options options;
        uint32_t id, revision, subsystem, io_bar, wide_bar;
    } kinds[] = {{{0}, 0x10011AF4, 0, 0x00021AF4, 0xFFFFFF81, 0xFFFFC00C},
                 {{.no_legacy = true}, 0x10421AF4, 1, 0x11001AF4, 0, 0xFFFFC00C},
                 {{.no_modern = true}, 0x10011AF4, 0, 0x00021AF4, 0xFFFFFF81, 0}};
    for (unsigned n = 0; n < 3; n++) {
        struct bench *bench = bench_open_with(kinds[n].options, BLOCK_TIMING_MODEL, false);
        unsigned vendor = 0, msix = 0;
        ck_assert_uint_eq(config_read(bench, 0, 4), kinds[n].id);
        ck_assert_uint_eq(config_read(bench, 8, 4), 0x01000000 | kinds[n].revision);
        ck_assert_uint_eq(config_read(bench, 0x2C, 4), kinds[n].subsystem);
        config_write(bench, 0x10, 0xFFFFFFFF, 4);
        ck_assert_uint_eq(config_read(bench, 0x10, 4), kinds[n].io_bar);
        config_write(bench, 0x20, 0xFFFFFFFF, 4);
        ck_assert_uint_eq(config_read(bench, 0x20, 4), kinds[n].wide_bar);
        for (unsigned at = config_read(bench, 0x34, 1); at; at = config_read(bench, at + 1, 1)) {
            msix += config_read(bench, at, 1) == 0x11 && config_read(bench, at + 2, 2) == 1;
            vendor |= config_read(bench, at, 1) == 9 ? 1u << config_read(bench, at + 3, 1) : 0;
        }
        ck_assert_uint_eq(msix, 1);
        ck_assert_uint_eq(vendor, kinds[n].options.no_modern ? 0 : 0x3E);
        bench_close(bench);
    }
}
END_TEST

START_TEST(features_and_config)
{
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        struct bench *bench = bench_open();
        bench->legacy = legacy;
        ck_assert_uint_eq(device_features(bench), legacy ? 0x39006E54 : 0x130006E54ull);
        ck_assert_uint_eq(blk_config(bench, 0, 4), SECTORS);
        ck_assert_uint_eq(blk_config(bench, 4, 4), 0);
        ck_assert_uint_eq(blk_config(bench, 12, 4), 254);
        ck_assert_uint_eq(blk_config(bench, 16, 4), 63u << 24 | 16u << 16 | SECTORS / (16 * 63));
        ck_assert_uint_eq(blk_config(bench, 20, 4), 512);
        ck_assert_uint_eq(blk_config(bench, 32, 1), 1);
        ck_assert_uint_eq(blk_config(bench, 34, 2), 1);
        ck_assert_uint_eq(blk_config(bench, 36, 4), 65536);
        ck_assert_uint_eq(blk_config(bench, 48, 4), 65536);
        ck_assert_uint_eq(blk_config(bench, 56, 1), 1);
        ck_assert_uint_eq(blk_config(bench, 58, 2), 0);
        ck_assert_uint_eq(blk_config(bench, 60, 4), 0); /* behind the end */
        bench_close(bench);
    }
    struct bench *bench = bench_open_with((struct virtio_blk_options){0}, BLOCK_TIMING_MODEL, true);
    ck_assert_uint_eq(device_features(bench), 0x130000E74ull);
    bench_close(bench);
    bench = bench_open_with((struct virtio_blk_options){.no_discard = true, .no_write_cache = true}, BLOCK_TIMING_MODEL,
                            false);
    ck_assert_uint_eq(device_features(bench), 0x130004E54ull);
    ck_assert_uint_eq(blk_config(bench, 32, 1), 0);
    ck_assert_uint_eq(blk_config(bench, 36, 4), 0);
    ck_assert_uint_eq(blk_config(bench, 56, 1), 0);
    bench_close(bench);
}
END_TEST

START_TEST(modern_negotiation)
{
    struct bench *bench = bench_open();
    mmio_write(bench, COMMON, 2, 4); /* a third half: nothing */
    ck_assert_uint_eq(mmio_read(bench, COMMON + 4, 4), 0);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x12, 2), 1);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x18, 2), 256);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x10, 2), 0xFFFF);
    set_status(bench, 3);
    accept_features(bench, F_V1 | 1ull << 12); /* not offered */
    set_status(bench, 11);
    ck_assert_uint_eq(status(bench), 3);
    accept_features(bench, F_FLUSH); /* not without VERSION_1 */
    set_status(bench, 11);
    ck_assert_uint_eq(status(bench), 3);
    accept_features(bench, F_V1 | F_FLUSH);
    set_status(bench, 11);
    ck_assert_uint_eq(status(bench), 11);
    accept_features(bench, F_V1); /* too late */
    mmio_write(bench, COMMON + 8, 0, 4);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 12, 4), F_FLUSH);
    for (unsigned n = 0; n < 4; n++) {
        static const uint16_t bad[] = {0, 3, 512, 0xFFFF};
        mmio_write(bench, COMMON + 0x18, bad[n], 2);
        ck_assert_uint_eq(mmio_read(bench, COMMON + 0x18, 2), 256);
    }
    mmio_write(bench, COMMON + 0x18, 64, 2);
    mmio_write(bench, COMMON + 0x20, 0x1122334455667788, 8);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x24, 4), 0x11223344);
    mmio_write(bench, COMMON + 0x1C, 1, 2);
    mmio_write(bench, COMMON + 0x18, 32, 2); /* in use: stays */
    mmio_write(bench, COMMON + 0x20, 0, 8);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x18, 2), 64);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x20, 8), 0x1122334455667788);
    mmio_write(bench, COMMON + 0x16, 1, 2); /* a queue that there is not */
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x18, 2), 0);
    mmio_write(bench, COMMON + 0x1C, 1, 2);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x1C, 2), 0);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x18, 1), 0); /* half a register */
    set_status(bench, 0);
    mmio_write(bench, COMMON + 0x16, 0, 2);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x18, 2), 256);
    ck_assert_uint_eq(mmio_read(bench, COMMON + 0x1C, 2), 0);
    ck_assert_uint_eq(status(bench), 0);
    bench_close(bench);
}
END_TEST

START_TEST(legacy_registers)
{
    struct bench *bench = bench_open();
    struct fake_machine *fake = bench->fake;
    bench->legacy = true;
    ck_assert_uint_eq(fake_inw(fake, IO_BASE + 12), 256);
    fake_outw(fake, IO_BASE + 14, 1);
    ck_assert_uint_eq(fake_inw(fake, IO_BASE + 12), 0);
    fake_outw(fake, IO_BASE + 14, 0);
    accept_features(bench, ~0ull);
    ck_assert_uint_eq(fake_inl(fake, IO_BASE + 4), 0x39006E54); /* what is not offered does not stick */
    fake_outl(fake, IO_BASE + 8, 0x20);
    ck_assert_uint_eq(fake_inl(fake, IO_BASE + 8), 0x20);
    set_status(bench, 7);
    fake_outl(fake, IO_BASE + 8, 0); /* as a reset */
    ck_assert_uint_eq(status(bench), 0);
    ck_assert_uint_eq(fake_inl(fake, IO_BASE + 8), 0);
    ck_assert_uint_eq(fake_inl(fake, IO_BASE + 20), SECTORS);
    /* With MSI-X the vectors come between. */
    unsigned at = config_read(bench, 0x34, 1);
    while (config_read(bench, at, 1) != 0x11)
        at = config_read(bench, at + 1, 1);
    config_write(bench, at + 2, 0x8000, 2);
    ck_assert_uint_eq(fake_inl(fake, IO_BASE + 24), SECTORS);
    fake_outw(fake, IO_BASE + 20, 1);
    fake_outw(fake, IO_BASE + 22, 2);
    ck_assert_uint_eq(fake_inl(fake, IO_BASE + 20), 0x0001); /* both in one: the first */
    ck_assert_uint_eq(fake_inw(fake, IO_BASE + 22), 0xFFFF); /* no such vector */
    bench_close(bench);
}
END_TEST

/* ---- requests ---- */

static void reads_and_writes(bool legacy, bool indirect, uint32_t part)
{
    struct bench *bench = bench_open();
    start(bench, legacy, F_FLUSH | (indirect ? F_INDIRECT : 0));
    request(bench, 7, T_IN, 9, DATA_GPA + 3, 6 * 512, part, indirect);
    kick(bench);
    ck_assert_uint_eq(used_index(bench), 0);
    pass(bench);
    assert_used(bench, 7, 6 * 512 + 1);
    ck_assert_uint_eq(answer_of(bench, 7), OK);
    assert_memory(bench, DATA_GPA + 3, 9, 6 * 512);
    ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA + 2], 0);
    ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA + 3 + 6 * 512], 0);
    memset(bench->fake->ram->host + DATA_GPA, 0x6B, 6 * 512);
    request(bench, 40, T_OUT, 100, DATA_GPA, 6 * 512, part, indirect);
    kick(bench);
    memset(bench->fake->ram->host + DATA_GPA, 0, 6 * 512); /* the device has taken them */
    pass(bench);
    assert_used(bench, 40, 1);
    assert_image(bench, 100, 6, 0x6B);
    ck_assert_uint_eq(bench->probe->bytes[106 * 512], probe_byte(106, 0));
    ck_assert_uint_eq(transfer(bench, T_FLUSH, 0, 0, 0), OK);
    ck_assert_int_eq(operation(bench, 0).op, TRACE_BLOCK_FLUSH);
    bench_close(bench);
}

START_TEST(transfers)
{
    for (unsigned n = 0; n < 8; n++)
        reads_and_writes(n & 1, n & 2, n & 4 ? 1u << 20 : 100);
}
END_TEST

static unsigned started, started_cut;

static void note_start(struct block_executor *executor, struct block_job *job)
{
    (void)executor;
    started++;
    started_cut += job->cut;
}

/* A write with as many pieces as SEG_MAX allows was cut from a larger one, so the executor may wait for the rest; one with
 * fewer was not, and nobody waits for a read. */
START_TEST(cut_requests)
{
    for (unsigned n = 0; n < 3; n++) {
        struct bench *bench = bench_open_with((struct virtio_blk_options){0}, BLOCK_TIMING_HOST, false);
        struct block_executor_ops ops = *bench->executor->ops;
        ops.start = note_start;
        bench->executor->ops = &ops;
        started = started_cut = 0;
        start(bench, false, F_FLUSH);
        request(bench, 0, n == 2 ? T_IN : T_OUT, 0, DATA_GPA, (n == 1 ? 253 : 254) * 512, 512, false);
        kick(bench);
        ck_assert_uint_eq(started, 1);
        ck_assert_uint_eq(started_cut, n == 0);
        bench_close(bench);
    }
}
END_TEST

START_TEST(errors)
{
    struct bench *bench = bench_open();
    start(bench, false, F_FLUSH);
    ck_assert_uint_eq(transfer(bench, T_IN, SECTORS - 1, DATA_GPA, 1024), IOERR);
    ck_assert_uint_eq(transfer(bench, T_IN, SECTORS - 2, DATA_GPA, 1024), OK);
    ck_assert_uint_eq(transfer(bench, T_IN, SECTORS, DATA_GPA, 512), IOERR);
    ck_assert_uint_eq(transfer(bench, T_OUT, ~0ull, DATA_GPA, 512), IOERR);
    ck_assert_uint_eq(transfer(bench, T_OUT, 0, DATA_GPA, 513), IOERR);
    ck_assert_uint_eq(transfer(bench, T_IN, 0, DATA_GPA, 0xFFFFFE00u), IOERR);
    ck_assert_uint_eq(transfer(bench, T_IN, SECTORS, 0, 0), OK); /* nothing, from the end */
    ck_assert_uint_eq(transfer(bench, 2, 0, DATA_GPA, 512), UNSUPP);
    ck_assert_uint_eq(transfer(bench, 0x7FFFFFFE, 0, DATA_GPA, 512), UNSUPP);
    ck_assert_uint_eq(transfer(bench, T_OUT | 0x80000000u, 1, DATA_GPA, 512), OK); /* a barrier of old */
    unsigned before = bench->probe->log_count;
    bench->probe->fail_read = bench->probe->fail_write = bench->probe->fail_flush = STATUS_IO;
    memset(bench->fake->ram->host + DATA_GPA, 0x77, 512);
    ck_assert_uint_eq(transfer(bench, T_IN, 5, DATA_GPA, 512), IOERR);
    ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA], 0x77); /* nothing of it is shown */
    bench->seen--;
    assert_used(bench, 0, 1);
    ck_assert_uint_eq(transfer(bench, T_OUT, 5, DATA_GPA, 512), IOERR);
    ck_assert_uint_eq(transfer(bench, T_FLUSH, 0, 0, 0), IOERR);
    ck_assert_uint_eq(bench->probe->log_count, before + 3);
    bench_close(bench);
    bench = bench_open_with((struct virtio_blk_options){0}, BLOCK_TIMING_MODEL, true);
    start(bench, false, F_FLUSH);
    ck_assert_uint_eq(transfer(bench, T_OUT, 5, DATA_GPA, 512), IOERR);
    ck_assert_uint_eq(transfer(bench, T_IN, 5, DATA_GPA, 512), OK);
    bench_close(bench);
}
END_TEST

START_TEST(identifies)
{
    static const struct {
        const char *given, *shown;
    } serials[] = {{"disk-7", "disk-7"}, {NULL, "VMRR00003"}, {"0123456789012345678901234", "01234567890123456789"}};
    for (unsigned n = 0; n < 3; n++) {
        struct bench *bench =
            bench_open_with((struct virtio_blk_options){.serial = serials[n].given}, BLOCK_TIMING_MODEL, false);
        char text[24] = {0};
        start(bench, n & 1, 0);
        memset(bench->fake->ram->host + DATA_GPA, 0xAA, 32);
        ck_assert_uint_eq(transfer(bench, T_GET_ID, 0, DATA_GPA, 20), OK);
        memory_read(ram(bench), DATA_GPA, text, 20);
        ck_assert_str_eq(text, serials[n].shown);
        ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA + 20], 0xAA);
        ck_assert_uint_eq(transfer(bench, T_GET_ID, 0, DATA_GPA + 64, 3), OK); /* room for three */
        ck_assert_int_eq(memcmp(bench->fake->ram->host + DATA_GPA + 64, serials[n].shown, 3), 0);
        ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA + 67], 0);
        bench_close(bench);
    }
}
END_TEST

static uint8_t range_request(struct bench *bench, uint32_t type, uint64_t sector, uint32_t sectors, uint32_t flags,
                             uint32_t bytes)
{
    memory_write_u64(ram(bench), DATA_GPA, sector);
    memory_write_u32(ram(bench), DATA_GPA + 8, sectors);
    memory_write_u32(ram(bench), DATA_GPA + 12, flags);
    return transfer(bench, type, 0, DATA_GPA, bytes);
}

START_TEST(discard_and_zeroes)
{
    struct bench *bench = bench_open();
    start(bench, false, F_FLUSH);
    ck_assert_uint_eq(range_request(bench, T_DISCARD, 10, 3, 0, 16), OK);
    ck_assert_int_eq(operation(bench, 0).op, TRACE_BLOCK_DISCARD);
    assert_image(bench, 10, 3, 0);
    ck_assert_uint_eq(bench->probe->bytes[13 * 512], probe_byte(13, 0));
    ck_assert_uint_eq(range_request(bench, T_WRITE_ZEROES, 20, 2, 0, 16), OK);
    ck_assert_int_eq(operation(bench, 0).op, TRACE_BLOCK_WRITE_ZEROES);
    assert_image(bench, 20, 2, 0);
    ck_assert_uint_eq(range_request(bench, T_WRITE_ZEROES, 30, 2, 1, 16), OK);
    ck_assert_int_eq(operation(bench, 0).op, TRACE_BLOCK_DISCARD);
    unsigned before = bench->probe->log_count;
    ck_assert_uint_eq(range_request(bench, T_DISCARD, 10, 3, 1, 16), UNSUPP);
    ck_assert_uint_eq(range_request(bench, T_WRITE_ZEROES, 10, 3, 2, 16), UNSUPP);
    ck_assert_uint_eq(range_request(bench, T_DISCARD, 10, 3, 0, 32), UNSUPP);
    ck_assert_uint_eq(range_request(bench, T_DISCARD, SECTORS, 1, 0, 16), IOERR);
    ck_assert_uint_eq(range_request(bench, T_WRITE_ZEROES, 0, 65537, 0, 16), IOERR);
    ck_assert_uint_eq(range_request(bench, T_DISCARD, 5, 0, 0, 16), OK);
    ck_assert_uint_eq(transfer(bench, T_DISCARD & ~1u, 5, DATA_GPA, 16) /* no T_OUT */, UNSUPP);
    ck_assert_uint_eq(bench->probe->log_count, before);
    bench_close(bench);
    bench = bench_open_with((struct virtio_blk_options){.no_discard = true}, BLOCK_TIMING_MODEL, false);
    start(bench, false, F_FLUSH);
    ck_assert_uint_eq(range_request(bench, T_DISCARD, 10, 3, 0, 16), UNSUPP);
    ck_assert_uint_eq(range_request(bench, T_WRITE_ZEROES, 10, 3, 1, 16), OK);
    ck_assert_int_eq(operation(bench, 0).op, TRACE_BLOCK_WRITE_ZEROES);
    bench_close(bench);
}
END_TEST

static bool write_is_durable(struct bench *bench)
{
    ck_assert_uint_eq(transfer(bench, T_OUT, 5, DATA_GPA, 512), OK);
    return operation(bench, 0).fua;
}

START_TEST(write_cache)
{
    struct bench *bench = bench_open();
    start(bench, false, F_FLUSH | F_WCE);
    ck_assert(!write_is_durable(bench));
    mmio_write(bench, CONFIG_GPA + 32, 0, 1);
    ck_assert_uint_eq(blk_config(bench, 32, 1), 0);
    ck_assert(write_is_durable(bench));
    mmio_write(bench, CONFIG_GPA + 32, 1, 1);
    ck_assert(!write_is_durable(bench));
    start(bench, false, F_FLUSH); /* without CONFIG_WCE the field can't be written */
    mmio_write(bench, CONFIG_GPA + 32, 0, 1);
    ck_assert(!write_is_durable(bench));
    start(bench, true, 0); /* a driver that can't flush */
    ck_assert(write_is_durable(bench));
    bench_close(bench);
    bench = bench_open_with((struct virtio_blk_options){.no_write_cache = true}, BLOCK_TIMING_MODEL, false);
    start(bench, false, F_FLUSH | F_WCE);
    ck_assert(write_is_durable(bench));
    bench_close(bench);
}
END_TEST

/* ---- interrupts ---- */

START_TEST(pin_interrupts)
{
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        struct bench *bench = bench_open();
        start(bench, legacy, 0);
        transfer(bench, T_IN, 0, DATA_GPA, 512);
        ck_assert(bench->level);
        ck_assert_uint_eq(take_isr(bench), 1);
        ck_assert(!bench->level);
        ck_assert_uint_eq(take_isr(bench), 0);
        memory_write_u16(ram(bench), AVAIL_GPA, 1); /* the driver does not want any */
        transfer(bench, T_IN, 0, DATA_GPA, 512);
        ck_assert(!bench->level);
        memory_write_u16(ram(bench), AVAIL_GPA, 0);
        transfer(bench, T_IN, 0, DATA_GPA, 512);
        ck_assert(bench->level);
        set_status(bench, 0);
        ck_assert(!bench->level);
        bench_close(bench);
    }
}
END_TEST

static int take_vector(struct bench *bench)
{
    struct cpu_link link = machine_cpu_link(bench->fake->machine);
    int vector = machine_intr_pending(bench->fake->machine) ? link.ops->acknowledge(link.opaque) : -1;
    mmio_write(bench, LAPIC_DEFAULT_BASE + 0xB0, 0, 4);
    return vector;
}

static void use_vectors(struct bench *bench)
{
    unsigned at = config_read(bench, 0x34, 1);
    while (config_read(bench, at, 1) != 0x11)
        at = config_read(bench, at + 1, 1);
    config_write(bench, at + 2, 0x8000, 2);
    mmio_write(bench, LAPIC_DEFAULT_BASE + 0xF0, 0x1FF, 4);
    for (unsigned n = 0; n < 2; n++) {
        mmio_write(bench, MSIX_GPA + 16 * n, 0xFEE00000, 4);
        mmio_write(bench, MSIX_GPA + 16 * n + 8, 0x41 + n, 4);
        mmio_write(bench, MSIX_GPA + 16 * n + 12, 0, 4);
    }
}

START_TEST(message_interrupts)
{
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        struct bench *bench = bench_open();
        use_vectors(bench);
        start(bench, legacy, 0);
        if (legacy)
            fake_outw(bench->fake, IO_BASE + 22, 1);
        else
            mmio_write(bench, COMMON + 0x1A, 1, 2);
        transfer(bench, T_IN, 0, DATA_GPA, 512);
        ck_assert(!bench->level);
        ck_assert_int_eq(take_vector(bench), 0x42);
        mmio_write(bench, MSIX_GPA + 16 + 12, 1, 4);
        transfer(bench, T_IN, 0, DATA_GPA, 512);
        ck_assert_int_eq(take_vector(bench), -1);
        ck_assert_uint_eq(mmio_read(bench, MSIX_GPA + 0x800, 4), 2);
        mmio_write(bench, MSIX_GPA + 16 + 12, 0, 4);
        ck_assert_int_eq(take_vector(bench), 0x42);
        start(bench, legacy, 0); /* a reset takes the vectors away */
        transfer(bench, T_IN, 0, DATA_GPA, 512);
        ck_assert_int_eq(take_vector(bench), -1);
        bench_close(bench);
    }
}
END_TEST

START_TEST(event_index)
{
    struct bench *bench = bench_open();
    start(bench, false, F_EVENT);
    uint64_t used_event = AVAIL_GPA + 4 + 512, avail_event = USED_GPA + 4 + 2048;
    memory_write_u16(ram(bench), AVAIL_GPA, 1); /* has no meaning now */
    memory_write_u16(ram(bench), used_event, 2);
    unsigned rises[] = {1, 1, 2, 2}; /* the first after a start, then the third */
    for (unsigned n = 0; n < 4; n++) {
        transfer(bench, T_IN, 0, DATA_GPA, 512);
        take_isr(bench);
        ck_assert_uint_eq(bench->rises, rises[n]);
        ck_assert_uint_eq(memory_read_u16(ram(bench), avail_event), n + 1);
    }
    memory_write_u16(ram(bench), used_event, 3); /* passed already */
    transfer(bench, T_IN, 0, DATA_GPA, 512);
    ck_assert_uint_eq(bench->rises, 2);
    bench_close(bench);
}
END_TEST

/* ---- many at a time ---- */

/* More than the drive takes: 80 requests of three descriptors, all at once. */
static void flood(struct bench *bench)
{
    for (unsigned n = 0; n < 80; n++)
        request(bench, 3 * n, n % 4 == 3 ? T_OUT : T_IN, n, DATA_GPA + 512 * n, 512, 512, false);
    kick(bench);
    kick(bench); /* again, while the rest waits */
}

static void assert_flood_done(struct bench *bench)
{
    ck_assert_uint_eq(used_index(bench), (uint16_t)(bench->seen + 80));
    for (unsigned n = 0; n < 80; n++)
        ck_assert_uint_eq(answer_of(bench, 3 * n), OK);
}

START_TEST(more_than_there_is_room)
{
    struct bench *bench = bench_open();
    start(bench, false, F_EVENT);
    flood(bench);
    ck_assert_uint_eq(block_drive_room(bench->drive), 0);
    pass(bench);
    assert_flood_done(bench);
    for (unsigned n = 0; n < 80; n++) {
        ck_assert_uint_eq(bench->probe->log[n].sector, n); /* seed 0: the oldest first */
        ck_assert_uint_eq(memory_read_u32(ram(bench), USED_GPA + 4 + 8 * n), 3 * n);
    }
    ck_assert_uint_eq(memory_read_u16(ram(bench), USED_GPA + 4 + 2048), 80);
    bench_close(bench);
}
END_TEST

START_TEST(large_ones_wait)
{
    struct bench *bench = bench_open();
    start(bench, false, F_INDIRECT);
    for (unsigned n = 0; n < 100; n++) /* 2 MiB each: a quarter of them would be too much */
        request(bench, n, T_IN, 0, DATA_GPA, SECTORS * 512, 1 << 20, true);
    kick(bench);
    ck_assert_uint_ge(block_drive_room(bench->drive), 0);
    fake_machine_advance_ns(bench->fake, 5000000000ull);
    ck_assert_uint_eq(used_index(bench), 100);
    bench_close(bench);
}
END_TEST

START_TEST(reset_with_requests)
{
    for (unsigned host = 0; host < 2; host++) {
        struct bench *bench =
            bench_open_with((struct virtio_blk_options){0}, host ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL, false);
        start(bench, true, 0);
        flood(bench);
        set_status(bench, 0);
        memset(bench->fake->ram->host + DESC_GPA, 0, 0x4000);
        memset(bench->fake->ram->host + DATA_GPA, 0x11, 80 * 512);
        pass(bench);
        ck_assert_uint_eq(used_index(bench), 0);
        for (unsigned n = 0; n < 80 * 512; n++)
            ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA + n], 0x11);
        if (!host) {
            start(bench, false, 0);
            ck_assert_uint_eq(transfer(bench, T_IN, 8, DATA_GPA, 512), OK);
            assert_memory(bench, DATA_GPA, 8, 512);
        }
        bench_close(bench);
    }
}
END_TEST

/* The drive is still full of requests from before a reset, and no end of one will be told: it is looked at again. */
START_TEST(full_after_a_reset)
{
    struct bench *bench = bench_open_with((struct virtio_blk_options){0}, BLOCK_TIMING_HOST, false);
    start(bench, false, 0);
    flood(bench);
    start(bench, false, 0);
    ck_assert_uint_eq(block_drive_room(bench->drive), 0);
    request(bench, 0, T_IN, 8, DATA_GPA, 512, 512, false);
    kick(bench);
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 0);
    for (unsigned tag = 0; tag < 32; tag++)
        input_mailbox_post(bench->fake->mailbox,
                           (struct input_message){.id = INPUT_BLOCK_COMPLETION, .target = 3, .a = tag});
    pass(bench);
    ck_assert_uint_eq(block_drive_room(bench->drive), 31);
    input_mailbox_post(bench->fake->mailbox,
                       (struct input_message){.id = INPUT_BLOCK_COMPLETION, .target = 3, .a = 32});
    pass(bench);
    ck_assert_uint_eq(used_index(bench), 1);
    ck_assert_uint_eq(answer_of(bench, 0), OK);
    assert_memory(bench, DATA_GPA, 8, 512);
    bench_close(bench);
}
END_TEST

/* ---- saved state ---- */

static void copy_state(struct bench *from, struct bench *to)
{
    fake_machine_advance_ns(to->fake, fake_machine_now_ns(from->fake) - fake_machine_now_ns(to->fake));
    memcpy(to->fake->ram->host, from->fake->ram->host, RAM_BYTES);
    struct device *b = machine_device_first(to->fake->machine);
    for (struct device *a = machine_device_first(from->fake->machine); a; a = a->next, b = b->next) {
        size_t size = state_size(a->class->fields);
        uint8_t *bytes = malloc(size + 1);
        state_save(a->class->fields, a, bytes);
        ck_assert_int_eq(state_load(b->class->fields, b, bytes, size), STATUS_OK);
        free(bytes);
    }
    size_t size = block_drive_payload_bytes(from->drive);
    uint8_t *bytes = malloc(size + 1);
    block_drive_payload_save(from->drive, bytes);
    ck_assert_int_eq(block_drive_payload_load(to->drive, bytes, size), STATUS_OK);
    free(bytes);
    for (b = machine_device_first(to->fake->machine); b; b = b->next) {
        if (b->class->post_load)
            b->class->post_load(b);
    }
    to->legacy = from->legacy;
    to->offered = from->offered;
    to->seen = from->seen;
}

static void assert_same_state(struct bench *a, struct bench *b)
{
    struct device *other = machine_device_first(b->fake->machine);
    for (struct device *device = machine_device_first(a->fake->machine); device;
         device = device->next, other = other->next)
        ck_assert_uint_eq(state_diff(device->class->fields, device, other, rig_print_difference, (void *)device->id),
                          0);
}

START_TEST(saved_in_flight)
{
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        struct bench *bench = bench_open(), *other = bench_open();
        start(bench, legacy, F_EVENT);
        memset(bench->fake->ram->host + DATA_GPA, 0x5A, 80 * 512);
        flood(bench);
        fake_machine_advance_ns(bench->fake, 400000); /* some have ended, the drive is full, some are held */
        ck_assert_uint_gt(used_index(bench), 0);
        ck_assert_uint_eq(block_drive_room(bench->drive), 0);
        copy_state(bench, other);
        assert_same_state(bench, other);
        memcpy(other->probe->bytes, bench->probe->bytes, SECTORS * 512);
        pass(bench);
        pass(other);
        assert_flood_done(other);
        ck_assert_int_eq(memcmp(bench->fake->ram->host, other->fake->ram->host, RAM_BYTES), 0);
        ck_assert_int_eq(memcmp(bench->probe->bytes, other->probe->bytes, SECTORS * 512), 0);
        assert_same_state(bench, other);
        ck_assert_int_eq(bench->level, other->level || bench->level);
        bench_close(bench);
        bench_close(other);
    }
}
END_TEST

/* Any byte of the saved state changed: nothing crashes, and the driver gets the device to work by a reset. */
START_TEST(damaged_state)
{
    struct bench *bench = bench_open();
    const struct state_field *fields = bench->blk->class->fields;
    struct device *drive = machine_device_find(bench->fake->machine, "drive3");
    size_t size = state_size(fields);
    uint8_t *bytes = malloc(size), *changed = malloc(size);
    start(bench, false, F_EVENT);
    flood(bench);
    state_save(fields, bench->blk, bytes);
    for (size_t at = 0; at < size; at += at < 2048 || at + 64 > size ? 7 : 401) {
        for (unsigned value = 0; value < 2; value++) {
            memcpy(changed, bytes, size);
            changed[at] = value ? 0xFF : (uint8_t)(bytes[at] + 1);
            ck_assert_int_eq(state_load(fields, bench->blk, changed, size), STATUS_OK);
            drive->class->post_load(drive); /* forgets who waits for its requests */
            bench->blk->class->post_load(bench->blk);
            kick(bench);
            fake_machine_advance_ns(bench->fake, 10000);
        }
    }
    free(bytes);
    free(changed);
    machine_reset(bench->fake->machine);
    place(bench);
    start(bench, false, 0);
    pass(bench);
    ck_assert_uint_eq(transfer(bench, T_IN, 7, DATA_GPA, 512), OK);
    bench_close(bench);
}
END_TEST

/* ---- another size ---- */

static void resize(struct bench *bench, uint64_t sectors)
{
    input_mailbox_post(bench->fake->mailbox,
                       (struct input_message){.id = INPUT_BLOCK_RESIZE, .target = 3, .a = sectors});
    machine_deliver(bench->fake->machine);
}

START_TEST(another_size)
{
    for (unsigned legacy = 0; legacy < 2; legacy++) {
        struct bench *bench = bench_open();
        resize(bench, SECTORS / 2); /* nobody drives it */
        ck_assert(!bench->level);
        start(bench, legacy, 0);
        ck_assert_uint_eq(blk_config(bench, 0, 8), SECTORS / 2);
        uint8_t generation = legacy ? 0 : (uint8_t)mmio_read(bench, COMMON + 0x15, 1);
        unsigned rises = bench->rises;
        resize(bench, SECTORS);
        ck_assert(bench->level);
        ck_assert_uint_eq(bench->rises, rises + 1);
        ck_assert_uint_eq(blk_config(bench, 0, 4), SECTORS);
        ck_assert_uint_eq(blk_config(bench, 16, 4), 63u << 24 | 16u << 16 | SECTORS / (16 * 63));
        ck_assert(legacy || mmio_read(bench, COMMON + 0x15, 1) != generation);
        ck_assert_uint_eq(take_isr(bench), 3);
        ck_assert(!bench->level);
        ck_assert_uint_eq(transfer(bench, T_IN, SECTORS - 1, DATA_GPA, 512), OK);
        resize(bench, SECTORS / 2);
        ck_assert_uint_eq(transfer(bench, T_IN, SECTORS - 1, DATA_GPA, 512), IOERR);
        ck_assert_uint_eq(transfer(bench, T_IN, SECTORS / 2 - 1, DATA_GPA, 512), OK);
        bench_close(bench);
    }
}
END_TEST

RIG_MAIN("virtio blk", identities, features_and_config, modern_negotiation, legacy_registers, transfers, cut_requests,
         errors, identifies, discard_and_zeroes, write_cache, pin_interrupts, message_interrupts, event_index,
         more_than_there_is_room, large_ones_wait, reset_with_requests, full_after_a_reset, saved_in_flight,
         damaged_state, another_size)
