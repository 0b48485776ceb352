/* Types back what comes in on COM1, by interrupt, halted in between; a line "quit" ends it. The TSC says when each line
 * came. */
#include "guest.h"

static volatile uint8_t ring[256]; /* indices of 8 bits wrap by themselves */
static volatile uint8_t head, tail;

static void on_serial(void)
{
    while (inb(0x3FA) != 0xC1) { /* FIFOs on, nothing pending */
        while (inb(0x3FD) & 1)
            ring[head++] = inb(0x3F8);
    }
}

static char next_character(void)
{
    interrupts_off();
    while (head == tail)
        wait_for_interrupt();
    char c = (char)ring[tail++];
    interrupts_on();
    return c;
}

static void read_line(char *line, unsigned size)
{
    unsigned length = 0;
    for (char c = next_character(); c != '\n'; c = next_character())
        if (length < size - 1)
            line[length++] = c;
    line[length] = 0;
}

static bool same(const char *a, const char *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
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
    char line[128];
    do {
        read_line(line, sizeof line);
        guest_print("%s, at %X\n", line, rdtsc());
    } while (!same(line, "quit"));
    interrupts_off();
    outb(0x3F9, 0);
    guest_print("echo: bye\n");
    guest_exit(0);
}
