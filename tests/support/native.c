/* The native instruction check as the tests have it: both sides in this process, what differs printed. */
#include "tests/insn/native.h"

#include "accel-interp/exceptions.h"
#include "tools/fuzz/native_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct native_harness *native_create(void)
{
    struct native_harness *h = native_interp_create();

    native_host_open();
    return h;
}

void native_destroy(struct native_harness *h)
{
    native_interp_destroy(h);
    native_host_close();
}

static void print_word(void *opaque, const char *name, uint64_t in, uint64_t host_value, uint64_t interp_value)
{
    (void)opaque;
    fprintf(stderr, "    %-10s in %016llx host %016llx interp %016llx\n", name, (unsigned long long)in,
            (unsigned long long)host_value, (unsigned long long)interp_value);
}

static void print_case(const struct native_case *c)
{
    fprintf(stderr, "  FAILED %u-bit", c->bits);
    for (unsigned n = 0; n < c->length; n++)
        fprintf(stderr, " %02x", c->code[n]);
    if (c->row)
        fprintf(stderr, "  %s %s (%s)  VMRR_INSN_CASE=%u:%llu:%u", c->row->mnemonic, c->row->operands,
                native_row_place(c->row), (unsigned)(c->row - opcode_rows), (unsigned long long)c->seed, c->bits);
    fprintf(stderr, "\n");
}

#if defined(__SANITIZE_ADDRESS__)
#define NATIVE_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define NATIVE_ADDRESS_SANITIZER 1
#endif
#endif

/* Would the host find memory at an address where the interpreter finds none, because a sanitizer has its shadow there? Such a
 * case can't be compared (and would destroy the shadow). */
static bool hits_shadow(const struct native_state *interp)
{
#if defined(NATIVE_ADDRESS_SANITIZER)
    return interp->vector == 14 && interp->cr2 >= 0x7fff0000 && interp->cr2 < 0x100080000000;
#else
    (void)interp;
    return false;
#endif
}

/* Has the host found an address canonical that is not so in 48 bits? Only with 5-level paging in use; the interpreter has no such
 * memory, and faults otherwise, or earlier. */
static bool beyond_48_bits(const struct native_state *host)
{
    return host->vector == EXC_PF && (uint64_t)((int64_t)(host->cr2 << 16) >> 16) != host->cr2;
}

bool native_check_case(struct native_harness *h, struct native_case *c, const struct native_profile *profile,
                       struct native_state *host_out)
{
    static struct native_outcome host, interp;

    native_interp_step(h, c, &interp.state, interp.data);
    if (hits_shadow(&interp.state)) {
        *host_out = interp.state;
        return true;
    }
    native_host_run(c, &host.state, host.data);
    *host_out = host.state;
    if (beyond_48_bits(&host.state))
        return true;
    native_normalise(&host.state, profile->ignore_rflags);
    native_normalise(&interp.state, profile->ignore_rflags);
    if (profile->normalise)
        profile->normalise(c, &host.state, &interp.state);
    if (!native_differ(c, profile->ignore_fx, &host, &interp, NULL, NULL))
        return true;
    print_case(c);
    if (host.state.vector >= 0 || interp.state.vector >= 0)
        fprintf(stderr, "    host vector %d cr2 %llx, interp vector %d cr2 %llx\n", host.state.vector,
                (unsigned long long)host.state.cr2, interp.state.vector, (unsigned long long)interp.state.cr2);
    native_differ(c, profile->ignore_fx, &host, &interp, print_word, NULL);
    return false;
}

void native_run_host(const struct native_case *c, struct native_state *out)
{
    static uint8_t data[NATIVE_DATA_BYTES];

    native_host_run(c, out, data);
}

void native_run_interp(struct native_harness *h, const struct native_case *c, struct native_state *out)
{
    static uint8_t data[NATIVE_DATA_BYTES];

    native_interp_step(h, c, out, data);
}
