/* No chip of a PC: reads give the low half of the TSC, and the accelerator puts the high one into EDX. Writes do nothing. No
 * state: the value lives as long as the instruction. */
#include "devices/tsc_port.h"

#include "core/bus.h"

struct tsc_port {
    struct device device;
};
static const struct state_field tsc_port_fields[] = {{.name = NULL}};

static uint64_t tsc_port_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct tsc_port *port = opaque;
    (void)address;
    (void)size_bytes;
    return machine_read_tsc_port(port->device.machine);
}

static void tsc_port_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    (void)opaque;
    (void)address;
    (void)value;
    (void)size_bytes;
}

static const struct bus_ops tsc_port_ops = {.read = tsc_port_read, .write = tsc_port_write, .max_size_bytes = 4};

static void tsc_port_reset(struct device *device)
{
    (void)device;
}

const struct device_class tsc_port_class = {.name = "tsc_port",
                                            .version = 1,
                                            .size = sizeof(struct tsc_port),
                                            .fields = tsc_port_fields,
                                            .reset = tsc_port_reset};

struct device *tsc_port_create(struct machine *machine)
{
    struct tsc_port *port = device_alloc(&tsc_port_class, machine, "tsc-port");
    bus_map_io(machine_bus(machine), MACHINE_TSC_PORT, 4, &tsc_port_ops, port, "tsc-port");
    machine_add_device(machine, &port->device);
    return &port->device;
}
