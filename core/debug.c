/* Looking at a stopped machine: see debug.h. */
#include "core/debug.h"

#include <inttypes.h>
#include <stdlib.h>

static bool valid(const struct debug_point *point)
{
    if (point->kind == DEBUG_EXECUTE)
        return !(point->flags & DEBUG_PHYSICAL);
    return point->size_bytes && point->size_bytes - 1 <= UINT64_MAX - point->address;
}

enum status debug_insert(struct machine *machine, const struct debug_point *point)
{
    struct accel *accel = machine_accel(machine);
    if (!accel->ops->debug_insert)
        return STATUS_UNSUPPORTED;
    return valid(point) ? accel->ops->debug_insert(accel, point) : STATUS_INVALID;
}

enum status debug_remove(struct machine *machine, const struct debug_point *point)
{
    struct accel *accel = machine_accel(machine);
    return accel->ops->debug_remove ? accel->ops->debug_remove(accel, point) : STATUS_UNSUPPORTED;
}

const struct debug_stop *debug_stop(struct machine *machine)
{
    static const struct debug_stop nothing;
    struct accel *accel = machine_accel(machine);
    return accel->ops->debug_stop ? accel->ops->debug_stop(accel) : &nothing;
}

bool debug_hit_waits(struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    return accel->ops->debug_hit_waits && accel->ops->debug_hit_waits(accel);
}

void debug_go_past(struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    if (accel->ops->debug_go_past)
        accel->ops->debug_go_past(accel);
}

void debug_step(struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    if (accel->ops->debug_step)
        accel->ops->debug_step(accel);
}

void debug_run_until(struct machine *machine, uint64_t icount)
{
    struct accel *accel = machine_accel(machine);
    if (accel->ops->debug_run_until)
        accel->ops->debug_run_until(accel, icount);
}

bool debug_until_met(struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    return accel->ops->debug_until_met && accel->ops->debug_until_met(accel);
}

void debug_mute(struct machine *machine, bool mute)
{
    struct accel *accel = machine_accel(machine);
    if (accel->ops->debug_mute)
        accel->ops->debug_mute(accel, mute);
}

bool debug_in_step(struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    return accel->ops->debug_in_step && accel->ops->debug_in_step(accel);
}

size_t debug_read_physical(struct machine *machine, uint64_t gpa, void *buffer, size_t size_bytes)
{
    struct memory *memory = machine_memory(machine);
    uint8_t *out = buffer;
    size_t done = 0, part;
    for (; done < size_bytes && memory_lookup(memory, gpa + done).host; done += part) {
        part = MEMORY_PAGE_BYTES - ((gpa + done) & (MEMORY_PAGE_BYTES - 1));
        if (part > size_bytes - done)
            part = size_bytes - done;
        memory_read(memory, gpa + done, out + done, part);
    }
    return done;
}

size_t debug_read_linear(struct machine *machine, uint64_t linear, void *buffer, size_t size_bytes)
{
    struct accel *accel = machine_accel(machine);
    uint8_t *out = buffer;
    size_t done = 0;
    while (done < size_bytes) {
        uint64_t gpa;
        size_t part = MEMORY_PAGE_BYTES - ((linear + done) & (MEMORY_PAGE_BYTES - 1));
        if (part > size_bytes - done)
            part = size_bytes - done;
        if (!accel->ops->translate(accel, linear + done, &gpa) || !memory_lookup(machine_memory(machine), gpa).host)
            break;
        memory_read(machine_memory(machine), gpa, out + done, part);
        done += part;
    }
    return done;
}

/* The page of an address; null: no RAM. */
static uint8_t *writable_page(struct machine *machine, uint64_t address, bool physical, uint64_t *gpa)
{
    struct accel *accel = machine_accel(machine);
    *gpa = address;
    if (!physical && !accel->ops->translate(accel, address, gpa))
        return NULL;
    struct memory_page page = memory_lookup(machine_memory(machine), *gpa);
    return page.writable ? page.host : NULL;
}

/* Calls for each page's part; look only: is all of it RAM? */
static bool write_pages(struct machine *machine, uint64_t address, const uint8_t *in, size_t size_bytes, bool physical,
                        bool look_only)
{
    for (size_t done = 0, part; done < size_bytes; done += part) {
        uint64_t gpa;
        part = MEMORY_PAGE_BYTES - ((address + done) & (MEMORY_PAGE_BYTES - 1));
        if (part > size_bytes - done)
            part = size_bytes - done;
        if (!writable_page(machine, address + done, physical, &gpa))
            return false;
        if (!look_only)
            memory_write(machine_memory(machine), gpa, in + done, part);
    }
    return true;
}

bool debug_write(struct machine *machine, uint64_t address, const void *buffer, size_t size_bytes, bool physical)
{
    struct accel *accel = machine_accel(machine);
    if (!write_pages(machine, address, buffer, size_bytes, physical, true))
        return false;
    bool written = write_pages(machine, address, buffer, size_bytes, physical, false);
    if (accel->ops->debug_forget)
        accel->ops->debug_forget(accel);
    return written;
}

uint64_t debug_code_address(struct machine *machine, unsigned *bits)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(machine);
    accel->ops->get_state(accel, &state);
    const struct cpu_segment *cs = &state.segment[CPU_CS];
    bool protected_mode = (state.cr0 & 1) && !(state.rflags & 0x20000);
    bool long_mode = protected_mode && (state.efer & 0x400) && (cs->attributes & 0x2000);
    if (bits)
        *bits = long_mode ? 64 : (cs->attributes & 0x4000) ? 32 : 16;
    return long_mode ? state.rip : (uint32_t)(cs->base + state.rip);
}

void debug_print_registers(struct machine *machine, FILE *out)
{
    static const char *const gpr[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    static const char *const segment[8] = {"es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr"};
    struct cpu_state state;
    struct accel *accel = machine_accel(machine);
    accel->ops->get_state(accel, &state);
    for (int n = 0; n < 16; n++)
        fprintf(out, "%-3s %016" PRIx64 "%c", gpr[n], state.gpr[n], n % 4 == 3 ? '\n' : ' ');
    fprintf(out,
            "rip %016" PRIx64 " rflags %08" PRIx64 " cr0 %08" PRIx64 " cr2 %016" PRIx64 " cr3 %09" PRIx64
            " cr4 %06" PRIx64 " efer %04" PRIx64 "%s\n",
            state.rip, state.rflags, state.cr0, state.cr2, state.cr3, state.cr4, state.efer,
            state.shutdown ? " shutdown"
            : state.halted ? " halted"
                           : "");
    for (int n = 0; n < 8; n++)
        fprintf(out, "%-4s %04x base %016" PRIx64 " limit %08x attr %04x%c", segment[n], state.segment[n].selector,
                state.segment[n].base, state.segment[n].limit, state.segment[n].attributes, n % 2 ? '\n' : ' ');
    fprintf(out, "gdtr %016" PRIx64 "/%04x idtr %016" PRIx64 "/%04x\n", state.gdtr_base, state.gdtr_limit,
            state.idtr_base, state.idtr_limit);
}
