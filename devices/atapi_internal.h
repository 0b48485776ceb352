/* The packet commands among themselves: atapi.c (state, sense data, reading), atapi_replies.c (what describes drive and
 * medium), atapi_mode.c (mode pages, features). Section numbers are MMC-6's unless said otherwise. */
#ifndef VMRR_DEVICES_ATAPI_INTERNAL_H
#define VMRR_DEVICES_ATAPI_INTERNAL_H

#include "devices/atapi.h"

#define SENSE_NOT_READY 0x2u
#define SENSE_MEDIUM_ERROR 0x3u
#define SENSE_ILLEGAL_REQUEST 0x5u
#define SENSE_UNIT_ATTENTION 0x6u

/* ASC << 8 | ASCQ */
#define CODE_READ_ERROR 0x1100u
#define CODE_INVALID_COMMAND 0x2000u
#define CODE_LBA_RANGE 0x2100u
#define CODE_INVALID_FIELD 0x2400u
#define CODE_MEDIUM_CHANGED 0x2800u
#define CODE_POWER_ON 0x2900u
#define CODE_INCOMPATIBLE_FORMAT 0x3002u
#define CODE_SAVING_UNSUPPORTED 0x3900u
#define CODE_NO_MEDIUM_CLOSED 0x3A01u
#define CODE_NO_MEDIUM_OPEN 0x3A02u
#define CODE_REMOVAL_PREVENTED 0x5302u
#define CODE_ILLEGAL_MODE 0x6400u

enum atapi_event { ATAPI_NO_EVENT, ATAPI_EJECT_REQUEST, ATAPI_NEW_MEDIA, ATAPI_MEDIA_REMOVAL, ATAPI_EVENTS };

static inline uint32_t be16_at(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 8 | bytes[1];
}
static inline uint32_t be32_at(const uint8_t *bytes)
{
    return be16_at(bytes) << 16 | be16_at(bytes + 2);
}
static inline void put_be16(uint8_t *bytes, uint32_t value)
{
    bytes[0] = (uint8_t)(value >> 8);
    bytes[1] = (uint8_t)value;
}
static inline void put_be32(uint8_t *bytes, uint32_t value)
{
    put_be16(bytes, value >> 16);
    put_be16(bytes + 2, value);
}

static inline struct atapi_outcome atapi_reply(uint32_t size_bytes)
{
    return (struct atapi_outcome){.result = ATAPI_REPLY, .reply_bytes = size_bytes};
}
/* atapi.c */
struct atapi_outcome atapi_fail(struct atapi *atapi, uint8_t sense_key, uint16_t code);
bool atapi_has_medium(const struct atapi *atapi); /* in, and the tray closed */
bool atapi_medium_is_dvd(const struct atapi *atapi);
/* An address as tables of contents have it: 4 bytes. */
void atapi_put_address(uint8_t *bytes, uint32_t block, bool msf);

/* One function a command, of the table in atapi.c. The reply buffer is all zeros. */
#define ATAPI_COMMAND(name)                                                                                            \
    struct atapi_outcome name(struct atapi *atapi, const uint8_t packet[ATAPI_PACKET_BYTES], uint8_t *reply)
/* atapi_replies.c */
ATAPI_COMMAND(atapi_inquiry);
ATAPI_COMMAND(atapi_read_capacity);
ATAPI_COMMAND(atapi_read_toc);
ATAPI_COMMAND(atapi_event_status);
ATAPI_COMMAND(atapi_mechanism_status);
ATAPI_COMMAND(atapi_disc_information);
ATAPI_COMMAND(atapi_dvd_structure);
/* atapi_mode.c */
ATAPI_COMMAND(atapi_mode_sense_6);
ATAPI_COMMAND(atapi_mode_sense_10);
ATAPI_COMMAND(atapi_get_configuration);

#endif
