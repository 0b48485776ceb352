/* Saved machines: what is read of a snapshot (core/snapshot.c), of a file of checkpoints (replay/timeline_file.c) and of a journal's
 * checkpoints (replay/checkpoint_frames.c). Whatever the bytes say: a status, and the machine can be run, and brought back by what is
 * whole; a checkpoint of the journal that is used leads to the digests of the run.
 *
 * The input changes real ones, made once of a guest that has a disk, with the checksums made right again, so that what lies under
 * them is reached. A byte: 0 a snapshot, 1 a file, 2 a journal. Then changes of 6 bytes each: u32 where, u8 how and in which part
 * (upper two bits), u8 value. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "tests/fuzz/fuzz.h"

#include "core/snapshot.h"
#include "replay/journal_reader.h"
#include "tools/session.h"
#include "tools/tools.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#define HEADER_BYTES 96u /* of a file of checkpoints: timeline_file.c */
#define FIELDS_AT 32u
#define FIELDS_BYTES 48u
#define CHANGE_BYTES 6u
#define CHANGES_MAX 32u
#define FRAMES_MAX 4096u
#define PLACES 4u
#define SHORT_STEPS 20000u

const char *tool_version(void) /* else main.c's */
{
    return "a test";
}

struct change {
    uint32_t where;
    uint8_t part, how, value;
};

struct part {
    uint8_t *bytes;
    size_t size;
};

struct frame {
    struct journal_frame head;
    struct part raw;
};

/* Made once, never changed. */
struct originals {
    bool made;
    char journal[64], file[64], damaged[64];
    uint64_t end, place[PLACES], digest[PLACES];
    /* a snapshot, of a machine that is kept for it */
    struct session session;
    struct page_store *store;
    struct machine_snapshot *whole;
    struct replay_place at;
    uint64_t whole_digest;
    /* a file of checkpoints */
    uint8_t header[HEADER_BYTES];
    struct part raw, numbers, pages;
    /* the journal */
    uint8_t file_header[JOURNAL_FILE_HEADER_BYTES];
    struct frame frame[FRAMES_MAX];
    unsigned frames, part[FRAMES_MAX], parts; /* those of checkpoints */
};

/* ---- the run ---- */

static void remove_files(void);
static struct originals *originals(void)
{
    static struct originals all;
    return &all;
}

static void open_session(struct session *session, enum options_use use, int argc, char **argv)
{
    CHECK(session_open(session, use, argc, argv) < 0);
}

static void record(char *journal)
{
    static struct session session;
    char disk[64], drive[128], guest[] = VMRR_GUESTS "/ide_pio.elf";
    snprintf(disk, sizeof disk, "/tmp/vmrr-fuzz-%d.img", (int)getpid());
    FILE *file = fopen(disk, "wb");
    CHECK(file && !ftruncate(fileno(file), 2 << 20) && !fclose(file));
    snprintf(drive, sizeof drive, "file=%s,format=raw,if=ide", disk);
    char *arguments[] = {"record",  "-q",  "-o",     journal, "-serial",
                         "none",    "-m",  "4M",     "-rtc",  "base=2026-01-01T10:20:30",
                         "-kernel", guest, "-drive", drive,   "--checkpoint-frames=65536"};
    open_session(&session, OPTIONS_RECORD, sizeof arguments / sizeof arguments[0], arguments);
    (void)session_judge_recording(&session, session_run(&session));
    session_close(&session, 0);
    unlink(disk);
}

static void open_replay(struct session *session, char *journal)
{
    char *arguments[] = {"replay", "-q", "-serial", "none", journal};
    open_session(session, OPTIONS_REPLAY, sizeof arguments / sizeof arguments[0], arguments);
}

static void open_timeline(struct session *session, char *journal)
{
    open_replay(session, journal);
    session->timeline = timeline_create(
        &(struct timeline_options){.machine = session->machine, .player = session->player, .memory_bytes = 8u << 20},
        NULL);
    CHECK(session->timeline);
}

static void run_to(struct session *session, uint64_t icount)
{
    while (machine_run(session->machine, (struct position){icount, 0}) == MACHINE_STOP_IO_ERROR)
        ;
}

/* ---- the originals ---- */

static uint8_t *unpacked(const uint8_t *packed, size_t packed_bytes, size_t size)
{
    uint8_t *bytes = malloc(size + 1);
    CHECK(bytes && ZSTD_decompress(bytes, size, packed, packed_bytes) == size);
    return bytes;
}

