/* Two small machines for tests of lockstep: a real-mode guest in RAM, no devices, and accelerators that can be made to do one thing
 * wrong. Not part of the product. */
#ifndef VMRR_TESTS_TOOLS_LOCKSTEP_RIG_H
#define VMRR_TESTS_TOOLS_LOCKSTEP_RIG_H

#include "accel-interp/accel_interp.h"
#include "core/cpu_state.h"
#include "tools/lockstep/lockstep.h"

#ifdef VMRR_KVM
#include "accel-kvm/accel_kvm.h"
#endif

#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RIG_CODE 0x7C00u
#define RIG_RAM (1u << 20)

enum rig_wrong { RIG_RIGHT, RIG_REGISTER, RIG_FLAG, RIG_MEMORY };

/* What goes wrong: behind the instruction at `linear`, the time-th time that it is executed. */
struct rig_fault {
    enum rig_wrong wrong;
    uint64_t linear, time;
    unsigned reg;
    uint64_t gpa;
};

struct rig_side {
    bool kvm, no_steps;
    struct rig_fault fault;
    struct machine *machine;
    unsigned made;
};

struct rig {
    const uint8_t *code;
    size_t size;
    struct rig_side side[2];
    struct lockstep_options options;
    struct lockstep_script *script;
    struct lockstep_result result;
};

/* ---- an accelerator over another, which it runs step by step ---- */

struct wrong_accel {
    struct accel accel;
    struct accel *inner;
    struct rig_fault fault;
    uint64_t times;
    bool stepping;
};

static struct wrong_accel *wrong_of(struct accel *accel)
{
    return (struct wrong_accel *)(void *)accel;
}

static uint64_t rig_linear(struct accel *inner)
{
    struct cpu_state state;
    inner->ops->get_state(inner, &state);
    return state.segment[CPU_CS].base + state.rip;
}

static void do_wrong(struct wrong_accel *wrong)
{
    struct cpu_state state;
    uint8_t byte;
    struct memory *memory = machine_memory(wrong->accel.machine);
    wrong->inner->ops->get_state(wrong->inner, &state);
    switch (wrong->fault.wrong) {
    case RIG_REGISTER: state.gpr[wrong->fault.reg] ^= 0x40; break;
    case RIG_FLAG: state.rflags ^= 0x10; break;
    case RIG_MEMORY:
        memory_read(memory, wrong->fault.gpa, &byte, 1);
        byte ^= 0x80;
        memory_write(memory, wrong->fault.gpa, &byte, 1);
        return;
    default: return;
    }
    wrong->inner->ops->set_state(wrong->inner, &state);
}

static enum accel_exit wrong_run(struct accel *accel)
{
    struct wrong_accel *wrong = wrong_of(accel);
    struct accel *inner = wrong->inner;
    for (;;) {
        uint64_t before = rig_linear(inner);
        inner->ops->debug_step(inner);
        enum accel_exit exit = inner->ops->run(inner);
        if (exit != ACCEL_EXIT_DEBUG)
            return exit;
        if (before == wrong->fault.linear && ++wrong->times == wrong->fault.time)
            do_wrong(wrong);
        if (wrong->stepping) {
            wrong->stepping = false;
            return exit;
        }
    }
}

#define INNER struct accel *inner = wrong_of(accel)->inner

