/* Runs a fuzz target over files: each as it is, cut off at many lengths, and with single bytes and words overwritten. An
 * ordinary, deterministic test; libFuzzer does the searching. Usage: fuzz_<name> FILE_OR_DIRECTORY... */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1u << 20)
#define VARIANTS 2000u

static unsigned long long runs;

/* A copy of the exact size, so that a sanitizer sees a read behind the end. */
static void run_copy(const uint8_t *data, size_t size, size_t at, uint32_t value, unsigned value_bytes)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    for (unsigned i = 0; i < value_bytes && at + i < size; i++)
        copy[at + i] = (uint8_t)(value >> (8 * i));
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void run_variants(const uint8_t *data, size_t size)
{
    static const uint32_t values[] = {0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF};
    size_t step = size / VARIANTS + 1;
    run_copy(data, size, 0, 0, 0);
    for (size_t at = 0; at < size; at += step) {
        run_copy(data, at, 0, 0, 0);
        for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
            run_copy(data, size, at, values[i], 1);
            run_copy(data, size, at, values[i], 4);
        }
    }
}

static int run_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint8_t *data = malloc(FILE_MAX);
    if (!file || !data) {
        perror(path);
        return 1;
    }
    size_t size = fread(data, 1, FILE_MAX, file);
    fclose(file);
    run_variants(data, size);
    free(data);
    return 0;
}

static int run_directory(const char *path)
{
    struct dirent **entries;
    int failed = 0, count = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        char name[4096];
        snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            failed |= run_file(name);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return failed || count < 0;
}

int main(int argc, char **argv)
{
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (stat(argv[i], &info)) {
            perror(argv[i]);
            failed = 1;
        } else {
            failed |= S_ISDIR(info.st_mode) ? run_directory(argv[i]) : run_file(argv[i]);
        }
    }
    printf("%llu inputs\n", runs);
    return failed || !runs;
}
