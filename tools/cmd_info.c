/* vmrr info: what is in a journal; what this host can do is host_info.c's. */
#include "core/machine.h"
#include "replay/checkpoint_frames.h"
#include "replay/journal_config.h"
#include "tools/help.h"
#include "tools/host_info.h"
#include "tools/journal_walk.h"
#include "tools/tools.h"

#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

struct sizes {
    uint64_t frames, raw_bytes, packed_bytes; /* packed: headers included */
};

struct info {
    const char *path; /* of the journal, or of KVM's device file */
    bool json, host;
    struct journal_reader *reader;
    struct journal_config_reader config;
    struct sizes sizes[JOURNAL_FRAME_KIND_COUNT];
    struct checkpoint_frames *checkpoints;
    uint64_t trace[TRACE_KIND_COUNT];
    uint64_t input[INPUT_COUNT];
    uint64_t events;
    struct position last;
    bool have_stop;
    uint64_t stop, digest;
};

/* ---- gathering ---- */

static bool count_event(void *opaque, const struct journal_event *event)
{
    struct info *info = opaque;
    info->events++;
    if (event->type != JOURNAL_EVENT_TRACE) {
        info->input[event->input.id]++;
        return true;
    }
    info->trace[event->trace.kind]++;
    if (event->trace.kind == TRACE_END) {
        info->have_stop = true;
        info->stop = event->trace.address;
        info->digest = event->trace.value;
    }
    return true;
}

static void count_frames(struct info *info)
{
    info->checkpoints = checkpoint_frames_create(info->reader);
    for (size_t i = 0; i < journal_reader_count(info->reader); i++) {
        const struct journal_frame *frame = journal_reader_frame(info->reader, i);
        struct sizes *sizes = &info->sizes[frame->kind < JOURNAL_FRAME_KIND_COUNT ? frame->kind : 0];
        sizes->frames++;
        sizes->raw_bytes += frame->raw_bytes;
        sizes->packed_bytes += JOURNAL_FRAME_HEADER_BYTES + frame->packed_bytes;
        info->last = frame->last;
    }
}

static const char *stop_name(const struct info *info)
{
    return info->stop < MACHINE_STOP_COUNT ? machine_stop_name((enum machine_stop)info->stop) : "unknown";
}

/* Bytes for 1000 guest instructions. */
static double per_thousand(const struct info *info, uint64_t bytes)
{
    return info->last.icount ? (double)bytes * 1000 / (double)info->last.icount : 0;
}

/* ---- printing ---- */

static uint64_t blob_bytes(const struct info *info, const struct journal_blob *target)
{
    for (unsigned i = 0; i < info->config.blob_count; i++)
        if (info->config.blob[i].target == target)
            return info->config.blob[i].size_bytes;
    return 0;
}

static void print_blob(const struct info *info, const char *name, const struct journal_blob *blob)
{
    char size[32];
    uint64_t bytes = blob_bytes(info, blob);
    if (bytes)
        printf("  %-10s %s\n", name, format_bytes(bytes, size, sizeof size));
}

static void print_ways(const struct journal_config *config)
{
    if (config->ways & MACHINE_WAY_SYSCALL_FAULTS)
        printf("  %-10s SYSCALL leaves a cleared frame and CR2 = LSTAR, as on the host of the recording\n", "otherwise");
    if (config->ways & MACHINE_WAY_ROTATES_BY_CL)
        printf("  %-10s ROL and ROR by more than 1 leave OF as one by CL does, in the kernel and in 32-bit code\n", "otherwise");
    if (config->ways & MACHINE_WAY_FXSAVE_FILLS)
        printf("  %-10s FXSAVE in the kernel's 64-bit code writes zeroes behind XMM15\n", "otherwise");
    if (config->ways & MACHINE_WAY_TSC_FROZEN)
        printf("  %-10s RDTSC gives the virtual time of the last stop\n", "otherwise");
    if (config->ways & MACHINE_WAY_TSC_SITES)
        printf("  %-10s RDTSC is an input at CPL0 at:", "otherwise");
    else if (config->ways & MACHINE_WAY_TSC_PORT)
        printf("  %-10s RDTSC, RDRAND, RDSEED replaced at %u places of the kernel:", "otherwise",
               config->tsc_site_count);
    else
        return;
    for (uint32_t n = 0; n < config->tsc_site_count; n++)
        printf("%s%016" PRIx64, n % 6 ? " " : "\n             ", config->tsc_sites[n]);
    printf("\n");
}

