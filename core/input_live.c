/* The live input: the host's clock and entropy, the mailbox in which host threads leave messages, and pacing. The only
 * file of core that asks the host for a value. */
#include "core/input.h"

#include "core/vtime.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

struct letter {
    struct letter *next;
    struct input_message message;
};

struct input_mailbox {
    pthread_mutex_t lock;
    struct letter *first, **last;
    atomic_uint count;
    sem_t bell; /* sem_post is async-signal-safe */
    void (*ring)(void *opaque);
    void *ring_opaque;
};

struct input_mailbox *input_mailbox_create(void)
{
    struct input_mailbox *mailbox = calloc(1, sizeof *mailbox);
    CHECK(mailbox);
    CHECK(!pthread_mutex_init(&mailbox->lock, NULL));
    CHECK(!sem_init(&mailbox->bell, 0, 0));
    mailbox->last = &mailbox->first;
    return mailbox;
}

void input_mailbox_destroy(struct input_mailbox *mailbox)
{
    struct input_message message;
    if (!mailbox)
        return;
    while (input_mailbox_take(mailbox, &message))
        ;
    pthread_mutex_destroy(&mailbox->lock);
    sem_destroy(&mailbox->bell);
    free(mailbox);
}

void input_mailbox_post(struct input_mailbox *mailbox, struct input_message message)
{
    struct letter *letter = malloc(sizeof *letter);
    CHECK(letter);
    *letter = (struct letter){NULL, message};
    pthread_mutex_lock(&mailbox->lock);
    *mailbox->last = letter;
    mailbox->last = &letter->next;
    atomic_fetch_add(&mailbox->count, 1);
    if (mailbox->ring)
        mailbox->ring(mailbox->ring_opaque);
    pthread_mutex_unlock(&mailbox->lock);
    sem_post(&mailbox->bell);
}

void input_mailbox_set_ring(struct input_mailbox *mailbox, void (*ring)(void *opaque), void *opaque)
{
    pthread_mutex_lock(&mailbox->lock);
    mailbox->ring = ring;
    mailbox->ring_opaque = opaque;
    pthread_mutex_unlock(&mailbox->lock);
}

bool input_mailbox_take(struct input_mailbox *mailbox, struct input_message *message)
{
    if (input_mailbox_empty(mailbox))
        return false;
    pthread_mutex_lock(&mailbox->lock);
    struct letter *letter = mailbox->first;
    mailbox->first = letter->next;
    if (!mailbox->first)
        mailbox->last = &mailbox->first;
    atomic_fetch_sub(&mailbox->count, 1);
    pthread_mutex_unlock(&mailbox->lock);
    *message = letter->message;
    free(letter);
    return true;
}

unsigned input_mailbox_count(struct input_mailbox *mailbox)
{
    return atomic_load_explicit(&mailbox->count, memory_order_acquire);
}

bool input_mailbox_empty(struct input_mailbox *mailbox)
{
    return input_mailbox_count(mailbox) == 0;
}

static void timeout_at(struct timespec *at, uint64_t timeout_ns)
{
    clock_gettime(CLOCK_REALTIME, at);
    at->tv_sec += (time_t)(timeout_ns / 1000000000u);
    at->tv_nsec += (long)(timeout_ns % 1000000000u);
    if (at->tv_nsec >= 1000000000) {
        at->tv_sec++;
        at->tv_nsec -= 1000000000;
    }
}

bool input_mailbox_wait(struct input_mailbox *mailbox, uint64_t timeout_ns)
{
    struct timespec at;
    bool forever = timeout_ns > 1000000000ull * 86400;
    if (!forever)
        timeout_at(&at, timeout_ns);
    while (input_mailbox_empty(mailbox)) {
        int result = forever ? sem_wait(&mailbox->bell) : sem_timedwait(&mailbox->bell, &at);
        if (result && errno == EINTR)
            return !input_mailbox_empty(mailbox);
        if (result)
            break;
        if (input_mailbox_empty(mailbox))
            return false; /* a wake, or a bell already answered */
    }
    return !input_mailbox_empty(mailbox);
}

void input_mailbox_wake(struct input_mailbox *mailbox)
{
    sem_post(&mailbox->bell);
}

struct input_live {
    struct input input;
    struct input_live_options options;
    uint64_t entropy_state;
    /* clocked */
    bool clock_runs;
    uint64_t clock_host_ns, clock_ns; /* the host's time at which virtual time was clock_ns */
    uint64_t next_checkpoint;
    bool told_time; /* in this round of next */
};

static uint64_t host_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void set_clock(struct input_live *live, uint64_t ns)
{
    live->clock_runs = true;
    live->clock_host_ns = host_now_ns();
    live->clock_ns = ns;
}

/* Virtual time begins when it is first asked for: the guest's first instruction. */
static uint64_t live_clock(const struct input *input)
{
    struct input_live *live = (struct input_live *)(uintptr_t)input;
    if (!live->clock_runs)
        set_clock(live, 0);
    uint64_t elapsed = host_now_ns() - live->clock_host_ns;
    return live->clock_ns + (live->options.slower ? elapsed / live->options.slower : elapsed);
}

