/* Making a machine out of options or a journal, and running it. See session.h. */
#include "tools/session.h"

#include "block/qcow2.h"
#include "tools/chardev/terminal.h"
#include "tools/files.h"
#include "tools/screendump.h"
#include "tools/session_accel.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PROGRESS_NS 500000000ull
#define EXECUTOR_THREADS 4
#define CHECKPOINTS_SAVED 256u

/* The one process-wide thing: signals have no argument. Set only while session_run runs. */
static struct session *volatile signal_session;

static void on_signal(int number)
{
    (void)number;
    if (signal_session)
        control_end(signal_session);
}

static int fail(const struct error *error)
{
    tool_error("%s", error->text[0] ? error->text : "unknown error");
    return EXIT_CODE_USAGE;
}

/* ---- inputs and sinks ---- */

static uint64_t option_clock(void *opaque)
{
    return ((const struct session *)opaque)->options.rtc_base_seconds;
}

static void on_idle(void *opaque)
{
    console_flush(((struct session *)opaque)->console);
}

/* With somebody at the other end, virtual time goes no faster than the host's. */
static bool has_company(const struct session *session)
{
    const char *gdb = session->options.gdb;
    struct chardev *chardev;
    for (unsigned n = 0; (chardev = chardev_hub_at(session->hub, n)); n++) {
        if (gdb && !strcmp(chardev_label(chardev), gdb))
            continue; /* a debugger types nothing that the guest could wait for */
        if (chardev_used(chardev) && chardev_has_input(chardev))
            return true;
    }
    return false;
}

static void open_live(struct session *session)
{
    struct run_options *options = &session->options;
    bool clocked = session->config.counts_exits;
    if ((session->live = session->hooks.input))
        return;
    session->live = input_live_create(&(struct input_live_options){
        .mailbox = session->mailbox,
        .pace = clocked || has_company(session) || options->timing == BLOCK_TIMING_HOST,
        .clocked = clocked,
        .slower = options->kvm_slower,
        .checkpoint_exits = clocked ? session->config.checkpoint_steps : 0,
        .wall_clock_seconds = options->has_rtc_base ? option_clock : NULL,
        .idle = on_idle,
        .opaque = session,
        .entropy_seeded = options->timing == BLOCK_TIMING_MODEL && !clocked,
        .entropy_seed = options->seed,
    });
}

static void out_of_space(void *opaque)
{
    struct session *session = opaque;
    session->control.failed = true;
    tool_error("%s: no space left on the device: stopping the guest%s", session->options.output,
               session->branch_incomplete ? "" : "; what is written stays replayable");
}

static void checkpoints_over(void *opaque)
{
    const struct session *session = opaque;
    tool_error("%s: checkpoints take more memory than --checkpoint-memory: no more of them, the recording goes on",
               session->options.output);
}

static void save_words(void *opaque, uint64_t word[REPLAY_WORDS])
{
    _Static_assert(CONSOLE_WORDS < REPLAY_WORDS, "room for the consoles and the monitors");
    console_save(((struct session *)opaque)->console, word);
    word[CONSOLE_WORDS] = ((struct session *)opaque)->control.events_made;
}

static enum status open_recorder(struct session *session, struct error *error)
{
    struct input *live = session->branch ? replay_branch_input(session->branch) : session->live;
    struct replay_recorder_options options = {.path = session->options.output,
                                              .config = &session->config,
                                              .live = live,
                                              .zstd_level = session->options.zstd_level,
                                              .out_of_space = out_of_space,
                                              .checkpoint_every = session->options.checkpoint_frames,
                                              .checkpoint_memory = session->options.checkpoint_bytes,
                                              .checkpoint_words = save_words,
                                              .checkpoints_over = checkpoints_over,
                                              .stacks = {session->stacks ? host_stacks_frames : NULL, session->stacks},
                                              .opaque = session};
    session->recorder = replay_recorder_create(&options, error);
    return session->recorder ? STATUS_OK : STATUS_IO;
}

