/* Operations of an accelerator that has nothing to do for them: for accelerators that tests make. */
#ifndef VMRR_TESTS_SUPPORT_ACCEL_NOTHING_H
#define VMRR_TESTS_SUPPORT_ACCEL_NOTHING_H

#include "core/accel.h"

#include <stdlib.h>

static inline void accel_nothing(struct accel *accel)
{
    (void)accel;
}
static inline void accel_nothing_written(struct accel *accel, uint64_t gpa, uint64_t size_bytes)
{
    (void)accel;
    (void)gpa;
    (void)size_bytes;
}
/* Of one that is its own allocation and owns nothing. */
static inline void accel_free(struct accel *accel)
{
    free(accel);
}

#endif
