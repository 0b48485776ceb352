/* A replay that leaves its journal at a position: see replay/branch.h. Until then the session has a player, as any replay;
 * from then on none, and so is a live run or a recording to all that ask. */
#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXECUTOR_THREADS 4

/* ---- before it ---- */

static enum status choose_position(struct session *session, struct error *error)
{
    const struct branch_option *branch = &session->options.branch;
    session->branch_at = branch->has_at ? (struct position){branch->at, 0} : session->end;
    if (session->branch_at.icount <= session->end.icount)
        return STATUS_OK;
    return error_status(error, STATUS_INVALID, "%s: ends at position %" PRIu64 ": there is no going on from %" PRIu64,
                        session->options.input, session->end.icount, branch->at);
}

/* Those that say no index take the drives that are left. */
static enum status place_originals(struct session *session, struct error *error)
{
    const struct branch_option *branch = &session->options.branch;
    const struct journal_config *config = session->machine_config;
    for (unsigned n = 0; n < 2 * branch->original_count; n++) {
        const struct branch_original *original = &branch->original[n % branch->original_count];
        bool first_round = n < branch->original_count, indexed = original->index < JOURNAL_DRIVES;
        unsigned index = original->index;
        if (first_round != indexed)
            continue;
        for (unsigned free = 0; free < JOURNAL_DRIVES && !indexed && index == JOURNAL_DRIVES; free++) {
            if (config->drive[free].size_sectors && !session->original[free])
                index = free;
        }
        if (index >= JOURNAL_DRIVES || !config->drive[index].size_sectors || session->original[index])
            return error_status(error, STATUS_INVALID,
                                "-drive file=%s: the journal has no such drive (vmrr info shows them)", original->path);
        session->original[index] = original;
    }
    return STATUS_OK;
}

static bool same_file(const char *a, const char *b)
{
    struct stat one, other;
    return !stat(a, &one) && !stat(b, &other) && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* The journal is opened with O_TRUNC. */
static enum status check_output(const struct session *session, struct error *error)
{
    const char *output = session->options.output;
    if (!output)
        return STATUS_OK;
    if (same_file(output, session->options.input))
        return error_status(error, STATUS_INVALID, "-o %s: that is the journal to replay", output);
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (session->original[n] && same_file(output, session->original[n]->path))
            return error_status(error, STATUS_INVALID, "-o %s: that is the image of drive %u", output, n);
    }
    return STATUS_OK;
}

/* A drive that is to ask what goes wrong with its requests asks from the start: it hears that nothing does. */
static enum status place_faults(struct session *session, struct error *error)
{
    struct run_options *options = &session->options;
    bool parent_asks = false;
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++)
        parent_asks |= session->config.drive[n].policy.asks_faults;
    for (unsigned n = 0; n < options->fault_count; n++) {
        uint32_t wanted = options->fault[n].drive;
        unsigned found = 0;
        for (unsigned index = 0; index < JOURNAL_DRIVES; index++) {
            struct journal_drive *drive = &session->config.drive[index];
            if (!drive->present || (wanted != index && wanted != BLOCK_FAULT_ANY_DRIVE) ||
                (parent_asks && !drive->policy.asks_faults))
                continue;
            drive->policy.asks_faults = true;
            found++;
        }
        if (!found)
            return error_status(error, STATUS_INVALID,
                                parent_asks
                                    ? "--set, -blkfault: only of drives for which the recorded run had -blkfault too"
                                    : "--set, -blkfault: the journal has no such drive");
    }
    return STATUS_OK;
}

static enum status make_config(struct session *session, struct error *error)
{
    const struct branch_option *branch = &session->options.branch;
    session->config = *session->machine_config; /* what it points to stays the player's */
    session->config.parent = (struct journal_parent){.present = true,
                                                     .position = session->branch_at,
                                                     .path = (char *)(uintptr_t)session->options.input,
                                                     .changes = branch->changes};
    session->config.creator = (char *)(uintptr_t)tool_version();
    session->machine_config = &session->config;
    return replay_branch_identity(session->player, session->branch_at, session->config.parent.hash, error);
}

