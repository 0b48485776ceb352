/* Saving and restoring a machine: see snapshot.h.
 *
 * The content, one behind the other: what the run loop has in mind, the CPU's state, what the accelerator keeps beside it, the
 * machine's field list, and each device: id, class, version, fields, content (device.h). Memory is an image of its own.
 *
 * Order of restoring: memory, CPU, machine, fields and content of all devices, then post_load of all in the order of creation.
 * Virtual time is right before any timer is armed, and a device finds its drive as it was. */
#include "core/snapshot.h"

#include "core/machine_internal.h"
#include "core/memory_image.h"

#include <stdlib.h>
#include <string.h>

#define RUN_STATE(S, A, N, T)                                                                                          \
    S(T, uint64_t, icount)                                                                                             \
    S(T, uint64_t, next_digest)                                                                                        \
    S(T, uint64_t, next_checkpoint)                                                                                    \
    S(T, uint64_t, digest_chain)                                                                                       \
    S(T, uint64_t, polled_icount)                                                                                      \
    S(T, uint64_t, polled_vtime_ns)                                                                                    \
    S(T, bool, polled_valid)                                                                                           \
    S(T, uint64_t, exits)                                                                                              \
    S(T, bool, halt_counted)                                                                                           \
    S(T, bool, landmark_ahead)                                                                                         \
    S(T, uint64_t, landmark_rip)                                                                                       \
    S(T, uint64_t, landmark_all)                                                                                       \
    S(T, uint32_t, landmark_registers)                                                                                 \
    S(T, uint64_t, landmark_count)                                                                                     \
    S(T, uint64_t, landmark_hits)                                                                                      \
    S(T, uint64_t, landmark_matches)                                                                                   \
    S(T, uint64_t, uncontrolled_at)                                                                                    \
    S(T, uint64_t, uncontrolled_run)

struct run_state {
    STATE_MEMBERS(RUN_STATE)
};
STATE_TABLE(run_fields, struct run_state, RUN_STATE);

struct machine_snapshot {
    struct position position;
    struct content_writer content;
    struct memory_image *memory;
};

/* ---- the run loop ---- */

static struct run_state run_of(const struct machine *machine)
{
    const struct machine_landmark *landmark = &machine->landmark;
    struct run_state run;
    memset(&run, 0, sizeof run);
    run.icount = machine->accel->ops->icount(machine->accel);
    run.next_digest = machine->next_digest;
    run.next_checkpoint = machine->next_checkpoint;
    run.digest_chain = machine->digest_chain;
    run.polled_icount = machine->polled.icount;
    run.polled_vtime_ns = machine->polled.vtime_ns;
    run.polled_valid = machine->polled_valid;
    run.exits = machine->exits;
    run.halt_counted = machine->halt_counted;
    run.landmark_ahead = machine->landmark_ahead;
    run.landmark_rip = landmark->rip;
    run.landmark_all = landmark->all;
    run.landmark_registers = landmark->registers;
    run.landmark_count = landmark->count;
    run.landmark_hits = landmark->hits;
    run.landmark_matches = landmark->matches;
    run.uncontrolled_at = machine->uncontrolled_at;
    run.uncontrolled_run = machine->uncontrolled_run;
    return run;
}

static void set_run(struct machine *machine, const struct run_state *run)
{
    machine->next_digest = run->next_digest;
    machine->next_checkpoint = run->next_checkpoint;
    machine->digest_chain = run->digest_chain;
    machine->polled = (struct position){run->polled_icount, run->polled_vtime_ns};
    machine->polled_valid = run->polled_valid;
    machine->exits = run->exits;
    machine->halt_counted = run->halt_counted;
    machine->landmark_ahead = run->landmark_ahead;
    machine->landmark = (struct machine_landmark){.rip = run->landmark_rip,
                                                  .all = run->landmark_all,
                                                  .registers = run->landmark_registers,
                                                  .count = run->landmark_count,
                                                  .hits = run->landmark_hits,
                                                  .matches = run->landmark_matches};
    machine->uncontrolled_at = run->uncontrolled_at;
    machine->uncontrolled_run = run->uncontrolled_run;
    machine->requested_stop = machine->failed = machine->kept_stop = MACHINE_STOP_NONE;
    machine->reset_requested = machine->init_requested = machine->in_exit = machine->sampled = false;
    machine->exit_code = 0;
}

/* Positions beyond these would make sums overflow, digests that lie behind be due for ever (where exits are counted, none are). */
static bool run_sound(const struct machine *machine, const struct run_state *run)
{
    const uint64_t limit = UINT64_MAX / 4;
    bool ahead = run->next_digest >= run->icount && run->next_checkpoint >= run->icount;
    return run->icount < limit && run->next_digest < limit && run->next_checkpoint < limit && run->exits < limit &&
           (ahead || machine->options.counts_exits);
}

