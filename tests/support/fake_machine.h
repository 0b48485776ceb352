/* A machine for tests of single parts: RAM, bus and virtual time are real; the accelerator is chosen by the test (an idle
 * one that only lets time pass, or the interpreter). Not part of the product. */
#ifndef VMRR_TESTS_SUPPORT_FAKE_MACHINE_H
#define VMRR_TESTS_SUPPORT_FAKE_MACHINE_H

#include "core/machine.h"

struct fake_machine {
    struct machine *machine;
    struct memory_block *ram; /* mapped at 0 */
    struct input_mailbox *mailbox;
    struct input *input;        /* live, unpaced; wall clock fixed at FAKE_WALL_CLOCK, entropy seeded */
    struct trace_event *events; /* all traced so far */
    size_t event_count, event_capacity;
    int acknowledged; /* last vector given by fake_acknowledge */
};

#define FAKE_WALL_CLOCK 1700000000ull /* 2023-11-14 22:13:20 UTC */

/* RAM mapped at 0 (ram_bytes a multiple of 1 MiB, at most 3 GiB). No accelerator yet. */
struct fake_machine *fake_machine_create(uint64_t ram_bytes);
/* With another CPU than "max": a name for cpu_model_init. */
struct fake_machine *fake_machine_create_cpu(uint64_t ram_bytes, const char *cpu);
void fake_machine_destroy(struct fake_machine *fake);
/* Only the machine, before an executor, which lives longer than it and not so long as the mailbox. */
void fake_machine_end(struct fake_machine *fake);

/* The idle accelerator: run lets icount reach the stop; nothing executes, interrupts stay pending. */
void fake_machine_use_idle_accel(struct fake_machine *fake);

/* Lets virtual time pass (idle accelerator): timers and messages due on the way happen. */
void fake_machine_advance_ns(struct fake_machine *fake, uint64_t ns);
uint64_t fake_machine_now_ns(struct fake_machine *fake);

/* Port and memory shorthand. */
uint8_t fake_inb(struct fake_machine *fake, uint16_t port);
uint16_t fake_inw(struct fake_machine *fake, uint16_t port);
uint32_t fake_inl(struct fake_machine *fake, uint16_t port);
void fake_outb(struct fake_machine *fake, uint16_t port, uint8_t value);
void fake_outw(struct fake_machine *fake, uint16_t port, uint16_t value);
void fake_outl(struct fake_machine *fake, uint16_t port, uint32_t value);

/* A line that remembers its level and counts rising edges. */
struct fake_line {
    bool level;
    unsigned rises;
};
struct irq_line fake_line(struct fake_line *line);

size_t fake_machine_count_events(const struct fake_machine *fake, enum trace_kind kind);

#endif
