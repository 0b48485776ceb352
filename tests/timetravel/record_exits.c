/* vmrr record on the interpreter, but with positions that are exits and virtual time by samples of the host's clock, as -accel kvm
 * records: its stops between two exits, interrupts where the run loop was, and clock ticks are all in the journal. So what is
 * tested with such journals is tested on hosts without KVM too.
 *
 *   record_exits -o JOURNAL options... */
#include "tests/timetravel/journey.h"

#define CHECKPOINT_EXITS 500u

static void count_exits(void *opaque, struct journal_config *config)
{
    (void)opaque;
    config->counts_exits = true;
    config->checkpoint_steps = CHECKPOINT_EXITS;
}

/* Those that were asked for come every so many exits. */
static void more_checkpoints(void *opaque, struct run_options *options)
{
    (void)opaque;
    if (options->checkpoint_frames)
        options->checkpoint_frames = 4 * CHECKPOINT_EXITS;
}

int main(int argc, char **argv)
{
    static struct session session;
    struct input_mailbox *mailbox = input_mailbox_create(); /* empty: who halts waits as long as the clock does */
    struct input *clock = input_live_create(&(struct input_live_options){
        .mailbox = mailbox, .pace = true, .clocked = true, .checkpoint_exits = CHECKPOINT_EXITS});
    struct session_hooks hooks = {.options = more_checkpoints, .config = count_exits, .input = clock};
    int code = session_open_hooked(&session, OPTIONS_RECORD, argc, argv, &hooks);
    if (code < 0)
        code = session_judge_recording(&session, session_run(&session));
    code = session_close(&session, code);
    input_destroy(clock);
    input_mailbox_destroy(mailbox);
    return code;
}
