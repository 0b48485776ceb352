/* See travel.h. */
#include "tools/travel.h"

#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <string.h>

void travel_print_when(struct session *session, FILE *out)
{
    struct position now = machine_position(session->machine);
    if (machine_counts_exits(session->machine))
        fprintf(out, "exit %" PRIu64 ", step %" PRIu64, now.icount, checkpoint_icount(session->machine));
    else
        fprintf(out, "icount %" PRIu64, now.icount);
    fprintf(out, ", virtual time %" PRIu64 ".%09" PRIu64 " s", now.vtime_ns / 1000000000, now.vtime_ns % 1000000000);
    uint64_t end = session->player ? replay_player_end(session->player).icount : 0;
    if (end && end != POSITION_NEVER)
        fprintf(out, ", %.2f %%", (double)now.icount * 100 / (double)end);
    fprintf(out, "%s", debug_in_step(session->machine) ? ", within the step" : "");
    if (session->diversion.open)
        fprintf(out, ", in a diversion from icount %" PRIu64, session->diversion.at.icount);
    fputc('\n', out);
}

/* ---- names of positions ---- */

static const char *behind(const char *words, const char *word)
{
    size_t length = strlen(word);
    return strncmp(words, word, length) || words[length] != ' ' ? NULL : words + length + strspn(words + length, " ");
}

static enum status parse_percent(struct session *session, const char *words, uint64_t *icount, struct error *error)
{
    char *rest;
    double percent = strtod(words, &rest);
    if (rest == words || strcmp(rest, "%") || !(percent >= 0 && percent <= 100))
        return error_status(error, STATUS_INVALID, "%s: 0%% to 100%% expected", words);
    *icount = (uint64_t)((double)replay_player_end(session->player).icount * percent / 100);
    return STATUS_OK;
}

static enum status parse_time(struct session *session, const char *words, uint64_t *icount, struct error *error)
{
    char *rest;
    double seconds = strtod(words, &rest);
    if (!strcmp(rest, "s"))
        rest++;
    if (machine_counts_exits(session->machine))
        return error_status(error, STATUS_UNSUPPORTED, "not in a run whose positions are exits");
    if (rest == words || *rest || !(seconds >= 0 && seconds < 1e9))
        return error_status(error, STATUS_INVALID, "%s: a virtual time in seconds expected", words);
    return replay_player_find_time(session->player, (uint64_t)(seconds * 1e9 + 0.5), icount, error);
}

static enum status parse_event(struct session *session, const char *words, uint64_t *icount, struct error *error)
{
    uint64_t number;
    struct position position;
    if (parse_u64(words, &number) || !number)
        return error_status(error, STATUS_INVALID, "%s: the number of an event expected, from 1 on", words);
    enum status status = replay_player_find_event(session->player, number, &position, error);
    *icount = status ? 0 : position.icount;
    return status;
}

static enum status parse_exit(struct session *session, const char *words, uint64_t *icount, struct error *error)
{
    if (!machine_counts_exits(session->machine))
        return error_status(error, STATUS_INVALID, "positions of this run are instructions, not exits");
    return parse_u64(words, icount) ? error_status(error, STATUS_INVALID, "%s: the number of an exit expected", words)
                                    : STATUS_OK;
}

static const struct travel_bookmark *find_bookmark(const struct session *session, const char *name)
{
    for (unsigned n = 0; n < session->travel.bookmarks; n++) {
        if (!strcmp(session->travel.bookmark[n].name, name))
            return &session->travel.bookmark[n];
    }
    return NULL;
}

static enum status check(const struct session *session, struct error *error)
{
    if (session->timeline)
        return STATUS_OK;
    return error_status(error, STATUS_UNSUPPORTED, "%s",
                        session->player ? "this replay only goes forwards" : "only a replay can be walked about in");
}

static enum status parse_place(struct session *session, const char *words, uint64_t *icount, struct error *error)
{
    const char *rest;
    if (!strcmp(words, "start"))
        *icount = 0;
    else if ((rest = behind(words, "event")))
        return parse_event(session, rest, icount, error);
    else if ((rest = behind(words, "time")))
        return parse_time(session, rest, icount, error);
    else if ((rest = behind(words, "exit")))
        return parse_exit(session, rest, icount, error);
    else if (strchr(words, '%'))
        return parse_percent(session, words, icount, error);
    else if (parse_u64(words, icount))
        return error_status(error, STATUS_INVALID,
                            "%s: a position, P%%, start, end, event N, time SECONDS, exit N or a bookmark expected",
                            words);
    return STATUS_OK;
}

