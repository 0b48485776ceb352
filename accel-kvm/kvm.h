/* Inside of accel-kvm. Thread: machine thread, but for what is said. */
#ifndef VMRR_ACCEL_KVM_KVM_H
#define VMRR_ACCEL_KVM_KVM_H

#include "accel-kvm/accel_kvm.h"
#include "core/machine.h"

#include <linux/kvm.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#define KVM_SLOTS_MAX 64

struct kvm_slot {
    uint64_t start, size_bytes; /* size 0: unused */
    uint8_t *host, *flags;
    bool writable;
    /* rewind.c, writable slots; null before the first mark: the slot's content at the mark, and the pages whose copy is not
     * that of now (beside those whose flags say dirty). */
    uint8_t *copy;
    uint64_t *stale;
};

/* An instant between two exits to which the vCPU can be put back. */
struct kvm_mark {
    bool set, halted;
    struct cpu_state state;
    uint64_t done; /* instructions since the exit before */
};

enum kvm_access { KVM_ACCESS_NONE, KVM_ACCESS_OUT, KVM_ACCESS_STORE, KVM_ACCESS_READ };

struct kvm_accel {
    struct accel accel; /* first */
    struct accel *helper;
    uint32_t slower; /* accel_kvm.h, and plain */
    bool plain;
    int kvm, vm, vcpu;
    struct kvm_run *run;
    size_t run_bytes;
    struct kvm_slot slot[KVM_SLOTS_MAX];
    uint64_t *dirty; /* a bitmap as large as the largest slot needs */
    size_t dirty_bytes;

    /* The CPU: what KVM has no place for is always here; the rest when valid. dirty: to be given to KVM before it runs. */
    struct cpu_state state;
    bool state_valid, state_changed;
    struct cpu_state held; /* what KVM holds of it, when valid */
    bool held_valid;
    bool synced; /* general and segment registers are in *run */
    bool must_complete; /* an access of the last KVM_RUN waits for the next */
    bool halted;
    uint8_t cr8;

    int stats; /* count.c; -1: none */
    uint64_t stats_offset;
    uint64_t count_at_exit; /* when the last exit was done */

    /* meet.c, rewind.c */
    struct kvm_mark mark;
    bool hopping, careful; /* runs freely; must not, to this landmark: it was passed */
    uint64_t hop_count, hop_ns; /* when it began to */
    uint64_t speed; /* instructions a millisecond; 0: not known */
    uint64_t margin; /* instructions that are left for single steps */
    struct { /* repair.c */
        uint64_t lstar, idt, handler; /* 0: none */
    } repair;
    struct kvm_guest_debug debug; /* as KVM was told last */
    bool at_repair;               /* the last exit was by the breakpoint at the page fault handler, and no SYSCALL */
    struct {                      /* site.c */
        bool here;                /* the guest stands at an RDTSC that is an exit, and it is next */
        bool passing;             /* it stands at such an address, and takes what is there as any code */
        uint64_t linear;
    } site;
    bool landmark_set; /* debug: DR0 is the landmark's */
    bool tsc_waits;    /* the access to be completed stands for RDTSC */
    bool helping;      /* the helper executes an instruction */
    struct {           /* the access that the machine carries out just now */
        enum kvm_access kind;
        unsigned size_bytes;
        uint16_t port;
    } access;

    /* kick.c */
    timer_t timer, post_timer;
    bool has_timer, has_post_timer;
    atomic_bool posted; /* post_timer runs */
    bool armed;
    uint64_t armed_ns; /* the deadline that the timer is set for */
    _Atomic bool kicked;
    unsigned unclean; /* looks in a row between two exits that found something begun */
    uint8_t taken_vector; /* the last one taken */
    bool mending; /* the last stop was within a SYSCALL that is to be mended */
    bool refused; /* since the last exit a stop between two was wanted, and the run has none */
    bool taken; /* an interrupt is queued in KVM, and the guest has not been entered since */
    bool at_breakpoint; /* the last exit was by the breakpoint at a landmark's RIP */
    bool at_stop; /* right after an exit's instruction, or where the run loop has just been */

