/* Coprocessor error register of the PIIX3 (Intel 290550, 2.5.7, 2.10): a write takes back IRQ13, which FERR# has asked for, and
 * holds IGNNE# until FERR# falls. Reads give all ones. The latches are the machine's (core/irq.h): both wires end at the
 * CPU. F1h (the 80287's reset) is not there. */
#include "devices/port_f0.h"

#include "core/bus.h"
#include "core/irq.h"
#include "core/machine.h"

struct port_f0 {
    struct device device;
};

static uint64_t port_f0_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)opaque;
    (void)address;
    (void)size_bytes;
    return 0xFF;
}

static void port_f0_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    const struct port_f0 *port = opaque;

    (void)address;
    (void)value;
    (void)size_bytes;
    machine_set_ignne(port->device.machine);
}

static const struct bus_ops port_f0_ops = {.read = port_f0_read, .write = port_f0_write, .max_size_bytes = 1};

const struct device_class port_f0_class = {.name = "port_f0", .version = 1, .size = sizeof(struct port_f0)};

struct device *port_f0_create(struct machine *machine)
{
    struct port_f0 *port = device_alloc(&port_f0_class, machine, "portf0");

    bus_map_io(machine_bus(machine), 0xF0, 1, &port_f0_ops, port, "port-f0");
    machine_add_device(machine, &port->device);
    return &port->device;
}
