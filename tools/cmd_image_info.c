/* vmrr image info. */
#include "block/open.h"
#include "tools/image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static uint64_t disk_bytes(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (uint64_t)st.st_blocks * 512;
}

static const char *compat_of(const struct qcow2_info *info)
{
    return info->version == 2 ? "0.10" : "1.1";
}

/* ---- human ---- */

static void print_specific(const struct qcow2_info *info)
{
    printf("Format specific information:\n    compat: %s\n    compression type: %s\n", compat_of(info),
           info->compression ? "zstd" : "zlib");
    if (info->version >= 3)
        printf("    lazy refcounts: %s\n", info->lazy_refcounts ? "true" : "false");
    printf("    refcount bits: %u\n", info->refcount_bits);
    if (info->version < 3)
        return;
    if (info->data_file)
        printf("    data file: %s\n    data file raw: %s\n", info->data_file, info->data_file_raw ? "true" : "false");
    printf("    corrupt: %s\n", info->corrupt ? "true" : "false");
    printf("    extended l2: %s\n", info->extended_l2 ? "true" : "false");
}

static void print_human(struct block_image *image, const char *full_backing)
{
    struct qcow2_info info;
    char size[32], disk[32];
    bool is_qcow2 = block_qcow2_info(image, &info);
    uint64_t bytes = image->size_sectors * BLOCK_SECTOR_BYTES;
    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n", image->name,
           image->ops->format, image_size_text(bytes, size, sizeof size), bytes,
           image_size_text(disk_bytes(image->name), disk, sizeof disk));
    if (!is_qcow2)
        return;
    printf("cluster_size: %u\n", 1u << info.cluster_bits);
    if (info.dirty)
        printf("cleanly shut down: no\n");
    if (info.backing_name) {
        printf("backing file: %s", info.backing_name);
        if (strcmp(info.backing_name, full_backing))
            printf(" (actual path: %s)", full_backing);
        printf("\n");
    }
    if (info.backing_format)
        printf("backing file format: %s\n", info.backing_format);
    image_print_snapshots(image);
    print_specific(&info);
}

/* ---- JSON ---- */

static void set_number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_text(json_t *object, const char *key, const char *text)
{
    json_t *string = json_string(text); /* null: not UTF-8 */
    json_object_set_new(object, key, string ? string : json_string("?"));
}

static json_t *json_specific(const struct qcow2_info *info)
{
    json_t *specific = json_object(), *data = json_object();
    set_text(data, "compat", compat_of(info));
    set_text(data, "compression-type", info->compression ? "zstd" : "zlib");
    set_number(data, "refcount-bits", info->refcount_bits);
    if (info->version >= 3) {
        json_object_set_new(data, "lazy-refcounts", json_boolean(info->lazy_refcounts));
        json_object_set_new(data, "corrupt", json_boolean(info->corrupt));
        json_object_set_new(data, "extended-l2", json_boolean(info->extended_l2));
        if (info->data_file) {
            set_text(data, "data-file", info->data_file);
            json_object_set_new(data, "data-file-raw", json_boolean(info->data_file_raw));
        }
    }
    set_text(specific, "type", "qcow2");
    json_object_set_new(specific, "data", data);
    return specific;
}

static json_t *json_snapshots(const struct qcow2_snapshot *snapshot, size_t count)
{
    json_t *list = json_array();
    for (size_t n = 0; n < count; n++) {
        json_t *one = json_object();
        set_text(one, "id", snapshot[n].id);
        set_text(one, "name", snapshot[n].name);
        set_number(one, "vm-state-size", snapshot[n].vm_state_bytes);
        set_number(one, "date-sec", snapshot[n].date_sec);
        set_number(one, "date-nsec", snapshot[n].date_nsec);
        set_number(one, "vm-clock-sec", snapshot[n].vm_clock_ns / 1000000000u);
        set_number(one, "vm-clock-nsec", snapshot[n].vm_clock_ns % 1000000000u);
        if (snapshot[n].icount != UINT64_MAX)
            set_number(one, "icount", snapshot[n].icount);
        json_array_append_new(list, one);
    }
    return list;
}