static void print_machine(const struct info *info)
{
    const struct journal_config *config = &info->config.config;
    char size[32];
    printf("machine\n");
    printf("  %-10s %s\n", "recorder", config->creator ? config->creator : "unknown");
    printf("  %-10s %s, CPU model %s, %u CPUID leaves\n", "accel", config->accel, config->cpu.name, config->cpu.count);
    printf("  %-10s %s\n", "positions", config->counts_exits ? "exits" : "instructions");
    printf("  %-10s %s\n", "memory", format_bytes(config->ram_bytes, size, sizeof size));
    printf("  %-10s %s, seed %" PRIu64 "\n", "timing", config->timing ? "host" : "model", config->seed);
    print_blob(info, "firmware", &config->bios);
    print_blob(info, "video bios", &config->vgabios);
    print_blob(info, "kernel", &config->kernel);
    print_blob(info, "initrd", &config->initrd);
    for (uint32_t i = 0; i < config->module_count; i++)
        print_blob(info, "module", &config->module[i]);
    if (config->append)
        printf("  %-10s %s\n", "append", config->append);
    print_ways(config);
    for (unsigned i = 0; i < JOURNAL_DRIVES; i++)
        if (config->drive[i].present)
            printf("  drive %-4u %s %u, %s, %s, %" PRIu64 " sectors (%s)%s\n", i,
                   block_attach_name(config->drive[i].at.kind),
                   config->drive[i].at.slot ? config->drive[i].at.slot : config->drive[i].at.unit,
                   config->drive[i].path ? config->drive[i].path : "-",
                   config->drive[i].format ? config->drive[i].format : "-", config->drive[i].size_sectors,
                   format_bytes(config->drive[i].size_sectors * 512, size, sizeof size),
                   config->drive[i].read_only ? ", read-only" : "");
}

static void print_parent(const struct journal_parent *parent)
{
    if (!parent->present)
        return;
    printf("branch\n");
    printf("  %-10s %s, identity %016" PRIx64 "%016" PRIx64 "\n", "parent", parent->path, parent->hash[1],
           parent->hash[0]);
    printf("  %-10s icount %" PRIu64 ", virtual time %" PRIu64 " ns, or the next instant\n", "from",
           parent->position.icount, parent->position.vtime_ns);
    if (parent->changes)
        printf("  %-10s %s\n", "changed", parent->changes);
}

static void print_checkpoints(const struct info *info)
{
    size_t count = checkpoint_frames_count(info->checkpoints);
    char first[32], last[32];
    if (count)
        printf("  %-10s %zu checkpoints, from %s to %s\n", "begins at", count,
               format_count(checkpoint_frames_entry(info->checkpoints, 0)->head.position.icount, first, sizeof first),
               format_count(checkpoint_frames_entry(info->checkpoints, count - 1)->head.position.icount, last, sizeof last));
    if (checkpoint_frames_fault(info->checkpoints))
        printf("  %-10s %s\n", "not used", checkpoint_frames_fault(info->checkpoints));
}

static void print_run(const struct info *info)
{
    const char *torn = journal_reader_torn(info->reader);
    char count[32];
    printf("run\n");
    printf("  %-10s %s instructions, %.6f s of virtual time\n", "length",
           format_count(info->last.icount, count, sizeof count), (double)info->last.vtime_ns / 1e9);
    if (info->have_stop)
        printf("  %-10s %s, digest %016" PRIx64 "\n", "ended", stop_name(info), info->digest);
    else
        printf("  %-10s not in the journal\n", "ended");
    if (!torn)
        printf("  %-10s whole\n", "journal");
    else
        printf("  %-10s %s: %s\n", "journal",
               journal_reader_writer_lives(info->reader) ? "still being recorded" : "torn", torn);
    print_checkpoints(info);
}

static void print_events(const struct info *info)
{
    char count[32];
    printf("events     %s\n", format_count(info->events, count, sizeof count));
    for (unsigned kind = 1; kind < TRACE_KIND_COUNT; kind++)
        if (info->trace[kind])
            printf("  %-26s %14s\n", trace_kind_name((enum trace_kind)kind),
                   format_count(info->trace[kind], count, sizeof count));
    for (unsigned id = 0; id < INPUT_COUNT; id++)
        if (info->input[id])
            printf("  input %-20s %14s\n", input_row((enum input_id)id)->name,
                   format_count(info->input[id], count, sizeof count));
}

