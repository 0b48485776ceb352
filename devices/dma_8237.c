/* Two 8237A DMA controllers and the page registers. Intel 8237A data sheet (231466).
 *
 * Registers only: no device of this machine requests ISA DMA, so base and current address and count stay what was
 * written, and no transfer, terminal count or memory-to-memory move happens. */
#include "devices/dma_8237.h"

#include "core/bus.h"
#include "core/machine.h"

#include <string.h>

#define DMA_CONTROLLER_STATE(S, A, N, T)                                                                               \
    A(T, uint16_t, address, 4)                                                                                         \
    A(T, uint16_t, count, 4)                                                                                           \
    A(T, uint8_t, mode, 4)                                                                                             \
    S(T, uint8_t, command)                                                                                             \
    S(T, uint8_t, request)                                                                                             \
    S(T, uint8_t, mask)                                                                                                \
    S(T, bool, high_byte) /* the byte pointer flip-flop */
struct dma_controller {
    STATE_MEMBERS(DMA_CONTROLLER_STATE)
};
STATE_TABLE(dma_controller_fields, struct dma_controller, DMA_CONTROLLER_STATE);

#define DMA_STATE(S, A, N, T)                                                                                          \
    N(T, struct dma_controller, controller, 2, dma_controller_fields)                                                  \
    A(T, uint8_t, page, 16)
struct dma {
    struct device device;
    STATE_MEMBERS(DMA_STATE)
};
STATE_TABLE(dma_fields, struct dma, DMA_STATE);

static void controller_clear(struct dma_controller *controller)
{
    controller->command = controller->request = 0;
    controller->mask = 0x0F;
    controller->high_byte = false;
}

static uint8_t controller_read(struct dma_controller *controller, unsigned reg)
{
    if (reg < 8) {
        uint16_t value = reg & 1 ? controller->count[reg >> 1] : controller->address[reg >> 1];
        bool high = controller->high_byte;
        controller->high_byte = !high;
        return (uint8_t)(high ? value >> 8 : value);
    }
    switch (reg) {
    case 0x8: /* status: the request bits, no terminal count */ return (uint8_t)(controller->request << 4);
    case 0xF: return controller->mask | 0xF0;
    default: /* 0Dh: temporary register */ return 0;
    }
}

static void set_bit(uint8_t *bits, uint8_t value)
{
    uint8_t bit = (uint8_t)(1u << (value & 3));
    *bits = value & 4 ? *bits | bit : *bits & (uint8_t)~bit;
}

static void controller_write(struct dma_controller *controller, unsigned reg, uint8_t value)
{
    if (reg < 8) {
        uint16_t *word = reg & 1 ? &controller->count[reg >> 1] : &controller->address[reg >> 1];
        if (controller->high_byte)
            *word = (uint16_t)((*word & 0x00FF) | value << 8);
        else
            *word = (uint16_t)((*word & 0xFF00) | value);
        controller->high_byte = !controller->high_byte;
        return;
    }
    switch (reg) {
    case 0x8: controller->command = value; break;
    case 0x9: set_bit(&controller->request, value); break;
    case 0xA: set_bit(&controller->mask, value); break;
    case 0xB: controller->mode[value & 3] = value; break;
    case 0xC: controller->high_byte = false; break;
    case 0xD: controller_clear(controller); break;
    case 0xE: controller->mask = 0; break;
    default: controller->mask = value & 0x0F; break;
    }
}

static uint64_t dma1_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct dma *dma = opaque;
    (void)size_bytes;
    return controller_read(&dma->controller[0], (unsigned)address);
}

static void dma1_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct dma *dma = opaque;
    (void)size_bytes;
    controller_write(&dma->controller[0], (unsigned)address, (uint8_t)value);
}

/* The second controller's registers are two ports apart. */
static uint64_t dma2_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct dma *dma = opaque;
    (void)size_bytes;
    return controller_read(&dma->controller[1], (unsigned)address >> 1);
}

static void dma2_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct dma *dma = opaque;
    (void)size_bytes;
    controller_write(&dma->controller[1], (unsigned)address >> 1, (uint8_t)value);
}

static uint64_t page_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct dma *dma = opaque;
    (void)size_bytes;
    return dma->page[(address + 1) & 15];
}

static void page_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct dma *dma = opaque;
    (void)size_bytes;
    dma->page[(address + 1) & 15] = (uint8_t)value;
}

static const struct bus_ops dma1_ops = {.read = dma1_read, .write = dma1_write, .max_size_bytes = 1};
static const struct bus_ops dma2_ops = {.read = dma2_read, .write = dma2_write, .max_size_bytes = 1};
static const struct bus_ops page_ops = {.read = page_read, .write = page_write, .max_size_bytes = 1};

static void dma_reset(struct device *device)
{
    struct dma *dma = device_of(device, struct dma);
    memset(dma->controller, 0, sizeof(dma->controller));
    memset(dma->page, 0, sizeof(dma->page));
    controller_clear(&dma->controller[0]);
    controller_clear(&dma->controller[1]);
}

const struct device_class dma_8237_class = {
    .name = "dma_8237", .version = 1, .size = sizeof(struct dma), .fields = dma_fields, .reset = dma_reset};

struct device *dma_8237_create(struct machine *machine)
{
    struct dma *dma = device_alloc(&dma_8237_class, machine, "dma");
    struct bus *bus = machine_bus(machine);
    dma_reset(&dma->device);
    bus_map_io(bus, 0x00, 16, &dma1_ops, dma, "dma1");
    bus_map_io(bus, 0xC0, 32, &dma2_ops, dma, "dma2");
    bus_map_io(bus, 0x81, 15, &page_ops, dma, "dma-page");
    machine_add_device(machine, &dma->device);
    return &dma->device;
}
