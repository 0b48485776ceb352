/* The AHCI controller as a driver sees it: registers, resets, disk commands, queued commands, packets, PRD tables, errors,
 * hostile lists, saved state. */
#include "tests/devices/ahci_test.h"

/* ---- registers ---- */

START_TEST(test_registers)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, SLOT, 0, 0, 4), 0x29228086);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, SLOT, 0, 8, 4) >> 8, 0x010601);
    ck_assert_uint_eq(hba(bench, 0x00) & 0x1F, 5);
    ck_assert_uint_eq(hba(bench, 0x00) >> 8 & 0x1F, 31);
    ck_assert_uint_eq(hba(bench, 0x00) >> 30, 3);
    ck_assert_uint_eq(hba(bench, 0x04), 0x80000000);
    ck_assert_uint_eq(hba(bench, 0x0C), 0x3F);
    ck_assert_uint_eq(hba(bench, 0x10), 0x00010300);
    ck_assert_uint_eq(bus_mmio_read(machine_bus(bench->fake->machine), ABAR + 0x12, 2), 0x0001);
    for (bench->port = 0; bench->port < AHCI_PORTS; bench->port++) {
        bool present = bench->port < 4;
        ck_assert_uint_eq(port(bench, P_SSTS), present ? 0x123 : 0);
        ck_assert_uint_eq(port(bench, P_SIG), UINT32_MAX);
        ck_assert_uint_eq(port(bench, P_TFD), present ? 0xFF : 0x7F);
        ck_assert_uint_eq(port(bench, P_IS), present ? PCS : 0);
    }
    bench->port = 0;
    set_port(bench, P_CLB, 0x12345FFF);
    ck_assert_uint_eq(port(bench, P_CLB), 0x12345C00);
    set_port(bench, P_FB, 0x12345FFF);
    ck_assert_uint_eq(port(bench, P_FB), 0x12345F00);
    set_port(bench, P_CMD, UINT32_MAX & ~0x19u);
    ck_assert_uint_eq(port(bench, P_CMD), 0x0F000006);
    set_port(bench, P_CI, 5); /* not started */
    set_port(bench, P_SACT, 5);
    ck_assert_uint_eq(port(bench, P_CI) | port(bench, P_SACT), 0);
    bus_mmio_write(machine_bus(bench->fake->machine), ABAR + 4, 2, 1); /* not 4 bytes */
    ck_assert_uint_eq(hba(bench, 0x04), 0x80000000);
    bench_close(bench);
}
END_TEST

START_TEST(test_signatures)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    static const uint32_t signature[4] = {0x101, 0xEB140101, 0xEB140101, 0x101};
    for (unsigned n = 0; n < 4; n++) {
        bench->port = n;
        set_port(bench, P_FB, PORT_MEMORY(n) + 0x400);
        set_port(bench, P_CMD, 0x10);
        ck_assert_uint_eq(port(bench, P_CMD), 0x4016);
        ck_assert_uint_eq(port(bench, P_SIG), signature[n]);
        ck_assert_uint_eq(port(bench, P_TFD), n == 1 || n == 2 ? 0x100 : 0x150);
        ck_assert_uint_eq(*host(bench, PORT_MEMORY(n) + 0x440), 0x34);
    }
    bench_close(bench);
}
END_TEST

/* COMRESET, with a command under way. */
START_TEST(test_port_reset)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    put_command(bench, 0, 0x25, 9, 64, 64 * 512);
    set_port(bench, P_CI, 1);
    ck_assert_uint_eq(port(bench, P_TFD) & 0x80, 0x80);
    set_port(bench, P_CMD, 0x10);
    set_port(bench, P_SCTL, 0x301);
    ck_assert_uint_eq(port(bench, P_SSTS), 0);
    ck_assert_uint_eq(port(bench, P_TFD), 0x7F);
    set_port(bench, P_SCTL, 0x300);
    ck_assert_uint_eq(port(bench, P_SSTS), 0x123);
    ck_assert_uint_eq(port(bench, P_SIG), 0x101);
    ck_assert_uint_eq(port(bench, P_TFD), 0x150);
    ck_assert_uint_eq(port(bench, P_SERR), 0x04000000);
    ck_assert_uint_eq(port(bench, P_IS), PCS);
    set_port(bench, P_SERR, UINT32_MAX);
    ck_assert_uint_eq(port(bench, P_IS), 0);
    pass(bench);
    ck_assert_uint_eq(port(bench, P_IS), 0); /* nothing of the command is left */
    ck_assert_uint_eq(slot_data(bench, 0)[0], 0);
    set_port(bench, P_CMD, 0x11);
    set_hba(bench, 8, UINT32_MAX);
    go(bench, 0);
    assert_done(bench, DHRS);
    assert_sectors(slot_data(bench, 0), 9, 64);
    bench_close(bench);
}
END_TEST

