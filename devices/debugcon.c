/* Debug console at ports 402h and E9h, as SeaBIOS and Bochs guests know it: a byte written goes out, a read gives E9h,
 * by which guests find it. No state. */
#include "devices/debugcon.h"

#include "core/bus.h"
#include "core/machine.h"

#define DEBUGCON_PRESENT 0xE9u

struct debugcon {
    struct device device;
    struct char_sink sink;
};
static const struct state_field debugcon_fields[] = {{.name = NULL}};

static uint64_t debugcon_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)opaque;
    (void)address;
    (void)size_bytes;
    return DEBUGCON_PRESENT;
}

static void debugcon_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    const struct debugcon *debugcon = opaque;
    uint8_t byte = (uint8_t)value;
    (void)address;
    (void)size_bytes;
    if (debugcon->sink.write)
        debugcon->sink.write(debugcon->sink.opaque, &byte, 1);
}

static const struct bus_ops debugcon_ops = {.read = debugcon_read, .write = debugcon_write, .max_size_bytes = 1};

static void debugcon_reset(struct device *device)
{
    (void)device;
}

const struct device_class debugcon_class = {.name = "debugcon",
                                            .version = 1,
                                            .size = sizeof(struct debugcon),
                                            .fields = debugcon_fields,
                                            .reset = debugcon_reset};

struct device *debugcon_create(struct machine *machine, struct char_sink sink)
{
    struct debugcon *debugcon = device_alloc(&debugcon_class, machine, "debugcon");
    debugcon->sink = sink;
    bus_map_io(machine_bus(machine), 0x402, 1, &debugcon_ops, debugcon, "debugcon");
    bus_map_io(machine_bus(machine), 0xE9, 1, &debugcon_ops, debugcon, "debugcon-e9");
    machine_add_device(machine, &debugcon->device);
    return &debugcon->device;
}
