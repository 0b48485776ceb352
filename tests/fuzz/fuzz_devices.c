/* Every device's registers: a random script of port and memory accesses, DMA, waiting and messages over the whole board.
 * Nothing crashes, and the run played again from its journal is the same: any difference is a determinism bug.
 * Input: one byte of choices (bit 0 completions by host threads, bit 1 no VGA, bit 2 reset stops), then a script
 * (script_accel.h). */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memfd_create */
#endif
#include "devices/board_pc.h"
#include "replay/replay.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/script_accel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SCRIPT_BYTES_MAX 2048u
#define RAM_BYTES (1u << 20)
#define DISK_SECTORS 4096u
#define DRIVES 4 /* primary master; secondary master, read only; virtio; NVMe */
#define DRIVE_VIRTIO 2
#define SLOT_VIRTIO 3
#define DRIVE_NVME 3
#define SLOT_NVME 4
#define NVME_ADMIN 0x40000u /* its submission queues */
#define NVME_IO 0x42000u

/* What a script finds: bus master, power management, virtio's and NVMe's registers at known addresses, a PRD table at
 * 0x1000, a virtio queue at 0x3000, NVMe queues at 0x40000. */
static const uint8_t preamble[] = {
    SCRIPT_PCI_WRITE | 2 << 4,
    0x09,
    0x20,
    0x01,
    0xC0,
    0x00,
    0x00,
    SCRIPT_PCI_WRITE,
    0x09,
    0x04,
    0x05,
    SCRIPT_PCI_WRITE | 2 << 4,
    0x0B,
    0x40,
    0x01,
    0xB0,
    0x00,
    0x00,
    SCRIPT_PCI_WRITE,
    0x0B,
    0x80,
    0x01,
    SCRIPT_FILL,
    0x00,
    0x01,
    0x04,
    0x00,
    SCRIPT_PCI_WRITE | 2 << 4,
    0x10,
    0x10,
    0x08,
    0x00,
    0x00,
    0xE1,
    SCRIPT_PCI_WRITE,
    0x10,
    0x04,
    0x03,
    SCRIPT_PCI_WRITE | 2 << 4,
    0x18,
    0x10,
    0x00,
    0xC1,
    0x00,
    0x00,
    SCRIPT_PCI_WRITE | 2 << 4,
    0x18,
    0x14,
    0x00,
    0x00,
    0x01,
    0xE2,
    SCRIPT_PCI_WRITE | 2 << 4,
    0x18,
    0x20,
    0x00,
    0x00,
    0x00,
    0xE2,
    SCRIPT_PCI_WRITE,
    0x18,
    0x04,
    0x07,
    SCRIPT_PCI_WRITE | 2 << 4,
    0x20,
    0x10,
    0x00,
    0x00,
    0x00,
    0xE3,
    SCRIPT_PCI_WRITE,
    0x20,
    0x04,
    0x06,
};

struct run {
    struct machine *machine;
    struct block_executor *executor;
    uint8_t script[SCRIPT_BYTES_MAX + sizeof preamble];
    size_t script_bytes;
    uint8_t choices;
    enum machine_stop stop;
    uint64_t digest;
};

static uint64_t wall_clock(void *opaque)
{
    (void)opaque;
    return 1700000000;
}

static void fail(const struct error *error)
{
    fprintf(stderr, "fuzz_devices: %s\n", error->text);
    abort();
}

/* ---- the machine ---- */

static void make_config(struct journal_config *config, uint8_t choices)
{
    struct error error = {{0}};
    memset(config, 0, sizeof *config);
    CHECK(cpu_model_init(&config->cpu, "vmrr", &error) == STATUS_OK);
    config->creator = strdup("fuzz");
    config->accel = strdup("script");
    config->ram_bytes = RAM_BYTES;
    config->timing = choices & 1 ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL;
    for (unsigned n = 0; n < DRIVES; n++)
        config->drive[2 * n] =
            (struct journal_drive){.size_sectors = DISK_SECTORS, .present = true, .read_only = n == 1};
}

