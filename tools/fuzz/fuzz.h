/* vmrr fuzz: random sequences of instructions, from random state, on the interpreter and on a reference. A case is made of its
 * seed alone. Layout and words: native.h. Thread: the caller's, one at a time. */
#ifndef VMRR_TOOLS_FUZZ_FUZZ_H
#define VMRR_TOOLS_FUZZ_FUZZ_H

#include "core/status.h"
#include "tools/fuzz/native.h"

#include <jansson.h>
#include <stdio.h>

#define FUZZ_INSNS_MAX 48u /* moves that place an operand count */
#define FUZZ_INSN_BYTES 15u
#define FUZZ_BATCH 64u
#define FUZZ_STEPS (1ull << 20)      /* of the interpreter, at first */
#define FUZZ_STEPS_LONG (1ull << 29) /* when the reference has ended: as much as that may have done */
#define FUZZ_STEPS_SHRINK (1ull << 23) /* while what one of them does not end is made smaller */

struct fuzz_insn {
    uint8_t bytes[FUZZ_INSN_BYTES], length;
    uint8_t rip_disp_at; /* where in bytes a RIP-relative displacement is; 0: none */
    uint64_t rip_target; /* of it: stays when the instruction moves */
};

struct fuzz_case {
    uint64_t seed;
    unsigned bits, offset, count; /* offset: of the first instruction in NATIVE_CODE */
    unsigned level;               /* CPL: 0 or 3 */
    enum native_paging paging;
    struct fuzz_insn insn[FUZZ_INSNS_MAX];
    struct native_state in; /* rip, vector, error and cr2 are not of it */
    uint8_t data[NATIVE_DATA_BYTES];
};

/* ---- references ----
 *
 * Who executes the cases too. One batch is under way at a time: submit returns at once where it can, so that the interpreter
 * runs meanwhile. A reference says by valid[n] whether it can tell of a case at all. */
struct fuzz_reference;
struct fuzz_reference_options {
    unsigned bits, level;
    enum native_paging paging;
    const char *where; /* behind the reference's name and a colon; null: nothing */
};
struct fuzz_reference_ops {
    const char *name;
    bool slow;  /* a case takes milliseconds: what differs is shrunk less far */
    bool endless; /* excuse is also asked where only one of the two came to an end */
    bool halts; /* a case ends at HLT (struct native_make), but in 64-bit code at level 3, which KVM does not emulate */
    /* Null with the reason: this host can't, or not in this mode. */
    struct fuzz_reference *(*open)(const struct fuzz_reference_options *options, struct error *error);
    bool (*has_feature)(struct fuzz_reference *self, const char *feature); /* core/cpu_model's name; null: always */
    /* Of a hundred times that the generator comes to a row, how often it is taken; null: always. The same for the same row. */
    unsigned (*share)(struct fuzz_reference *self, const struct opcode_row *row);
    enum status (*submit)(struct fuzz_reference *self, const struct native_case *cases, size_t count,
                          struct error *error);
    enum status (*collect)(struct fuzz_reference *self, struct native_outcome *out, bool *valid, struct error *error);
    /* Makes equal what is known to differ in the two normalised outcomes, and returns its name; null: nothing is. *guess becomes true:
     * all was made equal, for an instruction that is known to differ, so that something may hide behind it. */
    const char *(*excuse)(struct fuzz_reference *self, const struct native_harness *h, const struct native_case *c,
                          struct native_outcome *reference, struct native_outcome *interp, bool *guess);
    void (*note)(struct fuzz_reference *self, char *text, size_t size); /* for the summary; null: nothing to say */
    void (*close)(struct fuzz_reference *self);
};
struct fuzz_reference {
    const struct fuzz_reference_ops *ops;
    const struct native_case *under_way; /* of those submitted, when collect has failed; null: it does not say */
};
bool fuzz_halts(const struct fuzz_reference_ops *ops, unsigned bits, unsigned level);
extern const struct fuzz_reference_ops fuzz_host_ops; /* this host's CPU, in a child process */

extern const struct fuzz_reference_ops fuzz_kvm_ops;  /* this host's KVM; with VMRR_KVM */
extern const struct fuzz_reference_ops fuzz_gdb_ops;  /* a target of gdb's remote protocol: gdb:unix:PATH, gdb:tcp:HOST:PORT */

