/* The command line: one cmd_*.c a subcommand, and what they share. Only this folder prints or exits. */
#ifndef VMRR_TOOLS_TOOLS_H
#define VMRR_TOOLS_TOOLS_H

#include "core/status.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit codes of every subcommand. A guest that leaves through isa-debug-exit gives its own code. */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED =
        1, /* the host failed (or is too old a processor), or the guest was shut down by a triple fault or an idle halt */
    EXIT_CODE_USAGE = 2,        /* wrong options, or a file that is not what it should be */
    EXIT_CODE_DIVERGED = 3,     /* diff, fuzz: different */
    EXIT_CODE_NOT_COMPARED = 4, /* diff, fuzz */
};

int cmd_run(int argc, char **argv);
int cmd_record(int argc, char **argv);
int cmd_replay(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_dump(int argc, char **argv);
int cmd_blktrace(int argc, char **argv);
int cmd_writes(int argc, char **argv);
int cmd_debug(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_fuzz(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_image(int argc, char **argv);

/* "vmrr: message\n" to standard error. */
void tool_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The version and what it was built with, one line, no newline: "vmrr 0.1.0 (gcc 12.2.0, zstd 1.5.4, ...)". */
const char *tool_version(void);

/* "512M", "4096", "1.5G", hex with 0x: bytes, with a unit for a bare number. STATUS_INVALID when malformed or too large. */
enum status parse_size(const char *text, uint64_t default_unit, uint64_t *value) MUST_CHECK;
enum status parse_u64(const char *text, uint64_t *value) MUST_CHECK;
/* "1,234,567" in one of a few static-free buffers given by the caller (at least 32 bytes). */
const char *format_count(uint64_t value, char *buffer, size_t size);
const char *format_bytes(uint64_t value, char *buffer, size_t size);
uint64_t host_clock_ns(void);

#endif