START_TEST(test_hba_and_soft_reset)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    put_command(bench, 0, 0, 0, 0, 0); /* a control FIS: SRST on, then off */
    put_fis_byte(bench, 0, 1, 0);
    put_fis_byte(bench, 0, 15, 4);
    put_command(bench, 1, 0, 0, 0, 0);
    put_fis_byte(bench, 1, 1, 0);
    memset(host(bench, PORT_MEMORY(0) + 0x440), 0, 20);
    set_port(bench, P_CI, 1);
    ck_assert_uint_eq(port(bench, P_CI), 0);
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(0) + 0x440), 0);
    set_port(bench, P_CI, 2);
    ck_assert_uint_eq(port(bench, P_CI), 0);
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(0) + 0x440), 0x34);
    ck_assert_uint_eq(port(bench, P_TFD), 0x150);
    put_command(bench, 0, 0x25, 9, 64, 64 * 512);
    set_port(bench, P_CI, 1);
    set_hba(bench, 4, 1);
    ck_assert_uint_eq(hba(bench, 4), 0x80000000);
    ck_assert_uint_eq(port(bench, P_CMD), 6);
    ck_assert_uint_eq(port(bench, P_CI), 0);
    ck_assert_uint_eq(port(bench, P_CLB), PORT_MEMORY(0)); /* stays */
    pass(bench);
    ck_assert(!bench->interrupt);
    port_start(bench, 0);
    go(bench, 0);
    assert_done(bench, DHRS);
    bench_close(bench);
}
END_TEST

/* ---- disk ---- */

START_TEST(test_identify)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    put_command(bench, 0, 0xEC, 0, 0, 512);
    go(bench, 0);
    assert_done(bench, PSS);
    const uint8_t *data = slot_data(bench, 0);
    ck_assert_int_eq(memcmp(data + 20, "ESIRLA0-", 8), 0);
    ck_assert_uint_eq(data[200] | data[201] << 8, SECTORS);
    ck_assert_uint_eq(data[150], 31);
    ck_assert_uint_eq(data[153] & 1, 1);
    ck_assert_uint_eq(data[168] & 0x20, 0x20);
    ck_assert_uint_eq(moved(bench, 0), 512);
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(0) + 0x420), 0x5F);
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(0) + 0x42F), READY);
    bench_close(bench);
}
END_TEST

START_TEST(test_read_write)
{
    static const struct {
        uint8_t code;
        bool write;
        uint32_t is;
    } cases[] = {{0x25, false, DHRS}, {0x24, false, PSS}, {0x29, false, PSS}, {0x35, true, DHRS},
                 {0x34, true, DHRS},  {0x3D, true, DHRS}, {0x39, true, DHRS}};
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 3);
    for (unsigned n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        uint64_t lba = 100 + 200 * n;
        put_command(bench, 0, cases[n].code, lba, 130, 130 * 512);
        memset(slot_data(bench, 0), (int)n, 130 * 512);
        go(bench, 0);
        assert_done(bench, cases[n].is);
        ck_assert_uint_eq(moved(bench, 0), 130 * 512);
        if (!cases[n].write) {
            assert_sectors(slot_data(bench, 0), lba, 130);
            continue;
        }
        for (unsigned byte = 0; byte < 130 * 512; byte++)
            ck_assert_uint_eq(bench->probe[3]->bytes[lba * 512 + byte], n);
        ck_assert_int_eq(bench->probe[3]->log[bench->probe[3]->log_count - 1].fua, cases[n].code == 0x3D);
        ck_assert_uint_eq(*host(bench, PORT_MEMORY(3) + 0x440), 0x34);
    }
    bench_close(bench);
}
END_TEST