static uint64_t wrong_icount(const struct accel *accel)
{
    (void)accel;
    return 0;
}
static void wrong_reset(struct accel *accel)
{
    INNER;
    inner->ops->reset(inner);
}
static void wrong_get_state(struct accel *accel, struct cpu_state *state)
{
    INNER;
    inner->ops->get_state(inner, state);
}
static void wrong_set_state(struct accel *accel, const struct cpu_state *state)
{
    INNER;
    inner->ops->set_state(inner, state);
}
static void wrong_map_changed(struct accel *accel)
{
    INNER;
    inner->ops->memory_map_changed(inner);
}
static void wrong_written(struct accel *accel, uint64_t gpa, uint64_t size_bytes)
{
    INNER;
    inner->ops->memory_written(inner, gpa, size_bytes);
}
static void wrong_protect(struct accel *accel)
{
    INNER;
    inner->ops->memory_protect_all(inner);
}
static void wrong_a20(struct accel *accel)
{
    INNER;
    inner->ops->a20_changed(inner);
}
static bool wrong_translate(struct accel *accel, uint64_t linear, uint64_t *gpa)
{
    INNER;
    return inner->ops->translate(inner, linear, gpa);
}
static void wrong_step(struct accel *accel)
{
    wrong_of(accel)->stepping = true;
}
static void wrong_go_past(struct accel *accel)
{
    INNER;
    wrong_of(accel)->stepping = false;
    inner->ops->debug_go_past(inner);
}
static const char *wrong_error(const struct accel *accel)
{
    const struct accel *inner = ((const struct wrong_accel *)(const void *)accel)->inner;
    return inner->ops->error ? inner->ops->error(inner) : "";
}
static void wrong_destroy(struct accel *accel)
{
    INNER;
    inner->ops->destroy(inner);
    free(accel);
}
#undef INNER

static struct accel *wrong_create(struct accel *inner, const struct rig_fault *fault)
{
    static const struct accel_ops ops = {
        .name = "wrong",
        .run = wrong_run,
        .icount = wrong_icount,
        .reset = wrong_reset,
        .get_state = wrong_get_state,
        .set_state = wrong_set_state,
        .memory_map_changed = wrong_map_changed,
        .memory_written = wrong_written,
        .memory_protect_all = wrong_protect,
        .a20_changed = wrong_a20,
        .translate = wrong_translate,
        .debug_step = wrong_step,
        .debug_go_past = wrong_go_past,
        .error = wrong_error,
        .destroy = wrong_destroy,
    };
    struct wrong_accel *wrong = calloc(1, sizeof *wrong);
    CHECK(wrong);
    *wrong = (struct wrong_accel){.accel = {&ops, inner->machine}, .inner = inner, .fault = *fault};
    return &wrong->accel;
}

/* ---- machines ---- */

static struct accel *rig_accel(struct machine *machine, bool kvm, struct error *error)
{
    struct accel *interp = interp_create(machine, NULL, error);
#ifdef VMRR_KVM
    if (kvm)
        return kvm_accel_create(machine, &(struct kvm_accel_options){.helper = interp}, error);
#else
    CHECK(!kvm);
#endif
    return interp;
}

static void rig_load(struct rig *rig, struct machine *machine)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(machine);
    memory_write(machine_memory(machine), RIG_CODE, rig->code, rig->size);
    accel->ops->get_state(accel, &state);
    for (unsigned n = 0; n < CPU_LDTR; n++) {
        state.segment[n].selector = 0;
        state.segment[n].base = 0;
    }
    state.rip = RIG_CODE;
    state.gpr[CPU_RSP] = 0x7000;
    accel->ops->set_state(accel, &state);
}

static struct machine *rig_make(void *opaque, unsigned n, struct input *input, struct trace_sink trace,
                                struct error *error)
{
    struct rig *rig = opaque;
    struct rig_side *side = &rig->side[n];
    struct machine_options options = {
        .ram_bytes = RIG_RAM, .input = input, .trace = trace, .counts_exits = true, .no_reboot = true};
    CHECK(cpu_model_init(&options.cpu, "qemu64", error) == STATUS_OK);
    side->machine = machine_create(&options, error);
    struct memory_block *ram = memory_add_block(machine_memory(side->machine), "ram", RIG_RAM, true, error);
    struct accel *accel = rig_accel(side->machine, side->kvm, error);
    side->made++;
    if (!accel)
        return NULL;
    machine_set_accel(side->machine, side->fault.wrong ? wrong_create(accel, &side->fault) : accel);
    memory_map_block(machine_memory(side->machine), 0, RIG_RAM, ram, 0, MEMORY_RAM, 0);
    machine_reset(side->machine);
    rig_load(rig, side->machine);
    return side->machine;
}

