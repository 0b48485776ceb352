/* See screendump.h. */
#include "tools/screendump.h"

#include "devices/board_pc.h"
#include "tools/tools.h"

#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

static bool ends_in(const char *path, const char *suffix)
{
    size_t length = strlen(path), end = strlen(suffix);
    return length > end && !strcmp(path + length - end, suffix);
}

static enum screendump_format format_of(const char *path)
{
    if (!strcmp(path, "-") || ends_in(path, ".txt"))
        return SCREENDUMP_TEXT;
    return ends_in(path, ".ppm") ? SCREENDUMP_PPM : SCREENDUMP_PNG;
}

static enum status write_text(FILE *file, const char *text)
{
    return fputs(text, file) < 0 ? STATUS_IO : STATUS_OK;
}

static uint8_t *rgb_of(const struct board_screen *screen)
{
    size_t pixels = (size_t)screen->pixel_width * screen->pixel_height;
    uint8_t *rgb = malloc(pixels * 3);
    CHECK(rgb);
    for (size_t n = 0; n < pixels; n++) {
        rgb[3 * n] = (uint8_t)(screen->pixels[n] >> 16);
        rgb[3 * n + 1] = (uint8_t)(screen->pixels[n] >> 8);
        rgb[3 * n + 2] = (uint8_t)screen->pixels[n];
    }
    return rgb;
}

static enum status write_png(FILE *file, const struct board_screen *screen, const uint8_t *rgb)
{
    png_image image = {.version = PNG_IMAGE_VERSION,
                       .width = screen->pixel_width,
                       .height = screen->pixel_height,
                       .format = PNG_FORMAT_RGB};
    return png_image_write_to_stdio(&image, file, 0, rgb, 0, NULL) ? STATUS_OK : STATUS_IO;
}

static enum status write_ppm(FILE *file, const struct board_screen *screen, const uint8_t *rgb)
{
    size_t pixels = (size_t)screen->pixel_width * screen->pixel_height;
    if (fprintf(file, "P6\n%u %u\n255\n", screen->pixel_width, screen->pixel_height) < 0)
        return STATUS_IO;
    return fwrite(rgb, 3, pixels, file) == pixels ? STATUS_OK : STATUS_IO;
}

static enum status write_screen(FILE *file, const struct board_screen *screen, enum screendump_format format)
{
    if (format == SCREENDUMP_TEXT)
        return write_text(file, screen->utf8);
    uint8_t *rgb = rgb_of(screen);
    enum status status = format == SCREENDUMP_PPM ? write_ppm(file, screen, rgb) : write_png(file, screen, rgb);
    free(rgb);
    return status;
}

static enum status write_file(const char *path, const struct board_screen *screen, enum screendump_format format,
                              struct error *error)
{
    FILE *file = !strcmp(path, "-") ? stdout : fopen(path, "we");
    if (!file)
        return error_status(error, STATUS_IO, "failed to open file '%s': %s", path, strerror(errno));
    enum status status = write_screen(file, screen, format);
    if ((file == stdout ? fflush(file) : fclose(file)) || status)
        return error_status(error, STATUS_IO, "%s: %s", path, strerror(errno));
    return STATUS_OK;
}

enum status screendump_to(struct machine *machine, const char *path, enum screendump_format format, struct error *error)
{
    struct board_screen screen = {0};
    enum status status;
    if (format == SCREENDUMP_BY_NAME)
        format = format_of(path);
    if (board_pc_screen(machine, &screen))
        return error_status(error, STATUS_NOT_FOUND, "%s: the machine has no screen", path);
    if (format == SCREENDUMP_TEXT && !screen.utf8)
        status = error_status(error, STATUS_UNSUPPORTED,
                              "%s: the screen is in a graphics mode: name a .png or .ppm file", path);
    else if (format != SCREENDUMP_TEXT && !screen.pixels)
        status = error_status(error, STATUS_UNSUPPORTED, "%s: the screen has no picture", path);
    else
        status = write_file(path, &screen, format, error);
    free(screen.pixels);
    free(screen.utf8);
    return status;
}

void screendump_write(struct machine *machine, const char *path)
{
    struct error error = {0};
    if (screendump_to(machine, path, SCREENDUMP_BY_NAME, &error))
        tool_error("%s", error.text);
}
