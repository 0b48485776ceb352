/* Long mode: faults with their error codes, page tables changed under the CPU, NX, a software-walked mapping. */
#include "guest.h"

extern uint64_t directories[4][512];

static volatile unsigned last_vector;
static volatile uintptr_t last_error, last_cr2;
static uintptr_t resume;

static void on_exception(unsigned vector, uintptr_t error, uintptr_t *rip)
{
    uintptr_t cr2;
    __asm__ volatile("mov %%cr2, %0" : "=r"(cr2));
    last_vector = vector;
    last_error = error;
    last_cr2 = cr2;
    *rip = resume;
}

#define TRY(code, ...)                                                                                                 \
    do {                                                                                                               \
        last_vector = 255;                                                                                             \
        __asm__ volatile("leaq 9f(%%rip), %%rax; movq %%rax, %0;" code "; 9:"                                          \
                         : "=m"(resume)                                                                                \
                         : __VA_ARGS__                                                                                 \
                         : "rax", "rcx", "rdx", "memory");                                                             \
    } while (0)

static void expect(const char *what, unsigned vector, uintptr_t error)
{
    if (last_vector == vector && last_error == error)
        return;
    guest_print("%s: vector %u error %x, expected %u %x\n", what, last_vector, (uint32_t)last_error, vector,
                (uint32_t)error);
    guest_exit(2);
}

static void flush(void)
{
    __asm__ volatile("mov %%cr3, %%rax; mov %%rax, %%cr3" ::: "rax", "memory");
}

/* What FXSAVE leaves behind the registers is not the same on all KVMs: it is for the digests, beside the filling before. */
static void save_floating_state(void)
{
    static uint8_t image[512] __attribute__((aligned(16)));
    for (unsigned n = 0; n < sizeof image; n++)
        image[n] = 0xA5;
    __asm__ volatile("fxsave64 %0" : "+m"(image));
    if (image[24] != 0x80 || image[25] != 0x1F) /* MXCSR */
        guest_exit(6);
}

void guest_main(void)
{
    guest_interrupts_init();
    guest_exception = on_exception;
    volatile uint8_t *page = (volatile uint8_t *)(uintptr_t)0x3000000; /* 48 MiB, a 2 MiB page of its own */
    volatile uint64_t *entry = &directories[0][0x3000000 >> 21];

    TRY("ud2", "r"(0));
    expect("ud2", 6, 0);
    TRY("xorl %%edx, %%edx; xorl %%ecx, %%ecx; divl %%ecx", "r"(0));
    expect("divide", 0, 0);
    TRY("movq %1, %%rcx; movb (%%rcx), %%al", "r"(0x8000000000000000ull));
    expect("non-canonical", 13, 0);
    TRY("movl $0x1234, %%eax; movw %%ax, %%fs", "r"(0));
    expect("bad selector", 13, 0x1234);
    TRY("int3", "r"(0));
    expect("int3", 3, 0);
    TRY("int $0x50", "r"(0));
    expect("idt limit", 13, 0x50 * 8 + 2);

    page[0] = 0xC3;
    *entry &= ~1ull;
    flush();
    TRY("movb (%1), %%al", "r"(page));
    expect("not present, read", 14, 0);
    TRY("movb %%al, 5(%1)", "r"(page));
    expect("not present, write", 14, 2);
    if (last_cr2 != (uintptr_t)page + 5)
        guest_exit(3);
    *entry |= 1;
    TRY("movb (%1), %%al", "r"(page));
    expect("mapped again without a flush", 255, last_error);
    *entry &= ~2ull;
    flush();
    TRY("movb %%al, 1(%1)", "r"(page));
    expect("read-only", 14, 3);
    *entry |= 2;
    *entry |= 1ull << 63;
    flush();
    TRY("call *%1", "r"(page));
    expect("no execute", 14, 0x11);
    *entry &= ~(1ull << 63);
    *entry &= ~0x60ull;
    flush();
    (void)page[0];
    if ((*entry & 0x60) != 0x20)
        guest_exit(4);
    page[1] = 1;
    if ((*entry & 0x60) != 0x60)
        guest_exit(5);
    save_floating_state();
    guest_print("exceptions64: all as expected, tsc %X\n", rdtsc());
    guest_exit(0);
}
