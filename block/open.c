/* Which format is it, and what stands behind it. One row a format. */
#include "block/open.h"

#include "block/host_file.h"
#include "block/qcow2.h"

#include <stdlib.h>
#include <string.h>

#define PROBE_BYTES 512u

struct format_row {
    const char *name;
    struct block_image *(*open)(struct host_file *file, const struct block_open_options *options,
                                const struct block_open_context *context, struct error *error);
    uint8_t magic[4]; /* zeros: whatever no other row claims */
};

static struct block_image *open_raw(struct host_file *file, const struct block_open_options *options,
                                    const struct block_open_context *context, struct error *error)
{
    (void)context;
    if (options->snapshot) {
        error_set(error, "%s: snapshot %s: a raw image has none", file->path, options->snapshot);
        host_file_close(file);
        return NULL;
    }
    if (options->l2_cache_bytes || options->refcount_cache_bytes || options->cache_bytes || options->unguarded) {
        error_set(error, "%s: l2-cache-size, refcount-cache-size, cache-size, overlap-check: a raw image has none",
                  file->path);
        host_file_close(file);
        return NULL;
    }
    struct block_image *image = block_raw_open(file, error);
    if (image && !options->format)
        block_raw_guessed(image);
    return image;
}

static const struct format_row formats[] = {
    {"raw", open_raw, {0}},
    {"qcow2", block_qcow2_open, {'Q', 'F', 'I', 0xfb}},
};

#define FORMATS (sizeof formats / sizeof formats[0])

static const struct format_row *format_find(const char *name)
{
    for (size_t n = 0; n < FORMATS; n++) {
        if (!strcmp(formats[n].name, name))
            return &formats[n];
    }
    return NULL;
}

struct host_file_options block_host_options(const struct block_open_options *options, bool read_only)
{
    struct host_file_options host = options->host ? *options->host : (struct host_file_options){0};
    host.read_only = read_only;
    host.create = false;
    return host;
}

/* By the first bytes. A file that can't be read is raw: its reads say why. */
static const struct format_row *format_probe(struct host_file *file)
{
    uint8_t start[PROBE_BYTES] = {0};
    uint64_t size = file->size_bytes < PROBE_BYTES ? file->size_bytes : PROBE_BYTES;
    if (size >= 4 && !host_file_read(file, 0, start, size)) {
        for (size_t n = 1; n < FORMATS; n++) {
            if (!memcmp(start, formats[n].magic, 4))
                return &formats[n];
        }
    }
    return &formats[0];
}

struct host_file *block_open_file(const char *path, const struct block_open_options *options,
                                  const struct block_open_context *context, struct error *error)
{
    struct host_file_options file_options = block_host_options(options, options->read_only);
    struct host_file *file = host_file_open(path, &file_options, error);
    if (file && context)
        file->index = (*context->next_file)++;
    return file;
}

/* A name that leads back to an image of the chain can't be opened, nor a chain longer than anyone means. */
static enum status check_chain(const char *path, const struct block_open_context *context, struct error *error)
{
    if (context->depth >= BLOCK_CHAIN_MAX)
        return error_status(error, STATUS_INVALID, "%s: is number %u of a chain of backing files, expected at most %u",
                            path, context->depth + 1, BLOCK_CHAIN_MAX);
    for (const struct block_open_context *link = context->parent; link; link = link->parent) {
        if (!strcmp(link->path, path))
            return error_status(error, STATUS_INVALID, "%s: is its own backing file, through %u others", path,
                                context->depth - link->depth - 1);
    }
    return STATUS_OK;
}

static struct block_image *open_link(const char *path, const struct block_open_options *options,
                                     const struct block_open_context *context, struct error *error)
{
    const struct format_row *format = options->format ? format_find(options->format) : NULL;
    if (options->format && !format) {
        error_set(error, "%s: format %s: expected raw or qcow2", path, options->format);
        return NULL;
    }
    if (check_chain(path, context, error))
        return NULL;
    struct host_file *file = block_open_file(path, options, context, error);
    if (!file)
        return NULL;
    if (!format)
        format = format_probe(file);
    return format->open(file, options, context, error);
}

struct block_image *block_open_chained(const char *path, const struct block_open_options *options,
                                       const struct block_open_context *context, struct error *error)
{
    struct block_open_context link = {context, path, context->depth + 1, context->next_file};
    return open_link(path, options, &link, error);
}

struct block_image *block_image_open(const char *path, const struct block_open_options *options, struct error *error)
{
    uint8_t next_file = 0;
    struct block_open_context link = {NULL, path, 0, &next_file};
    return open_link(path, options, &link, error);
}

char *block_path_beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    size_t folder = name[0] == '/' || !slash ? 0 : (size_t)(slash - path) + 1, size = strlen(name) + 1;
    char *whole = malloc(folder + size);
    if (!whole)
        return NULL;
    memcpy(whole, path, folder);
    memcpy(whole + folder, name, size);
    return whole;
}
