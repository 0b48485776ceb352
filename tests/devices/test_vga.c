/* VGA: text screen as text and as pixels, planes and write modes, DAC, VBE modes through ports, window and frame buffer. */
#include "devices/vga.h"
#include "tests/devices/device_test.h"

static struct pci_bus *bus_of_test(struct rig *rig)
{
    return device_of(machine_device_find(rig->fake->machine, "pci"), struct pci_bus);
}

static void build(struct rig *rig)
{
    struct error error = {0};
    struct pci_bus *bus = pci_bus_create(rig->fake->machine);
    rig->device = vga_create(rig->fake->machine, bus, 2, &error);
    ck_assert_ptr_nonnull(rig->device);
}

static uint8_t window_in(struct rig *rig, uint64_t gpa)
{
    return (uint8_t)bus_mmio_read(machine_bus(rig->fake->machine), gpa, 1);
}

static void window_out(struct rig *rig, uint64_t gpa, uint8_t value)
{
    bus_mmio_write(machine_bus(rig->fake->machine), gpa, value, 1);
}

static void set(struct rig *rig, uint16_t port, uint8_t index, uint8_t value)
{
    fake_outw(rig->fake, port, (uint16_t)(index | value << 8));
}

static void print_at(struct rig *rig, unsigned row, const char *text)
{
    for (unsigned i = 0; text[i]; i++)
        window_out(rig, 0xB8000 + row * 160 + 2 * i, (uint8_t)text[i]);
}

static void vbe(struct rig *rig, uint16_t index, uint16_t value)
{
    fake_outw(rig->fake, 0x1CE, index);
    fake_outw(rig->fake, 0x1CF, value);
}

static uint16_t vbe_get(struct rig *rig, uint16_t index)
{
    fake_outw(rig->fake, 0x1CE, index);
    return fake_inw(rig->fake, 0x1CF);
}

static void set_mode(struct rig *rig, uint16_t width, uint16_t height, uint16_t bpp)
{
    vbe(rig, 4, 0);
    vbe(rig, 1, width);
    vbe(rig, 2, height);
    vbe(rig, 3, bpp);
    vbe(rig, 4, 0x41);
}

static struct board_screen look(struct rig *rig)
{
    struct board_screen screen;
    ck_assert_int_eq(vga_screen(rig->device, &screen), STATUS_OK);
    return screen;
}

static void look_away(struct board_screen *screen)
{
    free(screen->pixels);
    free(screen->utf8);
}

START_TEST(text_screen_is_read_as_utf8)
{
    struct rig *rig = rig_create(build);
    vga_enter_text_mode(rig->device);
    print_at(rig, 0, "vmrr  ");
    print_at(rig, 24, "\xC9\xCD\xBB \x81");
    ck_assert_int_eq(window_in(rig, 0xB8000), 'v');
    ck_assert_int_eq(window_in(rig, 0xB8001), 0x07);
    struct board_screen screen = look(rig);
    ck_assert(screen.text);
    ck_assert_uint_eq(screen.width, 80);
    ck_assert_uint_eq(screen.height, 25);
    ck_assert_uint_eq(screen.pixel_width, 720);
    ck_assert_uint_eq(screen.pixel_height, 400);
    ck_assert_str_eq(screen.utf8, "vmrr\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n╔═╗ ü\n");
    look_away(&screen);
    rig_destroy(rig);
}
END_TEST

START_TEST(start_address_scrolls)
{
    struct rig *rig = rig_create(build);
    vga_enter_text_mode(rig->device);
    print_at(rig, 0, "gone");
    print_at(rig, 1, "top");
    set(rig, 0x3D4, 0x0D, 80);
    struct board_screen screen = look(rig);
    ck_assert_int_eq(strncmp(screen.utf8, "top\n", 4), 0);
    look_away(&screen);
    rig_destroy(rig);
}
END_TEST

/* Without a video BIOS there is a font too: an I is a vertical line with bars; every printable character differs. */
START_TEST(own_font)
{
    struct rig *rig = rig_create(build);
    uint8_t glyphs[95][32];
    vga_enter_text_mode(rig->device);
    set(rig, 0x3CE, 4, 0x02);
    set(rig, 0x3CE, 5, 0x00);
    set(rig, 0x3CE, 6, 0x04);
    set(rig, 0x3C4, 4, 0x07);
    for (unsigned code = 0x20; code < 0x7F; code++) {
        for (unsigned line = 0; line < 32; line++)
            glyphs[code - 0x20][line] = (uint8_t)window_in(rig, 0xA0000 + code * 32 + line);
        for (unsigned other = 0x20; other < code; other++)
            ck_assert_msg(memcmp(glyphs[code - 0x20], glyphs[other - 0x20], 32), "%c and %c look the same", code,
                          other);
    }
    ck_assert_uint_eq(glyphs['I' - 0x20][0], 0x38);
    ck_assert_uint_eq(glyphs['I' - 0x20][6], 0x10);
    ck_assert_uint_eq(glyphs['I' - 0x20][13], 0x38);
    ck_assert_uint_eq(glyphs['I' - 0x20][14], 0x00);
    rig_destroy(rig);
}
END_TEST

