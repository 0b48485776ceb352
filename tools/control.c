/* See control.h. Events are QEMU's: STOP, RESUME, RESET, SHUTDOWN, BLOCK_IO_ERROR, DEVICE_TRAY_MOVED (POWERDOWN:
 * qmp/machine.c). */
#include "tools/control.h"

#include "tools/session.h"
#include "tools/tools.h"

#include <string.h>
#include <time.h>

#define TICK_NS 500000000 /* of a machine that stands still: what was recorded goes to the file */

/* Told once, whoever goes back; what happens in a diversion is nobody's but the debugger's. Takes data. */
static void guest_event(struct session *session, const char *name, json_t *data)
{
    struct control *control = &session->control;
    bool apart = control->set_back || session->diversion.open;
    bool news = !apart && control->events_made++ >= control->events_shown;
    if (news)
        control->events_shown = control->events_made;
    if (news || session->diversion.kept)
        monitors_event(session->monitors, name, data);
    else
        json_decref(data);
}

static void event_reset(void *opaque)
{
    struct session *session = opaque;
    bool by_host = session->control.reset_by_host;
    session->control.reset_by_host = false;
    guest_event(
        session, "RESET",
        json_pack("{s:b, s:s}", "guest", !by_host, "reason", by_host ? "host-qmp-system-reset" : "guest-reset"));
}

void control_init(struct session *session)
{
    struct control *control = &session->control;
    CHECK(!sem_init(&control->bell, 0, 0));
    control->ready = true;
    control->break_icount = POSITION_NEVER;
    machine_set_reset_hook(session->machine, event_reset, session);
}

void control_fini(struct session *session)
{
    if (session->control.ready)
        sem_destroy(&session->control.bell);
}

void control_ring(struct session *session)
{
    sem_post(&session->control.bell);
    machine_interrupt(session->machine);
    input_mailbox_wake(session->mailbox);
}

void control_end(struct session *session)
{
    session->control.signalled = true;
    control_ring(session);
}

/* ---- what monitors do ---- */

void control_stop(struct session *session)
{
    if (session->control.stopped)
        return;
    session->control.stopped = true;
    monitors_event(session->monitors, "STOP", NULL);
}

bool control_has_company(const struct session *session)
{
    return monitors_count(session->monitors) || session->gdb;
}

bool control_over(const struct session *session)
{
    return session->control.shut_down;
}

void control_continue(struct session *session)
{
    if (!session->control.stopped || session->control.shut_down)
        return;
    session->control.stopped = session->control.io_error = false;
    memset(session->control.io_status, 0, sizeof session->control.io_status);
    monitors_event(session->monitors, "RESUME", NULL);
}

void control_quit(struct session *session)
{
    session->control.quit = true;
}

void control_post(struct session *session, struct input_message message)
{
    input_mailbox_post(session->mailbox, message);
}

void control_deliver(struct session *session, struct input_message message)
{
    input_mailbox_post(session->mailbox, message);
    machine_deliver(session->machine);
}

void control_reset(struct session *session)
{
    session->control.reset_by_host = true;
    control_post(session, (struct input_message){.id = INPUT_RESET_BUTTON});
}

const char *control_state(const struct session *session)
{
    if (!session->control.stopped)
        return "running";
    if (session->control.shut_down)
        return "shutdown";
    if (session->control.io_error)
        return "io-error";
    return session->control.launched ? "paused" : "prelaunch";
}

/* ---- the run ---- */

static void wait_stopped(struct session *session)
{
    struct control *control = &session->control;
    struct timespec until;
    gdb_note_halted(session->gdb);
    if (!monitors_waiting(session->monitors) && !gdb_waiting(session->gdb) && !control->signalled) {
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        (void)sem_timedwait(&control->bell, &until);
    }
    if (session->recorder)
        replay_recorder_tick(session->recorder);
    monitors_run(session->monitors);
    gdb_run(session->gdb);
}

/* While the guest runs it makes some way between two visits, whoever rings how often. */
static void visit(struct session *session)
{
    struct control *control = &session->control;
    struct position now = machine_position(session->machine);
    if (session->recorder)
        replay_recorder_tick(session->recorder); /* a full disk rings too */
    control->deferred = control->visited_once && position_equal(now, control->visited);
    if (control->deferred)
        return;
    control->visited = now;
    control->visited_once = true;
    console_flush(session->console);
    monitors_run(session->monitors);
    gdb_run(session->gdb);
    control->deferred = monitors_waiting(session->monitors) || gdb_waiting(session->gdb);
}

