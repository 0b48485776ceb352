/* Civil time in the proleptic Gregorian calendar, UTC. */
#ifndef VMRR_DEVICES_RTC_CALENDAR_H
#define VMRR_DEVICES_RTC_CALENDAR_H

#include <stdint.h>

struct rtc_calendar {
    int32_t year;       /* 1970 */
    uint8_t month, day; /* from 1 */
    uint8_t hour, minute, second;
};

/* seconds since 1970; any int32 year's worth. */
struct rtc_calendar rtc_calendar_from_seconds(int64_t seconds);
/* Fields out of their range carry over. */
int64_t rtc_calendar_to_seconds(const struct rtc_calendar *calendar);
int64_t rtc_calendar_floor_div(int64_t value, int64_t divisor);

#endif
