/* A CD-ROM/DVD-ROM drive: state of tray and medium, sense data, the table of commands, reading (MMC-6; SPC-3, 4.5 sense
 * data, 6.x commands). A medium of more than 80 minutes is a DVD, a smaller one a CD with one data track of mode 1.
 * Not modelled: audio, subchannels, multisession, writing, MODE SELECT, commands that only a changer has; speed (the block
 * layer has the latencies). The error correction bytes of a raw sector are zeros. */
#include "devices/ata_words.h"
#include "devices/atapi_internal.h"

#include <stdio.h>
#include <string.h>

#define CD_BLOCKS_MAX (80u * 60u * 75u)
#define FRAMES_PER_SECOND 75u
#define LEAD_IN_FRAMES 150u
#define RAW_SYNC_BYTES 12u
#define RAW_HEADER_BYTES 16u
#define RAW_MODE_1 1u

const struct state_field atapi_fields[] = {
    ATAPI_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct atapi){NULL, 0, 0, 0, NULL, false, 0}};

/* ---- medium ---- */

bool atapi_has_medium(const struct atapi *atapi)
{
    return atapi->medium && !atapi->tray_open;
}

uint32_t atapi_medium_blocks(const struct atapi *atapi)
{
    if (!atapi_has_medium(atapi))
        return 0;
    uint64_t blocks = block_drive_sectors(atapi->drive) / ATAPI_BLOCK_SECTORS;
    return blocks < UINT32_MAX ? (uint32_t)blocks : UINT32_MAX;
}

bool atapi_medium_is_dvd(const struct atapi *atapi)
{
    return atapi_medium_blocks(atapi) > CD_BLOCKS_MAX;
}

static void medium_in(struct atapi *atapi)
{
    atapi->attention = CODE_MEDIUM_CHANGED;
    atapi->event = ATAPI_NEW_MEDIA;
}

static void open_tray(struct atapi *atapi)
{
    if (atapi_has_medium(atapi))
        atapi->event = ATAPI_MEDIA_REMOVAL;
    atapi->tray_open = true;
}

static void close_tray(struct atapi *atapi)
{
    if (atapi->tray_open && atapi->medium)
        medium_in(atapi);
    atapi->tray_open = false;
}

/* For people who look at the drive; after each change. */
static void show_tray(const struct atapi *atapi)
{
    if (atapi->drive)
        block_drive_set_tray(atapi->drive, atapi->tray_open, atapi->locked);
}

static void eject_button(struct atapi *atapi)
{
    if (atapi->locked && !atapi->tray_open)
        atapi->event = ATAPI_EJECT_REQUEST;
    else if (atapi->tray_open)
        close_tray(atapi);
    else
        open_tray(atapi);
}

static void inserted(struct atapi *atapi)
{
    if (!atapi_has_medium(atapi))
        medium_in(atapi);
    atapi->medium = block_drive_has_medium(atapi->drive);
    atapi->tray_open = false;
}

/* Somebody at the drive: a force takes the medium though the tray is locked; the button asks the guest then. */
static void media_change(void *opaque, enum block_media_change change)
{
    struct atapi *atapi = opaque;
    switch (change) {
    case BLOCK_MEDIA_EJECTED:
        open_tray(atapi);
        atapi->locked = false;
        atapi->medium = false;
        break;
    case BLOCK_MEDIA_INSERTED: inserted(atapi); break;
    case BLOCK_MEDIA_BUTTON: eject_button(atapi); break;
    case BLOCK_MEDIA_TRAY_OPENED: open_tray(atapi); break;
    case BLOCK_MEDIA_TRAY_CLOSED: close_tray(atapi); break;
    case BLOCK_MEDIA_REMOVED: atapi->medium = false; break;
    case BLOCK_MEDIA_LAID_IN: atapi->medium = block_drive_has_medium(atapi->drive); break;
    case BLOCK_MEDIA_CHANGES: break;
    }
    show_tray(atapi);
}

/* ---- sense data ---- */

struct atapi_outcome atapi_fail(struct atapi *atapi, uint8_t sense_key, uint16_t code)
{
    atapi->sense_key = sense_key;
    atapi->sense_code = code;
    return (struct atapi_outcome){.result = ATAPI_FAILED};
}

