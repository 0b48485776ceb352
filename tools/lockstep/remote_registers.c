/* Registers of a remote target: its description (XML, "Target Descriptions" in gdb's manual, appendix G) and the register packet.
 * No parser of XML: tags and attributes are all that is looked at. Names are those of gdb's i386 features.
 *
 * Not taken: st0 to st7 and ftag (QEMU gives them by physical number, and tags always as 0), segments' limits and attributes, which
 * the protocol has no place for. */
#include "tools/lockstep/remote.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_BYTES 512u
#define XML_TAGS_MAX 4096u

/* ---- the description ---- */

static bool attribute(const char *tag, const char *name, char *out, size_t size)
{
    size_t length = strlen(name);
    for (const char *at = tag; (at = strstr(at, name)); at += length) {
        char quote = at[length] == '=' ? at[length + 1] : 0;
        if (at == tag || (at[-1] != ' ' && at[-1] != '\n' && at[-1] != '\t') || (quote != '"' && quote != '\''))
            continue;
        const char *value = at + length + 2, *end = strchr(value, quote);
        if (!end || (size_t)(end - value) >= size)
            return false;
        memcpy(out, value, (size_t)(end - value));
        out[end - value] = 0;
        return true;
    }
    return false;
}

static bool number(const char *text, unsigned long most, unsigned *value)
{
    char *end;
    if (text[0] < '0' || text[0] > '9' || strlen(text) > 6)
        return false;
    unsigned long got = strtoul(text, &end, 10);
    *value = (unsigned)got;
    return !*end && got <= most;
}

static bool add_register(struct remote_registers *registers, const char *tag, unsigned *next)
{
    char text[32];
    unsigned bits, reg = *next;
    struct remote_register *to = &registers->list[registers->count];
    if (registers->count == REMOTE_REGISTERS_MAX || !attribute(tag, "name", to->name, sizeof to->name) ||
        !attribute(tag, "bitsize", text, sizeof text) || !number(text, 512, &bits) || !bits || bits % 8)
        return false;
    if (attribute(tag, "regnum", text, sizeof text) && !number(text, 9999, &reg))
        return false;
    to->number = (uint16_t)reg;
    to->bits = (uint16_t)bits;
    *next = reg + 1;
    registers->count++;
    return reg <= 9999;
}

static bool is_tag(const char *tag, const char *name)
{
    size_t length = strlen(name);
    return !strncmp(tag, name, length) && (tag[length] == ' ' || tag[length] == '\n' || tag[length] == '\t');
}

/* Comments may have tags in them. Null: no more. */
static const char *skip_comments(const char *at)
{
    while ((at = strchr(at, '<')) && !strncmp(at, "<!--", 4)) {
        if (!(at = strstr(at + 4, "-->")))
            return NULL;
    }
    return at;
}

/* The next tag's text, without < and >. False: no more. *bad: one that is too long. */
static bool next_tag(const char **at, char tag[TAG_BYTES], bool *bad)
{
    const char *start = skip_comments(*at), *end = start ? strchr(start, '>') : NULL;
    if (!end)
        return false;
    size_t size = (size_t)(end - start - 1);
    *bad = size >= TAG_BYTES;
    if (*bad)
        return false;
    memcpy(tag, start + 1, size);
    tag[size] = 0;
    *at = end + 1;
    return true;
}

enum status remote_registers_add(struct remote_registers *registers, const char *xml, unsigned *next,
                                 enum status (*include)(void *opaque, const char *name), void *opaque,
                                 struct error *error)
{
    char tag[TAG_BYTES], name[64];
    enum status status = STATUS_OK;
    bool bad = false, good = true;
    for (unsigned tags = 0; good && !status && next_tag(&xml, tag, &bad); tags++) {
        if (tags == XML_TAGS_MAX)
            good = false;
        else if (is_tag(tag, "reg"))
            good = add_register(registers, tag, next);
        else if (is_tag(tag, "xi:include"))
            status = attribute(tag, "href", name, sizeof name) ? include(opaque, name) : STATUS_CORRUPT;
    }
    if (status && status != STATUS_CORRUPT)
        return status;
    return good && !bad && !status ? STATUS_OK
                                   : error_status(error, STATUS_CORRUPT, "the target's description makes no sense");
}

static int by_number(const void *a, const void *b)
{
    const struct remote_register *x = a, *y = b;
    return (int)x->number - (int)y->number;
}

bool remote_registers_place(struct remote_registers *registers)
{
    registers->bytes = 0;
    qsort(registers->list, registers->count, sizeof registers->list[0], by_number);
    for (unsigned n = 0; n < registers->count; n++) {
        if (n && registers->list[n].number == registers->list[n - 1].number)
            return false;
        registers->list[n].offset = registers->bytes;
        registers->bytes += registers->list[n].bits / 8u;
    }
    return registers->count != 0;
}

