/* vmrr info --host, from the lists of accel-kvm: nothing here knows a single fact. */
#include "tools/host_info.h"

#include "tools/tools.h"

#ifdef VMRR_KVM

#include "accel-kvm/probe.h"
#include "accel-kvm/probe_promise.h"
#include "tools/json_text.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define LINE_WIDTH 118
#define NOTES_MAX (KVM_DIRECTION_COUNT * KVM_CODE_COUNT)

static const char *const registers[4] = {"eax", "ebx", "ecx", "edx"};

static const struct {
    const char *text, *from, *to;
} directions[KVM_DIRECTION_COUNT] = {
    [KVM_TO_INTERP] = {"recorded on KVM, replayed on interp", "kvm", "interp"},
    [KVM_TO_KVM] = {"recorded on KVM, replayed on KVM", "kvm", "kvm"},
    [KVM_FROM_INTERP] = {"recorded on interp, replayed on KVM", "interp", "kvm"},
};

/* ---- text ---- */

static void print_facts(const struct kvm_probe *probe)
{
    enum kvm_fact_group group = KVM_GROUP_COUNT;
    for (size_t n = 0; n < kvm_fact_count(); n++) {
        const struct kvm_fact *fact = kvm_fact_row(n);
        if (fact->group != group)
            printf("%s\n", kvm_fact_group_name(fact->group));
        group = fact->group;
        printf("  %-23s %-16s %s\n", fact->name, kvm_answer_name(kvm_fact_get(probe, fact)), fact->means);
    }
}

static void print_forced(const struct kvm_probe *probe)
{
    if (probe->forced_count)
        printf("features that KVM adds to a CPUID table without them\n");
    for (uint32_t n = 0; n < probe->forced_count; n++) {
        const struct kvm_cpuid_forced *forced = &probe->forced[n];
        printf("  leaf %8" PRIx32 ".%-3" PRIx32, forced->leaf, forced->subleaf);
        for (unsigned reg = 0; reg < 4; reg++)
            if (forced->bits[reg])
                printf(" %s %08" PRIx32, registers[reg], forced->bits[reg]);
        printf("\n");
    }
}

static void print_costs(const struct kvm_probe *probe)
{
    printf("costs, median\n");
    for (size_t n = 0; n < kvm_cost_count(); n++) {
        const struct kvm_cost *cost = kvm_cost_row(n);
        uint32_t ns = kvm_cost_get_ns(probe, cost);
        if (ns)
            printf("  %-23s %10.1f us    %s\n", cost->name, (double)ns / 1000, cost->means);
        else
            printf("  %-23s %-16s %s\n", cost->name, "not measured", cost->means);
    }
}

/* Words, as many as go on a line; the next lines are indented. */
static void print_wrapped(const char *text, int column, int indent)
{
    while (*text) {
        size_t length = strcspn(text, " ");
        if (column + 1 + (int)length > LINE_WIDTH) {
            printf("\n%*s", indent, "");
            column = indent;
        }
        printf(" %.*s", (int)length, text);
        column += 1 + (int)length;
        text += length + strspn(text + length, " ");
    }
}

static void print_unless(uint32_t unless, int column, int indent)
{
    char list[1024] = "";
    size_t used = 0;
    for (unsigned n = 0; n < KVM_UNCONTROLLED_COUNT && used < sizeof list; n++)
        if (unless >> n & 1)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", used ? ", " : "",
                                     kvm_uncontrolled_text((enum kvm_uncontrolled)n));
    print_wrapped(list, column, indent);
}

static void print_note(unsigned number, const struct kvm_promise *promise, const struct kvm_promises *promises)
{
    int column = printf("  %2u ", number);
    const int indent = column - 1;
    if (promise->level == KVM_REFUSED) {
        print_wrapped(kvm_reason_text(promise->reason), column, indent);
        if (promise->reason == KVM_REASON_LACKS)
            printf(": %s", promises->lacks->name);
        printf("\n");
        return;
    }
    column += printf(" arrivals between exits: %s;", kvm_position_name(promise->position));
    if (promise->reason) {
        print_wrapped(kvm_reason_text(promise->reason), column, indent);
        printf("\n%*s", indent, "");
        column = indent;
    }
    column += printf(" unless the guest executes:");
    print_unless(promise->unless, column, indent);
    printf("\n");
}

static bool same_promise(const struct kvm_promise *a, const struct kvm_promise *b)
{
    return a->level == b->level && a->position == b->position && a->reason == b->reason && a->unless == b->unless;
}

/* The number of the note that says it, a new one if none did. */
static unsigned note_of(const struct kvm_promise *notes[NOTES_MAX], unsigned *count, const struct kvm_promise *promise)
{
    for (unsigned n = 0; n < *count; n++)
        if (same_promise(notes[n], promise))
            return n + 1;
    notes[*count] = promise;
    return ++*count;
}

static void print_cell(unsigned column, const char *text)
{
    bool last = column + 1 == KVM_CODE_COUNT;
    printf(last ? "%s\n" : "%-18s", text);
}

static void print_promises(const struct kvm_promises *promises)
{
    const struct kvm_promise *notes[NOTES_MAX];
    unsigned count = 0;
    printf("what follows: tier %s (%s)\n  %-37s", kvm_tier_name(promises->tier), kvm_tier_means(promises->tier), "");
    for (unsigned code = 0; code < KVM_CODE_COUNT; code++)
        print_cell(code, kvm_code_name((enum kvm_code)code));
    for (unsigned direction = 0; direction < KVM_DIRECTION_COUNT; direction++) {
        printf("  %-37s", directions[direction].text);
        for (unsigned code = 0; code < KVM_CODE_COUNT; code++) {
            const struct kvm_promise *promise = &promises->promise[direction][code];
            char cell[32];
            snprintf(cell, sizeof cell, "%s (%u)", kvm_level_name(promise->level), note_of(notes, &count, promise));
            print_cell(code, cell);
        }
    }
    for (unsigned n = 0; n < count; n++)
        print_note(n + 1, notes[n], promises);
    printf("  No KVM lets RDTSC exit. Rate and offset of the TSC %s\n",
           promises->tsc_can_freeze ? "can be set here: it could be held between exits."
                                    : "can't be set here: it can't be held between exits either.");
}

