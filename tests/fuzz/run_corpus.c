/* Runs a fuzz target over files: each as it is, cut off at many lengths, and with single bytes and words overwritten. An
 * ordinary, deterministic test; libFuzzer does the searching. Usage: fuzz_<name> [-positions=N] FILE_OR_DIRECTORY...
 * (N: at how many places of a file, evenly spread; default 2000) The input of a
 * crash is kept beside the program. */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MAX (1u << 20)

static unsigned long long runs;
static size_t positions = 2000;

static const uint8_t *running;
static size_t running_size;
static char crash_path[4096];

static void keep_input(int number)
{
    int file = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (file >= 0 && write(file, running, running_size) == (ssize_t)running_size) {
        (void)!write(STDERR_FILENO, "input kept: ", 12);
        (void)!write(STDERR_FILENO, crash_path, strlen(crash_path));
        (void)!write(STDERR_FILENO, "\n", 1);
    }
    signal(number, SIG_DFL);
    raise(number);
}

/* A copy of the exact size, so that a sanitizer sees a read behind the end. */
static void run_copy(const uint8_t *data, size_t size, size_t at, uint32_t value, unsigned value_bytes)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        abort();
    memcpy(copy, data, size);
    for (unsigned i = 0; i < value_bytes && at + i < size; i++)
        copy[at + i] = (uint8_t)(value >> (8 * i));
    running = copy;
    running_size = size;
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
    runs++;
}

static void run_variants(const uint8_t *data, size_t size)
{
    static const uint32_t values[] = {0, 1, 0x7F, 0xFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF0, 0xFFFFFFFF};
    size_t step = size / positions + 1;
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
    snprintf(crash_path, sizeof crash_path, "%s.crash", argv[0]);
    signal(SIGABRT, keep_input);
    signal(SIGSEGV, keep_input);
    for (int i = 1; i < argc; i++) {
        struct stat info;
        if (!strncmp(argv[i], "-positions=", 11) && atoi(argv[i] + 11) > 0) {
            positions = (size_t)atoi(argv[i] + 11);
        } else if (stat(argv[i], &info)) {
            perror(argv[i]);
            failed = 1;
        } else {
            failed |= S_ISDIR(info.st_mode) ? run_directory(argv[i]) : run_file(argv[i]);
        }
    }
    printf("%llu inputs\n", runs);
    return failed || !runs;
}
