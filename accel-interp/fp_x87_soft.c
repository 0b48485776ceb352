/* fp.h's x87 as whole instructions, computed by soft_float.h (Intel SDM vol. 1, chapter 8; vol. 2 for each): fp_x87_execute on
 * hosts without an x87, and what tests hold the host's x87 against. What happens with empty and full stacks, unmasked
 * exceptions and condition codes is as measured on Intel's processors. The eight transcendental functions are
 * fp_x87_transcendental.c's. */
#include "accel-interp/fp_x87_soft.h"
#include "accel-interp/flags.h"
#include "accel-interp/soft_float_core.h"

#include <string.h>

struct x87 {
    struct fp_x87 *x;
    struct soft_float f;
    unsigned top;
    uint16_t codes; /* C0..C3 as the instruction leaves them: starts as they were, C1 clear */
};

static unsigned physical(const struct x87 *m, unsigned n)
{
    return (m->top + n) & 7;
}
static struct cpu_x87_register *st(struct x87 *m, unsigned n)
{
    return &m->x->fpr[physical(m, n)];
}
static bool filled(const struct x87 *m, unsigned n)
{
    return m->x->ftw >> physical(m, n) & 1;
}
static void set(struct x87 *m, unsigned n, struct cpu_x87_register value)
{
    *st(m, n) = value;
    m->x->ftw |= (uint8_t)(1u << physical(m, n));
}
static void pop(struct x87 *m)
{
    m->x->ftw &= (uint8_t) ~(1u << m->top);
    m->top = (m->top + 1) & 7;
}
static void push(struct x87 *m, struct cpu_x87_register value)
{
    m->top = (m->top + 7) & 7;
    set(m, 0, value);
}
static struct cpu_x87_register indefinite(void)
{
    return (struct cpu_x87_register){.significand = 3ull << 62, .sign_exponent = 0xFFFF};
}

/* Stack overflow or underflow. True: masked, the indefinite takes the place of the result. */
static bool stack_fault(struct x87 *m, bool overflow)
{
    m->f.flags |= SOFT_IE;
    m->x->fsw |= FSW_SF;
    m->codes = (uint16_t)((m->codes & ~FSW_C1) | (overflow ? FSW_C1 : 0));
    return !(m->f.unmasked & SOFT_IE);
}

/* C1 by the last rounding. */
static void set_c1(struct x87 *m)
{
    m->codes = (uint16_t)((m->codes & ~FSW_C1) | (m->f.rounded_up ? FSW_C1 : 0));
}

/* A result into ST(n), unless an exception stopped it. */
static bool commit(struct x87 *m, unsigned n, struct cpu_x87_register value)
{
    if (soft_stopped(&m->f))
        return false;
    set_c1(m);
    set(m, n, value);
    return true;
}

static void push_result(struct x87 *m, struct cpu_x87_register value)
{
    if (filled(m, 7)) {
        if (stack_fault(m, true))
            push(m, indefinite());
    } else if (!(m->f.flags & m->f.unmasked & SOFT_IE)) { /* an unmasked DE comes after the load */
        push(m, value);
    }
}

/* ---- arithmetic and comparison ----------------------------------------------------------------------------------- */

enum { ADD, MUL, COM, COMP, SUB, SUBR, DIV, DIVR };

static struct cpu_x87_register arithmetic(struct soft_float *f, unsigned op, struct soft_number a, struct soft_number b)
{
    switch (op) {
    case ADD: return soft80_number_add(f, a, b, false);
    case MUL: return soft80_number_mul(f, a, b);
    case SUB: return soft80_number_add(f, a, b, true);
    case SUBR: return soft80_number_add(f, b, a, true);
    case DIV: return soft80_number_div(f, a, b);
    default: return soft80_number_div(f, b, a);
    }
}

static void compare_codes(struct x87 *m, enum soft_order order)
{
    static const uint16_t codes[] = {FSW_C0, FSW_C3, 0, FSW_C0 | FSW_C2 | FSW_C3};
    m->codes = codes[order];
}

static void compare(struct x87 *m, bool operands, struct soft_number b, bool signalling, unsigned pops)
{
    enum soft_order order = SOFT_UNORDERED;

    if (operands)
        order = soft80_number_compare(&m->f, soft80_unpack(*st(m, 0)), b, signalling);
    else
        stack_fault(m, false);
    compare_codes(m, order); /* whatever is unmasked */
    while (pops-- && !soft_stopped(&m->f))
        pop(m);
}

