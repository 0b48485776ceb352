/* See register_names.h. */
#include "tools/register_names.h"

#include <stdio.h>

void register_name(const char *path, char *out, size_t size_bytes)
{
    static const char *const gpr[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segment[8] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    unsigned index;
    int end = 0;
    if (sscanf(path, "gpr[%u]%n", &index, &end) == 1 && end && index < 16)
        snprintf(out, size_bytes, "%s%s", gpr[index], path + end);
    else if (sscanf(path, "segment[%u]%n", &index, &end) == 1 && end && index < 8)
        snprintf(out, size_bytes, "%s%s", segment[index], path + end);
    else
        snprintf(out, size_bytes, "%s", path);
}