/* Loads a glyph as a BIOS does, into plane 2, and finds it in the pixels. */
START_TEST(font_plane_makes_pixels)
{
    struct rig *rig = rig_create(build);
    vga_enter_text_mode(rig->device);
    set(rig, 0x3C4, 2, 0x04);
    set(rig, 0x3C4, 4, 0x07);
    set(rig, 0x3CE, 4, 0x02);
    set(rig, 0x3CE, 5, 0x00);
    set(rig, 0x3CE, 6, 0x04);
    for (unsigned line = 0; line < 16; line++)
        window_out(rig, 0xA0000 + 'x' * 32 + line, line == 3 ? 0x81 : 0);
    ck_assert_int_eq(window_in(rig, 0xA0000 + 'x' * 32 + 3), 0x81);
    set(rig, 0x3C4, 2, 0x03);
    set(rig, 0x3C4, 4, 0x02);
    set(rig, 0x3CE, 4, 0x00);
    set(rig, 0x3CE, 5, 0x10);
    set(rig, 0x3CE, 6, 0x0E);
    window_out(rig, 0xB8002, 'x');
    window_out(rig, 0xB8003, 0x1E); /* yellow on blue */
    struct board_screen screen = look(rig);
    const uint32_t *line = screen.pixels + 3 * screen.pixel_width + 9;
    ck_assert_uint_eq(line[0], 0xFFFF55);
    ck_assert_uint_eq(line[1], 0x0000AA);
    ck_assert_uint_eq(line[7], 0xFFFF55);
    ck_assert_uint_eq(line[8], 0x0000AA);
    look_away(&screen);
    rig_destroy(rig);
}
END_TEST

static void enter_planar(struct rig *rig)
{
    vga_enter_text_mode(rig->device);
    set(rig, 0x3C4, 2, 0x0F);
    set(rig, 0x3C4, 4, 0x06);
    set(rig, 0x3CE, 5, 0x00);
    set(rig, 0x3CE, 6, 0x05);
    for (uint64_t gpa = 0xA0000; gpa < 0xA0200; gpa++)
        window_out(rig, gpa, 0); /* blanks of the text mode */
}

static uint8_t plane(struct rig *rig, unsigned number, uint64_t gpa)
{
    set(rig, 0x3CE, 4, (uint8_t)number);
    return window_in(rig, gpa);
}

START_TEST(write_modes)
{
    struct rig *rig = rig_create(build);
    enter_planar(rig);
    /* Mode 0: rotate, set/reset in plane 1, bit mask. */
    set(rig, 0x3CE, 1, 0x02);
    set(rig, 0x3CE, 0, 0x02);
    set(rig, 0x3CE, 3, 0x04);
    set(rig, 0x3CE, 8, 0xFC);
    window_out(rig, 0xA0010, 0x0F);
    ck_assert_int_eq(plane(rig, 0, 0xA0010), 0xF0);
    ck_assert_int_eq(plane(rig, 1, 0xA0010), 0xFC);
    set(rig, 0x3CE, 1, 0);
    set(rig, 0x3CE, 3, 0);
    /* Mode 1 copies the latches, all planes at once. */
    (void)window_in(rig, 0xA0010);
    set(rig, 0x3CE, 5, 0x01);
    window_out(rig, 0xA0020, 0x55);
    ck_assert_int_eq(plane(rig, 0, 0xA0020), 0xF0);
    ck_assert_int_eq(plane(rig, 1, 0xA0020), 0xFC);
    /* Mode 2: a colour into the masked bits. */
    set(rig, 0x3CE, 5, 0x02);
    set(rig, 0x3CE, 8, 0x80);
    (void)window_in(rig, 0xA0030);
    window_out(rig, 0xA0030, 0x05);
    ck_assert_int_eq(plane(rig, 0, 0xA0030), 0x80);
    ck_assert_int_eq(plane(rig, 1, 0xA0030), 0x00);
    ck_assert_int_eq(plane(rig, 2, 0xA0030), 0x80);
    /* Mode 3: set/reset through data as the mask. */
    set(rig, 0x3CE, 5, 0x03);
    set(rig, 0x3CE, 8, 0xFF);
    set(rig, 0x3CE, 0, 0x01);
    (void)window_in(rig, 0xA0040);
    window_out(rig, 0xA0040, 0x3C);
    ck_assert_int_eq(plane(rig, 0, 0xA0040), 0x3C);
    ck_assert_int_eq(plane(rig, 1, 0xA0040), 0x00);
    /* Function XOR with the latch. */
    set(rig, 0x3CE, 5, 0x00);
    set(rig, 0x3CE, 3, 0x18);
    (void)plane(rig, 0, 0xA0040);
    window_out(rig, 0xA0040, 0xFF);
    ck_assert_int_eq(plane(rig, 0, 0xA0040), 0xC3);
    /* Read mode 1: pixels of colour 1. */
    set(rig, 0x3CE, 5, 0x08);
    set(rig, 0x3CE, 2, 0x0F);
    set(rig, 0x3CE, 7, 0x0F);
    ck_assert_int_eq(window_in(rig, 0xA0040), 0xC3);
    rig_destroy(rig);
}
END_TEST

