/* What the cmd_image_*.c files share: vmrr image, whose commands, options, output and exit codes are qemu-img's. */
#ifndef VMRR_TOOLS_IMAGE_H
#define VMRR_TOOLS_IMAGE_H

#include "block/block.h"
#include "block/qcow2.h"
#include "tools/tools.h"

#include <getopt.h>
#include <jansson.h>

/* Exit codes beside 0 and 1 (failed). */
enum image_exit {
    IMAGE_CHECK_CORRUPT = 2,
    IMAGE_CHECK_LEAKS = 3,
    IMAGE_CHECK_UNSUPPORTED = 63,
    IMAGE_COMPARE_DIFFERENT = 1,
    IMAGE_COMPARE_OPEN = 2,
    IMAGE_COMPARE_READ = 4,
};

int image_create(int argc, char **argv);
int image_info(int argc, char **argv);
int image_check(int argc, char **argv);
int image_map(int argc, char **argv);
int image_convert(int argc, char **argv);
int image_compare(int argc, char **argv);
int image_snapshot(int argc, char **argv);
int image_resize(int argc, char **argv);
int image_rebase(int argc, char **argv);
int image_commit(int argc, char **argv);

/* -U: others may write to the image while we look; null without it. */
const struct host_file_options *image_sharing(bool share);
/* Null, and said why. */
struct block_image *image_open(const char *path, const struct block_open_options *options);
/* Settled and destroyed. False, and said why: not all of it is in the file. Null allowed. */
bool image_close(struct block_image *image);
/* -p, as qemu-img shows it; wanted: else nothing. */
void image_progress(bool wanted, uint64_t done, uint64_t all);
void image_progress_end(bool wanted);
/* --output: false, and said why, for another word than human or json. */
bool image_output_json(const char *text, bool *json);
/* "10 MiB", as QEMU writes sizes: three digits. */
const char *image_size_text(uint64_t bytes, char *buffer, size_t size);
/* A size argument; a number, decimal fractions too, and one of b, k, M, G, T, P, E. False, and said why. */
bool image_parse_size(const char *text, uint64_t *bytes);
void image_print_snapshot_list(const struct qcow2_snapshot *snapshot, size_t count, FILE *out); /* none: nothing */
void image_print_snapshots(struct block_image *image);
/* cmd_image_info.c: QEMU's ImageInfo of one image. full_backing: where its backing file was found; null: it has none. */
json_t *image_info_json(struct block_image *image, const char *full_backing);

/* ---- new images: create and convert ---- */

struct image_recipe {
    const char *format; /* "raw" or "qcow2" */
    struct qcow2_create_options qcow2;
    bool have_size;
    bool unsafe_backing; /* it is not looked at */
    char *list;          /* the -o text cut up; the recipe's strings lie in it */
};
/* -o name=value,...: into the recipe. False, and said why. */
bool image_recipe_options(struct image_recipe *recipe, const char *text);
/* Makes the file (an old one is emptied). False, and said why. quiet: without the Formatting line. */
bool image_recipe_make(struct image_recipe *recipe, const char *path, bool quiet);
void image_recipe_free(struct image_recipe *recipe);

#endif
