/* Which request meets a fault rule: asked once a start of a request, on the live side of the seam (INPUT_BLOCK_FAULT). */
#ifndef VMRR_BLOCK_FAULT_H
#define VMRR_BLOCK_FAULT_H

#include "block/policy.h"
#include "core/status.h"
#include "core/trace.h"

/* Counts the request at every rule that it meets; the fault of the first that fires, else 0. */
uint64_t block_fault_ask(struct block_fault_rule *rule, unsigned count, uint32_t drive, enum trace_block_op op,
                         uint64_t sector, uint32_t sectors);

/* A rule from its text, item by item (value null: a word alone): begin, set for each, check. STATUS_INVALID with what was
 * expected. */
void block_fault_begin(struct block_fault_rule *rule);
enum status block_fault_set(struct block_fault_rule *rule, const char *key, const char *value,
                            struct error *error) MUST_CHECK;
enum status block_fault_check(const struct block_fault_rule *rule, struct error *error) MUST_CHECK;

#endif