START_TEST(planar_pixels)
{
    struct rig *rig = rig_create(build);
    enter_planar(rig);
    static const uint8_t crtc[][2] = {{1, 79}, {7, 0x3E}, {9, 0x40}, {0x12, 0xDF}, {0x13, 40}, {0x17, 0xE3}};
    set(rig, 0x3D4, 0x11, 0);
    for (unsigned i = 0; i < sizeof crtc / sizeof *crtc; i++)
        set(rig, 0x3D4, crtc[i][0], crtc[i][1]);
    window_out(rig, 0xA0000 + 80, 0x01); /* line 1, pixel 7, all planes */
    struct board_screen screen = look(rig);
    ck_assert(!screen.text && !screen.utf8);
    ck_assert_uint_eq(screen.width, 640);
    ck_assert_uint_eq(screen.height, 480);
    ck_assert_uint_eq(screen.pixels[640 + 7], 0xFFFFFF);
    ck_assert_uint_eq(screen.pixels[640 + 6], 0);
    look_away(&screen);
    rig_destroy(rig);
}
END_TEST

START_TEST(chain4_is_linear)
{
    struct rig *rig = rig_create(build);
    enter_planar(rig);
    set(rig, 0x3C4, 4, 0x0E);
    for (unsigned i = 0; i < 16; i++)
        window_out(rig, 0xA0100 + i, (uint8_t)(0x10 + i));
    for (unsigned i = 0; i < 16; i++)
        ck_assert_int_eq(window_in(rig, 0xA0100 + i), 0x10 + (int)i);
    rig_destroy(rig);
}
END_TEST

START_TEST(dac_auto_increments)
{
    struct rig *rig = rig_create(build);
    fake_outb(rig->fake, 0x3C8, 7);
    for (uint8_t i = 1; i <= 6; i++)
        fake_outb(rig->fake, 0x3C9, (uint8_t)(0xC0 | i)); /* six bits are kept */
    fake_outb(rig->fake, 0x3C7, 7);
    ck_assert_int_eq(fake_inb(rig->fake, 0x3C7), 3);
    for (uint8_t i = 1; i <= 6; i++)
        ck_assert_int_eq(fake_inb(rig->fake, 0x3C9), i);
    rig_destroy(rig);
}
END_TEST

START_TEST(attribute_flip_flop_and_crtc_lock)
{
    struct rig *rig = rig_create(build);
    fake_outb(rig->fake, 0x3C2, 0x63);
    (void)fake_inb(rig->fake, 0x3DA);
    fake_outb(rig->fake, 0x3C0, 0x02);
    fake_outb(rig->fake, 0x3C0, 0x2A);
    (void)fake_inb(rig->fake, 0x3DA);
    fake_outb(rig->fake, 0x3C0, 0x02);
    ck_assert_int_eq(fake_inb(rig->fake, 0x3C1), 0x2A);
    ck_assert_int_eq(fake_inb(rig->fake, 0x3BA), 0xFF); /* a colour adapter */
    set(rig, 0x3D4, 0x11, 0x80);
    set(rig, 0x3D4, 0x01, 0x27);
    set(rig, 0x3D4, 0x07, 0xFF);
    fake_outb(rig->fake, 0x3D4, 0x01);
    ck_assert_int_eq(fake_inb(rig->fake, 0x3D5), 0);
    fake_outb(rig->fake, 0x3D4, 0x07);
    ck_assert_int_eq(fake_inb(rig->fake, 0x3D5), 0x10);
    rig_destroy(rig);
}
END_TEST

