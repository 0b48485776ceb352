/* What a CD-ROM/DVD-ROM drive says of itself and its medium: INQUIRY (SPC-3, 6.4 and 7.6), READ CAPACITY (6.24), READ
 * TOC/PMA/ATIP (6.26; formats 0, 1, 2), GET EVENT STATUS NOTIFICATION (6.6; polled, media class), MECHANISM STATUS (6.9),
 * READ DISC INFORMATION (6.21; standard), READ DISC STRUCTURE (6.22; DVD formats 0, 1, 4, FFh of one layer). */
#include "devices/atapi_internal.h"

#include <string.h>

#define DATA_TRACK 0x14u /* ADR 1, control: data, no copy */
#define LEAD_OUT 0xAAu
#define MEDIA_CLASS 4u
#define DVD_FIRST_SECTOR 0x030000u
#define DVD_STRUCTURE_BYTES 2048u

static struct atapi_outcome invalid_field(struct atapi *atapi)
{
    return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
}

/* Text padded with spaces. */
static void put_text(uint8_t *bytes, const char *text, size_t size_bytes)
{
    size_t length = strlen(text);
    memset(bytes, ' ', size_bytes);
    memcpy(bytes, text, length < size_bytes ? length : size_bytes);
}

/* ---- INQUIRY ---- */

static struct atapi_outcome vital_product_data(struct atapi *atapi, uint8_t page, uint8_t *reply)
{
    size_t serial_bytes = sizeof atapi->serial - 1;
    reply[0] = 0x05;
    reply[1] = page;
    switch (page) {
    case 0x00:
        reply[3] = 3;
        memcpy(reply + 4, "\x00\x80\x83", 3);
        return atapi_reply(7);
    case 0x80:
        reply[3] = (uint8_t)serial_bytes;
        put_text(reply + 4, atapi->serial, serial_bytes);
        return atapi_reply(4 + (uint32_t)serial_bytes);
    case 0x83: /* one designator: vendor specific, of the logical unit, in ASCII */
        reply[3] = (uint8_t)(4 + serial_bytes);
        reply[4] = 0x02;
        reply[7] = (uint8_t)serial_bytes;
        put_text(reply + 8, atapi->serial, serial_bytes);
        return atapi_reply(8 + (uint32_t)serial_bytes);
    default: return invalid_field(atapi);
    }
}

ATAPI_COMMAND(atapi_inquiry)
{
    if (packet[1] & 1)
        return vital_product_data(atapi, packet[2], reply);
    if (packet[2])
        return invalid_field(atapi);
    reply[0] = 0x05; /* CD/DVD */
    reply[1] = 0x80; /* removable */
    reply[2] = 0x05; /* SPC-3 */
    reply[3] = 0x32; /* ATAPI; response format 2 */
    reply[4] = 31;
    put_text(reply + 8, "VMRR", 8);
    put_text(reply + 16, "VMRR DVD-ROM", 16);
    put_text(reply + 32, "1.0", 4);
    return atapi_reply(36);
}

/* ---- the medium ---- */

ATAPI_COMMAND(atapi_read_capacity)
{
    uint32_t blocks = atapi_medium_blocks(atapi);
    (void)packet;
    put_be32(reply, blocks ? blocks - 1 : 0);
    put_be32(reply + 4, ATAPI_BLOCK_BYTES);
    return atapi_reply(8);
}

static void put_track(uint8_t *entry, uint8_t track, uint32_t block, bool msf)
{
    entry[1] = DATA_TRACK;
    entry[2] = track;
    atapi_put_address(entry + 4, block, msf);
}

static struct atapi_outcome toc_tracks(struct atapi *atapi, uint8_t first, bool msf, uint8_t *reply)
{
    uint32_t size = 4;
    if (first > 1 && first != LEAD_OUT)
        return invalid_field(atapi);
    reply[2] = reply[3] = 1;
    if (first <= 1) {
        put_track(reply + size, 1, 0, msf);
        size += 8;
    }
    put_track(reply + size, LEAD_OUT, atapi_medium_blocks(atapi), msf);
    size += 8;
    put_be16(reply, size - 2);
    return atapi_reply(size);
}

static struct atapi_outcome toc_sessions(bool msf, uint8_t *reply)
{
    put_be16(reply, 10);
    reply[2] = reply[3] = 1;
    put_track(reply + 4, 1, 0, msf);
    return atapi_reply(12);
}

