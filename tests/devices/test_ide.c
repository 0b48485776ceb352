/* The IDE channels as a driver sees them: every command, PIO and DMA, errors, absent drives, resets, saved state. */
#include "tests/devices/ide_test.h"

#include <stdio.h>

/* ---- presence and registers ---- */

START_TEST(test_signature)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    ck_assert_uint_eq(alternate(bench), READY);
    ck_assert_uint_eq(in(bench, 1), 0x01);
    ck_assert_uint_eq(in(bench, 2), 1);
    ck_assert_uint_eq(in(bench, 3), 1);
    ck_assert_uint_eq(in(bench, 4), 0);
    ck_assert_uint_eq(in(bench, 5), 0);
    ck_assert_uint_eq(in(bench, 6), 0xA0);
    /* What probing code writes reads back, and the other bytes of a word access go to the next register. */
    out(bench, 2, 0x55);
    out(bench, 3, 0xAA);
    ck_assert_uint_eq(fake_inw(bench->fake, 0x1F2), 0xAA55);
    fake_outw(bench->fake, 0x1F4, 0x2211);
    ck_assert_uint_eq(in(bench, 4), 0x11);
    ck_assert_uint_eq(in(bench, 5), 0x22);
    bench_close(bench);
}
END_TEST

START_TEST(test_absent)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    out(bench, 6, 0xB0); /* device 1: device 0 answers for it, with status 0 */
    ck_assert_uint_eq(alternate(bench), 0);
    ck_assert_uint_eq(in(bench, 7), 0);
    ck_assert_uint_eq(in(bench, 6), 0xB0);
    out(bench, 7, 0xEC);
    pass(bench);
    ck_assert_uint_eq(alternate(bench), 0);
    ck_assert_uint_eq(irq(bench)->rises, 0);
    out(bench, 6, 0xA0);
    ck_assert_uint_eq(alternate(bench), READY);
    bench->base = 0x170; /* nobody on the channel */
    for (unsigned reg = 1; reg < 8; reg++)
        ck_assert_uint_eq(in(bench, reg), 0x7F);
    ck_assert_uint_eq(alternate(bench), 0x7F);
    out(bench, 2, 0x55);
    ck_assert_uint_eq(in(bench, 2), 0x7F);
    out(bench, 7, 0xEC);
    out(bench, 7, 0x90);
    control(bench, 4);
    control(bench, 0);
    pass(bench);
    ck_assert_uint_eq(in(bench, 7), 0x7F);
    ck_assert_uint_eq(irq(bench)->rises, 0);
    bench_close(bench);
    bench = bench_open(2, BLOCK_TIMING_MODEL); /* a slave alone */
    ck_assert_uint_eq(alternate(bench), 0x7F);
    out(bench, 6, 0xB0);
    ck_assert_uint_eq(alternate(bench), READY);
    out(bench, 7, 0xEC);
    assert_state(bench, READY | DRQ, true);
    bench_close(bench);
}
END_TEST

START_TEST(test_hob)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    for (unsigned reg = 2; reg < 6; reg++) {
        out(bench, reg, (uint8_t)(0x10 + reg));
        out(bench, reg, (uint8_t)(0x20 + reg));
    }
    control(bench, 0x80);
    for (unsigned reg = 2; reg < 6; reg++)
        ck_assert_uint_eq(in(bench, reg), 0x10 + reg);
    out(bench, 2, 0x33); /* any write to the command block clears HOB */
    ck_assert_uint_eq(in(bench, 2), 0x33);
    control(bench, 0x80);
    ck_assert_uint_eq(in(bench, 2), 0x22);
    bench_close(bench);
}
END_TEST

START_TEST(test_interrupt_masking)
{
    struct bench *bench = bench_open(5, BLOCK_TIMING_MODEL);
    control(bench, 2);
    out(bench, 7, 0xEC);
    assert_state(bench, READY | DRQ, false);
    control(bench, 0); /* pending all along */
    ck_assert(irq(bench)->level);
    control(bench, 2);
    ck_assert(!irq(bench)->level);
    control(bench, 0);
    out(bench, 6, 0xB0); /* the interrupt is device 0's */
    ck_assert(!irq(bench)->level);
    out(bench, 6, 0xA0);
    ck_assert(irq(bench)->level);
    (void)alternate(bench);
    ck_assert(irq(bench)->level);
    (void)in(bench, 7);
    ck_assert(!irq(bench)->level);
    bench_close(bench);
}
END_TEST

/* ---- IDENTIFY ---- */

static void identify(struct bench *bench, unsigned disk, uint16_t words[256])
{
    out(bench, 6, (uint8_t)(0xA0 | disk << 4));
    out(bench, 7, 0xEC);
    assert_state(bench, READY | DRQ, true);
    for (unsigned n = 0; n < 256; n++)
        words[n] = fake_inw(bench->fake, bench->base);
    ck_assert_uint_eq(in(bench, 7), READY);
    ck_assert_uint_eq(fake_inw(bench->fake, bench->base), 0xFFFF); /* nothing more */
}

