/* Lines from COM1, by interrupt, halted in between: for guests that are told what to do. */
#ifndef VMRR_TESTS_GUESTS_SERIAL_LINES_H
#define VMRR_TESTS_GUESTS_SERIAL_LINES_H

#include "guest.h"

static volatile uint8_t serial_ring[256]; /* indices of 8 bits wrap by themselves */
static volatile uint8_t serial_head, serial_tail;

static void on_serial(void)
{
    while (inb(0x3FA) != 0xC1) { /* FIFOs on, nothing pending */
        while (inb(0x3FD) & 1)
            serial_ring[serial_head++] = inb(0x3F8);
    }
}

/* After guest_interrupts_init. */
static inline void serial_lines_on(void)
{
    guest_irq_handler(4, on_serial);
    guest_irq_unmask(4);
    outb(0x3FA, 0x07);
    outb(0x3FC, 0x0B);
    outb(0x3F9, 1);
}

static inline char next_character(void)
{
    interrupts_off();
    while (serial_head == serial_tail)
        wait_for_interrupt();
    char c = (char)serial_ring[serial_tail++];
    interrupts_on();
    return c;
}

/* What does not fit is lost. */
static inline void read_line(char *line, unsigned size)
{
    unsigned length = 0;
    for (char c = next_character(); c != '\n'; c = next_character())
        if (length < size - 1)
            line[length++] = c;
    line[length] = 0;
}

/* A decimal number at *at, behind blanks; 0 where there is none. */
static inline uint32_t number(const char **at)
{
    uint32_t value = 0;
    while (**at == ' ')
        ++*at;
    while (**at >= '0' && **at <= '9')
        value = value * 10 + (uint32_t)(*(*at)++ - '0');
    return value;
}

#endif
