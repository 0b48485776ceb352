/* What a monitor would show: text modes (as characters and as pixels), the planar and CGA-like modes with 16 and 4
 * colours, 256 colours, and the VBE modes. Reads the VGA's state, changes nothing.
 *
 * Not shown: the cursor and blinking, split screen (line compare), panning within a character. */
#include "devices/vga_internal.h"

#include <stdlib.h>
#include <string.h>

/* Code page 437, the characters of the VGA's ROM font, as Unicode. 20h to 7Eh are ASCII. */
static const uint16_t cp437_low[32] = {0x0020, 0x263A, 0x263B, 0x2665, 0x2666, 0x2663, 0x2660, 0x2022,
                                       0x25D8, 0x25CB, 0x25D9, 0x2642, 0x2640, 0x266A, 0x266B, 0x263C,
                                       0x25BA, 0x25C4, 0x2195, 0x203C, 0x00B6, 0x00A7, 0x25AC, 0x21A8,
                                       0x2191, 0x2193, 0x2192, 0x2190, 0x221F, 0x2194, 0x25B2, 0x25BC};
static const uint16_t cp437_high[129] = {
    0x2302, 0x00C7, 0x00FC, 0x00E9, 0x00E2, 0x00E4, 0x00E0, 0x00E5, 0x00E7, 0x00EA, 0x00EB, 0x00E8, 0x00EF,
    0x00EE, 0x00EC, 0x00C4, 0x00C5, 0x00C9, 0x00E6, 0x00C6, 0x00F4, 0x00F6, 0x00F2, 0x00FB, 0x00F9, 0x00FF,
    0x00D6, 0x00DC, 0x00A2, 0x00A3, 0x00A5, 0x20A7, 0x0192, 0x00E1, 0x00ED, 0x00F3, 0x00FA, 0x00F1, 0x00D1,
    0x00AA, 0x00BA, 0x00BF, 0x2310, 0x00AC, 0x00BD, 0x00BC, 0x00A1, 0x00AB, 0x00BB, 0x2591, 0x2592, 0x2593,
    0x2502, 0x2524, 0x2561, 0x2562, 0x2556, 0x2555, 0x2563, 0x2551, 0x2557, 0x255D, 0x255C, 0x255B, 0x2510,
    0x2514, 0x2534, 0x252C, 0x251C, 0x2500, 0x253C, 0x255E, 0x255F, 0x255A, 0x2554, 0x2569, 0x2566, 0x2560,
    0x2550, 0x256C, 0x2567, 0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256B, 0x256A, 0x2518,
    0x250C, 0x2588, 0x2584, 0x258C, 0x2590, 0x2580, 0x03B1, 0x00DF, 0x0393, 0x03C0, 0x03A3, 0x03C3, 0x00B5,
    0x03C4, 0x03A6, 0x0398, 0x03A9, 0x03B4, 0x221E, 0x03C6, 0x03B5, 0x2229, 0x2261, 0x00B1, 0x2265, 0x2264,
    0x2320, 0x2321, 0x00F7, 0x2248, 0x00B0, 0x2219, 0x00B7, 0x221A, 0x207F, 0x00B2, 0x25A0, 0x00A0};

static unsigned cp437_to_unicode(uint8_t code)
{
    if (code < 32)
        return cp437_low[code];
    return code < 127 ? code : cp437_high[code - 127];
}

static char *put_utf8(char *out, unsigned code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xC0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3F));
    } else {
        *out++ = (char)(0xE0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3F));
        *out++ = (char)(0x80 | (code & 0x3F));
    }
    return out;
}

/* ---- colours ---- */

static uint32_t dac_colour(const struct vga *vga, uint8_t index)
{
    const uint8_t *entry = vga->palette + (index & vga->dac_mask) * 3;
    uint32_t rgb = 0;
    for (unsigned i = 0; i < 3; i++) {
        uint8_t level = entry[i];
        if (!(vga->vbe[VBE_ENABLE] & VBE_8BIT_DAC))
            level = (uint8_t)((level & 0x3F) << 2 | (level & 0x3F) >> 4);
        rgb = rgb << 8 | level;
    }
    return rgb;
}

/* Through the attribute controller's palette. */
static uint32_t attr_colour(const struct vga *vga, unsigned index)
{
    uint8_t colour = vga->attr[index & 15] & 0x3F;
    if (vga->attr[0x10] & 0x80)
        colour = (uint8_t)((colour & 0x0F) | (vga->attr[0x14] & 0x03) << 4);
    return dac_colour(vga, (uint8_t)(colour | (vga->attr[0x14] & 0x0C) << 4));
}

/* ---- geometry ---- */