/* More than a request holds: 3000 sectors in two. */
START_TEST(test_long_transfer)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    for (unsigned write = 0; write < 2; write++) {
        put_command(bench, 0, write ? 0x35 : 0x25, 1000, 3000, 3000 * 512);
        go(bench, 0);
        assert_done(bench, DHRS);
        ck_assert_uint_eq(moved(bench, 0), 3000 * 512);
        ck_assert_uint_eq(bench->probe[0]->log_count, 2 * (write + 1));
        assert_sectors(slot_data(bench, 0), 1000, 3000);
    }
    bench_close(bench);
}
END_TEST

START_TEST(test_other_commands)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    static const uint8_t good[] = {0xE7, 0xEA, 0xE0, 0xE1, 0xE5, 0x40, 0x42, 0x10};
    static const uint8_t bad[] = {0x00, 0x08, 0xA0, 0xA1, 0xB0, 0xFF};
    port_start(bench, 0);
    for (unsigned n = 0; n < sizeof good; n++) {
        put_command(bench, 0, good[n], 5, 1, 0);
        go(bench, 0);
        assert_done(bench, DHRS);
    }
    ck_assert_int_eq(bench->probe[0]->log[0].op, TRACE_BLOCK_FLUSH);
    for (unsigned n = 0; n < sizeof bad; n++) {
        put_command(bench, 3, bad[n], 5, 1, 0);
        go(bench, 3);
        assert_failed(bench, 3, READY | ERR, 4);
    }
    put_command(bench, 0, 0x25, SECTORS - 1, 2, 1024);
    go(bench, 0);
    assert_failed(bench, 0, READY | ERR, 0x10);
    put_command(bench, 0, 0x06, 0, 1, 512); /* trim: two ranges */
    put_fis_byte(bench, 0, 3, 1);
    memset(slot_data(bench, 0), 0, 512);
    memory_write_u64(ram(bench), DATA_GPA, 7ull << 48 | 50);
    memory_write_u64(ram(bench), DATA_GPA + 80, 3ull << 48 | 90);
    go(bench, 0);
    assert_done(bench, DHRS);
    for (unsigned n = 0; n < 7 * 512; n++)
        ck_assert_uint_eq(bench->probe[0]->bytes[50 * 512 + n], 0);
    ck_assert_uint_eq(bench->probe[0]->bytes[93 * 512 - 1], 0);
    ck_assert_uint_eq(bench->probe[0]->bytes[93 * 512 + 1], probe_byte(93, 1));
    bench_close(bench);
}
END_TEST

START_TEST(test_image_errors)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    bench->probe[0]->fail_read = STATUS_IO;
    put_command(bench, 5, 0x25, 77, 2, 1024);
    go(bench, 5);
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(0) + 0x444), 77);
    assert_failed(bench, 5, READY | ERR, 0x40);
    bench->probe[0]->fail_write = STATUS_IO;
    put_command(bench, 5, 0x35, 77, 2, 1024);
    go(bench, 5);
    assert_failed(bench, 5, 0x71, 4);
    bench->probe[0]->fail_read = bench->probe[0]->fail_write = STATUS_OK;
    put_command(bench, 0, 0x25, 77, 2, 1024);
    go(bench, 0);
    assert_done(bench, DHRS);
    bench_close(bench);
}
END_TEST

/* ---- queued commands ---- */

static void queue(struct bench *bench, uint32_t slots)
{
    set_port(bench, P_SACT, slots);
    set_port(bench, P_CI, slots);
}

START_TEST(test_queued)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    for (unsigned n = 0; n < 32; n++) {
        memset(slot_data(bench, n), n, 4096);
        put_command(bench, n, n & 1 ? 0x61 : 0x60, 1200 * n, 8, 4096);
    }
    queue(bench, UINT32_MAX);
    ck_assert_uint_eq(port(bench, P_CI), 0); /* the disk has taken them all */
    ck_assert_uint_eq(port(bench, P_SACT), UINT32_MAX);
    ck_assert_uint_eq(port(bench, P_TFD), READY);
    ck_assert_uint_eq(port(bench, P_IS), 0);
    bool ordered = true;
    uint32_t left = UINT32_MAX;
    for (unsigned n = 0; left && n < 5000; n++) { /* ends in the drive's order, which a seed makes another than ours */
        fake_machine_advance_ns(bench->fake, 100000);
        uint32_t now = port(bench, P_SACT);
        ordered &= (left & ~now) == 0 || now == 0 || (left & ~now) < (now & -now);
        left = now;
    }
    ck_assert(!ordered);
    assert_done(bench, SDBS);
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(0) + 0x458), 0xA1);
    for (unsigned n = 0; n < 32; n++) {
        if (!(n & 1))
            assert_sectors(slot_data(bench, n), 1200 * n, 8);
        for (unsigned byte = 0; n & 1 && byte < 4096; byte++)
            ck_assert_uint_eq(bench->probe[0]->bytes[1200 * n * 512 + byte], n);
    }
    put_command(bench, 4, 0x61, 9, 1, 512);
    put_fis_byte(bench, 4, 7, 0xC0); /* FUA */
    queue(bench, 1u << 4);
    pass(bench);
    ck_assert(bench->probe[0]->log[bench->probe[0]->log_count - 1].fua);
    bench_close(bench);
}
END_TEST