START_TEST(test_identify)
{
    struct bench *bench = bench_open(3, BLOCK_TIMING_MODEL);
    uint16_t words[256];
    uint8_t sum = 0;
    identify(bench, 0, words);
    for (unsigned n = 0; n < 256; n++)
        sum = (uint8_t)(sum + (uint8_t)words[n] + (uint8_t)(words[n] >> 8));
    ck_assert_uint_eq(sum, 0);
    ck_assert_uint_eq(words[255] & 0xFF, 0xA5);
    ck_assert_uint_eq(words[0] & 0x8000, 0);
    ck_assert_uint_eq(words[1], SECTORS / (16 * 63));
    ck_assert_uint_eq(words[3], 16);
    ck_assert_uint_eq(words[6], 63);
    ck_assert_uint_eq(words[60] | (uint32_t)words[61] << 16, SECTORS);
    ck_assert_uint_eq(words[100], SECTORS);
    ck_assert_uint_eq(words[49] & 0x300, 0x300);
    ck_assert_uint_eq(words[47] & 0xFF, 16);
    ck_assert_uint_eq(words[59], 0x110);
    ck_assert_uint_eq(words[63], 7);
    ck_assert_uint_eq(words[88] & 0xFF, 0x3F);
    ck_assert_uint_eq(words[83] & 0xF400, 0x7400);
    ck_assert_uint_eq(words[84] & 0xC040, 0x4040);
    ck_assert_uint_eq(words[85] & 0x20, 0x20);
    ck_assert_uint_eq(words[169], 1);
    ck_assert_uint_eq(words[27], 'V' << 8 | 'M');
    identify(bench, 1, words);
    ck_assert_uint_eq(words[1], 16383);
    ck_assert_uint_eq(words[60] | (uint32_t)words[61] << 16, 0x0FFFFFFF);
    ck_assert_uint_eq(words[100] | (uint64_t)words[101] << 16 | (uint64_t)words[102] << 32, HUGE_SECTORS);
    bench_close(bench);
}
END_TEST

START_TEST(test_set_features)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    uint16_t words[256];
    static const struct {
        uint8_t feature, count;
        bool valid;
    } cases[] = {{0x03, 0x00, true},  {0x03, 0x0C, true}, {0x03, 0x0D, false}, {0x03, 0x22, true},
                 {0x03, 0x23, false}, {0x03, 0x45, true}, {0x03, 0x46, false}, {0x03, 0x12, false},
                 {0x55, 0, true},     {0xAA, 0, true},    {0x66, 0, true},     {0xCC, 0, true},
                 {0x05, 1, false},    {0x10, 2, false},   {0x82, 0, true},     {0x02, 0, true}};
    for (unsigned n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        out(bench, 1, cases[n].feature);
        out(bench, 2, cases[n].count);
        out(bench, 7, 0xEF);
        if (cases[n].valid)
            assert_done(bench);
        else
            assert_failed(bench, READY | ERR, ABRT);
    }
    identify(bench, 0, words);
    ck_assert_uint_eq(words[88], 0x203F); /* UDMA5 chosen */
    ck_assert_uint_eq(words[63], 0x0007);
    out(bench, 1, 0x03);
    out(bench, 2, 0x21);
    out(bench, 7, 0xEF);
    out(bench, 1, 0x82);
    out(bench, 7, 0xEF);
    ck_assert_uint_eq(alternate(bench), BSY | READY); /* the cache is written out first */
    pass(bench);
    ck_assert_int_eq(last_operation(bench, 0).op, TRACE_BLOCK_FLUSH);
    identify(bench, 0, words);
    ck_assert_uint_eq(words[63], 0x0207);
    ck_assert_uint_eq(words[88], 0x003F);
    ck_assert_uint_eq(words[85] & 0x20, 0);
    command28(bench, 0x30, 5, 1, 0); /* no write cache: write through */
    sector_out(bench, 1);
    assert_done(bench);
    ck_assert(last_operation(bench, 0).fua);
    bench_close(bench);
}
END_TEST

/* ---- PIO ---- */

START_TEST(test_read_sectors)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    command28(bench, 0x20, 1000, 20, 0); /* more than a buffer */
    assert_state(bench, BSY | READY, false);
    out(bench, 7, 0xEC); /* ignored while BSY */
    for (unsigned n = 0; n < 20; n++) {
        pass(bench);
        assert_state(bench, READY | DRQ, true);
        ck_assert_uint_eq(in(bench, 7), READY | DRQ);
        ck_assert(!irq(bench)->level);
        assert_sector_in(bench, 1000 + n);
    }
    assert_state(bench, READY, false); /* no interrupt after the last */
    ck_assert_uint_eq(irq(bench)->rises, 20);
    ck_assert_uint_eq(in(bench, 2), 0);
    ck_assert_uint_eq(in(bench, 3) | in(bench, 4) << 8, 1019);
    ck_assert_uint_eq(bench->probe[0]->log_count, 2);
    bench_close(bench);
}
END_TEST

START_TEST(test_read_256_and_ext)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    command28(bench, 0x21, 7, 0, 0); /* 0: 256 */
    for (unsigned n = 0; n < 256; n++) {
        pass(bench);
        ck_assert_uint_eq(in(bench, 7), READY | DRQ);
        assert_sector_in(bench, 7 + n);
    }
    assert_state(bench, READY, false);
    command48(bench, 0x24, 30000, 3, 0);
    for (unsigned n = 0; n < 3; n++) {
        pass(bench);
        ck_assert_uint_eq(in(bench, 7), READY | DRQ);
        for (unsigned word = 0; word < 128; word++) { /* 32-bit accesses */
            size_t at = 4 * word;
            uint32_t value = fake_inl(bench->fake, bench->base);
            for (unsigned byte = 0; byte < 4; byte++)
                ck_assert_uint_eq(value >> (8 * byte) & 0xFF, probe_byte(30000 + n, at + byte));
        }
    }
    assert_state(bench, READY, false);
    bench_close(bench);
}
END_TEST