static unsigned lines_shown(const struct vga *vga)
{
    unsigned end = vga->crtc[0x12] | (vga->crtc[7] & 0x02u) << 7 | (vga->crtc[7] & 0x40u) << 3;
    return end + 1;
}

static unsigned line_repeat(const struct vga *vga)
{
    return ((vga->crtc[9] & 0x1Fu) + 1) * (vga->crtc[9] & 0x80 ? 2 : 1);
}

static uint32_t start_address(const struct vga *vga)
{
    return (uint32_t)vga->crtc[0x0C] << 8 | vga->crtc[0x0D];
}

static enum status allocate_pixels(struct board_screen *screen, unsigned width, unsigned height)
{
    screen->pixel_width = width;
    screen->pixel_height = height;
    screen->pixels = calloc((size_t)width * height + 1, sizeof *screen->pixels);
    return screen->pixels ? STATUS_OK : STATUS_NO_MEMORY;
}

/* ---- text ---- */

static const uint8_t *text_cell(const struct vga *vga, unsigned column, unsigned row)
{
    uint32_t cell = start_address(vga) + row * vga->crtc[0x13] * 2u + column;
    return vga->vram->host + (cell & 0xFFFF) * 4;
}

static char *text_utf8(const struct vga *vga, unsigned columns, unsigned rows)
{
    char *text = malloc((size_t)rows * (columns * 3 + 1) + 1), *out = text;
    if (!text)
        return NULL;
    for (unsigned row = 0; row < rows; row++) {
        char *end = out;
        for (unsigned column = 0; column < columns; column++) {
            uint8_t code = text_cell(vga, column, row)[0];
            out = put_utf8(out, cp437_to_unicode(code));
            if (code != ' ' && code != 0 && code != 0xFF)
                end = out;
        }
        out = end;
        *out++ = '\n';
    }
    *out = 0;
    return text;
}

static void draw_cell(const struct vga *vga, struct board_screen *screen, unsigned column, unsigned row,
                      unsigned cell_width, unsigned cell_height)
{
    static const uint16_t font_offset[8] = {0x0000, 0x4000, 0x8000, 0xC000, 0x2000, 0x6000, 0xA000, 0xE000};
    const uint8_t *cell = text_cell(vga, column, row);
    uint8_t code = cell[0], attribute = cell[1], select = vga->seq[SEQ_FONT];
    unsigned set = attribute & 0x08 ? (select >> 2 & 3) | (select >> 3 & 4) : (select & 3) | (select >> 2 & 4);
    bool blink = vga->attr[0x10] & 0x08;
    uint32_t ink = attr_colour(vga, attribute & 0x0F), paper = attr_colour(vga, attribute >> 4 & (blink ? 7 : 15));
    bool line_graphics = code >= 0xC0 && code <= 0xDF && (vga->attr[0x10] & 0x04);

    for (unsigned y = 0; y < cell_height; y++) {
        unsigned glyph_at = (font_offset[set] + code * 32u + (y & 31)) & 0xFFFF;
        uint8_t bits = vga->vram->host[glyph_at * 4 + 2];
        uint32_t *out = screen->pixels + (size_t)(row * cell_height + y) * screen->pixel_width + column * cell_width;
        for (unsigned x = 0; x < cell_width; x++) {
            bool on = x < 8 ? bits >> (7 - x) & 1 : line_graphics && (bits & 1);
            out[x] = on ? ink : paper;
        }
    }
}

static enum status show_text(const struct vga *vga, struct board_screen *screen)
{
    unsigned columns = vga->crtc[1] + 1u, cell_height = (vga->crtc[9] & 0x1Fu) + 1;
    unsigned rows = lines_shown(vga) / cell_height, cell_width = vga->seq[SEQ_CLOCKING] & 1 ? 8 : 9;
    screen->text = true;
    screen->width = columns;
    screen->height = rows;
    screen->utf8 = text_utf8(vga, columns, rows);
    if (!screen->utf8 || allocate_pixels(screen, columns * cell_width, rows * cell_height))
        return STATUS_NO_MEMORY;
    for (unsigned row = 0; row < rows; row++) {
        for (unsigned column = 0; column < columns; column++)
            draw_cell(vga, screen, column, row, cell_width, cell_height);
    }
    return STATUS_OK;
}

/* ---- graphics of the plain VGA ---- */

static uint32_t planar_pixel(const struct vga *vga, uint32_t offset, unsigned x)
{
    const uint8_t *at = vga->vram->host + (offset & 0xFFFF) * 4;
    unsigned colour = 0;
    for (unsigned plane = 0; plane < 4; plane++)
        colour |= (at[plane] >> (7 - x) & 1u) << plane;
    return attr_colour(vga, colour & vga->attr[0x12]);
}