/* ST0 with another operand, the result to ST(to). */
static void binary(struct x87 *m, unsigned op, bool operands, struct soft_number b, unsigned to, bool pops)
{
    if (op == COM || op == COMP) {
        compare(m, operands, b, true, op == COMP);
        return;
    }
    if (operands) {
        if (!commit(m, to, arithmetic(&m->f, op, soft80_unpack(*st(m, 0)), b)))
            return;
    } else if (stack_fault(m, false)) {
        set(m, to, indefinite());
    } else {
        return;
    }
    if (pops)
        pop(m);
}

static void binary_register(struct x87 *m, unsigned op, unsigned n, unsigned to, bool pops)
{
    binary(m, op, filled(m, 0) && filled(m, n), soft80_unpack(*st(m, n)), to, pops);
}

static struct cpu_x87_register load80(const uint8_t *memory)
{
    return (struct cpu_x87_register){.significand = fp_soft_load(memory, 8),
                                     .sign_exponent = (uint16_t)fp_soft_load(memory + 8, 2)};
}
static void store80(uint8_t *memory, struct cpu_x87_register r)
{
    fp_soft_store(memory, r.significand, 8);
    fp_soft_store(memory + 8, r.sign_exponent, 2);
}

static void compare_flags(struct x87 *m, unsigned n, bool signalling, bool pops)
{
    static const uint32_t flags[] = {FLAG_CF, FLAG_ZF, 0, FLAG_ZF | FLAG_PF | FLAG_CF};
    enum soft_order order = SOFT_UNORDERED;
    uint16_t codes = m->codes | (m->x->fsw & FSW_C1); /* C1 stays */

    if (filled(m, 0) && filled(m, n)) {
        order = soft80_compare(&m->f, *st(m, 0), *st(m, n), signalling);
        m->codes = codes;
    } else {
        stack_fault(m, false);
    }
    m->x->rflags = flags[order];
    if (pops && !soft_stopped(&m->f))
        pop(m);
}

/* ---- loads and stores -------------------------------------------------------------------------------------------- */

static void load_float(struct x87 *m, const struct soft_format *t, uint64_t bits)
{
    if (!filled(m, 7)) {
        struct cpu_x87_register value = soft80_from_float(&m->f, t, bits);
        push_result(m, value);
    } else {
        push_result(m, indefinite());
    }
}

/* The value goes to memory unless an exception keeps it from being stored. */
static void finish_store(struct x87 *m, uint8_t *memory, const uint8_t *value, unsigned size_bytes, bool pops)
{
    if (m->f.flags & m->f.unmasked & (SOFT_IE | SOFT_OE | SOFT_UE)) {
        m->codes &= (uint16_t)~FSW_C1;
        m->f.flags &= (uint8_t)~SOFT_PE;
        return;
    }
    memcpy(memory, value, size_bytes);
    if (pops)
        pop(m);
}

static void store_float(struct x87 *m, const struct soft_format *t, uint8_t *memory, bool pops)
{
    const unsigned size_bytes = t == &soft_f32 ? 4 : 8;
    uint64_t bits = t == &soft_f32 ? 0xFFC00000u : 0xFFF8000000000000ull;
    uint8_t value[8];

    if (filled(m, 0)) {
        bits = soft80_to_float(&m->f, t, *st(m, 0));
        set_c1(m);
    } else {
        stack_fault(m, false);
    }
    fp_soft_store(value, bits, size_bytes);
    finish_store(m, memory, value, size_bytes, pops);
}

static void store_integer(struct x87 *m, unsigned bits, uint8_t *memory, bool pops)
{
    uint64_t integer = 1ull << (bits - 1);
    uint8_t value[8];

    if (filled(m, 0)) {
        integer = soft80_to_integer(&m->f, *st(m, 0), bits);
        set_c1(m);
    } else {
        stack_fault(m, false);
    }
    fp_soft_store(value, integer, bits / 8);
    finish_store(m, memory, value, bits / 8, pops);
}

static void truncate_integer(struct x87 *m, unsigned bits, uint8_t *memory)
{
    m->f.rounding = SOFT_CHOP;
    store_integer(m, bits, memory, true);
}

