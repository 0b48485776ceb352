/* A CD-ROM drive as a driver sees it: packets by PIO and DMA, what the commands say, sense data, tray and medium, resets,
 * saved state. Drive 2 (secondary master) is the CD-ROM; its medium has SECTORS / 4 blocks. */
#include "tests/devices/ide_test.h"

#define BLOCKS (SECTORS / 4)
#define BLOCK 2048u
#define RAW 2352u
#define CHECKED (READY | ERR)
#define REASON_PACKET 1
#define REASON_DATA 2
#define REASON_STATUS 3

static struct bench *cd_open(void)
{
    struct bench *bench = bench_open_with(4, 4 | 8, BLOCK_TIMING_MODEL); /* the slave is an empty drive */
    bench->base = 0x170;
    return bench;
}

static void send_packet(struct bench *bench, const uint8_t packet[12], uint16_t limit, bool dma, unsigned unit)
{
    out(bench, 6, (uint8_t)(0xA0 | unit << 4));
    out(bench, 1, dma);
    out(bench, 4, (uint8_t)limit);
    out(bench, 5, (uint8_t)(limit >> 8));
    out(bench, 7, 0xA0);
    ck_assert_uint_eq(alternate(bench), READY | DRQ);
    ck_assert_uint_eq(in(bench, 2), REASON_PACKET);
    ck_assert(!irq(bench)->level);
    for (unsigned n = 0; n < 6; n++)
        fake_outw(bench->fake, bench->base, (uint16_t)(packet[2 * n] | packet[2 * n + 1] << 8));
}

struct reply {
    uint8_t bytes[65536];
    uint32_t size;
    unsigned blocks; /* DRQ blocks */
    uint8_t status, error;
};

/* A command by PIO to its end, with every promise of the protocol checked on the way. */
static void run_packet(struct bench *bench, const uint8_t packet[12], uint16_t limit, unsigned unit,
                       struct reply *reply)
{
    send_packet(bench, packet, limit, false, unit);
    reply->size = reply->blocks = 0;
    for (;;) {
        pass(bench);
        ck_assert(irq(bench)->level);
        reply->status = in(bench, 7);
        ck_assert(!irq(bench)->level);
        if (!(reply->status & DRQ))
            break;
        uint32_t count = in(bench, 4) | (uint32_t)in(bench, 5) << 8;
        ck_assert_uint_eq(in(bench, 2), REASON_DATA);
        ck_assert_uint_gt(count, 0);
        ck_assert_uint_le(count, limit);
        ck_assert_uint_eq(reply->size & 1, 0); /* only the last block may be odd */
        ck_assert_uint_le(reply->size + count, sizeof reply->bytes);
        for (uint32_t n = 0; n < count; n += 2) {
            uint16_t word = fake_inw(bench->fake, bench->base);
            reply->bytes[reply->size + n] = (uint8_t)word;
            if (n + 1 < count)
                reply->bytes[reply->size + n + 1] = (uint8_t)(word >> 8);
        }
        reply->size += count;
        reply->blocks++;
    }
    ck_assert_uint_eq(in(bench, 2), REASON_STATUS);
    reply->error = in(bench, 1);
}

#define PACKET(...) ((const uint8_t[12]){__VA_ARGS__})

static void ok(struct bench *bench, const uint8_t packet[12], struct reply *reply)
{
    run_packet(bench, packet, 0xFFFE, 0, reply);
    ck_assert_msg(reply->status == READY, "command %02x: status %02x, error %02x", packet[0], reply->status,
                  reply->error);
}

static void assert_sense_of(struct bench *bench, unsigned unit, uint8_t key, uint16_t code)
{
    struct reply *reply = malloc(sizeof *reply);
    run_packet(bench, PACKET(0x03, 0, 0, 0, 18), 0xFFFE, unit, reply);
    ck_assert_uint_eq(reply->status, READY);
    ck_assert_uint_eq(reply->size, 18);
    ck_assert_uint_eq(reply->bytes[0], 0x70);
    ck_assert_uint_eq(reply->bytes[2], key);
    ck_assert_uint_eq(reply->bytes[12] << 8 | reply->bytes[13], code);
    free(reply);
}

