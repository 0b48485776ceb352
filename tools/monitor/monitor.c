/* See monitor.h. */
#include "tools/monitor/monitor.h"

#include "tools/monitor/hmp.h"
#include "tools/monitor/readline.h"
#include "tools/qmp/commands.h"
#include "tools/qmp/schema.h"
#include "tools/qmp/stream.h"
#include "tools/version.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define PROMPT "(vmrr) "

struct request {
    struct request *next;
    uint32_t connection;     /* of the client that it came from */
    json_t *value;           /* QMP */
    struct qmp_result error; /* QMP: it was no JSON */
    char line[];             /* readline */
};

struct monitor {
    struct monitors *monitors;
    struct chardev *chardev;
    bool control;
    /* the hub's thread */
    bool greeted;
    struct qmp_stream stream;
    struct readline readline;
    uint32_t connection;
    /* under the lock of monitors */
    struct request *first, **last;
    unsigned waiting;
    /* the machine thread */
    uint32_t served; /* the connection whose requests are carried out */
    bool negotiated;
};

struct monitors {
    struct session *session;
    struct monitor *monitor[MONITORS_MAX];
    unsigned count;
    void (*ring)(void *opaque);
    void *opaque;
    pthread_mutex_t lock;
};

/* ---- the hub's thread ---- */

static void queue(struct monitor *monitor, struct request *request)
{
    struct monitors *monitors = monitor->monitors;
    request->connection = monitor->connection;
    pthread_mutex_lock(&monitors->lock);
    *monitor->last = request;
    monitor->last = &request->next;
    monitor->waiting++;
    pthread_mutex_unlock(&monitors->lock);
    monitors->ring(monitors->opaque);
}

static void got_value(void *opaque, const char *text, size_t size_bytes, const char *why)
{
    struct request *request = calloc(1, sizeof *request + 1);
    CHECK(request);
    if (why)
        qmp_fail(&request->error, "GenericError", "%s", why);
    else
        request->value = qmp_parse(text, size_bytes, &request->error);
    queue(opaque, request);
}

static void got_line(void *opaque, const char *line)
{
    struct request *request = calloc(1, sizeof *request + strlen(line) + 1);
    CHECK(request);
    strcpy(request->line, line);
    queue(opaque, request);
}

static void echo(void *opaque, const char *bytes, size_t size_bytes)
{
    chardev_write(((struct monitor *)opaque)->chardev, bytes, size_bytes);
}

static void receive(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    struct monitor *monitor = opaque;
    if (monitor->control)
        qmp_stream_feed(&monitor->stream, bytes, size_bytes);
    else
        readline_feed(&monitor->readline, bytes, size_bytes);
}

static size_t room(void *opaque)
{
    struct monitor *monitor = opaque;
    struct monitors *monitors = monitor->monitors;
    pthread_mutex_lock(&monitors->lock);
    unsigned waiting = monitor->waiting;
    pthread_mutex_unlock(&monitors->lock);
    if (waiting)
        monitors->ring(monitors->opaque);
    return !waiting ? CHARDEV_READ_BYTES : waiting < MONITOR_QUEUE ? CHARDEV_READ_BYTES - 1 : 0;
}

static void send_value(struct monitor *monitor, uint32_t connection, json_t *value)
{
    char *text = json_dumps(value, 0);
    CHECK(text);
    size_t length = strlen(text);
    char *line = malloc(length + 3);
    CHECK(line);
    memcpy(line, text, length);
    strcpy(line + length, "\r\n"); /* one write: two threads may have something to say */
    chardev_write_to(monitor->chardev, connection, line, length + 2);
    free(line);
    free(text);
    json_decref(value);
}

static void greet(struct monitor *monitor)
{
    static const char hello[] = "vmrr " VMRR_VERSION " monitor - type 'help' for more information\r\n" PROMPT;
    monitor->greeted = true;
    if (monitor->control)
        send_value(monitor, monitor->connection,
                   json_pack("{s:{s:o, s:[]}}", "QMP", "version", qmp_version(), "capabilities"));
    else
        chardev_write(monitor->chardev, hello, sizeof hello - 1);
}

static void opened(void *opaque)
{
    struct monitor *monitor = opaque;
    monitor->connection = chardev_connection(monitor->chardev);
    monitor->greeted = false;
    if (monitor->control)
        qmp_stream_reset(&monitor->stream);
    else
        readline_reset(&monitor->readline);
    if (monitor->control || !chardev_is_mux(monitor->chardev))
        greet(monitor);
}

static void focused(void *opaque)
{
    struct monitor *monitor = opaque;
    if (monitor->control)
        return;
    chardev_write(monitor->chardev, "\r\n", 2);
    if (monitor->greeted)
        chardev_write(monitor->chardev, PROMPT, sizeof PROMPT - 1);
    else
        greet(monitor);
}

/* ---- the machine thread ---- */

static struct request *take(struct monitor *monitor)
{
    struct monitors *monitors = monitor->monitors;
    pthread_mutex_lock(&monitors->lock);
    struct request *request = monitor->first;
    if (request) {
        monitor->first = request->next;
        if (!monitor->first)
            monitor->last = &monitor->first;
        monitor->waiting--;
    }
    pthread_mutex_unlock(&monitors->lock);
    return request;
}

