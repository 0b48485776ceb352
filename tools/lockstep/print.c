/* What lockstep found, as JSON and as text. Keys: vmrr(1). */
#include "tools/disassemble.h"
#include "tools/json_text.h"
#include "tools/lockstep/lockstep.h"
#include "tools/register_names.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *verdict_name(enum lockstep_verdict verdict)
{
    return verdict == LOCKSTEP_EQUAL ? "equal" : verdict == LOCKSTEP_DIFFERENT ? "different" : "not-compared";
}

static void hex_text(const uint8_t *bytes, size_t size, char *text)
{
    text[0] = 0;
    for (size_t n = 0; n < size; n++)
        snprintf(text + 2 * n, 3, "%02x", bytes[n]);
}

static size_t shown(const struct lockstep_range *range)
{
    return range->size_bytes < LOCKSTEP_RANGE_BYTES ? (size_t)range->size_bytes : LOCKSTEP_RANGE_BYTES;
}

/* The instruction as capstone has it, without its address; owned by the caller. */
static char *insn_text(const struct lockstep_insn *insn)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    CHECK(out);
    if (!disassemble_one(insn->code, insn->size, insn->linear, insn->bits, out)) {
        fprintf(out, "0x%08" PRIx64 ":  ", insn->linear);
        for (unsigned n = 0; n < insn->size; n++)
            fprintf(out, "%02x ", insn->code[n]);
        fprintf(out, insn->size ? "(capstone does not know it)\n" : "(not mapped)\n");
    }
    CHECK(!fclose(out) && text);
    text[strcspn(text, "\n")] = 0;
    return text;
}

/* ---- JSON ---- */