static struct block_image *make_disk(void)
{
    uint8_t data[64 * BLOCK_SECTOR_BYTES];
    struct error error = {{0}};
    struct block_image *image = block_overlay_create(NULL, DISK_SECTORS, &error);
    if (!image)
        fail(&error);
    for (size_t n = 0; n < sizeof data; n++)
        data[n] = (uint8_t)(n * 7 + n / BLOCK_SECTOR_BYTES);
    CHECK(image->ops->write(image, 0, 64, data, false) == STATUS_OK);
    return image;
}

static void make_machine(struct run *run, const struct machine_options *options, struct input_mailbox *mailbox)
{
    struct error error = {{0}};
    struct script script = {run->script, run->script_bytes, mailbox};
    run->machine = machine_create(options, &error);
    if (!run->machine)
        fail(&error);
    machine_set_accel(run->machine, script_accel_create(run->machine, &script));
}

/* Sound requests, which a script makes available or spoils first: headers, data and status at 0x8000 on; a queue of 256 as a
 * legacy driver has it. Chain n is that of heads[n], in the available ring in this order again and again. */
static void make_queue(struct memory *memory)
{
    static const struct {
        uint32_t type;
        uint16_t flags; /* of the data */
        uint32_t bytes;
    } requests[] = {{0, 2, 1024}, {1, 0, 1024}, {4, 2, 16}, {8, 2, 20}, {11, 0, 16}, {13, 0, 16}, {0, 2, 40960}};
    const unsigned count = sizeof requests / sizeof *requests;
    for (unsigned n = 0; n < count; n++) {
        uint64_t at = 0x3000 + 48 * n, header = 0x8000 + 64 * n;
        uint64_t row[] = {header,
                          16 | 1ull << 32 | (3ull * n + 1) << 48,
                          0x20000 + 0x1000ull * n,
                          requests[n].bytes | (1ull | requests[n].flags) << 32 | (3ull * n + 2) << 48,
                          header + 32,
                          1 | 2ull << 32};
        memory_write(memory, at, row, sizeof row);
        memory_write_u32(memory, header, requests[n].type);
        memory_write_u64(memory, header + 8, 5 * n);
    }
    memory_write_u64(memory, 0x24000, 60); /* what discard and write zeroes have for data: sector, sectors */
    memory_write_u64(memory, 0x24008, 3);
    memory_write_u64(memory, 0x25000, 50);
    memory_write_u64(memory, 0x25008, 4);
    for (unsigned n = 0; n < 256; n++)
        memory_write_u16(memory, 0x4004 + 2 * n, (uint16_t)(3 * (n % count)));
}

/* A submission queue entry: opcode, PRPs, dwords 10 to 12. */
struct entry {
    uint32_t opcode, nsid;
    uint64_t prp[2];
    uint32_t dword[3];
};

static void put_entries(struct memory *memory, uint64_t gpa, unsigned places, const struct entry *entries,
                        unsigned count)
{
    for (unsigned n = 0; n < places; n++, gpa += 64) {
        const struct entry *entry = &entries[n % count];
        memory_write_u32(memory, gpa, entry->opcode | n << 16);
        memory_write_u32(memory, gpa + 4, entry->nsid);
        memory_write_u64(memory, gpa + 24, entry->prp[0]);
        memory_write_u64(memory, gpa + 32, entry->prp[1]);
        for (unsigned k = 0; k < 3; k++)
            memory_write_u32(memory, gpa + 40 + 4 * k, entry->dword[k]);
    }
}

/* NVMe's queues with sound commands in every place: a script rings, or spoils them first. Admin: 16 entries at 0x40000,
 * completions at 0x41000; I/O: 64 at 0x42000 and 0x43000. */
