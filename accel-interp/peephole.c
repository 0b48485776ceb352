/* Which instructions of a block get other functions: see peephole.h. Tables are built once an instance, by looking up the
 * instructions' functions in their forms; a function is all that an instruction is known by.
 *
 * Flags. From the end of the block backwards: they are dead before an instruction that overwrites all of them, stay so over
 * instructions that neither look at them nor can fault or leave the block, and are alive before all others and at the
 * end. So a stop, a fault or a device between two instructions never shows flags that a quiet instruction left alone. */
#include "accel-interp/peephole.h"

#include <stdlib.h>

enum flag_use {
    FLAGS_SEEN,     /* or it may fault, store, or end the block: the default */
    FLAGS_PASSED,   /* not looked at, not changed, nothing can happen */
    FLAGS_WRITTEN,  /* all overwritten, none looked at, nothing can happen */
    FLAGS_IF_COUNT, /* the same if the count (an immediate) is not 0 */
};

struct known {
    insn_fn *fn, *quiet, *plain;
    uint8_t use;
};
struct known_pair {
    insn_fn *first, *second, *fn;
};

#define KNOWN_BITS 11u
#define PAIR_BITS 11u
struct peephole {
    struct known known[1u << KNOWN_BITS];
    struct known_pair pair[1u << PAIR_BITS];
    unsigned known_count, pair_count;
};

static unsigned hash_of(insn_fn *fn, unsigned bits)
{
    return (unsigned)(((uint64_t)(uintptr_t)fn * 0x9E3779B97F4A7C15ull) >> (64 - bits));
}

/* ---- tables --------------------------------------------------------------------------------------------------- */

static unsigned known_index(const struct peephole *peephole, insn_fn *fn)
{
    unsigned n = hash_of(fn, KNOWN_BITS);

    while (peephole->known[n].fn && peephole->known[n].fn != fn)
        n = (n + 1) & ((1u << KNOWN_BITS) - 1);
    return n;
}

static struct known *add_known(struct peephole *peephole, insn_fn *fn)
{
    struct known *place = &peephole->known[known_index(peephole, fn)];

    if (!place->fn) {
        CHECK(++peephole->known_count < 1u << (KNOWN_BITS - 1));
        *place = (struct known){.fn = fn, .plain = fn};
    }
    return place;
}

static void add_use(struct peephole *peephole, const struct insn_forms *forms, enum insn_form form, enum flag_use use)
{
    for (unsigned size = 0; size < 4; size++) {
        if (forms->fn[size][form])
            add_known(peephole, forms->fn[size][form])->use = (uint8_t)use;
    }
}

#define WRITERS_(X)                                                                                                    \
    X(add_eg)                                                                                                          \
    X(add_ge)                                                                                                          \
    X(add_ei)                                                                                                          \
    X(sub_eg) X(sub_ge) X(sub_ei) X(and_eg) X(and_ge) X(and_ei) X(or_eg) X(or_ge) X(or_ei) X(xor_eg) X(xor_ge)         \
        X(xor_ei) X(cmp_eg) X(cmp_ge) X(cmp_ei) X(test_eg) X(test_ei) X(neg) X(imul_ge)
#define PASSERS_(X)                                                                                                    \
    X(mov_eg)                                                                                                          \
    X(mov_ge)                                                                                                          \
    X(mov_ei) X(mov_zi) X(movzx_b) X(movzx_w) X(movsx_b) X(movsx_w) X(movsxd) X(not ) X(bswap) X(cbw) X(cwd) X(xchg)
#define COUNTERS_(X) X(shl_ei) X(shr_ei) X(sar_ei)
#define DECLARE_(name) extern const struct insn_forms forms_##name;
WRITERS_(DECLARE_)
PASSERS_(DECLARE_)
COUNTERS_(DECLARE_)
DECLARE_(lea)