static enum status open_player(struct session *session, struct error *error)
{
    struct replay_player_options options = {.path = session->options.input, .follow = session->options.follow};
    session->player = replay_player_open(&options, error);
    if (!session->player)
        return STATUS_CORRUPT;
    session->machine_config = replay_player_config(session->player);
    session->end = replay_player_end(session->player);
    return STATUS_OK;
}

/* A second observer would find no place: nobody asks for both. */
static enum status open_rerun(struct session *session, struct error *error)
{
    struct rerun_options options = {
        .journal = session->options.input, .directory = session->options.scratch, .config = session->machine_config};
    if (session->stacks) {
        options.stacks = (struct block_stacks){host_stacks_capture, session->stacks};
        options.frames = host_stacks_frames;
        options.frames_opaque = session->stacks;
    }
    session->rerun = rerun_create(&options, error);
    if (!session->rerun)
        return STATUS_IO;
    CHECK(!session->tee.second.ops);
    session->tee.second = rerun_observer(session->rerun);
    return STATUS_OK;
}

/* ---- machine ---- */

static void kick(void *opaque)
{
    struct accel *accel = opaque;
    accel->ops->kick(accel);
}

static enum status create_machine(struct session *session, struct error *error)
{
    const struct journal_config *config = session->machine_config;
    struct machine_options options = {.ram_bytes = config->ram_bytes,
                                      .cpu = config->cpu,
                                      .input = session->live,
                                      .checkpoint_steps = config->checkpoint_steps,
                                      .counts_exits = config->counts_exits,
                                      .ways = config->ways,
                                      .no_reboot = config->no_reboot,
                                      .trace_kinds = config->trace_kinds};
    for (uint32_t n = 0; (config->ways & MACHINE_WAY_TSC_SITES) && n < config->tsc_site_count; n++)
        options.tsc_site[options.tsc_sites++] = config->tsc_sites[n];
    if (session->recorder) {
        options.input = replay_recorder_input(session->recorder);
        options.trace = replay_recorder_trace(session->recorder);
        options.digests = true;
    } else if (session->player) {
        options.input = replay_player_input(session->player);
        options.trace = replay_player_trace(session->player);
        options.digests = true;
    }
    if (session->branch) {
        options.trace = replay_branch_trace(session->branch);
        if (!session->recorder)
            options.input = replay_branch_input(session->branch);
    }
    session->tee.first = options.trace;
    if (session->tee.second.ops)
        options.trace = trace_tee_sink(&session->tee);
    session->machine = machine_create(&options, error);
    if (!session->machine)
        return STATUS_INVALID;
    struct accel *accel = accel_make(session->machine, accel_is_kvm(session->options.accel),
                                     session->player ? config->accel : NULL, session->options.kvm_slower, error);
    if (!accel)
        return STATUS_UNSUPPORTED;
    machine_set_accel(session->machine, accel);
    if (accel->ops->kick && !session->player)
        input_mailbox_set_ring(session->mailbox, kick, accel);
    if (session->options.gdb && !accel->ops->debug_insert)
        return error_status(error, STATUS_UNSUPPORTED,
                            "-gdb: not with -accel %s; record it, and debug its replay, or use -accel interp",
                            accel->ops->name);
    if (session->recorder)
        replay_recorder_attach(session->recorder, session->machine);
    if (session->branch)
        replay_branch_attach(session->branch, session->machine);
    else if (session->player)
        replay_player_attach(session->player, session->machine);
    return STATUS_OK;
}

/* Null without an error: the drive starts without a medium. */
static struct block_image *open_image(struct session *session, unsigned index, struct error *error)
{
    if (!session->player)
        return media_open_first(session, index, error);
    media_tell_replayed(session, index);
    if (!session->machine_config->drive[index].size_sectors)
        return NULL;
    if (session->branch)
        return session_branch_image(session, index, error);
    struct block_image *replayed = replay_player_image(session->player, index, error);
    return replayed && session->rerun ? rerun_image(session->rerun, index, replayed, error) : replayed;
}