enum status session_branch_prepare(struct session *session, struct error *error)
{
    struct run_options *options = &session->options;
    enum status status = choose_position(session, error);
    if (!status)
        status = place_originals(session, error);
    if (!status)
        status = check_output(session, error);
    if (!status)
        status = make_config(session, error);
    if (status)
        return status;
    options->timing = session->config.timing;
    options->seed = session->config.seed;
    options->snapshot = true; /* media that are put in later are not written either */
    return place_faults(session, error);
}

enum status session_branch_open(struct session *session, struct error *error)
{
    struct replay_branch_options options = {.player = session->player,
                                            .path = session->options.input,
                                            .live = session->live,
                                            .entropy_follows = session->options.timing == BLOCK_TIMING_MODEL};
    session->branch = replay_branch_create(&options, error);
    session->branch_incomplete = true;
    return session->branch ? STATUS_OK : STATUS_UNSUPPORTED;
}

struct block_image *session_branch_image(struct session *session, unsigned drive, struct error *error)
{
    const struct branch_original *original = session->original[drive];
    struct block_open_options open = {.read_only = true};
    struct block_image *image = NULL;
    if (original) {
        open.format = original->format;
        image = block_image_open(original->path, &open, error);
        if (!image)
            return NULL;
    }
    return replay_branch_image(session->branch, drive, image, error);
}

/* ---- there ---- */

/* Requests that are under way are begun by the host now. */
static void hand_over_requests(struct session *session)
{
    if (!session->executor)
        return;
    struct block_executor *threads = block_executor_threads_create(session->mailbox, EXECUTOR_THREADS);
    block_executor_destroy(session->executor);
    session->executor = threads;
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (session->drive[n])
            block_drive_hand_over(session->drive[n], threads);
    }
}

bool session_branch_go_live(struct session *session)
{
    const struct branch_option *branch = &session->options.branch;
    struct position now = machine_position(session->machine);
    struct error error = {0};
    if (replay_branch_go_live(session->branch, &error)) {
        tool_error("%s: %s", session->options.input, error.text);
        return false;
    }
    session->branch_incomplete = false;
    session->parent = session->player;
    session->player = NULL;
    session->control.break_icount = POSITION_NEVER; /* of the replay */
    hand_over_requests(session);
    console_flush(session->console);
    if (!session->options.quiet)
        fprintf(stderr, "branch: live from icount %" PRIu64 ", virtual time %" PRIu64 " ns\n", now.icount,
                now.vtime_ns);
    for (size_t n = 0; n < branch->message_count; n++)
        control_post(session, branch->message[n]);
    machine_deliver(session->machine);
    return true;
}

/* ---- after it ---- */

static int report_missing(const struct session *session, int code)
{
    uint32_t medium;
    uint64_t sector;
    if (!replay_branch_missing(session->branch, &medium, &sector))
        return code;
    if (medium < JOURNAL_DRIVES)
        tool_error(
            "drive %u: the guest wants sector %" PRIu64
            ", which it had not read in the recording: give the image that it began with as -drive file=IMAGE,index=%u",
            (unsigned)medium, sector, (unsigned)medium);
    else
        tool_error("medium %u: the guest wants sector %" PRIu64 ", which it had not read in the recording",
                   (unsigned)medium, sector);
    return EXIT_CODE_FAILED;
}

/* It never came to where the branch begins. */
static int judge_replayed(struct session *session, enum machine_stop stop)
{
    session_report(session, stop);
    session->partial = stop == MACHINE_STOP_HOST;
    int code = session_judge_replay(session, stop);
    tool_error("position %" PRIu64 " was not reached: there is no branch", session->branch_at.icount);
    return code == EXIT_CODE_OK ? EXIT_CODE_FAILED : code;
}

int session_judge_branch(struct session *session, enum machine_stop stop)
{
    if (session->branch_incomplete)
        return judge_replayed(session, stop);
    int code;
    if (session->recorder) {
        code = session_judge_recording(session, stop);
    } else {
        session_report(session, stop);
        code = session_exit_code(session, stop);
    }
    return report_missing(session, code);
}

void session_branch_close(struct session *session)
{
    struct stat st;
    const char *output = session->options.output;
    if (session->recorder && session->branch_incomplete && !stat(output, &st) && S_ISREG(st.st_mode))
        (void)unlink(output);
    if (session->options.branch.then)
        session->config = (struct journal_config){0}; /* all it points to is others' */
    replay_branch_destroy(session->branch);
    replay_player_destroy(session->parent);
}