void control_slice(struct session *session)
{
    if (!session->control.deferred)
        return;
    session->control.deferred = false;
    machine_interrupt(session->machine);
}

static struct position next_limit(const struct session *session, struct position limit)
{
    uint64_t icount = session->control.break_icount;
    return icount < limit.icount ? (struct position){icount, 0} : limit;
}

static bool at_break(struct session *session, struct position limit)
{
    struct control *control = &session->control;
    if (control->break_icount >= limit.icount || machine_position(session->machine).icount < control->break_icount)
        return false;
    control->break_icount = POSITION_NEVER;
    return true;
}

/* Nobody could say cont, or the run of the journal ended so. */
static bool ends_here(struct session *session)
{
    if (!session->player)
        return !control_has_company(session);
    return replay_player_stop(session->player) == MACHINE_STOP_IO_ERROR &&
           position_equal(machine_position(session->machine), replay_player_end(session->player));
}

/* A replay goes on as the run did. */
static void stopped_by_error(struct session *session)
{
    if (session->player)
        return;
    console_flush(session->console);
    control_stop(session);
    session->control.io_error = true;
}

/* Once for an image, as QEMU: what is found after that only follows from it. */
static void say_corrupt(struct session *session, const struct block_error_event *event)
{
    const struct block_corruption *corruption = &event->corruption;
    const struct media_node *node = session->media.drive[event->drive].node;
    if (!event->has_corruption || session->control.corrupt[event->drive])
        return;
    session->control.corrupt[event->drive] = true;
    tool_error("%s: the image is corrupt, nothing more is written to it%s", corruption->text,
               event->closing ? "" : ", the guest is stopped");
    if (event->closing)
        return;
    json_t *data = json_pack("{s:s, s:s, s:s, s:b}", "device", media_device_name(session, event->drive), "node-name",
                             node ? node->name : "", "msg", corruption->text, "fatal",
                             !block_drive_read_only(session->drive[event->drive]));
    if (corruption->offset != UINT64_MAX) {
        json_object_set_new(data, "offset", json_integer((json_int_t)corruption->offset));
        json_object_set_new(data, "size", json_integer((json_int_t)corruption->size_bytes));
    }
    monitors_event(session->monitors, "BLOCK_IMAGE_CORRUPTED", data);
}

/* A replay has no image; what was found is among the request's steps. */
static void say_replayed(struct session *session, const struct block_error_event *event)
{
    if (event->status != STATUS_CORRUPT || session->control.corrupt[event->drive])
        return;
    session->control.corrupt[event->drive] = true;
    tool_error("drive %u: %s of %u sectors at %llu: the image was corrupt (vmrr writes --all -v %s %u.%u says where)",
               (unsigned)event->drive, trace_block_op_name(event->op), (unsigned)event->sectors,
               (unsigned long long)event->sector, session->options.input, (unsigned)event->drive, (unsigned)event->tag);
}

static void say_stopped(struct session *session, const struct block_error_event *event)
{
    const char *what = event->status == STATUS_NO_SPACE  ? "no space left on the host"
                       : event->status == STATUS_CORRUPT ? "the image is corrupt"
                                                         : "I/O error";
    if (event->action == BLOCK_ON_ERROR_STOP && !monitors_count(session->monitors))
        tool_error("drive %u: %s of %u sectors at %llu: %s: stopped%s", (unsigned)event->drive,
                   trace_block_op_name(event->op), (unsigned)event->sectors, (unsigned long long)event->sector, what,
                   event->status == STATUS_CORRUPT ? "" : " (rerror=, werror= say what to do)");
}

void control_io_error(struct session *session, const struct block_error_event *event)
{
    static const char *const actions[BLOCK_ON_ERROR_KINDS] = {"report", "ignore", "stop", "stop"};
    if (session->diversion.open)
        return;
    say_corrupt(session, event);
    if (event->closing) {
        session->control.unsaved = true;
        tool_error("drive %u: what the guest wrote last is lost: %s", (unsigned)event->drive,
                   status_name(event->status));
        return;
    }
    const char *device = media_device_name(session, event->drive);
    const struct media_node *node = session->media.drive[event->drive].node;
    bool nospace = event->status == STATUS_NO_SPACE, read = event->op == TRACE_BLOCK_READ;
    guest_event(session, "BLOCK_IO_ERROR",
                json_pack("{s:s, s:s, s:s, s:s, s:b, s:s}", "device", device, "node-name", node ? node->name : "",
                          "operation", read ? "read" : "write", "action", actions[event->action], "nospace", nospace,
                          "reason", nospace ? "No space left on device" : "Input/output error"));
    if (event->action == BLOCK_ON_ERROR_STOP)
        session->control.io_status[event->drive] = nospace ? BLOCK_IO_STATUS_NO_SPACE : BLOCK_IO_STATUS_FAILED;
    if (session->player)
        say_replayed(session, event);
    else
        say_stopped(session, event);
}

