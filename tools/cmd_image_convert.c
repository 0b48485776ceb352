/* vmrr image convert: the disk of one image into another, new one. Sparse where the source says zero, and where -S
 * bytes of it (4 KiB) are zeros. */
#include "tools/image.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SECTORS 4096u /* 2 MiB: at least a cluster of any size */

struct converting {
    struct block_image *source, *target;
    bool compress, progress, keep_target; /* keep_target: it may hold anything, or has a backing file */
    uint64_t sparse_sectors;              /* 0: zeros are written too */
    uint32_t step;                        /* sectors of a piece */
    uint8_t *buffer;
};

static bool is_zero(const uint8_t *bytes, size_t size)
{
    return !size || (!bytes[0] && !memcmp(bytes, bytes + 1, size - 1));
}

static enum status put_zeros(struct converting *converting, uint64_t sector, uint64_t sectors)
{
    return converting->keep_target || !converting->sparse_sectors
               ? block_image_zero(converting->target, sector, sectors, converting->sparse_sectors != 0)
               : STATUS_OK; /* a new image is zero */
}

static enum status put_packed(struct converting *converting, uint64_t sector, uint32_t sectors)
{
    if (is_zero(converting->buffer, (size_t)sectors * 512))
        return put_zeros(converting, sector, sectors);
    return block_qcow2_write_compressed(converting->target, sector, sectors, converting->buffer);
}

/* Runs of zero and of other units, each in one write. */
static enum status put_data(struct converting *converting, uint64_t sector, uint32_t sectors)
{
    struct block_image *target = converting->target;
    uint32_t unit = converting->sparse_sectors ? (uint32_t)converting->sparse_sectors : sectors;
    enum status status = STATUS_OK;
    for (uint32_t at = 0, run; at < sectors && !status; at += run) {
        bool zero = false;
        for (run = 0; at + run < sectors;) {
            uint32_t part = sectors - at - run < unit ? sectors - at - run : unit;
            bool this_zero = converting->sparse_sectors &&
                             is_zero(converting->buffer + (size_t)(at + run) * 512, (size_t)part * 512);
            if (run && this_zero != zero)
                break;
            zero = this_zero;
            run += part;
        }
        status = zero ? put_zeros(converting, sector + at, run)
                      : target->ops->write(target, sector + at, run, converting->buffer + (size_t)at * 512, false);
    }
    return status;
}

static enum status copy_piece(struct converting *converting, uint64_t sector, uint32_t sectors)
{
    struct block_image *source = converting->source;
    enum status status = source->ops->read(source, sector, sectors, converting->buffer);
    if (status)
        return status;
    return converting->compress ? put_packed(converting, sector, sectors) : put_data(converting, sector, sectors);
}

/* What the source knows to be zero is not read; compressed clusters go one by one. */
static enum status convert_piece(struct converting *converting, uint64_t sector, uint64_t *done)
{
    struct block_image *source = converting->source;
    uint64_t left = source->size_sectors - sector;
    struct block_extent extent;
    enum status status = block_image_map(source, sector, left, &extent);
    if (status)
        return status;
    uint64_t in_step = sector % converting->step, piece = converting->step - in_step;
    bool zero = (extent.flags & (BLOCK_EXTENT_ZERO | BLOCK_EXTENT_DATA)) != BLOCK_EXTENT_DATA &&
                extent.flags & BLOCK_EXTENT_ZERO;
    if (converting->compress && zero)
        zero = extent.sectors >= converting->step && !in_step;
    if (zero) {
        *done = extent.sectors;
        if (converting->compress && *done < left)
            *done -= *done % converting->step;
        return put_zeros(converting, sector, *done);
    }
    *done = piece < left ? piece : left;
    return copy_piece(converting, sector, (uint32_t)*done);
}

static enum status convert_all(struct converting *converting)
{
    uint64_t end = converting->source->size_sectors, done = 0;
    enum status status = STATUS_OK;
    for (uint64_t sector = 0; sector < end && !status; sector += done) {
        status = convert_piece(converting, sector, &done);
        image_progress(converting->progress, sector + done, end);
    }
    if (!status)
        status = converting->target->ops->flush(converting->target);
    image_progress_end(converting->progress);
    return status;
}