static struct journal_image_make make_of(struct block_image *image)
{
    struct qcow2_info info;
    if (!block_qcow2_info(image, &info))
        return (struct journal_image_make){0};
    return (struct journal_image_make){.version = (uint8_t)info.version,
                                       .cluster_bits = (uint8_t)info.cluster_bits,
                                       .refcount_bits = (uint8_t)info.refcount_bits,
                                       .flags = (uint8_t)((info.lazy_refcounts ? JOURNAL_IMAGE_LAZY_REFCOUNTS : 0) |
                                                          (info.extended_l2 ? JOURNAL_IMAGE_EXTENDED_L2 : 0) |
                                                          (info.compression == QCOW2_ZSTD ? JOURNAL_IMAGE_ZSTD : 0) |
                                                          (info.data_file ? JOURNAL_IMAGE_DATA_FILE : 0) |
                                                          (info.backing_name ? JOURNAL_IMAGE_BACKING : 0))};
}

/* The images of a recording are opened before the journal is made: their sizes are in its header. */
static enum status open_images(struct session *session, struct block_image *images[JOURNAL_DRIVES], struct error *error)
{
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        const struct drive_option *option = &session->options.drive[n];
        if (!option->present)
            continue;
        images[n] = open_image(session, n, error);
        if (!images[n] && option->path)
            return STATUS_IO;
        session->config.drive[n] = (struct journal_drive){.make = make_of(images[n]),
                                                          .size_sectors = images[n] ? images[n]->size_sectors : 0,
                                                          .present = true,
                                                          .read_only = option->read_only,
                                                          .at = option->at,
                                                          .policy = option->policy,
                                                          .path = option->path ? strdup(option->path) : NULL,
                                                          .format = images[n] ? strdup(images[n]->ops->format) : NULL,
                                                          .id = strdup(option->id),
                                                          .qdev = strdup(option->qdev)};
    }
    return STATUS_OK;
}

static void on_io_error(void *opaque, const struct block_error_event *event)
{
    control_io_error(opaque, event);
}

static void on_tray(void *opaque, uint32_t drive, bool open)
{
    control_tray_moved(opaque, drive, open);
}

static enum status create_drives(struct session *session, struct block_image *images[JOURNAL_DRIVES],
                                 struct error *error)
{
    const struct journal_config *config = session->machine_config;
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++) {
        if (!config->drive[n].present)
            continue;
        struct block_image *image = images[n];
        images[n] = NULL;
        if (session->player)
            image = open_image(session, n, error);
        if (image && session->recorder)
            image = replay_recorder_image(session->recorder, n, image, error);
        if (!image && config->drive[n].size_sectors)
            return STATUS_IO;
        if (image && config->drive[n].read_only)
            image->read_only = true;
        const struct drive_option *option = &session->options.drive[n];
        struct block_queue_options options = {.drive = n,
                                              .timing = config->timing,
                                              .seed = config->seed,
                                              .executor = session->executor,
                                              .policy = config->drive[n].policy,
                                              .media = {media_take, session},
                                              .detect_zeroes = option->detect_zeroes,
                                              .aio = option->aio,
                                              .fault_rules = session->options.fault,
                                              .fault_rule_count = session->options.fault_count};
        if (session->recorder)
            options.watcher = replay_recorder_watcher(session->recorder);
        if (session->stacks)
            options.watcher.stacks = (struct block_stacks){host_stacks_capture, session->stacks};
        session->drive[n] = block_drive_create(session->machine, &options, image, error);
        if (!session->drive[n])
            return STATUS_INVALID;
        block_drive_on_error(session->drive[n], on_io_error, session);
        block_drive_on_tray(session->drive[n], on_tray, session);
    }
    return STATUS_OK;
}

/* path: null in a replay, where the board's own name for it serves. */
static struct board_blob blob_of(const struct journal_blob *blob, const char *path)
{
    return (struct board_blob){.bytes = blob->bytes, .size_bytes = blob->size_bytes, .name = path};
}

