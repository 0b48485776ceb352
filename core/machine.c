/* Making a machine, its parts, its wires and its digests. The run loop is machine_run.c. */
#include "core/landmark.h"
#include "core/machine_internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define RAM_GRANULE_BYTES (1ull << 20)

STATE_TABLE(own_fields, struct machine, MACHINE_STATE);
const struct state_field *const machine_fields = own_fields;

const char *machine_stop_name(enum machine_stop stop)
{
    static const char *const names[MACHINE_STOP_COUNT] = {
        "running",   "power-off", "reset",    "debug-exit", "shutdown", "limit",
        "interrupt", "idle",      "diverged", "error",      "debug",    "io-error",
    };
    return stop < MACHINE_STOP_COUNT ? names[stop] : "unknown";
}

struct machine *machine_create(const struct machine_options *options, struct error *error)
{
    if (options->ram_bytes < RAM_GRANULE_BYTES || options->ram_bytes > MEMORY_RAM_MAX_BYTES ||
        options->ram_bytes % RAM_GRANULE_BYTES) {
        error_set(error, "memory size of %" PRIu64 " bytes: expected 1 MiB to 8 GiB in whole MiB", options->ram_bytes);
        return NULL;
    }
    struct machine *machine = calloc(1, sizeof *machine);
    CHECK(machine && options->input && options->tsc_sites <= MACHINE_TSC_SITES_MAX);
    machine->options = *options;
    uint64_t steps = options->checkpoint_steps ? options->checkpoint_steps : MACHINE_CHECKPOINT_STEPS_DEFAULT;
    machine->options.checkpoint_steps = (steps + MACHINE_SLICE_STEPS - 1) / MACHINE_SLICE_STEPS * MACHINE_SLICE_STEPS;
    if (!options->trace_kinds)
        machine->options.trace_kinds = TRACE_KINDS_ALL;
    machine->next_digest = MACHINE_SLICE_STEPS;
    machine->next_checkpoint = 0; /* the machine as it was built */
    machine->last_device = &machine->first_device;
    machine->a20 = true;
    machine->memory = memory_create(machine);
    machine->bus = bus_create(machine);
    machine->vtime = vtime_queue_create();
    return machine;
}

void machine_destroy(struct machine *machine)
{
    if (!machine)
        return;
    state_gather_destroy(machine->gather);
    while (machine->first_device) {
        struct device *device = machine->first_device;
        machine->first_device = device->next;
        if (device->class->destroy)
            device->class->destroy(device);
        free(device);
    }
    if (machine->accel)
        machine->accel->ops->destroy(machine->accel);
    vtime_queue_destroy(machine->vtime);
    bus_destroy(machine->bus);
    memory_destroy(machine->memory);
    free(machine);
}

void *device_alloc(const struct device_class *class, struct machine *machine, const char *id)
{
    struct device *device = calloc(1, class->size);
    CHECK(device && class->size >= sizeof *device);
    device->class = class;
    device->id = id;
    device->machine = machine;
    return device;
}

void machine_set_accel(struct machine *machine, struct accel *accel)
{
    CHECK(!machine->accel);
    machine->accel = accel;
}

void machine_add_device(struct machine *machine, struct device *device)
{
    CHECK(!machine_device_find(machine, device->id));
    *machine->last_device = device;
    machine->last_device = &device->next;
    state_gather_destroy(machine->gather);
    machine->gather = NULL;
}

void machine_set_cpu_link(struct machine *machine, struct cpu_link link)
{
    machine->cpu_link = link;
}
struct cpu_link machine_cpu_link(const struct machine *machine)
{
    return machine->cpu_link;
}
uint64_t machine_ram_bytes(const struct machine *machine)
{
    return machine->options.ram_bytes;
}
struct memory *machine_memory(struct machine *machine)
{
    return machine->memory;
}
struct bus *machine_bus(struct machine *machine)
{
    return machine->bus;
}
struct accel *machine_accel(struct machine *machine)
{
    return machine->accel;
}
struct vtime_queue *machine_vtime(struct machine *machine)
{
    return machine->vtime;
}
const struct cpu_model *machine_cpu_model(const struct machine *machine)
{
    return &machine->options.cpu;
}
struct device *machine_device_first(struct machine *machine)
{
    return machine->first_device;
}
int machine_exit_code(const struct machine *machine)
{
    return machine->exit_code;
}