START_TEST(test_read_multiple)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    static const uint8_t blocks[] = {1, 2, 4, 8, 16};
    for (unsigned kind = 0; kind < 2; kind++) {
        for (unsigned n = 0; n < 5; n++) {
            out(bench, 6, 0xA0);
            out(bench, 2, blocks[n]);
            out(bench, 7, 0xC6);
            assert_done(bench);
            unsigned rises = irq(bench)->rises, left = 21;
            if (kind)
                command48(bench, 0x29, 500, 21, 0);
            else
                command28(bench, 0xC4, 500, 21, 0);
            while (left) {
                pass(bench);
                assert_state(bench, READY | DRQ, true);
                (void)in(bench, 7);
                for (unsigned in_block = 0; in_block < blocks[n] && left; in_block++, left--) {
                    ck_assert_uint_eq(alternate(bench), READY | DRQ);
                    assert_sector_in(bench, 521 - left);
                }
            }
            assert_state(bench, READY, false);
            ck_assert_uint_eq(irq(bench)->rises - rises, (21u + blocks[n] - 1) / blocks[n]);
        }
    }
    static const uint8_t bad[] = {3, 32, 17, 128};
    for (unsigned n = 0; n < 4; n++) {
        out(bench, 2, bad[n]);
        out(bench, 7, 0xC6);
        assert_failed(bench, READY | ERR, ABRT);
        command28(bench, 0xC4, 0, 1, 0); /* and the mode is off */
        assert_failed(bench, READY | ERR, ABRT);
        command28(bench, 0xC5, 0, 1, 0);
        assert_failed(bench, READY | ERR, ABRT);
    }
    out(bench, 2, 0);
    out(bench, 7, 0xC6);
    assert_done(bench);
    bench_close(bench);
}
END_TEST

static void write_blocks(struct bench *bench, unsigned sectors, unsigned block, uint8_t fill)
{
    assert_state(bench, READY | DRQ, false); /* no interrupt before the first block */
    for (unsigned left = sectors; left;) {
        for (unsigned n = 0; n < block && left; n++, left--)
            sector_out(bench, fill);
        assert_state(bench, BSY | READY, false);
        pass(bench);
        assert_state(bench, left ? READY | DRQ : READY, true);
        (void)in(bench, 7);
    }
}

START_TEST(test_write_sectors)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    command28(bench, 0x30, 100, 3, 0);
    write_blocks(bench, 3, 1, 0x41);
    assert_image(bench, 0, 100, 3, 0x41);
    ck_assert(!last_operation(bench, 0).fua);
    command48(bench, 0x34, 200, 3, 0);
    write_blocks(bench, 3, 1, 0x42);
    assert_image(bench, 0, 200, 3, 0x42);
    command28(bench, 0xC5, 300, 35, 0); /* blocks of 16, 16 and 3 */
    write_blocks(bench, 35, 16, 0x43);
    assert_image(bench, 0, 300, 35, 0x43);
    command48(bench, 0x39, 400, 17, 0);
    write_blocks(bench, 17, 16, 0x44);
    assert_image(bench, 0, 400, 17, 0x44);
    ck_assert(!last_operation(bench, 0).fua);
    command48(bench, 0xCE, 500, 17, 0);
    write_blocks(bench, 17, 16, 0x45);
    assert_image(bench, 0, 500, 17, 0x45);
    ck_assert(last_operation(bench, 0).fua);
    ck_assert_uint_eq(bench->probe[0]->bytes[517 * 512], probe_byte(517, 0));
    bench_close(bench);
}
END_TEST

START_TEST(test_chs)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    /* Default translation: 16 heads, 63 sectors. C 2, H 3, S 4. */
    out(bench, 6, 0xA3);
    out(bench, 2, 2);
    out(bench, 3, 4);
    out(bench, 4, 2);
    out(bench, 5, 0);
    out(bench, 7, 0x20);
    for (unsigned n = 0; n < 2; n++) {
        pass(bench);
        (void)in(bench, 7);
        assert_sector_in(bench, (2 * 16 + 3) * 63 + 3 + n);
    }
    ck_assert_uint_eq(in(bench, 3), 5);
    ck_assert_uint_eq(in(bench, 4), 2);
    ck_assert_uint_eq(in(bench, 6), 0xA3);
    out(bench, 3, 0); /* there is no sector 0 */
    out(bench, 2, 1);
    out(bench, 7, 0x20);
    assert_failed(bench, READY | ERR, IDNF);
    out(bench, 3, 64);
    out(bench, 7, 0x20);
    assert_failed(bench, READY | ERR, IDNF);
    out(bench, 6, 0xA3); /* another translation: 4 heads, 17 sectors */
    out(bench, 2, 17);
    out(bench, 7, 0x91);
    assert_done(bench);
    out(bench, 2, 1);
    out(bench, 3, 17);
    out(bench, 4, 1);
    out(bench, 7, 0x20);
    pass(bench);
    (void)in(bench, 7);
    assert_sector_in(bench, (1 * 4 + 3) * 17 + 16);
    out(bench, 6, 0xA4); /* head 4 of 0..3 */
    out(bench, 2, 1);
    out(bench, 7, 0x20);
    assert_failed(bench, READY | ERR, IDNF);
    uint16_t words[256];
    identify(bench, 0, words);
    ck_assert_uint_eq(words[55], 4);
    ck_assert_uint_eq(words[56], 17);
    ck_assert_uint_eq(words[54], SECTORS / 68);
    out(bench, 2, 0);
    out(bench, 7, 0x91);
    assert_failed(bench, READY | ERR, ABRT);
    bench_close(bench);
}
END_TEST

/* ---- addresses at the edges ---- */