static enum status create_board(struct session *session, struct error *error)
{
    const struct journal_config *config = session->machine_config;
    const struct run_options *options = &session->options;
    struct board_pc_options board = {
        .bios = blob_of(&config->bios, options->bios),
        .vgabios = blob_of(&config->vgabios, options->vgabios),
        .kernel = blob_of(&config->kernel, options->kernel),
        .initrd = blob_of(&config->initrd, options->initrd),
        .module_count = config->module_count,
        .append = config->append,
        .boot_order = config->boot_order,
        .boot_menu = config->boot_menu,
        .no_vga = config->no_vga,
        .debugcon = console_debugcon(session->console),
    };
    for (unsigned n = 0; n < config->module_count; n++) {
        board.modules[n] = blob_of(&config->module[n], NULL);
        board.module_args[n] = config->module_args[n];
    }
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++)
        board.drive[n] = (struct board_drive){session->drive[n], config->drive[n].at};
    for (unsigned n = 0; n < BOARD_SERIALS; n++)
        board.serial[n] = console_serial(session->console, n);
    return board_pc_create(session->machine, &board, error);
}

/* ---- character devices and monitors ---- */

static void on_escape(void *opaque, char letter)
{
    struct session *session = opaque;
    if (letter == 'x')
        control_end(session);
    else if (session->player)
        return; /* what the guest gets is in the journal */
    else if (letter == 'p')
        control_post(session, (struct input_message){.id = INPUT_POWER_BUTTON});
    else if (letter == 'r')
        control_post(session, (struct input_message){.id = INPUT_RESET_BUTTON});
}

static void on_ring(void *opaque)
{
    control_ring(opaque);
}

