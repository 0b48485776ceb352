/* info block -v: what stands in a drive's image and in those behind it, as QEMU prints its ImageInfo. Made of the answer of
 * query-block, so that both say the same. */
#include "block/qcow2.h"
#include "tools/image.h"
#include "tools/monitor/hmp.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static uint64_t number_of(const json_t *object, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(object, name));
}

static void print_sizes(const json_t *info, FILE *out)
{
    char size[32], disk[32] = "unavailable";
    if (json_object_get(info, "actual-size"))
        image_size_text(number_of(info, "actual-size"), disk, sizeof disk);
    fprintf(out, "virtual size: %s (%" PRIu64 " bytes)\ndisk size: %s\n",
            image_size_text(number_of(info, "virtual-size"), size, sizeof size), number_of(info, "virtual-size"), disk);
    if (json_object_get(info, "cluster-size"))
        fprintf(out, "cluster_size: %" PRIu64 "\n", number_of(info, "cluster-size"));
    if (json_is_true(json_object_get(info, "dirty-flag")))
        fprintf(out, "cleanly shut down: no\n");
}

static void print_backing(const json_t *info, FILE *out)
{
    const char *name = text_of(info, "backing-filename"), *full = text_of(info, "full-backing-filename");
    if (name && full && strcmp(name, full))
        fprintf(out, "backing file: %s (actual path: %s)\n", name, full);
    else if (name)
        fprintf(out, "backing file: %s\n", name);
    if (text_of(info, "backing-filename-format"))
        fprintf(out, "backing file format: %s\n", text_of(info, "backing-filename-format"));
}

static void print_snapshots(const json_t *list, FILE *out)
{
    size_t count = json_array_size(list);
    struct qcow2_snapshot *snapshot = count ? calloc(count, sizeof *snapshot) : NULL;
    for (size_t n = 0; snapshot && n < count; n++) {
        const json_t *one = json_array_get(list, n);
        snapshot[n] = (struct qcow2_snapshot){
            .id = (char *)(uintptr_t)text_of(one, "id"),
            .name = (char *)(uintptr_t)text_of(one, "name"),
            .vm_state_bytes = number_of(one, "vm-state-size"),
            .date_sec = (uint32_t)number_of(one, "date-sec"),
            .vm_clock_ns = number_of(one, "vm-clock-sec") * 1000000000u + number_of(one, "vm-clock-nsec"),
            .icount = json_object_get(one, "icount") ? number_of(one, "icount") : UINT64_MAX};
    }
    if (snapshot)
        image_print_snapshot_list(snapshot, count, out);
    free(snapshot);
}

/* In the order of QEMU's schema. */
static void print_specific(const json_t *specific, FILE *out)
{
    static const char *const names[] = {"compat",    "compression-type", "lazy-refcounts", "refcount-bits",
                                        "data-file", "data-file-raw",    "corrupt",        "extended-l2"};
    const json_t *data = json_object_get(specific, "data");
    if (data)
        fprintf(out, "Format specific information:\n");
    for (size_t n = 0; data && n < sizeof names / sizeof names[0]; n++) {
        const json_t *value = json_object_get(data, names[n]);
        if (!value)
            continue;
        fputs("    ", out);
        for (const char *c = names[n]; *c; c++)
            fputc(*c == '-' ? ' ' : *c, out);
        if (json_is_integer(value))
            fprintf(out, ": %" PRIu64 "\n", (uint64_t)json_integer_value(value));
        else
            fprintf(out, ": %s\n",
                    json_is_boolean(value) ? json_is_true(value) ? "true" : "false" : json_string_value(value));
    }
}

void hmp_print_images(const json_t *image, FILE *out)
{
    fprintf(out, "\nImages:\n");
    for (; image; image = json_object_get(image, "backing-image")) {
        fprintf(out, "image: %s\nfile format: %s\n", text_of(image, "filename"), text_of(image, "format"));
        print_sizes(image, out);
        print_backing(image, out);
        print_snapshots(json_object_get(image, "snapshots"), out);
        print_specific(json_object_get(image, "format-specific"), out);
    }
}
