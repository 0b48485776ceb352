/* The segments of a vmlinux (ELF64, System V ABI; Linux arch/x86/kernel/vmlinux.lds: they are linked at virtual addresses and
 * loaded at their physical ones, and the entry point is physical). It is started by the 64-bit boot protocol (loader_linux.c).
 *
 * Not done: relocation (a kernel runs where it was linked to), PVH notes. */
#include "devices/loader_vmlinux.h"

#include <string.h>

#define EHDR_BYTES 64u
#define PHDR_BYTES 56u
#define ET_EXEC 2u
#define EM_X86_64 62u
#define PT_LOAD 1u
#define SEGMENTS_MAX 32u

bool loader_vmlinux_recognize(const struct board_blob *kernel)
{
    return kernel->size_bytes >= EHDR_BYTES && !memcmp(kernel->bytes, "\177ELF\2\1", 6) &&
           loader_u16(kernel->bytes + 16) == ET_EXEC && loader_u16(kernel->bytes + 18) == EM_X86_64;
}

static enum status add_segment(const struct loader_options *options, struct vmlinux *kernel, uint64_t at,
                               struct boot_plan *plan, struct error *error)
{
    const struct board_blob *file = &options->board->kernel;
    const uint8_t *header = file->bytes + at;
    uint64_t offset = loader_u64(header + 8), gpa = loader_u64(header + 24);
    uint64_t file_bytes = loader_u64(header + 32), memory_bytes = loader_u64(header + 40);
    uint64_t limit = options->memory.usable_bytes;
    if (offset > file->size_bytes || file_bytes > file->size_bytes - offset)
        return error_status(error, STATUS_CORRUPT,
                            "%s: offset 0x%llx (p_filesz): 0x%llx bytes at 0x%llx, but the file has only 0x%zx bytes", kernel->name,
                            (unsigned long long)at + 32, (unsigned long long)file_bytes, (unsigned long long)offset,
                            file->size_bytes);
    if (memory_bytes < file_bytes)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x%llx (p_memsz): 0x%llx, expected at least p_filesz 0x%llx",
                            kernel->name, (unsigned long long)at + 40, (unsigned long long)memory_bytes,
                            (unsigned long long)file_bytes);
    if (gpa < BOOT_KERNEL_GPA || gpa > limit || memory_bytes > limit - gpa)
        return error_status(error, STATUS_INVALID,
                            "%s: offset 0x%llx (p_paddr): loads to 0x%llx..0x%llx, expected within 0x%x..0x%llx (memory size: -m)",
                            kernel->name, (unsigned long long)at + 24, (unsigned long long)gpa,
                            (unsigned long long)(gpa + memory_bytes), BOOT_KERNEL_GPA, (unsigned long long)limit);
    boot_plan_add(plan, gpa, file->bytes + offset, file_bytes);
    boot_plan_add_zeros(plan, gpa + file_bytes, memory_bytes - file_bytes);
    kernel->start = gpa < kernel->start ? gpa : kernel->start;
    kernel->end = gpa + memory_bytes > kernel->end ? gpa + memory_bytes : kernel->end;
    return STATUS_OK;
}

enum status loader_vmlinux_read(const struct loader_options *options, struct vmlinux *kernel, struct boot_plan *plan,
                                struct error *error)
{
    const struct board_blob *file = &options->board->kernel;
    uint64_t table = loader_u64(file->bytes + 32);
    unsigned size = loader_u16(file->bytes + 54), count = loader_u16(file->bytes + 56);
    enum status status = STATUS_OK;
    if (size != PHDR_BYTES || count == 0 || count > SEGMENTS_MAX)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x36 (e_phentsize, e_phnum): %u, %u, expected %u, 1 to %u",
                            kernel->name, size, count, PHDR_BYTES, SEGMENTS_MAX);
    if (table > file->size_bytes || (uint64_t)count * PHDR_BYTES > file->size_bytes - table)
        return error_status(error, STATUS_CORRUPT, "%s: offset 0x20 (e_phoff): %u entries at 0x%llx, but the file has only 0x%zx bytes",
                            kernel->name, count, (unsigned long long)table, file->size_bytes);
    kernel->start = UINT64_MAX;
    for (unsigned n = 0; n < count && !status; n++) {
        uint64_t at = table + n * PHDR_BYTES;
        if (loader_u32(file->bytes + at) == PT_LOAD && loader_u64(file->bytes + at + 40))
            status = add_segment(options, kernel, at, plan, error);
    }
    kernel->entry = loader_u64(file->bytes + 24);
    if (!status && (kernel->entry < kernel->start || kernel->entry >= kernel->end))
        status = error_status(error, STATUS_CORRUPT, "%s: offset 0x18 (e_entry): 0x%llx, expected within the segments: 0x%llx..0x%llx",
                              kernel->name, (unsigned long long)kernel->entry, (unsigned long long)kernel->start,
                              (unsigned long long)kernel->end);
    return status;
}
