/* vmrr image snapshot: internal snapshots of a qcow2 image. */
#include "tools/image.h"

#include <time.h>

static enum status act(struct block_image *image, int action, const char *name, struct error *error)
{
    struct timespec now;
    switch (action) {
    case 'c':
        clock_gettime(CLOCK_REALTIME, &now);
        return block_qcow2_snapshot_create(image, name, (uint32_t)now.tv_sec, (uint32_t)now.tv_nsec, error);
    case 'a': return block_qcow2_snapshot_apply(image, name, error);
    case 'd': return block_qcow2_snapshot_delete(image, name, error);
    default: image_print_snapshots(image); return STATUS_OK;
    }
}

int image_snapshot(int argc, char **argv)
{
    static const struct option longs[] = {{0}};
    const char *name = NULL;
    bool share = false;
    int option, action = 0;
    while ((option = getopt_long(argc, argv, "la:c:d:qU", longs, NULL)) != -1) {
        if (option == '?')
            return EXIT_CODE_FAILED;
        share |= option == 'U';
        if (option == 'q' || option == 'U')
            continue;
        if (action) {
            tool_error("image snapshot: expected one of -l, -a, -c and -d");
            return EXIT_CODE_FAILED;
        }
        action = option;
        name = optarg;
    }
    if (argc - optind != 1) {
        tool_error("image snapshot: expected one file name");
        return EXIT_CODE_FAILED;
    }
    bool list = !action || action == 'l';
    struct error error = {0};
    struct qcow2_info info;
    struct block_image *image = image_open(
        argv[optind],
        &(struct block_open_options){.read_only = list, .no_backing = true, .host = image_sharing(share && list)});
    if (!image)
        return EXIT_CODE_FAILED;
    enum status status = list || block_qcow2_info(image, &info)
                             ? act(image, action, name, &error)
                             : error_status(&error, STATUS_UNSUPPORTED, "%s: format %s: has no snapshots", image->name,
                                            image->ops->format);
    if (status)
        tool_error("%s", error.text);
    if (!image_close(image))
        return EXIT_CODE_FAILED;
    return status ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}