static struct atapi_outcome done(void)
{
    return (struct atapi_outcome){.result = ATAPI_DONE};
}

static struct atapi_outcome no_medium(struct atapi *atapi)
{
    return atapi_fail(atapi, SENSE_NOT_READY, atapi->tray_open ? CODE_NO_MEDIUM_OPEN : CODE_NO_MEDIUM_CLOSED);
}

uint8_t atapi_error(const struct atapi *atapi)
{
    return (uint8_t)(atapi->sense_key << 4 | (atapi->sense_key == SENSE_ILLEGAL_REQUEST ? 0x04 : 0));
}

void atapi_medium_error(struct atapi *atapi)
{
    (void)atapi_fail(atapi, SENSE_MEDIUM_ERROR, CODE_READ_ERROR);
}

bool atapi_still_readable(struct atapi *atapi)
{
    if (!atapi_has_medium(atapi))
        (void)no_medium(atapi);
    return atapi_has_medium(atapi);
}

static ATAPI_COMMAND(request_sense)
{
    (void)packet;
    if (!atapi->sense_key && atapi->attention) {
        (void)atapi_fail(atapi, SENSE_UNIT_ATTENTION, atapi->attention);
        atapi->attention = 0;
    }
    reply[0] = 0x70; /* current, fixed format */
    reply[2] = atapi->sense_key;
    reply[7] = 10;
    put_be16(reply + 12, atapi->sense_code);
    atapi->sense_key = 0;
    atapi->sense_code = 0;
    return atapi_reply(18);
}

/* ---- reading ---- */

static struct atapi_outcome read_blocks(struct atapi *atapi, uint32_t block, uint32_t blocks, uint32_t block_bytes)
{
    uint32_t size = atapi_medium_blocks(atapi);
    if (block > size || blocks > size - block)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_LBA_RANGE);
    if (!blocks || !block_bytes)
        return done();
    return (struct atapi_outcome){.result = ATAPI_READ, .block = block, .blocks = blocks, .block_bytes = block_bytes};
}

static ATAPI_COMMAND(read_10)
{
    (void)reply;
    return read_blocks(atapi, be32_at(packet + 2), be16_at(packet + 7), ATAPI_BLOCK_BYTES);
}

static ATAPI_COMMAND(read_12)
{
    (void)reply;
    return read_blocks(atapi, be32_at(packet + 2), be32_at(packet + 6), ATAPI_BLOCK_BYTES);
}

/* Which parts of a sector: none, the user data, or all of it. */
static ATAPI_COMMAND(read_cd)
{
    uint32_t type = packet[1] >> 2 & 7, blocks = be32_at(packet + 5) & 0xFFFFFF, block_bytes = 0;
    (void)reply;
    if (type != 0 && type != 2)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_ILLEGAL_MODE);
    switch (packet[9] & 0xFE) {
    case 0x00: break;
    case 0x10: block_bytes = ATAPI_BLOCK_BYTES; break;
    case 0xF8: block_bytes = ATAPI_RAW_BYTES; break;
    default: return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
    }
    if (packet[10] & 7)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_INVALID_FIELD);
    return read_blocks(atapi, be32_at(packet + 2), blocks, block_bytes);
}

static ATAPI_COMMAND(seek)
{
    (void)reply;
    return read_blocks(atapi, be32_at(packet + 2), 1, 0);
}

static uint8_t bcd(uint32_t value)
{
    return (uint8_t)((value / 10 % 10) << 4 | value % 10);
}

void atapi_put_address(uint8_t *bytes, uint32_t block, bool msf)
{
    uint32_t frames = block + LEAD_IN_FRAMES;
    if (!msf) {
        put_be32(bytes, block);
        return;
    }
    bytes[0] = 0;
    bytes[1] = (uint8_t)(frames / FRAMES_PER_SECOND / 60);
    bytes[2] = (uint8_t)(frames / FRAMES_PER_SECOND % 60);
    bytes[3] = (uint8_t)(frames % FRAMES_PER_SECOND);
}

