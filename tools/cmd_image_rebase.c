/* vmrr image rebase: another backing file. Safe mode (without -u) keeps what the image reads as: where the old and the new
 * backing files differ and the image has nothing of its own, it gets the old one's data. */
#include "block/open.h"
#include "tools/image.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_SECTORS 4096u

struct rebasing {
    const char *path, *format, *backing, *backing_format;
    bool unsafe, progress;
    struct block_image *image, *behind; /* behind: the new backing image; null: none */
    uint8_t *old_data, *new_data;
};

static bool parse(struct rebasing *rebasing, int argc, char **argv)
{
    static const struct option longs[] = {{0}};
    bool quiet = false;
    int option;
    while ((option = getopt_long(argc, argv, "f:F:b:upqUt:T:", longs, NULL)) != -1) {
        switch (option) {
        case 'f': rebasing->format = optarg; break;
        case 'F': rebasing->backing_format = optarg; break;
        case 'b': rebasing->backing = optarg; break;
        case 'u': rebasing->unsafe = true; break;
        case 'p': rebasing->progress = true; break;
        case 'q': quiet = true; break;
        case '?': return false;
        default: break; /* -t, -T, -U: how fast, and whose locks */
        }
    }
    rebasing->progress &= !quiet;
    if (argc - optind != 1) {
        tool_error("image rebase: expected one file name");
        return false;
    }
    rebasing->path = argv[optind];
    if (rebasing->backing)
        return true;
    tool_error("Must specify backing file (-b) or use unsafe mode (-u)");
    return false;
}

static enum status read_behind(const struct rebasing *rebasing, uint64_t sector, uint32_t sectors)
{
    uint64_t end = rebasing->behind ? rebasing->behind->size_sectors : 0;
    uint32_t there = sector >= end ? 0 : end - sector < sectors ? (uint32_t)(end - sector) : sectors;
    memset(rebasing->new_data + (size_t)there * BLOCK_SECTOR_BYTES, 0, (size_t)(sectors - there) * BLOCK_SECTOR_BYTES);
    return there ? rebasing->behind->ops->read(rebasing->behind, sector, there, rebasing->new_data) : STATUS_OK;
}

static bool same_sector(const struct rebasing *rebasing, uint32_t n)
{
    size_t at = (size_t)n * BLOCK_SECTOR_BYTES;
    return !memcmp(rebasing->old_data + at, rebasing->new_data + at, BLOCK_SECTOR_BYTES);
}

/* Runs of sectors that differ. */
static enum status keep_differences(const struct rebasing *rebasing, uint64_t sector, uint32_t sectors)
{
    struct block_image *image = rebasing->image;
    enum status status = image->ops->read(image, sector, sectors, rebasing->old_data);
    if (!status)
        status = read_behind(rebasing, sector, sectors);
    for (uint32_t n = 0, run; n < sectors && !status; n += run) {
        bool same = same_sector(rebasing, n);
        for (run = 1; n + run < sectors && same_sector(rebasing, n + run) == same;)
            run++;
        if (!same)
            status =
                image->ops->write(image, sector + n, run, rebasing->old_data + (size_t)n * BLOCK_SECTOR_BYTES, false);
    }
    return status;
}

static enum status keep_piece(const struct rebasing *rebasing, uint64_t sector, uint64_t *done)
{
    struct block_image *image = rebasing->image;
    struct block_extent extent;
    enum status status = block_image_map(image, sector, image->size_sectors - sector, &extent);
    if (status)
        return status;
    *done = extent.sectors < PIECE_SECTORS ? extent.sectors : PIECE_SECTORS;
    if (extent.flags & BLOCK_EXTENT_ALLOCATED && !extent.depth)
        return STATUS_OK; /* its own */
    return keep_differences(rebasing, sector, (uint32_t)*done);
}

static enum status keep_content(struct rebasing *rebasing)
{
    uint64_t end = rebasing->image->size_sectors, done = 0;
    enum status status = STATUS_OK;
    rebasing->old_data = malloc((size_t)PIECE_SECTORS * BLOCK_SECTOR_BYTES);
    rebasing->new_data = malloc((size_t)PIECE_SECTORS * BLOCK_SECTOR_BYTES);
    if (!rebasing->old_data || !rebasing->new_data)
        status = STATUS_NO_MEMORY;
    for (uint64_t sector = 0; sector < end && !status; sector += done) {
        status = keep_piece(rebasing, sector, &done);
        image_progress(rebasing->progress, sector + done, end);
    }
    free(rebasing->old_data);
    free(rebasing->new_data);
    if (!status)
        status = rebasing->image->ops->flush(rebasing->image);
    return status;
}

static bool open_behind(struct rebasing *rebasing)
{
    struct error error = {0};
    if (!*rebasing->backing)
        return true;
    char *path = block_path_beside(rebasing->path, rebasing->backing);
    if (path)
        rebasing->behind = block_image_open(
            path, &(struct block_open_options){.format = rebasing->backing_format, .read_only = true}, &error);
    if (!rebasing->behind)
        tool_error("Could not open new backing file '%s': %s", rebasing->backing, error.text);
    free(path);
    return rebasing->behind;
}

static bool make_safe(struct rebasing *rebasing)
{
    if (!open_behind(rebasing))
        return false;
    enum status status = keep_content(rebasing);
    image_progress_end(rebasing->progress);
    if (!status)
        return true;
    const char *fault = block_image_fault(rebasing->image);
    tool_error("%s: %s", rebasing->path, fault ? fault : status_name(status));
    return false;
}

static bool run(struct rebasing *rebasing)
{
    struct qcow2_info info;
    struct error error = {0};
    bool none = !*rebasing->backing;
    if (!block_qcow2_info(rebasing->image, &info)) {
        tool_error("Could not change the backing file to '%s': Operation not supported", rebasing->backing);
        return false;
    }
    if (!rebasing->unsafe && !make_safe(rebasing))
        return false;
    if (!none && !rebasing->backing_format) {
        tool_error("Could not change the backing file to '%s': backing format must be specified", rebasing->backing);
        return false;
    }
    if (!block_qcow2_set_backing(rebasing->image, none ? NULL : rebasing->backing,
                                 none ? NULL : rebasing->backing_format, &error))
        return true;
    tool_error("Could not change the backing file to '%s': %s", rebasing->backing, error.text);
    return false;
}

int image_rebase(int argc, char **argv)
{
    struct rebasing rebasing = {0};
    if (!parse(&rebasing, argc, argv))
        return EXIT_CODE_FAILED;
    rebasing.image = image_open(rebasing.path,
                                &(struct block_open_options){.format = rebasing.format, .no_backing = rebasing.unsafe});
    bool fine = rebasing.image && run(&rebasing);
    fine = image_close(rebasing.image) && fine;
    block_image_destroy(rebasing.behind);
    return fine ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