/* Addresses are MSF whatever the packet says. */
static struct atapi_outcome toc_raw(struct atapi *atapi, uint8_t *reply)
{
    static const uint8_t points[] = {0xA0, 0xA1, 0xA2, 0x01};
    uint8_t address[4];
    uint32_t size = 4;
    reply[2] = reply[3] = 1;
    for (unsigned n = 0; n < sizeof points; n++, size += 11) {
        uint8_t *entry = reply + size;
        entry[0] = 1;
        entry[1] = DATA_TRACK;
        entry[3] = points[n];
        if (points[n] == 0xA0 || points[n] == 0xA1) {
            entry[8] = 1; /* first and last track */
            continue;
        }
        atapi_put_address(address, points[n] == 0xA2 ? atapi_medium_blocks(atapi) : 0, true);
        memcpy(entry + 8, address + 1, 3);
    }
    put_be16(reply, size - 2);
    return atapi_reply(size);
}

/* The format stands in byte 2, or, as SFF-8020i has it, in byte 9. */
ATAPI_COMMAND(atapi_read_toc)
{
    bool msf = packet[1] & 2;
    unsigned format = packet[2] & 15 ? packet[2] & 15 : packet[9] >> 6;
    switch (format) {
    case 0: return toc_tracks(atapi, packet[6], msf, reply);
    case 1: return toc_sessions(msf, reply);
    case 2: return toc_raw(atapi, reply);
    default: return invalid_field(atapi);
    }
}

ATAPI_COMMAND(atapi_disc_information)
{
    if (packet[1] & 7)
        return invalid_field(atapi);
    put_be16(reply, 32);
    reply[2] = 0x0E; /* last session and disc complete */
    reply[3] = reply[4] = reply[5] = reply[6] = 1;
    reply[7] = 0x20;
    return atapi_reply(34);
}

/* ---- tray and events ---- */

ATAPI_COMMAND(atapi_event_status)
{
    if (!(packet[1] & 1))
        return invalid_field(atapi);
    reply[3] = 1u << MEDIA_CLASS;
    if (!(packet[4] & 1u << MEDIA_CLASS)) {
        put_be16(reply, 2);
        reply[2] = 0x80; /* no such event */
        return atapi_reply(4);
    }
    put_be16(reply, 6);
    reply[2] = MEDIA_CLASS;
    reply[4] = atapi->event;
    reply[5] = (uint8_t)((atapi_has_medium(atapi) ? 2 : 0) | (atapi->tray_open ? 1 : 0));
    if (be16_at(packet + 7) > 4) /* told */
        atapi->event = ATAPI_NO_EVENT;
    return atapi_reply(8);
}

ATAPI_COMMAND(atapi_mechanism_status)
{
    (void)packet;
    reply[1] = atapi->tray_open ? 0x10 : 0;
    reply[5] = 1; /* slot */
    return atapi_reply(8);
}

/* ---- DVD ---- */

static void put_physical_format(const struct atapi *atapi, uint8_t *reply)
{
    uint32_t last = DVD_FIRST_SECTOR + atapi_medium_blocks(atapi) - 1;
    reply[4] = 0x01; /* DVD-ROM */
    reply[5] = 0x0F; /* 120 mm, any rate */
    reply[6] = 0x01; /* one layer, embossed */
    put_be32(reply + 8, DVD_FIRST_SECTOR);
    put_be32(reply + 12, last & 0xFFFFFF);
}

static uint32_t put_structure_list(uint8_t *reply)
{
    static const struct {
        uint8_t format;
        uint16_t size_bytes;
    } list[] = {{0x00, DVD_STRUCTURE_BYTES + 4}, {0x01, 8}, {0x04, DVD_STRUCTURE_BYTES + 4}};
    unsigned count = sizeof list / sizeof list[0];
    for (unsigned n = 0; n < count; n++) {
        reply[4 + 4 * n] = list[n].format;
        reply[5 + 4 * n] = 0x40; /* readable */
        put_be16(reply + 6 + 4 * n, list[n].size_bytes);
    }
    return 4 + 4 * count;
}

ATAPI_COMMAND(atapi_dvd_structure)
{
    uint8_t format = packet[7];
    uint32_t size;
    if ((packet[1] & 15) || packet[6])
        return invalid_field(atapi);
    if (!atapi_medium_is_dvd(atapi) && format != 0xFF)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_INCOMPATIBLE_FORMAT);
    switch (format) {
    case 0x00:
        put_physical_format(atapi, reply);
        size = DVD_STRUCTURE_BYTES + 4;
        break;
    case 0x01: size = 8; break; /* no protection */
    case 0x04: size = DVD_STRUCTURE_BYTES + 4; break;
    case 0xFF: size = put_structure_list(reply); break;
    default: return invalid_field(atapi);
    }
    put_be16(reply, size - 2);
    return atapi_reply(size);
}
