/* What the files of lockstep share. */
#ifndef VMRR_TOOLS_LOCKSTEP_INTERNAL_H
#define VMRR_TOOLS_LOCKSTEP_INTERNAL_H

#include "tools/lockstep/lockstep.h"

/* Events that one side has made and the other not yet. */
struct lockstep_events {
    struct trace_event *event;
    size_t first, count, capacity;
    bool lost; /* more than LOCKSTEP_PENDING_MAX */
};

struct lockstep_side {
    struct input *input;
    struct machine *machine;
    struct lockstep_events events;
    enum machine_stop stop; /* of the last run */
    struct cpu_state cpu;   /* canonical, as last looked at */
};

struct lockstep_watch; /* watch.c */

struct lockstep {
    const struct lockstep_options *options;
    struct lockstep_script *script;
    struct lockstep_result *result;
    struct lockstep_side side[2];
    struct lockstep_watch *watch;
    struct trace_event last[LOCKSTEP_LAST_EVENTS]; /* common ones, oldest overwritten */
    uint64_t last_count;
};

/* run.c */
/* Both machines, at their beginning. leads: the leader makes the script, else both follow it. */
bool lockstep_make(struct lockstep *lockstep, bool leads, struct error *error);
void lockstep_unmake(struct lockstep *lockstep);
uint64_t lockstep_exits(const struct lockstep *lockstep, unsigned side);
enum lockstep_round { LOCKSTEP_ALIKE, LOCKSTEP_PARTED, LOCKSTEP_OVER, LOCKSTEP_STUCK };
/* Both to the next exit that both stop at, and a look at registers and events there, at devices and memory if asked for. PARTED:
 * difference is filled, but for the steps. */
enum lockstep_round lockstep_round(struct lockstep *lockstep, bool all, struct lockstep_difference *difference);
/* The same from anywhere to this exit, and a look at all of it. */
enum lockstep_round lockstep_round_to(struct lockstep *lockstep, uint64_t exits,
                                      struct lockstep_difference *difference);

/* compare.c */
/* Takes from both what they have in common. True: what is first in them differs (or one has lost some). */
bool lockstep_events_differ(struct lockstep *lockstep, struct lockstep_difference *difference);
/* "ram"'s offset as an address. */
uint64_t lockstep_gpa_of(const struct memory_block *block, uint64_t offset);
void lockstep_look_at_cpu(struct lockstep_side *side);
/* before: may be null. */
uint64_t lockstep_compare_cpu(const struct cpu_state *before, const struct cpu_state *a, const struct cpu_state *b,
                              struct lockstep_fields *fields);
uint64_t lockstep_compare_devices(struct machine *a, struct machine *b, struct lockstep_fields *fields);
uint64_t lockstep_compare_memory(struct machine *a, struct machine *b, struct lockstep_ranges *ranges);

/* steps.c: the second pass. */
void lockstep_find_insn(struct lockstep *lockstep);
/* Both are made anew and follow the script to this exit, at which they were alike. False: difference->why says it. */
bool lockstep_follow_to(struct lockstep *lockstep, uint64_t exits);
struct lockstep_stepping {
    struct lockstep *lockstep;
    struct lockstep_difference *difference;
    bool arrived[2]; /* at difference->exits */
    struct cpu_state before;
    struct lockstep_insn insn;
    struct lockstep_fields fields;
};
/* One instruction of a side; insn is the one that comes next. */
void lockstep_step_side(struct lockstep_stepping *stepping, unsigned side);
/* search.c: the same where one side (the other is `stepper`) makes no single steps. */
void lockstep_search(struct lockstep *lockstep, unsigned stepper);
void lockstep_fetch_insn(struct machine *machine, struct lockstep_insn *insn);
bool lockstep_is_repeated(const struct lockstep_insn *insn);

/* watch.c: interrupts the machine that runs when it has run for so long. */
struct lockstep_watch *lockstep_watch_create(uint64_t stall_ms);
void lockstep_watch_destroy(struct lockstep_watch *watch);
/* From here on this machine runs; null: none does. */
void lockstep_watch_run(struct lockstep_watch *watch, struct machine *machine);

#endif
