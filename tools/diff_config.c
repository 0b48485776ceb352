/* vmrr diff: the machines' configuration, row by row. What the guest can tell makes the runs different; how it was run (seed,
 * timing, file names, who recorded) is shown only. */
#include "tools/device_names.h"
#include "tools/diff.h"
#include "tools/json_text.h"

#include <inttypes.h>
#include <string.h>

struct rows {
    struct diff *diff;
    json_t *list;
    const char *name;
    bool guest; /* the guest can tell */
};

static void row(struct rows *rows, const char *a, const char *b)
{
    if (!strcmp(a ? a : "", b ? b : ""))
        return;
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(rows->name));
    json_object_set_new(object, "a", a ? json_text(a, strlen(a)) : json_null());
    json_object_set_new(object, "b", b ? json_text(b, strlen(b)) : json_null());
    json_object_set_new(object, "guest", json_boolean(rows->guest));
    json_array_append_new(rows->list, object);
    rows->diff->different |= rows->guest;
}

static void text_row(struct rows *rows, bool guest, const char *name, const char *a, const char *b)
{
    rows->name = name;
    rows->guest = guest;
    row(rows, a, b);
}

static void number_row(struct rows *rows, bool guest, const char *name, uint64_t a, uint64_t b)
{
    char text[2][24];
    snprintf(text[0], sizeof text[0], "%" PRIu64, a);
    snprintf(text[1], sizeof text[1], "%" PRIu64, b);
    text_row(rows, guest, name, text[0], text[1]);
}

/* ---- CPU ---- */

static const struct cpu_model_leaf *find_leaf(const struct cpu_model *cpu, const struct cpu_model_leaf *like)
{
    for (uint32_t n = 0; n < cpu->count && n < CPU_MODEL_LEAVES_MAX; n++) {
        if (cpu->leaf[n].leaf == like->leaf && cpu->leaf[n].subleaf == like->subleaf)
            return &cpu->leaf[n];
    }
    return NULL;
}

static void leaf_text(const struct cpu_model_leaf *leaf, char *out, size_t size)
{
    if (leaf)
        snprintf(out, size, "%08x %08x %08x %08x", leaf->eax, leaf->ebx, leaf->ecx, leaf->edx);
    else
        snprintf(out, size, "none");
}

static void leaf_row(struct rows *rows, const struct cpu_model_leaf *a, const struct cpu_model_leaf *b)
{
    const struct cpu_model_leaf *either = a ? a : b;
    char name[40], text[2][48];
    snprintf(name, sizeof name, "cpuid %x.%x", either->leaf, either->subleaf);
    leaf_text(a, text[0], sizeof text[0]);
    leaf_text(b, text[1], sizeof text[1]);
    text_row(rows, true, name, text[0], text[1]);
}

static void cpu_rows(struct rows *rows, const struct cpu_model *a, const struct cpu_model *b)
{
    text_row(rows, false, "cpu", a->name, b->name); /* the leaves say what it is */
    for (uint32_t n = 0; n < a->count; n++)
        leaf_row(rows, &a->leaf[n], find_leaf(b, &a->leaf[n]));
    for (uint32_t n = 0; n < b->count; n++) {
        if (!find_leaf(a, &b->leaf[n]))
            leaf_row(rows, NULL, &b->leaf[n]);
    }
}

/* ---- files ---- */

static void blob_text(const struct journal_config_reader *config, size_t offset, char *out, size_t size)
{
    const char *place = (const char *)&config->config + offset;
    snprintf(out, size, "none");
    for (unsigned n = 0; n < config->blob_count; n++) {
        const struct journal_config_blob *blob = &config->blob[n];
        if ((const char *)blob->target == place)
            snprintf(out, size, "%" PRIu64 " bytes, hash %016" PRIx64 "%016" PRIx64, blob->size_bytes, blob->hash.high,
                     blob->hash.low);
    }
}

static void blob_row(struct rows *rows, const char *name, size_t offset)
{
    char text[2][80];
    for (unsigned side = 0; side < 2; side++)
        blob_text(&rows->diff->config[side], offset, text[side], sizeof text[side]);
    text_row(rows, true, name, text[0], text[1]);
}

