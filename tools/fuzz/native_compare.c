/* The native instruction check: what came out of a case on two sides. */
#include "tools/fuzz/native_internal.h"

#include "accel-interp/exceptions.h"

#include <stdio.h>
#include <string.h>

#define FSW_SUMMARY 0x8080u /* B and ES */

static const char *const gpr_name[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                         "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

struct look {
    native_differ_fn *report; /* null: nobody wants to know */
    void *opaque;
    bool any;
};

static void word(struct look *look, const char *name, uint64_t in, uint64_t host, uint64_t interp)
{
    if (host == interp)
        return;
    look->any = true;
    if (look->report)
        look->report(look->opaque, name, in, host, interp);
}

static void words(struct look *look, const char *what, const void *in, const void *a, const void *b,
                  unsigned size_bytes)
{
    if (!memcmp(a, b, size_bytes))
        return;
    for (unsigned n = 0; n < size_bytes; n += 8) {
        uint64_t before, x, y;
        char name[16];
        memcpy(&before, (const uint8_t *)in + n, 8);
        memcpy(&x, (const uint8_t *)a + n, 8);
        memcpy(&y, (const uint8_t *)b + n, 8);
        snprintf(name, sizeof name, "%s+%u", what, n);
        word(look, name, before, x, y);
    }
}

static void data(struct look *look, const struct native_case *c, const uint8_t *a, const uint8_t *b)
{
    unsigned first = 0;
    char name[24];

    if (!memcmp(a, b, NATIVE_DATA_BYTES))
        return;
    while (a[first] == b[first])
        first++;
    snprintf(name, sizeof name, "[%08x]", NATIVE_DATA + first);
    word(look, name, c->data[first], a[first], b[first]);
}

/* Differences that no program is meant to see. */
void native_normalise(struct native_state *s, uint64_t ignore_rflags)
{
    static const uint32_t error_matters = 1u << EXC_PF | 1u << EXC_GP | 1u << EXC_SS | 1u << EXC_NP | 1u << EXC_TS;

    s->rflags &= ~(uint64_t)(ignore_rflags | 0x210000u); /* RF of a fault's frame, ID */
    if (s->vector < 0 || s->vector > 31 || !(error_matters & (1u << s->vector)))
        s->error = 0;
    if (s->vector == EXC_PF && s->cr2 >> 47) /* Linux says "present" for its own half */
        s->error |= 1;
    memset(s->fx + NATIVE_FX_FTW + 1, 0, 1);
    memset(s->fx + NATIVE_FX_MXCSR_MASK, 0, 4);
    for (unsigned n = 0; n < 8; n++)
        memset(s->fx + NATIVE_FX_ST + n * 16 + 10, 0, 6);
}

void native_sum_up(struct native_state *s)
{
    uint16_t fcw, fsw;
    memcpy(&fcw, s->fx + NATIVE_FX_FCW, 2);
    memcpy(&fsw, s->fx + NATIVE_FX_FSW, 2);
    fsw = (uint16_t)((fsw & ~FSW_SUMMARY) | (fsw & ~fcw & 0x3F ? FSW_SUMMARY : 0));
    memcpy(s->fx + NATIVE_FX_FSW, &fsw, 2);
}

bool native_differ(const struct native_case *c, bool ignore_fx, const struct native_outcome *a,
                   const struct native_outcome *b, native_differ_fn *report, void *opaque)
{
    struct look look = {report, opaque, false};

    word(&look, "vector", 0, (uint64_t)a->state.vector, (uint64_t)b->state.vector);
    word(&look, "error", 0, a->state.error, b->state.error);
    word(&look, "cr2", 0, a->state.cr2, b->state.cr2);
    for (unsigned n = 0; n < 16; n++)
        word(&look, gpr_name[n], c->in.gpr[n], a->state.gpr[n], b->state.gpr[n]);
    word(&look, "rip", c->in.rip, a->state.rip, b->state.rip);
    word(&look, "rflags", c->in.rflags, a->state.rflags, b->state.rflags);
    if (!ignore_fx) {
        words(&look, "fx", c->in.fx, a->state.fx, b->state.fx, NATIVE_FX_BYTES);
        words(&look, "high", c->in.high, a->state.high, b->state.high, sizeof a->state.high);
    }
    data(&look, c, a->data, b->data);
    return look.any;
}
