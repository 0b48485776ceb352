/* Floating-point rows of the native instruction check: operands (tools/fuzz/native_fp.h), and groups. */
#ifndef VMRR_TESTS_INSN_FP_CASES_H
#define VMRR_TESTS_INSN_FP_CASES_H

#include "tests/insn/native.h"
#include "tools/fuzz/native_fp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A group in 16-, 32- and 64-bit code. Returns how many rows failed. */
static inline unsigned fp_check_group(enum native_group group, native_profile_fn *profile_of)
{
    struct native_harness *h = native_create();
    unsigned failed = 0;

    for (unsigned bits = 16; bits <= 64; bits *= 2)
        failed += native_check_group(h, group, bits, profile_of);
    native_destroy(h);
    return failed;
}

#endif
