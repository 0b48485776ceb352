/* vmrr image commit: what an image, and those between it and a base, have over the base goes into the base. The images above
 * the base are opened each without what lies behind, so that the base is opened once, to be written. */
#include "block/open.h"
#include "tools/image.h"

#include <stdlib.h>
#include <string.h>

#define PIECE_SECTORS 4096u

struct committing {
    const char *path, *format, *base_name;
    bool keep, progress, quiet;
    struct block_image *layer[BLOCK_CHAIN_MAX + 1]; /* the image first, each without its backing file */
    unsigned layers;
    struct block_image *base;
    char *base_path; /* of the next image behind, while they are opened */
    char *base_format;
    uint8_t *data;
};

static bool parse(struct committing *committing, int argc, char **argv)
{
    static const struct option longs[] = {{0}};
    int option;
    while ((option = getopt_long(argc, argv, "f:t:b:dpqr:", longs, NULL)) != -1) {
        switch (option) {
        case 'f': committing->format = optarg; break;
        case 'b':
            committing->base_name = optarg;
            committing->keep = true; /* as qemu-img */
            break;
        case 'd': committing->keep = true; break;
        case 'p': committing->progress = true; break;
        case 'q': committing->quiet = true; break;
        case '?': return false;
        default: break; /* -t, -r: how fast */
        }
    }
    committing->progress &= !committing->quiet;
    if (argc - optind != 1) {
        tool_error("image commit: expected one file name");
        return false;
    }
    committing->path = argv[optind];
    return true;
}

/* ---- the chain ---- */

static struct block_image *add_layer(struct committing *committing, const char *path, const char *format)
{
    bool top = !committing->layers;
    if (committing->layers > BLOCK_CHAIN_MAX) {
        tool_error("%s: too long a chain of backing files", committing->path);
        return NULL;
    }
    struct block_image *image = image_open(
        path,
        &(struct block_open_options){.format = format, .read_only = !top || committing->keep, .no_backing = true});
    if (image)
        committing->layer[committing->layers++] = image;
    return image;
}

/* Where the image behind this one is. False: there is none. */
static bool find_behind(struct committing *committing, struct block_image *image)
{
    struct qcow2_info info;
    free(committing->base_path);
    free(committing->base_format);
    committing->base_path = committing->base_format = NULL;
    if (!block_qcow2_info(image, &info) || !info.backing_name)
        return false;
    committing->base_path = block_path_beside(image->name, info.backing_name);
    committing->base_format = info.backing_format ? strdup(info.backing_format) : NULL;
    return committing->base_path;
}

/* The image behind, by the name that was given or by its file; without a name, the first. */
static bool is_base(const struct committing *committing)
{
    const char *name = committing->base_name;
    if (!name || !strcmp(name, committing->base_path))
        return true;
    char *mine = realpath(name, NULL), *theirs = realpath(committing->base_path, NULL);
    bool same = mine && theirs && !strcmp(mine, theirs);
    free(mine);
    free(theirs);
    return same;
}

static bool open_chain(struct committing *committing)
{
    struct block_image *image = add_layer(committing, committing->path, committing->format);
    while (image && find_behind(committing, image)) {
        if (is_base(committing)) {
            committing->base =
                image_open(committing->base_path, &(struct block_open_options){.format = committing->base_format});
            return committing->base;
        }
        char *path = strdup(committing->base_path), *format = committing->base_format;
        committing->base_format = NULL;
        image = path ? add_layer(committing, path, format) : NULL;
        free(path);
        free(format);
    }
    if (image && committing->base_name && committing->layers > 1)
        tool_error("Did not find '%s' in the backing chain of '%s'", committing->base_name, committing->path);
    else if (image)
        tool_error("Image does not have a backing file");
    return false;
}

/* ---- the data ---- */

/* The first layer that has the sector, and how far it goes on so; null: none, the base has it. */
static enum status find_layer(const struct committing *committing, uint64_t sector, uint64_t most,
                              struct block_image **found, struct block_extent *extent)
{
    *found = NULL;
    for (unsigned n = 0; n < committing->layers && !*found; n++) {
        struct block_image *layer = committing->layer[n];
        if (sector >= layer->size_sectors) { /* it reads as zeros there, whatever lies behind */
            *found = layer;
            *extent = (struct block_extent){.sectors = most, .flags = BLOCK_EXTENT_ZERO | BLOCK_EXTENT_ALLOCATED};
            break;
        }
        enum status status = block_image_map(layer, sector, most, extent);
        if (status)
            return status;
        most = extent->sectors;
        if (extent->flags & BLOCK_EXTENT_ALLOCATED)
            *found = layer;
    }
    extent->sectors = most;
    return STATUS_OK;
}

static enum status commit_piece(const struct committing *committing, uint64_t sector, uint64_t *done)
{
    struct block_image *layer;
    struct block_extent extent;
    enum status status = find_layer(committing, sector, committing->layer[0]->size_sectors - sector, &layer, &extent);
    *done = extent.sectors;
    if (status || !layer)
        return status;
    if (extent.flags & BLOCK_EXTENT_ZERO)
        return block_image_zero(committing->base, sector, *done, true);
    if (*done > PIECE_SECTORS)
        *done = PIECE_SECTORS;
    status = layer->ops->read(layer, sector, (uint32_t)*done, committing->data);
    return status ? status
                  : committing->base->ops->write(committing->base, sector, (uint32_t)*done, committing->data, false);
}

static enum status grow_base(const struct committing *committing, struct error *error)
{
    uint64_t size = committing->layer[0]->size_sectors;
    return committing->base->size_sectors < size ? committing->base->ops->resize(committing->base, size, error)
                                                 : STATUS_OK;
}

static enum status commit_all(struct committing *committing, struct error *error)
{
    uint64_t end = committing->layer[0]->size_sectors, done = 0;
    committing->data = malloc((size_t)PIECE_SECTORS * BLOCK_SECTOR_BYTES);
    enum status status = committing->data ? grow_base(committing, error) : STATUS_NO_MEMORY;
    for (uint64_t sector = 0; sector < end && !status; sector += done) {
        status = commit_piece(committing, sector, &done);
        image_progress(committing->progress, sector + done, end);
    }
    free(committing->data);
    if (!status)
        status = committing->base->ops->flush(committing->base);
    if (!status && !committing->keep)
        status = block_qcow2_empty(committing->layer[0], error);
    image_progress_end(committing->progress);
    return status;
}

static bool run(struct committing *committing)
{
    struct error error = {0};
    enum status status = commit_all(committing, &error);
    if (!status)
        return true;
    const char *fault = block_image_fault(committing->base);
    for (unsigned n = 0; n < committing->layers && !fault; n++)
        fault = block_image_fault(committing->layer[n]);
    tool_error("%s: %s", committing->path, error.text[0] ? error.text : fault ? fault : status_name(status));
    return false;
}

int image_commit(int argc, char **argv)
{
    struct committing committing = {0};
    if (!parse(&committing, argc, argv))
        return EXIT_CODE_FAILED;
    bool fine = open_chain(&committing) && run(&committing);
    fine = image_close(committing.base) && fine;
    while (committing.layers)
        fine = image_close(committing.layer[--committing.layers]) && fine;
    free(committing.base_path);
    free(committing.base_format);
    if (fine && !committing.quiet)
        printf("Image committed.\n");
    return fine ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