static void print_sizes(const struct info *info)
{
    char raw[32], packed[32];
    printf("sizes                frames            raw         packed   raw, packed bytes per 1000 instructions\n");
    for (unsigned kind = 0; kind < JOURNAL_FRAME_KIND_COUNT; kind++) {
        const struct sizes *sizes = &info->sizes[kind];
        if (!sizes->frames)
            continue;
        printf("  %-14s %10" PRIu64 " %14s %14s", journal_frame_kind_name(kind), sizes->frames,
               format_bytes(sizes->raw_bytes, raw, sizeof raw),
               format_bytes(sizes->packed_bytes, packed, sizeof packed));
        if (kind == JOURNAL_FRAME_EVENTS)
            printf("   %.4f, %.4f", per_thousand(info, sizes->raw_bytes), per_thousand(info, sizes->packed_bytes));
        printf("\n");
    }
    printf("  %-14s %25s %14s\n", "file", "", format_bytes(journal_reader_size(info->reader), packed, sizeof packed));
}

/* ---- JSON ---- */

static void set_number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static void set_string(json_t *object, const char *key, const char *value)
{
    json_object_set_new(object, key, value ? json_string(value) : json_null());
}

static json_t *json_sites(const struct journal_config *config)
{
    json_t *list = json_array();
    char text[24];
    for (uint32_t n = 0; n < config->tsc_site_count; n++) {
        snprintf(text, sizeof text, "0x%016" PRIx64, config->tsc_sites[n]);
        json_array_append_new(list, json_string(text));
    }
    return list;
}

static json_t *json_machine(const struct info *info)
{
    const struct journal_config *config = &info->config.config;
    json_t *machine = json_object(), *drives = json_array();
    set_string(machine, "creator", config->creator);
    set_number(machine, "ways", config->ways);
    json_object_set_new(machine, "tsc_sites", json_sites(config));
    set_string(machine, "accel", config->accel);
    set_string(machine, "positions", config->counts_exits ? "exits" : "instructions");
    set_string(machine, "cpu", config->cpu.name);
    set_number(machine, "ram_bytes", config->ram_bytes);
    set_string(machine, "timing", config->timing ? "host" : "model");
    set_number(machine, "seed", config->seed);
    set_string(machine, "append", config->append);
    set_number(machine, "bios_bytes", blob_bytes(info, &config->bios));
    set_number(machine, "kernel_bytes", blob_bytes(info, &config->kernel));
    set_number(machine, "initrd_bytes", blob_bytes(info, &config->initrd));
    for (unsigned i = 0; i < JOURNAL_DRIVES; i++) {
        if (!config->drive[i].present)
            continue;
        json_t *drive = json_object();
        set_number(drive, "index", i);
        set_string(drive, "attached", block_attach_name(config->drive[i].at.kind));
        set_number(drive, "unit", config->drive[i].at.unit);
        set_number(drive, "slot", config->drive[i].at.slot);
        if (config->drive[i].at.serial[0])
            set_string(drive, "serial", config->drive[i].at.serial);
        set_string(drive, "path", config->drive[i].path);
        set_string(drive, "format", config->drive[i].format);
        set_number(drive, "sectors", config->drive[i].size_sectors);
        json_object_set_new(drive, "read_only", json_boolean(config->drive[i].read_only));
        json_array_append_new(drives, drive);
    }
    json_object_set_new(machine, "drives", drives);
    return machine;
}

static json_t *json_parent(const struct journal_parent *parent)
{
    char identity[40];
    json_t *object = json_object();
    if (!parent->present) {
        json_decref(object);
        return json_null();
    }
    snprintf(identity, sizeof identity, "0x%016" PRIx64 "%016" PRIx64, parent->hash[1], parent->hash[0]);
    set_string(object, "path", parent->path);
    set_string(object, "identity", identity);
    set_number(object, "icount", parent->position.icount);
    set_number(object, "vtime_ns", parent->position.vtime_ns);
    set_string(object, "changes", parent->changes);
    return object;
}

static json_t *json_checkpoints(const struct info *info)
{
    json_t *list = json_array();
    for (size_t n = 0; n < checkpoint_frames_count(info->checkpoints); n++)
        json_array_append_new(
            list, json_integer((json_int_t)checkpoint_frames_entry(info->checkpoints, n)->head.position.icount));
    return list;
}

