/* The VGA window: address decoding (graphics controller register 6), planes, latches, read modes 0 and 1, write modes 0
 * to 3, odd/even and chain-4 addressing; in a VBE mode a 64 KiB bank of the linear frame buffer.
 *
 * Chain-4 and odd/even addresses are kept dense (address / 4, address / 2), not spread over the plane as the chip does:
 * only a program that switches between them over the same contents could tell. */
#include "devices/vga_internal.h"

#include "core/machine.h"

void vga_vram_store(struct vga *vga, uint32_t offset, uint8_t value)
{
    uint8_t *flags = &vga->vram->page_flags[offset >> MEMORY_PAGE_SHIFT];
    vga->vram->host[offset] = value;
    *flags |= MEMORY_PAGE_DIRTY;
    if ((*flags & MEMORY_PAGE_WATCHED) && vga->pci[0].bar[0].mapped) {
        struct accel *accel = machine_accel(vga->device.machine);
        accel->ops->memory_written(accel, vga->pci[0].bar[0].mapped_base + offset, 1);
    }
}

/* Offset in the window for an address relative to A0000h; false when the window is not there. */
static bool decode(const struct vga *vga, uint64_t address, uint32_t *offset)
{
    static const uint32_t base[4] = {0x00000, 0x00000, 0x10000, 0x18000};
    static const uint32_t size[4] = {0x20000, 0x10000, 0x08000, 0x08000};
    unsigned select = vga->gc[GC_MISC] >> 2 & 3;
    if (vga_vbe_enabled(vga)) {
        *offset = (uint32_t)address + vga->vbe[VBE_BANK] * 0x10000u;
        return address < 0x10000 && *offset < VGA_VRAM_BYTES;
    }
    *offset = (uint32_t)address - base[select];
    return (vga->misc_output & 0x02) && *offset < size[select];
}

static bool chain4(const struct vga *vga)
{
    return (vga->seq[SEQ_MEMORY_MODE] & 0x08) != 0;
}

static bool odd_even(const struct vga *vga)
{
    return !(vga->seq[SEQ_MEMORY_MODE] & 0x04);
}

static uint32_t plane_offset(const struct vga *vga, uint32_t address)
{
    if (chain4(vga))
        return address >> 2;
    if (odd_even(vga))
        return address >> 1;
    return address & (VGA_PLANE_BYTES - 1);
}

static uint8_t compare_colours(const struct vga *vga)
{
    uint8_t equal = 0xFF;
    for (unsigned plane = 0; plane < 4; plane++) {
        if (!(vga->gc[GC_DONT_CARE] >> plane & 1))
            continue;
        uint8_t want = vga->gc[GC_COMPARE] >> plane & 1 ? 0xFF : 0x00;
        equal &= (uint8_t) ~(vga->latch[plane] ^ want);
    }
    return equal;
}

static uint8_t read_planes(struct vga *vga, uint32_t address)
{
    const uint8_t *at = vga->vram->host + plane_offset(vga, address) * 4;
    for (unsigned plane = 0; plane < 4; plane++)
        vga->latch[plane] = at[plane];
    if (vga->gc[GC_MODE] & 0x08)
        return compare_colours(vga);
    if (chain4(vga))
        return vga->latch[address & 3];
    if (odd_even(vga))
        return vga->latch[(vga->gc[GC_READ_MAP] & 2) | (address & 1)];
    return vga->latch[vga->gc[GC_READ_MAP] & 3];
}

static uint8_t combine(const struct vga *vga, uint8_t value, uint8_t latch)
{
    switch (vga->gc[GC_ROTATE] >> 3 & 3) {
    case 1: return value & latch;
    case 2: return value | latch;
    case 3: return value ^ latch;
    default: return value;
    }
}

static uint8_t rotated(const struct vga *vga, uint8_t value)
{
    unsigned count = vga->gc[GC_ROTATE] & 7;
    return (uint8_t)(value >> count | value << (8 - count));
}

/* What a write of value puts into one plane. */
static uint8_t plane_value(const struct vga *vga, unsigned plane, uint8_t value)
{
    uint8_t latch = vga->latch[plane], mask = vga->gc[GC_BIT_MASK], data;
    uint8_t set_reset = vga->gc[GC_SET_RESET] >> plane & 1 ? 0xFF : 0x00;
    switch (vga->gc[GC_MODE] & 3) {
    case 1: return latch;
    case 2: data = value >> plane & 1 ? 0xFF : 0x00; break;
    case 3:
        mask &= rotated(vga, value);
        data = set_reset;
        break;
    default: data = vga->gc[GC_ENABLE_SET_RESET] >> plane & 1 ? set_reset : rotated(vga, value); break;
    }
    data = combine(vga, data, latch);
    return (uint8_t)((data & mask) | (latch & ~mask));
}

static void write_planes(struct vga *vga, uint32_t address, uint8_t value)
{
    uint32_t offset = plane_offset(vga, address) * 4;
    unsigned planes = vga->seq[SEQ_MAP_MASK] & 0x0F;
    if (chain4(vga))
        planes &= 1u << (address & 3);
    else if (odd_even(vga))
        planes &= address & 1 ? 0x0A : 0x05;
    for (unsigned plane = 0; plane < 4; plane++) {
        if (planes >> plane & 1)
            vga_vram_store(vga, offset + plane, plane_value(vga, plane, value));
    }
}

static uint64_t window_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct vga *vga = opaque;
    uint32_t offset;
    (void)size_bytes;
    if (!decode(vga, address, &offset))
        return 0xFF;
    return vga_vbe_enabled(vga) ? vga->vram->host[offset] : read_planes(vga, offset);
}

static void window_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct vga *vga = opaque;
    uint32_t offset;
    (void)size_bytes;
    if (!decode(vga, address, &offset))
        return;
    if (vga_vbe_enabled(vga))
        vga_vram_store(vga, offset, (uint8_t)value);
    else
        write_planes(vga, offset, (uint8_t)value);
}

static const struct bus_ops window_ops = {window_read, window_write, 1};

void vga_memory_create(struct vga *vga)
{
    bus_map_mmio(machine_bus(vga->device.machine), VGA_WINDOW_GPA, VGA_WINDOW_BYTES, &window_ops, vga, "vga-window");
}
