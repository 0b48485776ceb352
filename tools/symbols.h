/* Names of guest addresses, from a System.map ("address type name" lines, as `nm` prints them). */
#ifndef VMRR_TOOLS_SYMBOLS_H
#define VMRR_TOOLS_SYMBOLS_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbols;

struct symbols *symbols_read(const char *path, struct error *error);
void symbols_destroy(struct symbols *symbols); /* null allowed */
/* "ata_sff_exec_command+0x12" of the last text symbol at or before the address. False: there is none near. */
bool symbols_name(const struct symbols *symbols, uint64_t address, char *out, size_t size);

#endif
