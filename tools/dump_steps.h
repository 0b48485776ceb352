/* The steps frames of a journal, printed. */
#ifndef VMRR_TOOLS_DUMP_STEPS_H
#define VMRR_TOOLS_DUMP_STEPS_H

#include "replay/journal_reader.h"
#include "replay/journal_steps.h"

enum status dump_steps(struct journal_reader *reader, bool json, struct error *error) MUST_CHECK;

#endif