START_TEST(test_limits)
{
    struct bench *bench = bench_open(3, BLOCK_TIMING_MODEL);
    static const uint8_t codes28[] = {0x20, 0x30, 0x40, 0xC4, 0xC5, 0xC8, 0xCA};
    static const uint8_t codes48[] = {0x24, 0x25, 0x29, 0x34, 0x35, 0x39, 0x3D, 0x42, 0xCE};
    for (unsigned n = 0; n < sizeof codes28; n++) {
        command28(bench, codes28[n], SECTORS, 1, 0);
        assert_failed(bench, READY | ERR, IDNF);
        command28(bench, codes28[n], SECTORS - 1, 2, 0);
        assert_failed(bench, READY | ERR, IDNF);
        command28(bench, codes28[n], 0x0FFFFFFF, 0, 0);
        assert_failed(bench, READY | ERR, IDNF);
    }
    for (unsigned n = 0; n < sizeof codes48; n++) {
        command48(bench, codes48[n], SECTORS, 1, 0);
        assert_failed(bench, READY | ERR, IDNF);
        command48(bench, codes48[n], 1ull << 32, 1, 0);
        assert_failed(bench, READY | ERR, IDNF);
        command48(bench, codes48[n], 0xFFFFFFFFFFFF, 0, 0);
        assert_failed(bench, READY | ERR, IDNF);
        command48(bench, codes48[n], 0, 0, 0); /* 65536 of 40000 */
        assert_failed(bench, READY | ERR, IDNF);
    }
    ck_assert_uint_eq(bench->probe[0]->log_count, 0);
    command28(bench, 0x20, SECTORS - 1, 1, 0);
    pass(bench);
    (void)in(bench, 7);
    assert_sector_in(bench, SECTORS - 1);
    command48(bench, 0x27, 0, 0, 1); /* READ NATIVE MAX ADDRESS (EXT) */
    assert_done(bench);
    ck_assert_uint_eq(in(bench, 3), 0xFF);
    control(bench, 0x80);
    ck_assert_uint_eq(in(bench, 3) | in(bench, 4) << 8, 0x01FF);
    control(bench, 0);
    command28(bench, 0xF8, 0, 0, 0);
    assert_done(bench);
    ck_assert_uint_eq(in(bench, 3) | in(bench, 4) << 8 | in(bench, 5) << 16, SECTORS - 1);
    command28(bench, 0xF8, 0, 0, 1);
    assert_done(bench);
    ck_assert_uint_eq(in(bench, 3) | in(bench, 4) << 8 | in(bench, 5) << 16 | (in(bench, 6) & 15) << 24, 0x0FFFFFFE);
    bench_close(bench);
}
END_TEST

/* ---- DMA ---- */

START_TEST(test_read_dma)
{
    static const uint8_t codes[] = {0xC8, 0xC9, 0x25};
    for (unsigned n = 0; n < 6; n++) {
        struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
        bool start_first = n & 1; /* bus master before the command, or after */
        prd(bench, 0, DATA_GPA + 2, 1000, false);
        prd(bench, 1, DATA_GPA + 0x20000, 3096, true);
        bm_prepare(bench, true);
        ck_assert_uint_eq(bm_status(bench), 0x60);
        if (start_first)
            bm_start(bench, true);
        if (codes[n / 2] == 0x25)
            command48(bench, 0x25, 700, 8, 0);
        else
            command28(bench, codes[n / 2], 700, 8, 0);
        if (!start_first) {
            assert_state(bench, READY | DRQ, false);
            pass(bench);
            ck_assert_uint_eq(bench->probe[0]->log_count, 0);
            bm_start(bench, true);
        }
        assert_state(bench, BSY | READY, false);
        ck_assert_uint_eq(bm_status(bench), 0x61);
        ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA + 2], 0); /* not before it is due */
        pass(bench);
        ck_assert_uint_eq(bm_status(bench), 0x64);
        assert_state(bench, READY, true);
        for (unsigned at = 0; at < 4096; at++) {
            uint32_t gpa = at < 1000 ? DATA_GPA + 2 + at : DATA_GPA + 0x20000 + at - 1000;
            ck_assert_uint_eq(bench->fake->ram->host[gpa], probe_byte(700 + at / 512, at % 512));
        }
        ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA + 1002], 0);
        ck_assert_uint_eq(bench->probe[0]->log_count, 1);
        fake_outb(bench->fake, bm(bench, 2), 0x04); /* write one to clear; the capable bits are written too */
        ck_assert_uint_eq(bm_status(bench), 0x00);
        ck_assert_uint_eq(in(bench, 7), READY);
        bench_close(bench);
    }
}
END_TEST

START_TEST(test_write_dma)
{
    static const uint8_t codes[] = {0xCA, 0xCB, 0x35, 0x3D};
    for (unsigned n = 0; n < 4; n++) {
        struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
        memset(bench->fake->ram->host + DATA_GPA, 0x91, 0x11000);
        prd(bench, 0, DATA_GPA, 0, false); /* 64 KiB */
        prd(bench, 1, DATA_GPA + 0x10000, 4096, true);
        bm_prepare(bench, false);
        if (n < 2)
            command28(bench, codes[n], 64, 136, 0);
        else
            command48(bench, codes[n], 64, 136, 0);
        bm_start(bench, false);
        memset(bench->fake->ram->host + DATA_GPA, 0x92, 0x11000); /* the drive has it already */
        assert_state(bench, BSY | READY, false);
        assert_done(bench);
        ck_assert_uint_eq(bm_status(bench), 0x64);
        assert_image(bench, 0, 64, 136, 0x91);
        ck_assert_uint_eq(bench->probe[0]->bytes[200 * 512], probe_byte(200, 0));
        ck_assert_uint_eq(last_operation(bench, 0).sectors, 136);
        ck_assert_int_eq(last_operation(bench, 0).fua, codes[n] == 0x3D);
        bench_close(bench);
    }
}
END_TEST

/* Tables shorter and longer than the transfer; descriptors and data where no memory is. */
START_TEST(test_prd_errors)
{
    for (unsigned to_memory = 0; to_memory < 2; to_memory++) {
        for (unsigned kind = 0; kind < 4; kind++) {
            struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
            prd(bench, 0, DATA_GPA, 512, kind == 0);
            if (kind == 1)
                prd(bench, 1, DATA_GPA + 512, 4096, true);
            if (kind == 2)
                prd(bench, 1, 0xD0000000, 512, true);
            bm_prepare(bench, to_memory);
            if (kind == 3)
                fake_outl(bench->fake, bm(bench, 4), 0xE0000000);
            command28(bench, to_memory ? 0xC8 : 0xCA, 90, 2, 0);
            bm_start(bench, to_memory);
            pass(bench);
            switch (kind) {
            case 0: /* short: inactive, no error, no interrupt; the disk still asks */
                ck_assert_uint_eq(bm_status(bench), 0x60);
                assert_state(bench, READY | DRQ, false);
                break;
            case 1: /* long: done, and still active */
                ck_assert_uint_eq(bm_status(bench), 0x65);
                assert_state(bench, READY, true);
                break;
            default: /* master abort */
                ck_assert_uint_eq(bm_status(bench), 0x62);
                assert_state(bench, READY | DRQ, false);
                break;
            }
            if (kind != 1 && !to_memory)
                ck_assert_uint_eq(bench->probe[0]->log_count, 0); /* nothing half written */
            fake_outb(bench->fake, bm(bench, 0), 0);
            ck_assert_uint_eq(bm_status(bench) & 1, 0);
            control(bench, 4); /* the driver resets, and all is well again */
            control(bench, 0);
            prd(bench, 0, DATA_GPA + 0x8000, 512, true);
            bm_prepare(bench, true);
            command28(bench, 0xC8, 33, 1, 0);
            bm_start(bench, true);
            assert_done(bench);
            assert_memory(bench, DATA_GPA + 0x8000, 33, 512);
            bench_close(bench);
        }
    }
}
END_TEST

