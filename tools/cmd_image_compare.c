/* vmrr image compare: do two images show the same disk. */
#include "tools/image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SECTORS 4096u

struct comparing {
    struct block_image *image[2];
    bool quiet, strict, progress, share;
    uint8_t *buffer[2];
};

static void say(const struct comparing *comparing, const char *text)
{
    if (!comparing->quiet)
        printf("%s\n", text);
}

/* Zeros past the end, as if the shorter image were as long. */
static enum status read_one(struct block_image *image, uint64_t sector, uint32_t sectors, uint8_t *out)
{
    uint64_t there = sector >= image->size_sectors ? 0 : image->size_sectors - sector;
    uint32_t part = there < sectors ? (uint32_t)there : sectors;
    memset(out + (size_t)part * 512, 0, (size_t)(sectors - part) * 512);
    return part ? image->ops->read(image, sector, part, out) : STATUS_OK;
}

/* Zeros in both as far as the maps know. */
static enum status zero_run(const struct comparing *comparing, uint64_t sector, uint64_t left, uint64_t *run)
{
    *run = left;
    for (unsigned n = 0; n < 2; n++) {
        struct block_image *image = comparing->image[n];
        struct block_extent extent;
        if (sector >= image->size_sectors)
            continue;
        enum status status = block_image_map(image, sector, left, &extent);
        if (status)
            return status;
        bool zero = extent.flags & BLOCK_EXTENT_ZERO;
        *run = !zero ? 0 : extent.sectors < *run ? extent.sectors : *run;
    }
    return STATUS_OK;
}

static int unreadable(const struct comparing *comparing, unsigned which, uint64_t sector, enum status status)
{
    struct block_image *image = comparing->image[which];
    const char *fault = block_image_fault(image);
    tool_error("%s: offset %" PRIu64 ": %s", image->name, sector * 512, fault ? fault : status_name(status));
    return IMAGE_COMPARE_READ;
}

static int compare_piece(const struct comparing *comparing, uint64_t sector, uint32_t sectors)
{
    for (unsigned n = 0; n < 2; n++) {
        enum status status = read_one(comparing->image[n], sector, sectors, comparing->buffer[n]);
        if (status)
            return unreadable(comparing, n, sector, status);
    }
    if (!memcmp(comparing->buffer[0], comparing->buffer[1], (size_t)sectors * 512))
        return EXIT_CODE_OK;
    uint32_t first = 0;
    while (!memcmp(comparing->buffer[0] + (size_t)first * 512, comparing->buffer[1] + (size_t)first * 512, 512))
        first++;
    if (!comparing->quiet)
        printf("Content mismatch at offset %" PRIu64 "!\n", (sector + first) * 512);
    return IMAGE_COMPARE_DIFFERENT;
}

static int compare_all(const struct comparing *comparing)
{
    uint64_t a = comparing->image[0]->size_sectors, b = comparing->image[1]->size_sectors, end = a > b ? a : b;
    uint64_t common = a < b ? a : b;
    if (a != b && comparing->strict) {
        say(comparing, "Strict mode: Image size mismatch!");
        return IMAGE_COMPARE_DIFFERENT;
    }
    for (uint64_t sector = 0, run; sector < end; sector += run) {
        uint64_t stop = sector < common ? common : end; /* the rest of the longer one comes after the warning */
        if (sector == common && a != b)
            say(comparing, "Warning: Image size mismatch!");
        enum status status = zero_run(comparing, sector, stop - sector, &run);
        if (status)
            return unreadable(comparing, 0, sector, status);
        if (!run) {
            run = stop - sector < CHUNK_SECTORS ? stop - sector : CHUNK_SECTORS;
            int code = compare_piece(comparing, sector, (uint32_t)run);
            if (code)
                return code;
        }
        if (comparing->progress) {
            printf("    (%3.2f/100%%)\r", (double)(sector + run) * 100 / (double)end);
            fflush(stdout);
        }
    }
    say(comparing, "Images are identical.");
    return EXIT_CODE_OK;
}

int image_compare(int argc, char **argv)
{
    static const struct option longs[] = {{0}};
    const char *format[2] = {NULL, NULL};
    struct comparing comparing = {0};
    int option, code = IMAGE_COMPARE_OPEN;
    while ((option = getopt_long(argc, argv, "f:F:pqsUT:", longs, NULL)) != -1) {
        switch (option) {
        case 'f': format[0] = optarg; break;
        case 'F': format[1] = optarg; break;
        case 'U': comparing.share = true; break;
        case 'p': comparing.progress = true; break;
        case 'q': comparing.quiet = true; break;
        case 's': comparing.strict = true; break;
        case '?': return IMAGE_COMPARE_OPEN;
        default: break;
        }
    }
    if (argc - optind != 2) {
        tool_error("image compare: expected two file names");
        return IMAGE_COMPARE_OPEN;
    }
    comparing.progress &= !comparing.quiet;
    bool fine = true;
    for (unsigned n = 0; n < 2 && fine; n++) {
        comparing.buffer[n] = malloc((size_t)CHUNK_SECTORS * 512);
        comparing.image[n] = image_open(
            argv[optind + (int)n], &(struct block_open_options){
                                       .format = format[n], .read_only = true, .host = image_sharing(comparing.share)});
        fine = comparing.buffer[n] && comparing.image[n];
    }
    if (fine)
        code = compare_all(&comparing);
    for (unsigned n = 0; n < 2; n++) {
        block_image_destroy(comparing.image[n]);
        free(comparing.buffer[n]);
    }
    return code;
}
