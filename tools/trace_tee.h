/* A trace sink that gives everything to two: who checks or records first, then who only looks. */
#ifndef VMRR_TOOLS_TRACE_TEE_H
#define VMRR_TOOLS_TRACE_TEE_H

#include "core/trace.h"

struct trace_tee {
    struct trace_sink first, second;
};

/* The sink borrows the tee. */
struct trace_sink trace_tee_sink(struct trace_tee *tee);

#endif
