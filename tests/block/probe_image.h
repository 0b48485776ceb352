/* An image in memory that notes what is done to it and fails on demand. For tests of the queue and of IDE. */
#ifndef VMRR_TESTS_BLOCK_PROBE_IMAGE_H
#define VMRR_TESTS_BLOCK_PROBE_IMAGE_H

#include "block/block.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define PROBE_LOG_MAX 4096

struct probe_operation {
    enum trace_block_op op;
    uint64_t sector;
    uint32_t sectors;
    bool fua;
};

struct probe_image {
    struct block_image image;
    uint8_t *bytes;
    uint64_t sectors; /* that there are bytes for */
    struct probe_operation log[PROBE_LOG_MAX];
    unsigned log_count;
    enum status fail_read, fail_write, fail_flush, fail_discard; /* given instead of doing it */
    enum status fail_settle;
    const char *corrupt; /* what is found; null: nothing */
    unsigned inside;     /* calls under way: more than one is a breach */
    bool breached;
    bool *destroyed; /* null, or set when it goes */
    pthread_mutex_t lock;
};

static inline void probe_enter(struct probe_image *probe, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                               bool fua)
{
    pthread_mutex_lock(&probe->lock);
    probe->breached |=
        probe->inside++ != 0 || sector > probe->image.size_sectors || sectors > probe->image.size_sectors - sector;
    if (probe->log_count < PROBE_LOG_MAX)
        probe->log[probe->log_count++] = (struct probe_operation){op, sector, sectors, fua};
    pthread_mutex_unlock(&probe->lock);
}

static inline enum status probe_leave(struct probe_image *probe, enum status status)
{
    pthread_mutex_lock(&probe->lock);
    probe->inside--;
    pthread_mutex_unlock(&probe->lock);
    return status;
}

static inline enum status probe_read(struct block_image *image, uint64_t sector, uint32_t sectors, void *buffer)
{
    struct probe_image *probe = (struct probe_image *)(void *)image;
    probe_enter(probe, TRACE_BLOCK_READ, sector, sectors, false);
    memset(buffer, 0xEE, (size_t)sectors * 512); /* what a failing read may leave */
    if (!probe->fail_read)
        memcpy(buffer, probe->bytes + sector * 512, (size_t)sectors * 512);
    return probe_leave(probe, probe->fail_read);
}

static inline enum status probe_write(struct block_image *image, uint64_t sector, uint32_t sectors, const void *buffer,
                                      bool fua)
{
    struct probe_image *probe = (struct probe_image *)(void *)image;
    probe_enter(probe, TRACE_BLOCK_WRITE, sector, sectors, fua);
    if (!probe->fail_write)
        memcpy(probe->bytes + sector * 512, buffer, (size_t)sectors * 512);
    return probe_leave(probe, probe->fail_write);
}

static inline enum status probe_flush(struct block_image *image)
{
    struct probe_image *probe = (struct probe_image *)(void *)image;
    probe_enter(probe, TRACE_BLOCK_FLUSH, 0, 0, false);
    return probe_leave(probe, probe->fail_flush);
}

static inline enum status probe_zero(struct block_image *image, uint64_t sector, uint32_t sectors, bool unmap)
{
    struct probe_image *probe = (struct probe_image *)(void *)image;
    probe_enter(probe, unmap ? TRACE_BLOCK_DISCARD : TRACE_BLOCK_WRITE_ZEROES, sector, sectors, false);
    if (!probe->fail_discard)
        memset(probe->bytes + sector * 512, 0, (size_t)sectors * 512);
    return probe_leave(probe, probe->fail_discard);
}

static inline bool probe_corruption(struct block_image *image, struct block_corruption *corruption)
{
    *corruption = (struct block_corruption){((struct probe_image *)(void *)image)->corrupt, 4096, 512};
    return corruption->text;
}

static inline enum status probe_settle(struct block_image *image)
{
    return ((struct probe_image *)(void *)image)->fail_settle;
}

/* Within what it was made with. */
static inline enum status probe_resize(struct block_image *image, uint64_t size_sectors, struct error *error)
{
    struct probe_image *probe = (struct probe_image *)(void *)image;
    (void)error;
    if (size_sectors > probe->sectors)
        return STATUS_INVALID;
    image->size_sectors = size_sectors;
    return STATUS_OK;
}

static inline void probe_destroy(struct block_image *image)
{
    struct probe_image *probe = (struct probe_image *)(void *)image;
    if (probe->destroyed)
        *probe->destroyed = true;
    free(probe->bytes);
    free(probe);
}

/* Sector n starts with bytes n, n + 1, n + 2... */
static inline uint8_t probe_byte(uint64_t sector, size_t at)
{
    return (uint8_t)(sector * 13 + at);
}

static inline struct probe_image *probe_create(uint64_t sectors, uint64_t shown_sectors)
{
    static const struct block_image_ops ops = {.format = "probe",
                                               .read = probe_read,
                                               .write = probe_write,
                                               .flush = probe_flush,
                                               .zero = probe_zero,
                                               .corruption = probe_corruption,
                                               .settle = probe_settle,
                                               .resize = probe_resize,
                                               .destroy = probe_destroy};
    struct probe_image *probe = calloc(1, sizeof *probe);
    CHECK(probe);
    probe->sectors = sectors;
    probe->bytes = calloc(sectors, 512);
    CHECK(probe->bytes);
    for (size_t n = 0; n < sectors * 512; n++)
        probe->bytes[n] = probe_byte(n / 512, n % 512);
    probe->image = (struct block_image){&ops, shown_sectors ? shown_sectors : sectors, false, "probe"};
    pthread_mutex_init(&probe->lock, NULL);
    return probe;
}

#endif
