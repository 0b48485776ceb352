/* See fake_machine.h. */
#include "tests/support/fake_machine.h"

#include "tests/support/accel_nothing.h"

#include <stdlib.h>
#include <string.h>

struct idle_accel {
    struct accel accel;
    uint64_t icount;
    struct cpu_state state;
};

static enum accel_exit idle_run(struct accel *accel)
{
    struct idle_accel *idle = (struct idle_accel *)accel;
    uint64_t stop = machine_stop_icount(accel->machine);
    if (stop > idle->icount)
        idle->icount = stop;
    return ACCEL_EXIT_STEPS;
}
static uint64_t idle_icount(const struct accel *accel)
{
    return ((const struct idle_accel *)accel)->icount;
}
static void idle_reset(struct accel *accel)
{
    cpu_state_reset(&((struct idle_accel *)accel)->state);
}
static void idle_get(struct accel *accel, struct cpu_state *state)
{
    *state = ((struct idle_accel *)accel)->state;
}
static void idle_set(struct accel *accel, const struct cpu_state *state)
{
    ((struct idle_accel *)accel)->state = *state;
}
static void idle_set_icount(struct accel *accel, uint64_t icount)
{
    ((struct idle_accel *)accel)->icount = icount;
}
static bool idle_translate(struct accel *accel, uint64_t linear, uint64_t *gpa)
{
    (void)accel;
    *gpa = linear;
    return true;
}
static size_t idle_unimplemented(struct accel *accel, struct accel_unimplemented *list, size_t max)
{
    (void)accel;
    (void)list;
    (void)max;
    return 0;
}
static void idle_statistics(struct accel *accel, struct accel_statistics *statistics)
{
    (void)accel;
    memset(statistics, 0, sizeof *statistics);
}
void fake_machine_use_idle_accel(struct fake_machine *fake)
{
    static const struct accel_ops ops = {
        .name = "idle",
        .run = idle_run,
        .icount = idle_icount,
        .reset = idle_reset,
        .get_state = idle_get,
        .set_state = idle_set,
        .set_icount = idle_set_icount,
        .memory_map_changed = accel_nothing,
        .memory_written = accel_nothing_written,
        .memory_protect_all = accel_nothing,
        .a20_changed = accel_nothing,
        .translate = idle_translate,
        .unimplemented = idle_unimplemented,
        .statistics = idle_statistics,
        .destroy = accel_free,
    };
    struct idle_accel *idle = calloc(1, sizeof *idle);
    CHECK(idle);
    idle->accel = (struct accel){&ops, fake->machine};
    machine_set_accel(fake->machine, &idle->accel);
}

static void keep_event(void *opaque, const struct trace_event *event)
{
    struct fake_machine *fake = opaque;
    if (fake->event_count == fake->event_capacity) {
        fake->event_capacity = fake->event_capacity ? 2 * fake->event_capacity : 256;
        fake->events = realloc(fake->events, fake->event_capacity * sizeof *fake->events);
        CHECK(fake->events);
    }
    fake->events[fake->event_count++] = *event;
}

static uint64_t fixed_wall_clock(void *opaque)
{
    (void)opaque;
    return FAKE_WALL_CLOCK;
}

struct fake_machine *fake_machine_create(uint64_t ram_bytes)
{
    return fake_machine_create_cpu(ram_bytes, "max");
}

struct fake_machine *fake_machine_create_cpu(uint64_t ram_bytes, const char *cpu)
{
    static const struct trace_sink_ops sink = {.emit = keep_event};
    struct fake_machine *fake = calloc(1, sizeof *fake);
    struct error error = {0};
    CHECK(fake && ram_bytes <= MEMORY_HOLE_START);
    fake->mailbox = input_mailbox_create();
    fake->input = input_live_create(&(struct input_live_options){
        .mailbox = fake->mailbox, .wall_clock_seconds = fixed_wall_clock, .entropy_seeded = true});
    struct machine_options options = {
        .ram_bytes = ram_bytes, .input = fake->input, .trace = {&sink, fake}, .no_reboot = true};
    CHECK(cpu_model_init(&options.cpu, cpu, &error) == STATUS_OK);
    fake->machine = machine_create(&options, &error);
    CHECK(fake->machine);
    struct memory *memory = machine_memory(fake->machine);
    fake->ram = memory_add_block(memory, "ram", ram_bytes, true, &error);
    CHECK(fake->ram);
    memory_map_block(memory, 0, ram_bytes, fake->ram, 0, MEMORY_RAM, 0);
    return fake;
}

void fake_machine_end(struct fake_machine *fake)
{
    machine_destroy(fake->machine);
    fake->machine = NULL;
}

void fake_machine_destroy(struct fake_machine *fake)
{
    if (!fake)
        return;
    fake_machine_end(fake);
    input_destroy(fake->input);
    input_mailbox_destroy(fake->mailbox);
    free(fake->events);
    free(fake);
}

uint64_t fake_machine_now_ns(struct fake_machine *fake)
{
    return vtime_now_ns(fake->machine);
}

void fake_machine_advance_ns(struct fake_machine *fake, uint64_t ns)
{
    struct position now = machine_position(fake->machine);
    struct position limit = {now.icount + ns / VTIME_NS_PER_STEP, now.vtime_ns + ns};
    (void)machine_run(fake->machine, limit);
}

uint8_t fake_inb(struct fake_machine *fake, uint16_t port)
{
    return (uint8_t)bus_io_read(machine_bus(fake->machine), port, 1);
}
uint16_t fake_inw(struct fake_machine *fake, uint16_t port)
{
    return (uint16_t)bus_io_read(machine_bus(fake->machine), port, 2);
}
uint32_t fake_inl(struct fake_machine *fake, uint16_t port)
{
    return (uint32_t)bus_io_read(machine_bus(fake->machine), port, 4);
}
void fake_outb(struct fake_machine *fake, uint16_t port, uint8_t value)
{
    bus_io_write(machine_bus(fake->machine), port, value, 1);
}
void fake_outw(struct fake_machine *fake, uint16_t port, uint16_t value)
{
    bus_io_write(machine_bus(fake->machine), port, value, 2);
}
void fake_outl(struct fake_machine *fake, uint16_t port, uint32_t value)
{
    bus_io_write(machine_bus(fake->machine), port, value, 4);
}

static void fake_line_set(void *opaque, unsigned pin, bool level)
{
    struct fake_line *line = opaque;
    (void)pin;
    line->rises += level && !line->level;
    line->level = level;
}

struct irq_line fake_line(struct fake_line *line)
{
    return (struct irq_line){fake_line_set, line, 0};
}

size_t fake_machine_count_events(const struct fake_machine *fake, enum trace_kind kind)
{
    size_t count = 0;
    for (size_t n = 0; n < fake->event_count; n++)
        count += fake->events[n].kind == kind;
    return count;
}
