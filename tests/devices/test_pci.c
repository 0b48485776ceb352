/* PCI bus 0, host bridge with PAM, ISA bridge with PIRQ routing, PIIX4 function 3. */
#include "devices/i440fx.h"
#include "devices/pci_bus.h"
#include "devices/piix3_isa.h"
#include "devices/piix4_pm.h"
#include "devices/piix4_pm_pci.h"
#include "tests/support/fake_machine.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

/* A function with everything: I/O, memory and ROM BARs, a pin, masks. */
#define CARD_STATE(S, A, N, T) N(T, struct pci_function, pci, 1, pci_function_fields)
struct card {
    struct device device;
    STATE_MEMBERS(CARD_STATE)
    unsigned calls;
    struct {
        uint64_t base;
        bool enabled;
    } bar[PCI_BARS];
    unsigned written_offset, written_size, writes;
};
STATE_TABLE(card_fields, struct card, CARD_STATE);

static void card_bar_changed(void *opaque, unsigned bar, uint64_t base, bool enabled)
{
    struct card *card = opaque;
    card->calls++;
    card->bar[bar].base = base;
    card->bar[bar].enabled = enabled;
}

static void card_written(void *opaque, unsigned offset, unsigned size_bytes)
{
    struct card *card = opaque;
    card->writes++;
    card->written_offset = offset;
    card->written_size = size_bytes;
}

static void card_reset(struct device *device)
{
    pci_function_reset(device_of(device, struct card)->pci);
}

static const struct device_class card_class = {
    .name = "card", .version = 1, .size = sizeof(struct card), .fields = card_fields, .reset = card_reset};
static const struct pci_function_ops card_ops = {.bar_changed = card_bar_changed, .config_written = card_written};

struct bench {
    struct fake_machine *fake;
    struct pci_bus *bus;
    struct memory_block *bios;
    struct fake_line isa[16];
    struct card *card, *other;
};

static struct card *make_card(struct bench *bench, unsigned slot, const char *id)
{
    static const struct pci_identity identity = {.vendor = 0x1234,
                                                 .device = 0x5678,
                                                 .revision = 9,
                                                 .class_base = 0xFF,
                                                 .class_sub = 1,
                                                 .class_prog = 2,
                                                 .subsystem_vendor = 0xAAAA,
                                                 .subsystem = 0xBBBB,
                                                 .interrupt_pin = 1};
    struct card *card = device_alloc(&card_class, bench->fake->machine, id);
    pci_function_init(card->pci, bench->bus, slot, 0, &identity, &card_ops, card);
    pci_function_add_bar(card->pci, 0, PCI_BAR_MEMORY_PREFETCH, 16u << 20);
    pci_function_add_bar(card->pci, 1, PCI_BAR_IO, 32);
    pci_function_add_bar(card->pci, 2, PCI_BAR_MEMORY, 4096);
    pci_function_add_bar(card->pci, PCI_BAR_ROM, PCI_BAR_EXPANSION_ROM, 65536);
    pci_function_define(card->pci, 0x40, 4, 0x11223344, 0x00FFFF00);
    card->pci->clear_mask[PCI_STATUS + 1] = 0xF0;
    machine_add_device(bench->fake->machine, &card->device);
    return card;
}

static struct bench *bench_open(uint64_t bios_bytes)
{
    struct bench *bench = calloc(1, sizeof *bench);
    struct error error = {0};
    struct irq_line lines[16];
    bench->fake = fake_machine_create(32u << 20);
    fake_machine_use_idle_accel(bench->fake);
    struct machine *machine = bench->fake->machine;
    if (bios_bytes) {
        bench->bios = memory_add_block(machine_memory(machine), "bios", bios_bytes, false, &error);
        for (uint64_t n = 0; n < bios_bytes; n++)
            bench->bios->host[n] = (uint8_t)(0xB0 + (n >> 14));
    }
    for (unsigned n = 0; n < 16; n++)
        lines[n] = fake_line(&bench->isa[n]);
    bench->bus = pci_bus_create(machine);
    i440fx_create(machine, bench->bus, &(struct i440fx_options){bench->fake->ram, bench->bios});
    piix3_isa_create(machine, bench->bus, lines);
    struct device *pm = piix4_pm_create(machine, lines[9]);
    piix4_pm_pci_create(machine, bench->bus, pm);
    bench->card = make_card(bench, 3, "card3");
    bench->other = make_card(bench, 7, "card7");
    machine_reset(machine);
    return bench;
}

