/* A bare-metal guest of random instructions, made from a seed: an image that is loaded at RANDOM_PROGRAM_BASE, a multiboot
 * kernel by itself. A small 64-bit kernel runs a body of random instructions at CPL 3, in 64-, 32- or 16-bit code, over
 * and over with other registers: rows of opcodes.def with memory operands in pages, over their ends and out of them;
 * branches, calls, returns and loops; stores into the body's own code. The timer interrupts it at any instruction. What
 * faults is skipped, and mixed into a hash in memory, as is where interrupts came. A body that has got into an endless
 * loop is made to end. It ends with port F4h (isa-debug-exit). The same for the same (seed, bits, features) everywhere. */
#ifndef VMRR_TESTS_SUPPORT_RANDOM_PROGRAM_H
#define VMRR_TESTS_SUPPORT_RANDOM_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

struct cpu_model;

#define RANDOM_PROGRAM_BASE 0x100000u
#define RANDOM_PROGRAM_BYTES 0x26000u
/* In the image: how many exceptions there were by vector (32 numbers of 64 bits; 2: interrupts of the timer), and the hash
 * after them. */
#define RANDOM_PROGRAM_COUNTS 0xA000u

struct random_program {
    uint64_t seed;
    unsigned bits;       /* 16, 32, 64 */
    unsigned slots;      /* instructions of the body; at most RANDOM_PROGRAM_SLOTS_MAX */
    unsigned iterations; /* runs of the body */
};
#define RANDOM_PROGRAM_SLOTS_MAX 800u

/* image: RANDOM_PROGRAM_BYTES. Only instructions that the model has. */
void random_program_make(const struct random_program *program, const struct cpu_model *model, uint8_t *image);

#endif
