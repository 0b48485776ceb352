/* vmrr image check. */
#include "tools/image.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

struct checking {
    const char *path;
    bool quiet, json, share;
    enum qcow2_repair repair;
};

static void say(void *opaque, const char *line)
{
    (void)opaque;
    fprintf(stderr, "%s\n", line);
}

static void print_human(const struct qcow2_check *check)
{
    if (!check->corruptions && !check->leaks && !check->errors)
        printf("No errors were found on the image.\n");
    if (check->corruptions)
        printf("\n%" PRIu64 " errors were found on the image.\n"
               "Data may be corrupted, or further writes to the image may corrupt it.\n",
               check->corruptions);
    if (check->leaks)
        printf("\n%" PRIu64 " leaked clusters were found on the image.\n"
               "This means waste of disk space, but no harm to data.\n",
               check->leaks);
    if (check->errors)
        printf("\n%" PRIu64 " internal errors have occurred during the check.\n", check->errors);
    if (check->total_clusters && check->allocated_clusters)
        printf("%" PRIu64 "/%" PRIu64 " = %0.2f%% allocated, %0.2f%% fragmented, %0.2f%% compressed clusters\n",
               check->allocated_clusters, check->total_clusters,
               (double)check->allocated_clusters * 100 / (double)check->total_clusters,
               (double)check->fragmented_clusters * 100 / (double)check->allocated_clusters,
               (double)check->compressed_clusters * 100 / (double)check->allocated_clusters);
    if (check->image_end)
        printf("Image end offset: %" PRIu64 "\n", check->image_end);
}

static void set_unless_zero(json_t *object, const char *key, uint64_t value)
{
    if (value)
        json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void print_json(const struct checking *checking, const struct qcow2_check *check)
{
    json_t *object = json_object();
    json_object_set_new(object, "filename", json_string(checking->path));
    json_object_set_new(object, "format", json_string("qcow2"));
    json_object_set_new(object, "check-errors", json_integer((json_int_t)check->errors));
    set_unless_zero(object, "image-end-offset", check->image_end);
    set_unless_zero(object, "corruptions", check->corruptions);
    set_unless_zero(object, "leaks", check->leaks);
    set_unless_zero(object, "corruptions-fixed", check->corruptions_fixed);
    set_unless_zero(object, "leaks-fixed", check->leaks_fixed);
    set_unless_zero(object, "total-clusters", check->total_clusters);
    set_unless_zero(object, "allocated-clusters", check->allocated_clusters);
    set_unless_zero(object, "fragmented-clusters", check->fragmented_clusters);
    set_unless_zero(object, "compressed-clusters", check->compressed_clusters);
    json_dumpf(object, stdout, JSON_INDENT(4) | JSON_PRESERVE_ORDER);
    printf("\n");
    json_decref(object);
}

static void print(const struct checking *checking, const struct qcow2_check *check)
{
    if (checking->json) {
        print_json(checking, check);
        return;
    }
    if (checking->quiet)
        return;
    if (check->corruptions_fixed || check->leaks_fixed)
        printf("The following inconsistencies were found and repaired:\n\n    %" PRIu64 " leaked clusters\n    %" PRIu64
               " corruptions\n\nDouble checking the fixed image now...\n",
               check->leaks_fixed, check->corruptions_fixed);
    print_human(check);
}

static int check_image(const struct checking *checking, struct block_image *image)
{
    struct qcow2_check check = {.say = checking->quiet ? NULL : say};
    struct error error = {0};
    enum status status = block_qcow2_check(image, checking->repair, &check, &error);
    if (status) {
        tool_error("%s", error.text);
        return status == STATUS_UNSUPPORTED ? IMAGE_CHECK_UNSUPPORTED : EXIT_CODE_FAILED;
    }
    print(checking, &check);
    return check.errors        ? EXIT_CODE_FAILED
           : check.corruptions ? IMAGE_CHECK_CORRUPT
           : check.leaks       ? IMAGE_CHECK_LEAKS
                               : EXIT_CODE_OK;
}

static bool parse_repair(const char *text, enum qcow2_repair *repair)
{
    *repair = !strcmp(text, "leaks") ? QCOW2_REPAIR_LEAKS : QCOW2_REPAIR_ALL;
    if (*repair == QCOW2_REPAIR_LEAKS || !strcmp(text, "all"))
        return true;
    tool_error("image check -r %s: expected leaks or all", text);
    return false;
}

int image_check(int argc, char **argv)
{
    static const struct option longs[] = {
        {"output", required_argument, NULL, 'O'}, {"repair", required_argument, NULL, 'r'}, {0}};
    struct checking checking = {0};
    const char *format = NULL;
    int option;
    while ((option = getopt_long(argc, argv, "qf:r:U", longs, NULL)) != -1) {
        bool fine = option != '?';
        switch (option) {
        case 'q': checking.quiet = true; break;
        case 'f': format = optarg; break;
        case 'U': checking.share = true; break;
        case 'r': fine = parse_repair(optarg, &checking.repair); break;
        case 'O': fine = image_output_json(optarg, &checking.json); break;
        default: break;
        }
        if (!fine)
            return EXIT_CODE_FAILED;
    }
    if (argc - optind != 1) {
        tool_error("image check: expected one file name");
        return EXIT_CODE_FAILED;
    }
    checking.path = argv[optind];
    struct block_image *image =
        image_open(checking.path, &(struct block_open_options){.format = format,
                                                               .read_only = checking.repair == QCOW2_REPAIR_NONE,
                                                               .check = true,
                                                               .no_backing = true,
                                                               .host = image_sharing(checking.share)});
    int code = image ? check_image(&checking, image) : EXIT_CODE_FAILED;
    block_image_destroy(image);
    return code;
}
