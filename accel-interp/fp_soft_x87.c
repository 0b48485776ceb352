/* fp.h's single x87 operations by soft_float.h (fp_soft.h). Empty when the host's units compute. */
#include "accel-interp/fp.h"

#if FP_SOFT
#include "accel-interp/fp_x87_soft.h"
#include "accel-interp/soft_float_core.h"


static struct soft_float begin(void)
{
    return soft_from_fcw(fp_soft_unit.fcw);
}
static uint16_t status(const struct soft_float *f)
{
    return (uint16_t)(f->flags | (f->rounded_up ? FSW_C1 : 0));
}

static struct soft_number number_f32(const void *v)
{
    return soft_unpack(&soft_f32, fp_soft_load(v, 4));
}
static struct soft_number number_f64(const void *v)
{
    return soft_unpack(&soft_f64, fp_soft_load(v, 8));
}
static struct soft_number number_i16(const void *v)
{
    return soft80_unpack(soft80_from_integer((int16_t)fp_soft_load(v, 2)));
}
static struct soft_number number_i32(const void *v)
{
    return soft80_unpack(soft80_from_integer((int32_t)fp_soft_load(v, 4)));
}

#define ADD(a, b) soft80_number_add(&f, a, b, false)
#define SUB(a, b) soft80_number_add(&f, a, b, true)
#define SUBR(a, b) soft80_number_add(&f, b, a, true)
#define MUL(a, b) soft80_number_mul(&f, a, b)
#define DIV(a, b) soft80_number_div(&f, a, b)
#define DIVR(a, b) soft80_number_div(&f, b, a)

#define MEMORY(name, type, OP)                                                                                         \
    uint16_t fp80_##name##_##type(struct cpu_x87_register *d, const struct cpu_x87_register *a, const void *b)         \
    {                                                                                                                  \
        struct soft_float f = begin();                                                                                 \
        *d = OP(soft80_unpack(*a), number_##type(b));                                                                  \
        return status(&f);                                                                                             \
    }
#define BINARY(name, OP)                                                                                               \
    uint16_t fp80_##name(struct cpu_x87_register *d, const struct cpu_x87_register *a,                                 \
                         const struct cpu_x87_register *b)                                                             \
    {                                                                                                                  \
        struct soft_float f = begin();                                                                                 \
        *d = OP(soft80_unpack(*a), soft80_unpack(*b));                                                                 \
        return status(&f);                                                                                             \
    }                                                                                                                  \
    MEMORY(name, f32, OP) MEMORY(name, f64, OP) MEMORY(name, i16, OP) MEMORY(name, i32, OP)
BINARY(add, ADD)
BINARY(sub, SUB)
BINARY(subr, SUBR)
BINARY(mul, MUL)
BINARY(div, DIV)
BINARY(divr, DIVR)

uint16_t fp80_scale(struct cpu_x87_register *d, const struct cpu_x87_register *a, const struct cpu_x87_register *b)
{
    struct soft_float f = begin();
    *d = soft80_scale(&f, *a, *b);
    return status(&f);
}

static uint16_t remainder_of(struct cpu_x87_register *d, const struct cpu_x87_register *a,
                             const struct cpu_x87_register *b, bool nearest)
{
    struct soft_float f = begin();
    struct soft80_remainder r = soft80_remainder(&f, *a, *b, nearest);

    *d = r.value;
    return (uint16_t)(f.flags | (r.quotient & 1 ? FSW_C1 : 0) | (r.quotient & 2 ? FSW_C3 : 0) |
                      (r.quotient & 4 ? FSW_C0 : 0) | (r.partial ? FSW_C2 : 0));
}
uint16_t fp80_prem(struct cpu_x87_register *d, const struct cpu_x87_register *a, const struct cpu_x87_register *b)
{
    return remainder_of(d, a, b, false);
}
uint16_t fp80_prem1(struct cpu_x87_register *d, const struct cpu_x87_register *a, const struct cpu_x87_register *b)
{
    return remainder_of(d, a, b, true);
}

