/* FSIN FCOS FSINCOS FPTAN FPATAN F2XM1 FYL2X FYL2XP1 (Intel SDM vol. 1, 8.3.6-8.3.10). The last bit of their results is what the
 * maker of the host's processor chose, and an arm64 host has none: a value that can't be hidden from the guest. So the whole
 * outcome is an input. It is two 64-bit values, three when there are two results:
 *
 *   0..15 sign and exponent of ST0; 16..31 the status word; 32..39 tags (abridged); 40..55 sign and exponent of ST1 (of two
 *   results, else 0)
 *   the significand of ST0
 *   the significand of ST1, of FSINCOS and FPTAN
 *
 * Stack faults are the same everywhere and no input: x87_general. */
#include "accel-interp/x87.h"

#include <string.h>

enum {
    MODRM_F2XM1 = 0xF0,
    MODRM_FYL2X,
    MODRM_FPTAN,
    MODRM_FPATAN,
    MODRM_FYL2XP1 = 0xF9,
    MODRM_FSINCOS = 0xFB,
    MODRM_FSIN = 0xFE,
    MODRM_FCOS
};

struct request {
    struct interp *cpu;
    struct fp_x87 x; /* before, then after */
    uint8_t modrm;
};

static bool pops(uint8_t modrm)
{
    return modrm == MODRM_FYL2X || modrm == MODRM_FPATAN || modrm == MODRM_FYL2XP1;
}
static bool pushes(uint8_t modrm)
{
    return modrm == MODRM_FPTAN || modrm == MODRM_FSINCOS;
}

static struct cpu_x87_register *result(struct fp_x87 *x, unsigned n)
{
    return &x->fpr[(((x->fsw & FSW_TOP) >> FSW_TOP_SHIFT) + n) & 7];
}

/* The functions with one operand and one result have a short way when everything is masked. */
static bool compute_simply(struct fp_x87 *x, uint8_t modrm)
{
    struct cpu_x87_register *st0 = result(x, 0);
    uint16_t sw, defined = FSW_FLAGS | FSW_C1;

    if (~x->fcw & FCW_MASKS)
        return false;
    switch (modrm) {
    case MODRM_F2XM1: sw = fp80_f2xm1(st0, st0); break;
    case MODRM_FSIN:
        sw = fp80_fsin(st0, st0);
        defined |= FSW_C2;
        break;
    case MODRM_FCOS:
        sw = fp80_fcos(st0, st0);
        defined |= FSW_C2;
        break;
    default: return false;
    }
    x->fsw = (uint16_t)((x->fsw & ~(defined & FSW_CC)) | (sw & defined));
    return true;
}

static uint64_t fetch_status(void *opaque)
{
    struct request *r = opaque;
    uint64_t second = 0;

    if (!compute_simply(&r->x, r->modrm)) {
        fp_x87_execute(&r->x, 0xD9, r->modrm, 0);
        fp_load_fcw(r->cpu);
    }
    if (pushes(r->modrm))
        second = (uint64_t)result(&r->x, 1)->sign_exponent << 40;
    return result(&r->x, 0)->sign_exponent | (uint64_t)r->x.fsw << 16 | (uint64_t)r->x.ftw << 32 | second;
}
static uint64_t fetch_first(void *opaque)
{
    struct request *r = opaque;
    return result(&r->x, 0)->significand;
}
static uint64_t fetch_second(void *opaque)
{
    struct request *r = opaque;
    return result(&r->x, 1)->significand;
}

__attribute__((noinline)) static void execute(struct interp *cpu, const struct insn *i)
{
    struct request r = {.cpu = cpu, .modrm = i->modrm};
    struct machine *machine = cpu->accel.machine;
    uint64_t status;

    x87_state_get(cpu, &r.x);
    interp_sync_position(cpu, i);
    status = machine_pull(machine, INPUT_UNCONTROLLED, fetch_status, &r);
    r.x.fsw = (uint16_t)(status >> 16);
    r.x.ftw = (uint8_t)(status >> 32);
    result(&r.x, 0)->sign_exponent = (uint16_t)status;
    result(&r.x, 0)->significand = machine_pull(machine, INPUT_UNCONTROLLED, fetch_first, &r);
    if (pushes(r.modrm)) {
        result(&r.x, 1)->sign_exponent = (uint16_t)(status >> 40);
        result(&r.x, 1)->significand = machine_pull(machine, INPUT_UNCONTROLLED, fetch_second, &r);
    }
    x87_state_put(cpu, i, &r.x, 0xD9, cpu->s.fdp);
}

EXEC_STATIC(transcendental)
{
    const unsigned top = x87_top(cpu);

    if (!x87_filled(cpu, top, 0) || (pops(i->modrm) && !x87_filled(cpu, top, 1)) ||
        (pushes(i->modrm) && x87_filled(cpu, top, 7)))
        return x87_general_d9(cpu, i);
    if (UNLIKELY(x87_wait(cpu, i)))
        return END_LEAVE();
    execute(cpu, i);
    NEXT;
}
X87_FORMS_REG(forms_transcendental, transcendental);
