/* vmrr fuzz: judging outcomes, and shrinking a case that differs. */
#include "tools/fuzz/fuzz.h"

#include <string.h>

bool fuzz_halts(const struct fuzz_reference_ops *ops, unsigned bits, unsigned level)
{
    return ops->halts && (!level || bits != 64);
}

/* ---- the verdict ---- */

static struct fuzz_result unknown(const char *why)
{
    return (struct fuzz_result){.verdict = FUZZ_UNKNOWN, .excuse = why};
}

struct fuzz_result fuzz_judge(struct fuzz_reference *reference, const struct native_harness *h,
                              const struct native_case *c, bool valid, struct native_outcome *of_reference,
                              struct native_outcome *of_interp)
{
    if (!valid)
        return unknown("the reference can't tell");
    if (of_reference->state.vector == NATIVE_SYSCALL || of_interp->state.vector == NATIVE_SYSCALL)
        return unknown("it came to a system call");
    if (of_reference->state.vector == NATIVE_ENDLESS || of_interp->state.vector == NATIVE_ENDLESS) {
        if (of_reference->state.vector == of_interp->state.vector)
            return unknown("it does not end");
        if (!reference->ops->endless)
            return (struct fuzz_result){.verdict = FUZZ_DIFFERENT};
    }
    native_normalise(&of_reference->state, 0);
    native_normalise(&of_interp->state, 0);
    if (!native_differ(c, false, of_reference, of_interp, NULL, NULL))
        return (struct fuzz_result){.verdict = FUZZ_SAME};
    struct fuzz_result result = {.verdict = FUZZ_EXCUSED};
    result.excuse = reference->ops->excuse(reference, h, c, of_reference, of_interp, &result.guess);
    bool differ = native_differ(c, false, of_reference, of_interp, NULL, NULL);
    return differ ? (struct fuzz_result){.verdict = FUZZ_DIFFERENT} : result;
}

struct fuzz_result fuzz_run_one(struct fuzz_run *run, const struct fuzz_case *fuzz)
{
    struct error error = {{0}};
    bool valid = false;

    run->runs++;
    fuzz_assemble(fuzz, &run->c);
    if (run->reference->ops->submit(run->reference, &run->c, 1, &error) != STATUS_OK)
        return unknown("the reference can't go on");
    native_interp_run(run->harness, &run->c, run->steps ? run->steps : FUZZ_STEPS_LONG, &run->of_interp.state,
                      run->of_interp.data);
    if (run->reference->ops->collect(run->reference, &run->of_reference, &valid, &error) != STATUS_OK) {
        if (!run->lost)
            run->lost_case = *fuzz;
        run->lost = true;
        return unknown("the reference can't go on");
    }
    return fuzz_judge(run->reference, run->harness, &run->c, valid, &run->of_reference, &run->of_interp);
}

/* ---- is what is known all? ---- */

static bool drop(struct fuzz_case *fuzz, unsigned n)
{
    memmove(&fuzz->insn[n], &fuzz->insn[n + 1], (fuzz->count - n - 1) * sizeof fuzz->insn[0]);
    fuzz->count--;
    return fuzz->count;
}

/* The smallest number of instructions with which it is not the same: the last of these is what does it. */
static unsigned first_that_differs(struct fuzz_run *run, const struct fuzz_case *fuzz)
{
    struct fuzz_case part = *fuzz;
    unsigned same = 0, not_same = fuzz->count;
    while (not_same - same > 1) {
        part.count = same + (not_same - same) / 2;
        if (fuzz_run_one(run, &part).verdict == FUZZ_SAME)
            same = part.count;
        else
            not_same = part.count;
    }
    return not_same;
}

enum fuzz_verdict fuzz_without_known(struct fuzz_run *run, struct fuzz_case *fuzz)
{
    enum fuzz_verdict verdict = FUZZ_EXCUSED;
    while (verdict == FUZZ_EXCUSED) {
        if (!drop(fuzz, first_that_differs(run, fuzz) - 1) || !fuzz_is_sound(fuzz, run->harness))
            return FUZZ_EXCUSED;
        verdict = fuzz_run_one(run, fuzz).verdict;
    }
    return verdict == FUZZ_DIFFERENT ? FUZZ_DIFFERENT : FUZZ_EXCUSED;
}

