/* Days and dates. Years are counted from March, so that the leap day is the last of its year and the lengths of the
 * months before any month are a linear function. */
#include "devices/rtc_calendar.h"

#define DAYS_PER_400_YEARS 146097
#define DAYS_FROM_MARCH_0000_TO_1970 719468
#define SECONDS_PER_DAY 86400

int64_t rtc_calendar_floor_div(int64_t value, int64_t divisor)
{
    int64_t quotient = value / divisor;
    return quotient - (value % divisor < 0);
}

/* Days before the month that is m months after March. */
static int64_t days_before_month(int64_t months_after_march)
{
    return (153 * months_after_march + 2) / 5;
}

static int64_t days_before_year(int64_t year)
{
    return 365 * year + rtc_calendar_floor_div(year, 4) - rtc_calendar_floor_div(year, 100) +
           rtc_calendar_floor_div(year, 400);
}

struct rtc_calendar rtc_calendar_from_seconds(int64_t seconds)
{
    int64_t days = rtc_calendar_floor_div(seconds, SECONDS_PER_DAY);
    int32_t of_day = (int32_t)(seconds - days * SECONDS_PER_DAY);
    days += DAYS_FROM_MARCH_0000_TO_1970;
    int64_t year = rtc_calendar_floor_div(days * 400, DAYS_PER_400_YEARS) + 1;
    while (days_before_year(year) > days)
        year--;
    int64_t of_year = days - days_before_year(year);
    int64_t month = (5 * of_year + 2) / 153;
    return (struct rtc_calendar){
        .year = (int32_t)(year + (month >= 10)),
        .month = (uint8_t)(month < 10 ? month + 3 : month - 9),
        .day = (uint8_t)(of_year - days_before_month(month) + 1),
        .hour = (uint8_t)(of_day / 3600),
        .minute = (uint8_t)(of_day / 60 % 60),
        .second = (uint8_t)(of_day % 60),
    };
}

int64_t rtc_calendar_to_seconds(const struct rtc_calendar *calendar)
{
    int64_t months = (int64_t)calendar->year * 12 + calendar->month - 3;
    int64_t year = rtc_calendar_floor_div(months, 12);
    int64_t days = days_before_year(year) + days_before_month(months - year * 12) + calendar->day - 1;
    return (days - DAYS_FROM_MARCH_0000_TO_1970) * SECONDS_PER_DAY + calendar->hour * 3600 + calendar->minute * 60 +
           calendar->second;
}
