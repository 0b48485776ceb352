/* A boot sector given as the kernel, without firmware: the whole file at 7C00h, entered as a BIOS enters a boot sector
 * (0000:7C00, DL = 80h, stack below it). There are no BIOS services and no interrupt vectors. */
#include "devices/loader.h"

#include <string.h>

#define SECTOR 512u
#define ENTRY_GPA 0x7C00u
#define FLAT_END_GPA 0x90000u

bool loader_flat_recognize(const struct board_blob *kernel)
{
    return kernel->size_bytes >= SECTOR && kernel->bytes[510] == 0x55 && kernel->bytes[511] == 0xAA;
}

enum status loader_flat_plan(const struct loader_options *options, struct boot_plan *plan, struct error *error)
{
    const struct board_blob *kernel = &options->board->kernel;
    const char *name = loader_blob_name(kernel, "kernel");
    if (kernel->size_bytes > FLAT_END_GPA - ENTRY_GPA)
        return error_status(error, STATUS_UNSUPPORTED, "%s: a boot sector of %zu bytes, expected at most %u", name,
                            kernel->size_bytes, FLAT_END_GPA - ENTRY_GPA);
    if (options->board->initrd.size_bytes || options->board->module_count)
        return error_status(error, STATUS_INVALID, "%s: a boot sector takes no initrd", name);
    boot_plan_add(plan, ENTRY_GPA, kernel->bytes, kernel->size_bytes);
    plan->mode = BOOT_MODE_REAL;
    plan->entry = ENTRY_GPA;
    plan->real_sp = ENTRY_GPA;
    plan->edx = 0x80;
    return STATUS_OK;
}
