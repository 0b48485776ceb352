/* See script_accel.h. */
#include "tests/fuzz/script_accel.h"

#include "tests/support/accel_nothing.h"

#include <stdlib.h>
#include <string.h>

#define STEPS_MAX 2000000u /* that all waits of a script may take */
#define RFLAGS_IF 0x200u
#define PCI_ADDRESS 0xCF8
#define PCI_DATA 0xCFC
#define BUS_MASTER 0xC000
#define PRD_TABLE 0x1000

static const uint16_t ports[] = {
    0x1F0,  0x1F1,  0x1F2,  0x1F3,  0x1F4,  0x1F5,  0x1F6,  0x1F7,  0x3F6,  0x170,  0x171,  0x172,  0x173, 0x174,
    0x175,  0x176,  0x177,  0x376,  0xC000, 0xC002, 0xC004, 0xC008, 0xC00A, 0xC00C, 0x20,   0x21,   0xA0,  0xA1,
    0x4D0,  0x4D1,  0x40,   0x41,   0x42,   0x43,   0x61,   0x70,   0x71,   0x60,   0x64,   0x92,   0x3F8, 0x3F9,
    0x3FA,  0x3FB,  0x3FC,  0x3FD,  0x3FE,  0x3FF,  0x2F8,  0x2F9,  0x2FB,  0x510,  0x511,  0x514,  0x518, 0x402,
    0x80,   0xE9,   0x00,   0x08,   0x0B,   0x81,   0xC0,   0xD6,   0x3B4,  0x3B5,  0x3C0,  0x3C1,  0x3C2, 0x3C4,
    0x3C5,  0x3C6,  0x3C7,  0x3C8,  0x3C9,  0x3CE,  0x3CF,  0x3D4,  0x3D5,  0x3DA,  0x1CE,  0x1CF,  0x1D0, 0xB000,
    0xB002, 0xB004, 0xB008, 0xB020, 0xB028, 0xB2,   0xB3,   0xCF9,  0xCF8,  0xCFC,  0xF4,   0x600,  0x604, 0x608,
    0x700,  0xC100, 0xC104, 0xC108, 0xC10E, 0xC110, 0xC112, 0xC113, 0xC114, 0xC116, 0xC134, 0xC138,
};
static const uint64_t regions[] = {
    0xFEE00000, 0xFEC00000, 0xFED00000, 0xA0000,    0xB0000,  0xB8000,    0xC0000,
    0xE0000,    0xF0000,    0xFE000000, 0xFFFF0000, 0x100000, 0xE1000000, 0xFFFFFFFFFFFF0000,
    0xE2000000, 0xE2010000, 0xE3000000,
};

struct script_accel {
    struct accel accel;
    struct script script;
    size_t at;
    uint64_t icount;
    uint64_t wait_until; /* icount */
    uint64_t waited;
    uint64_t seen;      /* hash of what was read */
    uint64_t halted_ns; /* virtual time at which it halted, plus 1; 0: not halted */
    bool interrupts;
};

/* ---- the script ---- */

static uint64_t take(struct script_accel *cpu, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < bytes; n++, cpu->at++)
        if (cpu->at < cpu->script.size)
            value |= (uint64_t)cpu->script.bytes[cpu->at] << (8 * n);
    return value;
}

static uint16_t take_port(struct script_accel *cpu)
{
    return ports[take(cpu, 1) % (sizeof ports / sizeof *ports)];
}

static uint64_t take_gpa(struct script_accel *cpu)
{
    uint64_t base = regions[take(cpu, 1) % (sizeof regions / sizeof *regions)];
    return base + take(cpu, 2);
}

static void see(struct script_accel *cpu, uint64_t value)
{
    cpu->seen = (cpu->seen ^ value) * 0x9E3779B97F4A7C15ull;
    cpu->seen ^= cpu->seen >> 29;
}

static void wait_steps(struct script_accel *cpu, uint64_t steps)
{
    uint64_t left = STEPS_MAX - cpu->waited;
    if (steps > left)
        steps = left;
    cpu->waited += steps;
    cpu->wait_until = cpu->icount + steps;
}

/* ---- operations ---- */

static void run_fill(struct script_accel *cpu)
{
    uint8_t bytes[256];
    uint64_t gpa = take(cpu, 2) << 4, length = take(cpu, 1);
    memset(bytes, (int)take(cpu, 1), sizeof bytes);
    memory_write(machine_memory(cpu->accel.machine), gpa, bytes, length);
}