json_t *image_info_json(struct block_image *image, const char *full_backing)
{
    json_t *object = json_object();
    struct qcow2_info info;
    size_t count;
    const struct qcow2_snapshot *snapshot = block_qcow2_snapshots(image, &count);
    set_text(object, "filename", image->name);
    set_text(object, "format", image->ops->format);
    set_number(object, "virtual-size", image->size_sectors * BLOCK_SECTOR_BYTES);
    set_number(object, "actual-size", disk_bytes(image->name));
    json_object_set_new(object, "dirty-flag", json_false());
    if (!block_qcow2_info(image, &info))
        return object;
    json_object_set_new(object, "dirty-flag", json_boolean(info.dirty));
    set_number(object, "cluster-size", 1u << info.cluster_bits);
    if (info.backing_name) {
        set_text(object, "backing-filename", info.backing_name);
        set_text(object, "full-backing-filename", full_backing);
    }
    if (info.backing_format)
        set_text(object, "backing-filename-format", info.backing_format);
    if (count)
        json_object_set_new(object, "snapshots", json_snapshots(snapshot, count));
    json_object_set_new(object, "format-specific", json_specific(&info));
    return object;
}

/* ---- the chain ---- */

/* One image; the name of the next, to be freed, in *next (null: the last). */
static bool show(const char *path, const char *format, bool share, json_t *list, bool first, char **next,
                 char *next_format)
{
    struct block_image *image =
        image_open(path, &(struct block_open_options){
                             .format = format, .read_only = true, .no_backing = true, .host = image_sharing(share)});
    struct qcow2_info info;
    *next = NULL;
    if (!image)
        return false;
    if (block_qcow2_info(image, &info) && info.backing_name)
        *next = block_path_beside(path, info.backing_name);
    snprintf(next_format, 16, "%s", *next && info.backing_format ? info.backing_format : "");
    if (list) {
        json_array_append_new(list, image_info_json(image, *next));
    } else {
        if (!first)
            printf("\n");
        print_human(image, *next ? *next : "");
    }
    block_image_destroy(image);
    return true;
}

static bool show_chain(const char *path, const char *format, bool share, bool chain, json_t *list)
{
    char next_format[16];
    char *next = NULL, *current = NULL, current_format[16];
    bool fine = show(path, format, share, list, true, &next, next_format);
    for (unsigned depth = 0; fine && chain && next; depth++) {
        if (depth >= BLOCK_CHAIN_MAX) {
            tool_error("%s: more than %u backing files", path, BLOCK_CHAIN_MAX);
            fine = false;
            break;
        }
        free(current);
        current = next;
        memcpy(current_format, next_format, sizeof current_format);
        fine = show(current, *current_format ? current_format : NULL, share, list, false, &next, next_format);
    }
    free(current);
    free(next);
    return fine;
}

int image_info(int argc, char **argv)
{
    static const struct option longs[] = {
        {"output", required_argument, NULL, 'O'}, {"backing-chain", no_argument, NULL, 'B'}, {0}};
    const char *format = NULL;
    bool json = false, chain = false, share = false;
    int option;
    while ((option = getopt_long(argc, argv, "f:U", longs, NULL)) != -1) {
        switch (option) {
        case 'f': format = optarg; break;
        case 'U': share = true; break;
        case 'B': chain = true; break;
        case 'O':
            if (!image_output_json(optarg, &json))
                return EXIT_CODE_FAILED;
            break;
        default: return EXIT_CODE_FAILED;
        }
    }
    if (argc - optind != 1) {
        tool_error("image info: expected one file name");
        return EXIT_CODE_FAILED;
    }
    json_t *list = json ? json_array() : NULL;
    bool fine = show_chain(argv[optind], format, share, chain, list);
    if (fine && json) {
        json_dumpf(chain ? list : json_array_get(list, 0), stdout, JSON_INDENT(4) | JSON_PRESERVE_ORDER);
        printf("\n");
    }
    json_decref(list);
    return fine ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