static uint64_t live_wall_clock(const struct input_live *live)
{
    if (live->options.wall_clock_seconds)
        return live->options.wall_clock_seconds(live->options.opaque);
    return (uint64_t)time(NULL);
}

/* SplitMix64 (Steele, Lea, Flood 2014): one addition of state, two multiplications of output. */
static uint64_t seeded_entropy(struct input_live *live)
{
    uint64_t value = live->entropy_state += 0x9E3779B97F4A7C15ull;
    value = (value ^ (value >> 30)) * 0xBF58476D1CE4E5B9ull;
    value = (value ^ (value >> 27)) * 0x94D049BB133111EBull;
    return value ^ (value >> 31);
}

static uint64_t live_entropy(struct input_live *live)
{
    uint64_t value;
    if (live->options.entropy_seeded)
        return seeded_entropy(live);
    CHECK(getrandom(&value, sizeof value, 0) == (ssize_t)sizeof value);
    return value;
}

static uint64_t live_pull(struct input *input, enum input_id id, struct position position,
                          uint64_t (*fetch)(void *opaque), void *opaque)
{
    (void)position;
    if (fetch)
        return fetch(opaque);
    if (id == INPUT_WALL_CLOCK)
        return live_wall_clock((struct input_live *)input);
    if (id == INPUT_CLOCK)
        return live_clock(input);
    CHECK(id == INPUT_ENTROPY);
    return live_entropy((struct input_live *)input);
}

/* Of a machine that counts exits: first of all the time, then whether a checkpoint is due. */
static bool clocked_next(struct input_live *live, struct position position, struct input_message *message)
{
    if (!live->told_time) {
        live->told_time = true;
        *message = (struct input_message){.id = INPUT_CLOCK_TICK, .a = live_clock(&live->input)};
        if (message->a > position.vtime_ns)
            return true;
    }
    if (live->options.checkpoint_exits && position.icount >= live->next_checkpoint) {
        live->next_checkpoint = position.icount + live->options.checkpoint_exits;
        *message = (struct input_message){.id = INPUT_CHECKPOINT};
        return true;
    }
    return false;
}

static bool live_next(struct input *input, struct position position, struct input_message *message)
{
    struct input_live *live = (struct input_live *)input;
    struct input_mailbox *mailbox = live->options.mailbox;
    if (live->options.clocked && clocked_next(live, position, message))
        return true;
    if (mailbox && input_mailbox_take(mailbox, message))
        return true;
    live->told_time = false;
    return false;
}

static bool live_due(struct input *input, struct position position, uint64_t next_timer_ns)
{
    const struct input_live *live = (struct input_live *)input;
    const struct input_live_options *options = &live->options;
    return (options->mailbox && !input_mailbox_empty(options->mailbox)) ||
           (options->checkpoint_exits && position.icount >= live->next_checkpoint) ||
           (next_timer_ns != VTIME_NEVER && live_clock(&live->input) >= next_timer_ns);
}

static bool live_offer(struct input *input, struct position position, const struct input_message *message)
{
    (void)input;
    (void)position;
    (void)message;
    return true;
}

static struct position live_horizon(struct input *input, struct position position)
{
    (void)input;
    (void)position;
    return (struct position){POSITION_NEVER, VTIME_NEVER};
}

static uint64_t live_wait(struct input *input, struct position position, uint64_t deadline_ns)
{
    struct input_live *live = (struct input_live *)input;
    const struct input_live_options *options = &live->options;
    if (!options->pace || !options->mailbox)
        return deadline_ns;
    uint64_t due_in = deadline_ns == VTIME_NEVER ? UINT64_MAX : deadline_ns - position.vtime_ns;
    if (options->idle)
        options->idle(options->opaque);
    uint64_t start = host_now_ns();
    (void)input_mailbox_wait(options->mailbox, due_in);
    /* Woken without a message the time has passed all the same: who wakes often must not keep a timer from coming due. */
    uint64_t elapsed = host_now_ns() - start;
    uint64_t until = elapsed >= due_in ? deadline_ns : position.vtime_ns + elapsed;
    if (options->slower && until > live_clock(input)) /* a guest that waits is not slowed */
        set_clock(live, until);
    return until;
}

static void live_destroy(struct input *input)
{
    free(input);
}

struct input *input_live_create(const struct input_live_options *options)
{
    static const struct input_ops ops = {
        .pull = live_pull,
        .next = live_next,
        .horizon = live_horizon,
        .wait = live_wait,
        .due = live_due,
        .offer = live_offer,
        .destroy = live_destroy,
    };
    struct input_live *live = calloc(1, sizeof *live);
    CHECK(live);
    live->input.ops = &ops;
    live->options = *options;
    live->entropy_state = options->entropy_seed;
    return &live->input;
}
