/* See diversion.h. */
#include "tools/diversion.h"

#include "tools/gdbstub/registers.h"
#include "tools/session.h"
#include "tools/tools.h"

#include <inttypes.h>
#include <string.h>

/* Of whichever drive has one. */
static bool oldest_request(void *opaque, struct input_message *completion)
{
    struct session *session = opaque;
    uint32_t tag;
    for (uint32_t n = 0; n < JOURNAL_DRIVES; n++) {
        if (!session->drive[n] || !block_drive_oldest_at_host(session->drive[n], &tag))
            continue;
        *completion = (struct input_message){.id = INPUT_BLOCK_COMPLETION, .target = n, .a = tag, .b = STATUS_OK};
        return true;
    }
    return false;
}

static struct cpu_state registers_of(struct session *session)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(session->machine);
    memset(&state, 0, sizeof state);
    accel->ops->get_state(accel, &state);
    return state;
}

static uint64_t stack_of(const struct cpu_state *state)
{
    const struct cpu_segment *ss = &state->segment[CPU_SS];
    if (cpu_state_code64(state))
        return state->gpr[CPU_RSP];
    return (uint32_t)(ss->base + (ss->attributes & 0x4000 ? (uint32_t)state->gpr[CPU_RSP] : (uint16_t)state->gpr[CPU_RSP]));
}

/* ---- out ---- */

const char *diversion_begin(struct session *session)
{
    struct diversion *diversion = &session->diversion;
    struct replay_host host = {session->executor ? oldest_request : NULL, session};
    if (diversion->open)
        return NULL;
    if (!session->timeline)
        return "a replay is what was recorded: where it only goes forwards its guest cannot be changed";
    struct diversion begun = {.open = true, .at = machine_position(session->machine), .ended = session->control.ended};
    begun.registers = registers_of(session);
    begun.digest = machine_digest_all(session->machine);
    begun.stack = stack_of(&begun.registers);
    error_clear(&diversion->error);
    if (timeline_divert(session->timeline, host, &diversion->error))
        return diversion->error.text;
    *diversion = begun;
    session->control.ended = MACHINE_STOP_NONE;
    console_flush(session->console);
    console_set_apart(session->console, true);
    return NULL;
}

void diversion_note_write(struct session *session, uint64_t address, uint64_t size_bytes, bool physical)
{
    struct diversion *diversion = &session->diversion;
    uint64_t dead = diversion->stack - DIVERSION_DEAD_STACK_BYTES;
    bool on_dead_stack =
        !physical && address - dead < DIVERSION_DEAD_STACK_BYTES && size_bytes <= diversion->stack - address;
    if (diversion->open && !on_dead_stack)
        diversion->holds = true;
}

/* ---- on, or back ---- */

static bool nothing_is_left(struct session *session)
{
    const struct diversion *diversion = &session->diversion;
    if (!diversion->ran)
        return machine_digest_all(session->machine) == diversion->digest;
    struct cpu_state now = registers_of(session);
    return !diversion->holds && gdb_registers_same(&now, &diversion->registers);
}

const char *diversion_resume(struct session *session, bool called)
{
    struct diversion *diversion = &session->diversion;
    if (!diversion->open)
        return NULL;
    if (nothing_is_left(session))
        return diversion_end(session);
    diversion->ran = true;
    if (called || diversion->told)
        return NULL;
    diversion->told = true;
    snprintf(diversion->text, sizeof diversion->text,
             "[the guest was changed: it goes on in a diversion from icount %" PRIu64
             ", not in the replay; going back, or `monitor diversion off`, ends it]\n",
             diversion->at.icount);
    return diversion->text;
}

const char *diversion_end(struct session *session)
{
    struct diversion *diversion = &session->diversion;
    if (!diversion->open)
        return NULL;
    diversion->open = false;
    console_flush(session->console);
    console_set_apart(session->console, false);
    if (timeline_rejoin(session->timeline) != TIMELINE_THERE) {
        snprintf(diversion->text, sizeof diversion->text, "[the replay is broken: %s]\n",
                 timeline_error(session->timeline));
        return diversion->text;
    }
    session->control.ended = diversion->ended;
    snprintf(diversion->text, sizeof diversion->text, "[the diversion is over: the replay is at icount %" PRIu64 "]\n",
             diversion->at.icount);
    return diversion->told ? diversion->text : NULL;
}

bool diversion_stopped(struct session *session, enum machine_stop stop, char *text, size_t text_size)
{
    uint32_t medium;
    uint64_t sector;
    if (stop == MACHINE_STOP_HOST || stop == MACHINE_STOP_DEBUG || stop == MACHINE_STOP_LIMIT)
        return false;
    if (stop == MACHINE_STOP_ERROR && replay_player_missing(session->player, &medium, &sector))
        snprintf(text, text_size,
                 "[the diversion ends here: the guest wants sector %" PRIu64
                 " of medium %u, which it has not read in the recording]\n",
                 sector, (unsigned)medium);
    else
        snprintf(text, text_size, "[the diversion ends here: %s]\n", machine_stop_name(stop));
    session->diversion.told = true;
    return true;
}

/* ---- a live run ---- */

enum status diversion_keep(struct session *session, struct error *error)
{
    struct diversion *diversion = &session->diversion;
    if (!diversion->open)
        return error_status(error, STATUS_INVALID, "there is no diversion: it begins with a change of the guest");
    replay_player_stay_diverted(session->player, session->live);
    diversion->open = false;
    diversion->kept = true;
    session->parent = session->player;
    session->left = session->timeline;
    session->player = NULL;
    session->timeline = NULL;
    session->control.break_icount = POSITION_NEVER; /* of the replay */
    gdb_forbid_reverse(session->gdb);
    return STATUS_OK;
}

void diversion_print(struct session *session, FILE *out)
{
    const struct diversion *diversion = &session->diversion;
    struct position now = machine_position(session->machine);
    if (diversion->kept)
        fprintf(out, "live since a diversion from icount %" PRIu64 " was kept\n", diversion->at.icount);
    else if (diversion->open)
        fprintf(out, "in a diversion from icount %" PRIu64 ", %" PRIu64 " instructions into it%s\n",
                diversion->at.icount, now.icount - diversion->at.icount,
                diversion->holds ? "; memory was changed" : "");
    else
        fprintf(out, "no diversion: the guest is as it was recorded\n");
}
