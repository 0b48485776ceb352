/* Framing of gdb's remote serial protocol ("Overview" in gdb's manual, appendix E): $DATA#CHECKSUM, acknowledgements, the
 * interrupt byte. Cuts what a peer sends into packets; what it sends may be anything. */
#ifndef VMRR_TOOLS_GDBSTUB_PACKET_H
#define VMRR_TOOLS_GDBSTUB_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define GDB_PACKET_BYTES 0x4000u /* of DATA, as it is sent; what qSupported says */

enum gdb_item {
    GDB_PACKET,     /* escapes undone, a zero byte behind it */
    GDB_BAD_PACKET, /* wrong checksum, too long, or cut off by another packet's beginning */
    GDB_INTERRUPT,  /* byte 03h between packets */
    GDB_ACK,        /* + */
    GDB_NAK,        /* - */
};

struct gdb_reader {
    void (*item)(void *opaque, enum gdb_item item, const uint8_t *data, size_t size_bytes);
    void *opaque;
    enum { GDB_BETWEEN, GDB_DATA, GDB_ESCAPED, GDB_CHECKSUM_HIGH, GDB_CHECKSUM_LOW } where;
    bool too_long;
    uint8_t sum, given;
    size_t used;
    uint8_t data[GDB_PACKET_BYTES + 1];
};

/* Any bytes in any pieces; calls item for what is complete. Bytes between packets that mean nothing are skipped. */
void gdb_reader_feed(struct gdb_reader *reader, const uint8_t *bytes, size_t size_bytes);
/* Another connection. */
void gdb_reader_reset(struct gdb_reader *reader);

/* The packet for this data: escaped, with checksum. Owned by the caller. */
uint8_t *gdb_packet_make(const void *data, size_t size_bytes, size_t *packet_bytes);

/* Numbers of the protocol: hex digits without a sign. False: not one digit, or more than 64 bits. *text is behind it. */
bool gdb_read_hex(const char **text, uint64_t *value);
/* Exactly 2 * size_bytes digits. */
bool gdb_read_bytes(const char **text, uint8_t *bytes, size_t size_bytes);
/* 2 * size_bytes digits and a zero byte. */
void gdb_write_bytes(char *text, const uint8_t *bytes, size_t size_bytes);

#endif
