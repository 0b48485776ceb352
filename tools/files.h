/* Files that the command line reads whole: kernels, initrds, firmware; and the machine configuration made of options. */
#ifndef VMRR_TOOLS_FILES_H
#define VMRR_TOOLS_FILES_H

#include "replay/replay.h"
#include "tools/options.h"

/* Allocates; at most max_bytes. */
enum status file_read(const char *path, uint64_t max_bytes, struct journal_blob *blob, struct error *error) MUST_CHECK;
/* All but the drives. */
enum status config_from_options(struct journal_config *config, const struct run_options *options,
                                struct error *error) MUST_CHECK;

#endif
