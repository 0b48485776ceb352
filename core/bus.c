/* Port and MMIO dispatch. Ports: one table entry a port (64 Ki pointers), so that an access is one load. MMIO: a short
 * array of ranges, searched from the one hit last. */
#include "core/bus.h"

#include "core/machine.h"

#include <stdlib.h>
#include <string.h>

#define IO_PORTS 65536u
#define IO_DEFAULT_MAX_SIZE 4u

struct bus_mapping {
    struct bus *bus;
    uint64_t base, size;
    const struct bus_ops *ops;
    void *opaque;
    const char *name;
    unsigned max_size; /* of one access, bytes */
    uint64_t order;    /* of being enabled: the highest wins */
    bool mmio, enabled;
    struct bus_mapping *next;
};

struct bus {
    struct machine *machine;
    struct bus_mapping *first;
    struct bus_mapping **io; /* IO_PORTS of them: the winner at each port, or null */
    struct bus_mapping *mmio_last;
    uint64_t next_order;
};

struct bus *bus_create(struct machine *machine)
{
    struct bus *bus = calloc(1, sizeof *bus);
    CHECK(bus);
    bus->machine = machine;
    bus->io = calloc(IO_PORTS, sizeof *bus->io);
    CHECK(bus->io);
    return bus;
}

void bus_destroy(struct bus *bus)
{
    if (!bus)
        return;
    while (bus->first) {
        struct bus_mapping *mapping = bus->first;
        bus->first = mapping->next;
        free(mapping);
    }
    free(bus->io);
    free(bus);
}

static bool covers(const struct bus_mapping *mapping, uint64_t address)
{
    return mapping->enabled && address - mapping->base < mapping->size;
}

static struct bus_mapping *winner(const struct bus *bus, bool mmio, uint64_t address)
{
    struct bus_mapping *best = NULL;
    for (struct bus_mapping *mapping = bus->first; mapping; mapping = mapping->next) {
        if (mapping->mmio == mmio && covers(mapping, address) && (!best || mapping->order > best->order))
            best = mapping;
    }
    return best;
}

static void refresh_io(struct bus *bus, uint64_t base, uint64_t count)
{
    for (uint64_t port = base; port < base + count && port < IO_PORTS; port++)
        bus->io[port] = winner(bus, false, port);
}

static struct bus_mapping *map(struct bus *bus, bool mmio, uint64_t base, uint64_t size, const struct bus_ops *ops,
                               void *opaque, const char *name)
{
    struct bus_mapping *mapping = calloc(1, sizeof *mapping);
    CHECK(mapping && size);
    *mapping = (struct bus_mapping){.bus = bus,
                                    .base = base,
                                    .size = size,
                                    .ops = ops,
                                    .opaque = opaque,
                                    .name = name,
                                    .mmio = mmio,
                                    .next = bus->first,
                                    .max_size = ops->max_size_bytes ? ops->max_size_bytes : IO_DEFAULT_MAX_SIZE};
    bus->first = mapping;
    bus_mapping_set(mapping, base, true);
    return mapping;
}

struct bus_mapping *bus_map_io(struct bus *bus, uint16_t base, uint32_t count, const struct bus_ops *ops, void *opaque,
                               const char *name)
{
    return map(bus, false, base, count, ops, opaque, name);
}

struct bus_mapping *bus_map_mmio(struct bus *bus, uint64_t base_gpa, uint64_t size_bytes, const struct bus_ops *ops,
                                 void *opaque, const char *name)
{
    return map(bus, true, base_gpa, size_bytes, ops, opaque, name);
}

void bus_mapping_set(struct bus_mapping *mapping, uint64_t base, bool enabled)
{
    struct bus *bus = mapping->bus;
    uint64_t old_base = mapping->base;
    bool was_enabled = mapping->enabled;
    mapping->base = base;
    mapping->enabled = enabled;
    if (enabled && (!was_enabled || base != old_base))
        mapping->order = ++bus->next_order;
    if (mapping->mmio) {
        bus->mmio_last = NULL;
        return;
    }
    if (was_enabled)
        refresh_io(bus, old_base, mapping->size);
    if (enabled)
        refresh_io(bus, base, mapping->size);
}

/* All ones for the part of an access that nobody claims (1 to 8 bytes). */
static uint64_t ones(unsigned size_bytes)
{
    return UINT64_MAX >> (64 - 8 * size_bytes);
}

static uint64_t read_parts(const struct bus_mapping *mapping, uint64_t address, unsigned size_bytes)
{
    unsigned step = mapping->max_size;
    uint64_t value = 0;
    for (unsigned done = 0; done < size_bytes; done += step) {
        uint64_t part = mapping->ops->read(mapping->opaque, address + done - mapping->base, step) & ones(step);
        value |= part << (8 * done);
    }
    return value;
}

static inline uint64_t read_from(const struct bus_mapping *mapping, uint64_t address, unsigned size_bytes)
{
    if (!mapping || !mapping->ops->read)
        return ones(size_bytes);
    if (size_bytes > mapping->max_size)
        return read_parts(mapping, address, size_bytes);
    return mapping->ops->read(mapping->opaque, address - mapping->base, size_bytes) & ones(size_bytes);
}

