/* A tiny freestanding runtime for bare-metal test guests: multiboot start, COM1 output, ports, interrupts, exit.
 * 32-bit guests are built with -m32, 64-bit ones with -m64 and start64.S. Output goes to COM1; guest_exit(n) leaves through
 * isa-debug-exit, which makes vmrr's exit code (n << 1) | 1. */
#ifndef VMRR_TESTS_GUESTS_GUEST_H
#define VMRR_TESTS_GUESTS_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline void outb(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outw(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port));
}
static inline void outl(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" ::"a"(value), "Nd"(port));
}
static inline uint8_t inb(uint16_t port)
{
    uint8_t value;
    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint16_t inw(uint16_t port)
{
    uint16_t value;
    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
static inline uint32_t inl(uint16_t port)
{
    uint32_t value;
    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}
/* Does CPUID say how fast the TSC is? An accelerator that can't control the counter does not, and who reads it all the same gets
 * the host's. Then time is counted by the PIT. */
static inline bool has_tsc(void)
{
    uint32_t a = 0, b, c = 0, d;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    if (a < 0x15)
        return false;
    a = 1;
    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return d & 1u << 4;
}
uint64_t guest_ticks(void); /* nanoseconds by the PIT's channel 2, which it starts; call it every 50 ms at least */
static inline uint64_t rdtsc(void)
{
    if (!has_tsc())
        return guest_ticks();
    uint32_t low, high;
    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}
static inline void interrupts_on(void)
{
    __asm__ volatile("sti" ::: "memory");
}
static inline void interrupts_off(void)
{
    __asm__ volatile("cli" ::: "memory");
}
static inline void wait_for_interrupt(void)
{
    __asm__ volatile("sti; hlt; cli" ::: "memory");
}

void guest_print(const char *format, ...); /* %s %u %x (32 bits) %X (64 bits) %c */
_Noreturn void guest_exit(unsigned code);
void guest_main(void);
void guest_start(void); /* called by start*.S */

/* Interrupts. Vectors 0 to 31: guest_exception is called with the vector, error code and the address of the interrupted RIP
 * on the stack (which it may change). 32 to 47: the 8259 pair, remapped; handlers run with interrupts off. */
void guest_interrupts_init(void);
void guest_irq_handler(unsigned irq, void (*handler)(void));
void guest_irq_unmask(unsigned irq);
extern void (*guest_exception)(unsigned vector, uintptr_t error, uintptr_t *rip);

/* The bus-master IDE of the PIIX3, primary master. Sectors of 512 bytes, at most 128 a call; buffers below 4 GiB, not across
 * 64 KiB. ide_start returns at once; the end shows as IRQ 14 or in ide_busy. */
bool ide_init(void);
void ide_start(bool write, uint32_t lba, unsigned sectors, void *buffer);
bool ide_busy(void);   /* polls the bus master's and the drive's status */
bool ide_finish(void); /* acknowledges; false on an error */
void ide_flush(void);

#endif