struct device *machine_device_find(struct machine *machine, const char *id)
{
    for (struct device *device = machine->first_device; device; device = device->next) {
        if (!strcmp(device->id, id))
            return device;
    }
    return NULL;
}

void machine_set_boot_hook(struct machine *machine, void (*boot)(void *opaque, struct machine *machine), void *opaque)
{
    machine->boot = boot;
    machine->boot_opaque = opaque;
}

void machine_set_reset_hook(struct machine *machine, void (*hook)(void *opaque), void *opaque)
{
    machine->was_reset = hook;
    machine->reset_opaque = opaque;
}

void machine_set_slice_hook(struct machine *machine, void (*hook)(void *opaque, struct position position), void *opaque)
{
    machine->slice = hook;
    machine->slice_opaque = opaque;
}

/* ---- position ---- */

struct position machine_position(const struct machine *machine)
{
    if (machine->options.counts_exits)
        return (struct position){machine->exits, machine->skipped_ns};
    uint64_t icount = machine->accel ? machine->accel->ops->icount(machine->accel) : 0;
    return (struct position){icount, icount * VTIME_NS_PER_STEP + machine->skipped_ns};
}

uint64_t vtime_now_ns(struct machine *machine)
{
    if (machine->in_exit && !machine->sampled)
        machine_sample_clock(machine);
    return machine_position(machine).vtime_ns;
}

uint64_t machine_tsc(struct machine *machine)
{
    if (machine->options.counts_exits)
        machine_sample_clock(machine);
    return machine_position(machine).vtime_ns; /* VTIME_TSC_HZ is 1 GHz */
}

/* ---- wires into the CPU ---- */

const volatile uint32_t *machine_attention(const struct machine *machine)
{
    return &machine->attention;
}
const uint64_t *machine_next_timer_ns(const struct machine *machine)
{
    return vtime_queue_next(machine->vtime);
}
bool machine_intr_pending(const struct machine *machine)
{
    return machine->attention & ATTENTION_INTR;
}
bool machine_request_pending(const struct machine *machine)
{
    return machine->attention & ATTENTION_REQUEST;
}
void machine_request_attention(struct machine *machine)
{
    machine->attention |= ATTENTION_REQUEST;
}
bool machine_a20(const struct machine *machine)
{
    return machine->a20;
}
void machine_set_ferr_line(struct machine *machine, struct irq_line line)
{
    machine->ferr_line = line;
}

void machine_set_intr(struct machine *machine, bool level)
{
    machine->attention = level ? machine->attention | ATTENTION_INTR : machine->attention & ~(uint32_t)ATTENTION_INTR;
}

void machine_raise_nmi(struct machine *machine)
{
    machine->attention |= ATTENTION_NMI;
}

bool machine_nmi_take(struct machine *machine)
{
    bool pending = machine->attention & ATTENTION_NMI;
    machine->attention &= ~(uint32_t)ATTENTION_NMI;
    return pending;
}

void machine_raise_smi(struct machine *machine)
{
    (void)machine; /* no SMM: the write that asked for it is in the trace */
}

void machine_raise_init(struct machine *machine)
{
    machine->init_requested = true;
    machine_request_attention(machine);
}

void machine_set_ferr(struct machine *machine, bool level)
{
    machine->ferr = level;
    if (!level)
        machine->ignne = false;
    irq_set(machine->ferr_line, level);
}

void machine_set_ignne(struct machine *machine)
{
    irq_set(machine->ferr_line, false);
    machine->ignne = machine->ferr;
}

bool machine_ignne(const struct machine *machine)
{
    return machine->ignne;
}

void machine_set_a20(struct machine *machine, bool enabled)
{
    if (machine->a20 == enabled)
        return;
    machine->a20 = enabled;
    if (machine->accel)
        machine->accel->ops->a20_changed(machine->accel);
}

/* ---- trace and inputs ---- */

void machine_trace(struct machine *machine, const struct trace_event *event)
{
    struct trace_event *kept = &machine->last[machine->last_count++ % MACHINE_LAST_EVENTS];
    *kept = *event;
    kept->position = machine_position(machine);
    if (machine->options.trace.ops)
        machine->options.trace.ops->emit(machine->options.trace.opaque, kept);
}