static json_t *fields_json(const struct lockstep_fields *fields)
{
    json_t *list = json_array();
    for (unsigned n = 0; n < fields->count && n < LOCKSTEP_FIELDS_MAX; n++) {
        const struct lockstep_field *field = &fields->field[n];
        json_t *object = json_object();
        json_object_set_new(object, "name", json_string(field->name));
        if (field->has_before)
            json_set_hex(object, "before", field->before, 1);
        json_set_hex(object, "a", field->value[0], 1);
        json_set_hex(object, "b", field->value[1], 1);
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *ranges_json(const struct lockstep_ranges *ranges)
{
    json_t *list = json_array();
    for (unsigned n = 0; n < ranges->count && n < LOCKSTEP_RANGES_MAX; n++) {
        const struct lockstep_range *range = &ranges->range[n];
        char text[2 * LOCKSTEP_RANGE_BYTES + 1];
        json_t *object = json_object();
        json_object_set_new(object, "block", json_string(range->block));
        json_set_hex(object, "address", range->gpa, 1);
        json_set_number(object, "bytes", range->size_bytes);
        for (unsigned side = 0; side < 2; side++) {
            hex_text(range->bytes[side], shown(range), text);
            json_object_set_new(object, side ? "b" : "a", json_string(text));
        }
        json_array_append_new(list, object);
    }
    return list;
}

static json_t *event_json_of(const struct trace_event *event)
{
    json_t *object = json_object();
    json_set_number(object, "exits", event->position.icount);
    json_set_number(object, "vtime_ns", event->position.vtime_ns);
    json_object_set_new(object, "kind", json_string(trace_kind_name(event->kind)));
    json_set_hex(object, "address", event->address, 1);
    json_set_hex(object, "value", event->value, 1);
    json_set_number(object, "size_bytes", event->size_bytes);
    return object;
}

static void note_register(void *opaque, const char *path, uint64_t zero, uint64_t value)
{
    char name[96];
    (void)zero;
    register_name(path, name, sizeof name);
    json_set_hex(opaque, name, value, 1);
}

/* Registers that are not 0. */
static json_t *state_json(const struct cpu_state *state)
{
    struct cpu_state zero;
    json_t *object = json_object();
    memset(&zero, 0, sizeof zero);
    state_diff(cpu_state_fields, &zero, state, note_register, object);
    return object;
}

static json_t *insn_json(const struct lockstep_difference *difference)
{
    json_t *object = json_object();
    char bytes[2 * LOCKSTEP_CODE_BYTES + 1], *text = insn_text(&difference->insn);
    hex_text(difference->insn.code, difference->insn.size, bytes);
    json_set_number(object, "steps", difference->steps);
    json_set_hex(object, "address", difference->insn.linear, 1);
    json_set_number(object, "bits", difference->insn.bits);
    json_object_set_new(object, "code", json_string(bytes));
    json_object_set_new(object, "text", json_text(text, strlen(text)));
    json_object_set_new(object, "registers", fields_json(&difference->step_registers));
    json_object_set_new(object, "memory", ranges_json(&difference->step_memory));
    json_object_set_new(object, "matched", json_boolean(difference->matched));
    json_object_set_new(object, "before", state_json(&difference->before));
    json_object_set_new(object, "a", state_json(&difference->after[0]));
    json_object_set_new(object, "b", state_json(&difference->after[1]));
    free(text);
    return object;
}

static json_t *difference_json(const struct lockstep_difference *difference)
{
    json_t *object = json_object(), *last = json_array();
    json_object_set_new(object, "what", json_string(lockstep_what_name(difference->what)));
    json_set_number(object, "equal_exits", difference->equal_exits);
    json_set_number(object, "exits", difference->exits);
    for (unsigned side = 0; side < 2; side++) {
        json_object_set_new(object, side ? "b_event" : "a_event",
                            difference->has_event[side] ? event_json_of(&difference->event[side]) : json_null());
        json_object_set_new(object, side ? "b_stop" : "a_stop", json_string(machine_stop_name(difference->stop[side])));
    }
    json_object_set_new(object, "registers", fields_json(&difference->registers));
    json_object_set_new(object, "devices", fields_json(&difference->devices));
    json_object_set_new(object, "memory", ranges_json(&difference->memory));
    json_set_number(object, "memory_ranges", difference->memory.count);
    for (unsigned n = 0; n < difference->last_count; n++)
        json_array_append_new(last, event_json_of(&difference->last[n]));
    json_object_set_new(object, "last_events", last);
    json_object_set_new(object, "reproduced", json_boolean(difference->reproduced));
    json_object_set_new(object, "instruction", difference->has_insn ? insn_json(difference) : json_null());
    if (!difference->has_insn)
        json_object_set_new(object, "why", json_string(difference->why));
    return object;
}

json_t *lockstep_json(const struct lockstep_result *result)
{
    json_t *object = json_object(), *reasons = json_array();
    json_object_set_new(object, "verdict", json_string(verdict_name(result->verdict)));
    if (result->verdict == LOCKSTEP_NOT_COMPARED)
        json_array_append_new(reasons, json_text(result->reason, strlen(result->reason)));
    json_object_set_new(object, "reasons", reasons);
    json_set_number(object, "exits", result->exits);
    json_set_number(object, "vtime_ns", result->end.vtime_ns);
    json_set_number(object, "register_looks", result->register_looks);
    json_set_number(object, "digest_looks", result->digest_looks);
    json_set_number(object, "events", result->events);
    json_set_number(object, "interp_steps", result->interp_steps);
    if (result->remote) {
        json_set_number(object, "steps", result->steps);
        json_set_number(object, "taken_device", result->taken_device);
        json_set_number(object, "taken_own", result->taken_own);
        json_set_number(object, "taken_flags", result->taken_flags);
        json_set_number(object, "taken_start", result->taken_start);
        json_set_number(object, "taken_rf", result->taken_rf);
        json_set_number(object, "taken_memory", result->taken_memory);
        json_set_number(object, "memory_bytes", result->memory_bytes);
    }
    json_object_set_new(object, "stop", json_string(machine_stop_name(result->stop)));
    json_object_set_new(object, "difference",
                        result->verdict == LOCKSTEP_DIFFERENT ? difference_json(&result->difference) : json_null());
    return object;
}

/* ---- text ---- */

static void print_fields(const struct lockstep_fields *fields, FILE *out)
{
    for (unsigned n = 0; n < fields->count && n < LOCKSTEP_FIELDS_MAX; n++) {
        const struct lockstep_field *field = &fields->field[n];
        fprintf(out, "    %-24s", field->name);
        if (field->has_before)
            fprintf(out, " before %016" PRIx64, field->before);
        fprintf(out, "  a %016" PRIx64 "  b %016" PRIx64 "\n", field->value[0], field->value[1]);
    }
    if (fields->count > LOCKSTEP_FIELDS_MAX)
        fprintf(out, "    (%" PRIu64 " more)\n", fields->count - LOCKSTEP_FIELDS_MAX);
}

static void print_ranges(const struct lockstep_ranges *ranges, FILE *out)
{
    for (unsigned n = 0; n < ranges->count && n < LOCKSTEP_RANGES_MAX; n++) {
        const struct lockstep_range *range = &ranges->range[n];
        char text[2][2 * LOCKSTEP_RANGE_BYTES + 1];
        for (unsigned side = 0; side < 2; side++)
            hex_text(range->bytes[side], shown(range), text[side]);
        fprintf(out, "    %s %08" PRIx64 " %" PRIu64 " bytes  a %s  b %s\n", range->block, range->gpa,
                range->size_bytes, text[0], text[1]);
    }
    if (ranges->count > LOCKSTEP_RANGES_MAX)
        fprintf(out, "    (%" PRIu64 " ranges more)\n", ranges->count - LOCKSTEP_RANGES_MAX);
}

static void print_event(const char *mark, const struct trace_event *event, FILE *out)
{
    fprintf(out, "  %-3s %10" PRIu64 " %14" PRIu64 "  %-16s %" PRIx64 " = %" PRIx64 " (%u)\n", mark,
            event->position.icount, event->position.vtime_ns, trace_kind_name(event->kind), event->address,
            event->value, (unsigned)event->size_bytes);
}

static void print_state(const char *name, const struct cpu_state *state, FILE *out)
{
    static const char *const gpr[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                        "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    fprintf(out, "  %s\n", name);
    for (unsigned n = 0; n < 16; n++)
        fprintf(out, "%s%-3s %016" PRIx64 "%s", n % 4 ? "  " : "    ", gpr[n], state->gpr[n], n % 4 == 3 ? "\n" : "");
    fprintf(out,
            "    rip %016" PRIx64 "  rflags %08" PRIx64 "  cs %04x  ss %04x  cr0 %08" PRIx64 " cr2 %" PRIx64
            " cr3 %" PRIx64 " cr4 %" PRIx64 " efer %" PRIx64 "\n",
            state->rip, state->rflags, state->segment[CPU_CS].selector, state->segment[CPU_SS].selector, state->cr0,
            state->cr2, state->cr3, state->cr4, state->efer);
}

static void print_insn(const struct lockstep_difference *difference, const char *unit, FILE *out)
{
    char *text = insn_text(&difference->insn);
    fprintf(out, "the instruction (%" PRIu64 " behind %s %" PRIu64 ", %u-bit code)\n  %s\n", difference->steps, unit,
            difference->equal_exits, difference->insn.bits, text);
    free(text);
    if (difference->matched)
        fprintf(out, "  found by matching states (%u runs): from behind it on both do the same\n",
                difference->searches);
    else
        fprintf(out, "  differs behind it\n");
    print_fields(&difference->step_registers, out);
    print_ranges(&difference->step_memory, out);
    print_state("before", &difference->before, out);
    if (difference->matched) {
        print_state("behind it, of the side that makes steps", &difference->after[0], out);
        return;
    }
    print_state("a behind it", &difference->after[0], out);
    print_state("b behind it", &difference->after[1], out);
}

static void print_difference(const struct lockstep_difference *difference, const char *unit, FILE *out)
{
    fprintf(out, "different: %s; alike at %s %" PRIu64 ", not at %s %" PRIu64 "\n",
            lockstep_what_name(difference->what), unit, difference->equal_exits, unit, difference->exits);
    fprintf(out, "events\n");
    for (unsigned n = 0; n < difference->last_count; n++)
        print_event("", &difference->last[n], out);
    for (unsigned side = 0; side < 2; side++) {
        if (difference->has_event[side])
            print_event(side ? "b>" : "a>", &difference->event[side], out);
    }
    if (difference->stop[0] != difference->stop[1])
        fprintf(out, "a: %s, b: %s\n", machine_stop_name(difference->stop[0]), machine_stop_name(difference->stop[1]));
    fprintf(out, "at %s %" PRIu64 "\n", unit, difference->exits);
    print_fields(&difference->registers, out);
    print_fields(&difference->devices, out);
    print_ranges(&difference->memory, out);
    if (difference->has_insn)
        print_insn(difference, unit, out);
    else
        fprintf(out, "the instruction is not known: %s\n", difference->why);
}

static void print_remote(const struct lockstep_result *result, const char *const name[2], FILE *out)
{
    fprintf(out,
            "a: %s, b: %s: %" PRIu64 " steps, registers compared after each, %" PRIu64 " bytes of memory; stop: %s\n",
            name[0], name[1], result->steps, result->memory_bytes, machine_stop_name(result->stop));
    fprintf(out,
            "given to the target: after reads of devices %" PRIu64 ", of the CPU's own %" PRIu64
            ", undefined flags %" PRIu64 ", RF that was pushed %" PRIu64 ", before the first step %" PRIu64
            ", memory that devices wrote %" PRIu64 "\n",
            result->taken_device, result->taken_own, result->taken_flags, result->taken_rf, result->taken_start,
            result->taken_memory);
}

static void print_machines(const struct lockstep_result *result, const char *const name[2], FILE *out)
{
    fprintf(out,
            "a: %s, b: %s: %" PRIu64 " exits, %" PRIu64 " events, registers compared at %" PRIu64
            " exits, devices and memory at %" PRIu64 "; stop: %s\n",
            name[0], name[1], result->exits, result->events, result->register_looks, result->digest_looks,
            machine_stop_name(result->stop));
    if (result->interp_steps)
        fprintf(out, "the interpreter's steps to there (instructions, and repetitions of REP): %" PRIu64 "\n",
                result->interp_steps);
}

void lockstep_print(const struct lockstep_result *result, const char *const name[2], FILE *out)
{
    (result->remote ? print_remote : print_machines)(result, name, out);
    if (result->verdict == LOCKSTEP_EQUAL)
        fprintf(out, "equal\n");
    else if (result->verdict == LOCKSTEP_NOT_COMPARED)
        fprintf(out, "not compared: %s\n", result->reason);
    else
        print_difference(&result->difference, result->remote ? "step" : "exit", out);
}
