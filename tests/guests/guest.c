/* See guest.h. */
#include "guest.h"

#include <stdarg.h>

#define COM1 0x3F8

void guest_start(void)
{
    outb(COM1 + 3, 3); /* 8N1 */
    guest_main();
    guest_exit(0);
}

uint64_t guest_ticks(void)
{
    static uint64_t clocks;
    static uint16_t before;
    static bool started;
    if (!started) {
        started = true;
        outb(0x61, (uint8_t)((inb(0x61) & ~2) | 1)); /* the gate, without the speaker */
        outb(0x43, 0xB4);                            /* channel 2, mode 2 */
        outb(0x42, 0);
        outb(0x42, 0);
    }
    outb(0x43, 0x80);
    uint16_t now = inb(0x42);
    now = (uint16_t)(now | inb(0x42) << 8);
    clocks += (uint16_t)(before - now);
    before = now;
    return clocks * 838;
}

static void put(char c)
{
    while (!(inb(COM1 + 5) & 0x20))
        ;
    outb(COM1, (uint8_t)c);
}

static void put_number(uint64_t value, unsigned base)
{
    char digits[24];
    unsigned count = 0;
    do {
        /* No 64-bit division in a 32-bit guest without libgcc: shifts for hex, 32 bits for decimal. */
        unsigned digit = base == 16 ? (unsigned)(value & 15) : (unsigned)((uint32_t)value % 10);
        digits[count++] = "0123456789abcdef"[digit];
        value = base == 16 ? value >> 4 : (uint32_t)value / 10;
    } while (value);
    while (count)
        put(digits[--count]);
}

void guest_print(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    for (; *format; format++) {
        if (*format != '%') {
            put(*format);
            continue;
        }
        switch (*++format) {
        case 's':
            for (const char *text = va_arg(arguments, const char *); *text; text++)
                put(*text);
            break;
        case 'u': put_number(va_arg(arguments, uint32_t), 10); break;
        case 'x': put_number(va_arg(arguments, uint32_t), 16); break;
        case 'X': put_number(va_arg(arguments, uint64_t), 16); break;
        case 'c': put((char)va_arg(arguments, int)); break;
        default: put(*format); break;
        }
    }
    va_end(arguments);
}

