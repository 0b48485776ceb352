/* Floating point: thousands of x87 and SSE operations on random operands under random control words, masked and unmasked, all
 * their results and flags in a hash. What is tested is that another build (soft-float, arm64) comes to the same one when
 * it replays; the transcendental functions' last bits differ with the host's maker, so no hash is expected here. */
#include "guest.h"

struct operands {
    uint8_t f80[3][16], f64[2][16], f32[2][16];
    uint8_t out[4][16];
    uint32_t mxcsr;
    uint16_t fcw;
} __attribute__((aligned(16)));
static struct operands m;
static uint64_t random_state = 1, hash = 0xCBF29CE484222325ull;

static uint32_t random32(void)
{
    random_state = random_state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(random_state >> 32);
}

static void add_to_hash(const void *bytes, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        hash = (hash ^ ((const uint8_t *)bytes)[n]) * 0x100000001B3ull;
}

static void put16(uint8_t *at, uint32_t v)
{
    at[0] = (uint8_t)v;
    at[1] = (uint8_t)(v >> 8);
}

/* Exponents near one another, and now and then the ends. */
static uint32_t exponent(uint32_t bias)
{
    switch (random32() % 16) {
    case 0: return 0;
    case 1: return 2 * bias + 1;
    case 2: return 1 + random32() % 3;
    case 3: return 2 * bias - random32() % 3;
    default: return bias - 8 + random32() % 17;
    }
}

static void fill(void)
{
    for (unsigned n = 0; n < sizeof m.f80 + sizeof m.f64 + sizeof m.f32; n++)
        ((uint8_t *)&m)[n] = (uint8_t)random32();
    for (unsigned n = 0; n < 3; n++) {
        if (random32() % 16)
            m.f80[n][7] |= 0x80;
        put16(m.f80[n] + 8, exponent(0x3FFF) | (random32() & 0x8000));
    }
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned at = 6; at < 16; at += 8)
            put16(m.f64[n] + at, exponent(1023) << 4 | (random32() & 0x800F));
        for (unsigned at = 2; at < 16; at += 4)
            put16(m.f32[n] + at, exponent(127) << 7 | (random32() & 0x807F));
    }
    m.mxcsr = 0x1F80 | (random32() & 0xE000) | (random32() % 4 ? 0 : 0x40);
    m.fcw = (uint16_t)(0x40 | (random32() & 0xF00) | (random32() % 3 ? 0x3F : random32() & 0x3F));
}

/* ST0 and ST1 are loaded under full masks, the operation runs under the random word, and FNSAVE, which does not wait for a
 * pending exception, takes what it did. */
static uint8_t image[108];
#define X87(n, insn)                                                                                                   \
    case n:                                                                                                            \
        __asm__ volatile("fninit\n\tfldt 16(%0)\n\tfldt (%0)\n\tfldcw %1\n\t" insn "\n\tfnsave %2"                     \
                         :                                                                                             \
                         : "r"(&m), "m"(m.fcw), "m"(image)                                                             \
                         : "memory");                                                                                  \
        break;
static void x87(unsigned n)
{
    switch (n) {
        X87(0, "fadd %%st(1)")
        X87(1, "fsub %%st(1)")
        X87(2, "fmul %%st(1)")
        X87(3, "fdiv %%st(1)")
        X87(4, "fsqrt")
        X87(5, "frndint")
        X87(6, "fprem")
        X87(7, "fprem1")
        X87(8, "fscale")
        X87(9, "fxtract")
        X87(10, "fcom %%st(1)")
        X87(11, "faddl 48(%0)")
        X87(12, "fmuls 80(%0)")
        X87(13, "fidivl 32(%0)")
        X87(14, "fisubrs 32(%0)")
        X87(15, "fstpl 112(%0)")
        X87(16, "fstps 112(%0)")
        X87(17, "fistpll 112(%0)")
        X87(18, "fistpl 112(%0)")
        X87(19, "fistps 112(%0)")
        X87(20, "fbstp 112(%0)")
        X87(21, "fldl 48(%0)")
        X87(22, "flds 80(%0)")
        X87(23, "fldpi")
        X87(24, "fucomi %%st(1)")
        X87(25, "fdivrp")
        X87(26, "fxch %%st(3)") /* empty */
        X87(27, "fsin")
        X87(28, "fcos")
        X87(29, "fsincos")
        X87(30, "fptan")
        X87(31, "fpatan")
        X87(32, "f2xm1")
        X87(33, "fyl2x")
        X87(34, "fyl2xp1")
    }
}
enum { X87_EXACT = 27, X87_ALL = 35 };

#define SSE(n, insn, operand)                                                                                          \
    case n:                                                                                                            \
        __asm__ volatile("ldmxcsr %1\n\tmovaps " operand "(%0), %%xmm0\n\t" insn " 16+" operand                        \
                         "(%0), %%xmm0\n\tmovaps %%xmm0, 112(%0)\n\tstmxcsr %1"                                        \
                         :                                                                                             \
                         : "r"(&m), "m"(m.mxcsr)                                                                       \
                         : "memory");                                                                                  \
        break;
#define PS "80"
#define PD "48"
static void sse(unsigned n)
{
    switch (n) {
        SSE(0, "addps", PS)
        SSE(1, "subps", PS)
        SSE(2, "mulps", PS)
        SSE(3, "divps", PS)
        SSE(4, "sqrtps", PS)
        SSE(5, "minps", PS)
        SSE(6, "maxps", PS)
        SSE(7, "cmpltps", PS)
        SSE(8, "cvtps2dq", PS)
        SSE(9, "cvttps2dq", PS)
        SSE(10, "cvtps2pd", PS)
        SSE(11, "cvtdq2ps", PS)
        SSE(12, "addpd", PD)
        SSE(13, "subpd", PD)
        SSE(14, "mulpd", PD)
        SSE(15, "divpd", PD)
        SSE(16, "sqrtpd", PD)
        SSE(17, "minpd", PD)
        SSE(18, "maxpd", PD)
        SSE(19, "cmpnlepd", PD)
        SSE(20, "cvtpd2ps", PD)
        SSE(21, "cvtpd2dq", PD)
        SSE(22, "addss", PS)
        SSE(23, "divsd", PD)
        SSE(24, "cvtsd2ss", PD)
        SSE(25, "rcpps", PS)
        SSE(26, "rsqrtss", PS)
    }
}
enum { SSE_ALL = 27 };

static void run(const char *name, void (*operation)(unsigned n), unsigned first, unsigned end, unsigned rounds)
{
    for (unsigned round = 0; round < rounds; round++)
        for (unsigned n = first; n < end; n++) {
            fill();
            operation(n);
            add_to_hash(image, sizeof image);
            add_to_hash(m.out, sizeof m.out);
            add_to_hash(&m.mxcsr, 4);
        }
    guest_print("%s %X\n", name, hash);
}

static void enable(void)
{
    uintptr_t cr0, cr4;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    __asm__ volatile("mov %0, %%cr0" : : "r"((cr0 & ~(uintptr_t)0xC) | 0x22)); /* EM, TS; MP, NE */
    __asm__ volatile("mov %0, %%cr4" : : "r"(cr4 | 0x600));                    /* OSFXSR, OSXMMEXCPT */
}

void guest_main(void)
{
    enable();
    run("x87:", x87, 0, X87_EXACT, 600);
    run("sse:", sse, 0, SSE_ALL, 600);
    run("transcendental:", x87, X87_EXACT, X87_ALL, 300);
    guest_print("floating: all as expected\n");
    guest_exit(0);
}