static void refused_by(struct bench *bench, unsigned unit, const uint8_t packet[12], uint8_t key, uint16_t code)
{
    struct reply *reply = malloc(sizeof *reply);
    run_packet(bench, packet, 0xFFFE, unit, reply);
    ck_assert_msg(reply->status == CHECKED, "command %02x: status %02x", packet[0], reply->status);
    ck_assert_uint_eq(reply->error >> 4, key);
    assert_sense_of(bench, unit, key, code);
    free(reply);
}

static void refused(struct bench *bench, const uint8_t packet[12], uint8_t key, uint16_t code)
{
    refused_by(bench, 0, packet, key, code);
}

/* Past the unit attention that power-on leaves. */
static struct bench *cd_ready(void)
{
    struct bench *bench = cd_open();
    refused(bench, PACKET(0x00), 6, 0x2900);
    return bench;
}

static void assert_blocks(const uint8_t *data, uint32_t block, uint32_t blocks)
{
    for (uint32_t n = 0; n < blocks * BLOCK; n++)
        ck_assert_uint_eq(data[n], probe_byte((uint64_t)block * 4 + n / 512, n % 512));
}

static void change(struct bench *bench, uint64_t what)
{
    input_mailbox_post(bench->fake->mailbox, (struct input_message){.id = INPUT_MEDIA_CHANGE, .target = 2, .a = what});
    pass(bench);
}

/* ---- the device ---- */

START_TEST(test_signature_and_identify)
{
    struct bench *bench = cd_open();
    uint16_t words[256];
    ck_assert_uint_eq(alternate(bench), 0);
    ck_assert_uint_eq(in(bench, 2), 1);
    ck_assert_uint_eq(in(bench, 3), 1);
    ck_assert_uint_eq(in(bench, 4), 0x14);
    ck_assert_uint_eq(in(bench, 5), 0xEB);
    out(bench, 4, 0);
    out(bench, 7, 0xEC); /* no disk: says so */
    assert_failed(bench, READY | ERR, ABRT);
    ck_assert_uint_eq(in(bench, 4), 0x14);
    ck_assert_uint_eq(in(bench, 5), 0xEB);
    out(bench, 7, 0xA1);
    assert_state(bench, READY | DRQ, true);
    (void)in(bench, 7);
    for (unsigned n = 0; n < 256; n++)
        words[n] = fake_inw(bench->fake, bench->base);
    assert_state(bench, READY, false);
    ck_assert_uint_eq(words[0], 0x85C0);
    ck_assert_uint_eq(words[49] & 0x300, 0x300);
    ck_assert_uint_eq(words[63] & 7, 7);
    ck_assert_uint_eq(words[27], 'V' << 8 | 'M');
    out(bench, 1, 3);
    out(bench, 2, 0x42);
    out(bench, 7, 0xEF);
    assert_done(bench);
    out(bench, 7, 0xA1);
    for (unsigned n = 0; n < 256; n++)
        words[n] = fake_inw(bench->fake, bench->base);
    ck_assert_uint_eq(words[88], 0x043F);
    static const uint8_t foreign[] = {0x24, 0x25, 0x30, 0xC8, 0xCA, 0xE7, 0xC6, 0x06};
    for (unsigned n = 0; n < sizeof foreign; n++) {
        out(bench, 7, foreign[n]);
        assert_failed(bench, READY | ERR, ABRT);
    }
    bench_close(bench);
}
END_TEST

START_TEST(test_resets)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    send_packet(bench, PACKET(0x28, 0, 0, 0, 0, 9, 0, 0, 40), 0x800, false, 0);
    ck_assert_uint_eq(alternate(bench), BSY | READY);
    out(bench, 7, 0xA0); /* lost: busy */
    ck_assert_uint_eq(alternate(bench), BSY | READY);
    out(bench, 7, 0x08); /* DEVICE RESET is not */
    assert_state(bench, 0, false);
    ck_assert_uint_eq(in(bench, 4), 0x14);
    ck_assert_uint_eq(in(bench, 5), 0xEB);
    pass(bench);
    assert_state(bench, 0, false);
    ok(bench, PACKET(0x00), reply);
    send_packet(bench, PACKET(0x28, 0, 0, 0, 0, 9, 0, 0, 40), 0x800, false, 0);
    control(bench, 4);
    ck_assert_uint_eq(alternate(bench), BSY);
    control(bench, 0);
    ck_assert_uint_eq(alternate(bench), 0);
    ck_assert_uint_eq(in(bench, 5), 0xEB);
    out(bench, 7, 0x90);
    pass(bench);
    ck_assert_uint_eq(in(bench, 1), 1);
    ok(bench, PACKET(0x00), reply);
    free(reply);
    bench_close(bench);
}
END_TEST