/* What is to be known of the process that ran a case on the host. own: its memory beside the arena, end exclusive. */
#define FUZZ_OWN_MAX 512u
struct fuzz_host_facts {
    bool fdp_moves; /* native_host_fdp_moves */
    uint32_t own_count;
    struct {
        uint64_t start, end;
    } own[FUZZ_OWN_MAX];
};
/* excuse of the host, by name (fuzz_host_excuse.c). */
const char *fuzz_host_excuse(const struct fuzz_host_facts *facts, const struct native_harness *h,
                             const struct native_case *c, struct native_outcome *reference,
                             struct native_outcome *interp);

/* excuse of KVM, by name (fuzz_kvm_excuse.c). */
const char *fuzz_kvm_excuse(const struct native_harness *h, const struct native_case *c,
                            struct native_outcome *reference, struct native_outcome *interp, bool *guess);

/* excuse of QEMU's TCG, by name (fuzz_gdb_excuse.c). */
const char *fuzz_gdb_excuse(const struct native_harness *h, const struct native_case *c,
                            struct native_outcome *reference, struct native_outcome *interp, bool *guess);

/* ---- cases ---- */

void fuzz_generate(struct fuzz_case *fuzz, uint64_t seed, unsigned bits, unsigned level, const struct native_harness *h,
                   struct fuzz_reference *reference);
/* No relative branch leads into the middle of an instruction, where anything may stand. */
bool fuzz_is_sound(const struct fuzz_case *fuzz, const struct native_harness *h);
/* Lays the instructions out one behind the other. */
void fuzz_assemble(const struct fuzz_case *fuzz, struct native_case *c);
/* Of the instruction n in the assembled case. */
uint64_t fuzz_address(const struct fuzz_case *fuzz, unsigned n);
/* How many of its instructions were come to, by what came out. */
unsigned fuzz_reached(const struct fuzz_case *fuzz, const struct native_outcome *outcome);

enum fuzz_verdict { FUZZ_SAME, FUZZ_EXCUSED, FUZZ_UNKNOWN, FUZZ_DIFFERENT };
struct fuzz_result {
    enum fuzz_verdict verdict;
    const char *excuse; /* EXCUSED: name; UNKNOWN: why nothing can be said */
    bool guess;         /* EXCUSED: as the reference's operation says */
};
/* Holds two outcomes against each other; both are normalised afterwards. */
struct fuzz_result fuzz_judge(struct fuzz_reference *reference, const struct native_harness *h,
                              const struct native_case *c, bool valid, struct native_outcome *of_reference,
                              struct native_outcome *of_interp);

/* Both sides of one case. */
struct fuzz_run {
    struct fuzz_reference *reference;
    struct native_harness *harness;
    struct native_case c;
    struct native_outcome of_reference, of_interp;
    uint64_t runs;
    uint64_t steps; /* of the interpreter; 0: FUZZ_STEPS_LONG */
    bool lost;      /* the reference went in this case, the first time: */
    struct fuzz_case lost_case;
};
struct fuzz_result fuzz_run_one(struct fuzz_run *run, const struct fuzz_case *fuzz);
/* A case that is excused: is that all? Instructions that what differs begins at are taken out, one by one, until nothing differs
 * any more (EXCUSED), or something does that has no name (DIFFERENT, and *fuzz is that case). */
enum fuzz_verdict fuzz_without_known(struct fuzz_run *run, struct fuzz_case *fuzz);
/* The smallest case found that still differs: fewer instructions, less state. The case differs before and after. */
void fuzz_shrink(struct fuzz_run *run, struct fuzz_case *fuzz);

/* "long", "pae", "32". */
const char *fuzz_paging_name(enum native_paging paging);
bool fuzz_paging_of(const char *name, enum native_paging *paging);

/* ---- reproducers: JSON, see vmrr(1) ---- */

json_t *fuzz_case_json(const struct fuzz_case *fuzz);
/* What is not a case is refused with the reason; nothing in it is believed. */
enum status fuzz_case_parse(const json_t *object, struct fuzz_case *fuzz, struct error *error) MUST_CHECK;
enum status fuzz_case_write(const struct fuzz_case *fuzz, const char *path, struct error *error) MUST_CHECK;
enum status fuzz_case_read(struct fuzz_case *fuzz, const char *path, struct error *error) MUST_CHECK;

/* Disassembly, state and differences of what fuzz_run_one left. */
void fuzz_print(const struct fuzz_run *run, const struct fuzz_case *fuzz, FILE *out);
json_t *fuzz_differences_json(const struct fuzz_run *run);

#endif
