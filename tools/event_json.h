/* A journal's event as an object: what a line of dump --json says of it (replay/FORMAT.md, "JSON lines"). */
#ifndef VMRR_TOOLS_EVENT_JSON_H
#define VMRR_TOOLS_EVENT_JSON_H

#include "replay/journal_event.h"

#include <jansson.h>

json_t *event_json(const struct journal_event *event); /* the caller's */

#endif
