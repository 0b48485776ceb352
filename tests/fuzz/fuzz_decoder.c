/* The instruction decoder: whatever the bytes, in every mode. It reads nothing behind the available bytes, its lengths are
 * 1 to 15, and its answer depends on the instruction's bytes alone.
 * Input: the code; every offset of it is decoded in three modes. */
#include "accel-interp/decode.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define OFFSETS_MAX 64u

static struct decode_tables *open_tables(void)
{
    static struct decode_tables *tables; /* made once: read only */
    struct cpu_model model;
    struct error error = {{0}};
    if (!tables) {
        CHECK(cpu_model_init(&model, "vmrr", &error) == STATUS_OK);
        tables = decode_tables_create(&model);
    }
    return tables;
}

/* Decodes a copy that ends where the available bytes end. */
static enum decode_status decode(uint8_t mode, const uint8_t *bytes, unsigned available, struct decoded *out)
{
    uint8_t *copy = malloc(available ? available : 1);
    CHECK(copy);
    memcpy(copy, bytes, available);
    memset(out, 0xA5, sizeof *out);
    enum decode_status status = decode_insn(open_tables(), mode, copy, available, 0, 0, out);
    free(copy);
    return status;
}

static bool same(const struct decoded *a, const struct decoded *b)
{
    return a->row == b->row && a->leaves_page == b->leaves_page && a->reserved == b->reserved &&
           !memcmp(&a->insn, &b->insn, sizeof a->insn);
}

static void check_decoded(const struct decoded *d, uint8_t mode)
{
    CHECK(d->insn.len >= 1 && d->insn.len <= DECODE_BYTES_MAX && d->insn.fn && d->row);
    CHECK(d->insn.base < REG_COUNT && d->insn.scaled < REG_COUNT && d->insn.scale <= 3 && d->insn.seg <= CPU_GS);
    CHECK((mode & MODE_CODE_MASK) == MODE_CODE64 || (d->insn.base != REG_RIP && !(d->insn.bits & INSN_REX)));
}

static void check_offset(uint8_t mode, const uint8_t *bytes, unsigned available)
{
    struct decoded whole, again;
    enum decode_status status = decode(mode, bytes, available, &whole);
    CHECK(decode(mode, bytes, available, &again) == status && same(&whole, &again));
    switch (status) {
    case DECODE_OK:
        check_decoded(&whole, mode);
        CHECK(whole.insn.len <= available);
        /* nothing behind it matters, and nothing of it can be missing */
        CHECK(decode(mode, bytes, whole.insn.len, &again) == DECODE_OK && same(&whole, &again));
        for (unsigned less = 0; less < whole.insn.len; less++)
            CHECK(decode(mode, bytes, less, &again) == DECODE_MORE);
        break;
    case DECODE_UNDEFINED: CHECK(whole.insn.len >= 1 && whole.insn.len <= DECODE_BYTES_MAX); break;
    case DECODE_MORE: CHECK(available < DECODE_BYTES_MAX); break;
    case DECODE_TOO_LONG: CHECK(available >= DECODE_BYTES_MAX); break;
    default: CHECK(!"a status of the decoder");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t modes[] = {
        MODE_CODE16 | MODE_REAL,
        MODE_CODE16,
        MODE_CODE32 | MODE_FLAT | MODE_STACK32,
        MODE_CODE32 | MODE_USER | MODE_LONG,
        MODE_CODE64 | MODE_FLAT | MODE_STACK32 | MODE_LONG,
    };
    for (size_t at = 0; at <= size && at < OFFSETS_MAX; at++)
        for (unsigned mode = 0; mode < sizeof modes; mode++)
            check_offset(modes[mode], data + at, size - at > 16 ? 16 : (unsigned)(size - at));
    return 0;
}
