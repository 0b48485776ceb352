/* How formats open what their images name: the rest of a chain. Only for formats; tools use block_image_open. */
#ifndef VMRR_BLOCK_OPEN_H
#define VMRR_BLOCK_OPEN_H

#include "block/block.h"

#define BLOCK_CHAIN_MAX 64u

/* One link, on the stack of whoever opens it; parent: the image that names this one. */
struct block_open_context {
    const struct block_open_context *parent;
    const char *path;
    unsigned depth;
    uint8_t *next_file; /* struct host_file index of the next file of the chain */
};

/* Opens an image that another names. context: the link of the one that names it. */
struct block_image *block_open_chained(const char *path, const struct block_open_options *options,
                                       const struct block_open_context *context, struct error *error);
/* A file that belongs to an image. */
struct host_file *block_open_file(const char *path, const struct block_open_options *options,
                                  const struct block_open_context *context, struct error *error);
/* name, as the image at path says it: beside that image unless it is absolute. The caller's to free; null: no memory. */
char *block_path_beside(const char *path, const char *name);

#endif
