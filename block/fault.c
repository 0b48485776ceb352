/* Rules for faults on purpose: which requests a rule is about, which of them it strikes, and its text form. */
#include "block/fault.h"

#include "block/block.h"

#include <stdlib.h>
#include <string.h>

static bool touches(const struct block_fault_rule *rule, enum trace_block_op op, uint64_t sector, uint32_t sectors)
{
    if (!(rule->ops >> op & 1))
        return false;
    if (op == TRACE_BLOCK_FLUSH)
        return true;
    if (rule->in_sector)
        return rule->first_sector >= sector && rule->first_sector - sector < sectors;
    if (block_fault_kind(rule->fault) == BLOCK_FAULT_FLIP &&
        block_fault_argument(rule->fault) / 8 >= (uint64_t)sectors * BLOCK_SECTOR_BYTES)
        return false;
    return sector <= rule->last_sector && sector + sectors > rule->first_sector;
}

static bool strikes(struct block_fault_rule *rule)
{
    rule->count++;
    if (rule->spent || (rule->nth ? rule->count != rule->nth : rule->count % rule->every != 0))
        return false;
    rule->spent = rule->once || rule->nth;
    return true;
}

static uint64_t fault_of(const struct block_fault_rule *rule, uint64_t sector)
{
    uint64_t skipped_bits = (rule->first_sector - sector) * BLOCK_SECTOR_BYTES * 8;
    return rule->in_sector ? block_fault_make(BLOCK_FAULT_FLIP, skipped_bits + block_fault_argument(rule->fault))
                           : rule->fault;
}

uint64_t block_fault_ask(struct block_fault_rule *rule, unsigned count, uint32_t drive, enum trace_block_op op,
                         uint64_t sector, uint32_t sectors)
{
    uint64_t fault = 0;
    for (unsigned n = 0; n < count; n++) {
        if ((rule[n].drive == drive || rule[n].drive == BLOCK_FAULT_ANY_DRIVE) &&
            touches(&rule[n], op, sector, sectors) && strikes(&rule[n]) && !fault)
            fault = fault_of(&rule[n], sector);
    }
    return fault;
}

/* ---- text ---- */

static const uint32_t op_write = 1u << TRACE_BLOCK_WRITE, op_read = 1u << TRACE_BLOCK_READ,
                      op_flush = 1u << TRACE_BLOCK_FLUSH,
                      op_zero = 1u << TRACE_BLOCK_DISCARD | 1u << TRACE_BLOCK_WRITE_ZEROES;

static enum status bad(struct error *error, const char *item, const char *expected)
{
    return error_status(error, STATUS_INVALID, "%s: expected %s", item, expected);
}

static bool number(const char *text, char end, uint64_t most, uint64_t *value, const char **rest)
{
    char *stop;
    if (*text < '0' || *text > '9')
        return false;
    *value = strtoull(text, &stop, 0);
    *rest = stop + (*stop != 0);
    return *stop == end && *value <= most;
}

static enum status parse_op(struct block_fault_rule *rule, const char *value, struct error *error)
{
    rule->ops = !strcmp(value, "read")      ? op_read
                : !strcmp(value, "write")   ? op_write
                : !strcmp(value, "flush")   ? op_flush
                : !strcmp(value, "discard") ? op_zero
                                            : 0;
    return rule->ops ? STATUS_OK : bad(error, value, "op=read, write, flush or discard");
}

static enum status parse_lba(struct block_fault_rule *rule, const char *value, struct error *error)
{
    const char *rest;
    if (number(value, 0, INT64_MAX, &rule->first_sector, &rest)) {
        rule->last_sector = rule->first_sector;
        return STATUS_OK;
    }
    if (number(value, '-', INT64_MAX, &rule->first_sector, &rest) &&
        number(rest, 0, INT64_MAX, &rule->last_sector, &rest) && rule->first_sector <= rule->last_sector)
        return STATUS_OK;
    return bad(error, value, "lba=A-B or lba=A, in sectors of 512 bytes");
}

