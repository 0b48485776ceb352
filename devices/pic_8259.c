/* 8259A programmable interrupt controllers, master and slave, as in the PIIX. Intel 8259A data sheet (231468), PIIX
 * data sheet for ELCR.
 *
 * An edge-triggered request falls away when its input does before INTA, as the data sheet says (the IR7 default).
 * Not modelled: MCS-80/85 mode, buffered mode, the LTIM bit (ELCR decides, as in the PIIX), chips that are cascaded
 * otherwise than on IR2. */
#include "devices/pic_8259.h"

#include "core/bus.h"
#include "core/machine.h"

#define ICW1_SELECT 0x10u
#define ICW1_NEEDS_ICW4 0x01u
#define ICW1_SINGLE 0x02u
#define ICW4_AUTO_EOI 0x02u
#define ICW4_SFNM 0x10u
#define OCW3_SELECT 0x08u
#define CASCADE_PIN 2u
#define ELCR_WRITABLE_MASTER 0xF8u
#define ELCR_WRITABLE_SLAVE 0xDEu

enum init_step { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

#define PIC_CHIP_STATE(S, A, N, T)                                                                                     \
    S(T, uint8_t, lines) /* levels of the inputs */                                                                    \
    S(T, uint8_t, edges) /* latched edge requests */                                                                   \
    S(T, uint8_t, imr)                                                                                                 \
    S(T, uint8_t, isr)                                                                                                 \
    S(T, uint8_t, elcr) /* 1: level-triggered */                                                                       \
    S(T, uint8_t, vector_base)                                                                                         \
    S(T, uint8_t, lowest) /* input of lowest priority: 7 unless rotated */                                             \
    S(T, uint8_t, init_step)                                                                                           \
    S(T, bool, init_single)                                                                                            \
    S(T, bool, init_icw4)                                                                                              \
    S(T, bool, auto_eoi)                                                                                               \
    S(T, bool, rotate_on_auto_eoi)                                                                                     \
    S(T, bool, special_fully_nested)                                                                                   \
    S(T, bool, special_mask)                                                                                           \
    S(T, bool, read_isr)                                                                                               \
    S(T, bool, poll)
struct pic_chip {
    STATE_MEMBERS(PIC_CHIP_STATE)
};
STATE_TABLE(pic_chip_fields, struct pic_chip, PIC_CHIP_STATE);

#define PIC_STATE(S, A, N, T) N(T, struct pic_chip, chip, 2, pic_chip_fields)
struct pic {
    struct device device;
    STATE_MEMBERS(PIC_STATE)
    struct irq_line intr;
};
STATE_TABLE(pic_fields, struct pic, PIC_STATE);

#define NO_REQUEST 8u

static uint8_t chip_irr(const struct pic_chip *chip)
{
    return chip->edges | (chip->lines & chip->elcr);
}

/* Rank of the best pin in the set, 8 if empty; rank 0 is the input after the lowest one. */
static unsigned chip_best_rank(const struct pic_chip *chip, uint8_t pins)
{
    if (!pins)
        return NO_REQUEST;
    unsigned shift = (chip->lowest + 1u) & 7;
    unsigned rotated = ((unsigned)pins >> shift | (unsigned)pins << (8 - shift)) & 0xFF;
    return (unsigned)__builtin_ctz(rotated);
}

static unsigned chip_pin_of_rank(const struct pic_chip *chip, unsigned rank)
{
    return (rank + chip->lowest + 1) & 7;
}

/* The input that asks for service and is not held off by one in service. */
static unsigned chip_request(const struct pic_chip *chip, bool master)
{
    unsigned best = chip_best_rank(chip, chip_irr(chip) & (uint8_t)~chip->imr);
    if (best == NO_REQUEST)
        return NO_REQUEST;
    uint8_t in_service = chip->isr;
    if (chip->special_mask)
        in_service &= (uint8_t)~chip->imr;
    if (chip->special_fully_nested && master && chip_pin_of_rank(chip, best) == CASCADE_PIN)
        in_service &= (uint8_t) ~(1u << CASCADE_PIN);
    return best < chip_best_rank(chip, in_service) ? chip_pin_of_rank(chip, best) : NO_REQUEST;
}

static void chip_set_line(struct pic_chip *chip, unsigned pin, bool level)
{
    uint8_t bit = (uint8_t)(1u << pin);
    if (level) {
        if (!(chip->lines & bit) && !(chip->elcr & bit))
            chip->edges |= bit;
        chip->lines |= bit;
    } else {
        chip->lines &= (uint8_t)~bit;
        chip->edges &= (uint8_t)~bit;
    }
}

static void pic_update(struct pic *pic)
{
    chip_set_line(&pic->chip[0], CASCADE_PIN, chip_request(&pic->chip[1], false) != NO_REQUEST);
    irq_set(pic->intr, chip_request(&pic->chip[0], true) != NO_REQUEST);
}

static void pic_set_line(void *opaque, unsigned irq, bool level)
{
    struct pic *pic = opaque;
    struct pic_chip *chip = &pic->chip[irq >> 3];
    if (irq == CASCADE_PIN || (chip->lines >> (irq & 7) & 1) == level)
        return;
    chip_set_line(chip, irq & 7, level);
    pic_update(pic);
}

static void chip_take(struct pic_chip *chip, unsigned pin)
{
    uint8_t bit = (uint8_t)(1u << pin);
    chip->edges &= (uint8_t)~bit;
    if (!chip->auto_eoi)
        chip->isr |= bit;
    else if (chip->rotate_on_auto_eoi)
        chip->lowest = (uint8_t)pin;
}

/* One chip's INTA: the pin, 7 without an ISR bit for a request that has vanished. */
static unsigned chip_acknowledge(struct pic_chip *chip, bool master)
{
    unsigned pin = chip_request(chip, master);
    if (pin == NO_REQUEST)
        return 7;
    chip_take(chip, pin);
    return pin;
}

int pic_8259_acknowledge(struct device *device)
{
    struct pic *pic = device_of(device, struct pic);
    bool slave_asks = chip_request(&pic->chip[0], true) == CASCADE_PIN;
    unsigned pin = chip_acknowledge(&pic->chip[0], true);
    int vector = pic->chip[0].vector_base + (int)pin;
    if (slave_asks)
        vector = pic->chip[1].vector_base + (int)chip_acknowledge(&pic->chip[1], false);
    pic_update(pic);
    return vector;
}

static void chip_eoi(struct pic_chip *chip, bool specific, unsigned pin, bool rotate)
{
    if (!specific) {
        uint8_t candidates = chip->isr;
        if (chip->special_mask)
            candidates &= (uint8_t)~chip->imr;
        unsigned rank = chip_best_rank(chip, candidates);
        if (rank == NO_REQUEST)
            return;
        pin = chip_pin_of_rank(chip, rank);
    }
    chip->isr &= (uint8_t) ~(1u << pin);
    if (rotate)
        chip->lowest = (uint8_t)pin;
}

static void chip_write_ocw2(struct pic_chip *chip, uint8_t value)
{
    unsigned pin = value & 7;
    switch (value >> 5) {
    case 0: /* rotate in automatic EOI mode: clear */ chip->rotate_on_auto_eoi = false; break;
    case 1: chip_eoi(chip, false, 0, false); break;
    case 3: chip_eoi(chip, true, pin, false); break;
    case 4: chip->rotate_on_auto_eoi = true; break;
    case 5: chip_eoi(chip, false, 0, true); break;
    case 6: /* set priority */ chip->lowest = (uint8_t)pin; break;
    case 7: chip_eoi(chip, true, pin, true); break;
    default: /* 2: no operation */ break;
    }
}

static void chip_write_icw1(struct pic_chip *chip, uint8_t value)
{
    chip->init_step = INIT_ICW2;
    chip->init_single = value & ICW1_SINGLE;
    chip->init_icw4 = value & ICW1_NEEDS_ICW4;
    chip->edges = 0;
    chip->imr = 0;
    chip->isr = 0;
    chip->lowest = 7;
    chip->special_mask = false;
    chip->read_isr = false;
    chip->poll = false;
    chip->auto_eoi = false;
    chip->rotate_on_auto_eoi = false;
    chip->special_fully_nested = false;
}

static void chip_write_ocw3(struct pic_chip *chip, uint8_t value)
{
    if (value & 0x04)
        chip->poll = true;
    if (value & 0x02)
        chip->read_isr = value & 0x01;
    if (value & 0x40)
        chip->special_mask = value & 0x20;
}

static void chip_write_data(struct pic_chip *chip, uint8_t value)
{
    switch (chip->init_step) {
    case INIT_ICW2:
        chip->vector_base = value & 0xF8;
        chip->init_step = !chip->init_single ? INIT_ICW3 : chip->init_icw4 ? INIT_ICW4 : INIT_DONE;
        break;
    case INIT_ICW3: /* the cascade is wired */ chip->init_step = chip->init_icw4 ? INIT_ICW4 : INIT_DONE; break;
    case INIT_ICW4:
        chip->auto_eoi = value & ICW4_AUTO_EOI;
        chip->special_fully_nested = value & ICW4_SFNM;
        chip->init_step = INIT_DONE;
        break;
    default: chip->imr = value; break;
    }
}

static void pic_write(void *opaque, unsigned which, uint64_t address, uint8_t value)
{
    struct pic *pic = opaque;
    struct pic_chip *chip = &pic->chip[which];
    if (address & 1)
        chip_write_data(chip, value);
    else if (value & ICW1_SELECT)
        chip_write_icw1(chip, value);
    else if (value & OCW3_SELECT)
        chip_write_ocw3(chip, value);
    else
        chip_write_ocw2(chip, value);
    pic_update(pic);
}

static uint8_t pic_poll(struct pic *pic, unsigned which)
{
    struct pic_chip *chip = &pic->chip[which];
    chip->poll = false;
    unsigned pin = chip_request(chip, which == 0);
    if (pin == NO_REQUEST)
        return 0;
    chip_take(chip, pin);
    pic_update(pic);
    return (uint8_t)(0x80 | pin);
}

static uint64_t pic_read(void *opaque, unsigned which, uint64_t address)
{
    struct pic *pic = opaque;
    struct pic_chip *chip = &pic->chip[which];
    if (chip->poll)
        return pic_poll(pic, which);
    if (address & 1)
        return chip->imr;
    return chip->read_isr ? chip->isr : chip_irr(chip);
}

static uint64_t master_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)size_bytes;
    return pic_read(opaque, 0, address);
}