    struct { /* freeze.c */
        bool on;
        uint64_t at; /* what the guest's TSC was given last */
    } freeze;

    /* step.c */
    bool stepping; /* run is to end after one instruction */
    bool stepped;  /* it has been executed */
    uint64_t step_rip, step_rflags; /* where it began */
    uint16_t step_cs;
    bool debug_left; /* run has ended so */

    struct error error;
    struct kvm_accel_statistics statistics;
};

static inline struct kvm_accel *kvm_of(struct accel *accel)
{
    return (struct kvm_accel *)(void *)accel;
}

/* The host failed: notes the text, and is what run returns. */
enum accel_exit kvm_trouble(struct kvm_accel *cpu, const char *what);

/* slots.c */
void kvm_slots_rebuild(struct kvm_accel *cpu);
void kvm_slots_fetch_dirty(struct kvm_accel *cpu);
void kvm_slots_free(struct kvm_accel *cpu);
/* KVM's shadows of page tables in them are forgotten. */
void kvm_slots_renew(struct kvm_accel *cpu);

/* state.c: the vCPU's state into cpu->state and back. No access may wait to be completed. */
void kvm_state_fetch(struct kvm_accel *cpu);
void kvm_state_flush(struct kvm_accel *cpu);

void kvm_state_setup(struct kvm_accel *cpu); /* before the first KVM_RUN */
/* Without a call where registers come with the exit, and cpu->state is not valid: */
uint64_t kvm_rflags(struct kvm_accel *cpu); /* this one also when it is */
uint64_t kvm_rip(struct kvm_accel *cpu); /* and these, too */
uint64_t kvm_rsp(struct kvm_accel *cpu);
uint64_t kvm_idt_base(struct kvm_accel *cpu);
unsigned kvm_cpl(struct kvm_accel *cpu);
/* General registers, segments and control registers of now, also in the middle of an access; cpu->state stays as it is. */
void kvm_peek(struct kvm_accel *cpu, struct cpu_state *state);
void kvm_set_edx(struct kvm_accel *cpu, uint32_t value); /* the access is complete */
/* Not at RIP `linear` with general registers of this hash. False: perhaps there. */
bool kvm_elsewhere(struct kvm_accel *cpu, uint64_t linear, uint32_t registers);

/* cpuid.c */
bool kvm_cpuid_set(int kvm, int vcpu, const struct cpu_model *model, struct cpu_model *effective, struct error *error);

/* kick.c */
bool kvm_kick_setup(struct kvm_accel *cpu, struct error *error);
void kvm_kick_free(struct kvm_accel *cpu);
void kvm_kick_arm(struct kvm_accel *cpu); /* before the guest runs */
void kvm_kick_soon(struct kvm_accel *cpu); /* instead: in some microseconds */
void kvm_kick_in(struct kvm_accel *cpu, uint64_t in_ns);
uint64_t kvm_thread_ns(void); /* that it ran */
void kvm_kick_post(struct accel *accel); /* any thread: accel.h, kick */

/* count.c: 0 where there is no counter. */
void kvm_count_setup(struct kvm_accel *cpu);
uint64_t kvm_count(struct kvm_accel *cpu);

/* help.c: one instruction by the helper, or an access to an MSR. */
bool kvm_is_prefix(uint8_t byte); /* of every mode, and allowed before any instruction: not LOCK, not REX */
void kvm_help(struct kvm_accel *cpu);
void kvm_help_one(struct kvm_accel *cpu); /* not as a failure of KVM's, and never more than one */
/* The next instruction of cpu->state turns on paging without long mode. */
bool kvm_at_paging_32(struct kvm_accel *cpu);
/* KVM's emulator leaves a repeated string instruction whose count has come to 0 for one more turn that only moves RIP; a
 * processor is past it by then, and so is cpu->state, which is valid, after this. */
void kvm_finish_repeat(struct kvm_accel *cpu);
void kvm_msr_exit(struct kvm_accel *cpu, bool write);

