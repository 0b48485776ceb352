/* Commands of a replay's monitor that look its journal through: events, writes, last-write, next-write. The latter two go to what
 * they find, where the replay can. */
#include "replay/request_find.h"
#include "tools/journal_walk.h"
#include "tools/monitor/hmp.h"
#include "tools/session.h"
#include "tools/tools.h"
#include "tools/writes.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define AROUND_DEFAULT 8u
#define WORDS_MAX 3u

/* Null, and said so: there is no journal to look through, or it can't be read. */
static struct journal_reader *open_journal(struct session *session, FILE *out)
{
    struct error error = {0};
    struct journal_reader *reader = NULL;
    if (!session->player)
        fprintf(out, "Error: only a replay has a journal to look through\n");
    else if (!(reader = journal_reader_open(session->options.input, &error)))
        fprintf(out, "Error: %s\n", error.text);
    return reader;
}

static void say_error(struct journal_reader *reader, enum status status, struct error *error, FILE *out)
{
    (void)journal_walk_blame(reader, status, error);
    fprintf(out, "Error: %s\n", error->text);
}

/* Numbers, in words; false, and said so: other words, or fewer or more. */
static bool take_numbers(const char *words, uint64_t number[WORDS_MAX], unsigned least, unsigned most, unsigned *count,
                         const char *expected, FILE *out)
{
    char *copy = strdup(words), *state = NULL;
    bool good = true;
    CHECK(copy);
    *count = 0;
    for (char *word = strtok_r(copy, " \t", &state); word && good; word = strtok_r(NULL, " \t", &state)) {
        good = *count < most && parse_size(word, 1, &number[*count]) == STATUS_OK;
        *count += good;
    }
    free(copy);
    good = good && *count >= least;
    if (!good)
        fprintf(out, "%s expected\n", expected);
    return good;
}

static struct position here(const struct session *session)
{
    const struct diversion *diversion = &session->diversion;
    return diversion->open ? diversion->at : machine_position(session->machine);
}

/* ---- events ---- */

struct print {
    FILE *out;
    uint64_t here;
    bool marked;
};

static void mark(struct print *print)
{
    if (!print->marked)
        fprintf(print->out, "-> %" PRIu64 "\n", print->here);
    print->marked = true;
}

static void print_event(void *opaque, const struct journal_event *event)
{
    struct print *print = opaque;
    char text[256];
    if (event->trace.position.icount >= print->here)
        mark(print);
    fprintf(print->out, "   %" PRIu64 " (%" PRIu64 " ns) %s\n", event->trace.position.icount,
            event->trace.position.vtime_ns, journal_event_text(event, text, sizeof text));
}

void hmp_events(struct session *session, const char *words, FILE *out)
{
    uint64_t number[WORDS_MAX] = {here(session).icount, AROUND_DEFAULT};
    unsigned count;
    struct error error = {0};
    if (!strncmp(words, "around", 6) && (!words[6] || words[6] == ' '))
        words += 6;
    if (!take_numbers(words, number, 0, 2, &count, "[around] [position (icount) [number of events to each side]]", out))
        return;
    struct journal_reader *reader = open_journal(session, out);
    if (!reader)
        return;
    struct print print = {.out = out, .here = number[0]};
    unsigned each_side = number[1] < EVENTS_AROUND_MAX ? (unsigned)number[1] : EVENTS_AROUND_MAX;
    enum status status = events_around(reader, number[0], each_side, each_side, print_event, &print, &error);
    if (status)
        say_error(reader, status, &error, out);
    else
        mark(&print);
    journal_reader_destroy(reader);
}

/* ---- writes ---- */

struct listed_writes {
    struct print print;
    uint64_t each_side, before, seen; /* before: so many of them come before here */
};

static bool is_write(const struct guest_request *request)
{
    return request->op != TRACE_BLOCK_READ;
}

static bool count_write(void *opaque, const struct request_walk *walk, const struct guest_request *request)
{
    struct listed_writes *writes = opaque;
    (void)walk;
    writes->before += is_write(request) && request->submit.icount < writes->print.here;
    return request->submit.icount < writes->print.here;
}

