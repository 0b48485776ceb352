/* POST code port: keeps the last byte written. It lies over the first of the DMA page registers' spare bytes, as on any
 * AT; guests write it as a delay. */
#include "devices/port_80.h"

#include "core/bus.h"
#include "core/machine.h"

#define PORT_80_STATE(S, A, N, T) S(T, uint8_t, code)
struct port_80 {
    struct device device;
    STATE_MEMBERS(PORT_80_STATE)
};
STATE_TABLE(port_80_fields, struct port_80, PORT_80_STATE);

static uint64_t port_80_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct port_80 *port = opaque;
    (void)address;
    (void)size_bytes;
    return port->code;
}

static void port_80_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct port_80 *port = opaque;
    (void)address;
    (void)size_bytes;
    port->code = (uint8_t)value;
}

static const struct bus_ops port_80_ops = {.read = port_80_read, .write = port_80_write, .max_size_bytes = 1};

static void port_80_reset(struct device *device)
{
    device_of(device, struct port_80)->code = 0;
}

const struct device_class port_80_class = {
    .name = "port_80", .version = 1, .size = sizeof(struct port_80), .fields = port_80_fields, .reset = port_80_reset};

uint8_t port_80_code(struct device *device)
{
    return device_of(device, struct port_80)->code;
}

struct device *port_80_create(struct machine *machine)
{
    struct port_80 *port = device_alloc(&port_80_class, machine, "port80");
    bus_map_io(machine_bus(machine), 0x80, 1, &port_80_ops, port, "port-80");
    machine_add_device(machine, &port->device);
    return &port->device;
}