static uint16_t compare(struct soft_number a, struct soft_number b, bool signalling)
{
    static const uint16_t codes[] = {FSW_C0, FSW_C3, 0, FSW_C0 | FSW_C2 | FSW_C3};
    struct soft_float f = begin();
    enum soft_order order = soft80_number_compare(&f, a, b, signalling);
    return (uint16_t)(f.flags | codes[order]);
}
uint16_t fp80_com(const struct cpu_x87_register *a, const struct cpu_x87_register *b)
{
    return compare(soft80_unpack(*a), soft80_unpack(*b), true);
}
uint16_t fp80_ucom(const struct cpu_x87_register *a, const struct cpu_x87_register *b)
{
    return compare(soft80_unpack(*a), soft80_unpack(*b), false);
}
uint16_t fp80_tst(const struct cpu_x87_register *a)
{
    return compare(soft80_unpack(*a), (struct soft_number){.kind = SOFT_ZERO}, true);
}
#define COMPARE_MEMORY(type)                                                                                           \
    uint16_t fp80_com_##type(const struct cpu_x87_register *a, const void *b)                                          \
    {                                                                                                                  \
        return compare(soft80_unpack(*a), number_##type(b), true);                                                     \
    }
COMPARE_MEMORY(f32)
COMPARE_MEMORY(f64)
COMPARE_MEMORY(i16)
COMPARE_MEMORY(i32)

static struct fp_order order_of(uint16_t sw)
{
    return (struct fp_order){.sw = sw & FSW_FLAGS, .zf = sw & FSW_C3, .pf = sw & FSW_C2, .cf = sw & FSW_C0};
}
struct fp_order fp80_comi(const struct cpu_x87_register *a, const struct cpu_x87_register *b)
{
    return order_of(fp80_com(a, b));
}
struct fp_order fp80_ucomi(const struct cpu_x87_register *a, const struct cpu_x87_register *b)
{
    return order_of(fp80_ucom(a, b));
}

uint16_t fp80_fsqrt(struct cpu_x87_register *d, const struct cpu_x87_register *a)
{
    struct soft_float f = begin();
    *d = soft80_sqrt(&f, *a);
    return status(&f);
}
uint16_t fp80_frndint(struct cpu_x87_register *d, const struct cpu_x87_register *a)
{
    struct soft_float f = begin();
    *d = soft80_round(&f, *a);
    return status(&f);
}

static uint16_t transcendental(struct cpu_x87_register *d, const struct cpu_x87_register *a,
                               enum fp_transcendental function)
{
    struct soft_float f = begin();
    struct fp_transcendental_result r = fp_transcendental_compute(&f, function, *a, *a);

    *d = r.out_of_range ? *a : r.value[0];
    return r.out_of_range ? FSW_C2 : status(&f);
}
uint16_t fp80_fsin(struct cpu_x87_register *d, const struct cpu_x87_register *a)
{
    return transcendental(d, a, FP_FSIN);
}
uint16_t fp80_fcos(struct cpu_x87_register *d, const struct cpu_x87_register *a)
{
    return transcendental(d, a, FP_FCOS);
}
uint16_t fp80_f2xm1(struct cpu_x87_register *d, const struct cpu_x87_register *a)
{
    return transcendental(d, a, FP_F2XM1);
}

/* By way of the whole instruction: its constants are rounded too. */
static struct cpu_x87_register constant(uint8_t modrm)
{
    struct fp_x87 x = {.fcw = fp_soft_unit.fcw | FCW_MASKS};

    fp_x87_execute_soft(&x, 0xD9, modrm, 0);
    return x.fpr[7];
}
#define CONSTANT(name, modrm)                                                                                          \
    void fp80_##name(struct cpu_x87_register *d)                                                                       \
    {                                                                                                                  \
        *d = constant(modrm);                                                                                          \
    }
CONSTANT(fldl2t, 0xE9)
CONSTANT(fldl2e, 0xEA)
CONSTANT(fldpi, 0xEB)
CONSTANT(fldlg2, 0xEC)
CONSTANT(fldln2, 0xED)

#define FLOAT(type, bytes)                                                                                             \
    uint16_t fp80_from_##type(struct cpu_x87_register *d, const void *v)                                               \
    {                                                                                                                  \
        struct soft_float f = begin();                                                                                 \
        *d = soft80_from_float(&f, &soft_##type, fp_soft_load(v, bytes));                                              \
        return f.flags;                                                                                                \
    }                                                                                                                  \
    uint16_t fp80_to_##type(const struct cpu_x87_register *a, void *out)                                               \
    {                                                                                                                  \
        struct soft_float f = begin();                                                                                 \
        fp_soft_store(out, soft80_to_float(&f, &soft_##type, *a), bytes);                                              \
        return status(&f);                                                                                             \
    }
FLOAT(f32, 4)
FLOAT(f64, 8)
#define INTEGER(bits)                                                                                                  \
    uint16_t fp80_to_i##bits(const struct cpu_x87_register *a, void *out)                                              \
    {                                                                                                                  \
        struct soft_float f = begin();                                                                                 \
        fp_soft_store(out, soft80_to_integer(&f, *a, bits), bits / 8);                                                 \
        return status(&f);                                                                                             \
    }
INTEGER(16)
INTEGER(32)
INTEGER(64)
#else
typedef int fp_soft_x87_is_empty;
#endif