static void bench_close(struct bench *bench)
{
    fake_machine_destroy(bench->fake);
    free(bench);
}

static uint32_t address(unsigned slot, unsigned function, unsigned offset)
{
    return 0x80000000u | slot << 11 | function << 8 | (offset & 0xFC);
}

static uint32_t config_read(struct bench *bench, unsigned slot, unsigned function, unsigned offset, unsigned size)
{
    fake_outl(bench->fake, 0xCF8, address(slot, function, offset));
    return (uint32_t)bus_io_read(machine_bus(bench->fake->machine), (uint16_t)(0xCFC + (offset & 3)), size);
}

static void config_write(struct bench *bench, unsigned slot, unsigned function, unsigned offset, uint32_t value,
                         unsigned size)
{
    fake_outl(bench->fake, 0xCF8, address(slot, function, offset));
    bus_io_write(machine_bus(bench->fake->machine), (uint16_t)(0xCFC + (offset & 3)), value, size);
}

START_TEST(test_mechanism)
{
    struct bench *bench = bench_open(0);
    ck_assert_uint_eq(config_read(bench, 0, 0, 0, 4), 0x12378086);
    ck_assert_uint_eq(config_read(bench, 1, 0, 0, 4), 0x70008086);
    ck_assert_uint_eq(config_read(bench, 1, 3, 0, 4), 0x71138086);
    ck_assert_uint_eq(config_read(bench, 1, 0, PCI_HEADER_TYPE, 1), 0x80);
    ck_assert_uint_eq(config_read(bench, 1, 1, 0, 4), 0xFFFFFFFF);
    ck_assert_uint_eq(config_read(bench, 2, 0, 0, 4), 0xFFFFFFFF);
    ck_assert_uint_eq(config_read(bench, 2, 0, 2, 2), 0xFFFF);
    ck_assert_uint_eq(config_read(bench, 3, 0, 8, 4), 0xFF010209);
    ck_assert_uint_eq(config_read(bench, 3, 0, 2, 2), 0x5678);
    ck_assert_uint_eq(config_read(bench, 3, 0, 1, 1), 0x12);
    ck_assert_uint_eq(config_read(bench, 3, 0, 0x2C, 4), 0xBBBBAAAA);
    /* CONFIG_ADDRESS reads back, reserved bits as zero; bytes and words pass it by. */
    fake_outl(bench->fake, 0xCF8, 0xFFFFFFFF);
    ck_assert_uint_eq(fake_inl(bench->fake, 0xCF8), 0x80FFFFFC);
    fake_outl(bench->fake, 0xCF8, address(3, 0, 0));
    fake_outb(bench->fake, 0xCF8, 0x40);
    fake_outw(bench->fake, 0xCFA, 0);
    ck_assert_uint_eq(fake_inl(bench->fake, 0xCF8), address(3, 0, 0));
    ck_assert_uint_eq(fake_inl(bench->fake, 0xCFC), 0x56781234);
    /* Not enabled, and another bus: nobody. */
    fake_outl(bench->fake, 0xCF8, address(3, 0, 0) & 0x7FFFFFFF);
    ck_assert_uint_eq(fake_inl(bench->fake, 0xCFC), 0xFFFFFFFF);
    fake_outl(bench->fake, 0xCF8, address(3, 0, 0) | 1u << 16);
    ck_assert_uint_eq(fake_inl(bench->fake, 0xCFC), 0xFFFFFFFF);
    bench_close(bench);
}
END_TEST

/* The reset control register lies in the middle of CONFIG_ADDRESS; both work. */
START_TEST(test_reset_control_beside_address)
{
    struct bench *bench = bench_open(0);
    fake_outl(bench->fake, 0xCF8, address(3, 0, 0));
    fake_outb(bench->fake, 0xCF9, 0x02);
    ck_assert_uint_eq(fake_inb(bench->fake, 0xCF9), 0x02);
    ck_assert_uint_eq(fake_inl(bench->fake, 0xCF8), address(3, 0, 0));
    bench_close(bench);
}
END_TEST