enum status travel_parse(struct session *session, const char *words, struct position *position, struct error *error)
{
    enum status status = check(session, error);
    const struct travel_bookmark *bookmark = find_bookmark(session, words);
    *position = (struct position){0, 0};
    if (status)
        return status;
    if (bookmark)
        *position = bookmark->position;
    else if (!strcmp(words, "end"))
        *position = MACHINE_NO_LIMIT;
    else
        return parse_place(session, words, &position->icount, error);
    return STATUS_OK;
}

enum status travel_set_bookmark(struct session *session, const char *name, struct error *error)
{
    struct travel *travel = &session->travel;
    struct travel_bookmark *bookmark = (struct travel_bookmark *)(uintptr_t)find_bookmark(session, name);
    if (session->diversion.open)
        return error_status(error, STATUS_INVALID, "a diversion has no positions of the replay");
    if (!bookmark && travel->bookmarks == TRAVEL_BOOKMARKS)
        return error_status(error, STATUS_INVALID, "there are %u bookmarks already", TRAVEL_BOOKMARKS);
    if (!*name || strlen(name) >= TRAVEL_NAME_BYTES || strpbrk(name, " \t%") || (*name >= '0' && *name <= '9'))
        return error_status(error, STATUS_INVALID, "a name of at most %u letters expected, not a number",
                            TRAVEL_NAME_BYTES - 1);
    if (!bookmark)
        bookmark = &travel->bookmark[travel->bookmarks++];
    snprintf(bookmark->name, sizeof bookmark->name, "%s", name);
    bookmark->position = machine_position(session->machine);
    bookmark->steps = checkpoint_icount(session->machine);
    return STATUS_OK;
}

/* ---- going there ---- */

static enum status arrived(struct session *session, enum timeline_result result, struct error *error)
{
    console_flush(session->console);
    switch (result) {
    case TIMELINE_THERE:
    case TIMELINE_AT_END: return STATUS_OK;
    case TIMELINE_AT_START: return STATUS_NOT_FOUND;
    case TIMELINE_INTERRUPTED: return error_status(error, STATUS_INTERRUPTED, "interrupted");
    case TIMELINE_BROKEN: break;
    }
    return error_status(error, STATUS_CORRUPT, "%s", timeline_error(session->timeline));
}

enum status travel_go(struct session *session, struct position position, struct error *error)
{
    enum status status = check(session, error);
    if (status)
        return status;
    control_stop(session);
    diversion_drop(session);
    return arrived(session, timeline_seek_position(session->timeline, position), error);
}

enum status travel_goto(struct session *session, const char *words, struct error *error)
{
    struct position position;
    const struct travel_bookmark *bookmark = find_bookmark(session, words);
    enum status status = travel_parse(session, words, &position, error);
    if (status || !bookmark || !machine_counts_exits(session->machine))
        return status ? status : travel_go(session, position, error);
    control_stop(session);
    return arrived(session, timeline_seek(session->timeline, bookmark->steps), error);
}

/* An access carries the number of the exit that it is, which is counted when it is done. */
enum status travel_go_before(struct session *session, struct position position, struct error *error)
{
    bool exits = machine_counts_exits(session->machine);
    position = (struct position){position.icount + exits, 0};
    enum status status = travel_go(session, position, error);
    uint64_t steps = checkpoint_icount(session->machine);
    return status || !exits || !steps ? status : arrived(session, timeline_seek(session->timeline, steps - 1), error);
}

enum status travel_last_store(struct session *session, uint64_t gpa, uint64_t size_bytes, struct debug_hit *hit,
                              struct error *error)
{
    struct debug_stop stop;
    struct debug_point point = {.kind = DEBUG_WRITE, .flags = DEBUG_PHYSICAL, .address = gpa, .size_bytes = size_bytes};
    enum status status = check(session, error);
    if (status)
        return status;
    diversion_drop(session);
    if (debug_insert(session->machine, &point))
        return error_status(error, STATUS_INVALID, "no such range of physical addresses");
    control_stop(session);
    timeline_only(session->timeline, &point);
    status = arrived(session, timeline_reverse_continue(session->timeline, &stop), error);
    timeline_only(session->timeline, NULL);
    if (debug_remove(session->machine, &point))
        return error_status(error, STATUS_INVALID, "the watchpoint is gone");
    if (!status)
        *hit = stop.hit[0];
    return status;
}
