/* High precision event timers at FED00000h: 100 MHz, 64 bits, three timers. Thread: machine thread.
 *
 * In legacy replacement mode timers 0 and 1 take the place of the PIT on IRQ0 and of the RTC on IRQ8: the board gives
 * create the ISA lines IRQ0 and IRQ8, and the PIT and the RTC the lines hpet_pit_line and hpet_rtc_line, which lead
 * through here. */
#ifndef VMRR_DEVICES_HPET_H
#define VMRR_DEVICES_HPET_H

#include "core/device.h"
#include "core/irq.h"

#define HPET_BASE 0xFED00000ull
#define HPET_PERIOD_FS 10000000u
#define HPET_TIMERS 3u
#define HPET_ID 0x8086A201u /* low half of the capabilities register, for the ACPI table */

extern const struct device_class hpet_class;

/* gsi: the line of I/O APIC pin 0; its pin number is replaced by the one a timer is routed to. */
struct device *hpet_create(struct machine *machine, struct irq_line irq0, struct irq_line irq8, struct irq_line gsi);
struct irq_line hpet_pit_line(struct device *device);
struct irq_line hpet_rtc_line(struct device *device);

#endif
