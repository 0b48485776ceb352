/* vmrr image: finds its command; what the commands share. */
#include "tools/help.h"
#include "tools/image.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>
#include <time.h>

int cmd_image(int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(int argc, char **argv);
    } commands[] = {{"create", image_create},     {"info", image_info},       {"check", image_check},
                    {"map", image_map},           {"convert", image_convert}, {"compare", image_compare},
                    {"snapshot", image_snapshot}, {"resize", image_resize},   {"rebase", image_rebase},
                    {"commit", image_commit}};
    if (argc < 2 || !strcmp(argv[1], "--help") || !strcmp(argv[1], "-h")) {
        help_print("image");
        return argc < 2 ? EXIT_CODE_USAGE : EXIT_CODE_OK;
    }
    for (size_t n = 0; n < sizeof commands / sizeof commands[0]; n++) {
        if (strcmp(argv[1], commands[n].name))
            continue;
        if (argc > 2 && (!strcmp(argv[2], "--help") || !strcmp(argv[2], "-h"))) {
            help_print("image");
            return EXIT_CODE_OK;
        }
        return commands[n].run(argc - 1, argv + 1);
    }
    tool_error("image: unknown command %s (see vmrr image --help)", argv[1]);
    return EXIT_CODE_FAILED;
}

const struct host_file_options *image_sharing(bool share)
{
    static const struct host_file_options sharing = {.share = true};
    return share ? &sharing : NULL;
}

struct block_image *image_open(const char *path, const struct block_open_options *options)
{
    struct error error = {0};
    struct block_image *image = block_image_open(path, options, &error);
    if (!image)
        tool_error("%s", error.text);
    return image;
}

bool image_close(struct block_image *image)
{
    enum status status = block_image_settle(image);
    if (status)
        tool_error("%s: %s", image->name, block_image_fault(image) ? block_image_fault(image) : status_name(status));
    block_image_destroy(image);
    return !status;
}

void image_progress(bool wanted, uint64_t done, uint64_t all)
{
    if (!wanted)
        return;
    printf("    (%3.2f/100%%)\r", (double)done * 100 / (double)all);
    fflush(stdout);
}

void image_progress_end(bool wanted)
{
    if (wanted)
        printf("\n");
}

bool image_output_json(const char *text, bool *json)
{
    *json = !strcmp(text, "json");
    if (*json || !strcmp(text, "human"))
        return true;
    tool_error("--output=%s: expected human or json", text);
    return false;
}

const char *image_size_text(uint64_t bytes, char *buffer, size_t size)
{
    static const char *const units[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"};
    int exponent;
    frexp((double)bytes / (1000.0 / 1024.0), &exponent); /* 1000 KiB are 0.977 MiB: never four digits */
    unsigned unit = exponent > 0 ? (unsigned)(exponent - 1) / 10 : 0;
    snprintf(buffer, size, "%0.3g %sB", (double)bytes / (double)(1ull << (unit * 10)), units[unit]);
    return buffer;
}

bool image_parse_size(const char *text, uint64_t *bytes)
{
    if (!parse_size(text, 1, bytes) && *bytes <= INT64_MAX)
        return true;
    tool_error("size %s: expected a number of bytes, or with k, M, G, T, P or E, as 1.5G", text);
    return false;
}

static void print_snapshot(const struct qcow2_snapshot *snapshot, FILE *out)
{
    char size[32], date[64] = "", clock[64];
    time_t seconds = snapshot->date_sec;
    struct tm local;
    uint64_t whole = snapshot->vm_clock_ns / 1000000000u;
    if (localtime_r(&seconds, &local))
        strftime(date, sizeof date, "%Y-%m-%d %H:%M:%S", &local);
    snprintf(clock, sizeof clock, "%02" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ".%03" PRIu64, whole / 3600, whole / 60 % 60,
             whole % 60, snapshot->vm_clock_ns / 1000000 % 1000);
    fprintf(out, "%-9s %-16s %8s%20s%13s", snapshot->id, snapshot->name,
            image_size_text(snapshot->vm_state_bytes, size, sizeof size), date, clock);
    if (snapshot->icount == UINT64_MAX)
        fprintf(out, "%11s\n", "");
    else
        fprintf(out, "%11" PRIu64 "\n", snapshot->icount);
}

void image_print_snapshot_list(const struct qcow2_snapshot *snapshot, size_t count, FILE *out)
{
    if (count)
        fprintf(out, "Snapshot list:\n%-9s %-16s %8s%20s%13s%11s\n", "ID", "TAG", "VM SIZE", "DATE", "VM CLOCK",
                "ICOUNT");
    for (size_t n = 0; n < count; n++)
        print_snapshot(&snapshot[n], out);
}

void image_print_snapshots(struct block_image *image)
{
    size_t count;
    const struct qcow2_snapshot *snapshot = block_qcow2_snapshots(image, &count);
    image_print_snapshot_list(snapshot, count, stdout);
}
