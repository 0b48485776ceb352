/* vmrr fuzz --against kvm: the interpreter's made-up machine once more, its code executed by this host's KVM. At level 0 that is
 * what KVM's hosts do with kernels (hardware, or, without VMX and SVM, KVM's emulator), at level 3 with programs.
 *
 * An instruction that KVM leaves to user space is executed by the interpreter and proves nothing: the note counts them. */
#include "tools/fuzz/fuzz.h"

#ifdef VMRR_KVM

#include "accel-interp/accel_interp.h"
#include "accel-kvm/accel_kvm.h"
#include "core/machine.h"
#include "tools/fuzz/native_host.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STALL_NS 1000000000u /* without an exit: it does not end */

/* Nothing comes; a guest that makes no exits is stopped. */
struct nothing {
    struct input input; /* first */
    struct machine *machine;
    uint64_t asked_at, since_ns; /* exit, and when it was first asked there; 0: not yet */
};

struct kvm {
    struct fuzz_reference reference;
    unsigned level;
    struct nothing nothing;
    struct native_harness *harness;
    const struct native_case *cases;
    size_t count;
    uint64_t helped; /* by harnesses that are gone */
};

static struct kvm *kvm_of(struct fuzz_reference *self)
{
    return (struct kvm *)(void *)self;
}

/* ---- the input ---- */

static uint64_t no_pull(struct input *input, enum input_id id, struct position position,
                        uint64_t (*fetch)(void *opaque), void *opaque)
{
    (void)input;
    (void)id;
    return fetch ? fetch(opaque) : position.vtime_ns;
}

static bool no_message(struct input *input, struct position position, struct input_message *message)
{
    (void)input;
    (void)position;
    (void)message;
    return false;
}

static struct position no_horizon(struct input *input, struct position position)
{
    (void)input;
    (void)position;
    return (struct position){POSITION_NEVER, VTIME_NEVER};
}

static uint64_t no_wake(struct input *input, struct position position, uint64_t deadline_ns)
{
    (void)input;
    (void)position;
    return deadline_ns;
}

static bool seldom_due(struct input *input, struct position position, uint64_t next_timer_ns)
{
    struct nothing *nothing = (struct nothing *)(void *)input;
    (void)next_timer_ns;
    uint64_t now_ns = host_clock_ns();
    if (position.icount != nothing->asked_at || !nothing->since_ns)
        nothing->since_ns = now_ns;
    nothing->asked_at = position.icount;
    if (now_ns - nothing->since_ns > STALL_NS)
        machine_interrupt(nothing->machine);
    return false;
}

static bool anything_offered(struct input *input, struct position position, const struct input_message *message)
{
    (void)input;
    (void)position;
    (void)message;
    return true;
}

/* ---- the machine ---- */

static struct accel *make_accel(struct machine *machine, struct error *error)
{
    struct accel *helper = interp_create(machine, NULL, error);
    return helper ? kvm_accel_create(machine, &(struct kvm_accel_options){.helper = helper}, error) : NULL;
}

static const struct kvm_accel_statistics *statistics(const struct kvm *kvm)
{
    return kvm_accel_statistics(machine_accel(native_machine(kvm->harness)));
}

static bool open_harness(struct kvm *kvm, struct error *error)
{
    static const struct input_ops ops = {.pull = no_pull,
                                         .next = no_message,
                                         .horizon = no_horizon,
                                         .wait = no_wake,
                                         .due = seldom_due,
                                         .offer = anything_offered};
    kvm->nothing = (struct nothing){.input = {&ops}};
    kvm->harness = native_harness_create(
        &(struct native_make){
            .level = kvm->level, .counts_exits = true, .input = &kvm->nothing.input, .accel = make_accel},
        error);
    if (kvm->harness)
        kvm->nothing.machine = native_machine(kvm->harness);
    return kvm->harness;
}

static void close_harness(struct kvm *kvm)
{
    if (kvm->harness)
        kvm->helped += statistics(kvm)->helped;
    native_interp_destroy(kvm->harness);
    kvm->harness = NULL;
}

/* ---- the operations ---- */

static void reference_close(struct fuzz_reference *self)
{
    close_harness(kvm_of(self));
    free(kvm_of(self));
}

static struct fuzz_reference *reference_open(const struct fuzz_reference_options *options, struct error *error)
{
    struct kvm *kvm = calloc(1, sizeof *kvm);
    CHECK(kvm);
    kvm->reference.ops = &fuzz_kvm_ops;
    kvm->level = options->level;
    if (open_harness(kvm, error))
        return &kvm->reference;
    free(kvm);
    return NULL;
}

static bool reference_has_feature(struct fuzz_reference *self, const char *feature)
{
    (void)self;
    return native_host_has(feature);
}

static enum status reference_submit(struct fuzz_reference *self, const struct native_case *cases, size_t count,
                                    struct error *error)
{
    struct kvm *kvm = kvm_of(self);
    kvm->cases = cases;
    kvm->count = count;
    return kvm->harness || open_harness(kvm, error) ? STATUS_OK : STATUS_IO;
}

/* After trouble, the next case gets another VM. */
static bool run_case(struct kvm *kvm, const struct native_case *c, struct native_outcome *out, struct error *error)
{
    if (!kvm->harness && !open_harness(kvm, error))
        return false;
    struct accel *accel = machine_accel(native_machine(kvm->harness));
    native_interp_run(kvm->harness, c, FUZZ_STEPS, &out->state, out->data);
    kvm->nothing.since_ns = 0;
    bool good = !accel->ops->error(accel)[0] && out->state.vector != NATIVE_ENDLESS; /* as long as it may have taken */
    if (!good)
        close_harness(kvm);
    return good;
}

static enum status reference_collect(struct fuzz_reference *self, struct native_outcome *out, bool *valid,
                                     struct error *error)
{
    struct kvm *kvm = kvm_of(self);
    for (size_t n = 0; n < kvm->count; n++)
        valid[n] = run_case(kvm, &kvm->cases[n], &out[n], error);
    return STATUS_OK;
}

static const char *reference_excuse(struct fuzz_reference *self, const struct native_harness *h,
                                    const struct native_case *c, struct native_outcome *reference,
                                    struct native_outcome *interp)
{
    (void)self;
    return fuzz_kvm_excuse(h, c, reference, interp);
}

static void reference_note(struct fuzz_reference *self, char *text, size_t size)
{
    const struct kvm *kvm = kvm_of(self);
    uint64_t helped = kvm->helped + (kvm->harness ? statistics(kvm)->helped : 0);
    snprintf(text, size,
             "%" PRIu64 " executions of instructions were the interpreter's on both sides, and prove nothing", helped);
}

const struct fuzz_reference_ops fuzz_kvm_ops = {
    .name = "kvm",
    .open = reference_open,
    .has_feature = reference_has_feature,
    .submit = reference_submit,
    .collect = reference_collect,
    .excuse = reference_excuse,
    .note = reference_note,
    .close = reference_close,
};

#endif
