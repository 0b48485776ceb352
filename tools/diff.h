/* vmrr diff: two recordings held against each other. Each part fills its member of one report, an object whose keys are in
 * vmrr(1); diff_print.c makes text of it. What the report lists is limited, what it counts is not. Index 0 is the first journal
 * everywhere, 1 the second. */
#ifndef VMRR_TOOLS_DIFF_H
#define VMRR_TOOLS_DIFF_H

#include "replay/journal_config.h"
#include "tools/request_walk.h"

#include <jansson.h>
#include <stdio.h>

struct session;

struct diff {
    const char *path[2];
    bool json, no_replay;
    uint64_t max; /* list entries of each kind */
    struct journal_reader *reader[2];
    struct journal_config_reader config[2];
    FILE *requests[2];         /* struct diff_request, in order of submission; unnamed files */
    json_t *report;            /* owned */
    json_t *reasons;           /* in it: texts, why something could not be compared */
    bool different;            /* in what the guest could see or did */
    bool has_split;            /* an event differs: */
    uint64_t split_icount;     /* there and not before, in either */
    bool has_common;           /* and events before the first whose content differs are common: */
    uint64_t common_icount[2]; /* just behind the last of them */
};

/* A request as it is kept in the unnamed files: never anyone else's. */
struct diff_request {
    uint32_t drive, tag, op, sectors, command, flags;
    uint64_t sector, hash, fault;
    uint64_t rip, cr3;
    struct position submit, end;
    int32_t status;
    bool has_origin, completed;
};

/* Something can't be compared: the verdict can't be "equal" any more. */
void diff_cannot(struct diff *diff, const char *format, ...) __attribute__((format(printf, 2, 3)));

void diff_config(struct diff *diff);
enum status diff_events(struct diff *diff, struct error *error) MUST_CHECK;
enum status diff_requests(struct diff *diff, struct error *error) MUST_CHECK;
/* Replays both. What can't be replayed is said in the report. */
void diff_state(struct diff *diff);
/* Of diff_state: both runs are at their ends. */
void diff_sectors(struct diff *diff, struct session *const session[2]);

/* A request as the report has it. */
json_t *diff_request_json(const struct diff *diff, unsigned side, const struct diff_request *request);
/* The next of a drive; false at the end. */
bool diff_request_next(FILE *file, uint32_t drive, struct diff_request *request);

void diff_print(const json_t *report);

#endif
