/* Something to debug: a name that is too long for its field runs over the checksum behind it, which is noticed much later.
 * Built with line numbers; tests/gdb drives gdb against it. Exit code: (3 << 1) | 1, the corrupted record is found. */
#include "guest.h"

struct record {
    char name[8];
    uint32_t checksum;
};

struct record records[4];
volatile uint64_t turns;
static uint8_t block[8192];

uint32_t checksum_of(const char *name, unsigned length)
{
    uint32_t sum = 0x1234;
    for (unsigned n = 0; n < length; n++)
        sum = sum * 31 + (uint8_t)name[n];
    return sum;
}

/* The bug: nobody looks how long the text is. */
static void set_name(struct record *record, const char *text)
{
    unsigned n = 0;
    for (; text[n]; n++)
        record->name[n] = text[n]; /* the store */
}

static void make_record(unsigned number, const char *text)
{
    records[number].checksum = checksum_of(text, 4);
    set_name(&records[number], text);
}

static void wipe(uint8_t *bytes, unsigned long count)
{
    __asm__ volatile("rep stosb" : "+D"(bytes), "+c"(count) : "a"(0) : "memory");
}

void spend_time(unsigned rounds)
{
    for (unsigned n = 0; n < rounds; n++)
        turns++;
}

static int find_bad(void)
{
    for (int n = 0; n < 4; n++) {
        if (records[n].checksum != checksum_of(records[n].name, 4))
            return n;
    }
    return -1;
}

int add(int a, int b)
{
    return a + b;
}

void guest_main(void)
{
    make_record(0, "disk");
    make_record(1, "cd-rom");
    make_record(2, "keyboards"); /* nine characters */
    make_record(3, "tape");
    wipe(block, sizeof block);
    spend_time(20000);
    int bad = find_bad();
    guest_print("record %u is bad\n", (unsigned)bad);
    spend_time((unsigned)add(100, bad));
    guest_exit((unsigned)bad + 1);
}
