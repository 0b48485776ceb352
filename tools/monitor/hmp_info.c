/* The info commands that look at the run and at state as it is saved: block, chardev, replay, devices, interrupts. */
#include "tools/monitor/hmp.h"

#include "tools/qmp/commands.h"
#include "tools/session.h"
#include "tools/version.h"

#include <inttypes.h>
#include <string.h>

static void info_status(struct session *session, const char *words, FILE *out)
{
    (void)words;
    const char *state = control_state(session);
    if (!session->control.stopped)
        fprintf(out, "VM status: running\n");
    else if (strcmp(state, "paused"))
        fprintf(out, "VM status: paused (%s)\n", state);
    else
        fprintf(out, "VM status: paused\n");
}

static void info_version(struct session *session, const char *words, FILE *out)
{
    (void)session;
    (void)words;
    fprintf(out, "%s\n", VMRR_VERSION);
}

static void info_name(struct session *session, const char *words, FILE *out)
{
    (void)words;
    if (session->options.guest_name)
        fprintf(out, "%s\n", session->options.guest_name);
}

static void info_chardev(struct session *session, const char *words, FILE *out)
{
    struct chardev *chardev;
    char name[4352];
    (void)words;
    for (unsigned n = 0; (chardev = chardev_hub_at(session->hub, n)); n++)
        fprintf(out, "%s: filename=%s\n", chardev_label(chardev), chardev_describe(chardev, name, sizeof name));
}

static void info_replay(struct session *session, const char *words, FILE *out)
{
    (void)words;
    uint64_t icount = machine_position(session->machine).icount;
    if (session->recorder)
        fprintf(out, "Recording execution '%s': instruction count = %" PRIu64 "\n", session->options.output, icount);
    else if (session->player)
        fprintf(out, "Replaying execution '%s': instruction count = %" PRIu64 " of %" PRIu64 "\n",
                session->options.input, icount, replay_player_end(session->player).icount);
    else
        fprintf(out, "Record/replay is not active: instruction count = %" PRIu64 "\n", icount);
    if (session->player && session->control.break_icount != POSITION_NEVER)
        fprintf(out, "Breakpoint at %" PRIu64 "\n", session->control.break_icount);
}

/* ---- block ---- */

static const char *member(const json_t *value, const char *name)
{
    const char *text = json_string_value(json_object_get(value, name));
    return text ? text : "";
}

static json_t *ask(struct session *session, qmp_command_fn *query)
{
    struct qmp_result result = {0};
    json_t *none = json_object();
    query(session, none, &result);
    json_decref(none);
    return result.value;
}

static bool is_true(const json_t *value, const char *name)
{
    return json_is_true(json_object_get(value, name));
}

static void print_limits(const json_t *inserted, FILE *out)
{
    static const char *const names[] = {"bps",         "bps_rd",      "bps_wr",   "bps_max", "bps_rd_max",
                                        "bps_wr_max",  "iops",        "iops_rd",  "iops_wr", "iops_max",
                                        "iops_rd_max", "iops_wr_max", "iops_size"};
    fprintf(out, "    I/O throttling:  ");
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++)
        fprintf(out, " %s=%" PRId64, names[n], (int64_t)json_integer_value(json_object_get(inserted, names[n])));
    fprintf(out, " group=%s\n", member(inserted, "group"));
}

static void print_inserted(const json_t *inserted, FILE *out)
{
    json_t *cache = json_object_get(inserted, "cache");
    fprintf(out, "    Cache mode:       %s%s%s\n", is_true(cache, "writeback") ? "writeback" : "writethrough",
            is_true(cache, "direct") ? ", direct" : "", is_true(cache, "no-flush") ? ", ignore flushes" : "");
    if (json_object_get(inserted, "backing_file"))
        fprintf(out, "    Backing file:     %s (chain depth: %" PRId64 ")\n", member(inserted, "backing_file"),
                (int64_t)json_integer_value(json_object_get(inserted, "backing_file_depth")));
    if (strcmp(member(inserted, "detect_zeroes"), "off"))
        fprintf(out, "    Detect zeroes:    %s\n", member(inserted, "detect_zeroes"));
    if (json_object_get(inserted, "group"))
        print_limits(inserted, out);
}

static void print_drive(const json_t *drive, bool verbose, FILE *out)
{
    json_t *inserted = json_object_get(drive, "inserted");
    fprintf(out, "%s", member(drive, "device"));
    if (inserted)
        fprintf(out, " (%s): %s (%s%s)\n", member(inserted, "node-name"), member(inserted, "file"),
                member(inserted, "drv"), is_true(inserted, "ro") ? ", read-only" : "");
    else
        fprintf(out, ": [not inserted]\n");
    fprintf(out, "    Attached to:      %s\n", member(drive, "qdev"));
    if (json_object_get(drive, "io-status") && strcmp(member(drive, "io-status"), "ok"))
        fprintf(out, "    I/O status:       %s\n", member(drive, "io-status"));
    if (is_true(drive, "removable"))
        fprintf(out, "    Removable device: %slocked, tray %s\n", is_true(drive, "locked") ? "" : "not ",
                is_true(drive, "tray_open") ? "open" : "closed");
    if (inserted)
        print_inserted(inserted, out);
    if (inserted && verbose)
        hmp_print_images(json_object_get(inserted, "image"), out);
}

