/* VGA register file: IBM VGA (miscellaneous, sequencer, CRT controller, graphics controller, attribute controller, DAC),
 * and the PCI function that holds it together with the Bochs VBE registers (vga_vbe.c).
 *
 * Retrace bits follow virtual time with the timing of 80x25 text (449 lines of 31.78 us), whatever the CRTC says.
 * Not modelled: light pen, interrupts on vertical retrace, CRTC timing, smooth scrolling within a character, palette
 * snoop. */
#include "devices/vga.h"
#include "devices/vga_internal.h"

#include "core/machine.h"

#include <string.h>

#define LINE_NS 31778u
#define LINES_TOTAL 449u
#define LINES_SHOWN 400u
#define RETRACE_FIRST_LINE 412u
#define RETRACE_LINES 2u
#define LINE_SHOWN_NS 25422u

#define MISC_COLOUR 0x01u
#define LFB_PRIORITY (-1) /* a base address over RAM: the host bridge answers with RAM */

STATE_TABLE(vga_fields, struct vga, VGA_STATE);

/* ---- ports ---- */

static uint8_t read_status1(struct vga *vga)
{
    uint64_t now_ns = vtime_now_ns(vga->device.machine);
    uint64_t line = now_ns / LINE_NS % LINES_TOTAL;
    uint8_t status = 0;
    if (line >= LINES_SHOWN || now_ns % LINE_NS >= LINE_SHOWN_NS)
        status |= 0x01;
    if (line >= RETRACE_FIRST_LINE && line < RETRACE_FIRST_LINE + RETRACE_LINES)
        status |= 0x08;
    vga->attr_data_next = false;
    return status;
}

static void write_attr(struct vga *vga, uint8_t value)
{
    if (!vga->attr_data_next) {
        vga->attr_index = value & 0x3F;
    } else {
        unsigned index = vga->attr_index & 0x1F;
        if (index < 0x15 && (index >= 0x10 || !(vga->attr_index & 0x20)))
            vga->attr[index] = index < 0x10 ? value & 0x3F : value;
    }
    vga->attr_data_next = !vga->attr_data_next;
}

static void write_crtc(struct vga *vga, uint8_t value)
{
    unsigned index = vga->crtc_index;
    if (index > 0x18)
        return;
    if (index <= 7 && (vga->crtc[0x11] & 0x80)) {
        /* Protected, but for the line compare bit. */
        if (index == 7)
            vga->crtc[7] = (uint8_t)((vga->crtc[7] & ~0x10u) | (value & 0x10));
        return;
    }
    vga->crtc[index] = value;
}

static void write_seq(struct vga *vga, uint8_t value)
{
    static const uint8_t mask[5] = {0x03, 0x3D, 0x0F, 0x3F, 0x0E};
    if (vga->seq_index < 5)
        vga->seq[vga->seq_index] = value & mask[vga->seq_index];
}

static void write_gc(struct vga *vga, uint8_t value)
{
    static const uint8_t mask[9] = {0x0F, 0x0F, 0x0F, 0x1F, 0x03, 0x7B, 0x0F, 0x0F, 0xFF};
    if (vga->gc_index < 9)
        vga->gc[vga->gc_index] = value & mask[vga->gc_index];
}

static uint8_t read_dac(struct vga *vga)
{
    uint8_t value = vga->palette[vga->dac_read_index * 3 + vga->dac_component];
    if (++vga->dac_component == 3) {
        vga->dac_component = 0;
        vga->dac_read_index++;
    }
    return value;
}

static void write_dac(struct vga *vga, uint8_t value)
{
    bool eight_bits = (vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC) != 0;
    vga->palette[vga->dac_write_index * 3 + vga->dac_component] = eight_bits ? value : value & 0x3F;
    if (++vga->dac_component == 3) {
        vga->dac_component = 0;
        vga->dac_write_index++;
    }
}

static void start_dac(struct vga *vga, uint8_t index, bool read)
{
    if (read)
        vga->dac_read_index = index;
    else
        vga->dac_write_index = index;
    vga->dac_state = read ? 3 : 0;
    vga->dac_component = 0;
}