/* meet.c. Before the guest goes on: true: it stands at the landmark that is ahead. */
bool kvm_seek_landmark(struct kvm_accel *cpu);
bool kvm_at_landmark(struct kvm_accel *cpu, struct machine_landmark *landmark);
/* The last exit is one that comes after the landmark ahead, and has been taken back. */
bool kvm_landmark_overshot(struct kvm_accel *cpu);
/* The guest stands at an RDTSC that would be an exit: the same. */
bool kvm_landmark_overshot_at_site(struct kvm_accel *cpu);

/* debug.c. The breakpoints and single steps that are wanted, told to KVM where they are others than before. landmark: linear
 * address, 0: none. */
void kvm_debug_set(struct kvm_accel *cpu, uint64_t landmark, bool step);

/* site.c, with MACHINE_WAY_TSC_SITES */
void kvm_site_look(struct kvm_accel *cpu);   /* after KVM_EXIT_DEBUG */
void kvm_site_read(struct kvm_accel *cpu);   /* it stands at one: instead of KVM_RUN */
void kvm_site_forget(struct kvm_accel *cpu); /* whatever comes first now, the breakpoint stops it again */

/* repair.c, with MACHINE_WAY_SYSCALL_FAULTS */
void kvm_repair_wrote_lstar(struct kvm_accel *cpu, uint64_t value);
uint64_t kvm_repair_breakpoint(struct kvm_accel *cpu); /* where one is needed; 0: none */
bool kvm_repair_at_breakpoint(struct kvm_accel *cpu);  /* true: it was a SYSCALL, and has been done */
/* The guest is within a SYSCALL that is to be mended: where no processor ever is. */
bool kvm_repair_waits(struct kvm_accel *cpu);

/* freeze.c, with MACHINE_WAY_TSC_FROZEN. False: this KVM can't, as error says. */
bool kvm_freeze_setup(struct kvm_accel *cpu, struct error *error);
/* Before the guest goes on: its TSC stands at `tsc`. */
void kvm_freeze_at(struct kvm_accel *cpu, uint64_t tsc);
/* After it has stopped: did the counter move all the same? Then nobody knows what it read. */
void kvm_freeze_look(struct kvm_accel *cpu);

/* origin.c: accel.h, where. */
void kvm_where(const struct accel *accel, struct accel_where *where);
/* Of the guest's memory, by its present paging, also in the middle of an access. False: not all of it is mapped. */
bool kvm_read_linear(struct kvm_accel *cpu, uint64_t linear, void *buffer, size_t size_bytes);

/* rewind.c */
void kvm_mark(struct kvm_accel *cpu, uint64_t done); /* nothing is begun (kvm_clean), no access waits */
void kvm_rewind(struct kvm_accel *cpu); /* no exit of the machine's was carried out since */
void kvm_copies_note(struct kvm_accel *cpu); /* page flags are about to be cleared */
void kvm_copy_free(struct kvm_slot *slot);

/* step.c: single steps, for debug_step. */
void kvm_step(struct accel *accel);
void kvm_step_forget(struct accel *accel);
/* Where the handler of the interrupt that is queued begins (cpu->taken). */
uint64_t kvm_taken_handler(struct kvm_accel *cpu);
/* Before the guest goes on by a step: landmark: of the machine, may be null. True: it stands at it. */
bool kvm_step_prepare(struct kvm_accel *cpu, struct machine_landmark *landmark);
void kvm_step_look(struct kvm_accel *cpu); /* after an exit that has been handled */
bool kvm_step_over(struct kvm_accel *cpu); /* the step is done, and so is run */

/* run.c */
enum accel_exit kvm_accel_run(struct accel *accel);
int kvm_enter(struct kvm_accel *cpu); /* KVM_RUN: 0, or errno */
/* Brings changed state into KVM, and KVM's view of what could be injected up to date. */
void kvm_refresh(struct kvm_accel *cpu);
/* Nothing is begun in KVM that the guest has not seen. */
bool kvm_clean(struct kvm_accel *cpu);
/* Completes the access under way, so that the state can be looked at: at the end of its instruction, or of one iteration. */
void kvm_complete(struct kvm_accel *cpu);

#endif
