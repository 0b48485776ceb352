/* One machine, wired for live, recording or replaying: what run, record and replay share. */
#ifndef VMRR_TOOLS_SESSION_H
#define VMRR_TOOLS_SESSION_H

#include "devices/board_pc.h"
#include "replay/branch.h"
#include "replay/replay.h"
#include "replay/timeline.h"
#include "tools/console.h"
#include "tools/control.h"
#include "tools/diversion.h"
#include "tools/gdb.h"
#include "tools/host_stacks.h"
#include "tools/media.h"
#include "tools/options.h"
#include "tools/rerun.h"
#include "tools/trace_tee.h"
#include "tools/travel.h"

/* What a caller has of its own when a session is made. Null, each: nothing. */
struct session_hooks {
    void *opaque;
    struct trace_sink observer; /* of the events too, after they were checked or recorded */
    void (*options)(void *opaque, struct run_options *options); /* when they are parsed */
    void (*config)(void *opaque, struct journal_config *config); /* when it is made of them */
    struct input *input;                                         /* instead of the live one; borrowed */
};

struct session {
    struct run_options options;
    struct journal_config config; /* run, record: made from the options; replay: borrowed from the player */
    const struct journal_config *machine_config;
    struct input_mailbox *mailbox;
    struct session_hooks hooks;
    struct input *live; /* borrowed, where the hooks have one */
    struct replay_recorder *recorder;
    struct replay_player *player; /* null: none, or a branch or diversion has left it behind */
    struct replay_branch *branch; /* null: none */
    struct replay_player *parent; /* the player that was left behind; null: not yet */
    struct position branch_at;
    const struct branch_original *original[JOURNAL_DRIVES]; /* of the branch; null: none was given */
    bool branch_incomplete;                                 /* its journal is no branch's and goes away */
    struct travel travel;
    struct timeline *timeline; /* of a replay that somebody walks about in; null: it only goes forwards */
    struct timeline *left;     /* that of before a diversion was kept */
    struct diversion diversion;
    struct block_executor *executor;
    struct chardev_hub *hub;
    struct monitors *monitors;
    struct gdb *gdb; /* null: no debugger */
    struct console *console;
    struct control control;
    struct machine *machine;
    struct host_stacks *stacks; /* null: not kept */
    struct rerun *rerun;        /* null: none */
    struct trace_tee tee;       /* second: who looks at the events besides */
    struct block_drive *drive[JOURNAL_DRIVES];
    struct media media;
    uint64_t start_ns, progress_ns;
    struct position start, end; /* end: for a replay's percentage */
    bool show_progress;
    bool interrupted; /* this run, here: not the recorded one */
    bool partial;     /* a replay was stopped, by --until or a signal, before its journal's end */
    uint64_t digest;
};

/* Reads files, makes machine, drives, board; errors are printed. Returns -1, or the exit code. */
int session_open(struct session *session, enum options_use use, int argc, char **argv);
/* With somebody who looks at the events too, after they were checked or recorded. */
int session_open_observed(struct session *session, enum options_use use, int argc, char **argv,
                          struct trace_sink observer);
int session_open_hooked(struct session *session, enum options_use use, int argc, char **argv,
                        const struct session_hooks *hooks);
/* Runs to the end, with progress and Ctrl-C; finishes the machine. */
enum machine_stop session_run(struct session *session);
/* The summary on standard error, screendump, state dump. */
void session_report(struct session *session, enum machine_stop stop);
/* The exit code given, or failure where the end itself went wrong: it said why. */
int session_close(struct session *session, int code);
/* cmd_replay.c: says how a replay went; the exit code. */
int session_judge_replay(struct session *session, enum machine_stop stop);
/* cmd_record.c: ends the journal and reports; the exit code. */
int session_judge_recording(struct session *session, enum machine_stop stop);

/* session_branch.c: a replay that leaves its journal. */
/* After the player was opened: makes the branch's configuration; then, after the live input, the branch. */
enum status session_branch_prepare(struct session *session, struct error *error);
enum status session_branch_open(struct session *session, struct error *error);
struct block_image *session_branch_image(struct session *session, unsigned drive, struct error *error);
/* The machine has stopped where the branch begins, and still replays. */
static inline bool session_branch_reached(const struct session *session, enum machine_stop stop)
{
    return session->branch && session->player && stop == MACHINE_STOP_LIMIT;
}
/* From there on it is live. False: it can't be; the text was printed. */
bool session_branch_go_live(struct session *session);
/* Says how it went; the exit code. */
int session_judge_branch(struct session *session, enum machine_stop stop);
/* After the machine, before the player goes. */
void session_branch_close(struct session *session);
/* The exit code that a live run's end gives. */
int session_exit_code(const struct session *session, enum machine_stop stop);

#endif
