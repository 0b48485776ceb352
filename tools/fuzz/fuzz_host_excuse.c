/* vmrr fuzz --against host: what is known to differ between processors, or between a process and the interpreter's machine. Each
 * has a name, which the summary counts. */
#include "tools/fuzz/fuzz.h"
#include "tools/fuzz/native_internal.h"

#include <string.h>

#define OPERAND_BYTES 64u /* an operand that begins before such memory may end in it */

struct excuse {
    const struct native_case *c;
    const struct opcode_row *row; /* of the instruction that faulted; null: none, or it is not known */
    const struct fuzz_host_facts *facts;
    struct native_outcome *host, *interp;
};

static bool both_fault(const struct excuse *e, int vector)
{
    return e->host->state.vector == vector && e->interp->state.vector == vector;
}

/* CPUs without CPUID.7.EBX bit 6 set FDP at every memory operand. 16- and 32-bit code does not see its upper half. */
static bool excuse_fdp(struct excuse *e)
{
    unsigned kept = e->facts->fdp_moves ? 0 : e->c->bits == 64 ? 8 : 4;
    memcpy(e->interp->state.fx + NATIVE_FX_FDP + kept, e->host->state.fx + NATIVE_FX_FDP + kept, 8 - kept);
    return kept < 8;
}

/* The interpreter's machine has supervisor pages where the process has nothing. */
static bool excuse_low_fault(struct excuse *e)
{
    if (!both_fault(e, EXC_PF) || e->host->state.cr2 >= 0x40000)
        return false;
    e->host->state.error = e->interp->state.error;
    return true;
}

/* Operands of many words: which word faults first (as a page, or beyond its segment's limit), and what was stored before, is the
 * silicon's choice. */
static bool excuse_wide_operand(struct excuse *e)
{
    static const uint32_t faults = 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF;
    const struct native_state *host = &e->host->state;
    struct native_state *interp = &e->interp->state;
    bool both = host->vector >= 0 && interp->vector >= 0 && host->vector < 32 && interp->vector < 32 &&
                (faults >> host->vector & 1) && (faults >> interp->vector & 1);
    if (!e->row || !both ||
        (strcmp(e->row->operands, "M") && !strchr(e->row->operands, 't') && strcmp(e->row->mnemonic, "MOVBE")))
        return false;
    interp->vector = host->vector;
    interp->error = host->error;
    interp->cr2 = host->cr2;
    memcpy(e->interp->data, e->host->data, NATIVE_DATA_BYTES);
    return true;
}

/* The silicon has set TOP and tags before the operand faults. */
static bool excuse_mmx_fault(struct excuse *e)
{
    int vector = e->host->state.vector;
    bool memory = vector == EXC_SS || vector == EXC_GP || vector == EXC_PF || vector == EXC_AC || vector == EXC_XM;
    if (!e->row || vector != e->interp->state.vector || !memory || !strpbrk(e->row->operands, "PNQ"))
        return false;
    memcpy(e->interp->state.fx + NATIVE_FX_FSW, e->host->state.fx + NATIVE_FX_FSW, 2);
    e->interp->state.fx[NATIVE_FX_FTW] = e->host->state.fx[NATIVE_FX_FTW];
    memcpy(e->interp->state.fx + NATIVE_FX_ST, e->host->state.fx + NATIVE_FX_ST, 128);
    return true;
}

/* A wild address that is memory of the process itself (in a build with AddressSanitizer large parts of all addresses are). */
static bool excuse_own_memory(struct excuse *e)
{
    uint64_t at = e->interp->state.cr2;
    for (uint32_t n = 0; n < e->facts->own_count && n < FUZZ_OWN_MAX && e->interp->state.vector == EXC_PF; n++) {
        if (at + OPERAND_BYTES < e->facts->own[n].start || at >= e->facts->own[n].end)
            continue;
        e->interp->state = e->host->state;
        memcpy(e->interp->data, e->host->data, NATIVE_DATA_BYTES);
        return true;
    }
    return false;
}

/* With TF the silicon has a gather that faults half-way trap instead, behind the elements that it has; the interpreter's faults. */
static bool excuse_gather_trap(struct excuse *e)
{
    bool stepping = e->interp->state.rflags & 0x100;
    if (!e->row || !strstr(e->row->operands, "vM") || !stepping || e->host->state.vector != EXC_DB ||
        e->interp->state.vector != EXC_PF)
        return false;
    e->host->state.vector = e->interp->state.vector;
    e->host->state.error = e->interp->state.error;
    e->host->state.cr2 = e->interp->state.cr2;
    return true;
}

/* The silicon looks at FXSAVE's alignment before it looks at the segment, which may not be writable. */
static bool excuse_fxsave_alignment(struct excuse *e)
{
    bool fxsave = e->row && !strncmp(e->row->mnemonic, "FXSAVE", 6);
    if (!fxsave || e->host->state.vector != EXC_AC || e->interp->state.vector != EXC_GP)
        return false;
    e->host->state.vector = e->interp->state.vector;
    e->host->state.error = e->interp->state.error;
    return true;
}

/* Hosts with 57-bit addresses find more of them canonical. */
static bool excuse_wide_address(struct excuse *e)
{
    const struct native_state *host = &e->host->state;
    if (host->vector != EXC_PF || (uint64_t)((int64_t)(host->cr2 << 16) >> 16) == host->cr2)
        return false;
    e->interp->state = *host;
    memcpy(e->interp->data, e->host->data, NATIVE_DATA_BYTES);
    return true;
}

static const struct opcode_row *faulting_row(const struct native_harness *h, const struct native_case *c, uint64_t rip)
{
    uint64_t at = rip - c->in.rip;
    return at < c->length ? native_row_of(h, c->bits, c->code + at, c->length - (unsigned)at) : NULL;
}

const char *fuzz_host_excuse(const struct fuzz_host_facts *facts, const struct native_harness *h,
                             const struct native_case *c, struct native_outcome *reference,
                             struct native_outcome *interp)
{
    static const struct {
        const char *name;
        bool (*apply)(struct excuse *e);
    } excuses[] = {{"own-memory", excuse_own_memory},
                   {"fdp", excuse_fdp},
                   {"low-fault", excuse_low_fault},
                   {"wide-operand", excuse_wide_operand},
                   {"mmx-fault", excuse_mmx_fault},
                   {"gather-trap", excuse_gather_trap},
                   {"fxsave-alignment", excuse_fxsave_alignment},
                   {"57-bit-address", excuse_wide_address}};
    struct excuse e = {c, faulting_row(h, c, interp->state.rip), facts, reference, interp};
    const char *name = NULL;
    for (size_t n = 0; n < sizeof excuses / sizeof excuses[0]; n++) {
        if (native_differ(c, false, reference, interp, NULL, NULL) && excuses[n].apply(&e))
            name = excuses[n].name;
    }
    return name;
}
