/* Interrupt lines, and the link between the interrupt controllers and the CPU. Thread: machine thread. */
#ifndef VMRR_CORE_IRQ_H
#define VMRR_CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>

struct machine;

/* A wire into an input pin of a controller: wiring, not state. A line with a null set is unconnected. */
struct irq_line {
    void (*set)(void *opaque, unsigned pin, bool level);
    void *opaque;
    unsigned pin;
};

static inline void irq_set(struct irq_line line, bool level)
{
    if (line.set)
        line.set(line.opaque, line.pin, level);
}

static inline void irq_pulse(struct irq_line line)
{
    irq_set(line, true);
    irq_set(line, false);
}

/* What the CPU asks of its interrupt controllers. Implemented by lapic.c, which has the 8259 pair behind its LINT0
 * (virtual wire) and is installed by board_pc.c with machine_set_cpu_link; tests install their own. */
struct cpu_link_ops {
    /* The vector to deliver: acknowledges it (moves IRR to ISR, or the PIC's INTA). Called only while
     * machine_intr_pending; returns -1 for none (it vanished). */
    int (*acknowledge)(void *opaque);
    uint8_t (*read_cr8)(void *opaque); /* TPR bits 7:4 */
    void (*write_cr8)(void *opaque, uint8_t value);
    /* IA32_APIC_BASE, IA32_TSC_DEADLINE, x2APIC: false = not an MSR of this chip (the CPU raises #GP). */
    bool (*read_msr)(void *opaque, uint32_t index, uint64_t *value);
    bool (*write_msr)(void *opaque, uint32_t index, uint64_t value);
};

struct cpu_link {
    const struct cpu_link_ops *ops;
    void *opaque;
};

/* By the controllers: level of the CPU's INTR pin (after TPR and masks), and events. The accelerator looks at them at the
 * next instruction boundary. */
void machine_set_intr(struct machine *machine, bool level);
void machine_raise_nmi(struct machine *machine);
void machine_raise_smi(struct machine *machine); /* ignored: no SMM; traced only */
void machine_raise_init(struct machine *machine);
void machine_set_ferr_line(struct machine *machine, struct irq_line line); /* FERR# -> IRQ13 */
void machine_set_ferr(struct machine *machine, bool level);
/* By the chip behind port F0h: takes the request of FERR# back and, if FERR# stands, holds IGNNE# until it falls. */
void machine_set_ignne(struct machine *machine);
bool machine_ignne(const struct machine *machine);
void machine_set_a20(struct machine *machine, bool enabled);
bool machine_a20(const struct machine *machine);

#endif