/* ---- data transfer ---- */

START_TEST(test_read_pio)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    static const uint16_t limits[] = {2048, 0xFFFE, 0xFFFF, 4096, 1000, 2049, 3};
    for (unsigned n = 0; n < sizeof limits / sizeof limits[0]; n++) {
        uint32_t blocks = limits[n] < 100 ? 1 : 11;
        run_packet(bench, PACKET(0x28, 0, 0, 0, 1, 4, 0, 0, (uint8_t)blocks), limits[n], 0, reply);
        ck_assert_uint_eq(reply->status, READY);
        ck_assert_uint_eq(reply->size, blocks * BLOCK);
        assert_blocks(reply->bytes, 260, blocks);
        if (limits[n] == 2048)
            ck_assert_uint_eq(reply->blocks, blocks);
    }
    ok(bench, PACKET(0xA8, 0, 0, 0, 0, 7, 0, 0, 0, 2), reply);
    ck_assert_uint_eq(reply->size, 2 * BLOCK);
    assert_blocks(reply->bytes, 7, 2);
    ok(bench, PACKET(0x28, 0, 0, 0, 0, 7, 0, 0, 0), reply); /* nothing */
    ck_assert_uint_eq(reply->size, 0);
    run_packet(bench, PACKET(0x28, 0, 0, 0, 0, 7, 0, 0, 1), 1, 0, reply); /* no way to transfer */
    ck_assert_uint_eq(reply->status, CHECKED);
    ck_assert_uint_eq(reply->error, ABRT);
    run_packet(bench, PACKET(0x00), 0, 0, reply); /* not needed */
    ck_assert_uint_eq(reply->status, READY);
    out(bench, 1, 2); /* overlapped */
    out(bench, 7, 0xA0);
    assert_failed(bench, CHECKED, ABRT);
    free(reply);
    bench_close(bench);
}
END_TEST

START_TEST(test_odd_counts)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0x12, 0, 0, 0, 5), reply);
    ck_assert_uint_eq(reply->size, 5);
    run_packet(bench, PACKET(0x12, 0, 0, 0, 7), 4, 0, reply); /* 4, then 3 */
    ck_assert_uint_eq(reply->size, 7);
    ck_assert_uint_eq(reply->blocks, 2);
    ck_assert_uint_eq(reply->bytes[4], 31);
    send_packet(bench, PACKET(0x03, 0, 0, 0, 18), 0xFFFE, false, 0);
    for (unsigned n = 0; n < 5; n++) /* 18 bytes in words of 4 */
        (void)fake_inl(bench->fake, bench->base);
    assert_state(bench, READY, true);
    free(reply);
    bench_close(bench);
}
END_TEST

START_TEST(test_read_cd)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0xBE, 0, 0, 0, 0, 20, 0, 0, 5, 0x10), reply);
    ck_assert_uint_eq(reply->size, 5 * BLOCK);
    assert_blocks(reply->bytes, 20, 5);
    ok(bench, PACKET(0xBE, 0x08, 0, 0, 0, 20, 0, 0, 5, 0xF8), reply);
    ck_assert_uint_eq(reply->size, 5 * RAW);
    for (unsigned n = 0; n < 5; n++) {
        static const uint8_t sync[12] = {0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 0};
        const uint8_t *raw = reply->bytes + n * RAW;
        ck_assert_int_eq(memcmp(raw, sync, 12), 0);
        ck_assert_uint_eq(raw[12], 0x00); /* 20 + 150 frames: 00:02:20 */
        ck_assert_uint_eq(raw[13], 0x02);
        ck_assert_uint_eq(raw[14], 0x20 + n);
        ck_assert_uint_eq(raw[15], 1);
        assert_blocks(raw + 16, 20 + n, 1);
    }
    ok(bench, PACKET(0xBE, 0, 0, 0, 0, 20, 0, 0, 5, 0), reply);
    ck_assert_uint_eq(reply->size, 0);
    refused(bench, PACKET(0xBE, 0, 0, 0, 0, 20, 0, 0, 5, 0x20), 5, 0x2400);
    refused(bench, PACKET(0xBE, 0x04, 0, 0, 0, 20, 0, 0, 5, 0x10), 5, 0x6400);
    free(reply);
    bench_close(bench);
}
END_TEST

