/* The x87 in software against the host's: every non-control instruction, on random stacks, tags, control words (precision,
 * rounding, masked and unmasked exceptions) and memory operands; the whole state after it. The transcendental functions may
 * differ by one unit of the last place. VMRR_SOFT_CASES=200000 is the long mode. */
#include "accel-interp/fp.h"
#include "tests/accel-interp/soft_cases.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#if defined(__x86_64__)

struct operation {
    uint8_t opcode, modrm; /* modrm of a memory form: reg << 3 */
};

static bool is_transcendental(struct operation o)
{
    static const uint8_t modrm[] = {0xF0, 0xF1, 0xF2, 0xF3, 0xF9, 0xFB, 0xFE, 0xFF};
    return o.opcode == 0xD9 && memchr(modrm, o.modrm, sizeof modrm);
}

/* Memory forms by opcode: a bit each of reg. Not FLDCW and the like. */
static const uint8_t memory_forms[8] = {0xFF, 0x0D, 0xFF, 0xAF, 0xFF, 0x0F, 0xFF, 0xFF};

static bool register_form(uint8_t opcode, uint8_t modrm)
{
    switch (opcode) {
    case 0xD9:
        return modrm < 0xD0 || (modrm >= 0xD8 && modrm < 0xE2) || modrm == 0xE4 ||
               (modrm >= 0xE8 && modrm != 0xEF && modrm != 0xF6 && modrm != 0xF7);
    case 0xDA: return modrm < 0xE0 || modrm == 0xE9;
    case 0xDB: return modrm < 0xE0 || (modrm >= 0xE8 && modrm < 0xF8);
    case 0xDD: return modrm >= 0xC8 && modrm < 0xF0;
    case 0xDE: return modrm < 0xD8 || modrm == 0xD9 || modrm >= 0xE0;
    case 0xDF: return modrm >= 0xC8 && (modrm < 0xE0 || (modrm >= 0xE8 && modrm < 0xF8));
    default: return true;
    }
}

static unsigned list_operations(struct operation *list)
{
    unsigned count = 0;

    for (unsigned opcode = 0xD8; opcode < 0xE0; opcode++) {
        for (unsigned reg = 0; reg < 8; reg++)
            if (memory_forms[opcode & 7] >> reg & 1)
                list[count++] = (struct operation){(uint8_t)opcode, (uint8_t)(reg << 3)};
        for (unsigned modrm = 0xC0; modrm < 0x100; modrm++)
            if (register_form((uint8_t)opcode, (uint8_t)modrm))
                list[count++] = (struct operation){(uint8_t)opcode, (uint8_t)modrm};
    }
    return count;
}

static void fill_memory(struct soft_random *r, struct operation o, uint8_t *memory)
{
    struct cpu_x87_register f80 = soft_operand80(r);
    uint64_t f64 = soft_operand(r, &soft_f64), f32 = soft_operand(r, &soft_f32), integer = soft_random(r);

    memset(memory, 0xA5, 16);
    if (o.opcode == 0xDB && o.modrm == 5 << 3) {
        memcpy(memory, &f80.significand, 8);
        memcpy(memory + 8, &f80.sign_exponent, 2);
    } else if (o.opcode == 0xDF && o.modrm == 4 << 3) {
        for (unsigned n = 0; n < 9; n++)
            memory[n] = (uint8_t)(soft_pick(r, 10) << 4 | soft_pick(r, 10));
        memory[9] = (uint8_t)soft_random(r);
    } else if (o.opcode & 2) {
        integer = soft_pick(r, 2) ? integer : soft_fraction(r, 64);
        memcpy(memory, &integer, 8);
    } else if (o.opcode & 4) {
        memcpy(memory, &f64, 8);
    } else {
        memcpy(memory, &f32, 4);
    }
}

static struct fp_x87 random_state(struct soft_random *r)
{
    struct fp_x87 x = {.fcw = (uint16_t)(0x40 | (soft_random(r) & 0x1F3F)), .fsw = (uint16_t)(soft_random(r) & 0x7F7F)};

    if (soft_pick(r, 2))
        x.fcw |= 0x3F;
    x.fsw &= (uint16_t) ~(~x.fcw & 0x3F); /* nothing pending */
    x.ftw = soft_pick(r, 4) ? 0xFF : (uint8_t)soft_random(r);
    if (soft_pick(r, 2)) /* room to push */
        x.ftw &= (uint8_t) ~(1u << (((x.fsw >> 11) - 1) & 7));
    x.rflags = soft_random(r) & 0x8D5;
    for (unsigned n = 0; n < 8; n++)
        x.fpr[n] = soft_operand80(r);
    if (!soft_pick(r, 4)) /* near one another */
        x.fpr[x.fsw >> 11 & 7].sign_exponent =
            (uint16_t)(x.fpr[((x.fsw >> 11) + 1) & 7].sign_exponent + soft_pick(r, 5) - 2);
    return x;
}