static void assert_queue_failed(struct bench *bench, uint8_t slot, uint8_t status, uint8_t error, uint64_t lba)
{
    ck_assert_uint_eq(port(bench, P_IS) & (TFES | SDBS), TFES | SDBS);
    ck_assert_uint_eq(port(bench, P_TFD), (uint32_t)error << 8 | status);
    ck_assert_uint_ne(port(bench, P_SACT) & 1u << slot, 0);
    set_port(bench, P_CMD, 0x10);
    ck_assert_uint_eq(port(bench, P_SACT), 0);
    set_port(bench, P_IS, UINT32_MAX);
    set_hba(bench, 8, UINT32_MAX);
    set_port(bench, P_CMD, 0x11);
    put_command(bench, 0, 0x2F, 0x10, 1, 512);
    go(bench, 0);
    assert_done(bench, PSS);
    const uint8_t *log = slot_data(bench, 0);
    uint8_t sum = 0;
    for (unsigned n = 0; n < 512; n++)
        sum = (uint8_t)(sum + log[n]);
    ck_assert_uint_eq(sum, 0);
    ck_assert_uint_eq(log[0], slot);
    ck_assert_uint_eq(log[2], status);
    ck_assert_uint_eq(log[3], error);
    ck_assert_uint_eq(log[4] | (uint64_t)log[5] << 8, lba);
}

START_TEST(test_queued_errors)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    for (unsigned n = 1; n < 6; n++)
        put_command(bench, n, 0x60, 500 * n, 8, 4096);
    put_command(bench, 6, 0x60, SECTORS, 8, 4096); /* no such sectors */
    queue(bench, 0x7E);
    memset(slot_data(bench, 1), 0x77, 4096);
    pass(bench); /* the others have gone with it */
    ck_assert_uint_eq(port(bench, P_SACT), 0x7E);
    ck_assert_uint_eq(slot_data(bench, 1)[0], 0x77);
    assert_queue_failed(bench, 6, READY | ERR, 0x10, SECTORS);
    put_command(bench, 0, 0x2F, 0x10, 1, 512); /* told once */
    go(bench, 0);
    assert_done(bench, PSS);
    ck_assert_uint_eq(slot_data(bench, 0)[0], 0x80);
    put_command(bench, 0, 0x2F, 0, 1, 512);
    go(bench, 0);
    assert_done(bench, PSS);
    ck_assert_uint_eq(slot_data(bench, 0)[0x20], 1);
    put_command(bench, 0, 0x2F, 0x11, 1, 512);
    go(bench, 0);
    assert_failed(bench, 0, READY | ERR, 4);

    bench->probe[0]->fail_read = STATUS_IO;
    queue(bench, 2);
    pass(bench);
    assert_queue_failed(bench, 1, READY | ERR, 0x40, 500);
    bench->probe[0]->fail_read = STATUS_OK;

    put_command(bench, 2, 0x60, 900, 8, 4096); /* a tag that is not the slot's */
    put_fis_byte(bench, 2, 12, 3 << 3);
    queue(bench, 4);
    assert_queue_failed(bench, 2, READY | ERR, 4, 900);

    put_command(bench, 1, 0x60, 500, 8, 4096); /* a command that is not queued beside one that is */
    put_command(bench, 2, 0x25, 700, 8, 4096);
    queue(bench, 2);
    set_port(bench, P_CI, 4);
    ck_assert_uint_eq(port(bench, P_SACT), 2);
    assert_failed(bench, 2, READY | ERR, 4);
    pass(bench);
    ck_assert_uint_eq(port(bench, P_IS), 0);
    bench_close(bench);
}
END_TEST

/* ---- PRD tables ---- */

