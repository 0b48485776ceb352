/* The native instruction check as the tests have it, over tools/fuzz/native.h: rows and groups of rows.
 *
 * Everything follows from (row, case seed, bits): a failure prints them, and VMRR_INSN_CASE=row:seed:bits runs that one again and
 * prints all of it. VMRR_INSN_ITERATIONS=COUNT overrides the number of cases a row; FROM:COUNT takes others than the
 * first. */
#ifndef VMRR_TESTS_INSN_NATIVE_H
#define VMRR_TESTS_INSN_NATIVE_H

#include "tools/fuzz/native.h"

/* Runs a row's cases; prints the first few failures. Returns how many failed. executed: cases that ended without a
 * fault. */
unsigned native_check_row(struct native_harness *h, const struct opcode_row *row, const struct native_profile *profile,
                          unsigned *executed);
/* One encoding, from chosen registers: the caller gives code, length, in and data (native_case_init first). */
bool native_check_case(struct native_harness *h, struct native_case *c, const struct native_profile *profile,
                       struct native_state *host_out);

/* How a row of a group wants its cases in 32- or 64-bit code. Null: not at all. */
typedef const struct native_profile *native_profile_fn(const struct opcode_row *row, unsigned bits);

/* Runs all rows of a group that exist in code of `bits` and in the machine's CPU model, as a test's main body; rows whose
 * feature this host's CPU lacks are counted as skipped, with its name. Returns the number of rows that failed, or never
 * ran without a fault though profile->faults is not set. */
unsigned native_check_group(struct native_harness *h, enum native_group group, unsigned bits,
                            native_profile_fn *profile_of);

#endif