static void take_file(struct originals *all)
{
    FILE *in = fopen(all->file, "rb");
    CHECK(in && !fseek(in, 0, SEEK_END));
    size_t size = (size_t)ftell(in);
    uint8_t *bytes = malloc(size);
    rewind(in);
    CHECK(bytes && fread(bytes, 1, size, in) == size && !fclose(in));
    memcpy(all->header, bytes, HEADER_BYTES);
    size_t raw_packed = le64_get(bytes + 48), numbers_packed = le64_get(bytes + 64);
    all->raw.size = le64_get(bytes + 40);
    all->numbers.size = 4 * le64_get(bytes + 56);
    const uint8_t *at = bytes + HEADER_BYTES;
    all->raw.bytes = unpacked(at, raw_packed, all->raw.size);
    all->numbers.bytes = unpacked(at + raw_packed, numbers_packed, all->numbers.size);
    all->pages.size = size - HEADER_BYTES - raw_packed - numbers_packed;
    all->pages.bytes = malloc(all->pages.size + 1);
    CHECK(all->pages.bytes);
    memcpy(all->pages.bytes, at + raw_packed + numbers_packed, all->pages.size);
    free(bytes);
}

static void make_file(struct originals *all)
{
    static struct session session;
    struct error error = {0};
    open_timeline(&session, all->journal);
    for (unsigned n = 0; n < PLACES; n++) {
        CHECK(timeline_seek(session.timeline, all->place[n]) == TIMELINE_THERE);
        CHECK(machine_digest_all(session.machine) == all->digest[n] && timeline_lay(session.timeline));
    }
    CHECK(!timeline_save(session.timeline, all->file, 20, &error));
    session_close(&session, 0);
    take_file(all);
}

static void take_frames(struct originals *all)
{
    struct journal_reader *reader = journal_reader_open(all->journal, NULL);
    FILE *in = fopen(all->journal, "rb");
    uint8_t *raw = malloc(JOURNAL_FRAME_RAW_MAX);
    CHECK(reader && raw && in && fread(all->file_header, 1, JOURNAL_FILE_HEADER_BYTES, in) && !fclose(in));
    for (size_t n = 0; n < journal_reader_count(reader); n++) {
        struct frame *frame = &all->frame[all->frames];
        frame->head = *journal_reader_frame(reader, n);
        unsigned kind = frame->head.kind;
        if (kind == JOURNAL_FRAME_INDEX || kind == JOURNAL_FRAME_END)
            break;
        CHECK(all->frames < FRAMES_MAX && !journal_reader_load(reader, n, raw, NULL));
        frame->raw = (struct part){malloc(frame->head.raw_bytes + 1u), frame->head.raw_bytes};
        CHECK(frame->raw.bytes);
        memcpy(frame->raw.bytes, raw, frame->raw.size);
        if (kind == JOURNAL_FRAME_CHECKPOINT || kind == JOURNAL_FRAME_PAGES || kind == JOURNAL_FRAME_STATE)
            all->part[all->parts++] = all->frames;
        all->frames++;
    }
    CHECK(all->parts);
    free(raw);
    journal_reader_destroy(reader);
}

static void note_places(struct originals *all)
{
    struct session *session = &all->session;
    open_replay(session, all->journal);
    all->end = replay_player_end(session->player).icount;
    for (unsigned n = 0; n < PLACES; n++) {
        all->place[n] = all->end * (n + 1) / (PLACES + 1);
        run_to(session, all->place[n]);
        all->digest[n] = machine_digest_all(session->machine);
    }
    all->store = page_store_create();
    all->at = replay_player_place(session->player);
    all->whole = machine_snapshot_take(session->machine, all->store);
    all->whole_digest = machine_digest_all(session->machine);
    CHECK(all->whole);
}

static struct originals *prepare(void)
{
    struct originals *all = originals();
    if (all->made)
        return all;
    snprintf(all->journal, sizeof all->journal, "/tmp/vmrr-fuzz-%d.vmrr", (int)getpid());
    snprintf(all->file, sizeof all->file, "/tmp/vmrr-fuzz-%d.cp", (int)getpid());
    snprintf(all->damaged, sizeof all->damaged, "/tmp/vmrr-fuzz-%d.bad", (int)getpid());
    all->made = true;
    atexit(remove_files);
    record(all->journal);
    note_places(all);
    make_file(all);
    take_frames(all);
    return all;
}