START_TEST(test_prd_tables)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    put_command(bench, 0, 0x25, 300, 16, 512); /* many pieces, at odd sizes, one with an interrupt */
    set_header(bench, 0, 5, 0);
    static const uint32_t sizes[5] = {2, 4094, 1000, 0x400, 4096};
    uint32_t at = 0;
    for (unsigned n = 0; n < 5; n++) {
        set_prd(bench, 0, n, DATA_GPA + at, sizes[n]);
        at += sizes[n];
    }
    memory_write_u32(ram(bench), table_gpa(bench, 0) + 0x80 + 12, 0x80000001);
    go(bench, 0);
    assert_done(bench, DHRS | DPS);
    assert_sectors(slot_data(bench, 0), 300, 16);

    put_command(bench, 0, 0x25, 300, 16, 4096); /* too short: the rest is dropped */
    memset(slot_data(bench, 0), 0x55, 8192);
    go(bench, 0);
    assert_done(bench, DHRS | OFS);
    assert_sectors(slot_data(bench, 0), 300, 8);
    ck_assert_uint_eq(slot_data(bench, 0)[4096], 0x55);
    ck_assert_uint_eq(moved(bench, 0), 4096);

    put_command(bench, 0, 0x35, 300, 16, 4096); /* a write waits for data for ever */
    unsigned before = bench->probe[0]->log_count;
    go(bench, 0);
    ck_assert_uint_eq(bench->probe[0]->log_count, before);
    ck_assert_uint_eq(port(bench, P_CI), 1);
    ck_assert_uint_eq(port(bench, P_TFD) & 0x80, 0x80);
    set_port(bench, P_CMD, 0x10);
    set_port(bench, P_CMD, 0x18); /* command list override */
    ck_assert_uint_eq(port(bench, P_TFD) & 0x88, 0);
    set_port(bench, P_CMD, 0x11);

    for (unsigned write = 0; write < 2; write++) { /* data where no memory is */
        put_command(bench, 0, write ? 0x35 : 0x25, 300, 16, 8192);
        set_prd(bench, 0, 0, 0x80000000, 8192);
        go(bench, 0);
        ck_assert_uint_eq(port(bench, P_IS), HBFS);
        ck_assert_uint_eq(port(bench, P_CI), 1);
        set_port(bench, P_CMD, 0x10);
        set_port(bench, P_CMD, 0x18);
        set_port(bench, P_IS, UINT32_MAX);
        set_hba(bench, 8, UINT32_MAX);
        set_port(bench, P_CMD, 0x11);
    }
    put_command(bench, 0, 0x25, 300, 16, 8192);
    set_prd(bench, 0, 0, UINT64_MAX - 100, 8192);
    go(bench, 0);
    ck_assert_uint_eq(port(bench, P_IS), HBFS);
    bench_close(bench);
}
END_TEST

START_TEST(test_no_bus_master)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    put_command(bench, 0, 0x25, 300, 1, 512);
    pci_bus_config_write(bench->bus, SLOT, 0, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    go(bench, 0);
    ck_assert_uint_eq(port(bench, P_CI), 1);
    ck_assert_uint_eq(bench->probe[0]->log_count, 0);
    pci_bus_config_write(bench->bus, SLOT, 0, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    pass(bench);
    assert_done(bench, DHRS);
    bench_close(bench);
}
END_TEST

struct messages {
    unsigned count;
    uint64_t address;
    uint32_t data;
};

static void note_message(void *opaque, uint64_t address, uint32_t data)
{
    struct messages *messages = opaque;
    messages->count++;
    messages->address = address;
    messages->data = data;
}

START_TEST(test_msi)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    struct messages messages = {0};
    pci_bus_set_msi(bench->bus, note_message, &messages);
    unsigned at = pci_bus_config_read(bench->bus, SLOT, 0, PCI_CAPABILITIES, 1);
    ck_assert_uint_eq(pci_bus_config_read(bench->bus, SLOT, 0, at, 1), 5);
    pci_bus_config_write(bench->bus, SLOT, 0, at + 4, 0xFEE00000, 4);
    pci_bus_config_write(bench->bus, SLOT, 0, at + 12, 0x4142, 2);
    pci_bus_config_write(bench->bus, SLOT, 0, at + 2, 1, 2);
    port_start(bench, 0);
    for (unsigned n = 1; n <= 3; n++) {
        put_command(bench, 0, 0x25, 300, 1, 512);
        go(bench, 0);
        ck_assert_uint_eq(messages.count, n);
        ck_assert(!bench->interrupt);
        set_port(bench, P_IS, UINT32_MAX);
        set_hba(bench, 8, UINT32_MAX);
    }
    ck_assert_uint_eq(messages.address, 0xFEE00000);
    ck_assert_uint_eq(messages.data, 0x4142);
    bench_close(bench);
}
END_TEST

