/* Character devices and what uses them: -chardev, -serial, -debugcon, -monitor, -qmp, -mon; QEMU's spelling, its short forms
 * too ("unix:PATH,server,nowait", "tcp:HOST:PORT", "file:PATH", "mon:stdio", ...), each of which makes a back end with a
 * label of its own. Not taken: abstract sockets, websocket, telnet, TLS, logfile. */
#include "tools/options_internal.h"

#include "tools/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int refuse(const struct parser *parser, const char *text, const char *why)
{
    tool_error("-%s %s: %s", parser->name, text, why);
    return EXIT_CODE_USAGE;
}

static int add_chardev(struct parser *parser, const char *text, const struct chardev_options *chardev)
{
    struct run_options *options = parser->options;
    for (unsigned n = 0; n < options->chardev_count; n++) {
        if (!strcmp(options->chardev[n].label, chardev->label))
            return refuse(parser, text, "this id is used already");
        if (options->chardev[n].kind == CHARDEV_STDIO && chardev->kind == CHARDEV_STDIO)
            return refuse(parser, text, "stdio is used already: give it an id and mux=on, or use mon:stdio");
    }
    if (options->chardev_count == CHARDEVS_MAX)
        return refuse(parser, text, "too many character devices");
    options->chardev[options->chardev_count++] = *chardev;
    return -1;
}

/* ---- key=value ---- */

static bool set_flag(bool *flag, const char *value)
{
    bool off = value && (!strcmp(value, "off") || !strcmp(value, "no") || !strcmp(value, "false"));
    *flag = !value || options_is_on(value);
    return off || *flag;
}

static int set_socket_key(struct parser *parser, struct chardev_options *chardev, const char *key, const char *value)
{
    uint64_t seconds;
    if (!strcmp(key, "host") && value) {
        chardev->host = value;
    } else if (!strcmp(key, "port") && value) {
        chardev->port = value;
    } else if (!strcmp(key, "server")) {
        if (!set_flag(&chardev->server, value))
            return options_bad(parser, value, "on or off");
    } else if (!strcmp(key, "wait")) {
        if (!set_flag(&chardev->wait, value))
            return options_bad(parser, value, "on or off");
    } else if (!strcmp(key, "nowait") && !value) {
        chardev->wait = false;
    } else if (!strcmp(key, "nodelay") || ((!strcmp(key, "ipv4") || !strcmp(key, "ipv6")) && value)) {
        return -1; /* always so; addresses are what the name says */
    } else if (!strcmp(key, "reconnect") && value) {
        if (parse_u64(value, &seconds) || seconds > 86400)
            return options_bad(parser, value, "seconds, at most 86400");
        chardev->reconnect_s = (unsigned)seconds;
    } else {
        return options_bad(parser, key, "path, host, port, server, wait, reconnect of a socket");
    }
    return -1;
}

static int set_key(struct parser *parser, struct chardev_options *chardev, const char *key, const char *value)
{
    bool signal;
    bool has_path = chardev->kind == CHARDEV_FILE || chardev->kind == CHARDEV_PIPE || chardev->kind == CHARDEV_SOCKET;
    if (!strcmp(key, "id") && value) {
        if (!*value || strlen(value) >= CHARDEV_LABEL_BYTES)
            return options_bad(parser, value, "an id of 1 to 63 characters");
        strcpy(chardev->label, value);
    } else if (!strcmp(key, "mux")) {
        if (!set_flag(&chardev->mux, value))
            return options_bad(parser, value, "on or off");
    } else if (!strcmp(key, "path") && value && has_path) {
        chardev->path = value;
    } else if (!strcmp(key, "append") && chardev->kind == CHARDEV_FILE) {
        if (!set_flag(&chardev->append, value))
            return options_bad(parser, value, "on or off");
    } else if (!strcmp(key, "signal") && chardev->kind == CHARDEV_STDIO) {
        if (!set_flag(&signal, value))
            return options_bad(parser, value, "on or off");
        chardev->no_signal = !signal;
    } else if (chardev->kind == CHARDEV_SOCKET) {
        return set_socket_key(parser, chardev, key, value);
    } else {
        return options_bad(parser, key, "an option that this back end has");
    }
    return -1;
}

