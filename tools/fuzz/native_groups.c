/* The native instruction check: which table a row stands in. */
#include "tools/fuzz/native_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A macro expands where it stands, so that each row tells its file and line. */
struct place {
    const char *file;
    unsigned line;
};
#define OP(map, opcode, prefix, modrm, mnemonic, operands, forms, feature, flags) {__FILE__, __LINE__},
static const struct place places[] = {
#include "accel-interp/opcodes.def"
};
#undef OP

static const char *file_of(const struct opcode_row *row)
{
    const char *path = places[row - opcode_rows].file, *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

const char *native_row_place(const struct opcode_row *row)
{
    static char text[64];

    snprintf(text, sizeof text, "%s:%u", file_of(row), places[row - opcode_rows].line);
    return text;
}

enum native_group native_group_of(const struct opcode_row *row)
{
    static const struct {
        const char *file;
        enum native_group group;
    } files[] = {
        {"opcodes_int.def", NATIVE_GROUP_INTEGER},   {"opcodes_branch.def", NATIVE_GROUP_BRANCH},
        {"opcodes_system.def", NATIVE_GROUP_SYSTEM}, {"opcodes_x87.def", NATIVE_GROUP_X87},
        {"opcodes_sse.def", NATIVE_GROUP_SSE},       {"opcodes_sse4.def", NATIVE_GROUP_SSE},
        {"opcodes_avx_int.def", NATIVE_GROUP_AVX},   {"opcodes_avx_fp.def", NATIVE_GROUP_AVX},
        {"opcodes_avx_move.def", NATIVE_GROUP_AVX},  {"opcodes_bmi.def", NATIVE_GROUP_BMI},
        {"opcodes_xsave.def", NATIVE_GROUP_XSAVE},
    };

    for (unsigned n = 0; n < sizeof files / sizeof files[0]; n++)
        if (!strcmp(file_of(row), files[n].file))
            return files[n].group;
    fprintf(stderr, "opcodes.def includes %s, which native_group_of does not know\n", file_of(row));
    abort();
}