START_TEST(test_dma)
{
    struct bench *bench = cd_ready();
    static const uint8_t read_200[12] = {0x28, 0, 0, 0, 0, 100, 0, 0, 200}; /* four requests */
    prd(bench, 0, DATA_GPA, 0x3000, false);
    for (unsigned n = 1; n < 8; n++)
        prd(bench, n, DATA_GPA + 0x3000 + (n - 1) * 0x10000, 0, n == 7);
    for (unsigned late = 0; late < 2; late++) {
        memset(bench->fake->ram->host + DATA_GPA, 0, 500000);
        bm_prepare(bench, true);
        if (!late)
            bm_start(bench, true);
        send_packet(bench, read_200, 0, true, 0);
        if (late) {
            assert_state(bench, READY | DRQ, false);
            bm_start(bench, true);
        }
        assert_done(bench);
        ck_assert_uint_eq(in(bench, 2), REASON_STATUS);
        ck_assert_uint_eq(bm_status(bench) & 7, 5); /* the table is longer: still active */
        assert_blocks(bench->fake->ram->host + DATA_GPA, 100, 200);
        fake_outb(bench->fake, bm(bench, 0), 0);
    }
    bm_prepare(bench, true); /* a reply by DMA */
    bm_start(bench, true);
    send_packet(bench, PACKET(0x12, 0, 0, 0, 36), 0, true, 0);
    assert_done(bench);
    ck_assert_int_eq(memcmp(bench->fake->ram->host + DATA_GPA + 8, "VMRR    VMRR DVD-ROM", 20), 0);
    fake_outb(bench->fake, bm(bench, 0), 0);
    prd(bench, 0, DATA_GPA, 0x1800, true); /* a table too short: no end */
    bm_prepare(bench, true);
    bm_start(bench, true);
    send_packet(bench, read_200, 0, true, 0);
    pass(bench);
    ck_assert_uint_eq(bm_status(bench) & 7, 0);
    assert_state(bench, READY | DRQ, false);
    out(bench, 7, 0x08);
    assert_state(bench, 0, false);
    bench_close(bench);
}
END_TEST

/* The bus master stops between two requests: what is left comes with the next start. */
START_TEST(test_dma_stopped)
{
    struct bench *bench = cd_ready();
    for (unsigned n = 0; n < 7; n++)
        prd(bench, n, DATA_GPA + n * 0x10000, 0, n == 6);
    bm_prepare(bench, true);
    bm_start(bench, true);
    send_packet(bench, PACKET(0x28, 0, 0, 0, 0, 100, 0, 0, 200), 0, true, 0);
    while (bench->probe[2]->log_count < 2)
        fake_machine_advance_ns(bench->fake, 10000);
    fake_outb(bench->fake, bm(bench, 0), 0);
    pass(bench);
    assert_state(bench, READY | DRQ, false);
    bm_start(bench, true);
    assert_done(bench);
    assert_blocks(bench->fake->ram->host + DATA_GPA, 100 + 128, 72);
    bench_close(bench);
}
END_TEST

START_TEST(test_limits_and_errors)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0x28, 0, 0, 0, (uint8_t)((BLOCKS - 1) >> 8), (uint8_t)(BLOCKS - 1), 0, 0, 1), reply);
    assert_blocks(reply->bytes, BLOCKS - 1, 1);
    refused(bench, PACKET(0x28, 0, 0, 0, (uint8_t)((BLOCKS - 1) >> 8), (uint8_t)(BLOCKS - 1), 0, 0, 2), 5, 0x2100);
    refused(bench, PACKET(0x28, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 1), 5, 0x2100);
    refused(bench, PACKET(0xA8, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF), 5, 0x2100);
    refused(bench, PACKET(0x2B, 0, 0, 1, 0, 0), 5, 0x2100);
    ok(bench, PACKET(0x2B, 0, 0, 0, 0, 9), reply);
    refused(bench, PACKET(0x2A, 0, 0, 0, 0, 1, 0, 0, 1), 5, 0x2000); /* it does not write */
    refused(bench, PACKET(0xFF), 5, 0x2000);
    bench->probe[2]->fail_read = STATUS_IO;
    refused(bench, PACKET(0x28, 0, 0, 0, 0, 1, 0, 0, 1), 3, 0x1100);
    bench->probe[2]->fail_read = STATUS_OK;
    assert_sense_of(bench, 0, 0, 0); /* told once */
    free(reply);
    bench_close(bench);
}
END_TEST

