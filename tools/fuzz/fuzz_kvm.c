/* vmrr fuzz --against kvm: the interpreter's made-up machine once more, its code executed by this host's KVM. At level 0 that is
 * what KVM's hosts do with kernels (hardware, or, without VMX and SVM, KVM's emulator), at level 3 with programs.
 *
 * An instruction that KVM leaves to user space is executed by the interpreter and proves nothing: the note counts them. At level 0
 * such rows, and those in which KVM differs nearly each time, are found out by some cases of each and taken seldom: the way there and
 * back costs more than all the rest, and so does looking behind what is known. Of
 * that rest most is system calls on the vCPU (7 microseconds each on kvm_pvm), so that a case has few: it ends at HLT. */
#include "tools/fuzz/fuzz.h"

#ifdef VMRR_KVM

#include "accel-interp/accel_interp.h"
#include "accel-kvm/accel_kvm.h"
#include "core/machine.h"
#include "tools/fuzz/native_internal.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Of this thread's CPU time, a guest's included, without an exit: it does not end. The longer one: of a case by itself. */
#define STALL_NS 200000000u
#define STALL_ALONE_NS 1000000000u
#define LEARN_CASES 3u
#define LEARN_ENOUGH 2u /* of these: a LOCK may have made it #UD */
#define IDLE_SHARE 1u

/* Nothing comes; a guest that makes no exits is stopped. */
struct nothing {
    struct input input; /* first */
    struct machine *machine;
    uint64_t asked_at, since_ns, stall_ns; /* exit, and when it was first asked there; 0: not yet */
};