static void make_nvme_queues(struct memory *memory)
{
    static const struct entry admin[] = {
        {5, 0, {0x43000, 0}, {63 << 16 | 1, 3, 0}},
        {1, 0, {0x42000, 0}, {63 << 16 | 1, 1 << 16 | 1, 0}},
        {12, 0, {0, 0}, {0, 0, 0}},
        {6, 0, {0x60000, 0}, {1, 0, 0}},
        {2, 0xFFFFFFFF, {0x61000, 0}, {63 << 16 | 1}},
        {9, 0, {0, 0}, {6, 0, 0}},
        {8, 0, {0, 0}, {3 << 16 | 1, 0, 0}},
        {0, 0, {0, 0}, {1, 0, 0}},
        {6, 1, {0x60800, 0x63000}, {0, 0, 0}},
        {4, 0, {0, 0}, {1, 0, 0}},
        {10, 0, {0, 0}, {4, 0, 0}},
    };
    static const struct entry io[] = {
        {2, 1, {0x64000, 0x65000}, {8, 0, 15}},
        {1, 1, {0x64200, 0}, {40, 0, 0x40000003}},
        {0, 1, {0, 0}, {0, 0, 0}},
        {5, 1, {0x64000, 0x65000}, {8, 0, 15}},
        {2, 1, {0x66010, 0x44FF0}, {50, 0, 29}},
        {8, 1, {0, 0}, {9, 0, 0x42000007}},
        {9, 1, {0x67000, 0}, {1, 4, 0}},
        {1, 1, {0x68000, 0x44FF0}, {20, 0, 23}},
        {2, 1, {0x64000, 0}, {0xFFFFFF, 0, 0}},
    };
    put_entries(memory, NVME_ADMIN, 16, admin, sizeof admin / sizeof *admin);
    put_entries(memory, NVME_IO, 64, io, sizeof io / sizeof *io);
    memory_write_u64(memory, 0x44FF0, 0x6A000); /* a PRP list that goes on in another page */
    memory_write_u64(memory, 0x44FF8, 0x45000);
    for (unsigned n = 0; n < 8; n++)
        memory_write_u64(memory, 0x45000 + 8 * n, 0x6B000 + 0x1000ull * n);
    memory_write_u64(memory, 0x67000, 5ull << 32); /* ranges: 5 blocks from 30, 2 from 70 */
    memory_write_u64(memory, 0x67008, 30);
    memory_write_u64(memory, 0x67010, 2ull << 32);
    memory_write_u64(memory, 0x67018, 70);
}

static void make_board(struct run *run, struct block_image *images[DRIVES])
{
    static const uint8_t bios[0x10000] = {0xF4};
    struct error error = {{0}};
    struct board_pc_options board = {.bios = {bios, sizeof bios, NULL}, .no_vga = run->choices & 2};
    for (unsigned n = 0; n < DRIVES; n++) {
        struct block_queue_options queue = {.drive = 2 * n,
                                            .executor = run->executor,
                                            .timing = run->choices & 1 ? BLOCK_TIMING_HOST : BLOCK_TIMING_MODEL};
        images[n]->read_only = n == 1;
        board.drive[n].at.unit = (uint8_t)(2 * n);
        if (n == DRIVE_VIRTIO)
            board.drive[n].at = (struct block_attachment){.kind = BLOCK_ATTACH_VIRTIO_BLK, .slot = SLOT_VIRTIO};
        else if (n == DRIVE_NVME)
            board.drive[n].at = (struct block_attachment){.kind = BLOCK_ATTACH_NVME, .slot = SLOT_NVME};
        board.drive[n].drive = block_drive_create(run->machine, &queue, images[n], &error);
        if (!board.drive[n].drive)
            fail(&error);
    }
    if (board_pc_create(run->machine, &board, &error))
        fail(&error);
    machine_reset(run->machine);
    memory_write_u64(machine_memory(run->machine), 0x1000, 0x0000040000010000ull); /* PRD: 1 KiB at 64 KiB, */
    memory_write_u64(machine_memory(run->machine), 0x1008, 0x8000FE0000020000ull); /* then 63.5 KiB at 128 KiB */
    make_queue(machine_memory(run->machine));
    make_nvme_queues(machine_memory(run->machine));
}

static void finish(struct run *run)
{
    run->stop = machine_run(run->machine, MACHINE_NO_LIMIT);
    machine_finish(run->machine, run->stop);
    run->digest = machine_digest_all(run->machine);
}