/* ---- what the drive says ---- */

START_TEST(test_descriptions)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0x12, 0, 0, 0, 255), reply);
    ck_assert_uint_eq(reply->size, 36);
    ck_assert_uint_eq(reply->bytes[0], 5);
    ck_assert_uint_eq(reply->bytes[1], 0x80);
    ok(bench, PACKET(0x12, 1, 0x80, 0, 255), reply);
    ck_assert_int_eq(memcmp(reply->bytes + 4, "VMRR000003", 10), 0);
    ok(bench, PACKET(0x12, 1, 0, 0, 255), reply);
    ck_assert_uint_eq(reply->size, 4u + reply->bytes[3]);
    refused(bench, PACKET(0x12, 1, 0x99, 0, 255), 5, 0x2400);
    ok(bench, PACKET(0x25), reply);
    ck_assert_uint_eq(reply->size, 8);
    ck_assert_uint_eq(reply->bytes[2] << 8 | reply->bytes[3], BLOCKS - 1);
    ck_assert_uint_eq(reply->bytes[6] << 8 | reply->bytes[7], 2048);
    ok(bench, PACKET(0x51, 0, 0, 0, 0, 0, 0, 0, 34), reply);
    ck_assert_uint_eq(reply->size, 34);
    ck_assert_uint_eq(reply->bytes[2], 0x0E);
    ok(bench, PACKET(0xBD, 0, 0, 0, 0, 0, 0, 0, 0, 8), reply);
    ck_assert_uint_eq(reply->size, 8);
    ok(bench, PACKET(0xBB, 0, 0xFF, 0xFF), reply);
    refused(bench, PACKET(0xAD, 0, 0, 0, 0, 0, 0, 0, 8, 4), 5, 0x3002); /* a CD */
    free(reply);
    bench_close(bench);
}
END_TEST

START_TEST(test_toc)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 100), reply);
    ck_assert_uint_eq(reply->size, 20);
    ck_assert_uint_eq(reply->bytes[1], 18);
    ck_assert_uint_eq(reply->bytes[5], 0x14);
    ck_assert_uint_eq(reply->bytes[6], 1);
    ck_assert_uint_eq(reply->bytes[14], 0xAA);
    ck_assert_uint_eq(reply->bytes[18] << 8 | reply->bytes[19], BLOCKS);
    ok(bench, PACKET(0x43, 2, 0, 0, 0, 0, 0xAA, 0, 100), reply); /* the lead-out alone: 10000 + 150 frames, 2:15:25 */
    ck_assert_uint_eq(reply->size, 12);
    ck_assert_int_eq(memcmp(reply->bytes + 8, "\x00\x02\x0f\x19", 4), 0);
    ok(bench, PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 4), reply);
    ck_assert_uint_eq(reply->size, 4);
    refused(bench, PACKET(0x43, 0, 0, 0, 0, 0, 2, 0, 100), 5, 0x2400);
    ok(bench, PACKET(0x43, 0, 1, 0, 0, 0, 0, 0, 100), reply);
    ck_assert_uint_eq(reply->size, 12);
    ok(bench, PACKET(0x43, 0, 0, 0, 0, 0, 0, 0, 100, 0x80), reply); /* format 2, said the old way */
    ck_assert_uint_eq(reply->size, 48);
    ck_assert_uint_eq(reply->bytes[7], 0xA0);
    ck_assert_uint_eq(reply->bytes[4 + 22 + 3], 0xA2);
    ck_assert_int_eq(memcmp(reply->bytes + 4 + 22 + 8, "\x02\x0f\x19", 3), 0);
    refused(bench, PACKET(0x43, 0, 4, 0, 0, 0, 0, 0, 100), 5, 0x2400);
    free(reply);
    bench_close(bench);
}
END_TEST

