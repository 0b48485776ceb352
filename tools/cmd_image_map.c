/* vmrr image map: which part of the disk lies where. */
#include "tools/image.h"

#include <inttypes.h>
#include <string.h>

struct mapping {
    bool json, any;
    bool failed;
    uint64_t start; /* of extent, in sectors */
    struct block_extent extent;
};

static bool has(const struct block_extent *extent, unsigned flag)
{
    return extent->flags & flag;
}

/* Compressed data have no place of their own to tell. */
static bool has_offset(const struct block_extent *extent)
{
    return has(extent, BLOCK_EXTENT_OFFSET) && !has(extent, BLOCK_EXTENT_COMPRESSED);
}

static void print_json(struct mapping *mapping)
{
    const struct block_extent *extent = &mapping->extent;
    printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64
           ", \"depth\": %u, \"present\": %s, \"zero\": %s, \"data\": %s",
           mapping->any ? ",\n" : "[", mapping->start * 512, extent->sectors * 512, extent->depth,
           has(extent, BLOCK_EXTENT_ALLOCATED) ? "true" : "false", has(extent, BLOCK_EXTENT_ZERO) ? "true" : "false",
           has(extent, BLOCK_EXTENT_DATA) ? "true" : "false");
    if (has_offset(extent))
        printf(", \"offset\": %" PRIu64, extent->file_offset);
    printf("}");
}

static void print_human(struct mapping *mapping)
{
    const struct block_extent *extent = &mapping->extent;
    if (!has(extent, BLOCK_EXTENT_DATA) || has(extent, BLOCK_EXTENT_ZERO))
        return;
    if (!has_offset(extent)) {
        tool_error("File contains external, encrypted or compressed clusters.");
        mapping->failed = true;
        return;
    }
    printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", mapping->start * 512, extent->sectors * 512,
           extent->file_offset, extent->file->path);
}

static void print_extent(struct mapping *mapping)
{
    if (!mapping->extent.sectors)
        return;
    if (mapping->json)
        print_json(mapping);
    else
        print_human(mapping);
    mapping->any = true;
}

static bool continues(const struct block_extent *extent, const struct block_extent *next)
{
    return extent->sectors && extent->flags == next->flags && extent->depth == next->depth &&
           (!has_offset(extent) ||
            (extent->file == next->file && extent->file_offset + extent->sectors * 512 == next->file_offset));
}

static enum status map_all(struct mapping *mapping, struct block_image *image, uint64_t sector, uint64_t end)
{
    struct block_extent next;
    for (; sector < end && !mapping->failed; sector += next.sectors) {
        enum status status = block_image_map(image, sector, end - sector, &next);
        if (status)
            return status;
        if (continues(&mapping->extent, &next)) {
            mapping->extent.sectors += next.sectors;
            continue;
        }
        print_extent(mapping);
        mapping->extent = next;
        mapping->start = sector;
    }
    if (!mapping->failed)
        print_extent(mapping);
    return STATUS_OK;
}

static int map_image(struct block_image *image, bool json, uint64_t start, uint64_t length)
{
    struct mapping mapping = {.json = json};
    uint64_t size = image->size_sectors * 512;
    if (start > size)
        start = size;
    uint64_t end = length < size - start ? start + length : size;
    if (!json)
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    enum status status = map_all(&mapping, image, start / 512, (end + 511) / 512);
    if (json)
        printf("%s]\n", mapping.any ? "" : "[");
    if (status) {
        const char *fault = block_image_fault(image);
        tool_error("%s: %s", image->name, fault ? fault : status_name(status));
    }
    return status || mapping.failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int image_map(int argc, char **argv)
{
    static const struct option longs[] = {{"output", required_argument, NULL, 'O'},
                                          {"start-offset", required_argument, NULL, 's'},
                                          {"max-length", required_argument, NULL, 'l'},
                                          {0}};
    const char *format = NULL;
    uint64_t start = 0, length = UINT64_MAX;
    bool json = false, share = false;
    int option;
    while ((option = getopt_long(argc, argv, "f:s:l:U", longs, NULL)) != -1) {
        bool fine = option != '?';
        switch (option) {
        case 'f': format = optarg; break;
        case 'U': share = true; break;
        case 's': fine = image_parse_size(optarg, &start); break;
        case 'l': fine = image_parse_size(optarg, &length); break;
        case 'O': fine = image_output_json(optarg, &json); break;
        default: break;
        }
        if (!fine)
            return EXIT_CODE_FAILED;
    }
    if (argc - optind != 1) {
        tool_error("image map: expected one file name");
        return EXIT_CODE_FAILED;
    }
    struct block_image *image = image_open(
        argv[optind], &(struct block_open_options){.format = format, .read_only = true, .host = image_sharing(share)});
    int code = image ? map_image(image, json, start, length) : EXIT_CODE_FAILED;
    block_image_destroy(image);
    return code;
}