static void free_request(struct request *request)
{
    json_decref(request->value);
    free(request);
}

static json_t *answer(struct qmp_result *result, json_t *id)
{
    json_t *value = json_object();
    if (result->class)
        json_object_set_new(value, "error", json_pack("{s:s, s:s}", "class", result->class, "desc", result->text));
    else
        json_object_set_new(value, "return", result->value ? json_incref(result->value) : json_object());
    if (id)
        json_object_set(value, "id", id);
    return value;
}

static void run_qmp(struct monitor *monitor, struct request *request)
{
    struct qmp_request checked = {0};
    struct qmp_result result = request->error;
    if (!result.class && qmp_request_check(request->value, monitor->negotiated, &checked, &result)) {
        if (checked.capabilities)
            monitor->negotiated = true;
        else
            qmp_run(monitor->monitors->session, checked.command, checked.arguments, &result);
    }
    send_value(monitor, request->connection, answer(&result, checked.id));
    json_decref(result.value);
    qmp_request_fini(&checked);
}

static void run_line(struct monitor *monitor, struct request *request)
{
    char *text = hmp_run_line(monitor->monitors->session, request->line);
    size_t length = strlen(text);
    text = realloc(text, length + sizeof PROMPT);
    CHECK(text);
    strcpy(text + length, PROMPT);
    chardev_write_to(monitor->chardev, request->connection, text, strlen(text));
    free(text);
}

static void run_some(struct monitor *monitor)
{
    for (unsigned n = 0; n < MONITOR_QUEUE; n++) {
        struct request *request = take(monitor);
        if (!request)
            return;
        if (request->connection != monitor->served) {
            monitor->served = request->connection;
            monitor->negotiated = false;
        }
        if (monitor->control)
            run_qmp(monitor, request);
        else
            run_line(monitor, request);
        free_request(request);
    }
}

void monitors_run(struct monitors *monitors)
{
    for (unsigned n = 0; n < monitors->count; n++) {
        run_some(monitors->monitor[n]);
        chardev_wake(monitors->monitor[n]->chardev); /* it may be read on */
    }
}

bool monitors_waiting(struct monitors *monitors)
{
    bool waiting = false;
    pthread_mutex_lock(&monitors->lock);
    for (unsigned n = 0; n < monitors->count; n++)
        waiting |= monitors->monitor[n]->waiting > 0;
    pthread_mutex_unlock(&monitors->lock);
    return waiting;
}

void monitors_event(struct monitors *monitors, const char *name, json_t *data)
{
    struct timeval now;
    gettimeofday(&now, NULL);
    json_t *event = json_pack("{s:{s:I, s:I}, s:s}", "timestamp", "seconds", (json_int_t)now.tv_sec, "microseconds",
                              (json_int_t)now.tv_usec, "event", name);
    if (data)
        json_object_set_new(event, "data", data);
    for (unsigned n = 0; n < monitors->count; n++) {
        struct monitor *monitor = monitors->monitor[n];
        if (monitor->control && monitor->negotiated)
            send_value(monitor, monitor->served, json_incref(event));
    }
    json_decref(event);
}

/* ---- making ---- */

struct monitors *monitors_create(struct session *session, void (*ring)(void *opaque), void *opaque)
{
    struct monitors *monitors = calloc(1, sizeof *monitors);
    CHECK(monitors && !pthread_mutex_init(&monitors->lock, NULL));
    monitors->session = session;
    monitors->ring = ring;
    monitors->opaque = opaque;
    return monitors;
}

static void init_monitor(struct monitor *monitor)
{
    monitor->last = &monitor->first;
    qmp_stream_init(&monitor->stream, got_value, monitor);
    monitor->readline = (struct readline){.line = got_line,
                                          .write = echo,
                                          .opaque = monitor,
                                          .prompt = PROMPT,
                                          .echo = chardev_is_terminal(monitor->chardev)};
}

enum status monitors_add(struct monitors *monitors, struct chardev *chardev, bool control, struct error *error)
{
    if (monitors->count == MONITORS_MAX)
        return error_status(error, STATUS_INVALID, "at most %d monitors", MONITORS_MAX);
    struct monitor *monitor = calloc(1, sizeof *monitor);
    CHECK(monitor);
    monitor->monitors = monitors;
    monitor->chardev = chardev;
    monitor->control = control;
    init_monitor(monitor);
    struct chardev_user user = {
        .receive = receive, .room = room, .opened = opened, .focused = focused, .opaque = monitor, .whole = true};
    if (!chardev_attach(chardev, &user)) {
        free(monitor);
        return error_status(error, STATUS_INVALID, "character device %s is in use, and is not made with mux=on",
                            chardev_label(chardev));
    }
    monitors->monitor[monitors->count++] = monitor;
    return STATUS_OK;
}

unsigned monitors_count(const struct monitors *monitors)
{
    return monitors->count;
}

void monitors_destroy(struct monitors *monitors)
{
    if (!monitors)
        return;
    for (unsigned n = 0; n < monitors->count; n++) {
        struct monitor *monitor = monitors->monitor[n];
        struct request *request;
        while ((request = take(monitor)))
            free_request(request);
        qmp_stream_fini(&monitor->stream);
        readline_fini(&monitor->readline);
        free(monitor);
    }
    pthread_mutex_destroy(&monitors->lock);
    free(monitors);
}
