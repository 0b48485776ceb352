/* See screendump.h. */
#include "tools/screendump.h"

#include "devices/board_pc.h"
#include "tools/tools.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

static bool wants_text(const char *path)
{
    size_t length = strlen(path);
    return !strcmp(path, "-") || (length > 4 && !strcmp(path + length - 4, ".txt"));
}

static void write_text(const char *path, const char *text)
{
    FILE *file = !strcmp(path, "-") ? stdout : fopen(path, "we");
    if (!file) {
        tool_error("%s: %s", path, strerror(errno));
        return;
    }
    fputs(text, file);
    if (file != stdout && fclose(file))
        tool_error("%s: %s", path, strerror(errno));
}

static void write_png(const char *path, const struct board_screen *screen)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = screen->pixel_width,
                       .height = screen->pixel_height,
                       .format = PNG_FORMAT_RGB};
    size_t pixels = (size_t)screen->pixel_width * screen->pixel_height;
    uint8_t *rgb = malloc(pixels * 3);
    CHECK(rgb);
    for (size_t n = 0; n < pixels; n++) {
        rgb[3 * n] = (uint8_t)(screen->pixels[n] >> 16);
        rgb[3 * n + 1] = (uint8_t)(screen->pixels[n] >> 8);
        rgb[3 * n + 2] = (uint8_t)screen->pixels[n];
    }
    if (!png_image_write_to_file(&image, path, 0, rgb, 0, NULL))
        tool_error("%s: %s", path, image.message);
    free(rgb);
}

void screendump_write(struct machine *machine, const char *path)
{
    struct board_screen screen = {0};
    if (board_pc_screen(machine, &screen)) {
        tool_error("%s: the machine has no screen", path);
        return;
    }
    if (wants_text(path) && screen.utf8)
        write_text(path, screen.utf8);
    else if (wants_text(path))
        tool_error("%s: the screen is in a graphics mode: name a .png file", path);
    else if (screen.pixels)
        write_png(path, &screen);
    free(screen.pixels);
    free(screen.utf8);
}
