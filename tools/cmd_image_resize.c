/* vmrr image resize: another size of an image. */
#include "tools/image.h"

#include <inttypes.h>
#include <string.h>

struct resizing {
    const char *path, *format;
    enum qcow2_preallocation preallocation;
    bool shrink, quiet;
    int sign; /* of a size that is relative; 0: it is not */
    uint64_t bytes;
};

/* The last argument is the size, also where it begins with a minus. */
static bool take_size(struct resizing *resizing, const char *text)
{
    resizing->sign = *text == '+' ? 1 : *text == '-' ? -1 : 0;
    return image_parse_size(text + (resizing->sign != 0), &resizing->bytes);
}

static bool take_preallocation(struct resizing *resizing, const char *text)
{
    static const char *const modes[] = {"off", "metadata", "falloc", "full"};
    for (unsigned n = 0; n < 4; n++) {
        if (!strcmp(modes[n], text)) {
            resizing->preallocation = (enum qcow2_preallocation)n;
            return true;
        }
    }
    tool_error("Invalid preallocation mode '%s'", text);
    return false;
}

static bool parse(struct resizing *resizing, int argc, char **argv)
{
    enum { SHRINK = 256, PREALLOCATION };
    static const struct option longs[] = {
        {"shrink", no_argument, NULL, SHRINK}, {"preallocation", required_argument, NULL, PREALLOCATION}, {0}};
    int option;
    if (argc < 3) {
        tool_error("image resize: expected a file name and a size");
        return false;
    }
    if (!take_size(resizing, argv[argc - 1]))
        return false;
    argv[--argc] = NULL;
    while ((option = getopt_long(argc, argv, "f:q", longs, NULL)) != -1) {
        switch (option) {
        case 'f': resizing->format = optarg; break;
        case 'q': resizing->quiet = true; break;
        case SHRINK: resizing->shrink = true; break;
        case PREALLOCATION:
            if (!take_preallocation(resizing, optarg))
                return false;
            break;
        default: return false;
        }
    }
    if (argc - optind != 1) {
        tool_error("image resize: expected a file name and a size");
        return false;
    }
    resizing->path = argv[optind];
    return true;
}

/* The size asked for; false, and said why. */
static bool new_size(const struct resizing *resizing, uint64_t old_bytes, uint64_t *bytes)
{
    uint64_t asked = resizing->bytes;
    if (resizing->sign < 0)
        *bytes = asked < old_bytes ? old_bytes - asked : 0;
    else
        *bytes = resizing->sign ? old_bytes + asked : asked;
    if (!*bytes) {
        tool_error("New image size must be positive");
        return false;
    }
    if (*bytes < old_bytes && resizing->preallocation != QCOW2_PREALLOC_OFF) {
        tool_error("Preallocation can only be used for growing images");
        return false;
    }
    if (*bytes < old_bytes && !resizing->shrink) {
        tool_error("Use the --shrink option to perform a shrink operation.");
        tool_error(
            "warning: Shrinking an image will delete all data beyond the shrunken image's end. Before performing "
            "such an operation, make sure there is no important data there.");
        return false;
    }
    if (*bytes > INT64_MAX || *bytes % BLOCK_SECTOR_BYTES) {
        tool_error("The new size must be a multiple of %u", BLOCK_SECTOR_BYTES);
        return false;
    }
    return true;
}

/* The new part: full writes it, falloc has the host allocate it. */
static enum status fill_raw(struct block_image *image, uint64_t sector, bool full)
{
    static const uint8_t zeros[65536];
    const uint32_t piece = sizeof zeros / BLOCK_SECTOR_BYTES;
    enum status status = STATUS_OK;
    if (!full)
        return block_image_zero(image, sector, image->size_sectors - sector, false);
    for (; sector < image->size_sectors && !status; sector += piece) {
        uint64_t left = image->size_sectors - sector;
        status = image->ops->write(image, sector, left < piece ? (uint32_t)left : piece, zeros, false);
    }
    return status;
}

static enum status resize_raw(struct block_image *image, const struct resizing *resizing, uint64_t bytes,
                              struct error *error)
{
    uint64_t old_sectors = image->size_sectors;
    enum qcow2_preallocation preallocation = resizing->preallocation;
    if (preallocation == QCOW2_PREALLOC_METADATA)
        return error_status(error, STATUS_UNSUPPORTED, "Unsupported preallocation mode: metadata");
    enum status status = image->ops->resize(image, bytes / BLOCK_SECTOR_BYTES, error);
    if (!status && preallocation != QCOW2_PREALLOC_OFF && image->size_sectors > old_sectors)
        status = fill_raw(image, old_sectors, preallocation == QCOW2_PREALLOC_FULL);
    return status ? error_status(error, status, "%s: %s", image->name, status_name(status)) : STATUS_OK;
}

static enum status resize_image(struct block_image *image, const struct resizing *resizing, uint64_t bytes,
                                struct error *error)
{
    uint64_t old_bytes = image->size_sectors * BLOCK_SECTOR_BYTES;
    struct qcow2_info info;
    if (!block_qcow2_info(image, &info))
        return resize_raw(image, resizing, bytes, error);
    if (resizing->preallocation != QCOW2_PREALLOC_OFF && info.backing_name && !info.extended_l2)
        return error_status(
            error, STATUS_INVALID,
            "%s: backing file and preallocation can only be used at the same time if extended_l2 is enabled",
            image->name);
    enum status status = image->ops->resize(image, bytes / BLOCK_SECTOR_BYTES, error);
    if (!status && resizing->preallocation != QCOW2_PREALLOC_OFF)
        status = block_qcow2_preallocate(image, old_bytes, resizing->preallocation, error);
    return status;
}

int image_resize(int argc, char **argv)
{
    struct resizing resizing = {0};
    struct error error = {0};
    uint64_t bytes = 0;
    if (!parse(&resizing, argc, argv))
        return EXIT_CODE_FAILED;
    struct block_image *image = image_open(resizing.path, &(struct block_open_options){.format = resizing.format});
    if (!image)
        return EXIT_CODE_FAILED;
    bool fine = new_size(&resizing, image->size_sectors * BLOCK_SECTOR_BYTES, &bytes);
    if (fine && resize_image(image, &resizing, bytes, &error)) {
        tool_error("%s", error.text);
        fine = false;
    }
    if (!image_close(image))
        fine = false;
    if (fine && !resizing.quiet)
        printf("Image resized.\n");
    return fine ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