static bool close_to(struct cpu_x87_register a, struct cpu_x87_register b)
{
    __int128 u = ((__int128)(a.sign_exponent & 0x7FFF) << 63) + (int64_t)(a.significand & INT64_MAX);
    __int128 v = ((__int128)(b.sign_exponent & 0x7FFF) << 63) + (int64_t)(b.significand & INT64_MAX);
    return (a.sign_exponent ^ b.sign_exponent) < 0x8000 && u - v <= 1 && v - u <= 1;
}

/* Which operands the manual defines a result for, and Intel's silicon is accurate with. */
static bool transcendental_defined(struct operation o, const struct fp_x87 *x)
{
    const struct cpu_x87_register *st0 = &x->fpr[x->fsw >> 11 & 7];
    unsigned exponent = st0->sign_exponent & 0x7FFF;

    if (exponent == 0x7FFF || !st0->significand)
        return true;
    switch (o.modrm) {
    case 0xF0: return exponent < 0x3FFF;
    case 0xF9: return exponent < 0x3FFD;
    case 0xF2:
    case 0xFB:
    case 0xFE:
    case 0xFF: return exponent > 1 && exponent < 0x3FFF + 40; /* at the edge of underflow silicon rounds otherwise */
    default: return true;
    }
}

/* Where one unit of the last place decides about overflow or underflow. */
static bool on_the_edge(const struct fp_x87 *host)
{
    unsigned exponent = host->fpr[host->fsw >> 11 & 7].sign_exponent & 0x7FFF;
    return exponent == 1 || exponent == 0x7FFE || exponent == 0x5FFF || exponent == 0x6000;
}

static bool same(struct operation o, const struct fp_x87 *before, const struct fp_x87 *a, const struct fp_x87 *b,
                 const uint8_t *ma, const uint8_t *mb)
{
    uint16_t fsw_mask = 0xFFFF;

    if (is_transcendental(o)) {
        if (!transcendental_defined(o, before) || on_the_edge(a))
            return true;
        fsw_mask =
            (uint16_t) ~(FSW_C1 | ((before->fpr[before->fsw >> 11 & 7].sign_exponent & 0x7FFF) < 2 ? FSW_UE : 0));
    }
    if (((a->fsw ^ b->fsw) & fsw_mask) || a->ftw != b->ftw || a->rflags != b->rflags || memcmp(ma, mb, 16))
        return false;
    for (unsigned n = 0; n < 8; n++)
        if (a->fpr[n].significand != b->fpr[n].significand || a->fpr[n].sign_exponent != b->fpr[n].sign_exponent)
            if (!is_transcendental(o) || !close_to(a->fpr[n], b->fpr[n]))
                return false;
    return true;
}

static void print_state(const char *name, const struct fp_x87 *x, const uint8_t *memory)
{
    unsigned top = x->fsw >> 11 & 7;
    printf("  %-6s fcw %04x fsw %04x ftw %02x flags %x m", name, x->fcw, x->fsw, x->ftw, x->rflags);
    for (unsigned n = 10; n-- > 0;)
        printf("%02x", memory[n]);
    for (unsigned n = 0; n < 8; n++)
        if (n < 3 || n == 7)
            printf(" st%u %04x:%016" PRIx64, n, x->fpr[(top + n) & 7].sign_exponent, x->fpr[(top + n) & 7].significand);
    puts("");
}

static bool check_one(struct soft_random *r, struct operation o)
{
    struct fp_x87 before = random_state(r), host, soft;
    uint8_t memory[16], host_memory[16], soft_memory[16];
    uint16_t fcw;

    fill_memory(r, o, memory);
    memcpy(host_memory, memory, 16);
    memcpy(soft_memory, memory, 16);
    host = soft = before;
    __asm__ volatile("fnstcw %0" : "=m"(fcw));
    fp_x87_execute_host(&host, o.opcode, o.modrm, host_memory);
    __asm__ volatile("fnclex\n\tfldcw %0" : : "m"(fcw));
    fp_x87_execute_soft(&soft, o.opcode, o.modrm, soft_memory);
    if (same(o, &before, &host, &soft, host_memory, soft_memory))
        return true;
    printf("%02x /%u %02x (%s)\n", o.opcode, o.modrm >> 3 & 7, o.modrm, o.modrm < 0xC0 ? "memory" : "register");
    print_state("before", &before, memory);
    print_state("host", &host, host_memory);
    print_state("soft", &soft, soft_memory);
    return false;
}

static struct operation operations[8 * 72];

START_TEST(test_every_instruction)
{
    struct soft_random r = {soft_setting("VMRR_SOFT_SEED", 1) + (uint64_t)_i * 0x1234567};
    uint64_t cases = soft_cases() / 16;
    unsigned bad = 0;

    for (uint64_t n = 0; n < cases && bad < 3; n++)
        bad += !check_one(&r, operations[_i]);
    ck_assert_uint_eq(bad, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("x87 in software against the host's");
    TCase *tc = tcase_create("instructions");

    tcase_add_loop_test(tc, test_every_instruction, 0, (int)list_operations(operations));
    tcase_set_timeout(tc, 600);
    suite_add_tcase(suite, tc);
    return run_suite(suite, CK_NOFORK);
}
#else
int main(void)
{
    puts("not an x86 host: nothing to compare with");
    return 77;
}
#endif