START_TEST(test_masks)
{
    struct bench *bench = bench_open(0);
    config_write(bench, 3, 0, 0, 0xFFFFFFFF, 4);
    ck_assert_uint_eq(config_read(bench, 3, 0, 0, 4), 0x56781234);
    config_write(bench, 3, 0, 0x40, 0xAABBCCDD, 4);
    ck_assert_uint_eq(config_read(bench, 3, 0, 0x40, 4), 0x11BBCC44);
    ck_assert_uint_eq(bench->card->written_offset, 0x40);
    ck_assert_uint_eq(bench->card->written_size, 4);
    config_write(bench, 3, 0, 0x42, 0x77, 1);
    ck_assert_uint_eq(config_read(bench, 3, 0, 0x40, 4), 0x1177CC44);
    ck_assert_uint_eq(bench->card->written_offset, 0x42);
    config_write(bench, 3, 0, PCI_COMMAND, 0xFFFF, 2);
    ck_assert_uint_eq(config_read(bench, 3, 0, PCI_COMMAND, 2),
                      PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
    pci_function_set(bench->card->pci, PCI_STATUS, 2, 0xF000);
    config_write(bench, 3, 0, PCI_STATUS, 0x3000, 2);
    ck_assert_uint_eq(config_read(bench, 3, 0, PCI_STATUS, 2), 0xC000);
    config_write(bench, 3, 0, PCI_INTERRUPT_LINE, 11, 1);
    ck_assert_uint_eq(config_read(bench, 3, 0, PCI_INTERRUPT_LINE, 2), 0x010B);
    machine_reset(bench->fake->machine);
    ck_assert_uint_eq(config_read(bench, 3, 0, 0x40, 4), 0x11223344);
    ck_assert_uint_eq(config_read(bench, 3, 0, PCI_COMMAND, 2), 0);
    bench_close(bench);
}
END_TEST

START_TEST(test_bars)
{
    struct bench *bench = bench_open(0);
    struct card *card = bench->card;
    static const struct {
        unsigned offset;
        uint32_t size_mask;
    } sizes[] = {{0x10, 0xFF000008}, {0x14, 0xFFFFFFE1}, {0x18, 0xFFFFF000}, {0x1C, 0}, {0x30, 0xFFFF0001}};
    for (unsigned n = 0; n < 5; n++) {
        config_write(bench, 3, 0, sizes[n].offset, 0xFFFFFFFF, 4);
        ck_assert_uint_eq(config_read(bench, 3, 0, sizes[n].offset, 4), sizes[n].size_mask);
    }
    /* Sizing with decoding on maps nothing. */
    config_write(bench, 3, 0, PCI_COMMAND, 3, 2);
    ck_assert_uint_eq(card->calls, 0);
    config_write(bench, 3, 0, 0x10, 0xFD000000, 4);
    ck_assert(card->bar[0].enabled);
    ck_assert_uint_eq(card->bar[0].base, 0xFD000000);
    config_write(bench, 3, 0, 0x14, 0xC040, 4);
    ck_assert(card->bar[1].enabled);
    ck_assert_uint_eq(card->bar[1].base, 0xC040);
    ck_assert_uint_eq(card->calls, 2);
    config_write(bench, 3, 0, 0x14, 0xC040, 4); /* the same again: nothing changes */
    ck_assert_uint_eq(card->calls, 2);
    config_write(bench, 3, 0, 0x15, 0xD0, 1); /* a byte moves it */
    ck_assert_uint_eq(card->bar[1].base, 0xD040);
    config_write(bench, 3, 0, 0x30, 0xFEB00000, 4);
    ck_assert(!card->bar[PCI_BAR_ROM].enabled);
    config_write(bench, 3, 0, 0x30, 0xFEB00001, 4);
    ck_assert(card->bar[PCI_BAR_ROM].enabled);
    config_write(bench, 3, 0, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    ck_assert(!card->bar[1].enabled);
    ck_assert(card->bar[0].enabled);
    config_write(bench, 3, 0, 0x14, 0xFFF0, 4); /* while off */
    ck_assert(!card->bar[1].enabled);
    machine_reset(bench->fake->machine);
    ck_assert(!card->bar[0].enabled);
    ck_assert(!card->bar[PCI_BAR_ROM].enabled);
    bench_close(bench);
}
END_TEST

START_TEST(test_load_maps_again)
{
    struct bench *bench = bench_open(0), *other = bench_open(0);
    config_write(bench, 3, 0, 0x14, 0xC100, 4);
    config_write(bench, 3, 0, PCI_COMMAND, 1, 2);
    uint8_t state[1024];
    ck_assert_uint_le(state_size(card_fields), sizeof state);
    state_save(card_fields, bench->card, state);
    ck_assert_int_eq(state_load(card_fields, other->card, state, state_size(card_fields)), STATUS_OK);
    pci_function_post_load(other->card->pci);
    ck_assert(other->card->bar[1].enabled);
    ck_assert_uint_eq(other->card->bar[1].base, 0xC100);
    bench_close(bench);
    bench_close(other);
}
END_TEST

START_TEST(test_pirq)
{
    struct bench *bench = bench_open(0);
    /* Slot 3 INTA is PIRQC (register 62h), slot 7 INTA too: they share a wire. */
    pci_function_set_intx(bench->card->pci, true);
    for (unsigned n = 0; n < 16; n++)
        ck_assert(!bench->isa[n].level);
    ck_assert_uint_eq(config_read(bench, 3, 0, PCI_STATUS, 2) & 8, 8);
    config_write(bench, 1, 0, 0x62, 10, 1); /* routed while asserted */
    ck_assert(bench->isa[10].level);
    config_write(bench, 1, 0, 0x62, 11, 1);
    ck_assert(!bench->isa[10].level);
    ck_assert(bench->isa[11].level);
    pci_function_set_intx(bench->other->pci, true);
    pci_function_set_intx(bench->card->pci, false);
    ck_assert(bench->isa[11].level);
    ck_assert_uint_eq(bench->isa[11].rises, 1);
    config_write(bench, 7, 0, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    ck_assert(!bench->isa[11].level);
    config_write(bench, 7, 0, PCI_COMMAND, 0, 2);
    ck_assert(bench->isa[11].level);
    config_write(bench, 1, 0, 0x60, 0x5, 4); /* PIRQA to IRQ 5, the others to IRQ 0 */
    ck_assert_uint_eq(config_read(bench, 1, 0, 0x60, 4), 0x00000005);
    ck_assert(!bench->isa[11].level); /* a reserved one: nowhere */
    config_write(bench, 1, 0, 0x62, 0x8B, 1);
    ck_assert(!bench->isa[11].level);
    config_write(bench, 1, 0, 0x62, 0x0B, 1);
    ck_assert(bench->isa[11].level);
    machine_reset(bench->fake->machine);
    for (unsigned n = 0; n < 16; n++)
        ck_assert(!bench->isa[n].level);
    ck_assert_uint_eq(config_read(bench, 1, 0, 0x60, 4), 0x80808080);
    bench_close(bench);
}
END_TEST

/* ---- PAM ---- */

static uint8_t peek(struct bench *bench, uint64_t gpa)
{
    uint8_t byte;
    memory_read(machine_memory(bench->fake->machine), gpa, &byte, 1);
    return byte;
}

static void poke(struct bench *bench, uint64_t gpa, uint8_t byte)
{
    memory_write(machine_memory(bench->fake->machine), gpa, &byte, 1);
}

/* As a CPU writes: to memory if it may, else to the bus. */
static void cpu_write(struct bench *bench, uint64_t gpa, uint8_t byte)
{
    struct memory_page page = memory_lookup(machine_memory(bench->fake->machine), gpa);
    if (page.host && page.writable)
        poke(bench, gpa, byte);
    else
        bus_mmio_write(machine_bus(bench->fake->machine), gpa, byte, 1);
}

START_TEST(test_pam_after_reset)
{
    struct bench *bench = bench_open(256u << 10);
    ck_assert_uint_eq(peek(bench, 0xBFFFF), 0);
    ck_assert_uint_eq(peek(bench, 0xC0000), 0xFF);
    ck_assert_uint_eq(peek(bench, 0xDFFFF), 0xFF);
    ck_assert_uint_eq(peek(bench, 0xE0000), 0xB8); /* the last 128 KiB of 256 */
    ck_assert_uint_eq(peek(bench, 0xFFFFF), 0xBF);
    ck_assert_uint_eq(peek(bench, 0x100000), 0);
    bench_close(bench);
    bench = bench_open(64u << 10);
    ck_assert_uint_eq(peek(bench, 0xEFFFF), 0xFF);
    ck_assert_uint_eq(peek(bench, 0xF0000), 0xB0);
    bench_close(bench);
    bench = bench_open(0); /* no firmware: memory */
    for (uint64_t gpa = 0xC0000; gpa < 0x100000; gpa += 0x4000) {
        poke(bench, gpa, 0x5A);
        ck_assert_uint_eq(peek(bench, gpa), 0x5A);
    }
    bench_close(bench);
}
END_TEST

START_TEST(test_pam_states)
{
    static const struct {
        uint32_t gpa;
        unsigned reg, shift;
        uint8_t rom;
    } segments[] = {{0xF0000, 0x59, 4, 0xBC}, {0xC0000, 0x5A, 0, 0xFF}, {0xC4000, 0x5A, 4, 0xFF},
                    {0xC8000, 0x5B, 0, 0xFF}, {0xCC000, 0x5B, 4, 0xFF}, {0xD0000, 0x5C, 0, 0xFF},
                    {0xD4000, 0x5C, 4, 0xFF}, {0xD8000, 0x5D, 0, 0xFF}, {0xDC000, 0x5D, 4, 0xFF},
                    {0xE0000, 0x5E, 0, 0xB8}, {0xE4000, 0x5E, 4, 0xB9}, {0xE8000, 0x5F, 0, 0xBA},
                    {0xEC000, 0x5F, 4, 0xBB}};
    struct bench *bench = bench_open(256u << 10);
    for (unsigned n = 0; n < 13; n++) {
        uint32_t gpa = segments[n].gpa + 5;
        unsigned reg = segments[n].reg, shift = segments[n].shift;
        cpu_write(bench, gpa, 0x01); /* neither: vanishes */
        ck_assert_uint_eq(peek(bench, gpa), segments[n].rom);
        config_write(bench, 0, 0, reg, 3u << shift, 1);
        ck_assert_uint_eq(peek(bench, gpa), 0);
        cpu_write(bench, gpa, 0x02);
        ck_assert_uint_eq(peek(bench, gpa), 0x02);
        config_write(bench, 0, 0, reg, 1u << shift, 1); /* read only */
        cpu_write(bench, gpa, 0x03);
        poke(bench, gpa, 0x03);
        ck_assert_uint_eq(peek(bench, gpa), 0x02);
        config_write(bench, 0, 0, reg, 2u << shift, 1); /* write only: copying a ROM onto itself */
        ck_assert_uint_eq(peek(bench, gpa), segments[n].rom);
        cpu_write(bench, gpa, 0x04);
        ck_assert_uint_eq(peek(bench, gpa), segments[n].rom);
        config_write(bench, 0, 0, reg, 3u << shift, 1);
        ck_assert_uint_eq(peek(bench, gpa), 0x04);
        config_write(bench, 0, 0, reg, 0, 1);
        ck_assert_uint_eq(peek(bench, gpa), segments[n].rom);
    }
    config_write(bench, 0, 0, 0x5C, 0x33333333, 4);
    ck_assert_uint_eq(peek(bench, 0xE0005), 0x04);
    machine_reset(bench->fake->machine);
    ck_assert_uint_eq(peek(bench, 0xE0005), 0xB8);
    bench_close(bench);
}
END_TEST

START_TEST(test_pm_base)
{
    struct bench *bench = bench_open(0);
    ck_assert_uint_eq(fake_inl(bench->fake, 0x608), 0xFFFFFFFF);
    config_write(bench, 1, 3, PIIX4_PCI_PMBASE, 0x601, 4);
    ck_assert_uint_eq(fake_inl(bench->fake, 0x608), 0xFFFFFFFF);
    config_write(bench, 1, 3, PIIX4_PCI_PMREGMISC, 1, 1);
    uint32_t before = fake_inl(bench->fake, 0x608);
    fake_machine_advance_ns(bench->fake, 1000000);
    uint32_t after = fake_inl(bench->fake, 0x608);
    ck_assert_uint_eq(after - before, 3579); /* 3.579545 MHz */
    config_write(bench, 1, 3, PIIX4_PCI_PMBASE, 0xB000, 4);
    ck_assert_uint_eq(fake_inl(bench->fake, 0x608), 0xFFFFFFFF);
    ck_assert_uint_ne(fake_inl(bench->fake, 0xB008), 0xFFFFFFFF);
    ck_assert_uint_eq(config_read(bench, 1, 3, PIIX4_PCI_PMBASE, 4), 0xB001);
    bench_close(bench);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("pci");
    TCase *tcase = tcase_create("pci");
    tcase_add_test(tcase, test_mechanism);
    tcase_add_test(tcase, test_reset_control_beside_address);
    tcase_add_test(tcase, test_masks);
    tcase_add_test(tcase, test_bars);
    tcase_add_test(tcase, test_load_maps_again);
    tcase_add_test(tcase, test_pirq);
    tcase_add_test(tcase, test_pam_after_reset);
    tcase_add_test(tcase, test_pam_states);
    tcase_add_test(tcase, test_pm_base);
    suite_add_tcase(suite, tcase);
    return run_suite(suite, CK_FORK_GETENV);
}
