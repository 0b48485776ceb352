/* The vmlinux inside a bzImage, and RDTSC in it: whatever the file, a text, or an ELF file of the size that was promised. Input: the
 * file. */
#include "tests/fuzz/fuzz.h"
#include "tools/kernel_unpack.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct journal_blob kernel = {malloc(size + 1), size};
    struct error error = {{0}};
    uint64_t *sites = NULL;
    uint32_t count = 0;
    CHECK(kernel.bytes);
    memcpy(kernel.bytes, data, size);
    enum status status = kernel_unpack(&kernel, "fuzz", &error);
    if (status) {
        CHECK(error.text[0] && kernel.size_bytes == size && !memcmp(kernel.bytes, data, size));
    } else {
        CHECK(kernel.size_bytes >= 64 && !memcmp(kernel.bytes, "\177ELF", 4));
        status = kernel_trap_tsc(&kernel, "fuzz", &sites, &count, &error);
        CHECK(status ? error.text[0] && !sites : sites && count);
    }
    free(sites);
    free(kernel.bytes);
    return 0;
}
