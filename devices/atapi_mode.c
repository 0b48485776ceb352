/* Mode pages (MMC-6, 7; SPC-3, 6.9 and 6.10) and features (MMC-6, 5 and 6.5) of a CD-ROM/DVD-ROM drive. Nothing can be
 * changed: changeable values are all zeros, defaults the current ones, and none are saved. */
#include "devices/atapi_internal.h"

#include <string.h>

#define SPEED_KB 7056u /* 40 times a CD's */
#define MODE_CHANGEABLE 1u
#define MODE_SAVED 3u
#define PAGE_ALL 0x3Fu
#define PROFILE_CD_ROM 0x0008u
#define PROFILE_DVD_ROM 0x0010u

/* ---- mode pages ---- */

static uint32_t put_error_recovery(const struct atapi *atapi, uint8_t *page)
{
    (void)atapi;
    page[3] = 5; /* retries */
    return 8;
}

static uint32_t put_audio_control(const struct atapi *atapi, uint8_t *page)
{
    (void)atapi;
    page[2] = 0x04;
    page[8] = 1, page[9] = 0xFF; /* both channels at full volume */
    page[10] = 2, page[11] = 0xFF;
    return 16;
}

static uint32_t put_capabilities(const struct atapi *atapi, uint8_t *page)
{
    page[2] = 0x0B;                                      /* reads CD-R, CD-RW, DVD-ROM */
    page[4] = 0x70;                                      /* mode 2 forms 1 and 2, multisession */
    page[6] = (uint8_t)(0x29 | (atapi->locked ? 2 : 0)); /* tray, ejects, locks */
    put_be16(page + 8, SPEED_KB);
    put_be16(page + 12, 512); /* KiB of buffer */
    put_be16(page + 14, SPEED_KB);
    return 20;
}

static const struct page {
    uint8_t code;
    uint32_t (*put)(const struct atapi *atapi, uint8_t *page);
} pages[] = {{0x01, put_error_recovery}, {0x0E, put_audio_control}, {0x2A, put_capabilities}};

/* The pages asked for, from reply + header_bytes; their size, 0 when there is none such. */
static uint32_t put_pages(const struct atapi *atapi, uint8_t wanted, bool changeable, uint8_t *out)
{
    uint32_t size = 0;
    for (unsigned n = 0; n < sizeof pages / sizeof pages[0]; n++) {
        if (wanted != PAGE_ALL && wanted != pages[n].code)
            continue;
        uint32_t page_bytes = pages[n].put(atapi, out + size);
        if (changeable)
            memset(out + size, 0, page_bytes);
        out[size] = pages[n].code;
        out[size + 1] = (uint8_t)(page_bytes - 2);
        size += page_bytes;
    }
    return size;
}

static struct atapi_outcome mode_sense(struct atapi *atapi, const uint8_t *packet, uint8_t *reply,
                                       uint32_t header_bytes)
{
    unsigned control = packet[2] >> 6;
    if (control == MODE_SAVED)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_SAVING_UNSUPPORTED);
    uint32_t size = put_pages(atapi, packet[2] & 0x3F, control == MODE_CHANGEABLE, reply + header_bytes);
    if (!size || (packet[3] && packet[3] != 0xFF))
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
    return atapi_reply(header_bytes + size);
}

/* The medium type, as SFF-8020i has it: 01h a data CD of 120 mm, 70h none, 71h tray open. */
static uint8_t medium_type(const struct atapi *atapi)
{
    return atapi_has_medium(atapi) ? 0x01 : atapi->tray_open ? 0x71 : 0x70;
}

ATAPI_COMMAND(atapi_mode_sense_6)
{
    struct atapi_outcome outcome = mode_sense(atapi, packet, reply, 4);
    reply[0] = (uint8_t)(outcome.reply_bytes - 1);
    reply[1] = medium_type(atapi);
    return outcome;
}

ATAPI_COMMAND(atapi_mode_sense_10)
{
    struct atapi_outcome outcome = mode_sense(atapi, packet, reply, 8);
    put_be16(reply, outcome.reply_bytes - 2);
    reply[2] = medium_type(atapi);
    return outcome;
}

/* ---- features ---- */

struct feature {
    uint16_t code;
    uint8_t version;
    bool persistent, cd, dvd; /* current: always, with a CD, with a DVD */
    uint8_t size_bytes;
    uint8_t data[8];
};

static const struct feature features[] = {
    {0x0000, 0, true, true, true, 8, {0}},                 /* profiles: filled in */
    {0x0001, 2, true, true, true, 8, {0, 0, 0, 2, 1}},     /* core: ATAPI */
    {0x0003, 0, true, true, true, 4, {0x29}},              /* removable medium: tray, ejects, locks */
    {0x0010, 0, false, true, true, 8, {0, 0, 8, 0, 0, 1}}, /* random readable: 2048 bytes */
    {0x001E, 0, false, true, false, 4, {0}},               /* CD read */
    {0x001F, 0, false, false, true, 0, {0}},               /* DVD read */
};

static bool is_current(const struct atapi *atapi, const struct feature *feature)
{
    if (feature->persistent || !atapi_has_medium(atapi))
        return feature->persistent;
    return atapi_medium_is_dvd(atapi) ? feature->dvd : feature->cd;
}

static uint16_t current_profile(const struct atapi *atapi)
{
    return !atapi_has_medium(atapi) ? 0 : atapi_medium_is_dvd(atapi) ? PROFILE_DVD_ROM : PROFILE_CD_ROM;
}

static void put_profiles(const struct atapi *atapi, uint8_t *data)
{
    put_be16(data, PROFILE_DVD_ROM);
    data[2] = current_profile(atapi) == PROFILE_DVD_ROM;
    put_be16(data + 4, PROFILE_CD_ROM);
    data[6] = current_profile(atapi) == PROFILE_CD_ROM;
}

static uint32_t put_feature(const struct atapi *atapi, const struct feature *feature, uint8_t *out)
{
    put_be16(out, feature->code);
    out[2] = (uint8_t)(feature->version << 2 | (feature->persistent ? 2 : 0) | (is_current(atapi, feature) ? 1 : 0));
    out[3] = feature->size_bytes;
    memcpy(out + 4, feature->data, feature->size_bytes);
    if (!feature->code)
        put_profiles(atapi, out + 4);
    return 4u + feature->size_bytes;
}

/* Which: 0 all from a number on, 1 those of them that are current, 2 that one. */
ATAPI_COMMAND(atapi_get_configuration)
{
    unsigned which = packet[1] & 3;
    uint32_t first = be16_at(packet + 2), size = 8;
    if (which == 3)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
    for (unsigned n = 0; n < sizeof features / sizeof features[0]; n++) {
        const struct feature *feature = &features[n];
        if (which == 2 ? feature->code != first : feature->code < first)
            continue;
        if (which == 1 && !is_current(atapi, feature))
            continue;
        size += put_feature(atapi, feature, reply + size);
    }
    put_be32(reply, size - 4);
    put_be16(reply + 6, current_profile(atapi));
    return atapi_reply(size);
}