static void rig_unmake(void *opaque, unsigned n)
{
    struct rig *rig = opaque;
    machine_destroy(rig->side[n].machine);
    rig->side[n].machine = NULL;
}

static inline bool rig_can_step(void *opaque, unsigned n)
{
    return !((struct rig *)opaque)->side[n].no_steps;
}

static inline void rig_run(struct rig *rig)
{
    rig->options =
        (struct lockstep_options){.make = rig_make,
                                  .unmake = rig_unmake,
                                  .can_step = rig_can_step,
                                  .over = rig->options.over,
                                  .opaque = rig,
                                  .leader = rig->side[0].kvm ? 0 : 1,
                                  .until_exits = rig->options.until_exits ? rig->options.until_exits : POSITION_NEVER,
                                  .every = rig->options.every ? rig->options.every : 4,
                                  .stall_ms = 1000,
                                  .steps_max = 100000};
    lockstep_script_destroy(rig->script);
    rig->script = lockstep_script_create();
    lockstep_run(&rig->options, rig->script, &rig->result);
}

/* ---- tests that both have ---- */

static inline void rig_setup(struct rig *rig, const uint8_t *code, size_t size)
{
    memset(rig, 0, sizeof *rig);
    rig->code = code;
    rig->size = size;
}

static inline void rig_teardown(struct rig *rig)
{
    lockstep_script_destroy(rig->script);
    rig->script = NULL;
}

static inline void rig_expect_insn(const struct rig *rig, uint64_t linear)
{
    const struct lockstep_difference *difference = &rig->result.difference;
    ck_assert_int_eq(rig->result.verdict, LOCKSTEP_DIFFERENT);
    ck_assert_msg(difference->has_insn, "%s", difference->why);
    ck_assert_uint_eq(difference->insn.linear, linear);
}

/* A side that makes no single steps, as KVM in user code on some hosts: by matching states. Both guests have the ADD at 7C0B and the
 * REP MOVSB at 7C17. */
static inline void rig_search(struct rig *rig, const uint8_t *code, size_t size, bool kvm)
{
    static const struct rig_fault faults[] = {
        {.wrong = RIG_REGISTER, .linear = 0x7C0B, .time = 5, .reg = CPU_RBX}, /* the ADD */
        {.wrong = RIG_REGISTER, .linear = 0x7C03, .time = 4, .reg = CPU_RBX}, /* the first of its interval but two */
        {.wrong = RIG_MEMORY, .linear = 0x7C17, .time = 6, .gpa = 0x5123},
    };
    for (unsigned n = 0; n < sizeof faults / sizeof faults[0]; n++) {
        for (unsigned side = 0; side < 2; side++) {
            rig_setup(rig, code, size);
            rig->side[1].kvm = kvm;
            rig->side[side].fault = faults[n];
            rig->side[side].no_steps = true;
            rig_run(rig);
            rig_expect_insn(rig, faults[n].linear);
            ck_assert(rig->result.difference.matched);
            ck_assert_uint_gt(rig->result.difference.searches, 2);
            rig_teardown(rig);
        }
    }
    rig_setup(rig, code, size);
    rig->side[0].fault = faults[0];
    rig->side[0].no_steps = rig->side[1].no_steps = true;
    rig_run(rig);
    ck_assert_int_eq(rig->result.verdict, LOCKSTEP_DIFFERENT);
    ck_assert(!rig->result.difference.has_insn && rig->result.difference.why[0]);
}

/* Null: a KVM machine can be made here; else why not. */
static inline const char *rig_no_kvm(void)
{
#ifdef VMRR_KVM
    return access("/dev/kvm", R_OK | W_OK) ? "/dev/kvm can't be opened" : NULL;
#else
    return "built without KVM";
#endif
}

#endif
