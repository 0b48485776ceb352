/* See symbols.h. A kernel that moves itself (KASLR) has other addresses than its System.map: boot it with nokaslr. */
#include "tools/symbols.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DISTANCE_MAX (1u << 20) /* farther is not in the function */

struct symbol {
    uint64_t address;
    char *name;
};

struct symbols {
    struct symbol *symbol;
    size_t count, capacity;
};

static bool add(struct symbols *symbols, uint64_t address, const char *name)
{
    if (symbols->count == symbols->capacity) {
        size_t capacity = symbols->capacity ? symbols->capacity * 2 : 1024;
        struct symbol *grown = realloc(symbols->symbol, capacity * sizeof *grown);
        if (!grown)
            return false;
        symbols->symbol = grown;
        symbols->capacity = capacity;
    }
    char *copy = strdup(name);
    if (copy)
        symbols->symbol[symbols->count++] = (struct symbol){address, copy};
    return copy != NULL;
}

/* Of one address the first name in the file stays first: qsort is told the order. */
static int by_address(const void *a, const void *b)
{
    const struct symbol *left = a, *right = b;
    if (left->address != right->address)
        return left->address < right->address ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* "ffffffff81000000 T _text"; undefined symbols have no address. False: not such a line, or no memory. */
static bool take_line(struct symbols *symbols, char *line)
{
    char *end, *name = line + strcspn(line, "0123456789abcdefABCDEF");
    uint64_t address = strtoull(line, &end, 16);
    size_t digits = (size_t)(end - name);
    if (strspn(line, " ") > 4 && strstr(line, " U "))
        return true;
    if (name != line || digits < 8 || digits > 16 || end[0] != ' ' || !end[1] || end[2] != ' ')
        return false;
    name = end + 3;
    name[strcspn(name, "\t\n ")] = 0;
    return !*name || !strchr("tTwW", end[1]) || add(symbols, address, name);
}

struct symbols *symbols_read(const char *path, struct error *error)
{
    char line[1024];
    FILE *file = fopen(path, "re");
    struct symbols *symbols = file ? calloc(1, sizeof *symbols) : NULL;
    if (!symbols) {
        error_set(error, "%s: %s", path, strerror(errno));
        if (file)
            fclose(file);
        return NULL;
    }
    bool good = true;
    while (good && fgets(line, sizeof line, file))
        good = take_line(symbols, line);
    fclose(file);
    if (!good || !symbols->count) {
        error_set(error, "%s: expected lines as \"ffffffff81000000 T _text\"", path);
        symbols_destroy(symbols);
        return NULL;
    }
    qsort(symbols->symbol, symbols->count, sizeof *symbols->symbol, by_address);
    return symbols;
}

void symbols_destroy(struct symbols *symbols)
{
    if (!symbols)
        return;
    for (size_t n = 0; n < symbols->count; n++)
        free(symbols->symbol[n].name);
    free(symbols->symbol);
    free(symbols);
}

bool symbols_name(const struct symbols *symbols, uint64_t address, char *out, size_t size)
{
    size_t low = 0, high = symbols->count; /* symbols before low are at or before the address */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (symbols->symbol[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (!low || address - symbols->symbol[low - 1].address > DISTANCE_MAX)
        return false;
    snprintf(out, size, "%s+0x%" PRIx64, symbols->symbol[low - 1].name, address - symbols->symbol[low - 1].address);
    return true;
}