static void print_text(const char *path, const struct kvm_probe *probe, const struct kvm_promises *promises)
{
    printf("%s: KVM API %" PRId32 "%s%s\n", path, probe->api_version, probe->module[0] ? ", module " : "",
           probe->module);
    print_facts(probe);
    print_forced(probe);
    print_costs(probe);
    print_promises(promises);
}

/* ---- JSON ---- */

static json_t *json_facts(const struct kvm_probe *probe)
{
    json_t *facts = json_object();
    for (size_t n = 0; n < kvm_fact_count(); n++)
        json_object_set_new(facts, kvm_fact_row(n)->name,
                            json_string(kvm_answer_name(kvm_fact_get(probe, kvm_fact_row(n)))));
    return facts;
}

static json_t *json_forced(const struct kvm_probe *probe)
{
    json_t *all = json_array();
    for (uint32_t n = 0; n < probe->forced_count; n++) {
        json_t *leaf = json_object();
        json_set_hex(leaf, "leaf", probe->forced[n].leaf, 8);
        json_set_number(leaf, "subleaf", probe->forced[n].subleaf);
        for (unsigned reg = 0; reg < 4; reg++)
            json_set_hex(leaf, registers[reg], probe->forced[n].bits[reg], 8);
        json_array_append_new(all, leaf);
    }
    return all;
}

static json_t *json_costs(const struct kvm_probe *probe)
{
    json_t *costs = json_object();
    for (size_t n = 0; n < kvm_cost_count(); n++) {
        uint32_t ns = kvm_cost_get_ns(probe, kvm_cost_row(n));
        json_object_set_new(costs, kvm_cost_row(n)->name, ns ? json_integer(ns) : json_null());
    }
    return costs;
}

static json_t *json_promise(const struct kvm_promise *promise, unsigned direction, enum kvm_code code)
{
    json_t *object = json_object(), *unless = json_array();
    json_object_set_new(object, "recorded", json_string(directions[direction].from));
    json_object_set_new(object, "replayed", json_string(directions[direction].to));
    json_object_set_new(object, "code", json_string(kvm_code_name(code)));
    json_object_set_new(object, "level", json_string(kvm_level_name(promise->level)));
    json_object_set_new(object, "position",
                        promise->level == KVM_REFUSED ? json_null()
                                                      : json_string(kvm_position_name(promise->position)));
    json_object_set_new(object, "reason",
                        promise->reason ? json_string(kvm_reason_text(promise->reason)) : json_null());
    for (unsigned n = 0; n < KVM_UNCONTROLLED_COUNT; n++)
        if (promise->unless >> n & 1)
            json_array_append_new(unless, json_string(kvm_uncontrolled_text((enum kvm_uncontrolled)n)));
    json_object_set_new(object, "unless", unless);
    return object;
}

static json_t *json_promises(const struct kvm_promises *promises)
{
    json_t *all = json_array();
    for (unsigned direction = 0; direction < KVM_DIRECTION_COUNT; direction++)
        for (unsigned code = 0; code < KVM_CODE_COUNT; code++)
            json_array_append_new(all,
                                  json_promise(&promises->promise[direction][code], direction, (enum kvm_code)code));
    return all;
}

static void print_json(const char *path, const struct kvm_probe *probe, const struct kvm_promises *promises)
{
    json_t *object = json_object();
    json_object_set_new(object, "path", json_text(path, strlen(path)));
    json_object_set_new(object, "api_version", json_integer(probe->api_version));
    json_object_set_new(object, "module", probe->module[0] ? json_string(probe->module) : json_null());
    json_object_set_new(object, "facts", json_facts(probe));
    json_object_set_new(object, "cpuid_added", json_forced(probe));
    json_object_set_new(object, "costs_ns", json_costs(probe));
    json_object_set_new(object, "tier", json_string(kvm_tier_name(promises->tier)));
    json_object_set_new(object, "lacks", promises->lacks ? json_string(promises->lacks->name) : json_null());
    json_object_set_new(object, "tsc_can_freeze", json_boolean(promises->tsc_can_freeze));
    json_object_set_new(object, "promises", json_promises(promises));
    json_dumpf(object, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(object);
}

void host_info_show(const char *path, const struct kvm_probe *probe, const struct kvm_promises *promises, bool json)
{
    if (json)
        print_json(path, probe, promises);
    else
        print_text(path, probe, promises);
}

int host_info_print(const char *path, bool json)
{
    struct kvm_probe_options options = {.path = path};
    struct kvm_probe probe;
    struct kvm_promises promises;
    struct error error = {{0}};
    enum status status = kvm_probe(&options, &probe, &error);
    if (status) {
        tool_error("%s", error.text[0] ? error.text : status_name(status));
        return EXIT_CODE_FAILED;
    }
    kvm_promises_derive(&probe, &promises);
    host_info_show(path ? path : "/dev/kvm", &probe, &promises, json);
    return EXIT_CODE_OK;
}

#else

int host_info_print(const char *path, bool json)
{
    (void)path;
    (void)json;
    tool_error("info --host: this build has no KVM accelerator, which is of x86-64 Linux alone");
    return EXIT_CODE_FAILED;
}

#endif