START_TEST(test_dma_direction_and_stop)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    prd(bench, 0, DATA_GPA, 1024, true);
    bm_prepare(bench, false); /* the wrong way: nothing moves */
    command28(bench, 0xC8, 10, 2, 0);
    bm_start(bench, false);
    pass(bench);
    assert_state(bench, READY | DRQ, false);
    fake_outb(bench->fake, bm(bench, 0), 0);
    bm_start(bench, true);
    ck_assert_uint_eq(alternate(bench), BSY | READY);
    fake_outb(bench->fake, bm(bench, 0), 8); /* stopped on the way */
    pass(bench);
    assert_state(bench, READY | DRQ, false);
    ck_assert_uint_eq(bm_status(bench) & 5, 0);
    ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA], 0);
    bm_start(bench, true); /* and on again */
    assert_done(bench);
    assert_memory(bench, DATA_GPA, 10, 1024);
    /* Another command gives up a transfer that waits for the bus master. */
    command28(bench, 0xC8, 10, 2, 0);
    assert_state(bench, READY | DRQ, false);
    out(bench, 7, 0xEC);
    ck_assert_uint_eq(fake_inw(bench->fake, bench->base), 0x0040);
    bench_close(bench);
}
END_TEST

START_TEST(test_bm_registers)
{
    struct bench *bench = bench_open(5, BLOCK_TIMING_MODEL);
    fake_outl(bench->fake, BM + 4, 0x12345677);
    ck_assert_uint_eq(fake_inl(bench->fake, BM + 4), 0x12345674);
    fake_outw(bench->fake, BM + 12, 0xBEEF);
    fake_outb(bench->fake, BM + 15, 0x11);
    ck_assert_uint_eq(fake_inl(bench->fake, BM + 12), 0x1100BEEC);
    ck_assert_uint_eq(fake_inb(bench->fake, BM + 1), 0xFF);
    fake_outb(bench->fake, BM + 2, 0xFF);
    ck_assert_uint_eq(fake_inb(bench->fake, BM + 2), 0x60);
    fake_outb(bench->fake, BM + 8, 0xFE);
    ck_assert_uint_eq(fake_inb(bench->fake, BM + 8), 0x08);
    /* Its bar moves; where it was nobody answers. */
    fake_outl(bench->fake, 0xCF8, 0x80000920);
    fake_outl(bench->fake, 0xCFC, 0xC100);
    ck_assert_uint_eq(fake_inl(bench->fake, BM + 4), 0xFFFFFFFF);
    ck_assert_uint_eq(fake_inl(bench->fake, 0xC104), 0x12345674);
    machine_reset(bench->fake->machine);
    ck_assert_uint_eq(fake_inl(bench->fake, 0xC104), 0xFFFFFFFF);
    bench_close(bench);
}
END_TEST

START_TEST(test_secondary)
{
    struct bench *bench = bench_open(0xF, BLOCK_TIMING_MODEL);
    bench->base = 0x170;
    prd(bench, 0, DATA_GPA, 512, true);
    bm_prepare(bench, true);
    command28(bench, 0xC8, 1234, 1, 1);
    bm_start(bench, true);
    assert_done(bench);
    assert_memory(bench, DATA_GPA, 1234, 512);
    ck_assert_uint_eq(bench->probe[3]->log_count, 1);
    ck_assert_uint_eq(bench->irq[0].rises, 0);
    bench->base = 0x1F0; /* both channels at once */
    command28(bench, 0x20, 1, 1, 0);
    bench->base = 0x170;
    command28(bench, 0x20, 2, 1, 0);
    pass(bench);
    (void)in(bench, 7);
    assert_sector_in(bench, 2);
    bench->base = 0x1F0;
    (void)in(bench, 7);
    assert_sector_in(bench, 1);
    bench_close(bench);
}
END_TEST

/* ---- the other commands ---- */

START_TEST(test_no_data_commands)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    static const uint8_t good[] = {0x10, 0x1F, 0x70, 0x7F, 0xE1, 0xE3, 0x95, 0x97, 0xE5, 0x98};
    static const uint8_t flushing[] = {0xE7, 0xEA, 0xE0, 0xE2, 0x94, 0x96};
    static const uint8_t bad[] = {0x00, 0x08, 0x22, 0x33, 0x26, 0x87, 0xA0, 0xA1, 0xB0, 0xB1, 0xC0,
                                  0xDA, 0xE4, 0xE8, 0xF1, 0xF5, 0xF9, 0xFF, 0x2F, 0x45, 0x5C, 0x60};
    command28(bench, 0x10, 1, 1, 0);
    assert_done(bench);
    for (unsigned n = 0; n < sizeof good; n++) {
        command28(bench, good[n], 1, 1, 0);
        assert_state(bench, READY, true);
        assert_done(bench);
    }
    ck_assert_uint_eq(bench->probe[0]->log_count, 0);
    for (unsigned n = 0; n < sizeof flushing; n++) {
        command28(bench, flushing[n], 1, 1, 0);
        assert_state(bench, BSY | READY, false);
        assert_done(bench);
        ck_assert_uint_eq(bench->probe[0]->log_count, n + 1);
        ck_assert_int_eq(last_operation(bench, 0).op, TRACE_BLOCK_FLUSH);
    }
    for (unsigned n = 0; n < sizeof bad; n++) {
        command28(bench, bad[n], 1, 1, 0);
        assert_state(bench, READY | ERR, true);
        assert_failed(bench, READY | ERR, ABRT);
    }
    command28(bench, 0x70, SECTORS, 0, 0);
    assert_failed(bench, READY | ERR, IDNF);
    command28(bench, 0x70, SECTORS - 1, 0, 0);
    assert_done(bench);
    bench_close(bench);
}
END_TEST

