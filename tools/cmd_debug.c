/* vmrr debug: a replay and a stock gdb that is attached to it. The replay is a process of its own, which listens on a socket in a
 * directory of the user's alone; both go when gdb does. */
#include "replay/replay.h"
#include "tools/help.h"
#include "tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SCRIPT "vmrr-gdb.py"
#define PATH_BYTES 4096
#define GDB_ARGUMENTS 24
#define MOMENT_NS 10000000

struct debug_options {
    const char *journal, *symbols, *at, *console, *gdb;
    char **more; /* gdb's own, to the null */
};

struct debug {
    struct debug_options options;
    char self[PATH_BYTES], script[PATH_BYTES];
    char directory[PATH_BYTES], socket[PATH_BYTES + 16], log[PATH_BYTES + 16];
    pid_t replay;
};

/* ---- what there is ---- */

/* Beside the program, where a build has it; or where it is installed. */
static bool find_script(struct debug *debug)
{
    static const char *const places[] = {"/" SCRIPT, "/../share/vmrr/" SCRIPT};
    ssize_t length = readlink("/proc/self/exe", debug->self, sizeof debug->self - 1);
    if (length <= 0)
        return false;
    debug->self[length] = 0;
    char *slash = strrchr(debug->self, '/');
    for (size_t n = 0; slash && n < sizeof places / sizeof places[0]; n++) {
        int wrote =
            snprintf(debug->script, sizeof debug->script, "%.*s%s", (int)(slash - debug->self), debug->self, places[n]);
        if (wrote < (int)sizeof debug->script && access(debug->script, R_OK) == 0)
            return true;
    }
    return false;
}

/* 0700 by mkdtemp. */
static bool make_directory(struct debug *debug)
{
    const char *const where[] = {getenv("XDG_RUNTIME_DIR"), getenv("TMPDIR"), "/tmp"};
    for (size_t n = 0; n < sizeof where / sizeof where[0]; n++) {
        /* A socket's path has at most 107 bytes. */
        if (!where[n] || strlen(where[n]) > 80)
            continue;
        snprintf(debug->directory, sizeof debug->directory, "%s/vmrr-debug-XXXXXX", where[n]);
        if (!mkdtemp(debug->directory))
            continue;
        snprintf(debug->socket, sizeof debug->socket, "%s/gdb", debug->directory);
        snprintf(debug->log, sizeof debug->log, "%s/log", debug->directory);
        return true;
    }
    debug->directory[0] = 0;
    return false;
}

/* The replay would say the same, but where gdb's user does not see it. */
static bool check_files(const struct debug *debug)
{
    struct error error = {0};
    struct replay_player_options options = {.path = debug->options.journal};
    struct replay_player *player = replay_player_open(&options, &error);
    if (!player) {
        tool_error("%s", error.text);
        return false;
    }
    replay_player_destroy(player);
    if (debug->options.symbols && access(debug->options.symbols, R_OK) != 0) {
        tool_error("%s: %s", debug->options.symbols, strerror(errno));
        return false;
    }
    return true;
}

/* ---- the replay ---- */

static void redirect(const char *path, int flags, int to)
{
    int file = open(path, flags | O_CLOEXEC, 0600);
    if (file >= 0)
        dup2(file, to);
}

/* Not of the terminal's foreground: Ctrl-C is gdb's. It goes when this process does, however that ends. */
static void run_replay(struct debug *debug)
{
    char gdb[PATH_BYTES + 32];
    const char *serial = debug->options.console ? debug->options.console : "none";
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    redirect("/dev/null", O_RDONLY, STDIN_FILENO);
    redirect(debug->log, O_WRONLY | O_CREAT | O_APPEND, STDOUT_FILENO);
    redirect(debug->log, O_WRONLY | O_CREAT | O_APPEND, STDERR_FILENO);
    snprintf(gdb, sizeof gdb, "unix:%s", debug->socket);
    execl(debug->self, "vmrr", "replay", "-q", "-gdb", gdb, "-serial", serial, debug->options.journal, (char *)NULL);
    _exit(127);
}

static void print_log(const struct debug *debug)
{
    char line[1024];
    FILE *log = fopen(debug->log, "re");
    while (log && fgets(line, sizeof line, log))
        fputs(line, stderr);
    if (log)
        fclose(log);
}

/* The name is there a moment before somebody listens. */
static bool listens(const struct debug *debug)
{
    char line[512];
    bool found = false;
    FILE *sockets = fopen("/proc/net/unix", "re");
    if (!sockets)
        return access(debug->socket, F_OK) == 0;
    while (!found && fgets(line, sizeof line, sockets)) {
        line[strcspn(line, "\n")] = 0;
        const char *name = strchr(line, '/');
        found = name && !strcmp(name, debug->socket) && strstr(line, " 00010000 "); /* it accepts */
    }
    fclose(sockets);
    return found;
}

static bool start_replay(struct debug *debug)
{
    const struct timespec moment = {0, MOMENT_NS};
    fflush(NULL);
    debug->replay = fork();
    if (debug->replay == 0)
        run_replay(debug);
    while (debug->replay > 0 && !listens(debug)) {
        if (waitpid(debug->replay, NULL, WNOHANG) == debug->replay) {
            debug->replay = -1;
            print_log(debug);
            return false;
        }
        nanosleep(&moment, NULL);
    }
    return debug->replay > 0;
}