static void remove_files(void)
{
    struct originals *all = originals();
    unlink(all->journal);
    unlink(all->file);
    unlink(all->damaged);
}

/* ---- changes ---- */

static struct part copy_of(const struct part *part)
{
    struct part copy = {malloc(part->size + 1), part->size};
    CHECK(copy.bytes);
    memcpy(copy.bytes, part->bytes, part->size);
    return copy;
}

static void apply(struct part *part, size_t at, const struct change *change)
{
    if (!part->size)
        return;
    at %= part->size;
    switch (change->how % 7) {
    case 0: part->bytes[at] = change->value; break;
    case 1: part->bytes[at] ^= (uint8_t)(1u << change->value % 8); break;
    case 2: part->bytes[at] = (uint8_t)(part->bytes[at] + change->value); break;
    case 3: memset(part->bytes + at, change->value, part->size - at < 4 ? part->size - at : 4); break;
    case 4: memset(part->bytes + at, change->value, part->size - at < 8 ? part->size - at : 8); break;
    case 5: part->size -= part->size / 4 * (change->value % 4) / 4; break;
    default: part->size = at + 1;
    }
}

static unsigned get_changes(const uint8_t *data, size_t size, struct change *changes)
{
    unsigned count = 0;
    for (; size >= CHANGE_BYTES && count < CHANGES_MAX; data += CHANGE_BYTES, size -= CHANGE_BYTES)
        changes[count++] = (struct change){le32_get(data), data[4] >> 6, data[4] & 63, data[5]};
    return count;
}

/* ---- a snapshot ---- */

static void try_snapshot(struct originals *all, struct content_writer *out, size_t size)
{
    struct session *session = &all->session;
    struct content_reader reader = {.store = all->store,
                                    .at = out->bytes,
                                    .end = out->bytes + size,
                                    .page = out->page,
                                    .page_end = out->page + out->page_count};
    struct machine_snapshot *snapshot = machine_snapshot_read(session->machine, &reader);
    if (snapshot && machine_snapshot_restore(session->machine, snapshot) == STATUS_OK) {
        (void)machine_digest_all(session->machine);
        run_to(session, machine_position(session->machine).icount + SHORT_STEPS);
    }
    machine_snapshot_destroy(snapshot);
    CHECK(!machine_snapshot_restore(session->machine, all->whole) && !replay_player_return(session->player, &all->at));
    CHECK(machine_digest_all(session->machine) == all->whole_digest);
}

static void run_snapshot(struct originals *all, const struct change *changes, unsigned count)
{
    struct content_writer out = {.store = all->store};
    machine_snapshot_write(all->whole, &out);
    struct part bytes = {out.bytes, out.size_bytes};
    for (unsigned n = 0; n < count; n++) {
        if (changes[n].part != 3) {
            apply(&bytes, changes[n].where, &changes[n]);
            continue;
        }
        size_t a = changes[n].where % out.page_count, b = changes[n].value % out.page_count;
        uint32_t page = out.page[a];
        out.page[a] = out.page[b];
        out.page[b] = page;
    }
    try_snapshot(all, &out, bytes.size);
    content_writer_free(&out);
}

/* ---- a file ---- */

/* Goes to the places: by what is good of it. */
static void go_about(struct originals *all, struct session *session, bool digests)
{
    for (unsigned n = PLACES; n--;) {
        enum timeline_result result = timeline_seek(session->timeline, all->place[n]);
        CHECK(result != TIMELINE_INTERRUPTED);
        if (digests)
            CHECK(result == TIMELINE_THERE && machine_digest_all(session->machine) == all->digest[n]);
    }
}

static struct part pack(const struct part *part)
{
    struct part packed = {malloc(ZSTD_compressBound(part->size) + 1), 0};
    CHECK(packed.bytes);
    packed.size = ZSTD_compress(packed.bytes, ZSTD_compressBound(part->size), part->bytes, part->size, 1);
    CHECK(!ZSTD_isError(packed.size));
    return packed;
}

static void write_file(const char *path, uint8_t *header, const struct part *content)
{
    le64_put(header + 80, journal_hash64(content->bytes, content->size));
    le64_put(header + 88, journal_hash64(header, 88));
    FILE *file = fopen(path, "wb");
    CHECK(file && fwrite(header, 1, HEADER_BYTES, file) == HEADER_BYTES &&
          fwrite(content->bytes, 1, content->size, file) == content->size && !fclose(file));
}

