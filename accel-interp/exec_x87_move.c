/* x87 loads, stores and moves with all exceptions masked and no stack fault. Anything else goes to x87_general. A store goes
 * straight into guest memory: with everything masked and the page at hand nothing can stop it. */
#include "accel-interp/fp_convert.h"
#include "accel-interp/x87.h"

#define ST(n) x87_st(cpu, top, (n))
#define ROOM !x87_filled(cpu, top, 7)
#define NEW_TOP ((top + 7) & 7)

/* Of any value; fp_convert.h's for ordinary ones before fp.h's for all. */
#define CONVERT_FLOAT(bits, fraction, exponent_max)                                                                    \
    static inline uint16_t load_f##bits(struct cpu_x87_register *d, const uint8_t *host)                               \
    {                                                                                                                  \
        if (LIKELY(fp80_from_float(d, host_get##bits(host), fraction, exponent_max)))                                  \
            return 0;                                                                                                  \
        return fp80_from_f##bits(d, host);                                                                             \
    }                                                                                                                  \
    static inline uint16_t store_f##bits(const struct cpu_x87_register *a, uint16_t fcw, uint8_t *host)                \
    {                                                                                                                  \
        uint64_t value;                                                                                                \
        uint16_t sw;                                                                                                   \
        if (UNLIKELY(!fp80_to_float(a, fcw, fraction, exponent_max, &value, &sw)))                                     \
            return fp80_to_f##bits(a, host);                                                                           \
        host_set##bits(host, (uint##bits##_t)value);                                                                   \
        return sw;                                                                                                     \
    }
CONVERT_FLOAT(32, 23, 255)
CONVERT_FLOAT(64, 52, 2047)

#define CONVERT_INTEGER(bits)                                                                                          \
    static inline uint16_t load_i##bits(struct cpu_x87_register *d, const uint8_t *host)                               \
    {                                                                                                                  \
        fp80_from_integer(d, (int##bits##_t)host_get##bits(host));                                                     \
        return 0;                                                                                                      \
    }                                                                                                                  \
    static inline uint16_t store_i##bits(const struct cpu_x87_register *a, uint16_t fcw, uint8_t *host)                \
    {                                                                                                                  \
        uint64_t value;                                                                                                \
        uint16_t sw;                                                                                                   \
        if (UNLIKELY(!fp80_to_integer(a, fcw, bits, &value, &sw)))                                                     \
            return fp80_to_i##bits(a, host);                                                                           \
        host_set##bits(host, (uint##bits##_t)value);                                                                   \
        return sw;                                                                                                     \
    }
CONVERT_INTEGER(16)
CONVERT_INTEGER(32)
CONVERT_INTEGER(64)

static inline uint16_t load_f80(struct cpu_x87_register *d, const uint8_t *host)
{
    d->significand = host_get64(host);
    d->sign_exponent = host_get16(host + 8);
    return 0;
}
static inline uint16_t store_f80(const struct cpu_x87_register *a, uint16_t fcw, uint8_t *host)
{
    (void)fcw;
    host_set64(host, a->significand);
    host_set16(host + 8, a->sign_exponent);
    return 0;
}

#define LOAD(name, type, op, bytes)                                                                                    \
    X87_MEM(forms_##name, name, op, bytes, TLB_READ, ROOM, x87_commit(cpu, i, load_##type(ST(7), host), 0);            \
            x87_push(cpu, NEW_TOP));
LOAD(fld_f32, f32, d9, 4)
LOAD(fld_f64, f64, dd, 8)
LOAD(fld_f80, f80, db, 10)
LOAD(fild_i16, i16, df, 2)
LOAD(fild_i32, i32, db, 4)
LOAD(fild_i64, i64, df, 8)

#define STORE_(name, type, op, bytes, pop)                                                                             \
    X87_MEM(forms_##name, name, op, bytes, TLB_WRITE, x87_filled(cpu, top, 0),                                         \
            x87_commit(cpu, i, store_##type(ST(0), cpu->s.fcw, host), 0);                                              \
            pop);
STORE_(fst_f32, f32, d9, 4, )
STORE_(fst_f64, f64, dd, 8, )
STORE_(fist_i16, i16, df, 2, )
STORE_(fist_i32, i32, db, 4, )
STORE_(fstp_f32, f32, d9, 4, x87_pop(cpu, top))
STORE_(fstp_f64, f64, dd, 8, x87_pop(cpu, top))
STORE_(fstp_f80, f80, db, 10, x87_pop(cpu, top))
STORE_(fistp_i16, i16, df, 2, x87_pop(cpu, top))
STORE_(fistp_i32, i32, db, 4, x87_pop(cpu, top))
STORE_(fistp_i64, i64, df, 8, x87_pop(cpu, top))

/* FISTTP: whatever FCW says, the value is cut off. */
#define FCW_CHOP (uint16_t)(cpu->s.fcw | FCW_RC_CHOP << FCW_RC_SHIFT)
#define STORE_TRUNCATED(bits, op)                                                                                      \
    static inline bool truncate_i##bits(const struct cpu_x87_register *a, uint16_t fcw, uint8_t *host, uint16_t *sw)   \
    {                                                                                                                  \
        uint64_t value;                                                                                                \
        if (!fp80_to_integer(a, fcw, bits, &value, sw))                                                                \
            return false;                                                                                              \
        host_set##bits(host, (uint##bits##_t)value);                                                                   \
        return true;                                                                                                   \
    }                                                                                                                  \
    X87_MEM(forms_fisttp_i##bits, fisttp_i##bits, op, bits / 8, TLB_WRITE, x87_filled(cpu, top, 0), uint16_t sw;       \
            if (UNLIKELY(!truncate_i##bits(ST(0), FCW_CHOP, host, &sw))) return x87_general_##op(cpu, i);              \
            x87_commit(cpu, i, sw, 0); x87_pop(cpu, top));
STORE_TRUNCATED(16, df)
STORE_TRUNCATED(32, db)
STORE_TRUNCATED(64, dd)

static inline void x87_swap(struct cpu_x87_register *a, struct cpu_x87_register *b)
{
    struct cpu_x87_register t = *a;
    *a = *b;
    *b = t;
}

X87_REG(fld_sti, d9, ROOM &&x87_filled(cpu, top, rm), *ST(7) = *ST(rm); x87_commit(cpu, i, 0, 0);
        x87_push(cpu, NEW_TOP))
X87_REG(fxch, d9, x87_filled(cpu, top, 0) && x87_filled(cpu, top, rm), x87_swap(ST(0), ST(rm));
        x87_commit(cpu, i, 0, 0))
X87_REG(fst_sti, dd, x87_filled(cpu, top, 0), *ST(rm) = *ST(0); cpu->s.ftw |= (uint8_t)(1u << ((top + rm) & 7));
        x87_commit(cpu, i, 0, 0))
X87_REG(fstp_sti, dd, x87_filled(cpu, top, 0), *ST(rm) = *ST(0); cpu->s.ftw |= (uint8_t)(1u << ((top + rm) & 7));
        x87_commit(cpu, i, 0, 0); x87_pop(cpu, top))
X87_FORMS_REG(forms_fld_sti, fld_sti);
X87_FORMS_REG(forms_fxch, fxch);
X87_FORMS_REG(forms_fst_sti, fst_sti);
X87_FORMS_REG(forms_fstp_sti, fstp_sti);

static inline void x87_set(struct cpu_x87_register *r, uint16_t sign_exponent, uint64_t significand)
{
    r->sign_exponent = sign_exponent;
    r->significand = significand;
}
#define CONSTANT(name, set)                                                                                            \
    X87_REG(name, d9, ROOM, set; x87_commit(cpu, i, 0, 0); x87_push(cpu, NEW_TOP))                                     \
    X87_FORMS_REG(forms_##name, name);
CONSTANT(fld1, x87_set(ST(7), 0x3FFF, 0x8000000000000000ull))
CONSTANT(fldz, x87_set(ST(7), 0, 0))
CONSTANT(fldpi, fp80_fldpi(ST(7)))
CONSTANT(fldl2e, fp80_fldl2e(ST(7)))
CONSTANT(fldl2t, fp80_fldl2t(ST(7)))
CONSTANT(fldlg2, fp80_fldlg2(ST(7)))
CONSTANT(fldln2, fp80_fldln2(ST(7)))

/* C1 stays as it was. */
#define CMOV(name, op, condition)                                                                                      \
    X87_REG(name, op, x87_filled(cpu, top, 0) && x87_filled(cpu, top, rm), if (condition) * ST(0) = *ST(rm);           \
            cpu->s.fip = interp_rip(cpu, i))                                                                           \
    X87_FORMS_REG(forms_##name, name);
CMOV(fcmovb, da, flag_cf(cpu))
CMOV(fcmove, da, flag_zf(cpu))
CMOV(fcmovbe, da, flag_cf(cpu) || flag_zf(cpu))
CMOV(fcmovu, da, flag_pf(cpu))
CMOV(fcmovnb, db, !flag_cf(cpu))
CMOV(fcmovne, db, !flag_zf(cpu))
CMOV(fcmovnbe, db, !flag_cf(cpu) && !flag_zf(cpu))
CMOV(fcmovnu, db, !flag_pf(cpu))
