/* System control port A (92h): bit 1 gates A20, a rising bit 0 resets. IBM PS/2 Hardware Interface Technical Reference.
 * Not modelled: watchdog, security lock and disk LED bits (storage). */
#include "devices/port_92.h"

#include "core/bus.h"
#include "core/machine.h"

#define FAST_RESET 0x01u
#define FAST_A20 0x02u

#define PORT_92_STATE(S, A, N, T) S(T, uint8_t, value) /* all but the A20 bit, which the machine keeps */
struct port_92 {
    struct device device;
    STATE_MEMBERS(PORT_92_STATE)
};
STATE_TABLE(port_92_fields, struct port_92, PORT_92_STATE);

static uint64_t port_92_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    const struct port_92 *port = opaque;
    (void)address;
    (void)size_bytes;
    return port->value | (machine_a20(port->device.machine) ? FAST_A20 : 0);
}

static void port_92_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct port_92 *port = opaque;
    bool reset = (value & FAST_RESET) && !(port->value & FAST_RESET);
    (void)address;
    (void)size_bytes;
    port->value = (uint8_t)(value & ~FAST_A20);
    machine_set_a20(port->device.machine, value & FAST_A20);
    if (reset)
        machine_request_reset(port->device.machine);
}

static const struct bus_ops port_92_ops = {.read = port_92_read, .write = port_92_write, .max_size_bytes = 1};

static void port_92_reset(struct device *device)
{
    device_of(device, struct port_92)->value = 0;
}

const struct device_class port_92_class = {
    .name = "port_92", .version = 1, .size = sizeof(struct port_92), .fields = port_92_fields, .reset = port_92_reset};

struct device *port_92_create(struct machine *machine)
{
    struct port_92 *port = device_alloc(&port_92_class, machine, "port92");
    bus_map_io(machine_bus(machine), 0x92, 1, &port_92_ops, port, "port-92");
    machine_add_device(machine, &port->device);
    return &port->device;
}
