/* A log of one drive's writes in the format of Linux's dm-log-writes target (drivers/md/dm-log-writes.c, version 1), as
 * replay-log of xfstests reads it. Errors are kept: log_writes_close gives the first. Thread: the owner's. */
#ifndef VMRR_TOOLS_LOG_WRITES_H
#define VMRR_TOOLS_LOG_WRITES_H

#include "block/block.h"

struct log_writes;

struct log_writes *log_writes_create(const char *path, struct error *error);
/* A request as the device submits it: data of a write, copied; null for others. */
void log_writes_submit(struct log_writes *log, uint32_t tag, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                       bool fua, const void *data);
/* It has succeeded. */
void log_writes_complete(struct log_writes *log, uint32_t tag);
/* It has failed: data is what its sectors hold now (null: nothing was written). A mark says which it was. */
void log_writes_fail(struct log_writes *log, uint32_t tag, const void *data);
uint64_t log_writes_entries(const struct log_writes *log);
/* What was never flushed, the mark at the end, the super block. Frees the log; on failure the file is incomplete. */
enum status log_writes_close(struct log_writes *log, struct error *error) MUST_CHECK;

#endif
