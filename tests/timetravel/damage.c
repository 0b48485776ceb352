/* Damaged snapshots: whatever the bytes say, restoring ends with a status, the machine can be run and can be restored from a whole one.
 *
 *   damage JOURNAL SEED ROUNDS
 *
 * A round takes a snapshot at a random place of the run, writes it out, damages it (bytes, pages, its length), reads and restores it
 * and lets the machine run for a moment; then the whole snapshot is restored, whose digest must be the one of before. */
#include "tests/timetravel/journey.h"

#include "core/snapshot.h"

static uint64_t state;

static void damage(struct content_writer *out)
{
    unsigned count = 1 + (unsigned)draw(&state, 8);
    for (unsigned n = 0; n < count; n++) {
        uint64_t at = draw(&state, out->size_bytes);
        switch (draw(&state, 6)) {
        case 0: out->bytes[at] ^= (uint8_t)(1u << draw(&state, 8)); break;
        case 1: out->bytes[at] = (uint8_t)draw(&state, 256); break;
        case 2: memset(out->bytes + at, draw(&state, 2) ? 0xFF : 0, out->size_bytes - at < 8 ? 1 : 8); break;
        case 3: out->size_bytes -= draw(&state, 4) ? 0 : draw(&state, out->size_bytes / 2); break;
        case 4: out->page_count -= out->page_count && !draw(&state, 4); break;
        default: { /* two pages change places */
            size_t a = draw(&state, out->page_count), b = draw(&state, out->page_count);
            uint32_t page = out->page[a];
            out->page[a] = out->page[b];
            out->page[b] = page;
        }
        }
    }
}

/* True: it was restored. */
static bool restore_damaged(struct session *session, struct content_writer *out)
{
    struct content_reader reader = {.store = out->store,
                                    .at = out->bytes,
                                    .end = out->bytes + out->size_bytes,
                                    .page = out->page,
                                    .page_end = out->page + out->page_count};
    struct machine_snapshot *snapshot = machine_snapshot_read(session->machine, &reader);
    bool restored = snapshot && machine_snapshot_restore(session->machine, snapshot) == STATUS_OK;
    if (restored) {
        uint64_t icount = machine_position(session->machine).icount;
        (void)machine_digest_all(session->machine);
        (void)machine_run(session->machine, (struct position){icount + 20000, 0});
    }
    machine_snapshot_destroy(snapshot);
    return restored;
}

static bool round_of(struct session *session, struct page_store *store)
{
    uint64_t end = replay_player_end(session->player).icount;
    struct position limit = {draw(&state, end), 0};
    while (machine_run(session->machine, limit) == MACHINE_STOP_IO_ERROR)
        ;
    struct replay_place place = replay_player_place(session->player);
    struct machine_snapshot *whole = machine_snapshot_take(session->machine, store);
    if (!whole)
        fail("no snapshot at %" PRIu64, limit.icount);
    uint64_t digest = machine_digest_all(session->machine);
    struct content_writer out = {.store = store};
    bool restored = false;
    for (unsigned n = 0; n < 10; n++) {
        machine_snapshot_write(whole, &out);
        size_t pages = out.page_count;
        damage(&out);
        restored |= restore_damaged(session, &out);
        out.page_count = pages;
        content_writer_free(&out);
        if (machine_snapshot_restore(session->machine, whole) || replay_player_return(session->player, &place))
            fail("the whole snapshot can't be restored");
        expect_digest(session, "the whole snapshot", digest);
    }
    machine_snapshot_destroy(whole);
    return restored;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: damage JOURNAL SEED ROUNDS\n");
        return 2;
    }
    state = strtoull(argv[2], NULL, 10);
    unsigned rounds = (unsigned)strtoul(argv[3], NULL, 10), restored = 0;
    for (unsigned n = 0; n < rounds; n++) {
        static struct session session;
        struct page_store *store = page_store_create();
        open_replay(&session, argv[1]);
        restored += round_of(&session, store);
        session_close(&session, 0);
        page_store_destroy(store);
    }
    printf("%u rounds, %u of them with a damaged snapshot that could be restored\n", rounds, restored);
    return 0;
}
