/* See gdb.h. Stopping and going on is control.h's, so monitors see it too.
 *
 * A debugger never changes the guest of a recording: what would is refused. On a machine that runs unrecorded it may write
 * registers and memory; in a replay that begins a diversion (diversion.h), which is thrown away. */
#include "tools/gdb.h"

#include "tools/gdbstub/packet.h"
#include "tools/gdbstub/server.h"
#include "tools/monitor/hmp.h"
#include "tools/session.h"
#include "tools/tools.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define QUEUE_MAX 8u
#define PATIENCE_NS 500000000u /* gdb gives up after two seconds */

enum item_kind { ITEM_PACKET, ITEM_INTERRUPT, ITEM_RESEND, ITEM_OPENED, ITEM_CLOSED, ITEM_INPUT_ENDED };

struct item {
    struct item *next;
    enum item_kind kind;
    uint32_t connection;
    size_t size_bytes;
    uint8_t data[];
};

struct gdb {
    struct session *session;
    struct chardev *chardev;
    struct gdb_server *server;
    /* the hub's thread */
    struct gdb_reader reader;
    uint32_t connection;
    bool no_ack;
    /* under lock */
    pthread_mutex_t lock;
    struct item *first, **last;
    unsigned waiting;
    /* the machine thread */
    uint32_t served;
    bool failed;       /* the run ended badly; the user was shown */
    uint64_t spoke_ns; /* of the host: since then the client waits for the answer to a `monitor`; 0: it does not */
};

/* ---- the hub's thread ---- */

static void queue(struct gdb *gdb, enum item_kind kind, const uint8_t *data, size_t size_bytes)
{
    struct item *item = calloc(1, sizeof *item + size_bytes + 1);
    CHECK(item);
    item->kind = kind;
    item->connection = gdb->connection;
    item->size_bytes = size_bytes;
    if (size_bytes)
        memcpy(item->data, data, size_bytes);
    pthread_mutex_lock(&gdb->lock);
    *gdb->last = item;
    gdb->last = &item->next;
    gdb->waiting++;
    pthread_mutex_unlock(&gdb->lock);
    control_ring(gdb->session);
}

static void acknowledge(struct gdb *gdb, char answer)
{
    if (!gdb->no_ack)
        chardev_write(gdb->chardev, &answer, 1);
}

static void got_item(void *opaque, enum gdb_item item, const uint8_t *data, size_t size_bytes)
{
    struct gdb *gdb = opaque;
    switch (item) {
    case GDB_PACKET:
        acknowledge(gdb, '+');
        if (!strcmp((const char *)data, "QStartNoAckMode"))
            gdb->no_ack = true;
        queue(gdb, ITEM_PACKET, data, size_bytes);
        break;
    case GDB_BAD_PACKET: acknowledge(gdb, '-'); break;
    case GDB_INTERRUPT: queue(gdb, ITEM_INTERRUPT, NULL, 0); break;
    case GDB_NAK:
        if (!gdb->no_ack)
            queue(gdb, ITEM_RESEND, NULL, 0);
        break;
    case GDB_ACK: break;
    }
}

static void receive(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    gdb_reader_feed(&((struct gdb *)opaque)->reader, bytes, size_bytes);
}

/* One byte may be a whole item, so no more bytes than items. */
static size_t room(void *opaque)
{
    struct gdb *gdb = opaque;
    pthread_mutex_lock(&gdb->lock);
    unsigned waiting = gdb->waiting;
    pthread_mutex_unlock(&gdb->lock);
    if (waiting)
        control_ring(gdb->session);
    return !waiting ? CHARDEV_READ_BYTES : waiting < QUEUE_MAX ? CHARDEV_READ_BYTES - 1 : 0;
}

static void opened(void *opaque)
{
    struct gdb *gdb = opaque;
    gdb->connection = chardev_connection(gdb->chardev);
    gdb->no_ack = false;
    gdb_reader_reset(&gdb->reader);
    queue(gdb, ITEM_OPENED, NULL, 0);
}

static void closed(void *opaque)
{
    queue(opaque, ITEM_CLOSED, NULL, 0);
}

static void ended(void *opaque)
{
    queue(opaque, ITEM_INPUT_ENDED, NULL, 0);
}

/* ---- what the server does to the run ---- */

static void send_packet(void *opaque, const uint8_t *packet, size_t size_bytes)
{
    struct gdb *gdb = opaque;
    chardev_write_to(gdb->chardev, gdb->served, packet, size_bytes);
}

static void go(void *opaque)
{
    control_continue(((struct gdb *)opaque)->session);
}

static void halt(void *opaque)
{
    control_stop(((struct gdb *)opaque)->session);
}

static void kill_run(void *opaque)
{
    control_quit(((struct gdb *)opaque)->session);
}

