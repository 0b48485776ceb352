/* Types back what comes in on COM1, by interrupt, halted in between; a line "quit" ends it. The TSC says when each line
 * came. */
#include "serial_lines.h"

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
    serial_lines_on();
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
