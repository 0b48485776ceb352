/* The log of unimplemented instructions. At most LOG_ENTRIES different ones are told apart; the rest is counted as "other". */
#include "accel-interp/unimplemented.h"

#include <capstone/capstone.h>

#include <stdlib.h>
#include <string.h>

#define LOG_ENTRIES 128u

struct unimplemented_log {
    struct accel_unimplemented entry[LOG_ENTRIES];
    size_t count;
};

struct unimplemented_log *unimplemented_log_create(void)
{
    struct unimplemented_log *log = calloc(1, sizeof *log);

    CHECK(log);
    return log;
}

void unimplemented_log_destroy(struct unimplemented_log *log)
{
    free(log);
}

static void name_bytes(char *name, size_t room, const uint8_t *bytes, size_t size_bytes)
{
    size_t used = (size_t)snprintf(name, room, "bytes");

    for (size_t n = 0; n < size_bytes && n < 8; n++)
        used += (size_t)snprintf(name + used, room - used, " %02x", bytes[n]);
}

static void name_instruction(char *name, size_t room, const uint8_t *bytes, size_t size_bytes, unsigned bits)
{
    csh handle;
    cs_insn *insn = NULL;
    cs_mode mode = bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16;

    name_bytes(name, room, bytes, size_bytes);
    if (cs_open(CS_ARCH_X86, mode, &handle) != CS_ERR_OK)
        return;
    if (cs_disasm(handle, bytes, size_bytes, 0, 1, &insn) == 1) {
        snprintf(name, room, "%s", insn->mnemonic);
        cs_free(insn, 1);
    }
    cs_close(&handle);
}

static struct accel_unimplemented *find_entry(struct unimplemented_log *log, const char *name)
{
    for (size_t n = 0; n < log->count; n++) {
        if (!strcmp(log->entry[n].name, name))
            return &log->entry[n];
    }
    if (log->count == LOG_ENTRIES) /* the last one is "other" */
        return &log->entry[LOG_ENTRIES - 1];
    struct accel_unimplemented *entry = &log->entry[log->count++];
    snprintf(entry->name, sizeof entry->name, "%s", log->count == LOG_ENTRIES ? "other" : name);
    return entry;
}

static void count_name(struct unimplemented_log *log, const char *name, const char *fault, uint64_t icount,
                       uint64_t rip)
{
    struct accel_unimplemented *entry = find_entry(log, name);

    if (entry->count++ == 0) {
        entry->first_icount = icount;
        entry->first_rip = rip;
        snprintf(entry->fault, sizeof entry->fault, "%s", fault);
    }
}

void unimplemented_log_add_msr(struct unimplemented_log *log, const char *access, uint64_t icount, uint64_t rip)
{
    char name[sizeof log->entry[0].name] = "";

    snprintf(name, sizeof name, "%s", access);
    count_name(log, name, "#GP", icount, rip);
}

void unimplemented_log_add(struct unimplemented_log *log, const uint8_t *bytes, size_t size_bytes, unsigned bits,
                           uint64_t icount, uint64_t rip)
{
    char name[sizeof log->entry[0].name] = "";

    name_instruction(name, sizeof name, bytes, size_bytes, bits);
    count_name(log, name, "#UD", icount, rip);
}

static int more_frequent(const void *a, const void *b)
{
    const struct accel_unimplemented *x = a, *y = b;

    return x->count != y->count ? (x->count < y->count ? 1 : -1) : strcmp(x->name, y->name);
}

size_t unimplemented_log_list(const struct unimplemented_log *log, struct accel_unimplemented *list, size_t max)
{
    struct accel_unimplemented sorted[LOG_ENTRIES];

    memcpy(sorted, log->entry, sizeof sorted);
    qsort(sorted, log->count, sizeof sorted[0], more_frequent);
    if (list)
        memcpy(list, sorted, (log->count < max ? log->count : max) * sizeof sorted[0]);
    return log->count;
}
