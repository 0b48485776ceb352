/* The instruction table as data: opcodes.def expanded. */
#include "accel-interp/opcodes.h"

#define OP(map, opcode, prefix, modrm, mnemonic, operands, forms, feature, flags) extern const struct insn_forms forms;
#include "accel-interp/opcodes.def"
#undef OP

#define OP(map, opcode, prefix, modrm, mnemonic, operands, forms, feature, flags)                                      \
    {map, opcode, prefix, modrm, flags, mnemonic, operands, &forms, feature},
const struct opcode_row opcode_rows[] = {
#include "accel-interp/opcodes.def"
};
#undef OP

const unsigned opcode_rows_count = sizeof opcode_rows / sizeof opcode_rows[0];