static uint32_t step_of(const struct converting *converting)
{
    struct qcow2_info info;
    if (!converting->compress || !block_qcow2_info(converting->target, &info))
        return CHUNK_SECTORS;
    return 1u << (info.cluster_bits - 9);
}

static bool run(struct converting *converting)
{
    struct qcow2_info info;
    if (converting->compress && !block_qcow2_info(converting->target, &info)) {
        tool_error("%s: format %s: cannot be compressed", converting->target->name, converting->target->ops->format);
        return false;
    }
    if (converting->target->size_sectors < converting->source->size_sectors) {
        tool_error("%s: is smaller than %s", converting->target->name, converting->source->name);
        return false;
    }
    converting->step = step_of(converting);
    converting->buffer = malloc((size_t)CHUNK_SECTORS * 512);
    enum status status = converting->buffer ? convert_all(converting) : STATUS_NO_MEMORY;
    free(converting->buffer);
    if (!status)
        return true;
    const char *fault = block_image_fault(converting->source);
    fault = fault ? fault : block_image_fault(converting->target);
    tool_error("%s to %s: %s", converting->source->name, converting->target->name, fault ? fault : status_name(status));
    return false;
}

struct arguments {
    const char *format, *options, *snapshot, *backing, *backing_format;
    bool quiet, no_create, share;
    struct image_recipe recipe;
};

static bool make_target(struct converting *converting, struct arguments *arguments, const char *path)
{
    struct image_recipe *recipe = &arguments->recipe;
    recipe->have_size = true;
    recipe->qcow2.size_bytes = converting->source->size_sectors * BLOCK_SECTOR_BYTES;
    if (arguments->options && !image_recipe_options(recipe, arguments->options))
        return false;
    if (arguments->backing)
        recipe->qcow2.backing_name = arguments->backing;
    if (arguments->backing_format)
        recipe->qcow2.backing_format = arguments->backing_format;
    converting->keep_target = arguments->no_create || recipe->qcow2.backing_name;
    if (!arguments->no_create && !image_recipe_make(recipe, path, true))
        return false;
    converting->target = image_open(path, &(struct block_open_options){.format = recipe->format});
    return converting->target != NULL;
}

static bool parse(int argc, char **argv, struct arguments *arguments, struct converting *converting)
{
    static const struct option longs[] = {{0}};
    uint64_t bytes;
    int option;
    while ((option = getopt_long(argc, argv, "cpqnf:O:o:l:S:B:b:F:UWm:t:T:", longs, NULL)) != -1) {
        switch (option) {
        case 'c': converting->compress = true; break;
        case 'p': converting->progress = true; break;
        case 'U': arguments->share = true; break;
        case 'q': arguments->quiet = true; break;
        case 'n': arguments->no_create = true; break;
        case 'f': arguments->format = optarg; break;
        case 'O': arguments->recipe.format = optarg; break;
        case 'o': arguments->options = optarg; break;
        case 'l': arguments->snapshot = optarg; break;
        case 'B':
        case 'b': arguments->backing = optarg; break;
        case 'F': arguments->backing_format = optarg; break;
        case 'S':
            if (!image_parse_size(optarg, &bytes))
                return false;
            converting->sparse_sectors = bytes / 512 < CHUNK_SECTORS ? bytes / 512 : CHUNK_SECTORS;
            break;
        case '?': return false;
        default: break; /* what only makes qemu-img faster */
        }
    }
    if (argc - optind == 2)
        return true;
    tool_error("image convert: expected a source and a target");
    return false;
}

int image_convert(int argc, char **argv)
{
    struct arguments arguments = {.recipe = {.format = "raw"}};
    struct converting converting = {.sparse_sectors = 8};
    if (!parse(argc, argv, &arguments, &converting))
        return EXIT_CODE_FAILED;
    converting.progress &= !arguments.quiet;
    converting.source = image_open(argv[optind], &(struct block_open_options){.format = arguments.format,
                                                                              .read_only = true,
                                                                              .snapshot = arguments.snapshot,
                                                                              .host = image_sharing(arguments.share)});
    bool fine = converting.source && make_target(&converting, &arguments, argv[optind + 1]) && run(&converting);
    fine = image_close(converting.target) && fine;
    block_image_destroy(converting.source);
    image_recipe_free(&arguments.recipe);
    return fine ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
