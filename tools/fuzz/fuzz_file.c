/* vmrr fuzz: a case as a file, to be run again and sent to others. Text, so that it can be looked at and changed. */
#include "tools/fuzz/fuzz.h"
#include "tools/json_text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FILE_BYTES_MAX (1u << 20)

/* ---- writing ---- */

static json_t *hex_string(const uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";
    char *text = malloc(2 * size + 1);
    CHECK(text);
    for (size_t n = 0; n < size; n++) {
        text[2 * n] = digits[bytes[n] >> 4];
        text[2 * n + 1] = digits[bytes[n] & 15];
    }
    json_t *string = json_stringn(text, 2 * size);
    free(text);
    return string;
}

static json_t *insn_json(const struct fuzz_insn *insn)
{
    json_t *object = json_object();
    json_object_set_new(object, "bytes", hex_string(insn->bytes, insn->length));
    if (insn->rip_disp_at) {
        json_set_number(object, "displacement_at", insn->rip_disp_at);
        json_set_hex(object, "target", insn->rip_target, 1);
    }
    return object;
}

/* Runs of bytes that are not zero, by their addresses. */
static json_t *data_json(const uint8_t *data)
{
    json_t *list = json_array();
    for (unsigned at = 0; at < NATIVE_DATA_BYTES;) {
        unsigned end = at;
        while (end < NATIVE_DATA_BYTES && data[end])
            end++;
        if (end == at) {
            at++;
            continue;
        }
        json_t *run = json_object();
        json_set_hex(run, "address", NATIVE_DATA + at, 1);
        json_object_set_new(run, "bytes", hex_string(data + at, end - at));
        json_array_append_new(list, run);
        at = end;
    }
    return list;
}

json_t *fuzz_case_json(const struct fuzz_case *fuzz)
{
    json_t *object = json_object(), *insns = json_array(), *gpr = json_array();
    json_object_set_new(object, "format", json_string("vmrr-fuzz-1"));
    json_set_hex(object, "seed", fuzz->seed, 1);
    json_set_number(object, "mode", fuzz->bits);
    if (!fuzz->level)
        json_set_number(object, "level", 0);
    if (fuzz->paging)
        json_object_set_new(object, "paging", json_string(fuzz_paging_name(fuzz->paging)));
    json_set_number(object, "offset", fuzz->offset);
    json_set_hex(object, "rflags", fuzz->in.rflags, 1);
    for (unsigned n = 0; n < fuzz->count; n++)
        json_array_append_new(insns, insn_json(&fuzz->insn[n]));
    json_object_set_new(object, "code", insns);
    for (unsigned n = 0; n < 16; n++) {
        char text[24];
        snprintf(text, sizeof text, "0x%" PRIx64, fuzz->in.gpr[n]);
        json_array_append_new(gpr, json_string(text));
    }
    json_object_set_new(object, "gpr", gpr);
    json_object_set_new(object, "fxsave", hex_string(fuzz->in.fx, NATIVE_FX_BYTES));
    json_object_set_new(object, "ymm_high", hex_string((const uint8_t *)fuzz->in.high, sizeof fuzz->in.high));
    json_object_set_new(object, "data", data_json(fuzz->data));
    return object;
}