START_TEST(test_power)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    static const struct {
        uint8_t command, expected;
    } steps[] = {{0xE5, 0xFF}, {0xE0, 0x00}, {0xE1, 0x80}, {0xE2, 0x00}, {0x40, 0xFF}};
    for (unsigned n = 0; n < 5; n++) {
        command28(bench, steps[n].command, 0, 1, 0);
        assert_done(bench);
        command28(bench, 0xE5, 0, 1, 0);
        assert_done(bench);
        ck_assert_uint_eq(in(bench, 2), steps[n].expected);
    }
    command28(bench, 0xE6, 0, 1, 0); /* SLEEP: deaf until reset */
    assert_done(bench);
    command28(bench, 0xEC, 0, 1, 0);
    pass(bench);
    assert_state(bench, READY, false);
    control(bench, 4);
    control(bench, 0);
    command28(bench, 0xEC, 0, 1, 0);
    assert_state(bench, READY | DRQ, true);
    bench_close(bench);
}
END_TEST

START_TEST(test_verify)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    command28(bench, 0x40, 9, 0, 0);
    assert_state(bench, BSY | READY, false);
    assert_done(bench);
    ck_assert_uint_eq(last_operation(bench, 0).sectors, 256);
    command28(bench, 0x41, 9, 1, 0);
    assert_done(bench);
    command48(bench, 0x42, 9, 1000, 0);
    assert_done(bench);
    ck_assert_uint_eq(last_operation(bench, 0).sectors, 1000);
    bench->probe[0]->fail_read = STATUS_IO;
    command28(bench, 0x40, 77, 1, 0);
    assert_failed(bench, READY | ERR, UNC);
    ck_assert_uint_eq(in(bench, 3), 77);
    bench_close(bench);
}
END_TEST

static void put_range(struct bench *bench, unsigned entry, uint64_t lba, uint16_t sectors)
{
    memory_write_u64(machine_memory(bench->fake->machine), DATA_GPA + 8 * entry, lba | (uint64_t)sectors << 48);
}

static void trim(struct bench *bench, uint8_t feature, uint16_t blocks)
{
    prd(bench, 0, DATA_GPA, 512u * blocks, true);
    bm_prepare(bench, false);
    out(bench, 1, feature);
    command48(bench, 0x06, 0, blocks, 0);
    bm_start(bench, false);
}

START_TEST(test_trim)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    put_range(bench, 0, 100, 5);
    put_range(bench, 3, 200, 65); /* entries of 0 sectors between and after */
    put_range(bench, 127, 300, 1);
    trim(bench, 1, 2);
    assert_state(bench, BSY | READY, false);
    assert_done(bench);
    ck_assert_uint_eq(bench->probe[0]->log_count, 3);
    ck_assert_int_eq(last_operation(bench, 0).op, TRACE_BLOCK_DISCARD);
    assert_image(bench, 0, 100, 5, 0);
    assert_image(bench, 0, 200, 65, 0);
    assert_image(bench, 0, 300, 1, 0);
    ck_assert_uint_eq(bench->probe[0]->bytes[105 * 512 + 1], probe_byte(105, 1));
    put_range(bench, 3, SECTORS - 1, 2); /* past the end */
    trim(bench, 1, 1);
    assert_failed(bench, READY | ERR, ABRT | IDNF);
    trim(bench, 0, 1);
    assert_failed(bench, READY | ERR, ABRT);
    trim(bench, 1, 9);
    assert_failed(bench, READY | ERR, ABRT);
    trim(bench, 1, 0);
    assert_failed(bench, READY | ERR, ABRT);
    memset(bench->fake->ram->host + DATA_GPA, 0, 512);
    trim(bench, 1, 1); /* nothing to do */
    assert_done(bench);
    bench_close(bench);
}
END_TEST

START_TEST(test_diagnostic)
{
    struct bench *bench = bench_open(3, BLOCK_TIMING_MODEL);
    command28(bench, 0x70, 0x123456 % SECTORS, 9, 1);
    out(bench, 6, 0xF0);
    out(bench, 7, 0x90);
    pass(bench);
    assert_state(bench, READY, true);
    ck_assert_uint_eq(in(bench, 6), 0xA0);
    ck_assert_uint_eq(in(bench, 1), 0x01);
    ck_assert_uint_eq(in(bench, 2), 1);
    ck_assert_uint_eq(in(bench, 3), 1);
    ck_assert_uint_eq(in(bench, 4), 0);
    ck_assert_uint_eq(in(bench, 5), 0);
    bench_close(bench);
}
END_TEST

/* ---- errors of the medium ---- */