static void info_block(struct session *session, const char *words, FILE *out)
{
    size_t n;
    json_t *list = ask(session, qmp_query_block), *drive;
    bool verbose = !strncmp(words, "-v", 2) && (!words[2] || words[2] == ' ');
    words += verbose ? 2 + strspn(words + 2, " ") : 0;
    bool found = !*words;
    json_array_foreach(list, n, drive)
    {
        if (*words && strcmp(words, member(drive, "device")))
            continue;
        if (n && !*words)
            fputc('\n', out);
        found = true;
        print_drive(drive, verbose, out);
    }
    if (!found)
        fprintf(out, "Device '%s' not found\n", words);
    json_decref(list);
}

static void info_blockstats(struct session *session, const char *words, FILE *out)
{
    static const char *const shown[] = {
        "rd_bytes",         "wr_bytes",         "rd_operations",    "wr_operations",
        "flush_operations", "wr_total_time_ns", "rd_total_time_ns", "flush_total_time_ns",
        "rd_merged",        "wr_merged",        "idle_time_ns"};
    size_t n;
    json_t *list = ask(session, qmp_query_blockstats), *drive;
    (void)words;
    json_array_foreach(list, n, drive)
    {
        json_t *stats = json_object_get(drive, "stats");
        fprintf(out, "%s:", member(drive, "device"));
        for (size_t m = 0; m < sizeof shown / sizeof shown[0]; m++)
            fprintf(out, " %s=%" PRId64, shown[m], (int64_t)json_integer_value(json_object_get(stats, shown[m])));
        fputc('\n', out);
    }
    json_decref(list);
}

/* ---- devices ---- */

static void dump_device(struct session *session, const char *id, FILE *out)
{
    struct device *device = machine_device_find(session->machine, id);
    if (device && device->class->fields)
        state_dump(device->class->fields, device, id, out);
    else if (!device)
        fprintf(out, "%s: not in this machine\n", id);
}

static void info_pic(struct session *session, const char *words, FILE *out)
{
    (void)words;
    dump_device(session, "pic", out);
    dump_device(session, "ioapic", out);
}

static void info_lapic(struct session *session, const char *words, FILE *out)
{
    (void)words;
    dump_device(session, "lapic", out);
}

static void info_irq(struct session *session, const char *words, FILE *out)
{
    struct accel_statistics statistics = {0};
    struct accel *accel = machine_accel(session->machine);
    (void)words;
    accel->ops->statistics(accel, &statistics);
    fprintf(out, "CPU: %" PRIu64 " interrupts, %" PRIu64 " exceptions\n", statistics.interrupts, statistics.exceptions);
    dump_device(session, "pic", out);
    dump_device(session, "lapic", out);
}

static void info_device(struct session *session, const char *words, FILE *out)
{
    dump_device(session, words, out);
}

static void info_qtree(struct session *session, const char *words, FILE *out)
{
    struct device *device = machine_device_first(session->machine);
    (void)words;
    for (; device; device = device->next)
        fprintf(out, "dev: %s, id \"%s\", %zu bytes of state\n", device->class->name, device->id,
                device->class->fields ? state_size(device->class->fields) : 0);
}

const struct hmp_command hmp_info_commands[] = {
    {"block", "[-v] [device]", "the drives; -v: with what stands in their images", info_block, false},
    {"blockstats", "", "what the drives have done", info_blockstats, false},
    {"chardev", "", "the character devices", info_chardev, false},
    {"device", "id", "the whole state of a device (info qtree has the ids)", info_device, false},
    {"irq", "", "how many interrupts there were, and what is pending", info_irq, false},
    {"lapic", "", "the local APIC", info_lapic, false},
    {"mem", "", "the ranges of linear addresses that are mapped", hmp_info_mem, false},
    {"mtree", "", "what lies where: memory, MMIO, ports", hmp_info_mtree, false},
    {"name", "", "the name given with -name", info_name, false},
    {"pci", "", "the functions of the PCI bus", hmp_info_pci, false},
    {"pic", "", "the interrupt controllers", info_pic, false},
    {"qtree", "", "the devices", info_qtree, false},
    {"registers", "", "the CPU's registers", hmp_info_registers, false},
    {"replay", "", "record or replay, and where", info_replay, false},
    {"status", "", "running or stopped", info_status, false},
    {"timeline", "", "checkpoints of a replay", hmp_info_timeline, false},
    {"tlb", "", "each mapping of a linear to a physical address", hmp_info_tlb, false},
    {"version", "", "the version of vmrr", info_version, false},
};
const size_t hmp_info_command_count = sizeof hmp_info_commands / sizeof hmp_info_commands[0];
