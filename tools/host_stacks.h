/* Stacks of vmrr itself, by number: kept when a step of the block layer is made (block/activity.h), named when they are written
 * down. Where the build had no libunwind or libdw, host_stacks_create says so. */
#ifndef VMRR_TOOLS_HOST_STACKS_H
#define VMRR_TOOLS_HOST_STACKS_H

#include "block/activity.h"
#include "core/status.h"

struct host_stacks;

struct host_stacks *host_stacks_create(struct error *error);
void host_stacks_destroy(struct host_stacks *stacks); /* null allowed */
/* The caller's stack; opaque: the struct host_stacks. 0 when there is no room for one more. Any thread. */
uint32_t host_stacks_capture(void *opaque);
/* "function file:line" of each frame, innermost first; borrowed until the stacks go. Any thread. */
size_t host_stacks_frames(void *opaque, uint32_t stack, const char **text, size_t max);

#endif