static bool print_write(void *opaque, const struct request_walk *walk, const struct guest_request *request)
{
    struct listed_writes *writes = opaque;
    if (!is_write(request))
        return true;
    uint64_t n = writes->seen++;
    if (n + writes->each_side < writes->before)
        return true;
    if (n >= writes->before + writes->each_side)
        return false;
    if (n >= writes->before)
        mark(&writes->print);
    writes_print_line(walk, request, NULL, writes->print.out);
    return true;
}

void hmp_writes(struct session *session, const char *words, FILE *out)
{
    uint64_t number[WORDS_MAX] = {AROUND_DEFAULT};
    unsigned count;
    struct error error = {0};
    if (!take_numbers(words, number, 0, 1, &count, "[number of requests to each side]", out))
        return;
    struct journal_reader *reader = open_journal(session, out);
    if (!reader)
        return;
    struct listed_writes writes = {.print = {.out = out, .here = here(session).icount},
                                   .each_side = number[0] < EVENTS_AROUND_MAX ? number[0] : EVENTS_AROUND_MAX};
    struct request_walk walk = {.each = count_write, .opaque = &writes};
    enum status status = request_walk(&walk, reader, &error);
    if (!status) {
        writes_print_header(out);
        walk = (struct request_walk){.each = print_write, .opaque = &writes};
        status = request_walk(&walk, reader, &error);
    }
    if (status)
        say_error(reader, status, &error, out);
    else
        mark(&writes.print);
    journal_reader_destroy(reader);
}

/* ---- writes of a sector ---- */

static void print_request(const struct session *session, struct journal_reader *reader,
                          const struct trace_event *request, FILE *out)
{
    struct trace_event end;
    struct error error = {0};
    uint64_t now = machine_position(session->machine).icount;
    fprintf(out,
            "icount %" PRIu64 " (%s%" PRIu64 "): drive %u tag %u %s of %u sectors at %" PRIu64 ", hash %016" PRIx64,
            request->position.icount, request->position.icount < now ? "-" : "+",
            request->position.icount < now ? now - request->position.icount : request->position.icount - now,
            (unsigned)request->drive, (unsigned)request->tag, trace_block_op_name((enum trace_block_op)request->op),
            (unsigned)request->sectors, request->address, request->value);
    if (request_find_completion(reader, request, &end, &error) == STATUS_OK)
        fprintf(out, "; done at %" PRIu64 ": %s\n", end.position.icount,
                end.status ? status_name((enum status)end.status) : "ok");
    else
        fprintf(out, "; not done in this journal\n");
}

/* To the instruction that hands it to the drive, which is still to be executed. */
static void go_to(struct session *session, const struct trace_event *request, FILE *out)
{
    struct error error = {0};
    if (session->timeline && travel_go_before(session, request->position, &error))
        fprintf(out, "Error: %s\n", error.text);
}

typedef enum status find_fn(struct journal_reader *reader, uint32_t drive, uint64_t sector, uint64_t icount,
                            struct trace_event *found, struct error *error);

static void find_write(struct session *session, const char *words, find_fn *find, const char *where, FILE *out)
{
    uint64_t number[WORDS_MAX] = {0, REQUEST_FIND_ANY_DRIVE};
    unsigned count;
    struct trace_event found;
    struct error error = {0};
    if (!take_numbers(words, number, 1, 2, &count, "sector (of 512 bytes) and, where there are several, drive", out))
        return;
    struct journal_reader *reader = open_journal(session, out);
    if (!reader)
        return;
    if (session->timeline)
        diversion_drop(session); /* its position is not the journal's */
    uint32_t drive = number[1] < REQUEST_FIND_ANY_DRIVE ? (uint32_t)number[1] : REQUEST_FIND_ANY_DRIVE;
    enum status status = find(reader, drive, number[0], machine_position(session->machine).icount, &found, &error);
    if (status == STATUS_NOT_FOUND)
        fprintf(out, "no write of sector %" PRIu64 " %s\n", number[0], where);
    else if (status)
        say_error(reader, status, &error, out);
    else
        print_request(session, reader, &found, out);
    journal_reader_destroy(reader);
    if (!status)
        go_to(session, &found, out);
}

void hmp_last_write(struct session *session, const char *words, FILE *out)
{
    find_write(session, words, request_find_last_write, "before here", out);
}

void hmp_next_write(struct session *session, const char *words, FILE *out)
{
    find_write(session, words, request_find_next_write, "after here", out);
}
