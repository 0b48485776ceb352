/* qcow2 images: whatever the file, opening is refused with a text, or reads, writes, zeroes, snapshots and checks end,
 * within memory that the file's size and the format's limits bound, and touch nothing but the file. A sector that is
 * written is read back (more than one may lie in the same place of a bad image). Input: one byte of choices (bit 0:
 * writes, bit 1: check, bit 2: mending, bit 3: snapshots, bit 4: other sizes, bit 5: preallocation, bit 6: another backing
 * file, bit 7: emptying), two bytes for places, the file. */
#include "block/qcow2.h"
#include "tests/block/memory_file.h"
#include "tests/fuzz/fuzz.h"

#define PIECE_SECTORS 130u
#define RESHAPE_SECTORS_MAX 65536u /* work in proportion to the size that the header says */

struct run {
    struct memory_disk disk;
    struct block_image *image;
    unsigned choice;
    uint64_t place;
};

static struct block_image *open_image(struct run *run, bool read_only, bool check, const char *snapshot)
{
    struct error error = {{0}};
    struct block_image *image = block_qcow2_open(memory_file_open(&run->disk, "/nonexistent/fuzz", read_only),
                                                 &(struct block_open_options){.read_only = read_only,
                                                                              .check = check,
                                                                              .no_backing = true,
                                                                              .snapshot = snapshot,
                                                                              .l2_cache_bytes = 1,
                                                                              .refcount_cache_bytes = 1},
                                                 NULL, &error);
    CHECK(image || error.text[0]);
    return image;
}

static uint64_t sector_of(const struct run *run, uint64_t turn, uint32_t sectors)
{
    uint64_t room = run->image->size_sectors - sectors;
    return room ? (run->place * 2654435761u + turn * 7919) % (room + 1) : 0;
}

static void read_some(struct run *run)
{
    static uint8_t buffer[PIECE_SECTORS * 512];
    struct block_extent extent;
    for (uint64_t turn = 0; turn < 8; turn++) {
        uint32_t sectors =
            run->image->size_sectors < PIECE_SECTORS ? (uint32_t)run->image->size_sectors : PIECE_SECTORS;
        uint64_t sector = turn ? sector_of(run, turn, sectors) : 0;
        if (!sectors)
            return;
        (void)!run->image->ops->read(run->image, sector, sectors, buffer);
        if (!block_image_map(run->image, sector, run->image->size_sectors - sector, &extent))
            CHECK(extent.sectors && extent.sectors <= run->image->size_sectors - sector);
    }
}

/* What is located lies in the file, or is refused; a write to it would hit no structure. */
static void locate_some(struct run *run)
{
    for (uint64_t turn = 0; turn < 6; turn++) {
        uint32_t sectors = turn % 2 ? 1 : PIECE_SECTORS;
        struct block_place place = {0};
        if (run->image->size_sectors < sectors)
            continue;
        if (run->image->ops->locate(run->image, sector_of(run, turn, sectors), sectors, turn > 2, &place))
            CHECK(place.file && !(place.offset & 511) && place.offset >= (turn > 2 ? 512 : 0));
    }
}

static void reshape(struct run *run)
{
    struct error error = {{0}};
    uint64_t sectors = run->image->size_sectors;
    if (run->choice & 16) {
        (void)!run->image->ops->resize(run->image, run->place & 1 ? sectors / 2 : sectors + run->place, &error);
        sectors = run->image->size_sectors;
    }
    if (sectors > RESHAPE_SECTORS_MAX)
        return;
    error = (struct error){{0}};
    if (run->choice & 32)
        (void)!block_qcow2_preallocate(run->image, 0, QCOW2_PREALLOC_METADATA, &error);
    error = (struct error){{0}};
    if (run->choice & 64 && block_qcow2_set_backing(run->image, "fuzz-behind", run->place & 2 ? "raw" : NULL, &error))
        CHECK(error.text[0]);
    error = (struct error){{0}};
    if (run->choice & 128 && block_qcow2_empty(run->image, &error))
        CHECK(error.text[0]);
}

static void write_some(struct run *run)
{
    static uint8_t buffer[PIECE_SECTORS * 512], back[PIECE_SECTORS * 512];
    for (uint64_t turn = 0; turn < 6; turn++) {
        uint32_t most = turn % 2 ? PIECE_SECTORS : 1;
        uint32_t sectors = run->image->size_sectors < most ? (uint32_t)run->image->size_sectors : most;
        uint64_t sector = sector_of(run, turn, sectors);
        if (!sectors)
            return;
        memset(buffer, (int)(0x50 + turn), sizeof buffer);
        enum status status = turn == 3 ? block_image_zero(run->image, sector, sectors, run->place & 1)
                                       : run->image->ops->write(run->image, sector, sectors, buffer, turn == 4);
        if (status) {
            if (status == STATUS_CORRUPT)
                CHECK(block_image_fault(run->image));
            continue;
        }
        if (turn == 3)
            memset(buffer, 0, sizeof buffer);
        if (sectors > 1)
            continue;
        CHECK(!run->image->ops->read(run->image, sector, sectors, back));
        CHECK(!memcmp(buffer, back, (size_t)sectors * 512));
    }
    (void)!run->image->ops->flush(run->image);
}

static void use_snapshots(struct run *run)
{
    struct error error = {{0}};
    size_t count;
    (void)!block_qcow2_snapshot_create(run->image, "fuzz", 1, 2, &error);
    const struct qcow2_snapshot *snapshot = block_qcow2_snapshots(run->image, &count);
    if (count) {
        char *name = strdup(snapshot[run->place % count].id);
        error = (struct error){{0}};
        (void)!block_qcow2_snapshot_apply(run->image, name, &error);
        (void)!block_qcow2_snapshot_delete(run->image, name, &error);
        free(name);
    }
}

static void check_image(struct run *run, enum qcow2_repair repair)
{
    struct qcow2_check check = {0};
    struct error error = {{0}};
    run->image = open_image(run, repair == QCOW2_REPAIR_NONE, true, NULL);
    if (run->image && block_qcow2_check(run->image, repair, &check, &error))
        CHECK(error.text[0]);
    block_image_destroy(run->image);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct run run = {0};
    if (size < 3 || size > (1u << 20))
        return 0;
    run.choice = data[0];
    run.place = data[1] | (uint64_t)data[2] << 8;
    memory_disk_init(&run.disk);
    memory_disk_resize(&run.disk, size - 3);
    if (size > 3)
        memcpy(run.disk.bytes, data + 3, size - 3);
    if (run.choice & 2)
        check_image(&run, run.choice & 4 ? QCOW2_REPAIR_ALL : QCOW2_REPAIR_NONE);
    run.image = open_image(&run, !(run.choice & 1), false, NULL);
    if (run.image) {
        read_some(&run);
        if (run.choice & 1)
            write_some(&run);
        locate_some(&run);
        if ((run.choice & 9) == 9)
            use_snapshots(&run);
        if (run.choice & 1)
            reshape(&run);
    }
    block_image_destroy(run.image);
    if (run.choice & 8) {
        run.image = open_image(&run, true, false, "1");
        if (run.image)
            read_some(&run);
        block_image_destroy(run.image);
    }
    memory_disk_fini(&run.disk);
    return 0;
}
