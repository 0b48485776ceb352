/* The guest's screen as a file: text (UTF-8) for *.txt or "-", else PNG. */
#ifndef VMRR_TOOLS_SCREENDUMP_H
#define VMRR_TOOLS_SCREENDUMP_H

#include "core/machine.h"

void screendump_write(struct machine *machine, const char *path);

#endif
