/* vmrr diff --a WHO --b WHO: one machine on two accelerators, held against each other at every exit. Exit 0: equal; 3: different; 4:
 * could not be compared. Both are sessions of their own in this process, made of the same options; what would reach the host
 * (consoles, monitors, images) is cut off or thrown away. */
#include "tools/help.h"
#include "tools/json_text.h"
#include "tools/lockstep.h"
#include "tools/lockstep/lockstep.h"
#include "tools/lockstep/remote.h"
#include "tools/session.h"
#include "tools/session_accel.h"
#include "tools/tools.h"

#ifdef VMRR_KVM
#include "accel-kvm/probe.h"
#endif

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define WALL_CLOCK_DEFAULT 1767225600u /* 2026-01-01 */

struct side {
    struct session session;
    bool open;
};

struct lockstep_command {
    const char *name[2];
    bool json;
    const char *output;
    struct lockstep_options options;
    int argc; /* of the machine */
    char **argv;
    const char *journal; /* instead: what was recorded */
    struct side side[2];
    bool recording;              /* the side that is made goes to output */
    bool steps_cpl3, steps_cpl0; /* KVM's */
    struct error error;          /* of the hooks */
};

/* ---- options ---- */

/* "--name VALUE" or "--name=VALUE", one or two dashes. Null: it is another one. */
static const char *value_of(const char *name, int argc, char **argv, int *at)
{
    const char *text = argv[*at];
    size_t length = strlen(name);
    if (text[0] != '-')
        return NULL;
    text += 1 + (text[1] == '-');
    if (strncmp(text, name, length) || (text[length] && text[length] != '='))
        return NULL;
    if (text[length] == '=')
        return text + length + 1;
    return *at + 1 < argc ? argv[++*at] : "";
}

static volatile sig_atomic_t lockstep_interrupted;

static void on_signal(int number)
{
    (void)number;
    lockstep_interrupted = 1;
}

/* Twice is too much: the second one ends the process. */
static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool is_over(void *opaque)
{
    (void)opaque;
    return lockstep_interrupted;
}

bool lockstep_asked_for(int argc, char **argv)
{
    for (int n = 1; n < argc; n++) {
        int at = n;
        if (value_of("a", argc, argv, &at) || value_of("b", argc, argv, &at))
            return true;
    }
    return false;
}

static bool is_remote(const char *name)
{
    return !strncmp(name, "gdb:unix:", 9) || !strncmp(name, "gdb:tcp:", 8);
}

static bool parse_who(struct lockstep_command *command, unsigned side, const char *value)
{
    if (!strcmp(value, "interp") || !strcmp(value, "kvm") || is_remote(value)) {
        command->name[side] = value;
        return true;
    }
    tool_error("diff: --%c %s: expected interp, kvm, gdb:unix:PATH or gdb:tcp:HOST:PORT", side ? 'b' : 'a', value);
    return false;
}

static bool parse_count(const char *name, const char *text, uint64_t *value)
{
    if (parse_u64(text, value) == STATUS_OK && *value)
        return true;
    tool_error("diff: --%s %s: expected a number, at least 1", name, text);
    return false;
}

/* 1: it was one of these; 0: it is the machine's; -1: wrong. */
static int parse_own(struct lockstep_command *command, int argc, char **argv, int *at)
{
    struct lockstep_options *options = &command->options;
    const struct {
        const char *name;
        uint64_t *value;
    } counts[] = {{"every", &options->every}, {"until", &options->until_exits}, {"steps", &options->steps_max}};
    const char *value;
    for (unsigned side = 0; side < 2; side++) {
        if ((value = value_of(side ? "b" : "a", argc, argv, at)))
            return parse_who(command, side, value) ? 1 : -1;
    }
    for (size_t n = 0; n < sizeof counts / sizeof counts[0]; n++) {
        if ((value = value_of(counts[n].name, argc, argv, at)))
            return parse_count(counts[n].name, value, counts[n].value) ? 1 : -1;
    }
    if ((value = value_of("stall", argc, argv, at))) {
        bool good = parse_count("stall", value, &options->stall_ms) && options->stall_ms <= 100000;
        options->stall_ms *= 1000;
        return good ? 1 : -1;
    }
    if ((value = value_of("o", argc, argv, at)))
        return (command->output = value)[0] ? 1 : -1;
    if (!strcmp(argv[*at], "--json"))
        return command->json = true;
    return 0;
}

static bool is_journal(const char *text)
{
    size_t length = strlen(text);
    return text[0] != '-' && length > 5 && !strcmp(text + length - 5, ".vmrr");
}

static bool any_kvm(const struct lockstep_command *command)
{
    return accel_is_kvm(command->name[0]) || accel_is_kvm(command->name[1]);
}

/* What is wrong with the machine's options is said once, before any is made. */
static int look_at_options(const struct lockstep_command *command)
{
    struct run_options options;
    int code = options_parse(&options, OPTIONS_RUN, command->argc, command->argv);
    options_free(&options);
    return code;
}