void control_tray_moved(struct session *session, uint32_t drive, bool open)
{
    guest_event(session, "DEVICE_TRAY_MOVED",
                json_pack("{s:s, s:s, s:b}", "device", media_device_name(session, drive), "id",
                          media_qdev_name(session, drive), "tray-open", open));
}

/* -no-shutdown: whoever wants to looks at what is there, until a quit or a signal. */
static void stay(struct session *session, enum machine_stop stop)
{
    struct control *control = &session->control;
    bool over = stop == MACHINE_STOP_POWER_OFF || stop == MACHINE_STOP_RESET || stop == MACHINE_STOP_SHUTDOWN;
    if (!session->options.no_shutdown || !over)
        return;
    console_flush(session->console);
    control_say_end(session, stop);
    control_stop(session);
    control->shut_down = true;
    while (!control->quit && !control->signalled)
        wait_stopped(session);
}

static enum machine_stop advance(struct session *session, struct position limit)
{
    return session->timeline ? timeline_run(session->timeline, limit) : machine_run(session->machine, limit);
}

/* The same in a diversion, which has no end that would be the run's. */
static void run_diverted(struct session *session)
{
    char text[256];
    enum machine_stop stop = advance(session, gdb_limit(session->gdb, MACHINE_NO_LIMIT));
    if (gdb_took(session->gdb, stop, MACHINE_NO_LIMIT))
        return;
    if (diversion_stopped(session, stop, text, sizeof text)) {
        console_flush(session->console);
        control_stop(session);
        gdb_note_failed(session->gdb, text);
    } else if (!session->control.signalled) {
        visit(session);
    }
}

/* One call of machine_run and what follows. True: the run is over, with *stop. */
static bool run_on(struct session *session, struct position whole, enum machine_stop *stop)
{
    struct position limit;
    struct control *control = &session->control;
    limit = next_limit(session, whole);
    *stop = advance(session, gdb_limit(session->gdb, limit));
    if (gdb_took(session->gdb, *stop, limit))
        return false;
    limit = whole;
    if (*stop == MACHINE_STOP_LIMIT && at_break(session, limit)) {
        console_flush(session->console);
        control_stop(session);
    } else if (*stop == MACHINE_STOP_IO_ERROR && !ends_here(session)) {
        stopped_by_error(session);
    } else if (*stop != MACHINE_STOP_HOST || control->failed) {
        return true;
    } else if (!control->signalled) {
        visit(session);
    }
    return false;
}

enum machine_stop control_run(struct session *session, struct position limit)
{
    struct control *control = &session->control;
    enum machine_stop stop;
    for (;;) {
        if (control->quit || control->signalled)
            return control->ended ? control->ended : MACHINE_STOP_HOST;
        if (control->stopped) {
            wait_stopped(session);
            continue;
        }
        control->launched = true;
        if (session->diversion.open) {
            run_diverted(session);
            continue;
        }
        if (session->diversion.kept)
            limit = MACHINE_NO_LIMIT;
        if (run_on(session, limit, &stop)) {
            if (gdb_keeps(session->gdb, stop)) {
                if (!control->ended)
                    control->ended = stop;
                continue;
            }
            stay(session, stop);
            return stop;
        }
    }
}

void control_say_end(struct session *session, enum machine_stop stop)
{
    const char *reason = "guest-shutdown";
    bool guest = true;
    if (stop == MACHINE_STOP_LIMIT || session->control.shut_down) /* which was said when it happened */
        return;
    if (stop == MACHINE_STOP_RESET || stop == MACHINE_STOP_SHUTDOWN) {
        reason = "guest-reset";
    } else if (stop == MACHINE_STOP_DIVERGED || stop == MACHINE_STOP_ERROR) {
        reason = "host-error";
        guest = false;
    } else if (stop == MACHINE_STOP_HOST) {
        reason = session->control.quit ? "host-qmp-quit" : "host-signal";
        guest = false;
    }
    monitors_event(session->monitors, "SHUTDOWN", json_pack("{s:b, s:s}", "guest", guest, "reason", reason));
}
