/* MOVBE, ADCX, ADOX (Intel SDM vol. 2). */
#include "accel-interp/exec.h"

#define SWAP16(v) __builtin_bswap16(v)
#define SWAP32(v) __builtin_bswap32(v)
#define SWAP64(v) __builtin_bswap64(v)

#define MOVBE_(bits, unused)                                                                                           \
    EXEC_LOAD(movbe_load##bits, bits, reg_set##bits(cpu, i->reg, SWAP##bits(src)))                                     \
    EXEC_STORE(movbe_store##bits, bits, SWAP##bits(reg_get##bits(cpu, i->reg)))
EXEC_SIZES_NOT8(MOVBE_, )

#define MOVBE_FORMS_(table, name)                                                                                      \
    const struct insn_forms table = {                                                                                  \
        .fn = {{0}, FORMS_ENTRY_MEM_(name##16), FORMS_ENTRY_MEM_(name##32), FORMS_ENTRY_MEM_(name##64)}}
MOVBE_FORMS_(forms_movbe_load, movbe_load);
MOVBE_FORMS_(forms_movbe_store, movbe_store);

/* ADCX is ADC that knows CF alone, ADOX the same with OF in CF's place. */
static inline void put_of(struct interp *cpu, bool of)
{
    flags_put_cf_of(cpu, flag_cf(cpu), of);
}
/* CF alone; flags_put_cf keeps OF. */
static inline void put_cf(struct interp *cpu, bool cf)
{
    flags_put_cf(cpu, cf);
}

#define ADX_(bits, name, get, put)                                                                                     \
    static inline void name##_add##bits(struct interp *cpu, const struct insn *i, uint##bits##_t src)                  \
    {                                                                                                                  \
        uint##bits##_t sum;                                                                                            \
        bool carry = __builtin_add_overflow(reg_get##bits(cpu, i->reg), src, &sum);                                    \
        carry |= __builtin_add_overflow(sum, (uint##bits##_t)get(cpu), &sum);                                          \
        reg_set##bits(cpu, i->reg, sum);                                                                               \
        put(cpu, carry);                                                                                               \
    }                                                                                                                  \
    EXEC_REG(name##bits, name##_add##bits(cpu, i, reg_get##bits(cpu, i->rm)))                                          \
    EXEC_LOAD(name##bits, bits, name##_add##bits(cpu, i, src))
ADX_(32, adcx, flag_cf, put_cf)
ADX_(64, adcx, flag_cf, put_cf)
ADX_(32, adox, flag_of, put_of)
ADX_(64, adox, flag_of, put_of)

/* 66 is part of ADCX and ignored before ADOX: no 16 bits. */
#define ADX_FORMS_(table, name)                                                                                        \
    const struct insn_forms table = {                                                                                  \
        .fn = {{0}, FORMS_ENTRY_(name##32), FORMS_ENTRY_(name##32), FORMS_ENTRY_(name##64)}}
ADX_FORMS_(forms_adcx, adcx);
ADX_FORMS_(forms_adox, adox);
