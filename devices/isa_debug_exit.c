/* isa-debug-exit: not a chip but a convention of test guests. A write of any size ends the run; reads give 0. */
#include "devices/isa_debug_exit.h"

#include "core/bus.h"
#include "core/machine.h"

static const struct state_field debug_exit_fields[] = {{.name = NULL}};

static uint64_t debug_exit_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)opaque;
    (void)address;
    (void)size_bytes;
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    const struct device *device = opaque;
    (void)address;
    (void)size_bytes;
    machine_request_stop(device->machine, MACHINE_STOP_DEBUG_EXIT, (int)((uint32_t)value << 1 | 1));
}

static const struct bus_ops debug_exit_ops = {.read = debug_exit_read, .write = debug_exit_write, .max_size_bytes = 4};

static void debug_exit_reset(struct device *device)
{
    (void)device;
}

const struct device_class isa_debug_exit_class = {.name = "isa_debug_exit",
                                                  .version = 1,
                                                  .size = sizeof(struct device),
                                                  .fields = debug_exit_fields,
                                                  .reset = debug_exit_reset};

struct device *isa_debug_exit_create(struct machine *machine)
{
    struct device *device = device_alloc(&isa_debug_exit_class, machine, "debug-exit");
    bus_map_io(machine_bus(machine), 0xF4, 4, &debug_exit_ops, device, "debug-exit");
    machine_add_device(machine, device);
    return device;
}
