/* Latency model: a rotating disk with a write cache, about ten times faster than a real one, so that firmware which
 * polls spends its instructions on something else. Seek by the square root of the distance, rotation by the angle
 * between where the head stopped and the first sector, transfer by size; writes go to the cache, and a flush pays for
 * them. Generator: splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014). */
#include "block/latency.h"

#define COMMAND_NS 15000u
#define TRANSFER_SECTOR_NS 1500u /* about 340 MB/s */
#define SEEK_NS 40000u           /* shortest */
#define SEEK_ROOT_NS 60u         /* a sector of distance under the root: a full 1 TB stroke takes about 2.7 ms */
#define TRACK_SECTORS 1024u
#define ROTATION_NS 800000u
#define FLUSH_NS 120000u
#define FLUSH_SECTOR_NS 1000u
#define FLUSH_SECTORS_MAX 16384u /* what the cache holds */

const struct state_field block_latency_fields[] = {
    BLOCK_LATENCY_STATE(STATE_ROW_S_, STATE_ROW_A_, STATE_ROW_N_, struct block_latency){.name = NULL}};

static uint64_t generate(struct block_latency *latency)
{
    uint64_t z = latency->generator += 0x9E3779B97F4A7C15ull;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
    return z ^ (z >> 31);
}

void block_latency_init(struct block_latency *latency, uint64_t seed, uint32_t drive)
{
    *latency = (struct block_latency){.generator = seed ^ ((uint64_t)drive << 56), .seed = seed};
}

static uint64_t root(uint64_t value)
{
    uint64_t result = 0;
    for (uint64_t bit = 1ull << 62; bit; bit >>= 2) {
        if (value >= result + bit) {
            value -= result + bit;
            result = (result >> 1) + bit;
        } else {
            result >>= 1;
        }
    }
    return result;
}

static uint64_t position_ns(const struct block_latency *latency, uint64_t sector)
{
    uint64_t head = latency->head_sector;
    if (sector == head)
        return 0;
    uint64_t distance = sector > head ? sector - head : head - sector;
    uint64_t angle = (sector - head) % TRACK_SECTORS;
    return SEEK_NS + root(distance) * SEEK_ROOT_NS + angle * ROTATION_NS / TRACK_SECTORS;
}

static uint64_t plain_ns(struct block_latency *latency, enum trace_block_op op, uint64_t sector, uint32_t sectors,
                         bool fua)
{
    uint64_t ns = COMMAND_NS;
    switch (op) {
    case TRACE_BLOCK_READ:
        ns += position_ns(latency, sector) + (uint64_t)sectors * TRANSFER_SECTOR_NS;
        latency->head_sector = sector + sectors;
        break;
    case TRACE_BLOCK_WRITE:
        ns += (uint64_t)sectors * TRANSFER_SECTOR_NS;
        if (fua) {
            ns += position_ns(latency, sector);
            latency->head_sector = sector + sectors;
        } else {
            latency->unflushed_sectors += sectors;
        }
        break;
    case TRACE_BLOCK_FLUSH:
        if (latency->unflushed_sectors > FLUSH_SECTORS_MAX)
            latency->unflushed_sectors = FLUSH_SECTORS_MAX;
        ns += FLUSH_NS + latency->unflushed_sectors * FLUSH_SECTOR_NS;
        latency->unflushed_sectors = 0;
        break;
    case TRACE_BLOCK_DISCARD:
    case TRACE_BLOCK_WRITE_ZEROES:
    case TRACE_BLOCK_OPS: break;
    }
    return ns;
}

/* Between a half and twice as long; one in 64 requests eight times more, as if the drive had retried. */
static uint64_t vary(struct block_latency *latency, uint64_t ns)
{
    uint64_t random = generate(latency);
    ns = ns * (128 + (random & 0xFF) + (random >> 8 & 0x7F)) / 256;
    return (random >> 16 & 63) ? ns : ns * 8;
}

uint64_t block_latency_serve_ns(struct block_latency *latency, enum trace_block_op op, uint64_t sector,
                                uint32_t sectors, bool fua)
{
    uint64_t ns = plain_ns(latency, op, sector, sectors, fua);
    return latency->seed ? vary(latency, ns) : ns;
}

uint32_t block_latency_choose(struct block_latency *latency, uint32_t count)
{
    return latency->seed && count > 1 ? (uint32_t)(generate(latency) % count) : 0;
}
