/* The requests of a journal as lines of blkparse. */
#ifndef VMRR_TOOLS_BLKTRACE_TEXT_H
#define VMRR_TOOLS_BLKTRACE_TEXT_H

#include "replay/journal_reader.h"

#include <stdbool.h>
#include <stdio.h>

/* drive: UINT32_MAX for all. */
enum status blktrace_text(struct journal_reader *reader, uint32_t drive, FILE *out, struct error *error) MUST_CHECK;

#endif
