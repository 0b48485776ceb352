/* Code that changes code: the next instruction of the same block, a block that runs many times, through an alias of the page,
 * at the end of a page, and by DMA. Built for 32 and 64 bit. */
#include "guest.h"

#define PAGE 4096

static uint8_t code[4 * PAGE] __attribute__((aligned(PAGE)));

/* mov $imm, %eax; ret */
static void emit_return(uint8_t *at, uint32_t value)
{
    at[0] = 0xB8;
    for (unsigned n = 0; n < 4; n++)
        at[1 + n] = (uint8_t)(value >> (8 * n));
    at[5] = 0xC3;
}

static uint32_t call(const void *at)
{
    uint32_t (*function)(void) = (uint32_t(*)(void))(uintptr_t)at;
    return function();
}

static void expect(const char *what, uint32_t got, uint32_t wanted)
{
    if (got == wanted)
        return;
    guest_print("%s: got %x, expected %x\n", what, got, wanted);
    guest_exit(2);
}

/* A store into the immediate of the instruction right behind it, same block, over and over. */
static uint32_t same_block(uint32_t rounds)
{
    uint32_t sum = 0;
    for (uint32_t n = 0; n < rounds; n++) {
        uint32_t value;
        __asm__ volatile("movl %1, 1f + 1\n"
                         "1: movl $0x11111111, %%eax\n"
                         "movl %%eax, %0"
                         : "=r"(value)
                         : "r"(n * 3)
                         : "eax", "memory");
        sum += value == n * 3;
    }
    return sum;
}

/* REP MOVSB over the instructions that follow it. */
static uint32_t by_string(void)
{
    static const uint8_t nops[8] = {0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90};
    uint32_t value;
    const void *from = nops;
    __asm__ volatile("movl $1, %%eax\n"
#ifdef __x86_64__
                     "leaq 1f(%%rip), %%rdi\n"
#else
                     "movl $1f, %%edi\n"
#endif
                     "movl $5, %%ecx\n"
                     "rep movsb\n"
                     "1: movl $2, %%eax\n" /* five bytes, gone before they run */
                     "movl %%eax, %0"
                     : "=r"(value), "+S"(from)
                     :
                     : "eax", "ecx", "edi", "memory");
    return value;
}

void guest_main(void)
{
    guest_interrupts_init();
    expect("same block", same_block(100000), 100000);
    expect("by string", by_string(), 1);

    uint32_t sum = 0;
    for (uint32_t n = 0; n < 20000; n++) {
        emit_return(code, n);
        sum += call(code) == n;
    }
    expect("block", sum, 20000);

    /* An instruction that crosses a page, changed on either side. */
    uint8_t *cross = code + PAGE - 3;
    for (uint32_t n = 0; n < 2000; n++) {
        emit_return(cross, 0x01010101u * (n & 0xFF));
        expect("cross", call(cross), 0x01010101u * (n & 0xFF));
        code[PAGE + 1] ^= 0xFF; /* the immediate's last byte lies on the second page */
        expect("second page", call(cross), (0x01010101u * (n & 0xFF)) ^ 0xFF000000u);
    }

    /* Code from the disk, by DMA over code that has run. */
    if (ide_init()) {
        uint8_t *target = code + 2 * PAGE;
        outb(0x3F6, 2);
        for (uint32_t n = 0; n < 50; n++) {
            emit_return(code, 0xD0000000u + n);
            ide_start(true, n, 1, code);
            while (ide_busy())
                ;
            ide_finish();
        }
        for (uint32_t n = 0; n < 50; n++) {
            emit_return(target, 7);
            expect("before DMA", call(target), 7);
            ide_start(false, n, 1, target);
            while (ide_busy())
                ;
            ide_finish();
            expect("after DMA", call(target), 0xD0000000u + n);
        }
    }
    guest_print("self-modifying: all as expected, tsc %X\n", rdtsc());
    guest_exit(0);
}
