/* Bochs VBE "DISPI" registers, as of interface id B0C5h: index at port 1CEh, data at 1CFh, both 16 bits wide.
 *
 * A mode that does not fit into video memory, or with an unknown depth, can't be enabled. */
#include "devices/vga_internal.h"

#include "core/machine.h"

#include <string.h>

#define PORT_INDEX 0x1CE
#define XRES_MAX 2560u
#define YRES_MAX 1600u
#define BPP_MAX 32u
#define ID_FIRST 0xB0C0u
#define ID_LAST 0xB0C5u

uint32_t vga_vbe_line_bytes(const struct vga *vga)
{
    uint32_t width = vga->vbe[VBE_VIRT_WIDTH], bpp = vga->vbe[VBE_BPP];
    return bpp == 4 ? width >> 1 : width * ((bpp + 7) / 8);
}

static bool mode_valid(const struct vga *vga)
{
    uint32_t bpp = vga->vbe[VBE_BPP], width = vga->vbe[VBE_XRES], height = vga->vbe[VBE_YRES];
    if (bpp != 4 && bpp != 8 && bpp != 15 && bpp != 16 && bpp != 24 && bpp != 32)
        return false;
    return width && height && (uint64_t)width * height * ((bpp + 7) / 8) <= VGA_VRAM_BYTES;
}

void vga_vbe_post_load(struct vga *vga)
{
    if (vga->vbe[VBE_XRES] > XRES_MAX || vga->vbe[VBE_YRES] > YRES_MAX || !mode_valid(vga))
        vga->vbe[VBE_ENABLE] &= (uint16_t)~VBE_ENABLED;
}

static void set_virtual_width(struct vga *vga, uint16_t width)
{
    if (width < vga->vbe[VBE_XRES])
        width = vga->vbe[VBE_XRES];
    vga->vbe[VBE_VIRT_WIDTH] = width;
    uint32_t line_bytes = vga_vbe_line_bytes(vga);
    uint32_t lines = line_bytes ? VGA_VRAM_BYTES / line_bytes : 0;
    vga->vbe[VBE_VIRT_HEIGHT] = (uint16_t)(lines > 0xFFFF ? 0xFFFF : lines);
}

static void clear_screen(struct vga *vga)
{
    uint32_t bytes = vga_vbe_line_bytes(vga) * vga->vbe[VBE_YRES];
    if (vga->vbe[VBE_BPP] == 4)
        bytes *= 4;
    if (bytes > VGA_VRAM_BYTES)
        bytes = VGA_VRAM_BYTES;
    memset(vga->vram->host, 0, bytes);
    for (uint32_t page = 0; page < (bytes + MEMORY_PAGE_BYTES - 1) >> MEMORY_PAGE_SHIFT; page++)
        vga->vram->page_flags[page] |= MEMORY_PAGE_DIRTY;
}

static void write_enable(struct vga *vga, uint16_t value)
{
    bool was_enabled = vga_vbe_enabled(vga);
    if ((value & VBE_ENABLED) && !mode_valid(vga))
        value &= (uint16_t)~VBE_ENABLED;
    vga->vbe[VBE_ENABLE] = value;
    if (!(value & VBE_ENABLED) || was_enabled) {
        if (!(value & VBE_ENABLED))
            vga->vbe[VBE_BANK] = 0;
        return;
    }
    vga->vbe[VBE_BANK] = vga->vbe[VBE_X_OFFSET] = vga->vbe[VBE_Y_OFFSET] = 0;
    set_virtual_width(vga, vga->vbe[VBE_XRES]);
    if (!(value & VBE_NOCLEARMEM))
        clear_screen(vga);
}

static uint16_t read_register(const struct vga *vga)
{
    if (vga->vbe_index >= VBE_COUNT)
        return 0;
    if (vga->vbe[VBE_ENABLE] & VBE_GETCAPS) {
        if (vga->vbe_index == VBE_XRES)
            return XRES_MAX;
        if (vga->vbe_index == VBE_YRES)
            return YRES_MAX;
        if (vga->vbe_index == VBE_BPP)
            return BPP_MAX;
    }
    return vga->vbe[vga->vbe_index];
}

static void write_register(struct vga *vga, uint16_t value)
{
    switch (vga->vbe_index) {
    case VBE_ID:
        if (value >= ID_FIRST && value <= ID_LAST)
            vga->vbe[VBE_ID] = value;
        break;
    case VBE_XRES:
    case VBE_YRES:
        if (!vga_vbe_enabled(vga) && value <= (vga->vbe_index == VBE_XRES ? XRES_MAX : YRES_MAX))
            vga->vbe[vga->vbe_index] = value;
        break;
    case VBE_BPP:
        if (!vga_vbe_enabled(vga))
            vga->vbe[VBE_BPP] = value ? value : 8;
        break;
    case VBE_ENABLE: write_enable(vga, value); break;
    case VBE_BANK:
        if (value < VGA_VRAM_BYTES >> 16)
            vga->vbe[VBE_BANK] = value;
        break;
    case VBE_VIRT_WIDTH: set_virtual_width(vga, value); break;
    case VBE_X_OFFSET:
    case VBE_Y_OFFSET: vga->vbe[vga->vbe_index] = value; break;
    default: break;
    }
}

static uint64_t port_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct vga *vga = opaque;
    uint16_t value = address == 0 ? vga->vbe_index : read_register(vga);
    return size_bytes == 1 ? value & 0xFF : value;
}

static void port_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct vga *vga = opaque;
    if (size_bytes != 2)
        return;
    if (address == 0)
        vga->vbe_index = (uint16_t)value;
    else
        write_register(vga, (uint16_t)value);
}

static const struct bus_ops port_ops = {port_read, port_write, 2};

void vga_vbe_create(struct vga *vga)
{
    /* The third port is the upper half of a word at 1CFh. */
    bus_map_io(machine_bus(vga->device.machine), PORT_INDEX, 3, &port_ops, vga, "vga-vbe");
}

void vga_vbe_reset(struct vga *vga)
{
    memset(vga->vbe, 0, sizeof vga->vbe);
    vga->vbe_index = 0;
    vga->vbe[VBE_ID] = ID_LAST;
    vga->vbe[VBE_VIDEO_MEMORY_64K] = VGA_VRAM_BYTES >> 16;
}