/* ---- packets ---- */

static void packet(struct bench *bench, const uint8_t bytes[12], bool dma, uint32_t size)
{
    put_command(bench, 0, 0xA0, 0, 0, size);
    put_fis_byte(bench, 0, 3, dma);
    memory_write(ram(bench), table_gpa(bench, 0) + 0x40, bytes, 12);
    set_header(bench, 0, size ? 1 : 0, 0x20);
    go(bench, 0);
}

#define PACKET(...) ((const uint8_t[12]){__VA_ARGS__})

static void assert_sense(struct bench *bench, uint8_t key, uint16_t code)
{
    assert_failed(bench, 0, READY | ERR, (uint8_t)(key << 4 | (key == 5 ? 4 : 0)));
    packet(bench, PACKET(3, 0, 0, 0, 18), true, 18);
    assert_done(bench, DHRS);
    ck_assert_uint_eq(slot_data(bench, 0)[2], key);
    ck_assert_uint_eq(slot_data(bench, 0)[12] << 8 | slot_data(bench, 0)[13], code);
    ck_assert_uint_eq(moved(bench, 0), 18);
}

START_TEST(test_packets)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 1);
    packet(bench, PACKET(0), false, 0);
    assert_sense(bench, 6, 0x2900);
    for (unsigned dma = 0; dma < 2; dma++) {
        packet(bench, PACKET(0x12, 0, 0, 0, 36), dma, 36);
        assert_done(bench, DHRS);
        ck_assert_int_eq(memcmp(slot_data(bench, 0) + 8, "VMRR", 4), 0);
        packet(bench, PACKET(0x28, 0, 0, 0, 2, 1, 0, 2, 4), dma, 516 * 2048); /* three requests */
        assert_done(bench, DHRS);
        assert_sectors(slot_data(bench, 0), 513 * 4, 516 * 4);
    }
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(1) + 0x44C), 3); /* interrupt reason: status */
    packet(bench, PACKET(0xBE, 0, 0, 0, 0, 20, 0, 0, 2, 0xF8), true, 2 * 2352);
    assert_done(bench, DHRS);
    assert_sectors(slot_data(bench, 0) + 2352 + 16, 21 * 4, 4);
    packet(bench, PACKET(0x28, 0, 0, 0, 0xFF, 1, 0, 0, 4), true, 8192);
    assert_sense(bench, 5, 0x2100);
    bench->probe[1]->fail_read = STATUS_IO;
    packet(bench, PACKET(0x28, 0, 0, 0, 0, 1, 0, 0, 4), true, 8192);
    assert_sense(bench, 3, 0x1100);
    put_command(bench, 0, 0xA1, 0, 0, 512);
    go(bench, 0);
    assert_done(bench, PSS);
    ck_assert_uint_eq(slot_data(bench, 0)[1], 0x85);
    put_command(bench, 0, 0xEC, 0, 0, 512);
    go(bench, 0);
    ck_assert_uint_eq(*host(bench, PORT_MEMORY(1) + 0x446), 0xEB);
    assert_failed(bench, 0, READY | ERR, 4);
    port_start(bench, 2);
    packet(bench, PACKET(0), false, 0);
    assert_sense(bench, 6, 0x2900);
    packet(bench, PACKET(0), false, 0);
    assert_sense(bench, 2, 0x3A01);
    bench_close(bench);
}
END_TEST

/* ---- hostile lists ---- */

