/* The human monitor's commands. Machine thread, at a position, machine not running. */
#ifndef VMRR_TOOLS_MONITOR_HMP_H
#define VMRR_TOOLS_MONITOR_HMP_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct session;

/* Carries out a line and gives what is to be shown: UTF-8, lines end in CR LF. Owned by the caller. */
char *hmp_run_line(struct session *session, const char *line);

/* One row a command; words are what stands behind the name. */
typedef void hmp_fn(struct session *session, const char *words, FILE *out);
struct hmp_command {
    const char *name, *arguments, *help;
    hmp_fn *run;
    bool changes; /* the guest: not in a replay */
};
/* The table with this name in front: "info" has one of its own. Null: none of that name. */
const struct hmp_command *hmp_find(const struct hmp_command *list, size_t count, const char *line, const char **words);
void hmp_list(const struct hmp_command *list, size_t count, const char *prefix, FILE *out);

/* hmp_info.c, hmp_pci.c, hmp_memory.c, hmp_paging.c */
extern const struct hmp_command hmp_info_commands[];
extern const size_t hmp_info_command_count;
hmp_fn hmp_info_pci, hmp_info_mem, hmp_info_tlb, hmp_info_mtree, hmp_info_registers;
hmp_fn hmp_examine, hmp_examine_physical, hmp_print;

/* hmp_block.c */
hmp_fn hmp_eject, hmp_change, hmp_block_resize, hmp_snapshot_blkdev;

/* hmp_journal.c */
hmp_fn hmp_events, hmp_last_write, hmp_next_write, hmp_writes;
/* hmp_timeline.c */
hmp_fn hmp_when, hmp_digest, hmp_goto, hmp_bookmark, hmp_checkpoint, hmp_last_store, hmp_diversion;
hmp_fn hmp_info_timeline;

/* hmp_images.c: an ImageInfo of query-block and those behind it. */
void hmp_print_images(const json_t *image, FILE *out);

/* hmp_expression.c: numbers, registers ($rip, $eax, $pc, ...), + - * / % & | ^ ~ << >> and parentheses, as in QEMU. False: *end is
 * where it is wrong. Bounded in depth. */
bool hmp_expression(struct session *session, const char *text, uint64_t *value, const char **end);

#endif