static struct part join(struct part *a, struct part *b, const struct part *c)
{
    struct part all = {malloc(a->size + b->size + c->size + 1), a->size + b->size + c->size};
    CHECK(all.bytes);
    memcpy(all.bytes, a->bytes, a->size);
    memcpy(all.bytes + a->size, b->bytes, b->size);
    memcpy(all.bytes + a->size + b->size, c->bytes, c->size);
    free(a->bytes);
    free(b->bytes);
    return all;
}

/* Sizes are made right before fields of the header are changed. */
static void make_damaged_file(struct originals *all, const struct change *changes, unsigned count)
{
    struct part raw = copy_of(&all->raw), numbers = copy_of(&all->numbers);
    uint8_t header[HEADER_BYTES];
    memcpy(header, all->header, HEADER_BYTES);
    for (unsigned n = 0; n < count; n++) {
        if (changes[n].part < 3)
            apply(changes[n].part == 2 ? &numbers : &raw, changes[n].where, &changes[n]);
    }
    numbers.size &= ~(size_t)3;
    struct part raw_packed = pack(&raw), numbers_packed = pack(&numbers);
    le64_put(header + 40, raw.size);
    le64_put(header + 48, raw_packed.size);
    le64_put(header + 56, numbers.size / 4);
    le64_put(header + 64, numbers_packed.size);
    struct part content = join(&raw_packed, &numbers_packed, &all->pages), fields = {header + FIELDS_AT, FIELDS_BYTES};
    for (unsigned n = 0; n < count; n++) {
        if (changes[n].part == 3)
            apply(&fields, changes[n].where, &changes[n]);
    }
    write_file(all->damaged, header, &content);
    free(content.bytes);
    free(raw.bytes);
    free(numbers.bytes);
}

static void run_file(struct originals *all, const struct change *changes, unsigned count)
{
    static struct session session;
    struct error error = {0};
    make_damaged_file(all, changes, count);
    open_timeline(&session, all->journal);
    enum status status = timeline_load(session.timeline, all->damaged, &error);
    CHECK(!status == !error.text[0]);
    go_about(all, &session, status != STATUS_OK); /* of memory nobody knows what a file should say */
    session_close(&session, 0);
}

/* ---- a journal ---- */

static void put_frame(FILE *out, const struct frame *frame, const struct part *raw)
{
    uint8_t header[JOURNAL_FRAME_HEADER_BYTES];
    struct journal_frame head = frame->head;
    head.flags |= JOURNAL_FLAG_STORED;
    head.raw_bytes = head.packed_bytes = (uint32_t)raw->size;
    head.raw_hash = journal_hash64(raw->bytes, raw->size);
    journal_frame_header_write(header, &head);
    le64_put(header + 72, journal_hash64_pair(header, 72, raw->bytes, raw->size));
    CHECK(fwrite(header, 1, sizeof header, out) == sizeof header && fwrite(raw->bytes, 1, raw->size, out) == raw->size);
}

static bool is_changed(const struct originals *all, unsigned frame, const struct change *change)
{
    return all->part[change->where % all->parts] == frame;
}

static void run_journal(struct originals *all, const struct change *changes, unsigned count)
{
    static struct session session;
    FILE *out = fopen(all->damaged, "wb");
    CHECK(out && fwrite(all->file_header, 1, JOURNAL_FILE_HEADER_BYTES, out) == JOURNAL_FILE_HEADER_BYTES);
    for (unsigned n = 0; n < all->frames; n++) {
        struct part raw = copy_of(&all->frame[n].raw);
        for (unsigned m = 0; m < count; m++) {
            if (is_changed(all, n, &changes[m]))
                apply(&raw, changes[m].where / all->parts, &changes[m]);
        }
        put_frame(out, &all->frame[n], &raw);
        free(raw.bytes);
    }
    CHECK(!fclose(out));
    open_timeline(&session, all->damaged);
    go_about(all, &session, true);
    session_close(&session, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct change changes[CHANGES_MAX];
    if (!size)
        return 0;
    struct originals *all = prepare();
    unsigned count = get_changes(data + 1, size - 1, changes);
    switch (data[0] % 3) {
    case 0: run_snapshot(all, changes, count); break;
    case 1: run_file(all, changes, count); break;
    default: run_journal(all, changes, count);
    }
    return 0;
}
