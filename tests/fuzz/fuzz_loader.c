/* Kernel loaders: whatever the file, a plan is refused with a text, or stays within the machine's memory and the file.
 * Input: one byte of choices (bit 0 firmware, bit 1 long mode, bits 2-3 memory, bit 4 initrd, bit 5 module), the file. */
#include "devices/loader.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static void check_plan(const struct loader_options *options, const struct boot_plan *plan)
{
    const struct board_blob *kernel = &options->board->kernel;
    CHECK(plan->chunk_count && plan->chunk_count <= BOOT_CHUNKS_MAX);
    for (unsigned i = 0; i < plan->chunk_count; i++) {
        const struct boot_chunk *chunk = &plan->chunk[i];
        bool from_kernel = chunk->bytes >= kernel->bytes && chunk->bytes < kernel->bytes + kernel->size_bytes;
        CHECK(chunk->size_bytes && chunk->gpa + chunk->size_bytes > chunk->gpa);
        CHECK(chunk->gpa + chunk->size_bytes <= 0xA0000 ||
              (chunk->gpa >= BOOT_KERNEL_GPA && chunk->gpa + chunk->size_bytes <= options->memory.usable_bytes));
        CHECK(!from_kernel || chunk->size_bytes <= (size_t)(kernel->bytes + kernel->size_bytes - chunk->bytes));
        CHECK(!chunk->owned || chunk->size_bytes <= 0x20000);
    }
    CHECK(plan->mode != BOOT_MODE_LONG || (options->long_mode && !options->firmware));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint64_t sizes[4] = {1ull << 20, 32ull << 20, 512ull << 20, 3ull << 30};
    static const uint8_t initrd[3000];
    static const struct boot_e820 e820[1] = {{0x100000, 0x100000, BOOT_E820_RAM}};
    if (!size)
        return 0;
    struct board_pc_options board = {.kernel = {data + 1, size - 1, "fuzz"}, .append = "quiet"};
    if (data[0] & 0x10)
        board.initrd = (struct board_blob){initrd, sizeof initrd, NULL};
    if (data[0] & 0x20) {
        board.modules[0] = board.initrd = (struct board_blob){initrd, sizeof initrd, NULL};
        board.module_args[0] = "arguments";
        board.module_count = 1;
    }
    uint64_t low_bytes = sizes[data[0] >> 2 & 3];
    struct loader_options options = {.board = &board,
                                     .memory = {low_bytes, 0, low_bytes},
                                     .e820 = e820,
                                     .e820_count = 1,
                                     .rsdp_gpa = 0xF0000,
                                     .firmware = data[0] & 1,
                                     .long_mode = data[0] >> 1 & 1};
    struct boot_plan plan;
    struct error error = {{0}};
    if (loader_plan(&options, &plan, &error))
        CHECK(error.text[0] && !plan.chunk_count);
    else
        check_plan(&options, &plan);
    boot_plan_free(&plan);
    return 0;
}