static void make_raw_block(uint8_t *raw, const uint8_t *user, uint32_t block)
{
    uint32_t frames = block + LEAD_IN_FRAMES;
    memmove(raw + RAW_HEADER_BYTES, user, ATAPI_BLOCK_BYTES);
    memset(raw, 0xFF, RAW_SYNC_BYTES);
    raw[0] = raw[RAW_SYNC_BYTES - 1] = 0;
    raw[12] = bcd(frames / FRAMES_PER_SECOND / 60);
    raw[13] = bcd(frames / FRAMES_PER_SECOND % 60);
    raw[14] = bcd(frames % FRAMES_PER_SECOND);
    raw[15] = RAW_MODE_1;
    memset(raw + RAW_HEADER_BYTES + ATAPI_BLOCK_BYTES, 0, ATAPI_RAW_BYTES - RAW_HEADER_BYTES - ATAPI_BLOCK_BYTES);
}

void atapi_make_raw(uint8_t *data, uint32_t first_block, uint32_t blocks)
{
    for (size_t n = blocks; n-- > 0;)
        make_raw_block(data + n * ATAPI_RAW_BYTES, data + n * ATAPI_BLOCK_BYTES, first_block + (uint32_t)n);
}

/* ---- tray ---- */

static ATAPI_COMMAND(start_stop)
{
    bool start = packet[4] & 1, load_eject = packet[4] & 2, power = packet[4] >> 4;
    (void)reply;
    if (power || !load_eject)
        return done();
    if (start) { /* no unit attention: the host did it itself */
        if (atapi->tray_open && atapi->medium)
            atapi->event = ATAPI_NEW_MEDIA;
        atapi->tray_open = false;
        show_tray(atapi);
        return done();
    }
    if (atapi->locked && !atapi->tray_open)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_REMOVAL_PREVENTED);
    open_tray(atapi);
    show_tray(atapi);
    return done();
}

static ATAPI_COMMAND(prevent_allow)
{
    (void)reply;
    atapi->locked = packet[4] & 1;
    show_tray(atapi);
    return done();
}

static ATAPI_COMMAND(succeed)
{
    (void)atapi, (void)packet, (void)reply;
    return done();
}

/* ---- the table ---- */

#define FLAG_MEDIUM 1u  /* NOT READY without one */
#define FLAG_ALWAYS 2u  /* a pending unit attention does not stop it */
#define FLAG_LENGTH8 4u /* the allocation length has one byte */

struct command {
    uint8_t code, flags;
    uint8_t length_at; /* where the packet has the allocation length; 0: none */
    struct atapi_outcome (*execute)(struct atapi *atapi, const uint8_t packet[ATAPI_PACKET_BYTES], uint8_t *reply);
};

static const struct command commands[] = {
    {0x00, FLAG_MEDIUM, 0, succeed}, /* TEST UNIT READY */
    {0x03, FLAG_ALWAYS | FLAG_LENGTH8, 4, request_sense},
    {0x12, FLAG_ALWAYS, 3, atapi_inquiry},
    {0x1A, FLAG_LENGTH8, 4, atapi_mode_sense_6},
    {0x1B, 0, 0, start_stop},
    {0x1E, 0, 0, prevent_allow},
    {0x25, FLAG_MEDIUM, 0, atapi_read_capacity},
    {0x28, FLAG_MEDIUM, 0, read_10},
    {0x2B, FLAG_MEDIUM, 0, seek},
    {0x43, FLAG_MEDIUM, 7, atapi_read_toc},
    {0x46, FLAG_ALWAYS, 7, atapi_get_configuration},
    {0x4A, FLAG_ALWAYS, 7, atapi_event_status},
    {0x51, FLAG_MEDIUM, 7, atapi_disc_information},
    {0x5A, 0, 7, atapi_mode_sense_10},
    {0xA8, FLAG_MEDIUM, 0, read_12},
    {0xAD, FLAG_MEDIUM, 8, atapi_dvd_structure},
    {0xBB, 0, 0, succeed}, /* SET CD SPEED */
    {0xBD, 0, 8, atapi_mechanism_status},
    {0xBE, FLAG_MEDIUM, 0, read_cd},
};

static const struct command *find_command(uint8_t code)
{
    for (size_t n = 0; n < sizeof commands / sizeof commands[0]; n++) {
        if (commands[n].code == code)
            return &commands[n];
    }
    return NULL;
}