START_TEST(retrace_follows_virtual_time)
{
    struct rig *rig = rig_create(build);
    unsigned retraces = 0, before = 0;
    fake_outb(rig->fake, 0x3C2, 0x63);
    for (unsigned i = 0; i < 10000; i++) {
        fake_machine_advance_ns(rig->fake, 10000);
        unsigned now = fake_inb(rig->fake, 0x3DA) >> 3 & 1;
        retraces += now && !before;
        before = now;
    }
    ck_assert_uint_eq(retraces, 7); /* 70 Hz for 0.1 s */
    rig_destroy(rig);
}
END_TEST

START_TEST(vbe_mode_through_window_and_frame_buffer)
{
    struct rig *rig = rig_create(build);
    struct memory *memory = machine_memory(rig->fake->machine);
    ck_assert_uint_eq(vbe_get(rig, 0), 0xB0C5);
    ck_assert_uint_eq(vbe_get(rig, 10), 256);
    vbe(rig, 4, 2);
    ck_assert_uint_eq(vbe_get(rig, 1), 2560);
    set_mode(rig, 800, 600, 32);
    ck_assert_uint_eq(vbe_get(rig, 4), 0x41);
    ck_assert_uint_eq(vbe_get(rig, 6), 800);
    ck_assert_uint_eq(vbe_get(rig, 7), (16 << 20) / 3200);
    pci_bus_config_write(bus_of_test(rig), 2, 0, PCI_BAR0, 0xFD000000, 4);
    pci_bus_config_write(bus_of_test(rig), 2, 0, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    memory_write_u32(memory, 0xFD000000 + 3200 * 599 + 4 * 799, 0x00123456);
    vbe(rig, 5, 1); /* bank 1: 64 KiB on */
    window_out(rig, 0xA0000 + 1, 0x77);
    ck_assert_uint_eq(memory_read_u32(memory, 0xFD010000), 0x7700);
    struct board_screen screen = look(rig);
    ck_assert_uint_eq(screen.width, 800);
    ck_assert_uint_eq(screen.pixels[800 * 599 + 799], 0x123456);
    ck_assert_uint_eq(screen.pixels[0x4000], 0x7700);
    look_away(&screen);
    pci_bus_config_write(bus_of_test(rig), 2, 0, PCI_COMMAND, 0, 2);
    ck_assert_uint_eq(memory_read_u32(memory, 0xFD010000), 0xFFFFFFFF);
    rig_destroy(rig);
}
END_TEST

START_TEST(vbe_refuses_what_does_not_fit)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 2560, 1600, 32); /* 16,384,000 bytes: fits */
    ck_assert_uint_eq(vbe_get(rig, 4) & 1, 1);
    set_mode(rig, 640, 480, 7);
    ck_assert_uint_eq(vbe_get(rig, 4) & 1, 0);
    set_mode(rig, 0, 480, 8);
    ck_assert_uint_eq(vbe_get(rig, 4) & 1, 0);
    vbe(rig, 1, 4000);
    ck_assert_uint_eq(vbe_get(rig, 1), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(offsets_beyond_video_memory_show_black)
{
    struct rig *rig = rig_create(build);
    set_mode(rig, 640, 480, 24);
    vbe(rig, 8, 0xFFFF);
    vbe(rig, 9, 0xFFFF);
    struct board_screen screen = look(rig);
    ck_assert_uint_eq(screen.pixels[640 * 480 - 1], 0);
    look_away(&screen);
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    enter_planar(rig);
    (void)window_in(rig, 0xA0000);
    fake_outb(rig->fake, 0x3C8, 9);
    fake_outb(rig->fake, 0x3C9, 5);
    fake_outb(rig->fake, 0x3C0, 3);
    set_mode(rig, 640, 480, 16);
}

static void after_load(struct rig *rig)
{
    fake_outb(rig->fake, 0x3C9, 6);
    fake_outb(rig->fake, 0x3C9, 7);
    fake_outb(rig->fake, 0x3C0, 0x11);
    fake_outb(rig->fake, 0x3C7, 9);
    for (int i = 0; i < 3; i++)
        rig_log(rig, fake_inb(rig->fake, 0x3C9));
    for (uint16_t i = 0; i < 11; i++)
        rig_log(rig, vbe_get(rig, i));
}

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("vga", text_screen_is_read_as_utf8, start_address_scrolls, own_font, font_plane_makes_pixels, write_modes,
         planar_pixels, chain4_is_linear, dac_auto_increments, attribute_flip_flop_and_crtc_lock,
         retrace_follows_virtual_time, vbe_mode_through_window_and_frame_buffer, vbe_refuses_what_does_not_fit,
         offsets_beyond_video_memory_show_black, state_is_whole)
