/* The machine's configuration in the journal: a config frame of tagged fields, and blob frames (FORMAT.md, "Config frame",
 * "Blob frame"). */
#include "replay/journal_config.h"

#include <stdlib.h>

enum config_tag {
    TAG_CREATOR = 1,
    TAG_ACCEL,
    TAG_RAM,
    TAG_CPU_NAME,
    TAG_CPU_LEAF,
    TAG_CHECKPOINT_STEPS,
    TAG_FLAGS,
    TAG_BOOT_ORDER,
    TAG_APPEND,
    TAG_TIMING,
    TAG_SEED,
    TAG_BIOS,
    TAG_KERNEL,
    TAG_INITRD,
    TAG_MODULE,
    TAG_DRIVE,
    TAG_VGABIOS,
    TAG_DIGEST_VERSION,
    TAG_DRIVE_POLICY,
    TAG_COUNTS_EXITS, /* 1; left out: steps are counted */
    TAG_WAYS,         /* left out: 0 */
    TAG_TRACE_KINDS = 0x80,
    TAG_DRIVE_NAMES,
    TAG_DRIVE_IMAGE,
    TAG_PARENT,
    TAG_TSC_SITES,
    TAG_SKIPPABLE = 0x80, /* this bit: an older reader passes over the field */
};

#define FLAG_NO_REBOOT 1u
#define FLAG_NO_VGA 2u
#define FLAG_BOOT_MENU 4u
#define FLAGS_ALL 7u
#define DRIVE_READ_ONLY 1u
#define DRIVE_PATH 2u
#define DRIVE_FORMAT 4u
#define DRIVE_ATTACHMENT 8u
#define DRIVE_FLAGS_ALL 15u
#define POLICY_WRITE_THROUGH 1u
#define POLICY_KEEP_DISCARDED 2u
#define POLICY_ASKS_FAULTS 4u
#define POLICY_FLAGS_ALL 7u
#define PARENT_CHANGES 1u
#define LEAF_BYTES 28u

void journal_config_free(struct journal_config *config)
{
    free(config->creator);
    free(config->accel);
    free(config->boot_order);
    free(config->append);
    free(config->tsc_sites);
    free(config->bios.bytes);
    free(config->vgabios.bytes);
    free(config->kernel.bytes);
    free(config->initrd.bytes);
    for (unsigned i = 0; i < JOURNAL_MODULES; i++) {
        free(config->module[i].bytes);
        free(config->module_args[i]);
    }
    for (unsigned i = 0; i < JOURNAL_DRIVES; i++) {
        free(config->drive[i].path);
        free(config->drive[i].format);
        free(config->drive[i].id);
        free(config->drive[i].qdev);
    }
    free(config->parent.path);
    free(config->parent.changes);
    memset(config, 0, sizeof *config);
}

/* ---- writing ---- */

static void put_bytes(struct byte_sink *sink, enum config_tag tag, const void *bytes, size_t size)
{
    byte_sink_put_u8(sink, (uint8_t)tag);
    byte_sink_put_varint(sink, size);
    byte_sink_put(sink, bytes, size);
}

static void put_string(struct byte_sink *sink, enum config_tag tag, const char *string)
{
    if (string)
        put_bytes(sink, tag, string, strlen(string));
}

static void put_number(struct byte_sink *sink, enum config_tag tag, uint64_t value)
{
    uint8_t bytes[10];
    put_bytes(sink, tag, bytes, varint_put(bytes, value));
}

static void put_blob_reference(struct byte_sink *sink, const struct journal_blob *blob)
{
    struct journal_hash hash = journal_hash128(blob->bytes, blob->size_bytes);
    byte_sink_put_u64(sink, hash.low);
    byte_sink_put_u64(sink, hash.high);
    byte_sink_put_varint(sink, blob->size_bytes);
}