static void blob_rows(struct rows *rows)
{
    const struct journal_config *config[2] = {&rows->diff->config[0].config, &rows->diff->config[1].config};
    blob_row(rows, "bios", offsetof(struct journal_config, bios));
    blob_row(rows, "vgabios", offsetof(struct journal_config, vgabios));
    blob_row(rows, "kernel", offsetof(struct journal_config, kernel));
    blob_row(rows, "initrd", offsetof(struct journal_config, initrd));
    for (uint32_t n = 0; n < config[0]->module_count || n < config[1]->module_count; n++) {
        char name[32];
        snprintf(name, sizeof name, "module %u", n);
        blob_row(rows, name, offsetof(struct journal_config, module) + n * sizeof(struct journal_blob));
        snprintf(name, sizeof name, "module %u arguments", n);
        text_row(rows, true, name, config[0]->module_args[n], config[1]->module_args[n]);
    }
}

/* ---- drives ---- */

static void drive_text(const struct journal_drive *drive, char *out, size_t size)
{
    char device[32];
    device_name(&drive->at, device, sizeof device);
    if (drive->present)
        snprintf(out, size, "%s %s, %" PRIu64 " sectors%s%s%s%s%s", block_attach_name(drive->at.kind), device,
                 drive->size_sectors, drive->read_only ? ", read-only" : "", drive->at.serial[0] ? ", serial " : "",
                 drive->at.serial, drive->policy.write_through ? ", write-through" : "",
                 drive->policy.keep_discarded ? ", discard=ignore" : "");
    else
        snprintf(out, size, "none");
}

static void drive_rows(struct rows *rows, unsigned index, const struct journal_drive *a, const struct journal_drive *b)
{
    char name[32], text[2][192];
    drive_text(a, text[0], sizeof text[0]);
    drive_text(b, text[1], sizeof text[1]);
    snprintf(name, sizeof name, "drive %u", index);
    text_row(rows, true, name, text[0], text[1]);
    if (!a->present || !b->present)
        return;
    snprintf(name, sizeof name, "drive %u file", index);
    text_row(rows, false, name, a->path, b->path);
    snprintf(name, sizeof name, "drive %u format", index);
    text_row(rows, false, name, a->format, b->format);
    snprintf(name, sizeof name, "drive %u faults", index);
    text_row(rows, false, name, a->policy.asks_faults ? "yes" : "no", b->policy.asks_faults ? "yes" : "no");
    snprintf(name, sizeof name, "drive %u limits", index);
    bool same = !memcmp(&a->policy.throttle, &b->policy.throttle, sizeof a->policy.throttle) &&
                a->policy.rerror == b->policy.rerror && a->policy.werror == b->policy.werror;
    text_row(rows, false, name, "throttling, rerror, werror", same ? "throttling, rerror, werror" : "others");
}

void diff_config(struct diff *diff)
{
    const struct journal_config *a = &diff->config[0].config, *b = &diff->config[1].config;
    struct rows rows = {.diff = diff, .list = json_array()};
    json_object_set_new(diff->report, "config", rows.list);
    text_row(&rows, false, "recorder", a->creator, b->creator);
    text_row(&rows, false, "accelerator", a->accel, b->accel);
    text_row(&rows, false, "positions count", a->counts_exits ? "exits" : "instructions",
             b->counts_exits ? "exits" : "instructions");
    cpu_rows(&rows, &a->cpu, &b->cpu);
    number_row(&rows, true, "memory bytes", a->ram_bytes, b->ram_bytes);
    text_row(&rows, true, "append", a->append, b->append);
    blob_rows(&rows);
    text_row(&rows, true, "boot order", a->boot_order, b->boot_order);
    number_row(&rows, true, "boot menu", a->boot_menu, b->boot_menu);
    text_row(&rows, true, "vga", a->no_vga ? "none" : "std", b->no_vga ? "none" : "std");
    number_row(&rows, false, "no-reboot", a->no_reboot, b->no_reboot);
    text_row(&rows, false, "timing", a->timing ? "host" : "model", b->timing ? "host" : "model");
    number_row(&rows, false, "seed", a->seed, b->seed);
    number_row(&rows, false, "checkpoint every", a->checkpoint_steps, b->checkpoint_steps);
    number_row(&rows, false, "digest version", a->digest_version, b->digest_version);
    for (unsigned n = 0; n < JOURNAL_DRIVES; n++)
        drive_rows(&rows, n, &a->drive[n], &b->drive[n]);
}