/* Returns -1 to go on. */
static int parse(struct lockstep_command *command, int argc, char **argv)
{
    command->argv[command->argc++] = argv[0];
    for (int n = 1; n < argc; n++) {
        if (!strcmp(argv[n], "--help") || !strcmp(argv[n], "-h")) {
            help_print("diff");
            return EXIT_CODE_OK;
        }
        int own = parse_own(command, argc, argv, &n);
        if (own < 0)
            return EXIT_CODE_USAGE;
        if (!own)
            command->argv[command->argc++] = argv[n];
    }
    if (command->argc == 2 && is_journal(command->argv[1]))
        command->journal = command->argv[1];
    else if (any_kvm(command))
        command->argv[command->argc++] = (char *)(uintptr_t)"--positions=exits"; /* KVM has no others */
    bool remote[2] = {is_remote(command->name[0]), is_remote(command->name[1])};
    if ((remote[0] && remote[1]) || ((remote[0] || remote[1]) && (command->journal || command->output))) {
        tool_error("diff: a remote target: beside a machine that is made of options, and without -o");
        return EXIT_CODE_USAGE;
    }
    if (command->journal && command->output) {
        tool_error("diff: -o: a journal is there already");
        return EXIT_CODE_USAGE;
    }
    return command->journal ? -1 : look_at_options(command);
}

/* ---- the machines ---- */

static void cut_off(void *opaque, struct run_options *options)
{
    struct lockstep_command *command = opaque;
    for (unsigned n = 0; n < OPTION_SERIALS; n++)
        options->serial[n] = (struct serial_option){.kind = SERIAL_NONE};
    options->debugcon = (struct serial_option){.kind = SERIAL_NONE};
    options->chardev_count = options->monitor_count = 0;
    options->gdb = options->screendump = NULL;
    options->snapshot = options->quiet = true;
    options->no_shutdown = options->start_stopped = options->dump_state = false;
    options->timing = BLOCK_TIMING_MODEL;
    command->options.clock.entropy_seed = options->seed;
    command->options.clock.wall_clock_seconds = options->has_rtc_base ? options->rtc_base_seconds : WALL_CLOCK_DEFAULT;
}

/* accel_complete_config has made both for KVM where KVM takes part (their positions are exits), but for the clock. */
static void make_alike(void *opaque, struct journal_config *config)
{
    (void)opaque;
    config->counts_exits = true;
    config->timing = BLOCK_TIMING_MODEL;
}

static int open_session(struct lockstep_command *command, unsigned side, struct input *input, struct trace_sink trace)
{
    struct session *session = &command->side[side].session;
    struct session_hooks hooks = {.opaque = command, .observer = trace, .options = cut_off, .config = make_alike};
    char **argv = calloc((size_t)command->argc + 8, sizeof *argv), accel[] = "-accel", output[] = "-o";
    int argc = 0;
    CHECK(argv);
    enum options_use use = command->journal ? OPTIONS_REPLAY : command->recording ? OPTIONS_RECORD : OPTIONS_RUN;
    for (int n = 0; n < command->argc; n++)
        argv[argc++] = command->argv[n];
    argv[argc++] = accel;
    argv[argc++] = (char *)(uintptr_t)command->name[side];
    if (command->recording) {
        argv[argc++] = output;
        argv[argc++] = (char *)(uintptr_t)command->output;
    }
    if (!command->journal)
        hooks.input = input;
    int code = session_open_hooked(session, use, argc, argv, &hooks);
    free(argv);
    return code;
}

static struct machine *make(void *opaque, unsigned side, struct input *input, struct trace_sink trace,
                            struct error *error)
{
    struct lockstep_command *command = opaque;
    command->side[side].open = true;
    if (open_session(command, side, input, trace) >= 0) {
        error_set(error, "%c can't be made, as standard error says", side ? 'b' : 'a');
        return NULL;
    }
    struct session *session = &command->side[side].session;
    if (!machine_counts_exits(session->machine)) {
        error_set(error, "%s: its positions are instructions, which only the interpreter counts", command->journal);
        return NULL;
    }
    return session->machine;
}

static void unmake(void *opaque, unsigned side)
{
    struct lockstep_command *command = opaque;
    if (command->side[side].open)
        (void)session_close(&command->side[side].session, EXIT_CODE_OK);
    command->side[side].open = false;
}

/* Does KVM stop after each instruction of the code that comes next? */
static bool can_step(void *opaque, unsigned side)
{
    struct lockstep_command *command = opaque;
    struct cpu_state state;
    if (!accel_is_kvm(command->name[side]))
        return true;
    struct accel *accel = machine_accel(command->side[side].session.machine);
    accel->ops->get_state(accel, &state);
    bool user64 = cpu_state_code64(&state) && (state.segment[CPU_SS].attributes >> 5 & 3) == 3;
    return user64 ? command->steps_cpl3 : command->steps_cpl0;
}