static void add_uses(struct peephole *peephole)
{
#define WRITER_(name) add_use(peephole, &forms_##name, FORM_REG, FLAGS_WRITTEN);
    WRITERS_(WRITER_)
#define PASSER_(name) add_use(peephole, &forms_##name, FORM_REG, FLAGS_PASSED);
    PASSERS_(PASSER_)
#define COUNTER_(name) add_use(peephole, &forms_##name, FORM_REG, FLAGS_IF_COUNT);
    COUNTERS_(COUNTER_)
    for (enum insn_form form = FORM_MEM64; form < FORM_COUNT; form++)
        add_use(peephole, &forms_lea, form, FLAGS_PASSED);
}

static void add_quiet(struct peephole *peephole, const struct peephole_op *op)
{
    insn_fn *plain = peephole_own(op);

    add_known(peephole, plain)->quiet = op->quiet;
    add_known(peephole, op->quiet)->plain = plain;
}

static unsigned pair_index(const struct peephole *peephole, insn_fn *first, insn_fn *second)
{
    unsigned n = hash_of(first, PAIR_BITS) ^ hash_of(second, PAIR_BITS - 1);

    while (peephole->pair[n].fn && (peephole->pair[n].first != first || peephole->pair[n].second != second))
        n = (n + 1) & ((1u << PAIR_BITS) - 1);
    return n;
}

static void add_pair(struct peephole *peephole, const struct peephole_pair *pair)
{
    insn_fn *first = pair->first->quiet ? pair->first->quiet : peephole_own(pair->first);
    insn_fn *second = pair->second->quiet ? pair->second->quiet : peephole_own(pair->second);

    CHECK(++peephole->pair_count < 1u << (PAIR_BITS - 1));
    peephole->pair[pair_index(peephole, first, second)] = (struct known_pair){first, second, pair->fn};
    add_known(peephole, pair->fn)->plain = peephole_own(pair->first);
}

struct peephole *peephole_create(void)
{
    struct peephole *peephole = calloc(1, sizeof *peephole);

    CHECK(peephole);
    add_uses(peephole);
    for (unsigned n = 0; n < peephole_quiet_count; n++)
        add_quiet(peephole, &peephole_quiet[n]);
    for (unsigned n = 0; n < peephole_pairs_count; n++)
        add_pair(peephole, &peephole_pairs[n]);
    return peephole;
}

void peephole_destroy(struct peephole *peephole)
{
    free(peephole);
}

size_t peephole_bytes(void)
{
    return sizeof(struct peephole);
}

insn_fn *peephole_plain(const struct peephole *peephole, insn_fn *fn)
{
    const struct known *known = &peephole->known[known_index(peephole, fn)];

    return known->fn ? known->plain : fn;
}

/* ---- a block -------------------------------------------------------------------------------------------------- */

static bool flags_dead_before(const struct known *known, const struct insn *i, bool dead_after)
{
    switch (known->use) {
    case FLAGS_PASSED: return dead_after;
    case FLAGS_WRITTEN: return true;
    case FLAGS_IF_COUNT: return dead_after || (i->imm & 31); /* of 64 bits: 32 counts too, and is rare */
    default: return false;
    }
}

static void make_quiet(const struct peephole *peephole, struct insn *insns, unsigned count, insn_fn *fused_fn)
{
    bool dead = false;

    for (unsigned n = count; n-- > 0;) {
        struct insn *i = &insns[n];
        bool fused = fused_fn && n + 2 == count;
        const struct known *known = &peephole->known[known_index(peephole, fused ? fused_fn : i->fn)];
        if (dead && !fused && known->quiet)
            i->fn = known->quiet;
        else
            dead = flags_dead_before(known, i, dead);
    }
}

void peephole_run(const struct peephole *peephole, struct insn *insns, unsigned count, insn_fn *fused_fn)
{
    make_quiet(peephole, insns, count, fused_fn);
    for (unsigned n = 0; n + 1 < count; n++) {
        const struct known_pair *pair = &peephole->pair[pair_index(peephole, insns[n].fn, insns[n + 1].fn)];
        if (pair->fn)
            insns[n++].fn = pair->fn;
    }
}