/* ---- what they are here ---- */

struct place {
    const char *name[2]; /* in 64-bit and 32-bit descriptions */
    size_t offset;
    uint8_t bytes; /* of the field */
    bool writable;
};

#define FIELD(name, field, writable)                                                                                   \
    {                                                                                                                  \
        {name, NULL}, offsetof(struct cpu_state, field), sizeof((struct cpu_state *)0)->field, writable                \
    }
#define GPR(wide, narrow, n)                                                                                           \
    {                                                                                                                  \
        {wide, narrow}, offsetof(struct cpu_state, gpr[n]), 8, true                                                    \
    }
#define SELECTOR(name, n)                                                                                              \
    {                                                                                                                  \
        {name, NULL}, offsetof(struct cpu_state, segment[n].selector), 2, false                                        \
    }
#define BASE(name, n)                                                                                                  \
    {                                                                                                                  \
        {name, NULL}, offsetof(struct cpu_state, segment[n].base), 8, false                                            \
    }

static const struct place places[] = {
    GPR("rax", "eax", 0),
    GPR("rcx", "ecx", 1),
    GPR("rdx", "edx", 2),
    GPR("rbx", "ebx", 3),
    GPR("rsp", "esp", 4),
    GPR("rbp", "ebp", 5),
    GPR("rsi", "esi", 6),
    GPR("rdi", "edi", 7),
    GPR("r8", NULL, 8),
    GPR("r9", NULL, 9),
    GPR("r10", NULL, 10),
    GPR("r11", NULL, 11),
    GPR("r12", NULL, 12),
    GPR("r13", NULL, 13),
    GPR("r14", NULL, 14),
    GPR("r15", NULL, 15),
    {{"rip", "eip"}, offsetof(struct cpu_state, rip), 8, false},
    FIELD("eflags", rflags, true),
    SELECTOR("es", CPU_ES),
    SELECTOR("cs", CPU_CS),
    SELECTOR("ss", CPU_SS),
    SELECTOR("ds", CPU_DS),
    SELECTOR("fs", CPU_FS),
    SELECTOR("gs", CPU_GS),
    BASE("fs_base", CPU_FS),
    BASE("gs_base", CPU_GS),
    FIELD("k_gs_base", kernel_gs_base, false),
    FIELD("cr0", cr0, false),
    FIELD("cr2", cr2, false),
    FIELD("cr3", cr3, false),
    FIELD("cr4", cr4, false),
    FIELD("efer", efer, false),
    FIELD("fctrl", fcw, true),
    FIELD("fstat", fsw, true),
    FIELD("mxcsr", mxcsr, true),
};

static const struct place *place_of(const char *name)
{
    for (size_t n = 0; n < sizeof places / sizeof places[0]; n++) {
        if (!strcmp(places[n].name[0], name) || (places[n].name[1] && !strcmp(places[n].name[1], name)))
            return &places[n];
    }
    return NULL;
}

/* XMM registers by number; 16 and more: it is none. */
static unsigned xmm_of(const char *name)
{
    unsigned n = 16;
    int end = 0;
    return sscanf(name, "xmm%2u%n", &n, &end) == 1 && !name[end] && n < 16 ? n : 16;
}

void remote_registers_take(const struct remote_registers *registers, const uint8_t *bytes, size_t known,
                           struct cpu_state *state)
{
    for (unsigned n = 0; n < registers->count; n++) {
        const struct remote_register *reg = &registers->list[n];
        const struct place *place = place_of(reg->name);
        unsigned size = reg->bits / 8u, xmm = xmm_of(reg->name);
        if (reg->offset + size > known)
            continue;
        if (xmm < 16 && size == 16)
            memcpy(state->vector[xmm].q, bytes + reg->offset, 16);
        if (!place)
            continue;
        uint8_t *to = (uint8_t *)state + place->offset;
        memset(to, 0, place->bytes);
        memcpy(to, bytes + reg->offset, size < place->bytes ? size : place->bytes);
    }
}

bool remote_register_value(const struct remote_register *reg, const struct cpu_state *state, uint8_t *out)
{
    const struct place *place = place_of(reg->name);
    unsigned size = reg->bits / 8u, xmm = xmm_of(reg->name);
    memset(out, 0, 64);
    if (xmm < 16 && size == 16) {
        memcpy(out, state->vector[xmm].q, 16);
        return true;
    }
    if (!place || !place->writable)
        return false;
    memcpy(out, (const uint8_t *)state + place->offset, size < place->bytes ? size : place->bytes);
    return true;
}