static void store_bcd(struct x87 *m, uint8_t *memory)
{
    struct soft_float unnoticed = {0};
    uint8_t value[10];

    if (filled(m, 0)) {
        soft80_to_bcd(&m->f, *st(m, 0), value);
        set_c1(m);
    } else {
        stack_fault(m, false);
        soft80_to_bcd(&unnoticed, indefinite(), value);
    }
    finish_store(m, memory, value, 10, true);
}

static void store_f80(struct x87 *m, uint8_t *memory)
{
    if (filled(m, 0))
        store80(memory, *st(m, 0));
    else if (stack_fault(m, false))
        store80(memory, indefinite());
    else
        return;
    pop(m);
}

/* ---- moves ------------------------------------------------------------------------------------------------------- */

static void load_register(struct x87 *m, unsigned n)
{
    if (filled(m, n))
        push_result(m, *st(m, n));
    else if (stack_fault(m, false))
        push(m, indefinite());
}

static void exchange(struct x87 *m, unsigned n)
{
    struct cpu_x87_register a, b;

    if ((!filled(m, 0) || !filled(m, n)) && !stack_fault(m, false))
        return;
    a = filled(m, 0) ? *st(m, 0) : indefinite();
    b = filled(m, n) ? *st(m, n) : indefinite();
    set(m, 0, b);
    set(m, n, a);
}

static void store_register(struct x87 *m, unsigned n, bool pops)
{
    if (!filled(m, 0) && !stack_fault(m, false))
        return;
    set(m, n, filled(m, 0) ? *st(m, 0) : indefinite());
    if (pops)
        pop(m);
}

static void move_if(struct x87 *m, unsigned n, unsigned condition)
{
    static const uint32_t mask[4] = {FLAG_CF, FLAG_ZF, FLAG_CF | FLAG_ZF, FLAG_PF};

    if (!filled(m, 0) || !filled(m, n)) {
        if (stack_fault(m, false))
            set(m, 0, indefinite());
        return;
    }
    m->codes |= m->x->fsw & FSW_C1;
    if (((m->x->rflags & mask[condition & 3]) != 0) != (condition >> 2))
        set(m, 0, *st(m, n));
}

static void load_constant(struct x87 *m, unsigned n)
{
    static const struct {
        int32_t exponent;
        uint64_t high, low;
    } constants[7] = {
        {0, 0x8000000000000000ull, 0},                      /* 1 */
        {1, 0xD49A784BCD1B8AFEull, 0x492BF6FF4DAFDB4Cull},  /* log2 10 */
        {0, 0xB8AA3B295C17F0BBull, 0xBE87FED0691D3E88ull},  /* log2 e */
        {1, 0xC90FDAA22168C234ull, 0xC4C6628B80DC1CD1ull},  /* pi */
        {-2, 0x9A209A84FBCFF798ull, 0x8F8959AC0B7C9178ull}, /* log10 2 */
        {-1, 0xB17217F7D1CF79ABull, 0xC9E3B39803F2F6AFull}, /* ln 2 */
        {0, 0, 0},
    };
    struct soft_number value = {.kind = constants[n].high ? SOFT_FINITE : SOFT_ZERO, .exponent = constants[n].exponent};
    struct soft_float quiet = {.rounding = m->f.rounding};

    value.significand = (soft_u128)constants[n].high << 64 | constants[n].low;
    push_result(m, soft80_pack(&quiet, value, 64));
}

/* ---- D9: one operand --------------------------------------------------------------------------------------------- */

static void change_sign(struct x87 *m, bool clear)
{
    struct cpu_x87_register value = indefinite();

    if (filled(m, 0)) {
        value = *st(m, 0);
        value.sign_exponent = clear ? value.sign_exponent & 0x7FFF : value.sign_exponent ^ 0x8000;
    } else if (!stack_fault(m, false)) {
        return;
    }
    set(m, 0, value);
}

static void unary(struct x87 *m, struct cpu_x87_register (*fn)(struct soft_float *, struct cpu_x87_register))
{
    if (filled(m, 0))
        commit(m, 0, fn(&m->f, *st(m, 0)));
    else if (stack_fault(m, false))
        set(m, 0, indefinite());
}

static void scale(struct x87 *m)
{
    if (filled(m, 0) && filled(m, 1))
        commit(m, 0, soft80_scale(&m->f, *st(m, 0), *st(m, 1)));
    else if (stack_fault(m, false))
        set(m, 0, indefinite());
}