START_TEST(test_media_errors)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    struct probe_image *probe = bench->probe[0];
    probe->fail_read = STATUS_IO;
    command28(bench, 0x20, 0x1234, 2, 0);
    assert_failed(bench, READY | ERR, UNC);
    ck_assert_uint_eq(in(bench, 3) | in(bench, 4) << 8, 0x1234);
    ck_assert_uint_eq(fake_inw(bench->fake, bench->base), 0xFFFF);
    prd(bench, 0, DATA_GPA, 1024, true);
    bm_prepare(bench, true);
    command48(bench, 0x25, 0x1234, 2, 0);
    bm_start(bench, true);
    assert_failed(bench, READY | ERR, UNC);
    ck_assert_uint_eq(bm_status(bench) & 0x06, 0x04); /* the interrupt came, the bus master had no error */
    ck_assert_uint_eq(bench->fake->ram->host[DATA_GPA], 0);
    probe->fail_write = STATUS_NO_SPACE;
    command28(bench, 0x30, 50, 2, 0);
    sector_out(bench, 1);
    assert_failed(bench, READY | DF | ERR, ABRT);
    ck_assert_uint_eq(in(bench, 3), 50);
    probe->fail_flush = STATUS_IO;
    command28(bench, 0xE7, 0, 0, 0);
    assert_failed(bench, READY | DF | ERR, ABRT);
    probe->fail_discard = STATUS_IO;
    put_range(bench, 0, 1, 1);
    trim(bench, 1, 1);
    assert_failed(bench, READY | DF | ERR, ABRT);
    probe->fail_read = STATUS_OK; /* and it recovers */
    command28(bench, 0x20, 3, 1, 0);
    pass(bench);
    (void)in(bench, 7);
    ck_assert_uint_eq(in(bench, 1), 0);
    assert_sector_in(bench, 3);
    probe->image.read_only = true;
    probe->fail_write = STATUS_OK;
    command28(bench, 0x30, 50, 1, 0);
    sector_out(bench, 1);
    assert_failed(bench, READY | ERR, ABRT);
    bench_close(bench);
}
END_TEST

/* ---- resets ---- */

START_TEST(test_software_reset)
{
    struct bench *bench = bench_open(3, BLOCK_TIMING_MODEL);
    command28(bench, 0x20, 5, 4, 1);
    ck_assert_uint_eq(alternate(bench), BSY | READY);
    control(bench, 4);
    ck_assert_uint_eq(alternate(bench), BSY);
    out(bench, 7, 0xEC); /* not now */
    pass(bench);
    ck_assert_uint_eq(alternate(bench), BSY);
    control(bench, 0);
    assert_state(bench, READY, false);
    ck_assert_uint_eq(in(bench, 6), 0xA0);
    ck_assert_uint_eq(in(bench, 1), 1);
    pass(bench);
    ck_assert_uint_eq(irq(bench)->rises, 0); /* the read is forgotten */
    out(bench, 6, 0xB0);
    ck_assert_uint_eq(alternate(bench), READY);
    /* In the middle of a DRQ block. */
    command28(bench, 0x30, 5, 4, 0);
    fake_outw(bench->fake, bench->base, 0x4444);
    control(bench, 4);
    control(bench, 0);
    fake_outw(bench->fake, bench->base, 0x4444);
    assert_state(bench, READY, false);
    pass(bench);
    ck_assert_uint_eq(bench->probe[0]->log_count, 0);
    bench_close(bench);
}
END_TEST

START_TEST(test_machine_reset_in_flight)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    memset(bench->fake->ram->host + DATA_GPA, 0x71, 512);
    prd(bench, 0, DATA_GPA, 512, true);
    bm_prepare(bench, false);
    out(bench, 2, 8);
    out(bench, 7, 0xC6);
    command28(bench, 0xCA, 60, 1, 0);
    bm_start(bench, false);
    machine_reset(bench->fake->machine);
    assert_state(bench, READY, false);
    assert_image(bench, 0, 60, 1, 0x71); /* the drive had it */
    pass(bench);
    ck_assert(!irq(bench)->level);
    uint16_t words[256];
    identify(bench, 0, words);
    ck_assert_uint_eq(words[59], 0x110);
    bench_close(bench);
}
END_TEST

/* Resets under host timing leave requests that the host never finishes: the drive fails at last, and nothing breaks. */
START_TEST(test_reset_storm)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_HOST);
    for (unsigned n = 0; n < BLOCK_PENDING_MAX; n++) {
        command28(bench, 0x20, 5 + n, 1, 0);
        ck_assert_uint_eq(alternate(bench), BSY | READY);
        control(bench, 4);
        control(bench, 0);
    }
    command28(bench, 0x20, 5, 1, 0);
    assert_failed(bench, READY | DF | ERR, ABRT);
    input_mailbox_post(bench->fake->mailbox, (struct input_message){INPUT_BLOCK_COMPLETION, 0, 3, 0});
    pass(bench);
    assert_state(bench, READY | DF | ERR, false);
    command28(bench, 0x20, 5, 1, 0);
    ck_assert_uint_eq(alternate(bench), BSY | READY);
    input_mailbox_post(bench->fake->mailbox, (struct input_message){INPUT_BLOCK_COMPLETION, 0, 32, 0});
    pass(bench);
    assert_state(bench, READY | DRQ, true);
    assert_sector_in(bench, 5);
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
        uint8_t *bytes = malloc(size);
        state_save(a->class->fields, a, bytes);
        ck_assert_int_eq(state_load(b->class->fields, b, bytes, size), STATUS_OK);
        free(bytes);
    }
    for (unsigned n = 0; n < 4; n++) {
        if (!from->drive[n])
            continue;
        size_t size = block_drive_payload_bytes(from->drive[n]);
        uint8_t *bytes = malloc(size + 1);
        block_drive_payload_save(from->drive[n], bytes);
        ck_assert_int_eq(block_drive_payload_load(to->drive[n], bytes, size), STATUS_OK);
        free(bytes);
    }
    for (b = machine_device_first(to->fake->machine); b; b = b->next) {
        if (b->class->post_load)
            b->class->post_load(b);
    }
}

static void assert_same_state(struct bench *a, struct bench *b)
{
    struct device *other = machine_device_first(b->fake->machine);
    for (struct device *device = machine_device_first(a->fake->machine); device;
         device = device->next, other = other->next)
        ck_assert_uint_eq(state_digest(device->class->fields, device, 0), state_digest(other->class->fields, other, 0));
}