START_TEST(test_modes_and_features)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 100), reply);
    ck_assert_uint_eq(reply->size, 28);
    ck_assert_uint_eq(reply->bytes[1], 26);
    ck_assert_uint_eq(reply->bytes[2], 1);
    ck_assert_uint_eq(reply->bytes[8], 0x2A);
    ck_assert_uint_eq(reply->bytes[14], 0x29);
    ok(bench, PACKET(0x1E, 0, 0, 0, 1), reply);
    ok(bench, PACKET(0x1A, 0, 0x2A, 0, 100), reply);
    ck_assert_uint_eq(reply->size, 24);
    ck_assert_uint_eq(reply->bytes[0], 23);
    ck_assert_uint_eq(reply->bytes[10], 0x2B); /* locked */
    ok(bench, PACKET(0x5A, 0, 0x3F, 0, 0, 0, 0, 0, 200), reply);
    ck_assert_uint_eq(reply->size, 8 + 8 + 16 + 20);
    ok(bench, PACKET(0x5A, 0, 0x41, 0, 0, 0, 0, 0, 200), reply); /* nothing is changeable */
    ck_assert_uint_eq(reply->size, 16);
    for (unsigned n = 10; n < 16; n++)
        ck_assert_uint_eq(reply->bytes[n], 0);
    refused(bench, PACKET(0x5A, 0, 0xC1, 0, 0, 0, 0, 0, 200), 5, 0x3900);
    refused(bench, PACKET(0x5A, 0, 0x05, 0, 0, 0, 0, 0, 200), 5, 0x2400);

    ok(bench, PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), reply);
    ck_assert_uint_eq(reply->bytes[6] << 8 | reply->bytes[7], 0x0008); /* a CD */
    ck_assert_uint_eq(reply->size, 4u + reply->bytes[3]);
    uint32_t all = reply->size;
    ok(bench, PACKET(0x46, 1, 0, 0, 0, 0, 0, 1, 0), reply); /* all but DVD read */
    ck_assert_uint_eq(reply->size, all - 4);
    ok(bench, PACKET(0x46, 2, 0, 3, 0, 0, 0, 1, 0), reply);
    ck_assert_uint_eq(reply->size, 16);
    ck_assert_uint_eq(reply->bytes[9], 3);
    refused(bench, PACKET(0x46, 3, 0, 0, 0, 0, 0, 1, 0), 5, 0x2400);
    free(reply);
    bench_close(bench);
}
END_TEST

/* Drive 1 shows 8 TiB: a DVD, and what of it can be counted in 32 bits. */
START_TEST(test_dvd)
{
    struct bench *bench = bench_open_with(2, 2, BLOCK_TIMING_MODEL);
    struct reply *reply = malloc(sizeof *reply);
    refused_by(bench, 1, PACKET(0x00), 6, 0x2900);
    run_packet(bench, PACKET(0x46, 0, 0, 0, 0, 0, 0, 1, 0), 0xFFFE, 1, reply);
    ck_assert_uint_eq(reply->bytes[7], 0x10);
    run_packet(bench, PACKET(0xAD, 0, 0, 0, 0, 0, 0, 0, 0x10, 0), 0xFFFE, 1, reply);
    ck_assert_uint_eq(reply->status, READY);
    ck_assert_uint_eq(reply->size, 2052);
    ck_assert_uint_eq(reply->bytes[9], 3);
    run_packet(bench, PACKET(0xAD, 0, 0, 0, 0, 0, 0, 0xFF, 0x10, 0), 0xFFFE, 1, reply);
    ck_assert_uint_eq(reply->size, 16);
    run_packet(bench, PACKET(0x25), 0xFFFE, 1, reply);
    ck_assert_uint_eq(reply->bytes[0], 0x7F);
    ck_assert_uint_eq(reply->bytes[3], 0xFF);
    free(reply);
    bench_close(bench);
}
END_TEST

/* ---- tray and medium ---- */