/* The CRTC and status 1 answer at 3Bxh or 3Dxh as the miscellaneous output register says. */
static bool port_absent(const struct vga *vga, uint16_t port)
{
    bool mono_port = port >= 0x3B0 && port < 0x3C0, colour_port = port >= 0x3D0 && port < 0x3E0;
    bool colour = (vga->misc_output & MISC_COLOUR) != 0;
    return (mono_port && colour) || (colour_port && !colour);
}

static uint64_t read_port(struct vga *vga, uint16_t port)
{
    if (port_absent(vga, port))
        return 0xFF;
    switch (port) {
    case 0x3C0: return vga->attr_data_next ? 0 : vga->attr_index;
    case 0x3C1: return vga->attr[vga->attr_index & 0x1F];
    case 0x3C2: return 0x10; /* switch sense: a colour monitor */
    case 0x3C4: return vga->seq_index;
    case 0x3C5: return vga->seq[vga->seq_index & 7];
    case 0x3C6: return vga->dac_mask;
    case 0x3C7: return vga->dac_state;
    case 0x3C8: return vga->dac_write_index;
    case 0x3C9: return read_dac(vga);
    case 0x3CA: return vga->feature_control;
    case 0x3CC: return vga->misc_output;
    case 0x3CE: return vga->gc_index;
    case 0x3CF: return vga->gc[vga->gc_index & 15];
    case 0x3B4:
    case 0x3D4: return vga->crtc_index;
    case 0x3B5:
    case 0x3D5: return vga->crtc[vga->crtc_index & 31];
    case 0x3BA:
    case 0x3DA: return read_status1(vga);
    default: return 0xFF;
    }
}

static void write_port(struct vga *vga, uint16_t port, uint8_t value)
{
    if (port_absent(vga, port))
        return;
    switch (port) {
    case 0x3C0:
    case 0x3C1: write_attr(vga, value); break;
    case 0x3C2: vga->misc_output = value & 0xEF; break;
    case 0x3C4: vga->seq_index = value & 7; break;
    case 0x3C5: write_seq(vga, value); break;
    case 0x3C6: vga->dac_mask = value; break;
    case 0x3C7: start_dac(vga, value, true); break;
    case 0x3C8: start_dac(vga, value, false); break;
    case 0x3C9: write_dac(vga, value); break;
    case 0x3CE: vga->gc_index = value & 15; break;
    case 0x3CF: write_gc(vga, value); break;
    case 0x3B4:
    case 0x3D4: vga->crtc_index = value & 0x3F; break;
    case 0x3B5:
    case 0x3D5: write_crtc(vga, value); break;
    case 0x3BA:
    case 0x3DA: vga->feature_control = value & 0x10; break;
    default: break;
    }
}

#define PORT_FIRST 0x3B0u
#define PORT_COUNT 0x30u

static uint64_t port_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    (void)size_bytes;
    return read_port(opaque, (uint16_t)(PORT_FIRST + address));
}

static void port_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    (void)size_bytes;
    write_port(opaque, (uint16_t)(PORT_FIRST + address), (uint8_t)value);
}

static const struct bus_ops port_ops = {port_read, port_write, 1};

/* ---- the state a video BIOS leaves ---- */

/* The 16 colours of the attribute controller's default palette, as the 64-colour EGA numbers that index the DAC. */
static uint8_t ega_number(unsigned colour)
{
    if (colour == 6)
        return 0x14; /* brown: dark yellow with half the green */
    return (uint8_t)(colour < 8 ? colour : 0x38 + (colour & 7));
}

static void set_ega_palette(struct vga *vga)
{
    for (unsigned number = 0; number < 64; number++) {
        for (unsigned component = 0; component < 3; component++) {
            unsigned bit = 2 - component; /* rgb RGB: low three bits two thirds, high three one third */
            unsigned level = (number >> bit & 1) * 0x2A + (number >> (bit + 3) & 1) * 0x15;
            vga->palette[number * 3 + component] = (uint8_t)level;
        }
    }
}