/* ---- taking ---- */

const char *machine_snapshot_obstacle(struct machine *machine)
{
    if (!machine->accel->ops->hidden_save)
        return machine->accel->ops->name;
    for (struct device *device = machine->first_device; device; device = device->next) {
        const struct device_content *content = device->class->content;
        if (content && !(content->ready(device) && content->restorable(device)))
            return device->id;
    }
    return NULL;
}

static bool can_be_saved(struct machine *machine)
{
    for (struct device *device = machine->first_device; device; device = device->next) {
        if (device->class->content && !device->class->content->ready(device))
            return false;
    }
    return machine->accel->ops->hidden_save;
}

/* Where exits are counted, attention alone asks for no more than that the run loop comes by: it is saved with the fields. */
static bool quiet(struct machine *machine)
{
    const struct accel_ops *ops = machine->accel->ops;
    bool attention = (machine->attention & ATTENTION_REQUEST) && !machine->options.counts_exits;
    bool asked = machine->requested_stop || machine->failed || machine->kept_stop || machine->reset_requested ||
                 machine->init_requested || attention;
    bool within = machine->in_exit || (ops->debug_in_step && ops->debug_in_step(machine->accel));
    return !asked && !within && !machine->finished;
}

static void put_fields(struct content_writer *content, const struct state_field *fields, const void *object)
{
    size_t size = state_size(fields);
    content_put_u32(content, (uint32_t)size);
    state_save(fields, object, content_room(content, size));
}

static void put_cpu(struct machine *machine, struct content_writer *content)
{
    const struct accel_ops *ops = machine->accel->ops;
    struct cpu_state cpu;
    memset(&cpu, 0, sizeof cpu);
    ops->get_state(machine->accel, &cpu);
    put_fields(content, cpu_state_fields, &cpu);
    size_t hidden = ops->hidden_bytes(machine->accel);
    content_put_u32(content, (uint32_t)hidden);
    ops->hidden_save(machine->accel, content_room(content, hidden));
}

static void put_device(struct content_writer *content, struct device *device)
{
    static const struct state_field none[] = {{NULL, 0, 0, 0, NULL, false, 0}};
    content_put_text(content, device->id);
    content_put_text(content, device->class->name);
    content_put_u32(content, device->class->version);
    put_fields(content, device->class->fields ? device->class->fields : none, device);
    if (device->class->content)
        device->class->content->save(device, content);
}

struct machine_snapshot *machine_snapshot_take(struct machine *machine, struct page_store *store)
{
    if (!quiet(machine) || !can_be_saved(machine))
        return NULL;
    struct machine_snapshot *snapshot = calloc(1, sizeof *snapshot);
    CHECK(snapshot);
    struct run_state run = run_of(machine);
    snapshot->position = machine_position(machine);
    snapshot->content.store = store;
    put_fields(&snapshot->content, run_fields, &run);
    put_cpu(machine, &snapshot->content);
    put_fields(&snapshot->content, machine_fields, machine);
    for (struct device *device = machine->first_device; device; device = device->next)
        put_device(&snapshot->content, device);
    snapshot->memory = memory_image_take(machine->memory, store);
    return snapshot;
}

void machine_snapshot_destroy(struct machine_snapshot *snapshot)
{
    if (!snapshot)
        return;
    memory_image_release(snapshot->memory); /* null: it was damaged */
    content_writer_free(&snapshot->content);
    free(snapshot);
}

struct position machine_snapshot_position(const struct machine_snapshot *snapshot)
{
    return snapshot->position;
}

uint64_t machine_snapshot_bytes(const struct machine_snapshot *snapshot)
{
    return sizeof *snapshot + snapshot->content.capacity +
           snapshot->content.page_capacity * sizeof *snapshot->content.page + memory_image_bytes(snapshot->memory);
}

/* ---- as bytes and pages ---- */

void machine_snapshot_write(const struct machine_snapshot *snapshot, struct content_writer *writer)
{
    const struct content_writer *content = &snapshot->content;
    content_put_u64(writer, snapshot->position.icount);
    content_put_u64(writer, snapshot->position.vtime_ns);
    content_put_u64(writer, content->size_bytes);
    content_put_bytes(writer, content->bytes, content->size_bytes);
    content_put_u64(writer, content->page_count);
    for (size_t n = 0; n < content->page_count; n++)
        content_put_page(writer, content->page[n]);
    memory_image_write(snapshot->memory, writer);
}