enum status fuzz_case_write(const struct fuzz_case *fuzz, const char *path, struct error *error)
{
    json_t *object = fuzz_case_json(fuzz);
    bool good = !json_dump_file(object, path, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(object);
    return good ? STATUS_OK : error_status(error, STATUS_IO, "%s: can't write", path);
}

/* ---- reading ---- */

static bool get_hex_bytes(const json_t *value, uint8_t *out, size_t max, size_t *size)
{
    const char *text = json_string_value(value);
    size_t length = text ? strlen(text) : 1;
    if (length % 2 || length / 2 > max || strspn(text, "0123456789abcdef") != length)
        return false;
    for (size_t n = 0; n < length / 2; n++) {
        char pair[3] = {text[2 * n], text[2 * n + 1], 0};
        out[n] = (uint8_t)strtoul(pair, NULL, 16);
    }
    *size = length / 2;
    return true;
}

static bool get_hex_whole(const json_t *value, void *out, size_t size)
{
    size_t got = 0;
    return get_hex_bytes(value, out, size, &got) && got == size;
}

static bool get_number(const json_t *value, uint64_t *out)
{
    const char *text = json_string_value(value);
    char *end;
    if (!text || strncmp(text, "0x", 2) || strlen(text) < 3 || strlen(text) > 18 ||
        strspn(text + 2, "0123456789abcdef") != strlen(text) - 2)
        return false;
    *out = strtoull(text, &end, 16);
    return !*end;
}

static bool get_insn(const json_t *value, struct fuzz_insn *insn)
{
    size_t size = 0;
    const json_t *at = json_object_get(value, "displacement_at");
    if (!get_hex_bytes(json_object_get(value, "bytes"), insn->bytes, FUZZ_INSN_BYTES, &size) || !size)
        return false;
    insn->length = (uint8_t)size;
    if (!at)
        return true;
    json_int_t place = json_integer_value(at);
    if (place < 1 || place + 4 > (json_int_t)size)
        return false;
    insn->rip_disp_at = (uint8_t)place;
    return get_number(json_object_get(value, "target"), &insn->rip_target);
}

static bool get_data(const json_t *list, uint8_t *data)
{
    size_t n;
    json_t *run;
    if (!json_is_array(list))
        return false;
    json_array_foreach(list, n, run)
    {
        uint64_t address;
        size_t size;
        if (!get_number(json_object_get(run, "address"), &address) || address < NATIVE_DATA ||
            address >= NATIVE_DATA + NATIVE_DATA_BYTES)
            return false;
        uint64_t at = address - NATIVE_DATA;
        if (!get_hex_bytes(json_object_get(run, "bytes"), data + at, (size_t)(NATIVE_DATA_BYTES - at), &size))
            return false;
    }
    return true;
}

static bool get_code(const json_t *list, struct fuzz_case *fuzz)
{
    size_t n, length = 0;
    json_t *insn;
    if (!json_is_array(list) || !json_array_size(list) || json_array_size(list) > FUZZ_INSNS_MAX)
        return false;
    json_array_foreach(list, n, insn)
    {
        if (!get_insn(insn, &fuzz->insn[fuzz->count]))
            return false;
        length += fuzz->insn[fuzz->count++].length;
    }
    return fuzz->offset + length <= NATIVE_CODE_BYTES - 1; /* an INT3 ends it */
}

static bool get_gpr(const json_t *list, struct fuzz_case *fuzz)
{
    bool good = json_array_size(list) == 16;
    for (unsigned n = 0; n < 16 && good; n++)
        good = get_number(json_array_get(list, n), &fuzz->in.gpr[n]) &&
               (fuzz->bits == 64 || (n < 8 ? fuzz->in.gpr[n] <= UINT32_MAX : !fuzz->in.gpr[n]));
    return good;
}

/* Flags that a process may have set before it: none of IOPL, NT, VM and the like. */
#define RFLAGS_MAY 0x40ED5u

static const char *const paging_names[] = {
    [NATIVE_PAGING_LONG] = "long", [NATIVE_PAGING_PAE] = "pae", [NATIVE_PAGING_32] = "32"};

const char *fuzz_paging_name(enum native_paging paging)
{
    return paging_names[paging];
}

bool fuzz_paging_of(const char *name, enum native_paging *paging)
{
    for (unsigned n = 0; name && n < sizeof paging_names / sizeof paging_names[0]; n++) {
        if (strcmp(name, paging_names[n]))
            continue;
        *paging = (enum native_paging)n;
        return true;
    }
    return false;
}

static const char *parse(const json_t *object, struct fuzz_case *fuzz)
{
    const char *format = json_string_value(json_object_get(object, "format"));
    json_int_t bits = json_integer_value(json_object_get(object, "mode")),
               offset = json_integer_value(json_object_get(object, "offset"));
    if (!format || strcmp(format, "vmrr-fuzz-1"))
        return "format: expected vmrr-fuzz-1";
    if (bits != 16 && bits != 32 && bits != 64)
        return "mode: expected 16, 32 or 64";
    if (offset < 0 || offset >= NATIVE_CODE_BYTES)
        return "offset: out of range";
    const json_t *level = json_object_get(object, "level");
    if (level && (!json_is_integer(level) || (json_integer_value(level) != 0 && json_integer_value(level) != 3)))
        return "level: expected 0 or 3";
    fuzz->level = level ? (unsigned)json_integer_value(level) : 3;
    fuzz->bits = (unsigned)bits;
    const json_t *paging = json_object_get(object, "paging");
    if (paging && (!fuzz_paging_of(json_string_value(paging), &fuzz->paging) || (fuzz->paging && bits == 64)))
        return "paging: expected long, or pae or 32 with 16- and 32-bit code";
    fuzz->offset = (unsigned)offset;
    if (!get_number(json_object_get(object, "seed"), &fuzz->seed))
        return "seed: expected 0x and hexadecimal digits";
    if (!get_number(json_object_get(object, "rflags"), &fuzz->in.rflags) ||
        fuzz->in.rflags & ~(uint64_t)(RFLAGS_MAY | 0x202))
        return "rflags: not those of a process";
    if (!get_code(json_object_get(object, "code"), fuzz))
        return "code: expected 1 to 48 instructions of 1 to 15 bytes";
    if (!get_gpr(json_object_get(object, "gpr"), fuzz))
        return "gpr: expected 16 numbers of the mode's size";
    uint32_t mxcsr;
    if (!get_hex_whole(json_object_get(object, "fxsave"), fuzz->in.fx, NATIVE_FX_BYTES))
        return "fxsave: expected 416 bytes";
    memcpy(&mxcsr, fuzz->in.fx + NATIVE_FX_MXCSR, 4);
    if (mxcsr > 0xFFFF)
        return "fxsave: MXCSR: reserved bits";
    if (!get_hex_whole(json_object_get(object, "ymm_high"), fuzz->in.high, sizeof fuzz->in.high))
        return "ymm_high: expected 256 bytes";
    return get_data(json_object_get(object, "data"), fuzz->data) ? NULL : "data: expected runs within the data";
}

enum status fuzz_case_parse(const json_t *object, struct fuzz_case *fuzz, struct error *error)
{
    memset(fuzz, 0, sizeof *fuzz);
    const char *fault = parse(object, fuzz);
    return fault ? error_status(error, STATUS_CORRUPT, "%s", fault) : STATUS_OK;
}

enum status fuzz_case_read(struct fuzz_case *fuzz, const char *path, struct error *error)
{
    struct error fault = {{0}};
    json_error_t where;
    FILE *file = fopen(path, "re");
    char *text = malloc(FILE_BYTES_MAX);
    CHECK(text);
    size_t size = file ? fread(text, 1, FILE_BYTES_MAX, file) : 0;
    if (file)
        fclose(file);
    json_t *object = file && size < FILE_BYTES_MAX ? json_loadb(text, size, JSON_REJECT_DUPLICATES, &where) : NULL;
    free(text);
    if (!object)
        return error_status(error, file ? STATUS_CORRUPT : STATUS_IO, "%s: %s", path,
                            !file                   ? "can't open"
                            : size < FILE_BYTES_MAX ? where.text
                                                    : "too large for a case");
    enum status status = fuzz_case_parse(object, fuzz, &fault);
    json_decref(object);
    return status ? error_status(error, status, "%s: %s", path, fault.text) : STATUS_OK;
}
