/* vmrr image create, and how convert makes its target: options of qemu-img create -o. */
#include "block/open.h"
#include "tools/image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* ---- -o name=value,... ---- */

static bool parse_switch(const char *name, const char *value, bool *out)
{
    *out = !strcmp(value, "on") || !strcmp(value, "true") || !strcmp(value, "yes");
    if (*out || !strcmp(value, "off") || !strcmp(value, "false") || !strcmp(value, "no"))
        return true;
    tool_error("-o %s=%s: expected on or off", name, value);
    return false;
}

static bool parse_word(const char *name, const char *value, const char *const *words, unsigned *index)
{
    for (*index = 0; words[*index]; ++*index) {
        if (!strcmp(words[*index], value))
            return true;
    }
    tool_error("-o %s=%s: unknown", name, value);
    return false;
}

static bool parse_cluster_size(struct image_recipe *recipe, const char *value)
{
    uint64_t bytes;
    if (!image_parse_size(value, &bytes))
        return false;
    if (!bytes || bytes & (bytes - 1) || bytes < 512 || bytes > 2u << 20) {
        tool_error("-o cluster_size=%s: expected a power of two between 512 and 2048k", value);
        return false;
    }
    recipe->qcow2.cluster_bits = (unsigned)__builtin_ctzll(bytes);
    return true;
}

static bool set_qcow2(struct image_recipe *recipe, const char *name, const char *value)
{
    static const char *const compat[] = {"0.10", "v2", "1.1", "v3", NULL}, *const compression[] = {"zlib", "zstd",
                                                                                                   NULL};
    struct qcow2_create_options *options = &recipe->qcow2;
    unsigned index;
    uint64_t number;
    if (!strcmp(name, "backing_file"))
        return options->backing_name = value, true;
    if (!strcmp(name, "backing_fmt"))
        return options->backing_format = value, true;
    if (!strcmp(name, "data_file"))
        return options->data_file = value, true;
    if (!strcmp(name, "data_file_raw"))
        return parse_switch(name, value, &options->data_file_raw);
    if (!strcmp(name, "lazy_refcounts"))
        return parse_switch(name, value, &options->lazy_refcounts);
    if (!strcmp(name, "extended_l2"))
        return parse_switch(name, value, &options->extended_l2);
    if (!strcmp(name, "cluster_size"))
        return parse_cluster_size(recipe, value);
    if (!strcmp(name, "compat")) {
        bool known = parse_word(name, value, compat, &index);
        options->version = index < 2 ? 2 : 3;
        return known;
    }
    if (!strcmp(name, "compression_type")) {
        bool known = parse_word(name, value, compression, &index);
        options->compression = index ? QCOW2_ZSTD : QCOW2_ZLIB;
        return known;
    }
    if (!strcmp(name, "refcount_bits")) {
        bool fine = !parse_u64(value, &number) && number && number <= 64 && !(number & (number - 1));
        options->refcount_bits = fine ? (unsigned)number : 0;
        if (!fine)
            tool_error("-o refcount_bits=%s: expected a power of two between 1 and 64", value);
        return fine;
    }
    if (!strncmp(name, "encrypt", 7))
        tool_error("-o %s: encryption is not supported", name);
    else
        tool_error("-o %s: unknown option of format qcow2", name);
    return false;
}

static bool set_option(struct image_recipe *recipe, const char *name, const char *value)
{
    static const char *const modes[] = {"off", "metadata", "falloc", "full", NULL};
    unsigned index;
    if (!strcmp(name, "size"))
        return recipe->have_size = true, image_parse_size(value, &recipe->qcow2.size_bytes);
    if (!strcmp(name, "preallocation")) {
        bool known = parse_word(name, value, modes, &index);
        recipe->qcow2.preallocation = (enum qcow2_preallocation)index;
        return known;
    }
    if (!strcmp(recipe->format, "qcow2"))
        return set_qcow2(recipe, name, value);
    tool_error("-o %s: unknown option of format %s", name, recipe->format);
    return false;
}

/* Commas separate, two commas stand for one. */
bool image_recipe_options(struct image_recipe *recipe, const char *text)
{
    free(recipe->list);
    char *out = recipe->list = strdup(text), *item = out;
    bool fine = out != NULL;
    for (const char *in = text; fine && out; in++) {
        if (*in == ',' && in[1] == ',') {
            *out++ = ',';
            in++;
        } else if (*in && *in != ',') {
            *out++ = *in;
        } else {
            *out++ = 0;
            char *equals = strchr(item, '=');
            if (equals)
                *equals = 0;
            fine = !*item || set_option(recipe, item, equals ? equals + 1 : "on");
            item = out;
            if (!*in)
                break;
        }
    }
    return fine;
}

void image_recipe_free(struct image_recipe *recipe)
{
    free(recipe->list);
    recipe->list = NULL;
}

/* ---- making it ---- */

/* Its size, when none is given; and that it can be opened. */
static bool look_at_backing(struct image_recipe *recipe, const char *path)
{
    struct qcow2_create_options *options = &recipe->qcow2;
    if (!options->backing_name || (recipe->unsafe_backing && recipe->have_size))
        return true;
    char *name = block_path_beside(path, options->backing_name);
    struct block_image *backing =
        name ? image_open(name, &(struct block_open_options){.format = options->backing_format, .read_only = true})
             : NULL;
    free(name);
    if (!backing)
        return false;
    bool fine = options->backing_format || recipe->unsafe_backing;
    if (!fine)
        tool_error("%s: Backing file specified without backing format\nDetected format of %s.", path,
                   backing->ops->format);
    if (!recipe->have_size)
        options->size_bytes = backing->size_sectors * BLOCK_SECTOR_BYTES;
    recipe->have_size = true;
    block_image_destroy(backing);
    return fine;
}

