/* See packet.h. Not taken: run-length encoding from a client (gdb sends none). */
#include "tools/gdbstub/packet.h"

#include "core/status.h"

#include <stdlib.h>

#define ESCAPE '}'
#define ESCAPE_XOR 0x20
#define INTERRUPT 0x03

static int digit_of(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    return byte >= 'A' && byte <= 'F' ? byte - 'A' + 10 : -1;
}

static void give(struct gdb_reader *reader, enum gdb_item item)
{
    reader->where = GDB_BETWEEN;
    if (item != GDB_PACKET)
        reader->used = 0;
    reader->data[reader->used] = 0;
    reader->item(reader->opaque, item, reader->data, reader->used);
}

static void begin(struct gdb_reader *reader)
{
    reader->where = GDB_DATA;
    reader->used = 0;
    reader->sum = 0;
    reader->too_long = false;
}

static void put(struct gdb_reader *reader, uint8_t byte)
{
    if (reader->used == GDB_PACKET_BYTES)
        reader->too_long = true;
    else
        reader->data[reader->used++] = byte;
}

static void between(struct gdb_reader *reader, uint8_t byte)
{
    switch (byte) {
    case '$': begin(reader); break;
    case '+': give(reader, GDB_ACK); break;
    case '-': give(reader, GDB_NAK); break;
    case INTERRUPT: give(reader, GDB_INTERRUPT); break;
    default: break;
    }
}

static void in_data(struct gdb_reader *reader, uint8_t byte)
{
    if (byte == '$') { /* never within a packet: its end was lost */
        give(reader, GDB_BAD_PACKET);
        begin(reader);
        return;
    }
    if (byte == '#') {
        reader->where = GDB_CHECKSUM_HIGH;
        return;
    }
    reader->sum = (uint8_t)(reader->sum + byte);
    if (reader->where == GDB_ESCAPED) {
        put(reader, byte ^ ESCAPE_XOR);
        reader->where = GDB_DATA;
    } else if (byte == ESCAPE) {
        reader->where = GDB_ESCAPED;
    } else {
        put(reader, byte);
    }
}

static void in_checksum(struct gdb_reader *reader, uint8_t byte)
{
    int digit = digit_of(byte);
    if (digit < 0) {
        give(reader, GDB_BAD_PACKET);
    } else if (reader->where == GDB_CHECKSUM_HIGH) {
        reader->given = (uint8_t)(digit << 4);
        reader->where = GDB_CHECKSUM_LOW;
    } else {
        bool good = !reader->too_long && (reader->given | digit) == reader->sum;
        give(reader, good ? GDB_PACKET : GDB_BAD_PACKET);
    }
}

void gdb_reader_feed(struct gdb_reader *reader, const uint8_t *bytes, size_t size_bytes)
{
    for (size_t n = 0; n < size_bytes; n++) {
        switch (reader->where) {
        case GDB_BETWEEN: between(reader, bytes[n]); break;
        case GDB_DATA:
        case GDB_ESCAPED: in_data(reader, bytes[n]); break;
        case GDB_CHECKSUM_HIGH:
        case GDB_CHECKSUM_LOW: in_checksum(reader, bytes[n]); break;
        }
    }
}

void gdb_reader_reset(struct gdb_reader *reader)
{
    reader->where = GDB_BETWEEN;
    reader->used = 0;
}

uint8_t *gdb_packet_make(const void *data, size_t size_bytes, size_t *packet_bytes)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *in = data;
    uint8_t *packet = malloc(2 * size_bytes + 4), sum = 0;
    size_t used = 0;
    CHECK(packet);
    packet[used++] = '$';
    for (size_t n = 0; n < size_bytes; n++) {
        bool special = in[n] == '#' || in[n] == '$' || in[n] == ESCAPE || in[n] == '*';
        if (special)
            packet[used++] = ESCAPE;
        packet[used++] = special ? in[n] ^ ESCAPE_XOR : in[n];
    }
    for (size_t n = 1; n < used; n++)
        sum = (uint8_t)(sum + packet[n]);
    packet[used++] = '#';
    packet[used++] = (uint8_t)digits[sum >> 4];
    packet[used++] = (uint8_t)digits[sum & 15];
    *packet_bytes = used;
    return packet;
}

/* ---- numbers ---- */

bool gdb_read_hex(const char **text, uint64_t *value)
{
    int digit = digit_of((uint8_t) * *text);
    *value = 0;
    if (digit < 0)
        return false;
    for (; digit >= 0; digit = digit_of((uint8_t) * ++*text)) {
        if (*value >> 60)
            return false;
        *value = *value << 4 | (unsigned)digit;
    }
    return true;
}

bool gdb_read_bytes(const char **text, uint8_t *bytes, size_t size_bytes)
{
    for (size_t n = 0; n < size_bytes; n++) {
        int high = digit_of((uint8_t)(*text)[0]), low = high < 0 ? -1 : digit_of((uint8_t)(*text)[1]);
        if (low < 0)
            return false;
        bytes[n] = (uint8_t)(high << 4 | low);
        *text += 2;
    }
    return true;
}

void gdb_write_bytes(char *text, const uint8_t *bytes, size_t size_bytes)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t n = 0; n < size_bytes; n++) {
        *text++ = digits[bytes[n] >> 4];
        *text++ = digits[bytes[n] & 15];
    }
    *text = 0;
}
