/* The guest's screen as a file. */
#ifndef VMRR_TOOLS_SCREENDUMP_H
#define VMRR_TOOLS_SCREENDUMP_H

#include "core/machine.h"

enum screendump_format {
    SCREENDUMP_BY_NAME, /* text (UTF-8) for *.txt or "-", PPM for *.ppm, else PNG */
    SCREENDUMP_TEXT,
    SCREENDUMP_PNG,
    SCREENDUMP_PPM,
};

enum status screendump_to(struct machine *machine, const char *path, enum screendump_format format,
                          struct error *error) MUST_CHECK;
void screendump_write(struct machine *machine, const char *path); /* by name; says itself what went wrong */

#endif
