/* What lapic.c and lapic_timer.c share. */
#ifndef VMRR_DEVICES_LAPIC_INTERNAL_H
#define VMRR_DEVICES_LAPIC_INTERNAL_H

#include "core/machine.h"
#include "devices/lapic.h"

#define SVR_ENABLE 0x100u
#define LVT_MASKED 0x10000u
#define TIMER_MODE 0x60000u
#define TIMER_PERIODIC 0x20000u
#define TIMER_DEADLINE 0x40000u

enum lvt_index { LVT_TIMER, LVT_THERMAL, LVT_PERFORMANCE, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define LAPIC_STATE(S, A, N, T)                                                                                        \
    S(T, uint64_t, base_msr)                                                                                           \
    S(T, uint8_t, id)                                                                                                  \
    S(T, uint32_t, tpr)                                                                                                \
    S(T, uint8_t, logical_id)                                                                                          \
    S(T, uint8_t, destination_format) /* bits 31:28 of DFR */                                                          \
    S(T, uint32_t, svr)                                                                                                \
    A(T, uint32_t, isr, 8)                                                                                             \
    A(T, uint32_t, tmr, 8)                                                                                             \
    A(T, uint32_t, irr, 8)                                                                                             \
    S(T, uint32_t, esr)                                                                                                \
    S(T, uint32_t, esr_next) /* errors since the last write of ESR */                                                  \
    A(T, uint32_t, icr, 2)                                                                                             \
    A(T, uint32_t, lvt, 6)                                                                                             \
    A(T, bool, lint, 2) /* levels of the pins */                                                                       \
    S(T, bool, extint)  /* an ExtINT message waits for the 8259's INTA */                                              \
    S(T, uint32_t, timer_initial)                                                                                      \
    S(T, uint32_t, timer_divide)                                                                                       \
    S(T, uint32_t, timer_count) /* at timer_start_ns; 0: not counting */                                               \
    S(T, uint64_t, timer_start_ns)                                                                                     \
    S(T, uint64_t, tsc_deadline) /* ns = TSC ticks; 0: disarmed */
struct lapic {
    struct device device;
    STATE_MEMBERS(LAPIC_STATE)
    struct device *pic;
    void (*eoi)(void *opaque, uint8_t vector);
    void *eoi_opaque;
    struct bus_mapping *mapping;
    struct vtimer timer;
};

/* A local interrupt source fires: delivers as its LVT entry says. */
void lapic_local(struct lapic *lapic, enum lvt_index index);

static inline uint32_t lapic_timer_mode(const struct lapic *lapic)
{
    return lapic->lvt[LVT_TIMER] & TIMER_MODE;
}

/* Arms the vtimer by the fields. */
void lapic_timer_arm(struct lapic *lapic);
void lapic_timer_fire(void *opaque);
uint32_t lapic_timer_current(const struct lapic *lapic);
/* Re-bases the count on the latest tick, before something that it depends on changes. */
void lapic_timer_rebase(struct lapic *lapic);
void lapic_timer_write_initial(struct lapic *lapic, uint32_t value);
void lapic_timer_write_divide(struct lapic *lapic, uint32_t value);
/* The LVT entry has been written with another mode, after a rebase under the old one. */
void lapic_timer_mode_changed(struct lapic *lapic, uint32_t old_mode);

#endif
