/* Writes a random guest (tests/support/random_program.h) for -cpu max to a file: random_guest SEED BITS FILE */
#include "core/cpu_model.h"
#include "tests/support/random_program.h"

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    static uint8_t image[RANDOM_PROGRAM_BYTES];
    struct random_program program = {.slots = 300, .iterations = 40};
    struct cpu_model model;
    struct error error = {0};

    if (argc != 4 || cpu_model_init(&model, "max", &error) != STATUS_OK) {
        fprintf(stderr, "usage: random_guest SEED 16|32|64 FILE %s\n", error.text);
        return 2;
    }
    program.seed = strtoull(argv[1], NULL, 10);
    program.bits = (unsigned)strtoul(argv[2], NULL, 10);
    random_program_make(&program, &model, image);
    FILE *file = fopen(argv[3], "wb");
    if (!file || fwrite(image, 1, sizeof image, file) != sizeof image || fclose(file)) {
        perror(argv[3]);
        return 1;
    }
    return 0;
}