static void run_message(struct script_accel *cpu)
{
    static const enum input_id rows[] = {
        INPUT_SERIAL_BYTE,  INPUT_KEY,          INPUT_MOUSE,        INPUT_POWER_BUTTON,
        INPUT_RESET_BUTTON, INPUT_MEDIA_CHANGE, INPUT_BLOCK_RESIZE, INPUT_BLOCK_COMPLETION};
    struct input_message message = {.id = rows[take(cpu, 1) % (sizeof rows / sizeof *rows)]};
    message.target = (uint32_t)take(cpu, 1);
    message.a = take(cpu, 2);
    message.b = take(cpu, 1);
    /* what the host's own threads alone say, is not the script's to say */
    if (cpu->script.mailbox && message.id != INPUT_BLOCK_COMPLETION)
        input_mailbox_post(cpu->script.mailbox, message);
}

static void run_pci(struct script_accel *cpu, bool write, unsigned size)
{
    struct bus *bus = machine_bus(cpu->accel.machine);
    uint32_t function = (uint32_t)take(cpu, 1), offset = (uint32_t)take(cpu, 1);
    bus_io_write(bus, PCI_ADDRESS, 0x80000000u | function << 8 | (offset & ~3u), 4);
    uint16_t port = (uint16_t)(PCI_DATA + (offset & 3));
    if (write)
        bus_io_write(bus, port, take(cpu, size), size);
    else
        see(cpu, bus_io_read(bus, port, size));
}

static void run_string(struct script_accel *cpu, bool write, unsigned size)
{
    struct bus *bus = machine_bus(cpu->accel.machine);
    uint16_t port = take_port(cpu);
    uint64_t count = take(cpu, 1), byte = write ? take(cpu, 1) : 0;
    for (uint64_t n = 0; n < count; n++)
        if (write)
            bus_io_write(bus, port, byte + n, size);
        else
            see(cpu, bus_io_read(bus, port, size));
}

static void run_ide(struct script_accel *cpu, bool bus_master)
{
    struct bus *bus = machine_bus(cpu->accel.machine);
    uint8_t drive = (uint8_t)take(cpu, 1), command = (uint8_t)take(cpu, 1), sectors = (uint8_t)take(cpu, 1);
    uint32_t lba = (uint32_t)take(cpu, 3);
    uint16_t base = drive & 2 ? 0x170 : 0x1F0, master = (uint16_t)(BUS_MASTER + (drive & 2 ? 8 : 0));
    uint8_t file[] = {sectors, (uint8_t)lba, (uint8_t)(lba >> 8), (uint8_t)(lba >> 16),
                      (uint8_t)(0xE0 | (drive & 1) << 4)};
    for (unsigned n = 0; n < sizeof file; n++)
        bus_io_write(bus, (uint16_t)(base + 2 + n), file[n], 1);
    bus_io_write(bus, (uint16_t)(base + 7), command, 1);
    if (!bus_master)
        return;
    bus_io_write(bus, (uint16_t)(master + 4), PRD_TABLE, 4);
    bus_io_write(bus, (uint16_t)(master + 2), 6, 1);
    bus_io_write(bus, master, drive & 4 ? 1 : 9, 1);
}