static void assert_event(struct bench *bench, uint8_t event, uint8_t status)
{
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0x4A, 1, 0, 0, 0x10, 0, 0, 0, 8), reply);
    ck_assert_uint_eq(reply->size, 8);
    ck_assert_uint_eq(reply->bytes[2], 4);
    ck_assert_uint_eq(reply->bytes[4], event);
    ck_assert_uint_eq(reply->bytes[5], status);
    free(reply);
}

START_TEST(test_guest_ejects)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    assert_event(bench, 0, 2);
    ok(bench, PACKET(0x1E, 0, 0, 0, 1), reply);
    refused(bench, PACKET(0x1B, 0, 0, 0, 2), 5, 0x5302);
    ok(bench, PACKET(0x1E), reply);
    ok(bench, PACKET(0x1B, 0, 0, 0, 0), reply); /* stopping ejects nothing */
    ok(bench, PACKET(0x00), reply);
    ok(bench, PACKET(0x1B, 0, 0, 0, 2), reply);
    refused(bench, PACKET(0x00), 2, 0x3A02);
    refused(bench, PACKET(0x28, 0, 0, 0, 0, 1, 0, 0, 1), 2, 0x3A02);
    assert_event(bench, 3, 1);
    assert_event(bench, 0, 1);
    ok(bench, PACKET(0x5A, 0, 0x2A, 0, 0, 0, 0, 0, 100), reply);
    ck_assert_uint_eq(reply->bytes[2], 0x71);
    ok(bench, PACKET(0x1B, 0, 0, 0, 3), reply);
    assert_event(bench, 2, 2);
    ok(bench, PACKET(0x28, 0, 0, 0, 0, 1, 0, 0, 1), reply);
    refused(bench, PACKET(0x4A, 0, 0, 0, 0x10, 0, 0, 0, 8), 5, 0x2400); /* not polled */
    free(reply);
    bench_close(bench);
}
END_TEST

START_TEST(test_changed_from_outside)
{
    struct bench *bench = cd_ready();
    struct reply *reply = malloc(sizeof *reply);
    ok(bench, PACKET(0x1E, 0, 0, 0, 1), reply);
    change(bench, 2); /* the button, while locked: the guest is asked */
    assert_event(bench, 1, 2);
    ok(bench, PACKET(0x00), reply);
    ok(bench, PACKET(0x1E), reply);
    change(bench, 2);
    assert_event(bench, 3, 1);
    change(bench, 2);
    assert_event(bench, 2, 2);
    refused(bench, PACKET(0x00), 6, 0x2800);
    ok(bench, PACKET(0x1E, 0, 0, 0, 1), reply);
    change(bench, 0); /* by force */
    refused(bench, PACKET(0x25), 2, 0x3A02);
    assert_event(bench, 3, 1);
    ok(bench, PACKET(0x1B, 0, 0, 0, 3), reply); /* an empty tray closes */
    refused(bench, PACKET(0x00), 2, 0x3A01);
    assert_event(bench, 0, 0);
    change(bench, 1);
    refused(bench, PACKET(0x00), 6, 0x2800);
    assert_event(bench, 2, 2);
    ok(bench, PACKET(0x28, 0, 0, 0, 0, 1, 0, 0, 1), reply);
    assert_blocks(reply->bytes, 1, 1);
    free(reply);
    bench_close(bench);
}
END_TEST

/* The medium goes while a long read is under way: the read ends with an error. */
START_TEST(test_ejected_while_reading)
{
    struct bench *bench = cd_ready();
    send_packet(bench, PACKET(0x28, 0, 0, 0, 0, 1, 0, 0, 40), 0x2000, false, 0);
    pass(bench);
    change(bench, 0);
    ck_assert_uint_eq(in(bench, 7), READY | DRQ);
    for (unsigned n = 0; n < 4096; n++)
        (void)fake_inw(bench->fake, bench->base);
    assert_failed(bench, CHECKED, 0x20);
    assert_sense_of(bench, 0, 2, 0x3A02);
    bench_close(bench);
}
END_TEST

