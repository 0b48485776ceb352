/* Landmarks of machines that count exits (core/landmark.h). Internal to accel-interp. */
#ifndef VMRR_ACCEL_INTERP_LANDMARK_H
#define VMRR_ACCEL_INTERP_LANDMARK_H

#include "accel-interp/interp.h"

/* Before each chain: sees to it that chains end where a landmark that is ahead may be (a breakpoint of our own at its RIP,
 * there every iteration of a repeated instruction). True: it is met, and the machine has been told. */
bool landmark_met(struct interp *cpu);

#endif
