/* Small helpers of the command line: messages, numbers, the host's clock. */
#include "tools/tools.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void tool_error(const char *format, ...)
{
    va_list arguments;
    fputs("vmrr: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* base 0: as C writes numbers. */
static enum status parse_number(const char *text, int base, uint64_t *value, const char **end)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return STATUS_INVALID;
    errno = 0;
    *value = strtoull(text, &stop, base);
    *end = stop;
    return errno ? STATUS_INVALID : STATUS_OK;
}

enum status parse_u64(const char *text, uint64_t *value)
{
    const char *end;
    enum status status = parse_number(text, 0, value, &end);
    return status ? status : *end ? STATUS_INVALID : STATUS_OK;
}

/* The digits behind a point, as a part of 1. */
static double parse_fraction(const char **at)
{
    double part = 0, weight = 1;
    for (++*at; **at >= '0' && **at <= '9'; ++*at)
        part += (**at - '0') * (weight /= 10);
    return part;
}

enum status parse_size(const char *text, uint64_t default_unit, uint64_t *value)
{
    static const char units[] = "bkmgtpe";
    const char *end;
    bool hexadecimal = text[0] == '0' && (text[1] | 0x20) == 'x';
    enum status status = parse_number(text, hexadecimal ? 16 : 10, value, &end);
    uint64_t unit = default_unit;
    double fraction = 0;
    if (!status && *end == '.' && !hexadecimal)
        fraction = parse_fraction(&end);
    if (status)
        return status;
    if (*end) {
        const char *found = strchr(units, *end | 0x20);
        if (!found || end[1])
            return STATUS_INVALID;
        unit = 1ull << (10 * (found - units));
    }
    if (*value > UINT64_MAX / unit || (fraction > 0 && unit == 1))
        return STATUS_INVALID;
    *value *= unit;
    uint64_t more = (uint64_t)(fraction * (double)unit + 0.5);
    if (*value > UINT64_MAX - more)
        return STATUS_INVALID;
    *value += more;
    return STATUS_OK;
}

const char *format_count(uint64_t value, char *buffer, size_t size)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%" PRIu64, value);
    size_t out = 0;
    for (int n = 0; n < length && out + 2 < size; n++) {
        if (n && (length - n) % 3 == 0)
            buffer[out++] = ',';
        buffer[out++] = digits[n];
    }
    buffer[out] = 0;
    return buffer;
}

const char *format_bytes(uint64_t value, char *buffer, size_t size)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double scaled = (double)value;
    unsigned unit = 0;
    while (scaled >= 1024 && unit < 4) {
        scaled /= 1024;
        unit++;
    }
    snprintf(buffer, size, unit ? "%.1f %s" : "%.0f %s", scaled, units[unit]);
    return buffer;
}

uint64_t host_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}