_Noreturn void guest_exit(unsigned code)
{
    outb(0xF4, (uint8_t)code);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- interrupts ---- */

struct gate {
    uint16_t offset_low, selector;
    uint16_t attributes, offset_middle;
#ifdef __x86_64__
    uint32_t offset_high, reserved;
#endif
} __attribute__((packed));

extern const uintptr_t interrupt_stubs[48];
static struct gate idt[48];
static void (*irq_handlers[16])(void);
void (*guest_exception)(unsigned vector, uintptr_t error, uintptr_t *rip);
void guest_interrupt(uintptr_t vector, uintptr_t error, uintptr_t *rip);

void guest_interrupt(uintptr_t vector, uintptr_t error, uintptr_t *rip)
{
    if (vector < 32) {
        if (!guest_exception) {
            guest_print("unexpected exception %u error %x at %X\n", (uint32_t)vector, (uint32_t)error, (uint64_t)*rip);
            guest_exit(99);
        }
        guest_exception((unsigned)vector, error, rip);
        return;
    }
    unsigned irq = (unsigned)vector - 32;
    if (irq_handlers[irq])
        irq_handlers[irq]();
    if (irq >= 8)
        outb(0xA0, 0x20);
    outb(0x20, 0x20);
}

void guest_interrupts_init(void)
{
    struct {
        uint16_t limit;
        uintptr_t base;
    } __attribute__((packed)) pointer = {sizeof idt - 1, (uintptr_t)idt};
    for (unsigned n = 0; n < 48; n++) {
        uintptr_t stub = interrupt_stubs[n];
        idt[n] = (struct gate){.offset_low = (uint16_t)stub,
                               .selector = 0x08,
                               .attributes = 0x8E00,
                               .offset_middle = (uint16_t)(stub >> 16)};
#ifdef __x86_64__
        idt[n].offset_high = (uint32_t)(stub >> 32);
#endif
    }
    __asm__ volatile("lidt %0" ::"m"(pointer));
    outb(0x20, 0x11);
    outb(0xA0, 0x11);
    outb(0x21, 32);
    outb(0xA1, 40);
    outb(0x21, 4);
    outb(0xA1, 2);
    outb(0x21, 1);
    outb(0xA1, 1);
    outb(0x21, 0xFB);
    outb(0xA1, 0xFF);
}

void guest_irq_handler(unsigned irq, void (*handler)(void))
{
    irq_handlers[irq] = handler;
}

void guest_irq_unmask(unsigned irq)
{
    uint16_t port = irq < 8 ? 0x21 : 0xA1;
    outb(port, inb(port) & (uint8_t) ~(1u << (irq & 7)));
}

/* ---- IDE ---- */

static uint16_t bus_master;
static struct {
    uint32_t address;
    uint16_t size;
    uint16_t flags;
} __attribute__((packed, aligned(16))) prd;

static uint32_t pci_read(unsigned function, unsigned offset)
{
    outl(0xCF8, 0x80000000u | 1u << 11 | function << 8 | (offset & 0xFC));
    return inl(0xCFC);
}

static void pci_write(unsigned function, unsigned offset, uint32_t value)
{
    outl(0xCF8, 0x80000000u | 1u << 11 | function << 8 | (offset & 0xFC));
    outl(0xCFC, value);
}

bool ide_init(void)
{
    if (pci_read(1, 0) != 0x70108086)
        return false;
    if (!(pci_read(1, 0x20) & 0xFFF0))
        pci_write(1, 0x20, 0xC000);
    pci_write(1, 4, 5);             /* I/O, bus master */
    pci_write(1, 0x40, 0x80008000); /* both channels decode */
    bus_master = (uint16_t)(pci_read(1, 0x20) & 0xFFF0);
    outb(0x1F6, 0xE0);
    outb(0x3F6, 0);
    return inb(0x1F7) == 0x50; /* DRDY, DSC: a drive, idle; without one 7Fh or FFh */
}

void ide_start(bool write, uint32_t lba, unsigned sectors, void *buffer)
{
    prd.address = (uint32_t)(uintptr_t)buffer;
    prd.size = (uint16_t)(sectors * 512);
    prd.flags = 0x8000;
    outb(bus_master, 0);
    outl(bus_master + 4, (uint32_t)(uintptr_t)&prd);
    outb(bus_master + 2, inb(bus_master + 2) | 6);
    outb(bus_master, write ? 0 : 8);
    outb(0x1F6, 0xE0 | (lba >> 24 & 15));
    outb(0x1F2, (uint8_t)sectors);
    outb(0x1F3, (uint8_t)lba);
    outb(0x1F4, (uint8_t)(lba >> 8));
    outb(0x1F5, (uint8_t)(lba >> 16));
    outb(0x1F7, write ? 0xCA : 0xC8);
    outb(bus_master, write ? 1 : 9);
}

bool ide_busy(void)
{
    /* The bus master may be through with its descriptors while the drive still writes. */
    return (inb(bus_master + 2) & 5) == 1 || (inb(0x3F6) & 0x80);
}

bool ide_finish(void)
{
    uint8_t status = inb(bus_master + 2);
    outb(bus_master, 0);
    outb(bus_master + 2, status | 6);
    return !(inb(0x1F7) & 0x21) && !(status & 2);
}

void ide_flush(void)
{
    outb(0x3F6, 2); /* polled: its interrupt would be taken for a transfer's */
    outb(0x1F6, 0xE0);
    outb(0x1F7, 0xE7);
    while (inb(0x1F7) & 0x80)
        ;
    outb(0x3F6, 0);
}