static void master_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    (void)size_bytes;
    pic_write(opaque, 0, address, (uint8_t)value);
}

static uint64_t slave_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)size_bytes;
    return pic_read(opaque, 1, address);
}

static void slave_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    (void)size_bytes;
    pic_write(opaque, 1, address, (uint8_t)value);
}

static uint64_t elcr_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct pic *pic = opaque;
    (void)size_bytes;
    return pic->chip[address & 1].elcr;
}

static void elcr_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct pic *pic = opaque;
    struct pic_chip *chip = &pic->chip[address & 1];
    (void)size_bytes;
    chip->elcr = (uint8_t)(value & ((address & 1) ? ELCR_WRITABLE_SLAVE : ELCR_WRITABLE_MASTER));
    chip->edges &= (uint8_t)~chip->elcr;
    pic_update(pic);
}

static const struct bus_ops master_ops = {.read = master_read, .write = master_write, .max_size_bytes = 1};
static const struct bus_ops slave_ops = {.read = slave_read, .write = slave_write, .max_size_bytes = 1};
static const struct bus_ops elcr_ops = {.read = elcr_read, .write = elcr_write, .max_size_bytes = 1};

/* Power-on is undefined by the data sheet: everything masked until ICW1 keeps a guest without firmware safe. */
static void pic_reset(struct device *device)
{
    struct pic *pic = device_of(device, struct pic);
    for (unsigned i = 0; i < 2; i++) {
        uint8_t lines = pic->chip[i].lines;
        pic->chip[i] = (struct pic_chip){.lines = lines, .imr = 0xFF, .lowest = 7};
    }
    pic_update(pic);
}

const struct device_class pic_8259_class = {
    .name = "pic_8259", .version = 1, .size = sizeof(struct pic), .fields = pic_fields, .reset = pic_reset};

struct irq_line pic_8259_irq_line(struct device *device, unsigned irq)
{
    CHECK(irq < 16);
    return (struct irq_line){.set = pic_set_line, .opaque = device_of(device, struct pic), .pin = irq};
}

struct device *pic_8259_create(struct machine *machine, struct irq_line intr)
{
    struct pic *pic = device_alloc(&pic_8259_class, machine, "pic");
    struct bus *bus = machine_bus(machine);
    pic->intr = intr;
    pic->chip[0].imr = pic->chip[1].imr = 0xFF;
    pic->chip[0].lowest = pic->chip[1].lowest = 7;
    bus_map_io(bus, 0x20, 2, &master_ops, pic, "pic-master");
    bus_map_io(bus, 0xA0, 2, &slave_ops, pic, "pic-slave");
    bus_map_io(bus, 0x4D0, 2, &elcr_ops, pic, "elcr");
    machine_add_device(machine, &pic->device);
    return &pic->device;
}