START_TEST(test_bad_lists)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 0);
    put_command(bench, 0, 0x25, 1, 1, 512);
    put_fis_byte(bench, 0, 0, 0x99); /* no FIS */
    go(bench, 0);
    ck_assert_uint_eq(port(bench, P_CI), 1);
    set_port(bench, P_CMD, 0x10);
    set_port(bench, P_CMD, 0x11);
    put_command(bench, 0, 0x25, 1, 1, 512);
    memory_write_u32(ram(bench), PORT_MEMORY(0), 1 << 16 | 2); /* too short a FIS */
    go(bench, 0);
    ck_assert_uint_eq(port(bench, P_CI), 1);
    set_port(bench, P_CMD, 0x10);
    set_port(bench, P_CLB, 0x90000000); /* a list where no memory is */
    set_port(bench, P_FB, 0xFFFFFF00);
    set_port(bench, P_CMD, 0x11);
    go(bench, 7);
    ck_assert_uint_eq(port(bench, P_CI), 1u << 7);
    ck_assert_uint_eq(bench->probe[0]->log_count, 0);
    bench_close(bench);
}
END_TEST

/* Random registers and random memory: nothing breaks, and the drives are never asked for what they have not. */
START_TEST(test_random)
{
    struct bench *bench = bench_open(_i ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL);
    srand(17 + (unsigned)_i);
    for (unsigned round = 0; round < 150; round++) {
        static const uint8_t codes[] = {0x25, 0x35, 0x60, 0x61, 0x60, 0x61, 0xA0,
                                        0xEC, 0x06, 0xE7, 0x2F, 0x42, 0x24, 0xEF};
        port_start(bench, (unsigned)rand() % 4);
        for (unsigned n = 0; n < 32; n++) {
            uint8_t code = (uint8_t)(rand() % 8 ? codes[(unsigned)rand() % sizeof codes] : (unsigned)rand());
            put_command(bench, n, code, (uint64_t)(rand() % (int)SECTORS), (uint32_t)rand() % 64,
                        (uint32_t)(rand() % 65536 + 2) & ~1u);
            for (unsigned byte = 0; byte < 3 && rand() % 4 == 0; byte++)
                put_fis_byte(bench, n, (unsigned)rand() % 80, (uint8_t)rand());
        }
        for (unsigned n = 0; n < 40; n++) {
            uint32_t slots = (uint32_t)rand() ^ (uint32_t)rand() << 16;
            switch (rand() % 12) {
            case 0: set_port(bench, ((unsigned)rand() % 32) * 4, slots); break;
            case 1: set_hba(bench, ((unsigned)rand() % 512) * 4, slots); break;
            case 2: fake_machine_advance_ns(bench->fake, 300000); break;
            case 3: set_port(bench, P_CMD, 0x10); break;
            case 4: set_port(bench, P_SCTL, (uint32_t)rand() & 1); break;
            default: queue(bench, slots & (uint32_t)rand()); break;
            }
        }
        if (rand() % 10 == 0) {
            machine_reset(bench->fake->machine);
            pci_bus_config_write(bench->bus, SLOT, 0, 0x24, ABAR, 4);
            pci_bus_config_write(bench->bus, SLOT, 0, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
        }
    }
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

START_TEST(test_save_in_flight)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL), *other = bench_open(BLOCK_TIMING_MODEL);
    port_start(bench, 1);
    packet(bench, PACKET(0), false, 0);
    assert_sense(bench, 6, 0x2900);
    packet(bench, PACKET(0), false, 0);
    set_port(bench, P_IS, UINT32_MAX);
    put_command(bench, 0, 0xA0, 0, 0, 600 * 2048);
    put_fis_byte(bench, 0, 3, 1);
    memory_write(ram(bench), table_gpa(bench, 0) + 0x40, PACKET(0x28, 0, 0, 0, 0, 9, 0, 2, 88), 12);
    set_port(bench, P_CI, 1);
    port_start(bench, 3);
    put_command(bench, 1, 0x25, 3, 2500, 2500 * 512);
    set_prd(bench, 1, 0, 0xA00000, 2500 * 512);
    set_port(bench, P_CI, 2);
    port_start(bench, 0);
    for (unsigned n = 0; n < 20; n++) {
        memset(host(bench, 0x800000 + n * 4096), (int)n + 1, 4096);
        put_command(bench, n, n % 3 ? 0x61 : 0x60, 1000 * n, 8, 4096);
        set_prd(bench, n, 0, 0x800000 + n * 4096, 4096);
    }
    queue(bench, 0xFFFFF);
    while (bench->probe[0]->log_count < 5)
        fake_machine_advance_ns(bench->fake, 50000);
    copy_state(bench, other);
    memcpy(other->probe[0]->bytes, bench->probe[0]->bytes, SECTORS * 512);
    ck_assert_uint_eq(machine_digest_state(bench->fake->machine), machine_digest_state(other->fake->machine));
    ck_assert_uint_ne(port(bench, P_SACT), 0);
    pass(bench);
    pass(other);
    ck_assert_uint_eq(port(bench, P_SACT), 0);
    ck_assert_uint_eq(machine_digest_state(bench->fake->machine), machine_digest_state(other->fake->machine));
    ck_assert_int_eq(memcmp(bench->fake->ram->host, other->fake->ram->host, RAM_BYTES), 0);
    ck_assert_int_eq(memcmp(bench->probe[0]->bytes, other->probe[0]->bytes, SECTORS * 512), 0);
    assert_sectors(host(bench, 0xA00000), 3, 2500);
    assert_sectors(host(bench, DATA_GPA), 36, 2400);
    bench_close(bench);
    bench_close(other);
}
END_TEST