static const char *frozen(void *opaque)
{
    struct session *session = ((struct gdb *)opaque)->session;
    if (session->player)
        return diversion_begin(session);
    return session->recorder ? "a change from outside would not be in the journal: not while recording" : NULL;
}

static void wrote(void *opaque, uint64_t address, uint64_t size_bytes, bool physical)
{
    diversion_note_write(((struct gdb *)opaque)->session, address, size_bytes, physical);
}

/* gdb calls a function: it returns to a breakpoint on the stack, which was dead before. */
static bool is_call(struct gdb *gdb)
{
    struct diversion *diversion = &gdb->session->diversion;
    uint64_t bottom = diversion->stack - DIVERSION_DEAD_STACK_BYTES;
    return diversion->open && gdb_server_breaks_within(gdb->server, bottom, diversion->stack);
}

static const char *resumes(void *opaque)
{
    struct gdb *gdb = opaque;
    return diversion_resume(gdb->session, is_call(gdb));
}

static void leave(void *opaque)
{
    diversion_drop(((struct gdb *)opaque)->session);
}

/* Answers when it is there. */
static void reverse(void *opaque, bool step)
{
    struct gdb *gdb = opaque;
    const char *over = diversion_end(gdb->session);
    if (over)
        gdb_server_say(gdb->server, over);
    struct timeline *timeline = gdb->session->timeline;
    struct debug_stop stop = {.hits = 0};
    enum timeline_result result = step ? timeline_step_back(timeline) : timeline_reverse_continue(timeline, &stop);
    console_flush(gdb->session->console);
    if (result == TIMELINE_BROKEN)
        tool_error("%s", timeline_error(timeline));
    switch (result) {
    case TIMELINE_THERE: gdb_server_stopped_at(gdb->server, &stop); break;
    case TIMELINE_AT_START: gdb_server_tell(gdb->server, GDB_AT_START); break;
    case TIMELINE_AT_END: gdb_server_tell(gdb->server, GDB_AT_END); break;
    case TIMELINE_INTERRUPTED: gdb_server_tell(gdb->server, GDB_HALTED); break;
    case TIMELINE_BROKEN: gdb_server_tell(gdb->server, GDB_FAILED); break;
    }
}

static char *monitor(void *opaque, const char *line)
{
    struct gdb *gdb = opaque;
    gdb->spoke_ns = host_clock_ns();
    char *text = hmp_run_line(gdb->session, line), *to = text;
    gdb->spoke_ns = 0;
    for (const char *from = text; *from; from++) {
        if (*from != '\r')
            *to++ = *from;
    }
    *to = 0;
    return text;
}

/* ---- the machine thread ---- */

static struct item *take(struct gdb *gdb)
{
    pthread_mutex_lock(&gdb->lock);
    struct item *item = gdb->first;
    if (item) {
        gdb->first = item->next;
        gdb->waiting--;
        if (!gdb->first)
            gdb->last = &gdb->first;
    }
    pthread_mutex_unlock(&gdb->lock);
    return item;
}

static void carry_out(struct gdb *gdb, const struct item *item)
{
    if (item->kind != ITEM_OPENED && item->connection != gdb->served)
        return;
    switch (item->kind) {
    case ITEM_OPENED:
        gdb->served = item->connection;
        diversion_drop(gdb->session); /* of a client that has gone */
        gdb_server_connected(gdb->server);
        break;
    case ITEM_CLOSED:
        gdb_server_gone(gdb->server);
        diversion_drop(gdb->session);
        break;
    case ITEM_INPUT_ENDED: /* a pipe's: nobody will ever say anything again */
        gdb_server_gone(gdb->server);
        control_quit(gdb->session);
        break;
    case ITEM_PACKET: gdb_server_packet(gdb->server, item->data, item->size_bytes); break;
    case ITEM_INTERRUPT: gdb_server_interrupt(gdb->server); break;
    case ITEM_RESEND: gdb_server_resend(gdb->server); break;
    }
}

bool gdb_waiting(struct gdb *gdb)
{
    if (!gdb)
        return false;
    pthread_mutex_lock(&gdb->lock);
    bool any = gdb->first != NULL;
    pthread_mutex_unlock(&gdb->lock);
    return any;
}

void gdb_slice(struct gdb *gdb)
{
    if (!gdb || !gdb->spoke_ns)
        return;
    uint64_t now_ns = host_clock_ns();
    if (now_ns - gdb->spoke_ns < PATIENCE_NS)
        return;
    gdb->spoke_ns = now_ns;
    gdb_server_keep_alive(gdb->server);
}

void gdb_allow_reverse(struct gdb *gdb)
{
    if (gdb)
        gdb_server_set_reverse(gdb->server, reverse);
}