/* Two bits a pixel, four pixels in plane 0, the next four in plane 1. */
static unsigned cga_pixel(const struct vga *vga, uint32_t offset, unsigned x)
{
    return vga->vram->host[(offset & 0xFFFF) * 4 + (x >> 2)] >> (6 - 2 * (x & 3)) & 3u;
}

static enum status show_graphics(const struct vga *vga, struct board_screen *screen)
{
    bool colours_256 = vga->gc[GC_MODE] & 0x40, colours_4 = vga->gc[GC_MODE] & 0x20;
    unsigned repeat = line_repeat(vga), columns = vga->crtc[1] + 1u;
    unsigned width = columns * (colours_256 ? 4 : 8), height = lines_shown(vga) / repeat;
    uint32_t pitch = vga->crtc[0x13] * 2u;
    screen->width = width;
    screen->height = height;
    if (allocate_pixels(screen, width, height))
        return STATUS_NO_MEMORY;
    for (unsigned y = 0; y < height; y++) {
        uint32_t line = start_address(vga) + y * pitch;
        if (!(vga->crtc[0x17] & 1)) /* CGA: odd lines 8 KiB further */
            line = start_address(vga) + (y >> 1) * pitch + (y & 1) * 0x2000;
        for (unsigned x = 0; x < width; x++) {
            uint32_t *out = screen->pixels + (size_t)y * width + x;
            const uint8_t *vram = vga->vram->host;
            if (colours_256)
                *out = dac_colour(vga, vram[(line * 4 + x) & 0x3FFFF]);
            else if (colours_4)
                *out = attr_colour(vga, cga_pixel(vga, line + (x >> 3), x & 7));
            else
                *out = planar_pixel(vga, line + (x >> 3), x & 7);
        }
    }
    return STATUS_OK;
}

/* ---- VBE ---- */

static uint32_t scale(uint32_t value, unsigned bits)
{
    return bits == 5 ? value << 3 | value >> 2 : value << 2 | value >> 4;
}

static uint32_t vbe_pixel(const struct vga *vga, uint64_t line, unsigned x)
{
    const uint8_t *vram = vga->vram->host;
    unsigned bpp = vga->vbe[VBE_BPP];
    unsigned bytes = (bpp + 7) / 8;
    uint64_t at = line + (uint64_t)x * bytes;
    if (bpp == 4)
        return planar_pixel(vga, (uint32_t)line + (x >> 3), x & 7);
    if (at + bytes > VGA_VRAM_BYTES)
        return 0;
    uint32_t raw = 0;
    for (unsigned i = 0; i < bytes; i++)
        raw |= (uint32_t)vram[at + i] << (8 * i);
    switch (bpp) {
    case 8: return dac_colour(vga, (uint8_t)raw);
    case 15: return scale(raw >> 10 & 31, 5) << 16 | scale(raw >> 5 & 31, 5) << 8 | scale(raw & 31, 5);
    case 16: return scale(raw >> 11 & 31, 5) << 16 | scale(raw >> 5 & 63, 6) << 8 | scale(raw & 31, 5);
    default: return raw & 0xFFFFFF;
    }
}

static enum status show_vbe(const struct vga *vga, struct board_screen *screen)
{
    unsigned width = vga->vbe[VBE_XRES], height = vga->vbe[VBE_YRES];
    uint64_t pitch = vga_vbe_line_bytes(vga);
    if (vga->vbe[VBE_BPP] == 4)
        pitch = vga->vbe[VBE_VIRT_WIDTH] >> 3;
    screen->width = width;
    screen->height = height;
    if (allocate_pixels(screen, width, height))
        return STATUS_NO_MEMORY;
    for (unsigned y = 0; y < height; y++) {
        for (unsigned x = 0; x < width; x++)
            screen->pixels[(size_t)y * width + x] =
                vbe_pixel(vga, (y + (uint64_t)vga->vbe[VBE_Y_OFFSET]) * pitch, x + vga->vbe[VBE_X_OFFSET]);
    }
    return STATUS_OK;
}

enum status vga_screen(struct device *device, struct board_screen *screen)
{
    const struct vga *vga = device_of(device, struct vga);
    enum status status;
    memset(screen, 0, sizeof *screen);
    if (vga_vbe_enabled(vga))
        status = show_vbe(vga, screen);
    else if (vga->gc[GC_MISC] & 1)
        status = show_graphics(vga, screen);
    else
        status = show_text(vga, screen);
    if (status) {
        free(screen->pixels);
        free(screen->utf8);
        memset(screen, 0, sizeof *screen);
    }
    return status;
}