static enum status open_monitors(struct session *session, struct error *error)
{
    const struct run_options *options = &session->options;
    session->monitors = monitors_create(session, on_ring, session);
    for (unsigned n = 0; n < options->monitor_count; n++) {
        struct chardev *chardev = chardev_hub_find(session->hub, options->monitor[n].chardev);
        CHECK(chardev); /* options_chardev_complete has looked */
        enum status status = monitors_add(session->monitors, chardev, options->monitor[n].control, error);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status open_chardevs(struct session *session, enum options_use use, struct error *error)
{
    const struct run_options *options = &session->options;
    session->hub = chardev_hub_create(on_escape, session);
    for (unsigned n = 0; n < options->chardev_count; n++) {
        if (!chardev_hub_add(session->hub, &options->chardev[n], error))
            return STATUS_IO;
    }
    bool takes_input = use != OPTIONS_REPLAY || options->branch.then;
    session->console = console_open(options, session->hub, takes_input ? session->mailbox : NULL, error);
    return session->console ? open_monitors(session, error) : STATUS_INVALID;
}

/* With timing=model too where the host is not asked by plain calls. */
static enum status create_executor(struct session *session, enum options_use use, struct error *error)
{
    bool host = session->machine_config->timing == BLOCK_TIMING_HOST;
    enum status status = STATUS_OK;
    if (use == OPTIONS_REPLAY) {
        session->executor = host ? block_executor_deferred_create() : NULL;
        return STATUS_OK;
    }
    for (unsigned n = 0; n < JOURNAL_DRIVES && !host; n++)
        host = session->options.drive[n].aio != BLOCK_AIO_THREADS;
    if (host)
        session->executor = block_executor_threads_create(session->mailbox, EXECUTOR_THREADS);
    for (unsigned n = 0; n < JOURNAL_DRIVES && host && !status; n++)
        status = block_executor_threads_enable(session->executor, session->options.drive[n].aio, error);
    return status;
}

static enum status build(struct session *session, enum options_use use, struct block_image *images[JOURNAL_DRIVES],
                         struct error *error)
{
    session->mailbox = input_mailbox_create();
    media_init(session);
    enum status status = open_chardevs(session, use, error);
    if (status)
        return status;
    if (use == OPTIONS_REPLAY) {
        status = open_player(session, error);
        if (!status && session->options.branch.then)
            status = session_branch_prepare(session, error);
    } else {
        session->machine_config = &session->config;
        status = config_from_options(&session->config, &session->options, error);
        if (!status)
            status = accel_complete_config(&session->config, error);
        if (!status && session->hooks.config)
            session->hooks.config(session->hooks.opaque, &session->config);
        if (!status)
            status = open_images(session, images, error);
    }
    open_live(session);
    if (!status && session->options.branch.then)
        status = session_branch_open(session, error);
    if (!status && session->options.host_stacks && !(session->stacks = host_stacks_create(error)))
        status = STATUS_UNSUPPORTED;
    if (!status && (use == OPTIONS_RECORD || session->options.branch.then == BRANCH_RECORD))
        status = open_recorder(session, error);
    if (!status && session->branch && session->recorder)
        replay_branch_record(session->branch, session->recorder);
    if (!status && session->options.rerun)
        status = open_rerun(session, error);
    if (status)
        return status;
    status = create_executor(session, use, error);
    if (!status)
        status = create_machine(session, error);
    if (!status) {
        control_init(session);
        if (session->options.gdb)
            session->gdb = gdb_create(session, chardev_hub_find(session->hub, session->options.gdb));
    }
    if (!status)
        status = create_drives(session, images, error);
    if (!status)
        status = create_board(session, error);
    return status ? status : chardev_hub_start(session->hub, error);
}

int session_open(struct session *session, enum options_use use, int argc, char **argv)
{
    return session_open_observed(session, use, argc, argv, (struct trace_sink){NULL, NULL});
}

int session_open_observed(struct session *session, enum options_use use, int argc, char **argv,
                          struct trace_sink observer)
{
    return session_open_hooked(session, use, argc, argv, &(struct session_hooks){.observer = observer});
}

int session_open_hooked(struct session *session, enum options_use use, int argc, char **argv,
                        const struct session_hooks *hooks)
{
    struct block_image *images[JOURNAL_DRIVES] = {0};
    struct error error = {0};
    memset(session, 0, sizeof *session);
    session->hooks = *hooks;
    session->tee.second = hooks->observer;
    int code = options_parse(&session->options, use, argc, argv);
    if (code >= 0)
        return code;
    if (hooks->options)
        hooks->options(hooks->opaque, &session->options);
    session->show_progress = isatty(STDERR_FILENO) && !session->options.quiet;
    enum status status = build(session, use, images, &error);
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++)
        block_image_destroy(images[n]);
    if (status)
        return fail(&error);
    machine_reset(session->machine);
    return -1;
}

/* ---- running ---- */

static void show_progress(struct session *session, struct position position, uint64_t now_ns)
{
    char line[160], count[32];
    double seconds = (double)(now_ns - session->start_ns) / 1e9;
    double mips = seconds > 0 ? (double)position.icount / seconds / 1e6 : 0;
    if (session->player && session->end.icount != POSITION_NEVER && session->end.icount) {
        double part = (double)position.icount / (double)session->end.icount;
        double left = part > 0 ? seconds * (1 - part) / part : 0;
        snprintf(line, sizeof line, "replay %.1f %%  %s instructions  %.0f MIPS  %.0f s left", part * 100,
                 format_count(position.icount, count, sizeof count), mips, left);
    } else {
        snprintf(line, sizeof line, "%s instructions  %.0f MIPS  virtual time %.3f s",
                 format_count(position.icount, count, sizeof count), mips, (double)position.vtime_ns / 1e9);
    }
    terminal_status(line);
}

static void on_slice(void *opaque, struct position position)
{
    struct session *session = opaque;
    if (session->recorder)
        replay_recorder_tick(session->recorder);
    console_flush(session->console);
    gdb_slice(session->gdb);
    control_slice(session);
    if (!session->show_progress)
        return;
    uint64_t now_ns = host_clock_ns();
    if (now_ns - session->progress_ns < PROGRESS_NS)
        return;
    session->progress_ns = now_ns;
    show_progress(session, position, now_ns);
}

static void catch_signals(struct sigaction saved[3])
{
    static const int signals[3] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal};
    for (int n = 0; n < 3; n++)
        sigaction(signals[n], &action, &saved[n]);
}

static void restore_signals(const struct sigaction saved[3])
{
    static const int signals[3] = {SIGINT, SIGTERM, SIGHUP};
    for (int n = 0; n < 3; n++)
        sigaction(signals[n], &saved[n], NULL);
}

static struct position run_limit(const struct session *session)
{
    struct position limit = MACHINE_NO_LIMIT;
    if (session->branch && session->player)
        return session->branch_at;
    if (session->player)
        limit = replay_player_end(session->player);
    if (session->options.limit_icount < limit.icount)
        limit = (struct position){session->options.limit_icount, 0};
    return limit;
}