static void say_formatting(const struct image_recipe *recipe, const char *path)
{
    const struct qcow2_create_options *options = &recipe->qcow2;
    static const char *const modes[] = {"off", "metadata", "falloc", "full"};
    printf("Formatting '%s', fmt=%s", path, recipe->format);
    if (!strcmp(recipe->format, "raw")) {
        printf(" size=%" PRIu64 "%s%s\n", options->size_bytes, options->preallocation ? " preallocation=" : "",
               options->preallocation ? modes[options->preallocation] : "");
        return;
    }
    printf(" cluster_size=%u extended_l2=%s%s%s compression_type=%s size=%" PRIu64,
           1u << (options->cluster_bits ? options->cluster_bits : 16), options->extended_l2 ? "on" : "off",
           options->preallocation ? " preallocation=" : "", options->preallocation ? modes[options->preallocation] : "",
           options->compression ? "zstd" : "zlib", options->size_bytes);
    if (options->version)
        printf(" compat=%s", options->version == 2 ? "0.10" : "1.1");
    if (options->backing_name)
        printf(" backing_file=%s", options->backing_name);
    if (options->backing_format)
        printf(" backing_fmt=%s", options->backing_format);
    if (options->data_file)
        printf(" data_file=%s", options->data_file);
    printf(" lazy_refcounts=%s refcount_bits=%u\n", options->lazy_refcounts ? "on" : "off",
           options->refcount_bits ? options->refcount_bits : 16);
}

static struct host_file *new_file(const char *path)
{
    struct error error = {0};
    struct host_file *file = host_file_open(path, &(struct host_file_options){.create = true}, &error);
    if (!file)
        tool_error("%s", error.text);
    return file;
}

static bool make_raw(struct host_file *file, const struct image_recipe *recipe)
{
    static const enum host_preallocation modes[] = {HOST_PREALLOC_OFF, HOST_PREALLOC_OFF, HOST_PREALLOC_FALLOC,
                                                    HOST_PREALLOC_FULL};
    uint64_t bytes = (recipe->qcow2.size_bytes + 511) & ~511ull;
    if (recipe->qcow2.preallocation == QCOW2_PREALLOC_METADATA) {
        tool_error("%s: preallocation=metadata: a raw image has none", file->path);
        return false;
    }
    enum status status = host_file_resize(file, bytes, modes[recipe->qcow2.preallocation]);
    if (status)
        tool_error("%s: cannot be made %" PRIu64 " bytes long: %s", file->path, bytes, status_name(status));
    return !status;
}

static bool make_qcow2(struct host_file *file, const struct image_recipe *recipe)
{
    struct error error = {0};
    struct host_file *data = recipe->qcow2.data_file ? new_file(recipe->qcow2.data_file) : NULL;
    if (recipe->qcow2.data_file && !data)
        return false;
    host_file_close(data);
    enum status status = block_qcow2_create(file, &recipe->qcow2, &error);
    if (status)
        tool_error("%s", error.text);
    return !status;
}

bool image_recipe_make(struct image_recipe *recipe, const char *path, bool quiet)
{
    bool raw = !strcmp(recipe->format, "raw");
    if (!raw && strcmp(recipe->format, "qcow2")) {
        tool_error("%s: format %s: expected raw or qcow2", path, recipe->format);
        return false;
    }
    if (raw && recipe->qcow2.backing_name) {
        tool_error("%s: a raw image has no backing file", path);
        return false;
    }
    if (!look_at_backing(recipe, path))
        return false;
    if (!recipe->have_size) {
        tool_error("%s: expected a size, or a backing file that has one", path);
        return false;
    }
    if (!quiet)
        say_formatting(recipe, path);
    struct host_file *file = new_file(path);
    if (!file)
        return false;
    bool made = raw ? make_raw(file, recipe) : make_qcow2(file, recipe);
    host_file_close(file);
    return made;
}

int image_create(int argc, char **argv)
{
    static const struct option longs[] = {{0}};
    struct image_recipe recipe = {.format = "raw"};
    const char *options = NULL, *backing = NULL, *backing_format = NULL;
    bool quiet = false, fine = true;
    int option;
    while ((option = getopt_long(argc, argv, "qf:b:F:uo:", longs, NULL)) != -1) {
        switch (option) {
        case 'q': quiet = true; break;
        case 'f': recipe.format = optarg; break;
        case 'b': backing = optarg; break;
        case 'F': backing_format = optarg; break;
        case 'u': recipe.unsafe_backing = true; break;
        case 'o': options = optarg; break;
        default: return EXIT_CODE_FAILED;
        }
    }
    if (optind >= argc || argc - optind > 2) {
        tool_error("image create: expected a file name and a size");
        return EXIT_CODE_FAILED;
    }
    if (options)
        fine = image_recipe_options(&recipe, options);
    if (backing)
        recipe.qcow2.backing_name = backing;
    if (backing_format)
        recipe.qcow2.backing_format = backing_format;
    if (fine && argc - optind == 2) {
        recipe.have_size = true;
        fine = image_parse_size(argv[optind + 1], &recipe.qcow2.size_bytes);
    }
    fine = fine && image_recipe_make(&recipe, argv[optind], quiet);
    image_recipe_free(&recipe);
    return fine ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
