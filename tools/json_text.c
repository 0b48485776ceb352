/* See json_text.h. */
#include "tools/json_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void json_set_number(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

void json_set_hex(json_t *object, const char *key, uint64_t value, int digits)
{
    char text[24];
    snprintf(text, sizeof text, "0x%0*" PRIx64, digits, value);
    json_object_set_new(object, key, json_string(text));
}

json_t *json_text(const char *text, size_t size)
{
    char *wide = malloc(2 * size + 1);
    size_t used = 0;
    CHECK(wide);
    for (size_t n = 0; n < size; n++) {
        uint8_t byte = (uint8_t)text[n];
        if (byte >= 0x80)
            wide[used++] = (char)(0xC0 | byte >> 6);
        wide[used++] = (char)(byte >= 0x80 ? 0x80 | (byte & 0x3F) : byte);
    }
    json_t *string = json_stringn(wide, used);
    free(wide);
    return string;
}

void json_set_step(json_t *object, const struct block_step *step, const char *path, size_t path_size)
{
    json_object_set_new(object, "kind", json_string(block_step_name((enum block_step_kind)step->kind)));
    json_object_set_new(object, "file", json_text(path, path_size));
    json_set_number(object, "file_index", step->file);
    json_set_number(object, "offset", step->offset);
    json_set_number(object, "size", step->size_bytes);
    json_set_number(object, "status", (uint64_t)(int64_t)step->status);
    json_set_hex(object, "value", step->value, 1);
}

void json_print_line(json_t *object)
{
    json_dumpf(object, stdout, JSON_COMPACT | JSON_SORT_KEYS);
    putchar('\n');
    json_decref(object);
}
