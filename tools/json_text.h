/* JSON values as the commands print them. */
#ifndef VMRR_TOOLS_JSON_TEXT_H
#define VMRR_TOOLS_JSON_TEXT_H

#include "block/activity.h"

#include <jansson.h>

void json_set_number(json_t *object, const char *key, uint64_t value); /* at most 63 bits, as jansson has it */
void json_set_hex(json_t *object, const char *key, uint64_t value, int digits);
/* Bytes beyond ASCII as the characters of those numbers: what is not text is still JSON. */
json_t *json_text(const char *text, size_t size);
void json_set_step(json_t *object, const struct block_step *step, const char *path, size_t path_size);
void json_print_line(json_t *object); /* and lets it go */

#endif