/* Port and MMIO accesses are frequent: the event is built where it is kept. */
void machine_trace_access(struct machine *machine, enum trace_kind kind, uint64_t address, uint64_t value,
                          uint32_t size_bytes)
{
    struct position position = machine_position(machine);
    struct trace_event *kept = &machine->last[machine->last_count++ % MACHINE_LAST_EVENTS];
    *kept = (struct trace_event){
        .kind = kind, .position = position, .address = address, .value = value, .size_bytes = size_bytes};
    if (machine->options.trace.ops)
        machine->options.trace.ops->emit(machine->options.trace.opaque, kept);
}

bool machine_traces(const struct machine *machine, enum trace_kind kind)
{
    return machine->options.trace.ops && (machine->options.trace_kinds >> kind & 1);
}

void machine_trace_origin(struct machine *machine, struct trace_event event)
{
    struct accel_where where = {0};
    if (machine->accel && machine->accel->ops->where)
        machine->accel->ops->where(machine->accel, &where);
    event.kind = TRACE_BLOCK_ORIGIN;
    event.address = where.linear;
    event.value = where.cr3;
    event.flags |= where.flags;
    machine_trace(machine, &event);
}

void machine_trace_irq(struct machine *machine, uint32_t vector)
{
    machine_trace(machine, &(struct trace_event){.kind = TRACE_IRQ, .value = vector});
    machine_interrupt_taken(machine);
}

void machine_trace_block_data(struct machine *machine, uint32_t drive, uint64_t sector, const void *data,
                              size_t size_bytes)
{
    const struct trace_sink *sink = &machine->options.trace;
    if (sink->ops && sink->ops->block_data)
        sink->ops->block_data(sink->opaque, drive, sector, data, size_bytes);
}

uint64_t machine_pull(struct machine *machine, enum input_id id, uint64_t (*fetch)(void *opaque), void *opaque)
{
    struct input *input = machine->options.input;
    return input->ops->pull(input, id, machine_position(machine), fetch, opaque);
}

void machine_set_receiver(struct machine *machine, enum input_id id, uint32_t target,
                          void (*receive)(void *opaque, const struct input_message *message), void *opaque)
{
    CHECK(machine->receiver_count < MACHINE_RECEIVERS_MAX && input_row(id) && input_row(id)->deliver);
    machine->receivers[machine->receiver_count++] = (struct machine_receiver){id, target, receive, opaque};
}

/* ---- digests ---- */

void machine_each_part(struct machine *machine,
                       void (*part)(void *opaque, const struct state_field *fields, void *object), void *opaque)
{
    part(opaque, cpu_state_fields, &machine->gathered_cpu);
    part(opaque, machine_fields, machine);
    for (struct device *device = machine->first_device; device; device = device->next) {
        if (device->class->fields)
            part(opaque, device->class->fields, device);
    }
}

static void gather_part(void *gather, const struct state_field *fields, void *object)
{
    state_gather_add(gather, fields, object);
}

/* Made anew when a device was added. */
static void gather_parts(struct machine *machine)
{
    machine->gather = state_gather_create();
    machine_each_part(machine, gather_part, machine->gather);
}

uint64_t machine_digest_state(struct machine *machine)
{
    if (!machine->gather)
        gather_parts(machine);
    machine->accel->ops->get_state(machine->accel, &machine->gathered_cpu);
    if (machine->options.counts_exits)
        cpu_state_canonical(&machine->gathered_cpu);
    return state_gather_digest(machine->gather, machine_position(machine).icount);
}

uint64_t machine_digest_all(struct machine *machine)
{
    return machine_digest_state(machine) ^ memory_digest(machine->memory);
}

void machine_dump_state(struct machine *machine, FILE *out)
{
    struct cpu_state state;
    memset(&state, 0, sizeof state);
    machine->accel->ops->get_state(machine->accel, &state);
    state_dump(cpu_state_fields, &state, "cpu", out);
    state_dump(machine_fields, machine, "machine", out);
    for (struct device *device = machine->first_device; device; device = device->next) {
        if (device->class->fields)
            state_dump(device->class->fields, device, device->id, out);
    }
}
