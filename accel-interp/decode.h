/* The instruction decoder: bytes to struct insn, by the rows of opcodes.def. Knows no CPU state but the mode, and touches
 * no memory but the bytes it is given. */
#ifndef VMRR_ACCEL_INTERP_DECODE_H
#define VMRR_ACCEL_INTERP_DECODE_H

#include "accel-interp/opcodes.h"

#define DECODE_BYTES_MAX 15u

struct decode_tables;

/* The rows whose feature the model has. Never null. */
struct decode_tables *decode_tables_create(const struct cpu_model *model);
/* Of these rows, which stay the caller's; model may be null: whatever their features. For tests of the decoder. */
struct decode_tables *decode_tables_create_of(const struct opcode_row *rows, size_t rows_count,
                                              const struct cpu_model *model);
void decode_tables_destroy(struct decode_tables *tables);

enum decode_status {
    DECODE_OK,
    DECODE_MORE,      /* the instruction goes on after the available bytes */
    DECODE_TOO_LONG,  /* more than 15 bytes: #GP(0) */
    DECODE_UNDEFINED, /* no row: #UD */
};

struct decoded {
    struct insn insn;             /* len is set for DECODE_OK and DECODE_UNDEFINED (as far as it was looked at) */
    const struct opcode_row *row; /* of DECODE_OK */
    bool leaves_page;             /* a direct branch with a successor in another page */
    bool reserved;                /* DECODE_UNDEFINED: UD0, UD1, UD2, which the manual promises to leave so */
};

/* bytes[0..available): the code from the instruction's first byte on. mode: MODE_* of struct interp. block_offset: what goes to
 * insn.off; block_page_offset: offset in its page of the block's first byte. insn.index is left 0. */
enum decode_status decode_insn(const struct decode_tables *tables, uint8_t mode, const uint8_t *bytes,
                               unsigned available, unsigned block_offset, unsigned block_page_offset,
                               struct decoded *out);

#endif
