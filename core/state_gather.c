/* Digests of objects by their field tables: see state.h.
 *
 * The tables are walked once: what lies side by side in an object becomes one part. A digest copies the parts into one
 * buffer and hashes that. */
#define XXH_INLINE_ALL
#include "core/state.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ELEMENTS_MERGE(a, b) true
#else
#define ELEMENTS_MERGE(a, b) ((a) == (b))
#endif

struct part {
    uint8_t *at;
    uint32_t size_bytes;
    uint32_t elem_size; /* where memory is not little-endian already */
    bool large;         /* goes in as its hash */
    struct state_kept *kept;
};

struct state_gather {
    struct part *part;
    size_t part_count, part_capacity;
    uint8_t *image;
    size_t image_bytes;
};

struct state_gather *state_gather_create(void)
{
    struct state_gather *gather = calloc(1, sizeof *gather);
    CHECK(gather);
    return gather;
}

void state_gather_destroy(struct state_gather *gather)
{
    if (!gather)
        return;
    free(gather->part);
    free(gather->image);
    free(gather);
}

/* ---- adding ---- */

static void add_part(struct state_gather *gather, struct part part)
{
    struct part *last = gather->part_count ? &gather->part[gather->part_count - 1] : NULL;
    gather->image_bytes += part.large ? sizeof(uint64_t) : part.size_bytes;
    if (last && !last->large && !part.large && last->at + last->size_bytes == part.at &&
        ELEMENTS_MERGE(last->elem_size, part.elem_size)) {
        last->size_bytes += part.size_bytes;
        return;
    }
    if (gather->part_count == gather->part_capacity) {
        gather->part_capacity = gather->part_capacity ? gather->part_capacity * 2 : 64;
        gather->part = realloc(gather->part, gather->part_capacity * sizeof *gather->part);
        CHECK(gather->part);
    }
    gather->part[gather->part_count++] = part;
}

static void add_fields(struct state_gather *gather, const struct state_field *fields, uint8_t *object)
{
    for (const struct state_field *field = fields; field->name; field++) {
        uint8_t *at = object + field->offset;
        if (field->nested) {
            for (uint32_t n = 0; n < field->count; n++, at += field->elem_size)
                add_fields(gather, field->nested, at);
            continue;
        }
        struct part part = {.at = at, .size_bytes = field->elem_size * field->count, .elem_size = field->elem_size};
        part.large = part.size_bytes > STATE_LARGE_ARRAY_BYTES;
        if (part.large && field->kept_offset)
            part.kept = (struct state_kept *)(void *)(object + field->kept_offset);
        add_part(gather, part);
    }
}

void state_gather_add(struct state_gather *gather, const struct state_field *fields, void *object)
{
    add_fields(gather, fields, object);
    gather->image = realloc(gather->image, gather->image_bytes + 1);
    CHECK(gather->image);
}

/* ---- hashing ---- */

static void put_le64(uint8_t *out, uint64_t value)
{
    for (int n = 0; n < 8; n++)
        out[n] = (uint8_t)(value >> (8 * n));
}

static uint8_t *put_part(const struct part *part, uint8_t *out)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(out, part->at, part->size_bytes);
#else
    for (uint32_t n = 0; n < part->size_bytes; n++)
        out[n] = part->at[n / part->elem_size * part->elem_size + (part->elem_size - 1 - n % part->elem_size)];
#endif
    return out + part->size_bytes;
}

static uint64_t hash_array(const struct part *part)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return XXH3_64bits(part->at, part->size_bytes);
#else
    uint8_t *bytes = malloc(part->size_bytes);
    CHECK(bytes);
    put_part(part, bytes);
    uint64_t hash = XXH3_64bits(bytes, part->size_bytes);
    free(bytes);
    return hash;
#endif
}

static uint64_t hash_large(const struct part *part)
{
    struct state_kept *kept = part->kept;
    if (!kept)
        return hash_array(part);
    if (!kept->known) {
        kept->hash = hash_array(part);
        kept->known = true;
    }
#if !defined(__OPTIMIZE__) || defined(__SANITIZE_ADDRESS__)
    CHECK(kept->hash == hash_array(part)); /* someone wrote and did not say so */
#endif
    return kept->hash;
}

uint64_t state_gather_digest(struct state_gather *gather, uint64_t seed)
{
    uint8_t *out = gather->image;
    for (size_t n = 0; n < gather->part_count; n++) {
        const struct part *part = &gather->part[n];
        if (part->large) {
            put_le64(out, hash_large(part));
            out += sizeof(uint64_t);
        } else {
            out = put_part(part, out);
        }
    }
    CHECK(out == gather->image + gather->image_bytes);
    return XXH3_64bits_withSeed(gather->image, gather->image_bytes, seed);
}

uint64_t state_digest(const struct state_field *fields, const void *object, uint64_t seed)
{
    struct state_gather *gather = state_gather_create();
    state_gather_add(gather, fields, (void *)(uintptr_t)object);
    for (size_t n = 0; n < gather->part_count; n++)
        gather->part[n].kept = NULL; /* const: nothing is kept */
    uint64_t digest = state_gather_digest(gather, seed);
    state_gather_destroy(gather);
    return digest;
}