struct kvm {
    struct fuzz_reference reference;
    unsigned bits, level;
    enum native_paging paging;
    uint8_t *share; /* of each row, and 1 more; 0: not known yet */
    struct nothing nothing;
    struct native_harness *harness, *interp; /* interp: to learn by */
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

static uint64_t thread_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static bool seldom_due(struct input *input, struct position position, uint64_t next_timer_ns)
{
    struct nothing *nothing = (struct nothing *)(void *)input;
    (void)next_timer_ns;
    uint64_t now_ns = thread_ns();
    if (position.icount != nothing->asked_at || !nothing->since_ns)
        nothing->since_ns = now_ns;
    nothing->asked_at = position.icount;
    if (now_ns - nothing->since_ns > nothing->stall_ns)
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
    return helper ? kvm_accel_create(machine, &(struct kvm_accel_options){.helper = helper, .plain = true}, error)
                  : NULL;
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
    kvm->harness =
        native_harness_create(&(struct native_make){.paging = kvm->paging,
                                                    .level = kvm->level,
                                                    .counts_exits = true,
                                                    .halts = fuzz_halts(kvm->reference.ops, kvm->bits, kvm->level),
                                                    .input = &kvm->nothing.input,
                                                    .accel = make_accel},
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
    struct kvm *kvm = kvm_of(self);
    close_harness(kvm);
    native_interp_destroy(kvm->interp);
    free(kvm->share);
    free(kvm);
}

/* After trouble, the next case gets another VM. */
static bool run_case(struct kvm *kvm, const struct native_case *c, uint64_t stall_ns, struct native_outcome *out,
                     struct error *error)
{
    if (!kvm->harness && !open_harness(kvm, error))
        return false;
    kvm->nothing.stall_ns = stall_ns;
    struct accel *accel = machine_accel(native_machine(kvm->harness));
    native_interp_run(kvm->harness, c, FUZZ_STEPS, &out->state, out->data);
    kvm->nothing.since_ns = 0;
    native_sum_up(&out->state);
    bool good = !accel->ops->error(accel)[0] && out->state.vector != NATIVE_ENDLESS; /* as long as it may have taken */
    if (!good)
        close_harness(kvm);
    return good;
}

/* kvm_pvm has no paging but long mode's: not even NOP comes to its end there. */
static bool pages(struct kvm *kvm, struct error *error)
{
    struct native_case *c = calloc(1, sizeof *c);
    struct native_outcome *out = calloc(1, sizeof *out);
    struct error ignored = {{0}};
    bool good = !kvm->paging;
    CHECK(c && out);
    if (!good) {
        native_case_init(c, 1, kvm->bits);
        c->in.rip = NATIVE_CODE + c->offset;
        c->code[c->length++] = 0x90;
        good = run_case(kvm, c, STALL_ALONE_NS, out, &ignored) && out->state.vector == -1;
        if (!good)
            error_set(error, "this host's KVM has no legacy paging (vmrr info --host)");
    }
    free(c);
    free(out);
    return good;
}

static struct fuzz_reference *reference_open(const struct fuzz_reference_options *options, struct error *error)
{
    struct kvm *kvm = calloc(1, sizeof *kvm);
    CHECK(kvm);
    kvm->reference.ops = &fuzz_kvm_ops;
    kvm->bits = options->bits;
    kvm->level = options->level;
    kvm->paging = options->paging;
    kvm->share = calloc(opcode_rows_count, 1);
    CHECK(kvm->share);
    if (open_harness(kvm, error) && pages(kvm, error))
        return &kvm->reference;
    reference_close(&kvm->reference);
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

static enum status reference_collect(struct fuzz_reference *self, struct native_outcome *out, bool *valid,
                                     struct error *error)
{
    struct kvm *kvm = kvm_of(self);
    for (size_t n = 0; n < kvm->count; n++)
        valid[n] = run_case(kvm, &kvm->cases[n], kvm->count == 1 ? STALL_ALONE_NS : STALL_NS, &out[n], error);
    return STATUS_OK;
}

/* ---- rows that KVM does not execute ---- */

static uint64_t helped_now(const struct kvm *kvm)
{
    return kvm->helped + (kvm->harness ? statistics(kvm)->helped : 0);
}

/* KVM's outcome in out[0], the interpreter's in out[1]. */
static bool is_idle_case(struct kvm *kvm, const struct native_case *c, struct native_outcome *out)
{
    struct error error = {{0}};
    uint64_t before = helped_now(kvm);
    bool good = run_case(kvm, c, STALL_NS, &out[0], &error);
    if (!good || helped_now(kvm) != before)
        return true;
    native_interp_run(kvm->interp, c, FUZZ_STEPS, &out[1].state, out[1].data);
    native_normalise(&out[0].state, 0);
    native_normalise(&out[1].state, 0);
    return native_differ(c, false, &out[0], &out[1], NULL, NULL);
}

/* By cases of its own, which are the same in every run. */
static bool is_idle(struct kvm *kvm, const struct opcode_row *row)
{
    struct native_case *c = calloc(1, sizeof *c);
    struct native_outcome *out = calloc(2, sizeof *out);
    const struct native_profile profile = {.bits = kvm->bits, .aligned = true};
    unsigned idle = 0, cases = 0;
    CHECK(c && out);
    for (unsigned n = 0; n < LEARN_CASES; n++) {
        if (!native_generate(c, row, &profile, native_seed(row, n)))
            continue;
        cases++;
        idle += is_idle_case(kvm, c, out);
    }
    free(c);
    free(out);
    return cases && idle * LEARN_CASES >= cases * LEARN_ENOUGH;
}

static unsigned reference_share(struct fuzz_reference *self, const struct opcode_row *row)
{
    struct kvm *kvm = kvm_of(self);
    size_t n = (size_t)(row - opcode_rows);
    struct error error = {{0}};
    if (kvm->level && kvm->bits == 64)
        return 100;
    if (!kvm->interp)
        kvm->interp = native_harness_create(
            &(struct native_make){
                .paging = kvm->paging, .level = kvm->level, .halts = fuzz_halts(self->ops, kvm->bits, kvm->level)},
            &error);
    if (!kvm->share[n])
        kvm->share[n] = is_idle(kvm, row) ? IDLE_SHARE + 1 : 101;
    return kvm->share[n] - 1u;
}

static const char *reference_excuse(struct fuzz_reference *self, const struct native_harness *h,
                                    const struct native_case *c, struct native_outcome *reference,
                                    struct native_outcome *interp, bool *guess)
{
    (void)self;
    return fuzz_kvm_excuse(h, c, reference, interp, guess);
}

static void reference_note(struct fuzz_reference *self, char *text, size_t size)
{
    const struct kvm *kvm = kvm_of(self);
    snprintf(text, size,
             "%" PRIu64 " executions of instructions were the interpreter's on both sides, and prove nothing",
             helped_now(kvm));
}

const struct fuzz_reference_ops fuzz_kvm_ops = {
    .name = "kvm",
    .halts = true,
    .endless = true,
    .open = reference_open,
    .has_feature = reference_has_feature,
    .share = reference_share,
    .submit = reference_submit,
    .collect = reference_collect,
    .excuse = reference_excuse,
    .note = reference_note,
    .close = reference_close,
};

#endif