static int set_keys(struct parser *parser, struct chardev_options *chardev, char *rest)
{
    char *item;
    int code = -1;
    while (code < 0 && (item = options_next_item(&rest))) {
        char *value = options_item_value(item);
        code = set_key(parser, chardev, item, value);
    }
    return code;
}

static int check_chardev(const struct parser *parser, const char *text, const struct chardev_options *chardev)
{
    if ((chardev->kind == CHARDEV_FILE || chardev->kind == CHARDEV_PIPE) && !(chardev->path && *chardev->path))
        return refuse(parser, text, "needs path=");
    if (chardev->kind != CHARDEV_SOCKET)
        return -1;
    if (!chardev->path == !chardev->port)
        return refuse(parser, text, "a socket needs path=, or host= and port=");
    uint64_t port;
    if (chardev->port && !parse_u64(chardev->port, &port) && port > UINT16_MAX)
        return refuse(parser, text, "port: expected at most 65535");
    if (chardev->reconnect_s && chardev->server)
        return refuse(parser, text, "reconnect= is for a client");
    return -1;
}

static bool kind_of(const char *name, enum chardev_kind *kind)
{
    static const struct {
        const char *name;
        enum chardev_kind kind;
    } kinds[] = {{"null", CHARDEV_NULL}, {"stdio", CHARDEV_STDIO},   {"file", CHARDEV_FILE},
                 {"pipe", CHARDEV_PIPE}, {"socket", CHARDEV_SOCKET}, {"pty", CHARDEV_PTY}};
    for (size_t n = 0; n < sizeof kinds / sizeof kinds[0]; n++) {
        if (!strcmp(kinds[n].name, name)) {
            *kind = kinds[n].kind;
            return true;
        }
    }
    return false;
}

int options_parse_chardev(struct parser *parser, const char *value)
{
    char *rest = options_own(parser, strdup(value));
    const char *name = options_next_item(&rest);
    struct chardev_options chardev = {.wait = true};
    if (name && !strncmp(name, "backend=", 8))
        name += 8;
    if (!name || !kind_of(name, &chardev.kind))
        return options_bad(parser, value, "null, stdio, file, pipe, pty or socket, and its options");
    int code = set_keys(parser, &chardev, rest);
    if (code < 0 && !*chardev.label)
        return options_bad(parser, value, "id=NAME");
    if (code < 0)
        code = check_chardev(parser, value, &chardev);
    return code < 0 ? add_chardev(parser, value, &chardev) : code;
}

/* ---- short forms ---- */

static int short_socket(struct parser *parser, struct chardev_options *chardev, const char *value)
{
    char *rest = options_own(parser, strdup(strchr(value, ':') + 1));
    char *where = options_next_item(&rest);
    chardev->kind = CHARDEV_SOCKET;
    if (!where)
        return options_bad(parser, value, "a path, or HOST:PORT");
    if (!strncmp(value, "unix:", 5)) {
        chardev->path = where;
    } else {
        char *colon = strrchr(where, ':');
        if (!colon || !colon[1])
            return options_bad(parser, value, "HOST:PORT");
        *colon = 0;
        chardev->host = where;
        chardev->port = colon + 1;
    }
    int code = set_keys(parser, chardev, rest);
    return code < 0 ? check_chardev(parser, value, chardev) : code;
}

/* What -serial, -monitor and -qmp take. label: of the back end that is made; its name is left in *used, null for none. */
static int parse_use(struct parser *parser, const char *value, const char *label, const char **used)
{
    struct chardev_options chardev = {.wait = true};
    *used = NULL;
    if (!strcmp(value, "none"))
        return -1;
    if (!strncmp(value, "chardev:", 8)) {
        *used = value + 8;
        return -1;
    }
    strcpy(chardev.label, label);
    int code = -1;
    if (!strncmp(value, "unix:", 5) || !strncmp(value, "tcp:", 4))
        code = short_socket(parser, &chardev, value);
    else if (!strncmp(value, "file:", 5) || !strncmp(value, "pipe:", 5)) {
        chardev.kind = value[0] == 'f' ? CHARDEV_FILE : CHARDEV_PIPE;
        chardev.path = value + 5;
        code = check_chardev(parser, value, &chardev);
    } else if (!kind_of(value, &chardev.kind) || chardev.kind == CHARDEV_FILE || chardev.kind == CHARDEV_PIPE ||
               chardev.kind == CHARDEV_SOCKET)
        return options_bad(parser, value,
                           "stdio, none, null, pty, file:PATH, pipe:PATH, unix:PATH, tcp:HOST:PORT or chardev:ID");
    if (code < 0)
        code = add_chardev(parser, value, &chardev);
    *used = options_own(parser, strdup(label));
    return code;
}

