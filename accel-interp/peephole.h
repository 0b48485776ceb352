/* After decoding: other functions for the instructions of a block, where what stands around them allows it.
 *
 *   quiet   an arithmetic instruction whose flags nobody can see, since all of them are overwritten before anything reads
 *           them, faults, or can be stopped at, leaves them as they are
 *   pair    two instructions as one function; it does the first and hands everything rare to the instructions' own
 *           functions, one after the other
 *
 * Each instruction keeps its slot and counts its step. A part of a block (block_truncate, block_single) has other surroundings:
 * it takes the instructions' own functions, which peephole_plain knows. */
#ifndef VMRR_ACCEL_INTERP_PEEPHOLE_H
#define VMRR_ACCEL_INTERP_PEEPHOLE_H

#include "accel-interp/forms.h"

struct peephole;

struct peephole *peephole_create(void);
void peephole_destroy(struct peephole *peephole);
size_t peephole_bytes(void); /* of host memory, each */
/* count instructions of a block, flat or not. fused_fn: the own function of the last but one if it was fused with the branch
 * after it, else null. */
void peephole_run(const struct peephole *peephole, struct insn *insns, unsigned count, insn_fn *fused_fn);
/* The instruction's own function, for one that peephole_run may have given another. */
insn_fn *peephole_plain(const struct peephole *peephole, insn_fn *fn);

/* ---- exec_pair.c: the functions ------------------------------------------------------------------------------- */

/* An instruction's own function, as forms->fn[size][form] or, for PEEPHOLE_CODE64, forms->code64->fn[size][FORM_REG]; and a
 * quiet one or null. */
struct peephole_op {
    const struct insn_forms *forms;
    uint8_t size, form;
    insn_fn *quiet;
};
#define PEEPHOLE_CODE64 0xFFu

static inline insn_fn *peephole_own(const struct peephole_op *op)
{
    return op->form == PEEPHOLE_CODE64 ? op->forms->code64->fn[op->size][FORM_REG] : op->forms->fn[op->size][op->form];
}

struct peephole_pair {
    const struct peephole_op *first, *second;
    insn_fn *fn;
};
extern const struct peephole_op peephole_quiet[];
extern const unsigned peephole_quiet_count;
extern const struct peephole_pair peephole_pairs[];
extern const unsigned peephole_pairs_count;

#endif
