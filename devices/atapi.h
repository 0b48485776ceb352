/* A CD-ROM/DVD-ROM drive's packet commands, whatever carries them (IDE, AHCI): ide_packet.c and ahci_command.c move the
 * data, this decides. MMC-6, SPC-3, and Mt. Fuji (INF-8090) for the ATAPI side.
 *
 * The drive holds one medium, the image of its block drive, which can be ejected and inserted again, by the guest with START
 * STOP UNIT, or another in its place, from outside (enum block_media_change). A drive without a block drive never has one.
 * Thread: machine thread. Nothing here touches guest memory. */
#ifndef VMRR_DEVICES_ATAPI_H
#define VMRR_DEVICES_ATAPI_H

#include "block/block.h"
#include "core/state.h"

#define ATAPI_PACKET_BYTES 12u
#define ATAPI_BLOCK_BYTES 2048u
#define ATAPI_BLOCK_SECTORS (ATAPI_BLOCK_BYTES / BLOCK_SECTOR_BYTES)
#define ATAPI_RAW_BYTES 2352u
#define ATAPI_REPLY_BYTES_MAX 4096u

/* attention: ASC << 8 | ASCQ of the unit attention that the next command gets; 0: none. event: media event of GET EVENT
 * STATUS NOTIFICATION. */
#define ATAPI_STATE(S, A, N, T)                                                                                        \
    S(T, bool, medium)                                                                                                 \
    S(T, bool, tray_open)                                                                                              \
    S(T, bool, locked)                                                                                                 \
    S(T, uint8_t, event)                                                                                               \
    S(T, uint16_t, attention)                                                                                          \
    S(T, uint8_t, sense_key)                                                                                           \
    S(T, uint16_t, sense_code)

struct atapi {
    STATE_MEMBERS(ATAPI_STATE)
    struct block_drive *drive; /* null: never a medium */
    char serial[BLOCK_SERIAL_BYTES];
};
extern const struct state_field atapi_fields[];

/* What a command comes to. */
enum atapi_result {
    ATAPI_FAILED, /* CHECK CONDITION: atapi_error has the error register */
    ATAPI_DONE,   /* without data */
    ATAPI_REPLY,  /* reply_bytes of the reply buffer go to the host; may be 0 */
    ATAPI_READ,   /* blocks from the medium go to the host: each block_bytes, ATAPI_BLOCK_BYTES or ATAPI_RAW_BYTES */
};

struct atapi_outcome {
    enum atapi_result result;
    uint32_t reply_bytes;
    uint32_t block, blocks; /* inside the medium; blocks is not 0 */
    uint32_t block_bytes;
};

/* At creation: the medium is in, if the drive has one. drive: borrowed, null: none; it becomes a removable one. serial:
 * copied; null or empty: made of the drive's index. */
void atapi_init(struct atapi *atapi, struct block_drive *drive, const char *serial);
/* Power-on or bus reset: tray and medium stay as they are. */
void atapi_reset(struct atapi *atapi);
/* A DEVICE RESET or a reset of the channel: forgets sense data, unlocks. */
void atapi_soft_reset(struct atapi *atapi);
/* Loaded fields may be rubbish: makes them such as this drive could have. */
void atapi_post_load(struct atapi *atapi);

/* reply: ATAPI_REPLY_BYTES_MAX bytes. */
struct atapi_outcome atapi_execute(struct atapi *atapi, const uint8_t packet[ATAPI_PACKET_BYTES], uint8_t *reply);
/* In the course of ATAPI_READ, before each request: false: the medium has gone (sense data say so). */
bool atapi_still_readable(struct atapi *atapi);
/* The image could not be read. */
void atapi_medium_error(struct atapi *atapi);
uint8_t atapi_error(const struct atapi *atapi); /* error register after a failure */
uint32_t atapi_medium_blocks(const struct atapi *atapi);
/* data holds blocks of ATAPI_BLOCK_BYTES; makes them blocks of ATAPI_RAW_BYTES, in place. */
void atapi_make_raw(uint8_t *data, uint32_t first_block, uint32_t blocks);

/* IDENTIFY PACKET DEVICE. dma_mode: as SET FEATURES gave it. sata: on a Serial ATA port. */
void atapi_identify(const struct atapi *atapi, uint8_t dma_mode, bool sata, uint8_t data[BLOCK_SECTOR_BYTES]);

#endif