static void ask_host(struct lockstep_command *command)
{
#ifdef VMRR_KVM
    struct kvm_probe *probe = calloc(1, sizeof *probe);
    struct error error = {{0}};
    CHECK(probe);
    if (any_kvm(command) && !kvm_probe(&(struct kvm_probe_options){.without_costs = true}, probe, &error)) {
        command->steps_cpl0 = probe->step_cpl0 == KVM_YES;
        command->steps_cpl3 = probe->step_cpl3 == KVM_YES;
    }
    free(probe);
#else
    (void)command;
#endif
}

/* ---- the reproducer ---- */

/* Where it never came to another exit, there is nothing to wait for. */
static uint64_t journal_end(const struct lockstep_command *command, const struct lockstep_result *result)
{
    const struct lockstep_difference *difference = &result->difference;
    bool stuck = difference->stop[command->options.leader] == MACHINE_STOP_HOST;
    return stuck ? difference->equal_exits : difference->exits;
}

/* Who led once more, recorded, over the script and to the exit at which they differ. */
static enum status write_journal(struct lockstep_command *command, struct lockstep_script *script,
                                 const struct lockstep_result *result)
{
    unsigned side = command->options.leader;
    struct input *input = lockstep_input_create(script, &command->options.clock, false);
    enum machine_stop stop = MACHINE_STOP_NONE;
    enum status status = STATUS_IO;
    command->recording = command->side[side].open = true;
    bool made = open_session(command, side, input, (struct trace_sink){NULL, NULL}) < 0;
    if (made) {
        struct machine *machine = command->side[side].session.machine;
        stop = machine_run(machine, (struct position){journal_end(command, result), 0});
        machine_finish(machine, stop == MACHINE_STOP_LIMIT ? MACHINE_STOP_HOST : stop);
        status = replay_recorder_close(command->side[side].session.recorder, &command->error);
    }
    unmake(command, side);
    command->recording = false;
    input_destroy(input);
    return status;
}

/* ---- the command ---- */

static int report(struct lockstep_command *command, const struct lockstep_result *result, bool written)
{
    if (command->json) {
        json_t *object = lockstep_json(result);
        json_object_set_new(object, "a", json_string(command->name[0]));
        json_object_set_new(object, "b", json_string(command->name[1]));
        if (written)
            json_object_set_new(object, "journal", json_text(command->output, strlen(command->output)));
        json_dumpf(object, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
        putchar('\n');
        json_decref(object);
    } else {
        lockstep_print(result, command->name, stdout);
        if (written)
            printf("%s: the run of %c from its beginning to exit %" PRIu64 "\n", command->output,
                   command->options.leader ? 'b' : 'a', journal_end(command, result));
    }
    fflush(stdout);
    return result->verdict == LOCKSTEP_EQUAL       ? EXIT_CODE_OK
           : result->verdict == LOCKSTEP_DIFFERENT ? EXIT_CODE_DIVERGED
                                                   : EXIT_CODE_NOT_COMPARED;
}

static void run_remote(struct lockstep_command *command, unsigned side, struct lockstep_result *result)
{
    struct remote *remote = remote_open(command->name[side] + 4, &command->error);
    if (remote) {
        lockstep_run_remote(&command->options, remote, side, result);
    } else {
        result->verdict = LOCKSTEP_NOT_COMPARED;
        snprintf(result->reason, sizeof result->reason, "%s", command->error.text);
    }
    remote_close(remote);
}

static int run(struct lockstep_command *command)
{
    struct lockstep_script *script = lockstep_script_create();
    struct lockstep_result *result = calloc(1, sizeof *result);
    bool written = false;
    CHECK(result);
    command->options.leader = accel_is_kvm(command->name[0]) ? 0 : 1;
    ask_host(command);
    if (is_remote(command->name[0]) || is_remote(command->name[1]))
        run_remote(command, is_remote(command->name[0]) ? 0 : 1, result);
    else
        lockstep_run(&command->options, script, result);
    if (command->output && result->verdict == LOCKSTEP_DIFFERENT)
        written = !write_journal(command, script, result);
    int code = report(command, result, written);
    if (command->output && result->verdict == LOCKSTEP_DIFFERENT && !written)
        tool_error("diff: %s: could not be written", command->output);
    free(result);
    lockstep_script_destroy(script);
    return code;
}

int cmd_lockstep(int argc, char **argv)
{
    struct lockstep_command *command = calloc(1, sizeof *command);
    CHECK(command);
    command->name[0] = "interp";
    command->name[1] = "kvm";
    command->options = (struct lockstep_options){
        .make = make,
        .unmake = unmake,
        .can_step = can_step,
        .over = is_over,
        .opaque = command,
        .until_exits = POSITION_NEVER,
        .every = LOCKSTEP_EVERY_DEFAULT,
        .stall_ms = LOCKSTEP_STALL_MS_DEFAULT,
        .steps_max = LOCKSTEP_STEPS_MAX_DEFAULT,
    };
    command->argv = calloc((size_t)argc + 2, sizeof *command->argv);
    CHECK(command->argv);
    int code = parse(command, argc, argv);
    if (code < 0) {
        catch_signals();
        code = run(command);
    }
    free(command->argv);
    free(command);
    return code;
}
