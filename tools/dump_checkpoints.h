/* The checkpoints of a journal, printed. */
#ifndef VMRR_TOOLS_DUMP_CHECKPOINTS_H
#define VMRR_TOOLS_DUMP_CHECKPOINTS_H

#include "replay/journal_reader.h"

/* STATUS_CORRUPT with the text: one, of those that are there, is none; the others are printed. */
enum status dump_checkpoints(struct journal_reader *reader, bool json, struct error *error) MUST_CHECK;

#endif