START_TEST(test_empty_drive)
{
    struct bench *bench = cd_open();
    struct reply *reply = malloc(sizeof *reply);
    refused_by(bench, 1, PACKET(0x00), 6, 0x2900);
    refused_by(bench, 1, PACKET(0x00), 2, 0x3A01);
    refused_by(bench, 1, PACKET(0x28, 0, 0, 0, 0, 0, 0, 0, 1), 2, 0x3A01);
    run_packet(bench, PACKET(0x1B, 0, 0, 0, 2), 0xFFFE, 1, reply);
    ck_assert_uint_eq(reply->status, READY);
    refused_by(bench, 1, PACKET(0x00), 2, 0x3A02);
    free(reply);
    bench_close(bench);
}
END_TEST

/* ---- saved state ---- */

static void copy_all(struct bench *from, struct bench *to)
{
    struct device *a = machine_device_first(from->fake->machine), *b = machine_device_first(to->fake->machine);
    for (; a && b; a = a->next, b = b->next) {
        size_t size = state_size(a->class->fields);
        uint8_t *bytes = malloc(size + 1);
        state_save(a->class->fields, a, bytes);
        ck_assert_int_eq(state_load(b->class->fields, b, bytes, size), STATUS_OK);
        free(bytes);
    }
    for (b = machine_device_first(to->fake->machine); b; b = b->next)
        if (b->class->post_load)
            b->class->post_load(b);
}

START_TEST(test_save_in_flight)
{
    for (unsigned kind = 0; kind < 4; kind++) {
        struct bench *bench = cd_ready(), *other = cd_open();
        struct reply *reply = malloc(sizeof *reply);
        fake_machine_advance_ns(other->fake, fake_machine_now_ns(bench->fake) - fake_machine_now_ns(other->fake));
        for (unsigned n = 0; n < 2; n++)
            for (unsigned entry = 0; entry < 7; entry++)
                prd(n ? other : bench, entry, DATA_GPA + entry * 0x10000, 0, entry == 6);
        if (kind < 2)
            send_packet(bench, PACKET(0x28, 0, 0, 0, 0, 50, 0, 0, 3), 2048, false, 0);
        else {
            bm_prepare(bench, true);
            bm_start(bench, true);
            send_packet(bench, PACKET(0xBE, 0, 0, 0, 0, 50, 0, 0, 150, kind == 2 ? 0x10 : 0xF8), 0, true, 0);
        }
        if (kind == 1)
            pass(bench);
        while (kind >= 2 && bench->probe[2]->log_count < 1)
            fake_machine_advance_ns(bench->fake, 10000);
        fake_machine_advance_ns(other->fake, fake_machine_now_ns(bench->fake) - fake_machine_now_ns(other->fake));
        memcpy(other->fake->ram->host, bench->fake->ram->host, RAM_BYTES);
        copy_all(bench, other);
        ck_assert_uint_eq(machine_digest_state(bench->fake->machine), machine_digest_state(other->fake->machine));
        pass(bench);
        pass(other);
        for (unsigned word = 0; kind < 2 && word < 3 * 1024; word++) {
            ck_assert_uint_eq(fake_inw(bench->fake, 0x170), fake_inw(other->fake, 0x170));
        }
        ck_assert_uint_eq(alternate(bench), READY);
        ck_assert_uint_eq(alternate(other), READY);
        ck_assert_int_eq(memcmp(bench->fake->ram->host, other->fake->ram->host, RAM_BYTES), 0);
        ck_assert_uint_eq(machine_digest_state(bench->fake->machine), machine_digest_state(other->fake->machine));
        free(reply);
        bench_close(bench);
        bench_close(other);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("atapi");
    TCase *tcase = tcase_create("atapi");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_signature_and_identify);
    tcase_add_test(tcase, test_resets);
    tcase_add_test(tcase, test_read_pio);
    tcase_add_test(tcase, test_odd_counts);
    tcase_add_test(tcase, test_read_cd);
    tcase_add_test(tcase, test_dma);
    tcase_add_test(tcase, test_dma_stopped);
    tcase_add_test(tcase, test_limits_and_errors);
    tcase_add_test(tcase, test_descriptions);
    tcase_add_test(tcase, test_toc);
    tcase_add_test(tcase, test_modes_and_features);
    tcase_add_test(tcase, test_dvd);
    tcase_add_test(tcase, test_guest_ejects);
    tcase_add_test(tcase, test_changed_from_outside);
    tcase_add_test(tcase, test_ejected_while_reading);
    tcase_add_test(tcase, test_empty_drive);
    tcase_add_test(tcase, test_save_in_flight);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