static void read_content(struct content_reader *reader, struct content_writer *content)
{
    content->store = reader->store;
    uint64_t size = content_get_u64(reader);
    const uint8_t *bytes = content_get_bytes(reader, size);
    if (bytes)
        content_put_bytes(content, bytes, size);
    uint64_t pages = content_get_u64(reader);
    for (uint64_t n = 0; n < pages && !reader->failed; n++)
        content_put_page(content, content_get_page(reader));
}

struct machine_snapshot *machine_snapshot_read(struct machine *machine, struct content_reader *reader)
{
    struct machine_snapshot *snapshot = calloc(1, sizeof *snapshot);
    CHECK(snapshot);
    snapshot->position.icount = content_get_u64(reader);
    snapshot->position.vtime_ns = content_get_u64(reader);
    read_content(reader, &snapshot->content);
    snapshot->memory = memory_image_read(machine->memory, reader);
    if (!reader->failed)
        return snapshot;
    machine_snapshot_destroy(snapshot);
    return NULL;
}

/* ---- restoring ---- */

static enum status get_fields(struct content_reader *reader, const struct state_field *fields, void *object)
{
    size_t size = content_get_u32(reader);
    const uint8_t *bytes = size == state_size(fields) ? content_get_bytes(reader, size) : NULL;
    return bytes ? state_load(fields, object, bytes, size) : STATUS_CORRUPT;
}

struct loaded {
    struct run_state run;
    struct cpu_state cpu;
    const uint8_t *hidden;
    size_t hidden_bytes;
};

/* What comes before the machine's own fields; changes nothing. */
static enum status get_head(const struct machine *machine, struct content_reader *reader, struct loaded *loaded)
{
    memset(loaded, 0, sizeof *loaded);
    enum status status = get_fields(reader, run_fields, &loaded->run);
    if (!status)
        status = get_fields(reader, cpu_state_fields, &loaded->cpu);
    if (status)
        return status;
    loaded->hidden_bytes = content_get_u32(reader);
    loaded->hidden = content_get_bytes(reader, loaded->hidden_bytes);
    return loaded->hidden && run_sound(machine, &loaded->run) ? STATUS_OK : STATUS_CORRUPT;
}

static enum status load_machine(struct machine *machine, struct content_reader *reader)
{
    bool a20 = machine->a20;
    enum status status = get_fields(reader, machine_fields, machine);
    if (machine->a20 != a20)
        machine->accel->ops->a20_changed(machine->accel);
    return status;
}

static enum status load_device(struct content_reader *reader, struct device *device)
{
    const struct device_class *class = device->class;
    static const struct state_field none[] = {{NULL, 0, 0, 0, NULL, false, 0}};
    bool same = content_get_text(reader, device->id) && content_get_text(reader, class->name) &&
                content_get_u32(reader) == class->version;
    enum status status = same ? get_fields(reader, class->fields ? class->fields : none, device) : STATUS_CORRUPT;
    return !status && class->content ? class->content->load(device, reader) : status;
}

static enum status load_devices(struct machine *machine, struct content_reader *reader)
{
    for (struct device *device = machine->first_device; device; device = device->next) {
        enum status status = load_device(reader, device);
        if (status)
            return status;
    }
    if (reader->failed || reader->at != reader->end || reader->page != reader->page_end)
        return STATUS_CORRUPT;
    for (struct device *device = machine->first_device; device; device = device->next) {
        if (device->class->post_load)
            device->class->post_load(device);
    }
    return STATUS_OK;
}

enum status machine_snapshot_restore(struct machine *machine, struct machine_snapshot *snapshot)
{
    const struct accel_ops *ops = machine->accel->ops;
    const struct content_writer *content = &snapshot->content;
    struct content_reader reader = {.store = content->store,
                                    .at = content->bytes,
                                    .end = content->bytes + content->size_bytes,
                                    .page = content->page,
                                    .page_end = content->page + content->page_count};
    struct loaded loaded;
    enum status status = get_head(machine, &reader, &loaded);
    if (status || !ops->hidden_load)
        return STATUS_CORRUPT;
    memory_image_restore(machine->memory, snapshot->memory);
    ops->set_state(machine->accel, &loaded.cpu);
    ops->set_icount(machine->accel, loaded.run.icount);
    status = ops->hidden_load(machine->accel, loaded.hidden, loaded.hidden_bytes);
    if (!status)
        status = load_machine(machine, &reader);
    set_run(machine, &loaded.run);
    if (!status && !position_equal(machine_position(machine), snapshot->position))
        status = STATUS_CORRUPT; /* no time that a device could take */
    return status ? status : load_devices(machine, &reader);
}