/* A replay that went to its journal's end stopped for the recorded reason. */
static enum machine_stop replay_stop(struct session *session, enum machine_stop stop)
{
    uint64_t end_icount = replay_player_end(session->player).icount;
    session->partial =
        stop == MACHINE_STOP_HOST || (stop == MACHINE_STOP_LIMIT && session->options.limit_icount < end_icount);
    if (stop == MACHINE_STOP_LIMIT && !session->partial && replay_player_stop(session->player))
        return replay_player_stop(session->player);
    return stop;
}

/* ---- going about in a replay ---- */

static bool timeline_interrupted(void *opaque)
{
    const struct session *session = opaque;
    return session->control.signalled || gdb_wants_stop(session->gdb);
}

static void leave_words(void *opaque)
{
    ((struct session *)opaque)->control.set_back = true;
}

static void restore_words(void *opaque, const uint64_t word[CHECKPOINT_WORDS])
{
    struct session *session = opaque;
    console_restore(session->console, word);
    session->control.events_made = word[CONSOLE_WORDS];
    session->control.set_back = false;
    session->control.ended = MACHINE_STOP_NONE;
}

static void load_checkpoints(struct session *session)
{
    struct error error = {0};
    const char *path = session->options.checkpoint_file;
    enum status status = path ? timeline_load(session->timeline, path, &error) : STATUS_OK;
    if (status && status != STATUS_NOT_FOUND)
        tool_error("%s: not used", error.text);
}

/* Of a journal that is whole: the next session begins with them. */
static void save_checkpoints(struct session *session)
{
    struct error error = {0};
    const char *path = session->options.checkpoint_file;
    if (session->timeline && path && !replay_player_torn(session->player, NULL, 0) &&
        timeline_save(session->timeline, path, CHECKPOINTS_SAVED, &error))
        tool_error("%s", error.text);
}

/* For somebody who could ask for it, or for the file of checkpoints; a replay that only goes to its end pays nothing. */
static void make_timeline(struct session *session)
{
    struct error error = {0};
    struct timeline_options options = {.machine = session->machine,
                                       .player = session->player,
                                       .memory_bytes = session->options.checkpoint_bytes,
                                       .interrupted = timeline_interrupted,
                                       .leaves = leave_words,
                                       .save = save_words,
                                       .restore = restore_words,
                                       .opaque = session};
    bool wanted = control_has_company(session) || session->options.checkpoint_file;
    if (!session->player || session->branch || !wanted || session->options.follow || session->rerun ||
        !machine_accel(session->machine)->ops->hidden_save)
        return;
    if (!options.memory_bytes)
        options.memory_bytes = machine_ram_bytes(session->machine);
    session->timeline = timeline_create(&options, &error);
    if (session->timeline) {
        if (timeline_dropped(session->timeline))
            tool_error("%s: not used", timeline_dropped(session->timeline));
        gdb_allow_reverse(session->gdb);
        load_checkpoints(session);
    } else {
        tool_error("%s", error.text);
    }
}

enum machine_stop session_run(struct session *session)
{
    struct sigaction saved[3];
    bool debugged_replay = session->gdb && session->player;
    if (debugged_replay || (session->options.start_stopped && control_has_company(session))) {
        session->control.stopped = true;
    } else if (session->options.start_stopped) {
        tool_error("stopped before the first instruction; continue with `kill -CONT %d` or fg", (int)getpid());
        raise(SIGSTOP);
    }
    signal_session = session;
    catch_signals(saved);
    make_timeline(session);
    machine_set_slice_hook(session->machine, on_slice, session);
    session->start_ns = host_clock_ns();
    enum machine_stop stop = control_run(session, run_limit(session));
    if (session_branch_reached(session, stop) && session_branch_go_live(session))
        stop = control_run(session, run_limit(session));
    diversion_drop(session);
    session->progress_ns = host_clock_ns() - session->start_ns;
    session->interrupted = stop == MACHINE_STOP_HOST;
    if (session->player)
        stop = replay_stop(session, stop);
    bool whole_replay = session->player && !session->partial && stop == replay_player_stop(session->player);
    if (!session->player || whole_replay)
        machine_finish(session->machine, stop);
    session->digest = machine_digest_all(session->machine);
    control_say_end(session, stop);
    gdb_exited(session->gdb, session_exit_code(session, stop));
    restore_signals(saved);
    signal_session = NULL;
    console_flush(session->console);
    terminal_status(NULL);
    return stop;
}