void gdb_forbid_reverse(struct gdb *gdb)
{
    if (gdb)
        gdb_server_set_reverse(gdb->server, NULL);
}

bool gdb_wants_stop(struct gdb *gdb)
{
    bool wants = false;
    if (!gdb)
        return false;
    pthread_mutex_lock(&gdb->lock);
    for (const struct item *item = gdb->first; item; item = item->next)
        wants |= item->kind == ITEM_INTERRUPT || item->kind == ITEM_CLOSED || item->kind == ITEM_INPUT_ENDED;
    pthread_mutex_unlock(&gdb->lock);
    return wants;
}

void gdb_run(struct gdb *gdb)
{
    if (!gdb)
        return;
    for (unsigned n = 0; n < QUEUE_MAX && !gdb->session->control.quit; n++) {
        struct item *item = take(gdb);
        if (!item)
            break;
        bool running = !gdb->session->control.stopped;
        carry_out(gdb, item);
        free(item);
        if (!running && !gdb->session->control.stopped)
            break; /* it is to go on: what else there is comes after that */
    }
    chardev_wake(gdb->chardev);
}

struct position gdb_limit(const struct gdb *gdb, struct position limit)
{
    return gdb ? gdb_server_limit(gdb->server, limit) : limit;
}

bool gdb_took(struct gdb *gdb, enum machine_stop stop, struct position limit)
{
    if (!gdb)
        return false;
    if (!gdb_server_has_client(gdb->server))
        return stop == MACHINE_STOP_DEBUG; /* of a client that has gone meanwhile */
    struct position step = gdb_limit(gdb, limit);
    bool stepped = stop == MACHINE_STOP_LIMIT && !position_equal(step, limit) &&
                   position_reached(machine_position(gdb->session->machine), step);
    if (stop != MACHINE_STOP_DEBUG && !stepped)
        return false;
    if (gdb_server_stopped(gdb->server, stop)) {
        console_flush(gdb->session->console);
        control_stop(gdb->session);
    }
    return true;
}

bool gdb_keeps(struct gdb *gdb, enum machine_stop stop)
{
    if (!gdb || session_branch_reached(gdb->session, stop) || !gdb_server_has_client(gdb->server) ||
        gdb->session->control.quit || gdb->session->control.signalled)
        return false;
    bool failed = stop == MACHINE_STOP_SHUTDOWN || stop == MACHINE_STOP_IDLE || stop == MACHINE_STOP_DIVERGED ||
                  stop == MACHINE_STOP_ERROR;
    if (!gdb->session->player && (!failed || gdb->failed))
        return false;
    gdb->failed = true;
    console_flush(gdb->session->console);
    control_stop(gdb->session);
    gdb_server_tell(gdb->server, failed && !gdb->session->player ? GDB_FAILED : GDB_AT_END);
    return true;
}

void gdb_note_halted(struct gdb *gdb)
{
    if (gdb)
        gdb_server_tell(gdb->server, GDB_HALTED);
}

void gdb_note_failed(struct gdb *gdb, const char *text)
{
    if (!gdb)
        return;
    gdb_server_say(gdb->server, text);
    gdb_server_tell(gdb->server, GDB_FAILED);
}

void gdb_exited(struct gdb *gdb, int code)
{
    if (gdb)
        gdb_server_exited(gdb->server, code);
}

/* ---- making it ---- */

struct gdb *gdb_create(struct session *session, struct chardev *chardev)
{
    struct gdb *gdb = calloc(1, sizeof *gdb);
    CHECK(gdb);
    gdb->session = session;
    gdb->chardev = chardev;
    gdb->last = &gdb->first;
    gdb->reader.item = got_item;
    gdb->reader.opaque = gdb;
    CHECK(!pthread_mutex_init(&gdb->lock, NULL));
    gdb->server = gdb_server_create(&(struct gdb_target){.machine = session->machine,
                                                         .send = send_packet,
                                                         .go = go,
                                                         .halt = halt,
                                                         .kill = kill_run,
                                                         .frozen = frozen,
                                                         .wrote = wrote,
                                                         .resumes = resumes,
                                                         .leave = leave,
                                                         .monitor = monitor,
                                                         .opaque = gdb});
    bool alone = chardev_attach(chardev, &(struct chardev_user){.receive = receive,
                                                                .room = room,
                                                                .opened = opened,
                                                                .closed = closed,
                                                                .ended = ended,
                                                                .opaque = gdb,
                                                                .whole = true});
    CHECK(alone);
    return gdb;
}

void gdb_destroy(struct gdb *gdb)
{
    struct item *item;
    if (!gdb)
        return;
    gdb_server_destroy(gdb->server);
    while ((item = take(gdb)))
        free(item);
    pthread_mutex_destroy(&gdb->lock);
    free(gdb);
}