/* ---- shrinking ---- */

static bool differs(struct fuzz_run *run, const struct fuzz_case *fuzz)
{
    return fuzz_is_sound(fuzz, run->harness) && fuzz_run_one(run, fuzz).verdict == FUZZ_DIFFERENT;
}

static bool drop_one(struct fuzz_run *run, struct fuzz_case *fuzz)
{
    for (unsigned n = fuzz->count; n-- > 0 && fuzz->count > 1;) {
        struct fuzz_case less = *fuzz;
        if (!drop(&less, n) || !differs(run, &less))
            continue;
        *fuzz = less;
        return true;
    }
    return false;
}

/* Bytes of the case become others, where they are not so already and it still differs. */
static void try_bytes(struct fuzz_run *run, struct fuzz_case *fuzz, void *at, const void *bytes, size_t size)
{
    struct fuzz_case before = *fuzz;

    if (!memcmp(at, bytes, size))
        return;
    memcpy(at, bytes, size);
    if (!differs(run, fuzz))
        *fuzz = before;
}

static void try_zero(struct fuzz_run *run, struct fuzz_case *fuzz, void *at, size_t size)
{
    static const uint8_t zeros[NATIVE_DATA_BYTES];

    try_bytes(run, fuzz, at, zeros, size);
}

static void plain_registers(struct fuzz_run *run, struct fuzz_case *fuzz)
{
    static const uint64_t rflags = 0x202;

    for (unsigned n = 0; n < 16; n++)
        try_zero(run, fuzz, &fuzz->in.gpr[n], 8);
    try_bytes(run, fuzz, &fuzz->in.rflags, &rflags, 8);
    for (unsigned bit = 0; bit < 32; bit++) {
        uint64_t without = (fuzz->in.rflags & ~(1ull << bit)) | rflags;
        try_bytes(run, fuzz, &fuzz->in.rflags, &without, 8);
    }
}

static void plain_vectors(struct fuzz_run *run, struct fuzz_case *fuzz)
{
    static const uint8_t fcw[2] = {0x7F, 0x03}, mxcsr[4] = {0x80, 0x1F};
    uint8_t *fx = fuzz->in.fx;

    try_bytes(run, fuzz, fx + NATIVE_FX_FCW, fcw, 2);
    try_bytes(run, fuzz, fx + NATIVE_FX_MXCSR, mxcsr, 4);
    try_zero(run, fuzz, fx + NATIVE_FX_FSW, 2);
    try_zero(run, fuzz, fx + NATIVE_FX_FTW, 1);
    for (unsigned n = 0; n < 8; n++)
        try_zero(run, fuzz, fx + NATIVE_FX_ST + 16 * n, 16);
    for (unsigned n = 0; n < 2 * NATIVE_VECTORS; n++) {
        try_zero(run, fuzz, fx + NATIVE_FX_XMM + 8 * n, 8);
        try_zero(run, fuzz, (uint8_t *)fuzz->in.high + 8 * n, 8);
    }
}

/* All of it, then halves of what can't be. */
static void plain_data(struct fuzz_run *run, struct fuzz_case *fuzz)
{
    for (size_t size = NATIVE_DATA_BYTES; size >= 1; size /= 2) {
        bool any = false;
        for (size_t at = 0; at < NATIVE_DATA_BYTES; at += size) {
            for (size_t n = 0; n < size && !any; n++)
                any = fuzz->data[at + n] != 0;
            if (any)
                try_zero(run, fuzz, fuzz->data + at, size);
            any = false;
        }
    }
}

void fuzz_shrink(struct fuzz_run *run, struct fuzz_case *fuzz)
{
    unsigned start = 0;

    while (drop_one(run, fuzz))
        ;
    try_bytes(run, fuzz, &fuzz->offset, &start, sizeof start);
    if (!run->reference->ops->slow)
        plain_data(run, fuzz);
    plain_registers(run, fuzz);
    if (!run->reference->ops->slow)
        plain_vectors(run, fuzz);
    while (drop_one(run, fuzz))
        ;
    (void)differs(run, fuzz); /* what it leaves is what is shown */
}