static void extract(struct x87 *m)
{
    struct cpu_x87_register exponent, significand;

    if (!filled(m, 0) || filled(m, 7)) {
        if (stack_fault(m, filled(m, 0))) {
            set(m, 0, indefinite());
            push(m, indefinite());
        }
        return;
    }
    exponent = soft80_extract(&m->f, *st(m, 0), &significand);
    if (commit(m, 0, exponent))
        push(m, significand);
}

static void remainder_of(struct x87 *m, bool nearest)
{
    struct soft80_remainder r;

    m->codes &= (uint16_t) ~(FSW_C2 | FSW_C1);
    if (!filled(m, 0) || !filled(m, 1)) {
        if (stack_fault(m, false))
            set(m, 0, indefinite());
        return;
    }
    r = soft80_remainder(&m->f, *st(m, 0), *st(m, 1), nearest);
    if (!commit(m, 0, r.value) || !r.defined)
        return;
    m->codes = (r.quotient & 1 ? FSW_C1 : 0) | (r.quotient & 2 ? FSW_C3 : 0) | (r.quotient & 4 ? FSW_C0 : 0) |
               (r.partial ? FSW_C2 : 0);
}

static void test_zero(struct x87 *m)
{
    compare(m, filled(m, 0), (struct soft_number){.kind = SOFT_ZERO}, true, 0);
}

static void transcendental(struct x87 *m, enum fp_transcendental function)
{
    const bool two = fp_transcendental_pops(function), pushes = fp_transcendental_pushes(function);
    struct fp_transcendental_result r;

    if (pushes || function == FP_FSIN || function == FP_FCOS)
        m->codes &= (uint16_t)~FSW_C2;
    if (!filled(m, 0) || (two && !filled(m, 1)) || (pushes && filled(m, 7))) {
        bool overflow = filled(m, 0) && pushes;
        if (!stack_fault(m, overflow))
            return;
        r = (struct fp_transcendental_result){.value = {indefinite(), indefinite()}};
    } else {
        r = fp_transcendental_compute(&m->f, function, *st(m, 0), *st(m, 1));
        if (soft_stopped(&m->f))
            return;
        set_c1(m);
        if (r.out_of_range) {
            m->codes = (uint16_t)((m->codes | FSW_C2) & ~FSW_C1);
            return;
        }
    }
    if (two)
        pop(m);
    set(m, 0, r.value[0]);
    if (pushes)
        push(m, r.value[1]);
}

static void execute_d9_register(struct x87 *m, uint8_t modrm)
{
    switch (modrm) {
    case 0xE0: change_sign(m, false); break;
    case 0xE1: change_sign(m, true); break;
    case 0xE4: test_zero(m); break;
    case 0xE8:
    case 0xE9:
    case 0xEA:
    case 0xEB:
    case 0xEC:
    case 0xED:
    case 0xEE: load_constant(m, modrm & 7); break;
    case 0xF0: transcendental(m, FP_F2XM1); break;
    case 0xF1: transcendental(m, FP_FYL2X); break;
    case 0xF2: transcendental(m, FP_FPTAN); break;
    case 0xF3: transcendental(m, FP_FPATAN); break;
    case 0xF4: extract(m); break;
    case 0xF5: remainder_of(m, true); break;
    case 0xF8: remainder_of(m, false); break;
    case 0xF9: transcendental(m, FP_FYL2XP1); break;
    case 0xFA: unary(m, soft80_sqrt); break;
    case 0xFB: transcendental(m, FP_FSINCOS); break;
    case 0xFC: unary(m, soft80_round); break;
    case 0xFD: scale(m); break;
    case 0xFE: transcendental(m, FP_FSIN); break;
    case 0xFF: transcendental(m, FP_FCOS); break;
    default: break;
    }
}

/* ---- decoding ---------------------------------------------------------------------------------------------------- */

