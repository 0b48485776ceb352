/* MC146818 real-time clock and CMOS memory (ports 70h, 71h). Thread: machine thread.
 *
 * The time of day is asked of the input once, in create; from then on it goes with virtual time, through resets too. */
#ifndef VMRR_DEVICES_RTC_MC146818_H
#define VMRR_DEVICES_RTC_MC146818_H

#include "core/device.h"
#include "core/irq.h"

#define RTC_CMOS_BYTES 128
#define RTC_CMOS_CENTURY 0x32 /* BCD century, kept by the clock; the FADT names it */

extern const struct device_class rtc_mc146818_class;

struct device *rtc_mc146818_create(struct machine *machine, struct irq_line irq8);
/* Raw bytes, for what firmware expects to find (memory size, boot order); index RTC_CMOS_FIRST_FREE and above. */
#define RTC_CMOS_FIRST_FREE 0x0E
void rtc_cmos_set(struct device *device, unsigned index, uint8_t value);
uint8_t rtc_cmos_get(struct device *device, unsigned index);
/* Bit 7 of port 70h: board NMI sources are off. */
bool rtc_nmi_masked(struct device *device);

#endif