static struct machine_options options_of(const struct journal_config *config, const struct run *run)
{
    return (struct machine_options){
        .ram_bytes = config->ram_bytes, .cpu = config->cpu, .digests = true, .no_reboot = run->choices & 4};
}

/* ---- once live, once from the journal ---- */

static void run_live(struct run *run, const char *path)
{
    struct error error = {{0}};
    struct journal_config config;
    struct block_image *images[DRIVES];
    struct input_mailbox *mailbox = input_mailbox_create();
    struct input *live = input_live_create(
        &(struct input_live_options){.mailbox = mailbox, .wall_clock_seconds = wall_clock, .entropy_seeded = true});
    make_config(&config, run->choices);
    struct replay_recorder_options options = {.path = path, .config = &config, .live = live, .zstd_level = 1};
    struct replay_recorder *recorder = replay_recorder_create(&options, &error);
    if (!recorder)
        fail(&error);
    struct machine_options machine = options_of(&config, run);
    machine.input = replay_recorder_input(recorder);
    machine.trace = replay_recorder_trace(recorder);
    if (run->choices & 1)
        run->executor = block_executor_threads_create(mailbox, 1);
    make_machine(run, &machine, mailbox);
    replay_recorder_attach(recorder, run->machine);
    for (unsigned n = 0; n < DRIVES; n++)
        images[n] = replay_recorder_image(recorder, 2 * n, make_disk(), &error);
    make_board(run, images);
    finish(run);
    if (replay_recorder_close(recorder, &error))
        fail(&error);
    machine_destroy(run->machine);
    replay_recorder_destroy(recorder);
    block_executor_destroy(run->executor);
    input_destroy(live);
    input_mailbox_destroy(mailbox);
    journal_config_free(&config);
}

static void check_result(struct replay_player *player, const struct run *live, const struct run *played)
{
    struct error error = {{0}};
    enum status status = replay_player_result(player, &error);
    const struct replay_divergence *divergence = replay_player_divergence(player);
    if (divergence) {
        for (unsigned n = 0; n < divergence->before_count; n++)
            fprintf(stderr, "  %s\n", divergence->before_text[n]);
        fprintf(stderr, "%s\n  expected: %s\n  actual: %s\n", divergence->text, divergence->expected_text,
                divergence->actual_text);
    }
    if (status)
        fail(&error);
    CHECK(live->stop == played->stop);
    CHECK(live->digest == played->digest);
}

static void run_journal(struct run *run, const char *path, const struct run *live)
{
    struct error error = {{0}};
    struct block_image *images[DRIVES];
    struct replay_player_options options = {.path = path};
    struct replay_player *player = replay_player_open(&options, &error);
    if (!player)
        fail(&error);
    struct machine_options machine = options_of(replay_player_config(player), run);
    machine.input = replay_player_input(player);
    machine.trace = replay_player_trace(player);
    if (run->choices & 1)
        run->executor = block_executor_deferred_create();
    make_machine(run, &machine, NULL);
    replay_player_attach(player, run->machine);
    for (unsigned n = 0; n < DRIVES; n++)
        images[n] = replay_player_image(player, 2 * n, &error);
    make_board(run, images);
    finish(run);
    check_result(player, live, run);
    machine_destroy(run->machine);
    replay_player_destroy(player);
    block_executor_destroy(run->executor);
}

static void prepare(struct run *run, const uint8_t *data, size_t size)
{
    memset(run, 0, sizeof *run);
    run->choices = data[0];
    memcpy(run->script, preamble, sizeof preamble);
    size_t bytes = size - 1 < SCRIPT_BYTES_MAX ? size - 1 : SCRIPT_BYTES_MAX;
    memcpy(run->script + sizeof preamble, data + 1, bytes);
    run->script_bytes = sizeof preamble + bytes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    struct run live, played;
    if (!size)
        return 0;
    int file = memfd_create("journal", MFD_CLOEXEC);
    CHECK(file >= 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    prepare(&live, data, size);
    prepare(&played, data, size);
    run_live(&live, path);
    run_journal(&played, path, &live);
    close(file);
    return 0;
}