static void put_blob(struct byte_sink *sink, enum config_tag tag, const struct journal_blob *blob)
{
    struct byte_sink field = {0};
    if (!blob->bytes)
        return;
    put_blob_reference(&field, blob);
    put_bytes(sink, tag, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_module(struct byte_sink *sink, const struct journal_blob *blob, const char *arguments)
{
    struct byte_sink field = {0};
    put_blob_reference(&field, blob);
    byte_sink_put_u8(&field, arguments != NULL);
    if (arguments)
        byte_sink_put(&field, arguments, strlen(arguments));
    put_bytes(sink, TAG_MODULE, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_counted_string(struct byte_sink *sink, const char *string)
{
    if (!string)
        return;
    byte_sink_put_varint(sink, strlen(string));
    byte_sink_put(sink, string, strlen(string));
}

/* Drives from before attachments were written: IDE disks, the unit the index. */
static bool plain_attachment(const struct block_attachment *at, unsigned index)
{
    return at->kind == BLOCK_ATTACH_IDE_DISK && at->unit == index && !at->flags && !at->serial[0];
}

static void put_attachment(struct byte_sink *sink, const struct block_attachment *at)
{
    byte_sink_put_varint(sink, at->kind);
    byte_sink_put_varint(sink, at->unit);
    byte_sink_put_varint(sink, at->slot);
    byte_sink_put_varint(sink, at->flags);
    put_counted_string(sink, at->serial);
}

static void put_drive(struct byte_sink *sink, unsigned index, const struct journal_drive *drive)
{
    struct byte_sink field = {0};
    byte_sink_put_varint(&field, index);
    byte_sink_put_varint(&field, (drive->read_only ? DRIVE_READ_ONLY : 0) | (drive->path ? DRIVE_PATH : 0) |
                                     (drive->format ? DRIVE_FORMAT : 0) |
                                     (plain_attachment(&drive->at, index) ? 0 : DRIVE_ATTACHMENT));
    byte_sink_put_varint(&field, drive->size_sectors);
    put_counted_string(&field, drive->path);
    put_counted_string(&field, drive->format);
    if (!plain_attachment(&drive->at, index))
        put_attachment(&field, &drive->at);
    put_bytes(sink, TAG_DRIVE, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_policy(struct byte_sink *sink, unsigned index, const struct block_policy *policy)
{
    struct byte_sink field = {0};
    byte_sink_put_varint(&field, index);
    byte_sink_put_varint(&field, (policy->write_through ? POLICY_WRITE_THROUGH : 0) |
                                     (policy->keep_discarded ? POLICY_KEEP_DISCARDED : 0) |
                                     (policy->asks_faults ? POLICY_ASKS_FAULTS : 0));
    byte_sink_put_varint(&field, policy->rerror);
    byte_sink_put_varint(&field, policy->werror);
    byte_sink_put_varint(&field, policy->throttle.iops_size_bytes);
    for (unsigned n = 0; n < BLOCK_LIMITS; n++) {
        byte_sink_put_varint(&field, policy->throttle.limit[n].average);
        byte_sink_put_varint(&field, policy->throttle.limit[n].maximum);
        byte_sink_put_varint(&field, policy->throttle.limit[n].burst_seconds);
    }
    put_bytes(sink, TAG_DRIVE_POLICY, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_names(struct byte_sink *sink, unsigned index, const struct journal_drive *drive)
{
    struct byte_sink field = {0};
    if (!drive->id || !drive->qdev)
        return;
    byte_sink_put_varint(&field, index);
    put_counted_string(&field, drive->id);
    put_counted_string(&field, drive->qdev);
    put_bytes(sink, TAG_DRIVE_NAMES, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_make(struct byte_sink *sink, unsigned index, const struct journal_image_make *make)
{
    struct byte_sink field = {0};
    if (!make->version)
        return;
    byte_sink_put_varint(&field, index);
    byte_sink_put_varint(&field, make->version);
    byte_sink_put_varint(&field, make->cluster_bits);
    byte_sink_put_varint(&field, make->refcount_bits);
    byte_sink_put_varint(&field, make->flags);
    put_bytes(sink, TAG_DRIVE_IMAGE, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_cpu(struct byte_sink *sink, const struct cpu_model *cpu)
{
    put_bytes(sink, TAG_CPU_NAME, cpu->name, strnlen(cpu->name, sizeof cpu->name));
    for (uint32_t i = 0; i < cpu->count && i < CPU_MODEL_LEAVES_MAX; i++) {
        const struct cpu_model_leaf *leaf = &cpu->leaf[i];
        uint8_t bytes[LEAF_BYTES];
        le32_put(bytes, leaf->leaf);
        le32_put(bytes + 4, leaf->subleaf);
        le32_put(bytes + 8, leaf->has_subleaf);
        le32_put(bytes + 12, leaf->eax);
        le32_put(bytes + 16, leaf->ebx);
        le32_put(bytes + 20, leaf->ecx);
        le32_put(bytes + 24, leaf->edx);
        put_bytes(sink, TAG_CPU_LEAF, bytes, sizeof bytes);
    }
}

static void put_sites(struct byte_sink *sink, const struct journal_config *config)
{
    struct byte_sink field = {0};
    if (!config->tsc_site_count)
        return;
    for (uint32_t n = 0; n < config->tsc_site_count && n < JOURNAL_TSC_SITES_MAX; n++)
        byte_sink_put_u64(&field, config->tsc_sites[n]);
    put_bytes(sink, TAG_TSC_SITES, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_parent(struct byte_sink *sink, const struct journal_parent *parent)
{
    struct byte_sink field = {0};
    if (!parent->present)
        return;
    byte_sink_put_u64(&field, parent->hash[0]);
    byte_sink_put_u64(&field, parent->hash[1]);
    byte_sink_put_varint(&field, parent->position.icount);
    byte_sink_put_varint(&field, parent->position.vtime_ns);
    byte_sink_put_varint(&field, parent->changes ? PARENT_CHANGES : 0);
    put_counted_string(&field, parent->path ? parent->path : "");
    put_counted_string(&field, parent->changes);
    put_bytes(sink, TAG_PARENT, field.bytes, field.used);
    sink->failed |= field.failed;
    byte_sink_free(&field);
}

static void put_config(struct byte_sink *sink, const struct journal_config *config)
{
    put_string(sink, TAG_CREATOR, config->creator);
    put_string(sink, TAG_ACCEL, config->accel);
    put_number(sink, TAG_RAM, config->ram_bytes);
    put_cpu(sink, &config->cpu);
    put_number(sink, TAG_CHECKPOINT_STEPS, config->checkpoint_steps);
    put_number(sink, TAG_FLAGS,
               (config->no_reboot ? FLAG_NO_REBOOT : 0) | (config->no_vga ? FLAG_NO_VGA : 0) |
                   (config->boot_menu ? FLAG_BOOT_MENU : 0));
    put_string(sink, TAG_BOOT_ORDER, config->boot_order);
    put_string(sink, TAG_APPEND, config->append);
    put_number(sink, TAG_TIMING, config->timing);
    put_number(sink, TAG_SEED, config->seed);
    if (config->trace_kinds != TRACE_KINDS_FIRST)
        put_number(sink, TAG_TRACE_KINDS, config->trace_kinds ? config->trace_kinds : TRACE_KINDS_ALL);
    if (config->counts_exits)
        put_number(sink, TAG_COUNTS_EXITS, 1);
    if (config->ways)
        put_number(sink, TAG_WAYS, config->ways);
    put_sites(sink, config);
    put_number(sink, TAG_DIGEST_VERSION, MACHINE_DIGEST_VERSION);
    put_blob(sink, TAG_BIOS, &config->bios);
    put_blob(sink, TAG_VGABIOS, &config->vgabios);
    put_blob(sink, TAG_KERNEL, &config->kernel);
    put_blob(sink, TAG_INITRD, &config->initrd);
    for (uint32_t i = 0; i < config->module_count && i < JOURNAL_MODULES; i++)
        put_module(sink, &config->module[i], config->module_args[i]);
    for (unsigned i = 0; i < JOURNAL_DRIVES; i++)
        if (config->drive[i].present) {
            put_drive(sink, i, &config->drive[i]);
            put_policy(sink, i, &config->drive[i].policy);
            put_names(sink, i, &config->drive[i]);
            put_make(sink, i, &config->drive[i].make);
        }
    put_parent(sink, &config->parent);
}

static enum status write_blob(struct journal_writer *writer, const struct journal_blob *blob)
{
    struct journal_hash hash = journal_hash128(blob->bytes, blob->size_bytes);
    struct journal_frame_info info = {.kind = JOURNAL_FRAME_BLOB};
    enum status status = STATUS_OK;
    for (uint64_t at = 0; at < blob->size_bytes && !status; at += JOURNAL_BLOB_CHUNK) {
        uint64_t left = blob->size_bytes - at;
        struct byte_sink sink = {0};
        byte_sink_reserve(&sink, JOURNAL_FRAME_RAW_MAX);
        byte_sink_put_u64(&sink, hash.low);
        byte_sink_put_u64(&sink, hash.high);
        byte_sink_put_varint(&sink, blob->size_bytes);
        byte_sink_put_varint(&sink, at);
        byte_sink_put(&sink, blob->bytes + at, left < JOURNAL_BLOB_CHUNK ? left : JOURNAL_BLOB_CHUNK);
        status = sink.failed ? STATUS_NO_MEMORY : journal_writer_frame(writer, &info, sink.bytes, sink.used);
        byte_sink_free(&sink);
    }
    return status;
}

static bool same_blob(const struct journal_blob *a, const struct journal_blob *b)
{
    return a->size_bytes == b->size_bytes && memcmp(a->bytes, b->bytes, a->size_bytes) == 0;
}

static unsigned list_blobs(const struct journal_config *config, const struct journal_blob *list[JOURNAL_BLOB_COUNT])
{
    unsigned count = 0;
    list[count++] = &config->bios;
    list[count++] = &config->vgabios;
    list[count++] = &config->kernel;
    list[count++] = &config->initrd;
    for (uint32_t i = 0; i < config->module_count && i < JOURNAL_MODULES; i++)
        list[count++] = &config->module[i];
    return count;
}

static enum status write_blobs(struct journal_writer *writer, const struct journal_config *config)
{
    const struct journal_blob *list[JOURNAL_BLOB_COUNT];
    unsigned count = list_blobs(config, list);
    for (unsigned i = 0; i < count; i++) {
        bool again = !list[i]->bytes || !list[i]->size_bytes;
        for (unsigned j = 0; j < i && !again; j++)
            again = list[j]->bytes && same_blob(list[i], list[j]);
        enum status status = again ? STATUS_OK : write_blob(writer, list[i]);
        if (status)
            return status;
    }
    return STATUS_OK;
}

static enum status check_limits(const struct journal_config *config, struct error *error)
{
    const struct journal_blob *list[JOURNAL_BLOB_COUNT];
    unsigned count = list_blobs(config, list);
    uint64_t total = 0;
    for (unsigned i = 0; i < count; i++) {
        total += list[i]->size_bytes;
        if (list[i]->size_bytes > JOURNAL_BLOB_MAX || total > JOURNAL_BLOBS_MAX)
            return error_status(error, STATUS_INVALID,
                                "firmware, kernel, initrd or module too large for a journal: at most 512 MiB each and "
                                "1 GiB together");
    }
    const char *const strings[] = {config->creator, config->accel,       config->boot_order,
                                   config->append,  config->parent.path, config->parent.changes};
    for (unsigned i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (strings[i] && strlen(strings[i]) > JOURNAL_STRING_MAX)
            return error_status(error, STATUS_INVALID, "option string too long for a journal: at most 65536 bytes");
    return STATUS_OK;
}

enum status journal_config_write(struct journal_writer *writer, const struct journal_config *config,
                                 struct error *error)
{
    enum status status = check_limits(config, error);
    if (status)
        return status;
    struct byte_sink sink = {0};
    put_config(&sink, config);
    struct journal_frame_info info = {.kind = JOURNAL_FRAME_CONFIG};
    status = sink.failed                         ? STATUS_NO_MEMORY
             : sink.used > JOURNAL_FRAME_RAW_MAX ? STATUS_INVALID
                                                 : journal_writer_frame(writer, &info, sink.bytes, sink.used);
    byte_sink_free(&sink);
    if (!status)
        status = write_blobs(writer, config);
    if (status)
        error_set(error, "can't write the configuration: %s", status_name(status));
    return status;
}

/* ---- reading ---- */

struct field {
    struct byte_source source;
    uint8_t tag;
    const char *fault; /* null: well-formed so far */
};

static char *take_string(struct field *field, uint64_t size)
{
    const uint8_t *at = size <= JOURNAL_STRING_MAX ? byte_source_take(&field->source, size) : NULL;
    if (!at || memchr(at, 0, size)) {
        field->fault = "expected a string of at most 65536 bytes without NUL";
        return NULL;
    }
    char *string = malloc(size + 1);
    CHECK(string);
    memcpy(string, at, size);
    string[size] = 0;
    return string;
}

static void get_string(struct field *field, char **target)
{
    if (*target)
        field->fault = "expected once";
    else
        *target = take_string(field, byte_source_left(&field->source));
}

static uint64_t get_number(struct field *field, uint64_t max, const char *expected)
{
    uint64_t value = byte_source_varint(&field->source);
    if (field->source.failed || value > max)
        field->fault = expected;
    return field->fault ? 0 : value;
}

static void get_sites(struct field *field, struct journal_config *config)
{
    uint64_t size = byte_source_left(&field->source);
    if (config->tsc_sites || !size || size % 8 || size / 8 > JOURNAL_TSC_SITES_MAX) {
        field->fault = "expected once, 1 to 65536 addresses of 8 bytes";
        return;
    }
    config->tsc_site_count = (uint32_t)(size / 8);
    config->tsc_sites = malloc(size);
    CHECK(config->tsc_sites);
    for (uint32_t n = 0; n < config->tsc_site_count; n++)
        config->tsc_sites[n] = byte_source_u64(&field->source);
}

static void get_cpu_name(struct field *field, struct cpu_model *cpu)
{
    char *name = take_string(field, byte_source_left(&field->source));
    if (name && strlen(name) < sizeof cpu->name)
        strcpy(cpu->name, name);
    else
        field->fault = "expected at most 511 bytes";
    free(name);
}

static void get_cpu_leaf(struct field *field, struct cpu_model *cpu)
{
    const uint8_t *at = byte_source_take(&field->source, LEAF_BYTES);
    if (!at || cpu->count == CPU_MODEL_LEAVES_MAX) {
        field->fault = "expected 28 bytes, and at most 64 such fields";
        return;
    }
    struct cpu_model_leaf *leaf = &cpu->leaf[cpu->count++];
    leaf->leaf = le32_get(at);
    leaf->subleaf = le32_get(at + 4);
    leaf->has_subleaf = le32_get(at + 8) != 0;
    leaf->eax = le32_get(at + 12);
    leaf->ebx = le32_get(at + 16);
    leaf->ecx = le32_get(at + 20);
    leaf->edx = le32_get(at + 24);
}

static void get_blob(struct field *field, struct journal_config_reader *reader, struct journal_blob *target)
{
    struct journal_hash hash;
    hash.low = byte_source_u64(&field->source);
    hash.high = byte_source_u64(&field->source);
    uint64_t size = get_number(field, JOURNAL_BLOB_MAX, "expected a hash and a size of at most 512 MiB");
    uint64_t total = size;
    for (unsigned i = 0; i < reader->blob_count; i++) {
        total += reader->blob[i].size_bytes;
        if (reader->blob[i].target == target)
            field->fault = "expected once";
    }
    if (total > JOURNAL_BLOBS_MAX)
        field->fault = "expected at most 1 GiB of blobs";
    if (field->fault)
        return;
    reader->blob[reader->blob_count++] =
        (struct journal_config_blob){.hash = hash, .size_bytes = size, .target = target};
    if (size == 0) {
        target->bytes = malloc(1);
        CHECK(target->bytes);
    }
}

static void get_module(struct field *field, struct journal_config_reader *reader)
{
    struct journal_config *config = &reader->config;
    if (config->module_count == JOURNAL_MODULES) {
        field->fault = "expected at most 16 modules";
        return;
    }
    uint32_t index = config->module_count;
    get_blob(field, reader, &config->module[index]);
    if (field->fault)
        return;
    config->module_count++;
    if (byte_source_u8(&field->source))
        config->module_args[index] = take_string(field, byte_source_left(&field->source));
}

static void get_attachment(struct field *field, struct block_attachment *at)
{
    at->kind = (enum block_attach)get_number(field, BLOCK_ATTACH_KINDS - 1, "expected a kind of drive 0 .. 5");
    at->unit = (uint8_t)get_number(field, 15, "expected a unit 0 .. 15");
    at->slot = (uint8_t)get_number(field, 31, "expected a PCI slot 0 .. 31");
    at->flags = (uint8_t)get_number(field, BLOCK_ATTACH_FLAGS, "expected flags 0 .. 15");
    uint64_t length = get_number(field, BLOCK_SERIAL_BYTES - 1, "expected a serial number of at most 20 bytes");
    char *serial = field->fault ? NULL : take_string(field, length);
    if (serial)
        memcpy(at->serial, serial, length);
    free(serial);
}

static void get_drive(struct field *field, struct journal_config *config)
{
    uint64_t index = get_number(field, JOURNAL_DRIVES - 1, "expected a drive 0 .. 15");
    uint64_t flags = get_number(field, DRIVE_FLAGS_ALL, "expected flags 0 .. 15");
    uint64_t sectors = get_number(field, UINT64_C(1) << 48, "expected at most 2^48 sectors");
    if (field->fault)
        return;
    struct journal_drive *drive = &config->drive[index];
    if (drive->present) {
        field->fault = "expected each drive once";
        return;
    }
    drive->present = true;
    drive->read_only = flags & DRIVE_READ_ONLY;
    drive->size_sectors = sectors;
    if (flags & DRIVE_PATH)
        drive->path = take_string(field, byte_source_varint(&field->source));
    if (flags & DRIVE_FORMAT)
        drive->format = take_string(field, byte_source_varint(&field->source));
    if (flags & DRIVE_ATTACHMENT)
        get_attachment(field, &drive->at);
    else
        drive->at.unit = (uint8_t)index;
    bool removable = drive->at.kind == BLOCK_ATTACH_IDE_CD || drive->at.kind == BLOCK_ATTACH_AHCI_CD;
    if (!sectors && !removable)
        field->fault = "expected at least one sector, or a CD-ROM drive";
}

static void get_names(struct field *field, struct journal_config *config)
{
    uint64_t index = get_number(field, JOURNAL_DRIVES - 1, "expected a drive 0 .. 15");
    if (field->fault)
        return;
    struct journal_drive *drive = &config->drive[index];
    if (!drive->present || drive->id) {
        field->fault = "expected after its drive, once";
        return;
    }
    drive->id = take_string(field, byte_source_varint(&field->source));
    drive->qdev = take_string(field, byte_source_varint(&field->source));
}

static void get_policy(struct field *field, struct journal_config *config)
{
    uint64_t index = get_number(field, JOURNAL_DRIVES - 1, "expected a drive 0 .. 15");
    uint64_t flags = get_number(field, POLICY_FLAGS_ALL, "expected flags 0 .. 7");
    struct block_policy policy = {.write_through = flags & POLICY_WRITE_THROUGH,
                                  .keep_discarded = flags & POLICY_KEEP_DISCARDED,
                                  .asks_faults = flags & POLICY_ASKS_FAULTS};
    policy.rerror = (uint8_t)get_number(field, BLOCK_ON_ERROR_KINDS - 1, "expected what to do 0 .. 3");
    policy.werror = (uint8_t)get_number(field, BLOCK_ON_ERROR_KINDS - 1, "expected what to do 0 .. 3");
    policy.throttle.iops_size_bytes = get_number(field, BLOCK_LIMIT_MAX, "expected at most 10^15");
    for (unsigned n = 0; n < BLOCK_LIMITS; n++) {
        policy.throttle.limit[n].average = get_number(field, BLOCK_LIMIT_MAX, "expected at most 10^15");
        policy.throttle.limit[n].maximum = get_number(field, BLOCK_LIMIT_MAX, "expected at most 10^15");
        policy.throttle.limit[n].burst_seconds = get_number(field, BLOCK_BURST_SECONDS_MAX, "expected at most 10^6");
    }
    if (!field->fault && !config->drive[index].present)
        field->fault = "expected after its drive";
    if (!field->fault)
        config->drive[index].policy = policy;
}

static void get_make(struct field *field, struct journal_config *config)
{
    uint64_t index = get_number(field, JOURNAL_DRIVES - 1, "expected a drive 0 .. 15");
    struct journal_image_make make = {
        .version = (uint8_t)get_number(field, 3, "expected version 2 or 3"),
        .cluster_bits = (uint8_t)get_number(field, 21, "expected clusters of 2^9 to 2^21 bytes"),
        .refcount_bits = (uint8_t)get_number(field, 64, "expected refcounts of 1 to 64 bits"),
        .flags = (uint8_t)get_number(field, JOURNAL_IMAGE_FLAGS, "expected flags 0 .. 31")};
    if (field->fault)
        return;
    if (make.version < 2 || make.cluster_bits < 9 || !make.refcount_bits ||
        make.refcount_bits & (make.refcount_bits - 1))
        field->fault = "expected version 2 or 3, clusters of 2^9 to 2^21 bytes, a power of two of bits";
    else if (!config->drive[index].present)
        field->fault = "expected after its drive";
    else
        config->drive[index].make = make;
}

static void get_parent(struct field *field, struct journal_parent *parent)
{
    if (parent->present) {
        field->fault = "expected once";
        return;
    }
    parent->present = true;
    parent->hash[0] = byte_source_u64(&field->source);
    parent->hash[1] = byte_source_u64(&field->source);
    parent->position.icount = get_number(field, JOURNAL_POSITION_LIMIT - 1, "expected a position below 2^63");
    parent->position.vtime_ns = get_number(field, JOURNAL_POSITION_LIMIT - 1, "expected a position below 2^63");
    uint64_t flags = get_number(field, PARENT_CHANGES, "expected flags 0 or 1");
    if (!field->fault)
        parent->path = take_string(field, byte_source_varint(&field->source));
    if (!field->fault && flags & PARENT_CHANGES)
        parent->changes = take_string(field, byte_source_varint(&field->source));
}

static void get_flags(struct field *field, struct journal_config *config)
{
    uint64_t flags = get_number(field, FLAGS_ALL, "expected 0 .. 7");
    config->no_reboot = flags & FLAG_NO_REBOOT;
    config->no_vga = flags & FLAG_NO_VGA;
    config->boot_menu = flags & FLAG_BOOT_MENU;
}

/* A run whose events this program can't make is no run that it can replay. */
static void get_trace_kinds(struct field *field, struct journal_config *config)
{
    uint64_t kinds = get_number(field, UINT32_MAX, "expected below 2^32");
    if ((kinds & TRACE_KINDS_FIRST) != TRACE_KINDS_FIRST)
        field->fault = "expected bits 1 to 13 to be set";
    config->trace_kinds = (uint32_t)kinds;
}

static void get_field(struct field *field, struct journal_config_reader *reader)
{
    struct journal_config *config = &reader->config;
    switch (field->tag) {
    case TAG_CREATOR: get_string(field, &config->creator); break;
    case TAG_ACCEL: get_string(field, &config->accel); break;
    case TAG_RAM: config->ram_bytes = get_number(field, MEMORY_RAM_MAX_BYTES, "expected at most 8 GiB"); break;
    case TAG_CPU_NAME: get_cpu_name(field, &config->cpu); break;
    case TAG_CPU_LEAF: get_cpu_leaf(field, &config->cpu); break;
    case TAG_CHECKPOINT_STEPS:
        config->checkpoint_steps = get_number(field, JOURNAL_POSITION_LIMIT - 1, "expected below 2^63");
        break;
    case TAG_FLAGS: get_flags(field, config); break;
    case TAG_BOOT_ORDER: get_string(field, &config->boot_order); break;
    case TAG_APPEND: get_string(field, &config->append); break;
    case TAG_TIMING: config->timing = (uint32_t)get_number(field, BLOCK_TIMING_HOST, "expected 0 or 1"); break;
    case TAG_SEED: config->seed = get_number(field, UINT64_MAX, "expected a number"); break;
    case TAG_DIGEST_VERSION:
        config->digest_version = (uint32_t)get_number(field, UINT32_MAX, "expected below 2^32");
        break;
    case TAG_COUNTS_EXITS: config->counts_exits = get_number(field, 1, "expected 0 or 1"); break;
    case TAG_WAYS: config->ways = (uint32_t)get_number(field, MACHINE_WAYS_ALL, "expected bits that this vmrr knows: 0 to 63"); break;
    case TAG_TSC_SITES: get_sites(field, config); break;
    case TAG_TRACE_KINDS: get_trace_kinds(field, config); break;
    case TAG_BIOS: get_blob(field, reader, &config->bios); break;
    case TAG_VGABIOS: get_blob(field, reader, &config->vgabios); break;
    case TAG_KERNEL: get_blob(field, reader, &config->kernel); break;
    case TAG_INITRD: get_blob(field, reader, &config->initrd); break;
    case TAG_MODULE: get_module(field, reader); break;
    case TAG_DRIVE: get_drive(field, config); break;
    case TAG_DRIVE_POLICY: get_policy(field, config); break;
    case TAG_DRIVE_NAMES: get_names(field, config); break;
    case TAG_DRIVE_IMAGE: get_make(field, config); break;
    case TAG_PARENT: get_parent(field, &config->parent); break;
    default:
        field->source.at = field->source.end;
        if (!(field->tag & TAG_SKIPPABLE))
            field->fault = "unknown to this version";
    }
    if (!field->fault && (field->source.failed || byte_source_left(&field->source)))
        field->fault = "size: expected as the field needs";
}

/* The list is that of one way. */
static bool sites_fit(const struct journal_config *config)
{
    return !(config->ways & MACHINE_WAY_TSC_SITES) ||
           (config->tsc_site_count && config->tsc_site_count <= MACHINE_TSC_SITES_MAX &&
            !(config->ways & MACHINE_WAY_TSC_PORT));
}

enum status journal_config_parse(struct journal_config_reader *reader, const uint8_t *raw, size_t raw_bytes,
                                 const char *name, uint64_t offset, struct error *error)
{
    struct byte_source source = {.at = raw, .end = raw + raw_bytes};
    reader->config.digest_version = 1; /* of journals that do not say */
    reader->config.trace_kinds = TRACE_KINDS_FIRST;
    while (byte_source_left(&source)) {
        struct field field = {.tag = byte_source_u8(&source)};
        size_t at = (size_t)(source.at - raw) - 1;
        uint64_t size = byte_source_varint(&source);
        const uint8_t *bytes = size <= byte_source_left(&source) ? byte_source_take(&source, size) : NULL;
        if (!bytes || source.failed) {
            field.fault = "size: expected within the frame";
        } else {
            field.source = (struct byte_source){.at = bytes, .end = bytes + size};
            get_field(&field, reader);
        }
        if (field.fault)
            return error_status(error, STATUS_CORRUPT, "%s: config frame at offset %llu, field tag %u at byte %zu: %s",
                                name, (unsigned long long)offset, field.tag, at, field.fault);
    }
    if (reader->config.ram_bytes == 0 || !reader->config.accel)
        return error_status(error, STATUS_CORRUPT, "%s: config frame at offset %llu: RAM size and accelerator expected",
                            name, (unsigned long long)offset);
    if (!sites_fit(&reader->config))
        return error_status(error, STATUS_CORRUPT,
                            "%s: config frame at offset %llu: 1 to %u addresses of RDTSC expected, and no "
                            "kernel that was changed",
                            name, (unsigned long long)offset, MACHINE_TSC_SITES_MAX);
    return STATUS_OK;
}

static bool blob_append(struct journal_config_blob *blob, const uint8_t *bytes, size_t size)
{
    if (blob->capacity - blob->have_bytes < size) {
        uint64_t capacity = blob->capacity * 2 > blob->have_bytes + size ? blob->capacity * 2 : blob->have_bytes + size;
        if (capacity > blob->size_bytes)
            capacity = blob->size_bytes;
        uint8_t *grown = realloc(blob->target->bytes, capacity);
        if (!grown)
            return false;
        blob->target->bytes = grown;
        blob->capacity = capacity;
    }
    memcpy(blob->target->bytes + blob->have_bytes, bytes, size);
    blob->have_bytes += size;
    blob->target->size_bytes = blob->have_bytes;
    return true;
}

enum status journal_config_add_blob(struct journal_config_reader *reader, const uint8_t *raw, size_t raw_bytes,
                                    const char *name, uint64_t offset, struct error *error)
{
    struct byte_source source = {.at = raw, .end = raw + raw_bytes};
    struct journal_hash hash;
    hash.low = byte_source_u64(&source);
    hash.high = byte_source_u64(&source);
    uint64_t size = byte_source_varint(&source);
    uint64_t at = byte_source_varint(&source);
    size_t chunk = byte_source_left(&source);
    if (source.failed)
        return error_status(error, STATUS_CORRUPT, "%s: blob frame at offset %llu: header expected", name,
                            (unsigned long long)offset);
    for (unsigned i = 0; i < reader->blob_count; i++) {
        struct journal_config_blob *blob = &reader->blob[i];
        if (blob->hash.low != hash.low || blob->hash.high != hash.high)
            continue;
        if (size != blob->size_bytes || at != blob->have_bytes || chunk > size - at)
            return error_status(
                error, STATUS_CORRUPT, "%s: blob frame at offset %llu: expected the chunk at byte %llu of %llu", name,
                (unsigned long long)offset, (unsigned long long)blob->have_bytes, (unsigned long long)blob->size_bytes);
        if (!blob_append(blob, source.at, chunk))
            return error_status(error, STATUS_NO_MEMORY, "%s: out of memory", name);
    }
    return STATUS_OK;
}

bool journal_config_complete(const struct journal_config_reader *reader)
{
    for (unsigned i = 0; i < reader->blob_count; i++)
        if (reader->blob[i].have_bytes != reader->blob[i].size_bytes)
            return false;
    return true;
}

enum status journal_config_check_blobs(const struct journal_config_reader *reader, const char *name,
                                       struct error *error)
{
    for (unsigned i = 0; i < reader->blob_count; i++) {
        const struct journal_config_blob *blob = &reader->blob[i];
        struct journal_hash hash = journal_hash128(blob->target->bytes, blob->have_bytes);
        if (hash.low != blob->hash.low || hash.high != blob->hash.high)
            return error_status(error, STATUS_CORRUPT, "%s: blob %u: content does not have the hash that names it",
                                name, i);
    }
    return STATUS_OK;
}