static void execute_register(struct x87 *m, uint8_t opcode, uint8_t modrm)
{
    const unsigned op = modrm >> 3 & 7, n = modrm & 7;

    switch ((opcode & 7) << 3 | op) {
    case 0x08: load_register(m, n); break;
    case 0x09:
    case 0x29:
    case 0x39: exchange(m, n); break;
    case 0x0B: /* FSTPNCE: an empty register is no exception */
        if (filled(m, 0))
            set(m, n, *st(m, 0));
        pop(m);
        break;
    case 0x10:
    case 0x11:
    case 0x12:
    case 0x13: move_if(m, n, op); break;
    case 0x15: compare(m, filled(m, 0) && filled(m, 1), soft80_unpack(*st(m, 1)), false, 2); break; /* FUCOMPP */
    case 0x18:
    case 0x19:
    case 0x1A:
    case 0x1B: move_if(m, n, op | 4); break;
    case 0x1D: compare_flags(m, n, false, false); break;
    case 0x1E: compare_flags(m, n, true, false); break;
    case 0x2A: store_register(m, n, false); break;
    case 0x2B:
    case 0x3A:
    case 0x3B: store_register(m, n, true); break;
    case 0x2C: compare(m, filled(m, 0) && filled(m, n), soft80_unpack(*st(m, n)), false, 0); break;
    case 0x2D: compare(m, filled(m, 0) && filled(m, n), soft80_unpack(*st(m, n)), false, 1); break;
    case 0x32: binary_register(m, COMP, n, 0, false); break; /* an alias of FCOMP */
    case 0x33: compare(m, filled(m, 0) && filled(m, 1), soft80_unpack(*st(m, 1)), true, 2); break; /* FCOMPP */
    case 0x3D: compare_flags(m, n, false, true); break;
    case 0x3E: compare_flags(m, n, true, true); break;
    default:
        if (opcode == 0xD9)
            execute_d9_register(m, modrm);
        else if (opcode == 0xD8)
            binary_register(m, op, n, 0, false);
        else
            binary_register(m, op, n, n, opcode == 0xDE);
        break;
    }
}

static void execute_memory(struct x87 *m, uint8_t opcode, unsigned op, uint8_t *memory)
{
    struct cpu_x87_register value;

    switch ((opcode & 7) << 3 | op) {
    case 0x08: load_float(m, &soft_f32, fp_soft_load(memory, 4)); break;
    case 0x28: load_float(m, &soft_f64, fp_soft_load(memory, 8)); break;
    case 0x0A:
    case 0x0B: store_float(m, &soft_f32, memory, op & 1); break;
    case 0x2A:
    case 0x2B: store_float(m, &soft_f64, memory, op & 1); break;
    case 0x18: push_result(m, soft80_from_integer((int32_t)fp_soft_load(memory, 4))); break;
    case 0x38: push_result(m, soft80_from_integer((int16_t)fp_soft_load(memory, 2))); break;
    case 0x3D: push_result(m, soft80_from_integer((int64_t)fp_soft_load(memory, 8))); break;
    case 0x19: truncate_integer(m, 32, memory); break;
    case 0x29: truncate_integer(m, 64, memory); break;
    case 0x39: truncate_integer(m, 16, memory); break;
    case 0x1A:
    case 0x1B: store_integer(m, 32, memory, op & 1); break;
    case 0x3A:
    case 0x3B: store_integer(m, 16, memory, op & 1); break;
    case 0x3F: store_integer(m, 64, memory, true); break;
    case 0x1D: push_result(m, load80(memory)); break;
    case 0x1F: store_f80(m, memory); break;
    case 0x3C: push_result(m, soft80_from_bcd(memory)); break;
    case 0x3E: store_bcd(m, memory); break;
    default:
        if (opcode == 0xD8 || opcode == 0xDC) {
            const struct soft_format *t = opcode == 0xD8 ? &soft_f32 : &soft_f64;
            binary(m, op, filled(m, 0), soft_unpack(t, fp_soft_load(memory, opcode == 0xD8 ? 4 : 8)), 0, false);
        } else {
            value = soft80_from_integer(opcode == 0xDA ? (int32_t)fp_soft_load(memory, 4)
                                                       : (int16_t)fp_soft_load(memory, 2));
            binary(m, op, filled(m, 0), soft80_unpack(value), 0, false);
        }
        break;
    }
}

void fp_x87_execute_soft(struct fp_x87 *x, uint8_t opcode, uint8_t modrm, void *memory)
{
    struct x87 m = {
        .x = x,
        .f = soft_from_fcw(x->fcw),
        .top = (x->fsw & FSW_TOP) >> FSW_TOP_SHIFT,
        .codes = x->fsw & FSW_CC & ~FSW_C1,
    };

    if (modrm >= 0xC0)
        execute_register(&m, opcode, modrm);
    else
        execute_memory(&m, opcode, modrm >> 3 & 7, memory);
    x->fsw = (uint16_t)((x->fsw & ~(FSW_CC | FSW_TOP)) | m.codes | m.top << FSW_TOP_SHIFT | m.f.flags);
    x->fsw = fp_summary(x->fsw, x->fcw);
}