START_TEST(test_save_in_flight)
{
    for (unsigned kind = 0; kind < 6; kind++) {
        struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL), *other = bench_open(1, BLOCK_TIMING_MODEL);
        memset(bench->fake->ram->host + DATA_GPA, 0x3D, 40 * 512);
        prd(bench, 0, DATA_GPA, 40 * 512, true);
        pass(bench);
        switch (kind) {
        case 0: command28(bench, 0x20, 11, 3, 0); break;
        case 1:
            command28(bench, 0x30, 11, 3, 0);
            sector_out(bench, 0x2D);
            break;
        case 2: /* 3: the bus master starts after the copy */
        case 3:
            bm_prepare(bench, true);
            command28(bench, 0xC8, 11, 40, 0);
            if (kind == 2)
                bm_start(bench, true);
            break;
        case 4:
            bm_prepare(bench, false);
            command28(bench, 0xCA, 11, 40, 0);
            bm_start(bench, false);
            break;
        default: command28(bench, 0x40, 11, 200, 0); break;
        }
        copy_state(bench, other);
        assert_same_state(bench, other);
        if (kind == 3) {
            bm_start(bench, true);
            bm_start(other, true);
        }
        pass(bench);
        pass(other);
        ck_assert_uint_eq(alternate(other), alternate(bench));
        if (kind == 0) {
            assert_sector_in(other, 11);
            assert_sector_in(bench, 11);
        }
        if (kind == 1)
            assert_image(other, 0, 11, 1, 0x2D);
        if (kind == 2 || kind == 3)
            assert_memory(other, DATA_GPA, 11, 40 * 512);
        if (kind == 4)
            assert_image(other, 0, 11, 40, 0x3D);
        assert_same_state(bench, other);
        bench_close(bench);
        bench_close(other);
    }
}
END_TEST

/* Changes a saved byte, but leaves a bool a bool: other values are not the device's to guard against. */
static void spoil(const struct state_field *fields, uint8_t *bytes, size_t at, uint8_t value)
{
    static const char *const bools[] = {"interrupt", "write_cache", "look_ahead", "asleep",
                                        "line",      "fua",         "dma_wait",   "in_flight"};
    size_t start = 0;
    for (const struct state_field *field = fields; field->name; field++) {
        size_t size = (field->nested ? state_size(field->nested) : field->elem_size) * field->count;
        if (at < start + size) {
            if (field->nested) {
                size_t one = state_size(field->nested), element = (at - start) / one;
                spoil(field->nested, bytes + start + element * one, (at - start) % one, value);
                return;
            }
            for (unsigned n = 0; n < sizeof bools / sizeof bools[0]; n++)
                value = strcmp(field->name, bools[n]) ? value : value & 1;
            bytes[at] = value;
            return;
        }
        start += size;
    }
}

/* Random bytes as a state, random accesses after it: no crash, and the drive is never asked for what it has not. */
START_TEST(test_load_rubbish_and_go_on)
{
    struct bench *bench = bench_open(1, BLOCK_TIMING_MODEL);
    srand(11);
    for (unsigned round = 0; round < 60; round++) {
        struct device *device = machine_device_find(bench->fake->machine, "ide0");
        size_t size = state_size(device->class->fields);
        uint8_t *bytes = malloc(size);
        state_save(device->class->fields, device, bytes);
        for (unsigned n = 0; n < 12; n++)
            spoil(device->class->fields, bytes, (size_t)rand() % 110, (uint8_t)(rand() % (round % 2 ? 256 : 2)));
        if (state_load(device->class->fields, device, bytes, size) == STATUS_OK)
            device->class->post_load(device);
        free(bytes);
        for (unsigned n = 0; n < 400; n++) {
            if (rand() % 3)
                out(bench, (unsigned)rand() % 8, (uint8_t)rand());
            else if (rand() % 2)
                (void)fake_inw(bench->fake, (uint16_t)(0x1F0 + rand() % 8));
            else
                fake_outw(bench->fake, (uint16_t)(BM + (unsigned)rand() % 8), (uint16_t)rand());
            if (rand() % 40 == 0)
                fake_machine_advance_ns(bench->fake, 1000000);
        }
        machine_reset(bench->fake->machine);
        struct pci_bus *bus = (struct pci_bus *)machine_device_find(bench->fake->machine, "pci");
        pci_bus_config_write(bus, 1, 1, 0x20, BM, 4);
        pci_bus_config_write(bus, 1, 1, PCI_COMMAND, 5, 2);
    }
    bench_close(bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ide");
    TCase *tcase = tcase_create("ide");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_signature);
    tcase_add_test(tcase, test_absent);
    tcase_add_test(tcase, test_hob);
    tcase_add_test(tcase, test_interrupt_masking);
    tcase_add_test(tcase, test_identify);
    tcase_add_test(tcase, test_set_features);
    tcase_add_test(tcase, test_read_sectors);
    tcase_add_test(tcase, test_read_256_and_ext);
    tcase_add_test(tcase, test_read_multiple);
    tcase_add_test(tcase, test_write_sectors);
    tcase_add_test(tcase, test_chs);
    tcase_add_test(tcase, test_limits);
    tcase_add_test(tcase, test_read_dma);
    tcase_add_test(tcase, test_write_dma);
    tcase_add_test(tcase, test_prd_errors);
    tcase_add_test(tcase, test_dma_direction_and_stop);
    tcase_add_test(tcase, test_bm_registers);
    tcase_add_test(tcase, test_secondary);
    tcase_add_test(tcase, test_no_data_commands);
    tcase_add_test(tcase, test_power);
    tcase_add_test(tcase, test_verify);
    tcase_add_test(tcase, test_trim);
    tcase_add_test(tcase, test_diagnostic);
    tcase_add_test(tcase, test_media_errors);
    tcase_add_test(tcase, test_software_reset);
    tcase_add_test(tcase, test_machine_reset_in_flight);
    tcase_add_test(tcase, test_reset_storm);
    tcase_add_test(tcase, test_save_in_flight);
    tcase_add_test(tcase, test_load_rubbish_and_go_on);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