/* Changes a saved byte, but leaves a bool a bool. */
static void spoil(const struct state_field *fields, uint8_t *bytes, size_t at, uint8_t value)
{
    size_t start = 0;
    for (const struct state_field *field = fields; field->name; field++) {
        size_t size = (field->nested ? state_size(field->nested) : field->elem_size) * field->count;
        if (at >= start + size) {
            start += size;
            continue;
        }
        if (!field->nested) {
            bytes[at] = field->boolean ? value & 1 : value;
            return;
        }
        size_t one = state_size(field->nested), element = (at - start) / one;
        spoil(field->nested, bytes + start + element * one, (at - start) % one, value);
        return;
    }
}

START_TEST(test_load_rubbish)
{
    struct bench *bench = bench_open(BLOCK_TIMING_MODEL);
    struct device *device = machine_device_find(bench->fake->machine, "ahci4");
    size_t size = state_size(device->class->fields);
    uint8_t *bytes = malloc(size);
    srand(3);
    for (unsigned round = 0; round < 300; round++) {
        port_start(bench, (unsigned)rand() % 4);
        for (unsigned n = 0; n < 8; n++)
            put_command(bench, n, rand() % 2 ? 0x60 : 0x61, (uint64_t)(rand() % 30000), 8, 4096);
        queue(bench, (uint32_t)rand() & 0xFF);
        state_save(device->class->fields, device, bytes);
        for (unsigned n = 0; n < 40; n++)
            spoil(device->class->fields, bytes, 260 + (size_t)rand() % (size - 260),
                  (uint8_t)(rand() % (round % 2 ? 256 : 8)));
        ck_assert_int_eq(state_load(device->class->fields, device, bytes, size), STATUS_OK);
        for (struct device *d = machine_device_first(bench->fake->machine); d; d = d->next) {
            if (d->class->post_load) /* the drives' requests have no owner then but those that the ports find again */
                d->class->post_load(d);
        }
        for (unsigned n = 0; n < 60; n++) {
            set_port(bench, ((unsigned)rand() % 16) * 4, (uint32_t)rand());
            if (n % 8 == 0)
                fake_machine_advance_ns(bench->fake, 300000);
        }
        machine_reset(bench->fake->machine);
        pci_bus_config_write(bench->bus, SLOT, 0, 0x24, ABAR, 4);
        pci_bus_config_write(bench->bus, SLOT, 0, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    }
    free(bytes);
    bench_close(bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("ahci");
    TCase *tcase = tcase_create("ahci");
    tcase_set_timeout(tcase, 240);
    tcase_add_test(tcase, test_registers);
    tcase_add_test(tcase, test_signatures);
    tcase_add_test(tcase, test_port_reset);
    tcase_add_test(tcase, test_hba_and_soft_reset);
    tcase_add_test(tcase, test_identify);
    tcase_add_test(tcase, test_read_write);
    tcase_add_test(tcase, test_long_transfer);
    tcase_add_test(tcase, test_other_commands);
    tcase_add_test(tcase, test_image_errors);
    tcase_add_test(tcase, test_queued);
    tcase_add_test(tcase, test_queued_errors);
    tcase_add_test(tcase, test_prd_tables);
    tcase_add_test(tcase, test_no_bus_master);
    tcase_add_test(tcase, test_msi);
    tcase_add_test(tcase, test_packets);
    tcase_add_test(tcase, test_bad_lists);
    tcase_add_loop_test(tcase, test_random, 0, 2);
    tcase_add_test(tcase, test_save_in_flight);
    tcase_add_test(tcase, test_load_rubbish);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
