/* Which format is it? One row a format. */
#include "block/block.h"
#include "block/host_file.h"

#include <string.h>

struct format_row {
    const char *name;
    struct block_image *(*open)(struct host_file *file, struct error *error);
};

static const struct format_row formats[] = {
    {"raw", block_raw_open},
};

static const struct format_row *format_find(const char *name)
{
    for (size_t n = 0; n < sizeof formats / sizeof formats[0]; n++) {
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

struct block_image *block_image_open(const char *path, const struct block_open_options *options, struct error *error)
{
    const struct format_row *format = format_find(options->format ? options->format : "raw");
    struct host_file_options file_options = block_host_options(options, options->read_only);
    if (!format) {
        error_set(error, "%s: format %s: expected raw", path, options->format);
        return NULL;
    }
    struct host_file *file = host_file_open(path, &file_options, error);
    return file ? format->open(file, error) : NULL;
}