static bool run_op(struct script_accel *cpu)
{
    struct bus *bus = machine_bus(cpu->accel.machine);
    uint8_t op = (uint8_t)take(cpu, 1), flags = op >> 4;
    unsigned size = 1u << (flags & 3), io_size = size > 4 ? 4 : size;
    uint64_t address;
    switch ((enum script_op)(op & 15)) {
    case SCRIPT_OUT:
        address = take_port(cpu);
        bus_io_write(bus, (uint16_t)address, take(cpu, io_size), io_size);
        break;
    case SCRIPT_IN: see(cpu, bus_io_read(bus, take_port(cpu), io_size)); break;
    case SCRIPT_OUT_ANY:
        address = take(cpu, 2);
        bus_io_write(bus, (uint16_t)address, take(cpu, io_size), io_size);
        break;
    case SCRIPT_IN_ANY: see(cpu, bus_io_read(bus, (uint16_t)take(cpu, 2), io_size)); break;
    case SCRIPT_STORE:
        address = take_gpa(cpu);
        bus_mmio_write(bus, address & ~7ull, take(cpu, size), size);
        break;
    case SCRIPT_LOAD: see(cpu, bus_mmio_read(bus, take_gpa(cpu) & ~7ull, size)); break;
    case SCRIPT_FILL: run_fill(cpu); break;
    case SCRIPT_WAIT: wait_steps(cpu, take(cpu, 1) << (4 * (flags & 3))); break;
    case SCRIPT_HALT: cpu->halted_ns = vtime_now_ns(cpu->accel.machine) + 1; return true;
    case SCRIPT_MESSAGE: run_message(cpu); break;
    case SCRIPT_INTERRUPT: cpu->interrupts = flags & 1; break;
    case SCRIPT_PCI_WRITE: run_pci(cpu, true, io_size); break;
    case SCRIPT_PCI_READ: run_pci(cpu, false, io_size); break;
    case SCRIPT_INS: run_string(cpu, false, io_size); break;
    case SCRIPT_OUTS: run_string(cpu, true, io_size); break;
    case SCRIPT_IDE: run_ide(cpu, flags & 4); break;
    }
    return false;
}

/* ---- the accelerator ---- */

static void accept_interrupt(struct script_accel *cpu)
{
    struct cpu_link link = machine_cpu_link(cpu->accel.machine);
    if (machine_nmi_take(cpu->accel.machine))
        machine_trace_irq(cpu->accel.machine, 2);
    if (!cpu->interrupts || !machine_intr_pending(cpu->accel.machine))
        return;
    int vector = link.ops->acknowledge(link.opaque);
    if (vector >= 0)
        machine_trace_irq(cpu->accel.machine, (uint32_t)vector);
    see(cpu, (uint64_t)vector);
}

static enum accel_exit script_run(struct accel *accel)
{
    struct script_accel *cpu = (struct script_accel *)accel;
    if (cpu->halted_ns && cpu->halted_ns == vtime_now_ns(accel->machine) + 1 && !machine_intr_pending(accel->machine))
        return ACCEL_EXIT_HALT;
    cpu->halted_ns = 0;
    while (cpu->icount < machine_stop_icount(accel->machine)) {
        if (machine_request_pending(accel->machine))
            return ACCEL_EXIT_REQUEST;
        accept_interrupt(cpu);
        if (cpu->icount < cpu->wait_until) {
            uint64_t stop = machine_stop_icount(accel->machine);
            cpu->icount = stop < cpu->wait_until ? stop : cpu->wait_until;
            continue;
        }
        if (cpu->at >= cpu->script.size) {
            machine_request_stop(accel->machine, MACHINE_STOP_DEBUG_EXIT, 0);
            return ACCEL_EXIT_REQUEST;
        }
        bool halts = run_op(cpu);
        cpu->icount++;
        if (halts) {
            cpu->halted_ns = vtime_now_ns(accel->machine) + 1;
            return ACCEL_EXIT_HALT;
        }
    }
    return ACCEL_EXIT_STEPS;
}

static uint64_t script_icount(const struct accel *accel)
{
    return ((const struct script_accel *)accel)->icount;
}
static void script_get(struct accel *accel, struct cpu_state *state)
{
    const struct script_accel *cpu = (const struct script_accel *)accel;
    cpu_state_reset(state);
    state->rip = cpu->at;
    state->rflags |= RFLAGS_IF; /* it can always be woken */
    state->gpr[CPU_RAX] = cpu->seen;
    state->gpr[CPU_RCX] = cpu->wait_until;
}
static void script_set(struct accel *accel, const struct cpu_state *state)
{
    (void)accel;
    (void)state;
}
struct accel *script_accel_create(struct machine *machine, const struct script *script)
{
    static const struct accel_ops ops = {
        .name = "script",
        .run = script_run,
        .icount = script_icount,
        .reset = accel_nothing,
        .get_state = script_get,
        .set_state = script_set,
        .memory_map_changed = accel_nothing,
        .memory_written = accel_nothing_written,
        .memory_protect_all = accel_nothing,
        .a20_changed = accel_nothing,
        .destroy = accel_free,
    };
    struct script_accel *cpu = calloc(1, sizeof *cpu);
    CHECK(cpu);
    cpu->accel = (struct accel){&ops, machine};
    cpu->script = *script;
    return &cpu->accel;
}
