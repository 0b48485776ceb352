/* Expressions of x, xp and print. See hmp.h. Precedence as C's, unsigned 64-bit. */
#include "tools/monitor/hmp.h"

#include "tools/session.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 64
#define NAME_BYTES 16

struct parse {
    struct cpu_state cpu;
    const char *at;
    unsigned depth;
    bool bad;
};

static uint64_t binary(struct parse *parse, unsigned level);

static void skip(struct parse *parse)
{
    parse->at += strspn(parse->at, " \t");
}

static uint64_t bad(struct parse *parse)
{
    parse->bad = true;
    return 0;
}

static bool general_register(const struct cpu_state *cpu, const char *name, uint64_t *value)
{
    static const char names[8][3] = {"ax", "cx", "dx", "bx", "sp", "bp", "si", "di"};
    for (int n = 0; n < 8; n++) {
        if (strlen(name) == 3 && !strcmp(name + 1, names[n]) && (name[0] == 'r' || name[0] == 'e')) {
            *value = name[0] == 'r' ? cpu->gpr[n] : (uint32_t)cpu->gpr[n];
            return true;
        }
    }
    char *end;
    unsigned long number = name[0] == 'r' && name[1] ? strtoul(name + 1, &end, 10) : 0;
    if (number < 8 || number > 15 || *end)
        return false;
    *value = cpu->gpr[number];
    return true;
}

static bool other_register(const struct cpu_state *cpu, const char *name, uint64_t *value)
{
    static const char segments[6][3] = {"es", "cs", "ss", "ds", "fs", "gs"};
    const struct {
        const char *name;
        uint64_t value;
    } list[] = {
        {"rip", cpu->rip},
        {"eip", (uint32_t)cpu->rip},
        {"rflags", cpu->rflags},
        {"eflags", cpu->rflags},
        {"cr0", cpu->cr0},
        {"cr2", cpu->cr2},
        {"cr3", cpu->cr3},
        {"cr4", cpu->cr4},
        {"efer", cpu->efer},
        {"gdtr", cpu->gdtr_base},
        {"idtr", cpu->idtr_base},
        {"lstar", cpu->lstar},
        {"pc",
         cpu->rip + (cpu_state_code64(cpu) ? 0 : cpu->segment[CPU_CS].base)}};
    for (size_t n = 0; n < sizeof list / sizeof list[0]; n++) {
        if (!strcmp(list[n].name, name)) {
            *value = list[n].value;
            return true;
        }
    }
    for (int n = 0; n < 6; n++) {
        if (!strncmp(segments[n], name, 2) && (!name[2] || !strcmp(name + 2, ".base"))) {
            *value = name[2] ? cpu->segment[n].base : cpu->segment[n].selector;
            return true;
        }
    }
    return false;
}

static uint64_t register_value(struct parse *parse)
{
    char name[NAME_BYTES];
    uint64_t value;
    size_t length = strspn(parse->at, "abcdefghijklmnopqrstuvwxyz0123456789.");
    if (!length || length >= sizeof name)
        return bad(parse);
    memcpy(name, parse->at, length);
    name[length] = 0;
    if (!general_register(&parse->cpu, name, &value) && !other_register(&parse->cpu, name, &value))
        return bad(parse);
    parse->at += length;
    return value;
}

static uint64_t character(struct parse *parse)
{
    uint8_t c = (uint8_t)parse->at[0];
    if (!c || parse->at[1] != '\'')
        return bad(parse);
    parse->at += 2;
    return c;
}

static uint64_t unary(struct parse *parse)
{
    char *end;
    uint64_t value;
    skip(parse);
    if (++parse->depth > DEPTH_MAX)
        return bad(parse);
    char c = *parse->at;
    if (c == '+' || c == '-' || c == '~') {
        parse->at++;
        value = unary(parse);
        value = c == '-' ? -value : c == '~' ? ~value : value;
    } else if (c == '(') {
        parse->at++;
        value = binary(parse, 0);
        skip(parse);
        if (*parse->at != ')')
            return bad(parse);
        parse->at++;
    } else if (c == '$') {
        parse->at++;
        value = register_value(parse);
    } else if (c == '\'') {
        parse->at++;
        value = character(parse);
    } else if (c >= '0' && c <= '9') {
        value = strtoull(parse->at, &end, 0);
        parse->at = end;
    } else {
        return bad(parse);
    }
    parse->depth--;
    return value;
}

static const struct {
    const char *text;
    unsigned level;
} operators[] = {{"|", 0}, {"^", 1}, {"&", 2}, {"<<", 3}, {">>", 3}, {"+", 4}, {"-", 4}, {"*", 5}, {"/", 5}, {"%", 5}};
#define LEVELS 6u

static uint64_t apply(struct parse *parse, const char *text, uint64_t a, uint64_t b)
{
    switch (text[0]) {
    case '|': return a | b;
    case '^': return a ^ b;
    case '&': return a & b;
    case '<': return b < 64 ? a << b : 0;
    case '>': return b < 64 ? a >> b : 0;
    case '+': return a + b;
    case '-': return a - b;
    case '*': return a * b;
    case '/': return b ? a / b : bad(parse);
    default: return b ? a % b : bad(parse);
    }
}

static const char *operator_at(const struct parse *parse, unsigned level)
{
    for (size_t n = 0; n < sizeof operators / sizeof operators[0]; n++) {
        if (operators[n].level == level && !strncmp(parse->at, operators[n].text, strlen(operators[n].text)))
            return operators[n].text;
    }
    return NULL;
}

static uint64_t binary(struct parse *parse, unsigned level)
{
    if (level == LEVELS)
        return unary(parse);
    uint64_t value = binary(parse, level + 1);
    for (;;) {
        skip(parse);
        const char *text = parse->bad ? NULL : operator_at(parse, level);
        if (!text)
            return value;
        parse->at += strlen(text);
        value = apply(parse, text, value, binary(parse, level + 1));
    }
}

bool hmp_expression(struct session *session, const char *text, uint64_t *value, const char **end)
{
    struct parse parse = {.at = text};
    struct accel *accel = machine_accel(session->machine);
    accel->ops->get_state(accel, &parse.cpu);
    *value = binary(&parse, 0);
    skip(&parse);
    *end = parse.at;
    return !parse.bad;
}
