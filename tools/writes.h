/* vmrr writes, and writes of a replay's monitor: how a request is shown. */
#ifndef VMRR_TOOLS_WRITES_H
#define VMRR_TOOLS_WRITES_H

#include "tools/request_walk.h"
#include "tools/symbols.h"

#include <stdio.h>

bool writes_is_host_step(const struct guest_step *step); /* a call to the host, not a change of the format's */
bool writes_changes_host(const struct guest_step *step); /* one that writes */
unsigned writes_host_calls(const struct guest_request *request);
void writes_print_header(FILE *out);
void writes_print_line(const struct request_walk *walk, const struct guest_request *request,
                       const struct symbols *symbols, FILE *out);
void writes_print_tree(const struct request_walk *walk, const struct guest_request *request,
                       const struct symbols *symbols);
void writes_print_json(const struct request_walk *walk, const struct guest_request *request,
                       const struct symbols *symbols);

#endif
