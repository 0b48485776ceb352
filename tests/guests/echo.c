/* Types back what comes in on COM1, by interrupt, halted in between; a line "quit" ends it. The TSC says when each line
 * came. */
#include "guest.h"

static volatile char line[128];
static volatile unsigned length;
static volatile bool complete;

static void on_serial(void)
{
    while (inb(0x3FA) != 0xC1) { /* FIFOs on, nothing pending */
        while (inb(0x3FD) & 1) {
            char c = (char)inb(0x3F8);
            if (c == '\n' || c == '\r')
                complete = true;
            else if (length < sizeof line - 1)
                line[length++] = c;
        }
    }
}

static bool is(const char *text)
{
    unsigned n = 0;
    while (text[n] && line[n] == text[n])
        n++;
    return !text[n] && n == length;
}

void guest_main(void)
{
    guest_interrupts_init();
    guest_irq_handler(4, on_serial);
    guest_irq_unmask(4);
    outb(0x3FA, 0x07);
    outb(0x3FC, 0x0B);
    outb(0x3F9, 1);
    guest_print("echo: type\n");
    bool quit = false;
    while (!quit) {
        interrupts_off();
        while (!complete)
            wait_for_interrupt();
        line[length] = 0;
        quit = is("quit");
        guest_print("%s, at %X\n", (const char *)(uintptr_t)line, rdtsc());
        length = 0;
        complete = false;
    }
    outb(0x3F9, 0);
    guest_print("echo: bye\n");
    guest_exit(0);
}
