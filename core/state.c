/* Saving, restoring, dumping and comparing objects by their field tables: see state.h; digests: state_gather.c. */
#include "core/state.h"

#include <inttypes.h>
#include <string.h>

#define DUMP_ARRAY_MAX 64

static uint64_t element_get(const uint8_t *bytes, uint32_t size)
{
    uint64_t value = 0;
    switch (size) {
    case 1: return bytes[0];
    case 2: {
        uint16_t v;
        memcpy(&v, bytes, 2);
        value = v;
        break;
    }
    case 4: {
        uint32_t v;
        memcpy(&v, bytes, 4);
        value = v;
        break;
    }
    case 8: memcpy(&value, bytes, 8); break;
    default: CHECK(!"state element of 1, 2, 4 or 8 bytes");
    }
    return value;
}

static void element_set(uint8_t *bytes, uint32_t size, uint64_t value)
{
    switch (size) {
    case 1: bytes[0] = (uint8_t)value; break;
    case 2: {
        uint16_t v = (uint16_t)value;
        memcpy(bytes, &v, 2);
        break;
    }
    case 4: {
        uint32_t v = (uint32_t)value;
        memcpy(bytes, &v, 4);
        break;
    }
    case 8: memcpy(bytes, &value, 8); break;
    default: CHECK(!"state element of 1, 2, 4 or 8 bytes");
    }
}

size_t state_size(const struct state_field *fields)
{
    size_t size = 0;
    for (const struct state_field *field = fields; field->name; field++)
        size += (field->nested ? state_size(field->nested) : field->elem_size) * field->count;
    return size;
}

static uint8_t *save_field(const struct state_field *field, const uint8_t *object, uint8_t *out)
{
    const uint8_t *in = object + field->offset;
    if (field->nested) {
        for (uint32_t n = 0; n < field->count; n++, in += field->elem_size) {
            for (const struct state_field *inner = field->nested; inner->name; inner++)
                out = save_field(inner, in, out);
        }
        return out;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    size_t size = (size_t)field->elem_size * field->count;
    memcpy(out, in, size);
    return out + size;
#else
    for (uint32_t n = 0; n < field->count; n++, in += field->elem_size) {
        uint64_t value = element_get(in, field->elem_size);
        for (uint32_t byte = 0; byte < field->elem_size; byte++)
            *out++ = (uint8_t)(value >> (8 * byte));
    }
    return out;
#endif
}

void state_save(const struct state_field *fields, const void *object, uint8_t *out)
{
    for (const struct state_field *field = fields; field->name; field++)
        out = save_field(field, object, out);
}

static const uint8_t *load_field(const struct state_field *field, uint8_t *object, const uint8_t *in)
{
    uint8_t *out = object + field->offset;
    if (field->kept_offset)
        state_kept_touch((struct state_kept *)(void *)(object + field->kept_offset));
    for (uint32_t n = 0; n < field->count; n++, out += field->elem_size) {
        if (field->nested) {
            for (const struct state_field *inner = field->nested; inner->name; inner++)
                in = load_field(inner, out, in);
            continue;
        }
        uint64_t value = 0;
        for (uint32_t byte = 0; byte < field->elem_size; byte++)
            value |= (uint64_t)*in++ << (8 * byte);
        element_set(out, field->elem_size, field->boolean ? value != 0 : value);
    }
    return in;
}

enum status state_load(const struct state_field *fields, void *object, const uint8_t *in, size_t size)
{
    if (size != state_size(fields))
        return STATUS_CORRUPT;
    for (const struct state_field *field = fields; field->name; field++)
        in = load_field(field, object, in);
    return STATUS_OK;
}

static uint64_t digest_of(const struct state_field *field, const uint8_t *object)
{
    struct state_field table[2] = {*field, {.name = NULL}};
    table[0].kept_offset = 0;
    return state_digest(table, object, 0);
}

static void dump_field(const struct state_field *field, const uint8_t *object, const char *prefix, FILE *out)
{
    const uint8_t *in = object + field->offset;
    char path[256];
    if (field->nested) {
        for (uint32_t n = 0; n < field->count; n++) {
            snprintf(path, sizeof path, "%s.%s[%" PRIu32 "]", prefix, field->name, n);
            state_dump(field->nested, in + (size_t)n * field->elem_size, path, out);
        }
        return;
    }
    if (field->count > DUMP_ARRAY_MAX) {
        fprintf(out, "%s.%s = digest %016" PRIx64 "\n", prefix, field->name, digest_of(field, object));
        return;
    }
    fprintf(out, "%s.%s =", prefix, field->name);
    for (uint32_t n = 0; n < field->count; n++)
        fprintf(out, " %" PRIx64, element_get(in + (size_t)n * field->elem_size, field->elem_size));
    fputc('\n', out);
}

void state_dump(const struct state_field *fields, const void *object, const char *prefix, FILE *out)
{
    for (const struct state_field *field = fields; field->name; field++)
        dump_field(field, object, prefix, out);
}

struct diff {
    void (*report)(void *opaque, const char *path, uint64_t a, uint64_t b);
    void *opaque;
    size_t count;
};

static void diff_fields(const struct state_field *fields, const uint8_t *a, const uint8_t *b, const char *prefix,
                        struct diff *diff)
{
    char path[256];
    for (const struct state_field *field = fields; field->name; field++) {
        for (uint32_t n = 0; n < field->count; n++) {
            size_t offset = field->offset + (size_t)n * field->elem_size;
            const char *dot = *prefix ? "." : "";
            if (field->count > 1)
                snprintf(path, sizeof path, "%s%s%s[%" PRIu32 "]", prefix, dot, field->name, n);
            else
                snprintf(path, sizeof path, "%s%s%s", prefix, dot, field->name);
            if (field->nested) {
                diff_fields(field->nested, a + offset, b + offset, path, diff);
                continue;
            }
            uint64_t value_a = element_get(a + offset, field->elem_size);
            uint64_t value_b = element_get(b + offset, field->elem_size);
            if (value_a == value_b)
                continue;
            diff->count++;
            if (diff->report)
                diff->report(diff->opaque, path, value_a, value_b);
        }
    }
}

size_t state_diff(const struct state_field *fields, const void *a, const void *b,
                  void (*report)(void *opaque, const char *path, uint64_t a, uint64_t b), void *opaque)
{
    struct diff diff = {report, opaque, 0};
    diff_fields(fields, a, b, "", &diff);
    return diff.count;
}