static void end_replay(struct debug *debug)
{
    if (debug->replay > 0) {
        kill(debug->replay, SIGTERM);
        waitpid(debug->replay, NULL, 0);
    }
    if (debug->directory[0]) {
        unlink(debug->socket);
        unlink(debug->log);
        rmdir(debug->directory);
    }
}

/* ---- gdb ---- */

/* Of a signal to this process; 0: there is no gdb. */
static volatile pid_t gdb_process;

static void on_signal(int number)
{
    if (gdb_process > 0)
        kill(gdb_process, number);
}

struct arguments {
    char *list[GDB_ARGUMENTS + 1024];
    char text[4][PATH_BYTES + 64];
    unsigned count, texts;
};

static void add(struct arguments *arguments, const char *text)
{
    if (arguments->count < sizeof arguments->list / sizeof arguments->list[0] - 1)
        arguments->list[arguments->count++] = (char *)(uintptr_t)text;
}

static void add_command(struct arguments *arguments, const char *command, const char *what)
{
    char *text = arguments->text[arguments->texts++];
    snprintf(text, sizeof arguments->text[0], "%s %s", command, what);
    add(arguments, "-ex");
    add(arguments, text);
}

static void run_gdb(const struct debug *debug)
{
    static struct arguments arguments;
    add(&arguments, debug->options.gdb);
    add(&arguments, "-q");
    add(&arguments, "-x");
    add(&arguments, debug->script);
    add_command(&arguments, "target remote", debug->socket);
    if (debug->options.symbols)
        add_command(&arguments, "vmrr-symbols", debug->options.symbols);
    if (debug->options.at)
        add_command(&arguments, "vmrr-goto", debug->options.at);
    for (char **more = debug->options.more; *more; more++)
        add(&arguments, *more);
    execvp(debug->options.gdb, arguments.list);
    tool_error("%s: %s", debug->options.gdb, strerror(errno));
    _exit(127);
}

static int wait_for_gdb(const struct debug *debug)
{
    int status = 0;
    struct sigaction pass = {.sa_handler = on_signal}, ignore = {.sa_handler = SIG_IGN}, before[2];
    fflush(NULL);
    sigaction(SIGINT, &ignore, &before[0]);
    sigaction(SIGQUIT, &ignore, &before[1]);
    gdb_process = fork();
    if (gdb_process == 0) {
        sigaction(SIGINT, &before[0], NULL);
        sigaction(SIGQUIT, &before[1], NULL);
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        run_gdb(debug);
    }
    sigaction(SIGTERM, &pass, NULL);
    sigaction(SIGHUP, &pass, NULL);
    while (gdb_process > 0 && waitpid(gdb_process, &status, 0) < 0 && errno == EINTR)
        ;
    bool ended = gdb_process > 0 && WIFEXITED(status);
    gdb_process = 0;
    return ended ? WEXITSTATUS(status) : EXIT_CODE_FAILED;
}

/* ---- */

static int parse_options(struct debug_options *options, int argc, char **argv)
{
    static const struct option list[] = {
        {"symbols", required_argument, NULL, 's'}, {"at", required_argument, NULL, 'a'},
        {"console", required_argument, NULL, 'c'}, {"gdb", required_argument, NULL, 'g'},
        {"help", no_argument, NULL, 'h'},          {NULL, 0, NULL, 0}};
    int option;
    options->gdb = "gdb";
    optind = 0;
    while ((option = getopt_long(argc, argv, "h", list, NULL)) != -1) {
        switch (option) {
        case 's': options->symbols = optarg; break;
        case 'a': options->at = optarg; break;
        case 'c': options->console = optarg; break;
        case 'g': options->gdb = optarg; break;
        case 'h': help_print("debug"); return EXIT_CODE_OK;
        default: return EXIT_CODE_USAGE;
        }
    }
    return -1;
}

/* What stands behind "--" is gdb's. */
static int parse(struct debug_options *options, int argc, char **argv)
{
    int own = 1;
    while (own < argc && strcmp(argv[own], "--") != 0)
        own++;
    options->more = own < argc ? argv + own + 1 : argv + argc;
    int code = parse_options(options, own, argv);
    if (code >= 0)
        return code;
    if (own - optind == 1) {
        options->journal = argv[optind];
        return -1;
    }
    tool_error("debug: expected one journal, and what gdb is to be given behind --; see vmrr debug --help");
    return EXIT_CODE_USAGE;
}

static int run(struct debug *debug)
{
    if (!check_files(debug))
        return EXIT_CODE_USAGE;
    if (!find_script(debug)) {
        tool_error("debug: " SCRIPT " is neither beside %s nor in ../share/vmrr", debug->self);
        return EXIT_CODE_FAILED;
    }
    if (!make_directory(debug)) {
        tool_error("debug: no directory for a socket: %s", strerror(errno));
        return EXIT_CODE_FAILED;
    }
    if (!start_replay(debug))
        return EXIT_CODE_FAILED;
    int code = wait_for_gdb(debug);
    if (code == 127)
        code = EXIT_CODE_FAILED;
    return code;
}

int cmd_debug(int argc, char **argv)
{
    struct debug *debug = calloc(1, sizeof *debug);
    CHECK(debug);
    int code = parse(&debug->options, argc, argv);
    if (code < 0) {
        code = run(debug);
        end_replay(debug);
    }
    free(debug);
    return code;
}