static void limit_reply(struct atapi_outcome *outcome, const struct command *command, const uint8_t *packet)
{
    if (outcome->result != ATAPI_REPLY || !command->length_at)
        return;
    const uint8_t *at = packet + command->length_at;
    uint32_t length = command->flags & FLAG_LENGTH8 ? *at : be16_at(at);
    if (outcome->reply_bytes > length)
        outcome->reply_bytes = length;
}

struct atapi_outcome atapi_execute(struct atapi *atapi, const uint8_t packet[ATAPI_PACKET_BYTES], uint8_t *reply)
{
    const struct command *command = find_command(packet[0]);
    if (!command)
        return atapi_fail(atapi, SENSE_ILLEGAL_REQUEST, CODE_INVALID_COMMAND);
    if (command->execute != request_sense)
        atapi->sense_key = 0, atapi->sense_code = 0;
    if (atapi->attention && !(command->flags & FLAG_ALWAYS)) {
        uint16_t code = atapi->attention;
        atapi->attention = 0;
        return atapi_fail(atapi, SENSE_UNIT_ATTENTION, code);
    }
    if ((command->flags & FLAG_MEDIUM) && !atapi_has_medium(atapi))
        return no_medium(atapi);
    memset(reply, 0, ATAPI_REPLY_BYTES_MAX);
    struct atapi_outcome outcome = command->execute(atapi, packet, reply);
    limit_reply(&outcome, command, packet);
    return outcome;
}

/* ---- the drive ---- */

void atapi_init(struct atapi *atapi, struct block_drive *drive, const char *serial)
{
    atapi->drive = drive;
    atapi->medium = drive && block_drive_has_medium(drive);
    if (serial && *serial)
        snprintf(atapi->serial, sizeof atapi->serial, "%s", serial);
    else
        snprintf(atapi->serial, sizeof atapi->serial, "VMRR%06u", drive ? (unsigned)block_drive_index(drive) + 1 : 0);
    if (drive)
        block_drive_listen(drive, (struct block_listener){.media = media_change, .opaque = atapi});
}

void atapi_soft_reset(struct atapi *atapi)
{
    atapi->locked = false;
    atapi->sense_key = 0;
    atapi->sense_code = 0;
    show_tray(atapi);
}

void atapi_reset(struct atapi *atapi)
{
    atapi_soft_reset(atapi);
    atapi->event = ATAPI_NO_EVENT;
    atapi->attention = CODE_POWER_ON;
}

void atapi_post_load(struct atapi *atapi)
{
    atapi->medium = atapi->medium && atapi->drive && block_drive_has_medium(atapi->drive);
    atapi->sense_key &= 15;
    if (atapi->event >= ATAPI_EVENTS)
        atapi->event = ATAPI_NO_EVENT;
    show_tray(atapi);
}

void atapi_identify(const struct atapi *atapi, uint8_t dma_mode, bool sata, uint8_t data[BLOCK_SECTOR_BYTES])
{
    uint16_t words[ATA_WORDS] = {0};
    words[0] = 0x85C0; /* packet device, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
    ata_words_text(words + 10, atapi->serial, 10);
    ata_words_text(words + 23, "1.0", 4);
    ata_words_text(words + 27, "VMRR DVD-ROM", 20);
    words[49] = 0x0B00; /* DMA, LBA, IORDY */
    words[50] = 0x4000;
    words[53] = 0x0006;
    words[63] = (uint16_t)(0x0007 | ((dma_mode & 0xF8) == 0x20 ? 0x0100u << (dma_mode & 7) : 0));
    words[64] = 0x0003;
    words[65] = words[66] = words[67] = words[68] = 120;
    words[76] = sata ? 0x0006 : 0; /* generations 1 and 2 */
    words[80] = 0x00F0;
    words[82] = words[85] = 0x4210; /* NOP, DEVICE RESET, PACKET */
    words[83] = 0x4000;
    words[84] = words[87] = 0x4000;
    words[88] = (uint16_t)(0x003F | ((dma_mode & 0xF8) == 0x40 ? 0x0100u << (dma_mode & 7) : 0));
    words[93] = sata ? 0 : 0x600F;
    ata_words_store(words, data);
}
