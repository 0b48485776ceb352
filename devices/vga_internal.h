/* The VGA's parts share this struct: vga.c (registers), vga_memory.c (window), vga_vbe.c, vga_render.c. */
#ifndef VMRR_DEVICES_VGA_INTERNAL_H
#define VMRR_DEVICES_VGA_INTERNAL_H

#include "devices/pci_bus.h"
#include "devices/vga.h"

#define VGA_VRAM_BYTES (16u << 20)
#define VGA_PLANE_BYTES 0x10000u
#define VGA_WINDOW_GPA 0xA0000u
#define VGA_WINDOW_BYTES 0x20000u

enum vga_vbe_index {
    VBE_ID,
    VBE_XRES,
    VBE_YRES,
    VBE_BPP,
    VBE_ENABLE,
    VBE_BANK,
    VBE_VIRT_WIDTH,
    VBE_VIRT_HEIGHT,
    VBE_X_OFFSET,
    VBE_Y_OFFSET,
    VBE_VIDEO_MEMORY_64K,
    VBE_COUNT
};
#define VBE_ENABLED 0x01u
#define VBE_GETCAPS 0x02u
#define VBE_8BIT_DAC 0x20u
#define VBE_NOCLEARMEM 0x80u

/* Sequencer, CRT controller, graphics controller, attribute controller registers by their index. */
enum { SEQ_RESET, SEQ_CLOCKING, SEQ_MAP_MASK, SEQ_FONT, SEQ_MEMORY_MODE };
enum {
    GC_SET_RESET,
    GC_ENABLE_SET_RESET,
    GC_COMPARE,
    GC_ROTATE,
    GC_READ_MAP,
    GC_MODE,
    GC_MISC,
    GC_DONT_CARE,
    GC_BIT_MASK
};

#define VGA_STATE(S, A, N, T)                                                                                          \
    N(T, struct pci_function, pci, 1, pci_function_fields)                                                             \
    S(T, uint8_t, misc_output)                                                                                         \
    S(T, uint8_t, feature_control)                                                                                     \
    S(T, uint8_t, seq_index)                                                                                           \
    A(T, uint8_t, seq, 8)                                                                                              \
    S(T, uint8_t, crtc_index)                                                                                          \
    A(T, uint8_t, crtc, 32)                                                                                            \
    S(T, uint8_t, gc_index)                                                                                            \
    A(T, uint8_t, gc, 16)                                                                                              \
    S(T, uint8_t, attr_index)                                                                                          \
    S(T, bool, attr_data_next)                                                                                         \
    A(T, uint8_t, attr, 32)                                                                                            \
    S(T, uint8_t, dac_mask)                                                                                            \
    S(T, uint8_t, dac_state)                                                                                           \
    S(T, uint8_t, dac_write_index)                                                                                     \
    S(T, uint8_t, dac_read_index)                                                                                      \
    S(T, uint8_t, dac_component)                                                                                       \
    A(T, uint8_t, palette, 768)                                                                                        \
    A(T, uint8_t, latch, 4)                                                                                            \
    S(T, uint16_t, vbe_index)                                                                                          \
    A(T, uint16_t, vbe, VBE_COUNT)

struct vga {
    struct device device;
    STATE_MEMBERS(VGA_STATE)
    struct memory_block *vram; /* planes interleaved: byte of plane p at offset o is vram[o * 4 + p] */
    struct memory_map *lfb;
};

static inline bool vga_vbe_enabled(const struct vga *vga)
{
    return (vga->vbe[VBE_ENABLE] & VBE_ENABLED) != 0;
}

/* Stores one byte and keeps the page flags; every store into vram from this side goes through here. */
/* One of the 16 lines of a character (code page 437) in the font that vga_enter_text_mode loads; bit 7 is on the left. */
uint8_t vga_font_line(uint8_t code, unsigned y);
void vga_vram_store(struct vga *vga, uint32_t offset, uint8_t value);

void vga_memory_create(struct vga *vga); /* maps the window */

void vga_vbe_create(struct vga *vga); /* maps the ports */
void vga_vbe_reset(struct vga *vga);
void vga_vbe_post_load(struct vga *vga); /* bounds what a damaged file may hold */
uint32_t vga_vbe_line_bytes(const struct vga *vga);

#endif