struct kind_row {
    const char *name;
    enum block_fault_kind kind;
    unsigned arguments;
    uint32_t ops; /* that it can happen to */
};
static const struct kind_row kinds[] = {
    {"eio", BLOCK_FAULT_EIO, 0, UINT32_MAX},
    {"enospc", BLOCK_FAULT_ENOSPC, 0, ~(1u << TRACE_BLOCK_READ)},
    {"torn", BLOCK_FAULT_TORN, 1, 1u << TRACE_BLOCK_WRITE},
    {"lost", BLOCK_FAULT_LOST, 0, ~(1u << TRACE_BLOCK_READ)},
    {"flip", BLOCK_FAULT_FLIP, 2, 1u << TRACE_BLOCK_READ | 1u << TRACE_BLOCK_WRITE},
    {"delay", BLOCK_FAULT_DELAY, 1, UINT32_MAX},
    {"reorder", BLOCK_FAULT_REORDER, 0, 1u << TRACE_BLOCK_WRITE},
};
static const char kinds_text[] = "kind=eio, enospc, torn:SECTORS, lost, flip:BYTE:BIT, delay:NS or reorder";

static const struct kind_row *find_kind(const char *value)
{
    for (size_t n = 0; n < sizeof kinds / sizeof kinds[0]; n++) {
        size_t length = strlen(kinds[n].name);
        if (!strncmp(value, kinds[n].name, length) && (!value[length] || value[length] == ':'))
            return &kinds[n];
    }
    return NULL;
}

static enum status parse_kind(struct block_fault_rule *rule, const char *value, struct error *error)
{
    const struct kind_row *row = find_kind(value);
    uint64_t argument = 0, bit = 0;
    if (!row)
        return bad(error, value, kinds_text);
    const char *rest = value + strlen(row->name);
    bool good = row->arguments ? *rest++ == ':' : !*rest;
    if (good && row->arguments == 1)
        good = number(rest, 0, BLOCK_FAULT_ARGUMENT_MAX, &argument, &rest);
    if (good && row->arguments == 2) {
        good = number(rest, ':', BLOCK_FAULT_ARGUMENT_MAX / 8, &argument, &rest) && number(rest, 0, 7, &bit, &rest);
        argument = argument * 8 + bit;
    }
    rule->fault = block_fault_make(row->kind, argument);
    return good ? STATUS_OK : bad(error, value, kinds_text);
}

enum status block_fault_set(struct block_fault_rule *rule, const char *key, const char *value, struct error *error)
{
    uint64_t drive = 0;
    const char *rest;
    if (!strcmp(key, "once") && !value) {
        rule->once = true;
        return STATUS_OK;
    }
    if (!value)
        return bad(error, key, "drive=, op=, lba=, nth=, every=, kind=, once");
    if (!strcmp(key, "drive")) {
        bool good = number(value, 0, 255, &drive, &rest);
        rule->drive = (uint32_t)drive;
        return good ? STATUS_OK : bad(error, value, "drive=, a drive's index");
    }
    if (!strcmp(key, "op"))
        return parse_op(rule, value, error);
    if (!strcmp(key, "lba"))
        return parse_lba(rule, value, error);
    if (!strcmp(key, "nth"))
        return number(value, 0, INT64_MAX, &rule->nth, &rest) && rule->nth ? STATUS_OK
                                                                           : bad(error, value, "nth=1 or more");
    if (!strcmp(key, "every"))
        return number(value, 0, INT64_MAX, &rule->every, &rest) && rule->every ? STATUS_OK
                                                                               : bad(error, value, "every=1 or more");
    if (!strcmp(key, "kind"))
        return parse_kind(rule, value, error);
    return bad(error, key, "drive=, op=, lba=, nth=, every=, kind=, once");
}

void block_fault_begin(struct block_fault_rule *rule)
{
    *rule = (struct block_fault_rule){.last_sector = INT64_MAX, .every = 1};
}

enum status block_fault_check(const struct block_fault_rule *rule, struct error *error)
{
    if (!rule->fault)
        return bad(error, "-blkfault", kinds_text);
    if (!rule->ops)
        return bad(error, "-blkfault", "op=read, write, flush or discard");
    for (size_t n = 0; n < sizeof kinds / sizeof kinds[0]; n++) {
        if (kinds[n].kind == block_fault_kind(rule->fault) && (rule->ops & ~kinds[n].ops))
            return error_status(error, STATUS_INVALID, "kind=%s: cannot happen to this op", kinds[n].name);
    }
    return STATUS_OK;
}
