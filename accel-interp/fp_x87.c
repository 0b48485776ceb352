/* fp.h's x87 as whole instructions, on the host's x87: the guest's register stack is loaded with FRSTOR, the one
 * instruction is called out of a table that holds every register and every [RDI] form, and FNSAVE takes the state back
 * before a pending exception could trap (neither it nor RET waits). What the guest sees - stack faults, tags, condition
 * codes, unmasked responses - is the silicon's by construction. Some hundreds of cycles: for the rare cases.
 *
 * FIP, FDP and FOP are not taken from here: exec_x87.c keeps them. */
#include "accel-interp/flags.h"
#include "accel-interp/fp.h"

#include <string.h>

#if defined(__x86_64__)

struct x87_image {
    uint32_t fcw, fsw, ftw, fip, fcs_fop, fdp, fds;
    uint8_t st[8][10];
    uint8_t pad[4];
};

/* Four bytes an entry: opcode, ModRM, RET, pad. Register forms: (opcode - D8) * 64 + (modrm - C0). Memory forms:
 * (opcode - D8) * 8 + reg, operand at [RDI]. */
__asm__(".pushsection .text\n"
        ".balign 16\n"
        "fp_x87_register_forms:\n"
        ".set fp_op, 0xD8\n"
        ".rept 8\n"
        ".set fp_modrm, 0xC0\n"
        ".rept 64\n"
        ".byte fp_op, fp_modrm, 0xC3, 0xCC\n"
        ".set fp_modrm, fp_modrm + 1\n"
        ".endr\n"
        ".set fp_op, fp_op + 1\n"
        ".endr\n"
        "fp_x87_memory_forms:\n"
        ".set fp_op, 0xD8\n"
        ".rept 8\n"
        ".set fp_modrm, 0x07\n"
        ".rept 8\n"
        ".byte fp_op, fp_modrm, 0xC3, 0xCC\n"
        ".set fp_modrm, fp_modrm + 8\n"
        ".endr\n"
        ".set fp_op, fp_op + 1\n"
        ".endr\n"
        ".popsection\n");
extern const uint8_t fp_x87_register_forms[8 * 64 * 4] __attribute__((visibility("hidden")));
extern const uint8_t fp_x87_memory_forms[8 * 8 * 4] __attribute__((visibility("hidden")));

static unsigned top_of(uint16_t fsw)
{
    return (fsw & FSW_TOP) >> FSW_TOP_SHIFT;
}

static void image_put(struct x87_image *image, const struct fp_x87 *x)
{
    unsigned top = top_of(x->fsw);

    memset(image, 0, sizeof *image);
    image->fcw = x->fcw;
    image->fsw = x->fsw;
    for (unsigned n = 0; n < 8; n++) {
        const struct cpu_x87_register *reg = &x->fpr[(top + n) & 7];
        if (!(x->ftw >> n & 1))
            image->ftw |= 3u << (2 * n);
        memcpy(image->st[n], &reg->significand, 8);
        memcpy(image->st[n] + 8, &reg->sign_exponent, 2);
    }
}

static void image_get(const struct x87_image *image, struct fp_x87 *x)
{
    unsigned top;

    x->fsw = (uint16_t)image->fsw;
    x->ftw = 0;
    top = top_of(x->fsw);
    for (unsigned n = 0; n < 8; n++) {
        struct cpu_x87_register *reg = &x->fpr[(top + n) & 7];
        if ((image->ftw >> (2 * n) & 3) != 3)
            x->ftw |= (uint8_t)(1u << n);
        memcpy(&reg->significand, image->st[n], 8);
        memcpy(&reg->sign_exponent, image->st[n] + 8, 2);
    }
}

void fp_x87_execute_host(struct fp_x87 *x, uint8_t opcode, uint8_t modrm, void *memory)
{
    struct x87_image image;
    const uint8_t *code;
    uint64_t rflags = (x->rflags & FLAG_ARITH) | FLAG_FIXED | FLAG_IF;

    if (modrm >= 0xC0)
        code = fp_x87_register_forms + ((opcode & 7u) * 64 + (modrm & 63u)) * 4;
    else
        code = fp_x87_memory_forms + ((opcode & 7u) * 8 + (modrm >> 3 & 7u)) * 4;
    image_put(&image, x);
    /* The stack pointer steps over the red zone, where the compiler may keep its own. */
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t"
                     "frstor (%[image])\n\t"
                     "pushq %[rflags]\n\t"
                     "popfq\n\t"
                     "call *%[code]\n\t"
                     "pushfq\n\t"
                     "popq %[rflags]\n\t"
                     "fnsave (%[image])\n\t"
                     "leaq 128(%%rsp), %%rsp"
                     : [rflags] "+r"(rflags)
                     : [image] "r"(&image), [code] "r"(code), "D"(memory)
                     : "memory", "cc", "rax");
    image_get(&image, x);
    x->rflags = (uint32_t)rflags & FLAG_ARITH;
}

#endif

uint16_t fp_x87_full_tags(const struct cpu_state *s)
{
    unsigned tags = 0;

    for (unsigned n = 0; n < 8; n++) {
        unsigned exponent = s->fpr[n].sign_exponent & 0x7FFFu, tag = 0;
        uint64_t significand = s->fpr[n].significand;
        if (!(s->ftw >> n & 1))
            tag = 3;
        else if (exponent == 0 && significand == 0)
            tag = 1;
        else if (exponent == 0 || exponent == 0x7FFF || !(significand >> 63))
            tag = 2;
        tags |= tag << (2 * n);
    }
    return (uint16_t)tags;
}
