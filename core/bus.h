/* Port and MMIO dispatch. Thread: machine thread.
 *
 * Every access that an accelerator makes through bus_* is traced (core/trace.h) with its position and value, claimed or
 * not. Accesses of 1, 2, 4 (ports) or 1, 2, 4, 8 bytes (MMIO); an accelerator splits what is larger or crosses a page.
 * A device says what access sizes it takes; the bus splits larger ones into its largest size, ascending, and passes
 * smaller ones on as they are. Unclaimed reads give all ones, unclaimed writes vanish. One trace event an access of the
 * guest, not one a split. */
#ifndef VMRR_CORE_BUS_H
#define VMRR_CORE_BUS_H

#include "core/status.h"

#include <stdbool.h>
#include <stdint.h>

struct bus;
struct machine;

struct bus_ops {
    uint64_t (*read)(void *opaque, uint64_t address, unsigned size_bytes); /* address relative to the mapping's base */
    void (*write)(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes);
    unsigned max_size_bytes; /* largest access taken whole: 1, 2, 4 or 8; 0 means 4 */
};

/* A mapping is owned by the bus; the handle serves to move or drop it (PCI BARs). Where mappings overlap the one
 * enabled last wins, the one at its first port for a port access that lies wholly in its range. */
struct bus_mapping;

struct bus *bus_create(struct machine *machine);
void bus_destroy(struct bus *bus);

struct bus_mapping *bus_map_io(struct bus *bus, uint16_t base, uint32_t count, const struct bus_ops *ops, void *opaque,
                               const char *name);
struct bus_mapping *bus_map_mmio(struct bus *bus, uint64_t base_gpa, uint64_t size_bytes, const struct bus_ops *ops,
                                 void *opaque, const char *name);
/* A mapping starts enabled. Moving a disabled mapping only notes the base. */
void bus_mapping_set(struct bus_mapping *mapping, uint64_t base, bool enabled);

/* For people: all mappings, the one made last first. */
struct bus_view {
    uint64_t base, size;
    const char *name;
    bool mmio, enabled;
};
void bus_each_mapping(struct bus *bus, void (*look)(void *opaque, const struct bus_view *view), void *opaque);

/* Into what an access of so many bytes is cut where it is no power of two: the largest first. */
static inline unsigned bus_chunk(unsigned left)
{
    return left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

uint64_t bus_io_read(struct bus *bus, uint16_t port, unsigned size_bytes);
void bus_io_write(struct bus *bus, uint16_t port, uint64_t value, unsigned size_bytes);
uint64_t bus_mmio_read(struct bus *bus, uint64_t gpa, unsigned size_bytes);
void bus_mmio_write(struct bus *bus, uint64_t gpa, uint64_t value, unsigned size_bytes);

#endif
