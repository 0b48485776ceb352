/* The words of IDENTIFY data, for disks and packet devices. */
#ifndef VMRR_DEVICES_ATA_WORDS_H
#define VMRR_DEVICES_ATA_WORDS_H

#include <stdint.h>
#include <string.h>

#define ATA_WORDS 256u
#define ATA_WORDS_SIGNATURE 0xA5u

/* Bytes of a text are swapped in each word, padded with spaces. */
static inline void ata_words_text(uint16_t *words, const char *text, unsigned word_count)
{
    size_t length = strlen(text);
    for (unsigned n = 0; n < word_count; n++) {
        unsigned first = 2 * n < length ? (uint8_t)text[2 * n] : ' ';
        unsigned second = 2 * n + 1 < length ? (uint8_t)text[2 * n + 1] : ' ';
        words[n] = (uint16_t)(first << 8 | second);
    }
}

/* To bytes; word 255 becomes signature and checksum. */
static inline void ata_words_store(const uint16_t words[ATA_WORDS], uint8_t data[2 * ATA_WORDS])
{
    uint8_t sum = ATA_WORDS_SIGNATURE;
    for (unsigned n = 0; n < ATA_WORDS - 1; n++) {
        data[2 * n] = (uint8_t)words[n];
        data[2 * n + 1] = (uint8_t)(words[n] >> 8);
        sum = (uint8_t)(sum + data[2 * n] + data[2 * n + 1]);
    }
    data[2 * ATA_WORDS - 2] = ATA_WORDS_SIGNATURE;
    data[2 * ATA_WORDS - 1] = (uint8_t)-sum;
}

#endif
