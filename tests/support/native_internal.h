/* Between native.c and native_generate.c. */
#ifndef VMRR_TESTS_SUPPORT_NATIVE_INTERNAL_H
#define VMRR_TESTS_SUPPORT_NATIVE_INTERNAL_H

#include "accel-interp/opcodes.h"
#include "tests/support/native_host.h"

/* Makes the case of (row, seed): encoding, registers, memory. False: the row has no encoding in this mode. */
bool native_generate(struct native_case *c, const struct opcode_row *row, const struct native_profile *profile,
                     uint64_t seed);
/* Does the machine's CPU model have a row's feature? Null: always. */
bool native_has_feature(const struct native_harness *h, const char *feature);

#endif
