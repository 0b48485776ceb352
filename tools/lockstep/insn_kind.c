/* What an instruction may give otherwise on another processor, by capstone, and by Intel SDM vol. 2 where capstone does not say. */
#include "tools/lockstep/lockstep.h"

#include <capstone/capstone.h>
#include <string.h>

#define FLAG_CF 0x001u
#define FLAG_PF 0x004u
#define FLAG_AF 0x010u
#define FLAG_ZF 0x040u
#define FLAG_SF 0x080u
#define FLAG_OF 0x800u

static uint64_t undefined_by_capstone(uint64_t eflags)
{
    static const struct {
        uint64_t capstone, flag;
    } map[] = {{X86_EFLAGS_UNDEFINED_OF, FLAG_OF}, {X86_EFLAGS_UNDEFINED_SF, FLAG_SF},
               {X86_EFLAGS_UNDEFINED_ZF, FLAG_ZF}, {X86_EFLAGS_UNDEFINED_PF, FLAG_PF},
               {X86_EFLAGS_UNDEFINED_AF, FLAG_AF}, {X86_EFLAGS_UNDEFINED_CF, FLAG_CF}};
    uint64_t flags = 0;
    for (size_t n = 0; n < sizeof map / sizeof map[0]; n++)
        flags |= eflags & map[n].capstone ? map[n].flag : 0;
    return flags;
}

static uint64_t undefined_of(const cs_insn *insn)
{
    switch (insn->id) {
    case X86_INS_SHL:
    case X86_INS_SAL:
    case X86_INS_SHR:
    case X86_INS_SAR:
    case X86_INS_SHLD:
    case X86_INS_SHRD: return FLAG_OF | FLAG_AF | FLAG_CF; /* by counts of more than one, or than bits */
    case X86_INS_ROL:
    case X86_INS_ROR:
    case X86_INS_RCL:
    case X86_INS_RCR: return FLAG_OF;
    case X86_INS_AND:
    case X86_INS_OR:
    case X86_INS_XOR:
    case X86_INS_TEST: return FLAG_AF;
    case X86_INS_MUL:
    case X86_INS_IMUL: return FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
    case X86_INS_DIV:
    case X86_INS_IDIV: return FLAG_CF | FLAG_OF | FLAG_SF | FLAG_ZF | FLAG_AF | FLAG_PF;
    case X86_INS_BSF:
    case X86_INS_BSR: return FLAG_CF | FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
    case X86_INS_BT:
    case X86_INS_BTC:
    case X86_INS_BTR:
    case X86_INS_BTS: return FLAG_OF | FLAG_SF | FLAG_AF | FLAG_PF;
    default: return undefined_by_capstone(insn->detail->x86.eflags);
    }
}

static bool is_own(const cs_insn *insn)
{
    switch (insn->id) {
    case X86_INS_CPUID:
    case X86_INS_RDTSC:
    case X86_INS_RDTSCP:
    case X86_INS_RDRAND:
    case X86_INS_RDSEED:
    case X86_INS_RDMSR:
    case X86_INS_RDPMC:
    case X86_INS_XGETBV: return true;
    default: return false;
    }
}

static bool is_input_string(const cs_insn *insn)
{
    return insn->id == X86_INS_INSB || insn->id == X86_INS_INSW || insn->id == X86_INS_INSD;
}

struct lockstep_kind lockstep_kind_of(const struct lockstep_insn *insn)
{
    struct lockstep_kind kind = {.halts = false};
    cs_mode mode = insn->bits == 64 ? CS_MODE_64 : insn->bits == 32 ? CS_MODE_32 : CS_MODE_16;
    csh handle;
    cs_insn *list;
    if (cs_open(CS_ARCH_X86, mode, &handle) != CS_ERR_OK)
        return kind;
    cs_option(handle, CS_OPT_DETAIL, CS_OPT_ON);
    if (cs_disasm(handle, insn->code, insn->size, insn->linear, 1, &list)) {
        kind.own = is_own(list);
        kind.input_string = is_input_string(list);
        kind.device = list->id == X86_INS_IN || kind.input_string;
        kind.output = list->id == X86_INS_OUT || list->id == X86_INS_OUTSB || list->id == X86_INS_OUTSW || list->id == X86_INS_OUTSD;
        kind.halts = list->id == X86_INS_HLT;
        kind.undefined_flags = undefined_of(list);
        cs_free(list, 1);
    }
    cs_close(&handle);
    return kind;
}