void vga_enter_text_mode(struct device *device)
{
    /* IBM mode 3, 720x400. */
    static const uint8_t crtc[25] = {0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00,
                                     0x00, 0x00, 0x00, 0x9C, 0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF};
    static const uint8_t seq[5] = {0x03, 0x00, 0x03, 0x00, 0x02};
    static const uint8_t gc[9] = {0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF};
    struct vga *vga = device_of(device, struct vga);

    vga->misc_output = 0x67;
    memcpy(vga->crtc, crtc, sizeof crtc);
    memcpy(vga->seq, seq, sizeof seq);
    memcpy(vga->gc, gc, sizeof gc);
    for (unsigned i = 0; i < 16; i++)
        vga->attr[i] = ega_number(i);
    vga->attr[0x10] = 0x0C;
    vga->attr[0x11] = 0x00;
    vga->attr[0x12] = 0x0F;
    vga->attr[0x13] = 0x08;
    vga->attr[0x14] = 0x00;
    vga->attr_index = 0x20;
    set_ega_palette(vga);
    for (uint32_t cell = 0; cell < 0x4000; cell++) {
        vga_vram_store(vga, cell * 4, ' ');
        vga_vram_store(vga, cell * 4 + 1, 0x07);
    }
    for (unsigned at = 0; at < 256 * 32; at++) /* font 0: 32 lines a character in plane 2 */
        vga_vram_store(vga, at * 4 + 2, vga_font_line((uint8_t)(at / 32), at % 32));
}

/* ---- device ---- */

static void bar_changed(void *opaque, unsigned bar, uint64_t base, bool enabled)
{
    struct vga *vga = opaque;
    if (bar == 0)
        memory_map_set(machine_memory(vga->device.machine), vga->lfb, enabled ? base : 0, MEMORY_RAM, enabled);
}

static const struct pci_function_ops pci_ops = {.bar_changed = bar_changed};

static void vga_reset(struct device *device)
{
    struct vga *vga = device_of(device, struct vga);
    pci_function_reset(&vga->pci[0]);
    vga->misc_output = MISC_COLOUR;
    vga->feature_control = 0;
    vga->seq_index = vga->crtc_index = vga->gc_index = vga->attr_index = 0;
    vga->attr_data_next = false;
    memset(vga->seq, 0, sizeof vga->seq);
    memset(vga->crtc, 0, sizeof vga->crtc);
    memset(vga->gc, 0, sizeof vga->gc);
    memset(vga->attr, 0, sizeof vga->attr);
    memset(vga->latch, 0, sizeof vga->latch);
    vga->dac_mask = 0xFF;
    vga->dac_state = vga->dac_write_index = vga->dac_read_index = vga->dac_component = 0;
    vga_vbe_reset(vga);
}

static void vga_post_load(struct device *device)
{
    struct vga *vga = device_of(device, struct vga);
    vga->dac_component %= 3;
    vga_vbe_post_load(vga);
    pci_function_post_load(&vga->pci[0]);
}

const struct device_class vga_class = {
    .name = "vga",
    .version = 1,
    .size = sizeof(struct vga),
    .fields = vga_fields,
    .reset = vga_reset,
    .post_load = vga_post_load,
};

struct device *vga_create(struct machine *machine, struct pci_bus *bus, unsigned slot, struct error *error)
{
    static const struct pci_identity identity = {
        .vendor = 0x1234,
        .device = 0x1111,
        .revision = 0,
        .class_base = 0x03,
        .class_sub = 0x00,
        .subsystem_vendor = 0x1AF4,
        .subsystem = 0x1100,
    };
    struct memory *memory = machine_memory(machine);
    struct memory_block *vram = memory_add_block(memory, "vram", VGA_VRAM_BYTES, true, error);
    if (!vram)
        return NULL;
    struct vga *vga = device_alloc(&vga_class, machine, "vga");
    vga->vram = vram;
    vga->lfb = memory_map_block(memory, MEMORY_HOLE_START, VGA_VRAM_BYTES, vram, 0, MEMORY_RAM, LFB_PRIORITY);
    memory_map_set(memory, vga->lfb, 0, MEMORY_RAM, false);
    pci_function_init(&vga->pci[0], bus, slot, 0, &identity, &pci_ops, vga);
    pci_function_add_bar(&vga->pci[0], 0, PCI_BAR_MEMORY_PREFETCH, VGA_VRAM_BYTES);
    /* No I/O BAR, but the legacy ports; they and the window at A0000h answer whatever these bits say. */
    pci_function_define(&vga->pci[0], PCI_COMMAND, 2, 0, PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
    bus_map_io(machine_bus(machine), PORT_FIRST, PORT_COUNT, &port_ops, vga, "vga");
    vga_memory_create(vga);
    vga_vbe_create(vga);
    machine_add_device(machine, &vga->device);
    return &vga->device;
}