int session_exit_code(const struct session *session, enum machine_stop stop)
{
    switch (stop) {
    case MACHINE_STOP_POWER_OFF:
    case MACHINE_STOP_RESET:
    case MACHINE_STOP_LIMIT:
    case MACHINE_STOP_HOST: return EXIT_CODE_OK;
    case MACHINE_STOP_DEBUG_EXIT: return machine_exit_code(session->machine);
    case MACHINE_STOP_DIVERGED: return EXIT_CODE_DIVERGED;
    default: return EXIT_CODE_FAILED;
    }
}

/* ---- the end ---- */

static void report_unimplemented(struct session *session)
{
    struct accel_unimplemented list[16];
    struct accel *accel = machine_accel(session->machine);
    size_t count = accel->ops->unimplemented(accel, list, 16);
    for (size_t n = 0; n < count && n < 16; n++)
        fprintf(stderr,
                "not implemented: %s, %" PRIu64 " times (the guest got %s), first at icount %" PRIu64 " rip %016" PRIx64
                "\n",
                list[n].name, list[n].count, list[n].fault, list[n].first_icount, list[n].first_rip);
    if (count > 16)
        fprintf(stderr, "not implemented: %zu more\n", count - 16);
}

void session_report(struct session *session, enum machine_stop stop)
{
    char count[32];
    struct position now = machine_position(session->machine);
    double seconds = (double)session->progress_ns / 1e9;
    const struct accel *accel = machine_accel(session->machine);
    if (stop == MACHINE_STOP_ERROR && accel->ops->error && accel->ops->error(accel)[0])
        tool_error("%s", accel->ops->error(accel));
    if (!session->options.quiet) {
        if (machine_counts_exits(session->machine))
            fprintf(stderr, "guest: %s after %s exits, %.3f s virtual, %.3f s host, digest %016" PRIx64 "\n",
                    machine_stop_name(stop), format_count(now.icount, count, sizeof count), (double)now.vtime_ns / 1e9,
                    seconds, session->digest);
        else
            fprintf(stderr,
                    "guest: %s after %s instructions, %.3f s virtual, %.3f s host, %.1f MIPS, digest %016" PRIx64 "\n",
                    machine_stop_name(stop), format_count(now.icount, count, sizeof count), (double)now.vtime_ns / 1e9,
                    seconds, seconds > 0 ? (double)now.icount / seconds / 1e6 : 0, session->digest);
        accel_report(accel, stderr);
        report_unimplemented(session);
    }
    if (session->options.dump_state)
        machine_dump_state(session->machine, stderr);
    if (session->options.screendump)
        screendump_write(session->machine, session->options.screendump);
}

int session_close(struct session *session, int code)
{
    save_checkpoints(session);
    chardev_hub_destroy(session->hub);
    gdb_destroy(session->gdb);
    console_close(session->console);
    monitors_destroy(session->monitors);
    terminal_status(NULL);
    control_fini(session);
    if (session->mailbox)
        input_mailbox_set_ring(session->mailbox, NULL, NULL);
    machine_destroy(session->machine);
    timeline_destroy(session->timeline);
    timeline_destroy(session->left);
    media_fini(session);
    session_branch_close(session);
    replay_recorder_destroy(session->recorder);
    rerun_destroy(session->rerun);
    host_stacks_destroy(session->stacks);
    replay_player_destroy(session->player);
    block_executor_destroy(session->executor);
    if (!session->hooks.input)
        input_destroy(session->live);
    input_mailbox_destroy(session->mailbox);
    journal_config_free(&session->config);
    options_free(&session->options);
    return session->control.unsaved && code != EXIT_CODE_DIVERGED ? EXIT_CODE_FAILED : code;
}
