/* when, digest, goto, bookmark, checkpoint, last-store, diversion, info timeline: where a replay is, and going elsewhere. */
#include "tools/monitor/hmp.h"

#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <string.h>

static void print_error(const struct error *error, FILE *out)
{
    fprintf(out, "Error: %s\n", error->text);
}

void hmp_when(struct session *session, const char *words, FILE *out)
{
    (void)words;
    travel_print_when(session, out);
}

void hmp_digest(struct session *session, const char *words, FILE *out)
{
    (void)words;
    fprintf(out, "state %016" PRIx64 " all %016" PRIx64 "\n", machine_digest_state(session->machine),
            machine_digest_all(session->machine));
}

void hmp_goto(struct session *session, const char *words, FILE *out)
{
    struct error error = {0};
    if (travel_goto(session, words, &error))
        print_error(&error, out);
    if (session->timeline)
        travel_print_when(session, out);
}

static void list_bookmarks(const struct session *session, FILE *out)
{
    for (unsigned n = 0; n < session->travel.bookmarks; n++) {
        const struct travel_bookmark *bookmark = &session->travel.bookmark[n];
        fprintf(out, "%s: %s %" PRIu64 "\n", bookmark->name, machine_counts_exits(session->machine) ? "exit" : "icount",
                bookmark->position.icount);
    }
}

void hmp_bookmark(struct session *session, const char *words, FILE *out)
{
    struct error error = {0};
    if (!*words)
        list_bookmarks(session, out);
    else if (travel_set_bookmark(session, words, &error))
        print_error(&error, out);
}

void hmp_info_timeline(struct session *session, const char *words, FILE *out)
{
    (void)words;
    if (!session->timeline) {
        fprintf(out, "this run only goes forwards\n");
        return;
    }
    struct timeline_statistics statistics = timeline_statistics(session->timeline);
    fprintf(out, "%zu checkpoints, %" PRIu64 " KiB, %" PRIu64 " pages; set back %" PRIu64 " times, %" PRIu64 " of them by the journal's\n",
            statistics.checkpoints, statistics.bytes >> 10, statistics.pages, statistics.restored, statistics.loaded);
    if (timeline_dropped(session->timeline))
        fprintf(out, "not used: %s\n", timeline_dropped(session->timeline));
}

void hmp_checkpoint(struct session *session, const char *words, FILE *out)
{
    if (session->timeline && !timeline_lay(session->timeline))
        fprintf(out, "not here: go to a position first\n");
    hmp_info_timeline(session, words, out);
}

void hmp_last_store(struct session *session, const char *words, FILE *out)
{
    struct error error = {0};
    struct debug_hit hit;
    uint64_t gpa, size_bytes = 1;
    const char *rest;
    if (!hmp_expression(session, words, &gpa, &rest) ||
        (*(rest += strspn(rest, " ")) && (parse_u64(rest, &size_bytes) || !size_bytes))) {
        fprintf(out, "a physical address expected, and perhaps how many bytes\n");
        return;
    }
    enum status status = travel_last_store(session, gpa, size_bytes, &hit, &error);
    if (status == STATUS_NOT_FOUND)
        fprintf(out, "nothing was stored there before\n");
    else if (status)
        print_error(&error, out);
    else
        fprintf(out, "before the store of %" PRIu32 " bytes at %" PRIx64 " by %s\n", hit.size_bytes, hit.address,
                hit.by == DEBUG_BY_DMA ? "DMA" : "the CPU");
    if (session->timeline)
        travel_print_when(session, out);
}

void hmp_diversion(struct session *session, const char *words, FILE *out)
{
    struct error error = {0};
    if (!strcmp(words, "off"))
        diversion_drop(session);
    else if (!strcmp(words, "keep") && diversion_keep(session, &error))
        print_error(&error, out);
    else if (*words && strcmp(words, "keep") != 0)
        fprintf(out, "off or keep expected\n");
    diversion_print(session, out);
}