static void write_parts(const struct bus_mapping *mapping, uint64_t address, uint64_t value, unsigned size_bytes)
{
    unsigned step = mapping->max_size;

    for (unsigned done = 0; done < size_bytes; done += step)
        mapping->ops->write(mapping->opaque, address + done - mapping->base, (value >> (8 * done)) & ones(step), step);
}

static inline void write_to(const struct bus_mapping *mapping, uint64_t address, uint64_t value, unsigned size_bytes)
{
    if (!mapping || !mapping->ops->write)
        return;
    if (size_bytes > mapping->max_size)
        write_parts(mapping, address, value, size_bytes);
    else
        mapping->ops->write(mapping->opaque, address - mapping->base, value & ones(size_bytes), size_bytes);
}

/* True when the claimant of the first port has all of the access in its range: it gets it whole, even where another lies
 * over a later port (CONFIG_ADDRESS at 0xCF8 is one dword, with the reset control register at 0xCF9 in it). Else the access
 * is split into bytes, each to its own claimant. */
static bool io_whole(const struct bus *bus, uint16_t port, unsigned size_bytes)
{
    const struct bus_mapping *mapping = bus->io[port];
    return mapping && port - mapping->base + size_bytes <= mapping->size;
}

static struct bus_mapping *io_at(const struct bus *bus, uint32_t port)
{
    return port < IO_PORTS ? bus->io[port] : NULL;
}

uint64_t bus_io_read(struct bus *bus, uint16_t port, unsigned size_bytes)
{
    uint64_t value = 0;
    machine_exit_begin(bus->machine);
    if (io_whole(bus, port, size_bytes)) {
        value = read_from(bus->io[port], port, size_bytes);
    } else {
        for (unsigned n = 0; n < size_bytes; n++)
            value |= read_from(io_at(bus, (uint32_t)port + n), (uint32_t)port + n, 1) << (8 * n);
    }
    machine_trace_access(bus->machine, TRACE_PIO_READ, port, value, size_bytes);
    machine_exit_end(bus->machine);
    return value;
}

static void io_write(struct bus *bus, uint16_t port, uint64_t value, unsigned size_bytes)
{
    if (io_whole(bus, port, size_bytes)) {
        write_to(bus->io[port], port, value, size_bytes);
        return;
    }
    for (unsigned n = 0; n < size_bytes; n++)
        write_to(io_at(bus, (uint32_t)port + n), (uint32_t)port + n, (value >> (8 * n)) & 0xFF, 1);
}

void bus_io_write(struct bus *bus, uint16_t port, uint64_t value, unsigned size_bytes)
{
    value &= ones(size_bytes);
    machine_exit_begin(bus->machine);
    machine_trace_access(bus->machine, TRACE_PIO_WRITE, port, value, size_bytes);
    io_write(bus, port, value, size_bytes);
    machine_exit_end(bus->machine);
}

static struct bus_mapping *mmio_at(struct bus *bus, uint64_t gpa, unsigned size_bytes)
{
    struct bus_mapping *mapping = bus->mmio_last;
    if (!mapping || !covers(mapping, gpa)) {
        mapping = winner(bus, true, gpa);
        /* Only a mapping that overlaps no other may answer for all its addresses without a search. */
        bool alone = mapping != NULL;
        for (struct bus_mapping *other = bus->first; other && alone; other = other->next) {
            if (other != mapping && other->mmio && other->enabled && other->base < mapping->base + mapping->size &&
                mapping->base < other->base + other->size)
                alone = false;
        }
        bus->mmio_last = alone ? mapping : NULL;
    }
    return mapping && covers(mapping, gpa + size_bytes - 1) ? mapping : NULL;
}

uint64_t bus_mmio_read(struct bus *bus, uint64_t gpa, unsigned size_bytes)
{
    machine_exit_begin(bus->machine);
    uint64_t value = read_from(mmio_at(bus, gpa, size_bytes), gpa, size_bytes);
    machine_trace_access(bus->machine, TRACE_MMIO_READ, gpa, value, size_bytes);
    machine_exit_end(bus->machine);
    return value;
}

void bus_mmio_write(struct bus *bus, uint64_t gpa, uint64_t value, unsigned size_bytes)
{
    value &= ones(size_bytes);
    machine_exit_begin(bus->machine);
    machine_trace_access(bus->machine, TRACE_MMIO_WRITE, gpa, value, size_bytes);
    write_to(mmio_at(bus, gpa, size_bytes), gpa, value, size_bytes);
    machine_exit_end(bus->machine);
}

void bus_each_mapping(struct bus *bus, void (*look)(void *opaque, const struct bus_view *view), void *opaque)
{
    for (const struct bus_mapping *mapping = bus->first; mapping; mapping = mapping->next) {
        struct bus_view view = {mapping->base, mapping->size, mapping->name, mapping->mmio, mapping->enabled};
        look(opaque, &view);
    }
}