static int add_monitor(struct parser *parser, const char *value, const char *chardev, bool control)
{
    struct run_options *options = parser->options;
    if (options->monitor_count == OPTION_MONITORS)
        return refuse(parser, value, "too many monitors");
    options->monitor[options->monitor_count++] = (struct monitor_option){chardev, control};
    return -1;
}

static int parse_monitor_use(struct parser *parser, const char *value, bool control)
{
    char label[CHARDEV_LABEL_BYTES];
    const char *used;
    snprintf(label, sizeof label, "compat_monitor%u", parser->next_monitor++);
    int code = parse_use(parser, value, label, &used);
    return code < 0 && used ? add_monitor(parser, value, used, control) : code;
}

int options_parse_monitor(struct parser *parser, const char *value)
{
    return parse_monitor_use(parser, value, false);
}

int options_parse_qmp(struct parser *parser, const char *value)
{
    return parse_monitor_use(parser, value, true);
}

int options_parse_mon(struct parser *parser, const char *value)
{
    char *rest = options_own(parser, strdup(value)), *item;
    const char *chardev = NULL;
    bool control = false;
    while ((item = options_next_item(&rest))) {
        char *setting = options_item_value(item);
        if (!setting)
            chardev = item;
        else if (!strcmp(item, "chardev"))
            chardev = setting;
        else if (!strcmp(item, "mode") && (!strcmp(setting, "control") || !strcmp(setting, "readline")))
            control = setting[0] == 'c';
        else
            return options_bad(parser, item, "chardev=ID, mode=readline or mode=control");
    }
    return chardev ? add_monitor(parser, value, chardev, control) : options_bad(parser, value, "chardev=ID");
}

/* mon:stdio: console and monitor on one back end. */
static int serial_with_monitor(struct parser *parser, const char *value, const char *label,
                               struct serial_option *serial)
{
    const char *used;
    int code = parse_use(parser, value + 4, label, &used);
    if (code >= 0)
        return code;
    if (!used || !strncmp(value + 4, "chardev:", 8))
        return options_bad(parser, value, "mon: and a back end of its own");
    parser->options->chardev[parser->options->chardev_count - 1].mux = true;
    *serial = (struct serial_option){SERIAL_CHARDEV, used};
    return add_monitor(parser, value, used, false);
}

static int parse_serial_value(struct parser *parser, const char *value, const char *label, struct serial_option *serial)
{
    const char *used;
    if (!strncmp(value, "mon:", 4))
        return serial_with_monitor(parser, value, label, serial);
    int code = parse_use(parser, value, label, &used);
    *serial = (struct serial_option){used ? SERIAL_CHARDEV : SERIAL_NONE, used};
    return code;
}

int options_parse_serial(struct parser *parser, const char *value)
{
    char label[CHARDEV_LABEL_BYTES];
    if (parser->next_serial == OPTION_SERIALS)
        return options_bad(parser, value, "at most two serial ports");
    snprintf(label, sizeof label, "serial%u", parser->next_serial);
    return parse_serial_value(parser, value, label, &parser->options->serial[parser->next_serial++]);
}

/* Output alone: so it may share standard output. */
int options_parse_debugcon(struct parser *parser, const char *value)
{
    if (!strcmp(value, "stdio")) {
        parser->options->debugcon = (struct serial_option){SERIAL_STDOUT, NULL};
        return -1;
    }
    return parse_serial_value(parser, value, "debugcon", &parser->options->debugcon);
}

/* ---- the debugger ---- */

#define REMOTE ",remote=on"

