/* Fused pairs: a comparison (or other arithmetic) and the conditional branch after it, in one function. They stay two
 * instructions in two slots of the block and count two steps; only the first one's function is another. */
#ifndef VMRR_ACCEL_INTERP_FUSE_H
#define VMRR_ACCEL_INTERP_FUSE_H

#include "accel-interp/decode.h"

/* The function for the pair, or null. The function finds the first one's own in block->entry_fn. flat: of the block's code. */
insn_fn *fuse_pair(const struct decoded *first, const struct decoded *branch, bool flat);

#endif