static json_t *json_events(const struct info *info)
{
    json_t *events = json_object();
    for (unsigned kind = 1; kind < TRACE_KIND_COUNT; kind++)
        if (info->trace[kind])
            set_number(events, trace_kind_name((enum trace_kind)kind), info->trace[kind]);
    for (unsigned id = 0; id < INPUT_COUNT; id++) {
        char key[64];
        snprintf(key, sizeof key, "input-%s", input_row((enum input_id)id)->name);
        if (info->input[id])
            set_number(events, key, info->input[id]);
    }
    return events;
}

static json_t *json_sizes(const struct info *info)
{
    json_t *all = json_object();
    for (unsigned kind = 0; kind < JOURNAL_FRAME_KIND_COUNT; kind++) {
        if (!info->sizes[kind].frames)
            continue;
        json_t *sizes = json_object();
        set_number(sizes, "frames", info->sizes[kind].frames);
        set_number(sizes, "raw_bytes", info->sizes[kind].raw_bytes);
        set_number(sizes, "packed_bytes", info->sizes[kind].packed_bytes);
        json_object_set_new(all, journal_frame_kind_name(kind), sizes);
    }
    return all;
}

static void print_json(const struct info *info)
{
    const char *torn = journal_reader_torn(info->reader);
    const struct sizes *events = &info->sizes[JOURNAL_FRAME_EVENTS];
    char digest[24];
    json_t *object = json_object();
    snprintf(digest, sizeof digest, "0x%016" PRIx64, info->digest);
    json_object_set_new(object, "machine", json_machine(info));
    json_object_set_new(object, "parent", json_parent(&info->config.config.parent));
    set_number(object, "icount", info->last.icount);
    set_number(object, "vtime_ns", info->last.vtime_ns);
    set_string(object, "stop", info->have_stop ? stop_name(info) : NULL);
    set_string(object, "digest", info->have_stop ? digest : NULL);
    set_string(object, "torn", torn);
    json_object_set_new(object, "checkpoints", json_checkpoints(info));
    set_number(object, "event_count", info->events);
    json_object_set_new(object, "events", json_events(info));
    json_object_set_new(object, "sizes", json_sizes(info));
    json_object_set_new(object, "event_raw_bytes_per_kinsn", json_real(per_thousand(info, events->raw_bytes)));
    json_object_set_new(object, "event_packed_bytes_per_kinsn", json_real(per_thousand(info, events->packed_bytes)));
    set_number(object, "file_bytes", journal_reader_size(info->reader));
    json_dumpf(object, stdout, JSON_INDENT(2) | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(object);
}

static int parse_options(struct info *info, int argc, char **argv)
{
    static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                            {"host", optional_argument, NULL, 'H'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case 'j': info->json = true; break;
        case 'H':
            info->host = true;
            info->path = optarg;
            break;
        case 'h': help_print("info"); return EXIT_CODE_OK;
        default: return EXIT_CODE_USAGE;
        }
    }
    if (info->host) {
        if (optind == argc)
            return host_info_print(info->path, info->json);
        tool_error("info: --host is about no journal; see vmrr info --help");
        return EXIT_CODE_USAGE;
    }
    if (optind + 1 != argc) {
        tool_error("info: expected one journal; see vmrr info --help");
        return EXIT_CODE_USAGE;
    }
    info->path = argv[optind];
    return -1;
}

int cmd_info(int argc, char **argv)
{
    struct info *info = calloc(1, sizeof *info);
    struct error error = {{0}};
    if (!info)
        return EXIT_CODE_FAILED;
    int code = parse_options(info, argc, argv);
    if (code < 0) {
        info->reader = journal_reader_open(info->path, &error);
        enum status status =
            info->reader ? journal_walk_config_reader(info->reader, &info->config, &error) : STATUS_CORRUPT;
        if (!status)
            status = journal_walk(info->reader, 0, UINT64_MAX, count_event, info, &error);
        code = status ? EXIT_CODE_USAGE : EXIT_CODE_OK;
        if (status) {
            tool_error("%s", error.text[0] ? error.text : status_name(status));
        } else {
            count_frames(info);
            if (info->json) {
                print_json(info);
            } else {
                printf("%s\n", info->path);
                print_machine(info);
                print_parent(&info->config.config.parent);
                print_run(info);
                print_events(info);
                print_sizes(info);
            }
        }
    }
    checkpoint_frames_destroy(info->checkpoints);
    journal_config_free(&info->config.config);
    journal_reader_destroy(info->reader);
    free(info);
    return code;
}