static bool is_loopback(const char *host)
{
    return !host || !*host || !strcmp(host, "localhost") || !strncmp(host, "127.", 4) || !strcmp(host, "::1");
}

/* Whoever connects has the guest in his hands, and files by way of the monitor: this host's users, unless told otherwise. */
static int place_gdb(struct parser *parser, const char *value, bool remote)
{
    struct run_options *options = parser->options;
    const char *used;
    int code = parse_use(parser, value, "gdb", &used);
    if (code >= 0)
        return code;
    struct chardev_options *chardev = &options->chardev[options->chardev_count - 1];
    if (!used || !strncmp(value, "chardev:", 8) || (chardev->kind != CHARDEV_SOCKET && chardev->kind != CHARDEV_STDIO))
        return options_bad(parser, value, "tcp:HOST:PORT, unix:PATH or stdio");
    if (!remote && !chardev->path && !is_loopback(chardev->host))
        return refuse(parser, value, "only this host's programs may connect, unless you add ,remote=on");
    chardev->server = chardev->turn_away = chardev->kind == CHARDEV_SOCKET;
    chardev->wait = false;
    chardev->no_signal = true;
    options->gdb = used;
    return -1;
}

int options_parse_gdb(struct parser *parser, const char *value)
{
    char *text = options_own(parser, strdup(value));
    size_t length = strlen(text), tail = strlen(REMOTE);
    bool remote = length > tail && !strcmp(text + length - tail, REMOTE);
    if (remote)
        text[length - tail] = 0;
    if (!strcmp(value, "none"))
        return -1;
    if (parser->options->gdb)
        return refuse(parser, value, "one debugger is enough");
    return place_gdb(parser, text, remote);
}

/* ---- at the end ---- */

static struct chardev_options *find_chardev(struct run_options *options, const char *label)
{
    for (unsigned n = 0; n < options->chardev_count; n++) {
        if (!strcmp(options->chardev[n].label, label))
            return &options->chardev[n];
    }
    return NULL;
}

static int check_name(struct run_options *options, const char *option, const char *label)
{
    if (!label || find_chardev(options, label))
        return -1;
    tool_error("-%s: there is no -chardev with id=%s", option, label);
    return EXIT_CODE_USAGE;
}

/* COM1 goes to standard output unless something else does, and takes what a person types. */
static void default_serial(struct run_options *options)
{
    struct chardev_options chardev = {.label = "serial0", .kind = CHARDEV_STDIO, .no_input = !isatty(STDIN_FILENO)};
    if (options->serial[0].kind != SERIAL_DEFAULT)
        return;
    options->serial[0].kind = SERIAL_NONE;
    for (unsigned n = 0; n < options->chardev_count; n++) {
        if (options->chardev[n].kind == CHARDEV_STDIO)
            return;
    }
    if (find_chardev(options, chardev.label) || options->chardev_count == CHARDEVS_MAX)
        return;
    options->chardev[options->chardev_count++] = chardev;
    options->serial[0] = (struct serial_option){SERIAL_CHARDEV, "serial0"};
}

static bool has_monitor(const struct run_options *options, const char *label)
{
    if (options->gdb && !strcmp(options->gdb, label))
        return true;
    for (unsigned n = 0; n < options->monitor_count; n++) {
        if (!strcmp(options->monitor[n].chardev, label))
            return true;
    }
    return false;
}

int options_chardev_complete(struct parser *parser)
{
    struct run_options *options = parser->options;
    int code = -1;
    default_serial(options);
    for (unsigned n = 0; n < OPTION_SERIALS && code < 0; n++)
        code = check_name(options, "serial", options->serial[n].chardev);
    if (code < 0)
        code = check_name(options, "debugcon", options->debugcon.chardev);
    for (unsigned n = 0; n < options->monitor_count && code < 0; n++)
        code = check_name(options, "mon", options->monitor[n].chardev);
    for (unsigned n = 0; n < options->chardev_count; n++) {
        struct chardev_options *chardev = &options->chardev[n];
        /* A replay's console types nothing. */
        if (chardev->kind == CHARDEV_STDIO && parser->use == OPTIONS_REPLAY && !options->branch.then &&
            !has_monitor(options, chardev->label))
            chardev->no_input = true;
    }
    return code;
}
