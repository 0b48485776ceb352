/* State by field table: one list gives the struct members, saving, restoring, digest, diff and dump together.
 *
 * A list is an X-macro over four parameters: S (scalar), A (array), N (array of nested structs) and T (the struct type):
 *
 *     #define PIT_CHANNEL_STATE(S, A, N, T) \
 *         S(T, uint16_t, reload)            \
 *         S(T, uint8_t, mode)
 *     struct pit_channel { STATE_MEMBERS(PIT_CHANNEL_STATE) };
 *     STATE_TABLE(pit_channel_fields, struct pit_channel, PIT_CHANNEL_STATE);
 *
 *     #define PIT_STATE(S, A, N, T)                                  \
 *         N(T, struct pit_channel, channel, 3, pit_channel_fields)   \
 *         S(T, bool, speaker_gate)
 *     struct pit { struct device device; STATE_MEMBERS(PIT_STATE) struct irq_line irq; }; // irq: wiring, not state
 *     STATE_TABLE(pit_fields, struct pit, PIT_STATE);
 *
 * Element types: bool, uint8_t..uint64_t, int8_t..int64_t. No pointers, floats or enums (store an enum as uint8_t or
 * uint32_t). All formats are little-endian, elements packed in list order.
 * Invariants: (1) every guest-visible bit that is not derivable from others is in a list; (2) wiring, configuration and
 * caches are not; (3) the digest is over the saved bytes, so equal digests mean equal states. */
#ifndef VMRR_CORE_STATE_H
#define VMRR_CORE_STATE_H

#include "core/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct state_field {
    const char *name;
    uint32_t offset;
    uint32_t elem_size; /* bytes; of the nested struct when nested is set */
    uint32_t count;
    const struct state_field *nested; /* null for integers */
    bool boolean;                     /* loads as 0 or 1 whatever a damaged file says */
    uint32_t kept_offset;             /* of a struct state_kept beside the array; 0: none */
};

/* The hash of a large array, kept until its owner says that the array has changed. All zero: not known. */
struct state_kept {
    uint64_t hash;
    bool known;
};
/* After every write to the array. */
static inline void state_kept_touch(struct state_kept *kept)
{
    kept->known = false;
}

#define STATE_MEMBER_S_(T, type, name) type name;
#define STATE_MEMBER_A_(T, type, name, n) type name[n];
#define STATE_MEMBER_N_(T, type, name, n, table) type name[n];
#define STATE_MEMBERS(LIST) LIST(STATE_MEMBER_S_, STATE_MEMBER_A_, STATE_MEMBER_N_, unused)

#define STATE_IS_BOOL_(type) _Generic((type)0, bool : true, default : false)
#define STATE_ROW_S_(T, type, name)                                                                                    \
    {#name, (uint32_t)offsetof(T, name), (uint32_t)sizeof(type), 1, NULL, STATE_IS_BOOL_(type), 0},
#define STATE_ROW_A_(T, type, name, n)                                                                                 \
    {#name, (uint32_t)offsetof(T, name), (uint32_t)sizeof(type), (uint32_t)(n), NULL, STATE_IS_BOOL_(type), 0},
#define STATE_ROW_N_(T, type, name, n, table)                                                                          \
    {#name, (uint32_t)offsetof(T, name), (uint32_t)sizeof(type), (uint32_t)(n), table, false, 0},
/* A nested struct's table of one array whose hash is kept: struct T { type name[n]; struct state_kept kept; } */
#define STATE_TABLE_KEPT(var, T, type, name, n)                                                                        \
    static const struct state_field var[] = {{#name, (uint32_t)offsetof(T, name), (uint32_t)sizeof(type),              \
                                              (uint32_t)(n), NULL, STATE_IS_BOOL_(type), (uint32_t)offsetof(T, kept)}, \
                                             {NULL, 0, 0, 0, NULL, false, 0}}
#define STATE_TABLE(var, T, LIST)                                                                                      \
    static const struct state_field var[] = {                                                                          \
        LIST(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, T){NULL, 0, 0, 0, NULL, false, 0}}

/* Bytes that state_save writes. */
size_t state_size(const struct state_field *fields);
/* Writes exactly state_size bytes to out. */
void state_save(const struct state_field *fields, const void *object, uint8_t *out);
/* Reads exactly state_size bytes; any other size is STATUS_CORRUPT and changes nothing. */
enum status state_load(const struct state_field *fields, void *object, const uint8_t *in, size_t size) MUST_CHECK;

/* ---- digests ----
 *
 * XXH3-64, with a seed, of the saved bytes of the objects one after the other, an array of more than
 * STATE_LARGE_ARRAY_BYTES standing in there as its own XXH3-64 (seed 0). Equal on every host. */
#define STATE_LARGE_ARRAY_BYTES 1024u
uint64_t state_digest(const struct state_field *fields, const void *object, uint64_t seed);

/* The same for many objects and often: knows where their bytes lie, gathers them and hashes once. Builds without
 * optimisation or with ASan look whether kept hashes are still true (CHECK). */
struct state_gather;
struct state_gather *state_gather_create(void);
void state_gather_destroy(struct state_gather *gather); /* null allowed */
/* object: borrowed; digesting changes nothing in it but kept hashes. */
void state_gather_add(struct state_gather *gather, const struct state_field *fields, void *object);
uint64_t state_gather_digest(struct state_gather *gather, uint64_t seed);

/* One line a field, "prefix.name = value", hex; arrays of more than 64 elements as their digest. */
void state_dump(const struct state_field *fields, const void *object, const char *prefix, FILE *out);
/* Calls report for each differing scalar or element ("channel[1].mode", a, b); returns the number of differences. */
size_t state_diff(const struct state_field *fields, const void *a, const void *b,
                  void (*report)(void *opaque, const char *path, uint64_t a, uint64_t b), void *opaque);

#endif
