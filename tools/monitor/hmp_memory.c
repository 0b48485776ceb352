/* x, xp and print: QEMU's format "/COUNT FORMAT SIZE", format x d u o c i, size b h w g. Looking changes nothing: no access
 * bits, no device is read. */
#include "tools/monitor/hmp.h"

#include "core/debug.h"
#include "tools/disassemble.h"
#include "tools/session.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

#define BYTES_MAX (64u << 10)
#define LINE_BYTES 16u
#define INSTRUCTION_BYTES 15u

struct format {
    uint64_t count;
    char letter;
    unsigned size_bytes;
};

static unsigned size_of_letter(char letter)
{
    return letter == 'b' ? 1 : letter == 'h' ? 2 : letter == 'w' ? 4 : 8;
}

/* Returns what follows the format, or null after saying what is wrong. */
static const char *parse_format(const char *words, struct format *format, FILE *out)
{
    *format = (struct format){1, 'x', 4};
    if (*words != '/')
        return words;
    words++;
    if (isdigit((unsigned char)*words)) {
        format->count = 0;
        for (; isdigit((unsigned char)*words); words++) {
            if (format->count <= BYTES_MAX)
                format->count = format->count * 10 + (uint64_t)(*words - '0');
        }
    }
    for (; *words && *words != ' ' && *words != '\t'; words++) {
        if (strchr("xduoci", *words)) {
            format->letter = *words;
        } else if (strchr("bhwg", *words)) {
            format->size_bytes = size_of_letter(*words);
        } else {
            fprintf(out, "invalid char in format: '%c'\nTry \"help x\" for more information\n", *words);
            return NULL;
        }
    }
    if (format->letter == 'c')
        format->size_bytes = 1;
    return words;
}

static bool parse_value(struct session *session, const char *words, uint64_t *value, FILE *out)
{
    const char *end;
    words += strspn(words, " \t");
    if (!*words)
        fprintf(out, "an expression is expected\n");
    else if (!hmp_expression(session, words, value, &end))
        fprintf(out, "invalid expression at '%s'\n", end);
    else if (*end)
        fprintf(out, "extraneous characters at the end of line: '%s'\n", end);
    else
        return true;
    return false;
}

static size_t read_some(struct session *session, bool physical, uint64_t address, uint8_t *buffer, size_t size_bytes)
{
    return physical ? debug_read_physical(session->machine, address, buffer, size_bytes)
                    : debug_read_linear(session->machine, address, buffer, size_bytes);
}

static void print_character(uint8_t c, FILE *out)
{
    static const char plain[] = "\n\r\t\\'", shown[] = "nrt\\'";
    const char *at = c ? strchr(plain, c) : NULL;
    if (at)
        fprintf(out, "'\\%c'", shown[at - plain]);
    else if (c >= 32 && c <= 126)
        fprintf(out, "'%c'", c);
    else
        fprintf(out, "'\\x%02x'", c);
}

static void print_value(uint64_t value, const struct format *format, bool padded, FILE *out)
{
    static const int decimal[9] = {0, 4, 6, 0, 11, 0, 0, 0, 21}, octal[9] = {0, 3, 6, 0, 11, 0, 0, 0, 22};
    unsigned shift = 64 - 8 * format->size_bytes;
    int64_t number = (int64_t)(value << shift) >> shift;
    switch (format->letter) {
    case 'd': fprintf(out, "%*" PRId64, padded ? decimal[format->size_bytes] : 0, number); break;
    case 'u': fprintf(out, "%*" PRIu64, padded ? decimal[format->size_bytes] : 0, value); break;
    case 'o': fprintf(out, "0%0*" PRIo64, padded ? octal[format->size_bytes] : 0, value); break;
    case 'c': print_character((uint8_t)value, out); break;
    default: fprintf(out, "0x%0*" PRIx64, padded ? (int)format->size_bytes * 2 : 0, value); break;
    }
}

static uint64_t little_endian(const uint8_t *bytes, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned n = size_bytes; n > 0; n--)
        value = value << 8 | bytes[n - 1];
    return value;
}

static void dump(struct session *session, bool physical, uint64_t address, const struct format *format, FILE *out)
{
    unsigned per_line = format->letter == 'o' || format->letter == 'd' || format->letter == 'u' ? 4 : 0;
    if (format->letter == 'c')
        per_line = 8;
    if (!per_line || format->size_bytes == 1)
        per_line = format->size_bytes == 1 ? 8 : LINE_BYTES / format->size_bytes;
    if (format->size_bytes == 8)
        per_line = 2;
    for (uint64_t done = 0; done < format->count; done++) {
        uint8_t bytes[8];
        if (done % per_line == 0)
            fprintf(out, "%s%0*" PRIx64 ":", done ? "\n" : "", 16, address);
        if (read_some(session, physical, address, bytes, format->size_bytes) < format->size_bytes) {
            fprintf(out, " Cannot access memory");
            break;
        }
        fputc(' ', out);
        print_value(little_endian(bytes, format->size_bytes), format, true, out);
        address += format->size_bytes;
    }
    fputc('\n', out);
}

static void list(struct session *session, bool physical, uint64_t address, uint64_t count, FILE *out)
{
    uint8_t code[INSTRUCTION_BYTES];
    unsigned bits;
    (void)debug_code_address(session->machine, &bits);
    for (; count; count--) {
        size_t got = read_some(session, physical, address, code, sizeof code);
        size_t used = got ? disassemble_one(code, got, address, bits, out) : 0;
        if (!used) {
            fprintf(out, got ? "0x%08" PRIx64 ":  not an instruction\n" : "0x%08" PRIx64 ": unable to read memory\n",
                    address);
            return;
        }
        address += used;
    }
}

static void examine(struct session *session, const char *words, bool physical, FILE *out)
{
    struct format format;
    uint64_t address;
    words = parse_format(words, &format, out);
    if (!words || !parse_value(session, words, &address, out))
        return;
    if (format.count > BYTES_MAX / (format.letter == 'i' ? INSTRUCTION_BYTES : format.size_bytes))
        fprintf(out, "at most %u bytes at once\n", BYTES_MAX);
    else if (format.letter == 'i')
        list(session, physical, address, format.count, out);
    else if (format.count)
        dump(session, physical, address, &format, out);
}

void hmp_examine(struct session *session, const char *words, FILE *out)
{
    examine(session, words, false, out);
}

void hmp_examine_physical(struct session *session, const char *words, FILE *out)
{
    examine(session, words, true, out);
}

void hmp_print(struct session *session, const char *words, FILE *out)
{
    struct format format;
    uint64_t value;
    bool given = *words == '/';
    words = parse_format(words, &format, out);
    if (!words || !parse_value(session, words, &value, out))
        return;
    if (!given)
        format.letter = 'd';
    if (format.letter != 'c')
        format.size_bytes = 8;
    print_value(value, &format, false, out);
    fputc('\n', out);
}
