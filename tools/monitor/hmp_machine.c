/* info pci, mtree, registers. Looking changes nothing. */
#include "tools/monitor/hmp.h"

#include "core/debug.h"
#include "devices/pci_bus.h"
#include "tools/session.h"

#include <inttypes.h>

/* ---- PCI ---- */

static const char *class_name(uint32_t class)
{
    static const struct {
        uint32_t class;
        const char *name;
    } names[] = {{0x0101, "IDE controller"},  {0x0106, "SATA controller"}, {0x0100, "SCSI controller"},
                 {0x0108, "NVMe controller"}, {0x0300, "VGA controller"},  {0x0600, "Host bridge"},
                 {0x0601, "ISA bridge"},      {0x0680, "Bridge"},          {0x0200, "Ethernet controller"}};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        if (names[n].class == class)
            return names[n].name;
    }
    return NULL;
}

static uint32_t config(struct pci_bus *bus, unsigned slot, unsigned function, unsigned offset, unsigned size_bytes)
{
    return pci_bus_config_read(bus, slot, function, offset, size_bytes);
}

static void print_bars(struct pci_bus *bus, unsigned slot, unsigned function, FILE *out)
{
    for (unsigned n = 0; n < 6; n++) {
        uint32_t bar = config(bus, slot, function, 0x10 + 4 * n, 4);
        if (!bar)
            continue;
        if (bar & 1)
            fprintf(out, "      BAR%u: I/O at 0x%04x\n", n, bar & ~3u);
        else
            fprintf(out, "      BAR%u: 32 bit %smemory at 0x%08x\n", n, bar & 8 ? "prefetchable " : "", bar & ~15u);
    }
}

static void print_function(struct pci_bus *bus, unsigned slot, unsigned function, FILE *out)
{
    uint32_t id = config(bus, slot, function, 0, 4), class = config(bus, slot, function, 10, 2);
    uint32_t pin = config(bus, slot, function, 0x3D, 1);
    const char *name = class_name(class);
    fprintf(out, "  Bus  0, device %3u, function %u:\n", slot, function);
    if (name)
        fprintf(out, "    %s: ", name);
    else
        fprintf(out, "    Class %04x: ", class);
    fprintf(out, "PCI device %04x:%04x\n      PCI subsystem %04x:%04x\n", id & 0xFFFF, id >> 16,
            config(bus, slot, function, 0x2C, 2), config(bus, slot, function, 0x2E, 2));
    if (pin)
        fprintf(out, "      IRQ %u, pin %c\n", config(bus, slot, function, 0x3C, 1), (int)('A' + pin - 1));
    print_bars(bus, slot, function, out);
}

void hmp_info_pci(struct session *session, const char *words, FILE *out)
{
    struct device *device = machine_device_find(session->machine, "pci");
    (void)words;
    if (!device)
        return;
    struct pci_bus *bus = (struct pci_bus *)(void *)device; /* whose first member is its device (core/device.h) */
    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned function = 0; function < 8; function++) {
            if (config(bus, slot, function, 0, 2) != 0xFFFF)
                print_function(bus, slot, function, out);
        }
    }
}

/* ---- addresses ---- */

static void print_range(void *opaque, const struct memory_view *view)
{
    fprintf(opaque, "  %016" PRIx64 "-%016" PRIx64 " (%s): %s @%016" PRIx64 "\n", view->start, view->end - 1,
            view->writable ? "ram" : "rom", view->name, view->offset);
}

struct mappings {
    FILE *out;
    bool mmio;
};

static void print_mapping(void *opaque, const struct bus_view *view)
{
    const struct mappings *mappings = opaque;
    if (view->enabled && view->mmio == mappings->mmio)
        fprintf(mappings->out, "  %016" PRIx64 "-%016" PRIx64 " (i/o): %s\n", view->base, view->base + view->size - 1,
                view->name);
}

void hmp_info_mtree(struct session *session, const char *words, FILE *out)
{
    struct mappings mmio = {out, true}, ports = {out, false};
    (void)words;
    fprintf(out, "memory\n");
    memory_each_range(machine_memory(session->machine), print_range, out);
    fprintf(out, "MMIO\n");
    bus_each_mapping(machine_bus(session->machine), print_mapping, &mmio);
    fprintf(out, "I/O ports\n");
    bus_each_mapping(machine_bus(session->machine), print_mapping, &ports);
}

/* ---- CPU ---- */

static void print_vectors(const struct cpu_state *cpu, FILE *out)
{
    fprintf(out, "fcw %04x fsw %04x ftw %02x mxcsr %08x\n", cpu->fcw, cpu->fsw, cpu->ftw, cpu->mxcsr);
    for (int n = 0; n < 8; n++)
        fprintf(out, "fpr%d %04x %016" PRIx64 "%c", n, cpu->fpr[n].sign_exponent, cpu->fpr[n].significand,
                n % 2 ? '\n' : ' ');
    for (int n = 0; n < 16; n++)
        fprintf(out, "ymm%-2d %016" PRIx64 " %016" PRIx64 " %016" PRIx64 " %016" PRIx64 "\n", n, cpu->vector[n].q[3],
                cpu->vector[n].q[2], cpu->vector[n].q[1], cpu->vector[n].q[0]);
}

void hmp_info_registers(struct session *session, const char *words, FILE *out)
{
    struct cpu_state cpu;
    struct accel *accel = machine_accel(session->machine);
    (void)words;
    fprintf(out, "CPU#0\n");
    debug_print_registers(session->machine, out);
    accel->ops->get_state(accel, &cpu);
    for (int n = 0; n < 8; n++)
        fprintf(out, "dr%d %016" PRIx64 "%c", n, cpu.dr[n], n % 4 == 3 ? '\n' : ' ');
    print_vectors(&cpu, out);
}
