/* Timers on virtual time: a binary heap by (deadline, order of initialisation). */
#include "core/vtime.h"

#include "core/machine.h"

#include <stdlib.h>

#define RUN_CALLBACKS_MAX 1000000u

struct vtime_queue {
    struct vtimer **heap;
    int count, capacity;
    uint64_t next_order;
    uint64_t next_ns; /* of heap[0], VTIME_NEVER when empty */
};

static bool before(const struct vtimer *a, const struct vtimer *b)
{
    return a->deadline_ns < b->deadline_ns || (a->deadline_ns == b->deadline_ns && a->order < b->order);
}

static void place(struct vtime_queue *queue, int index, struct vtimer *timer)
{
    queue->heap[index] = timer;
    timer->heap_index = index;
}

static void sift(struct vtime_queue *queue, int index)
{
    struct vtimer *timer = queue->heap[index];
    while (index > 0 && before(timer, queue->heap[(index - 1) / 2])) {
        place(queue, index, queue->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (;;) {
        int child = 2 * index + 1;
        if (child + 1 < queue->count && before(queue->heap[child + 1], queue->heap[child]))
            child++;
        if (child >= queue->count || !before(queue->heap[child], timer))
            break;
        place(queue, index, queue->heap[child]);
        index = child;
    }
    place(queue, index, timer);
    queue->next_ns = queue->heap[0]->deadline_ns;
}

struct vtime_queue *vtime_queue_create(void)
{
    struct vtime_queue *queue = calloc(1, sizeof *queue);
    CHECK(queue);
    queue->next_ns = VTIME_NEVER;
    return queue;
}

void vtime_queue_destroy(struct vtime_queue *queue)
{
    if (queue)
        free(queue->heap);
    free(queue);
}

uint64_t vtime_queue_next_ns(const struct vtime_queue *queue)
{
    return queue->next_ns;
}

const uint64_t *vtime_queue_next(const struct vtime_queue *queue)
{
    return &queue->next_ns;
}

void vtimer_init(struct vtimer *timer, struct machine *machine, void (*fire)(void *opaque), void *opaque)
{
    *timer = (struct vtimer){
        .fire = fire, .opaque = opaque, .queue = machine_vtime(machine), .deadline_ns = VTIME_NEVER, .heap_index = -1};
    timer->order = timer->queue->next_order++;
}

void vtimer_disarm(struct vtimer *timer)
{
    struct vtime_queue *queue = timer->queue;
    int index = timer->heap_index;
    timer->deadline_ns = VTIME_NEVER;
    if (index < 0)
        return;
    timer->heap_index = -1;
    struct vtimer *last = queue->heap[--queue->count];
    if (last == timer) {
        queue->next_ns = queue->count ? queue->heap[0]->deadline_ns : VTIME_NEVER;
        return;
    }
    place(queue, index, last);
    sift(queue, index);
}

void vtimer_arm(struct vtimer *timer, uint64_t deadline_ns)
{
    struct vtime_queue *queue = timer->queue;
    if (deadline_ns == VTIME_NEVER) {
        vtimer_disarm(timer);
        return;
    }
    timer->deadline_ns = deadline_ns;
    if (timer->heap_index < 0) {
        if (queue->count == queue->capacity) {
            queue->capacity = queue->capacity ? 2 * queue->capacity : 32;
            queue->heap = realloc(queue->heap, (size_t)queue->capacity * sizeof *queue->heap);
            CHECK(queue->heap);
        }
        place(queue, queue->count++, timer);
    }
    sift(queue, timer->heap_index);
}

void vtime_queue_run(struct vtime_queue *queue, uint64_t now_ns)
{
    for (unsigned fired = 0; queue->count && queue->heap[0]->deadline_ns <= now_ns; fired++) {
        struct vtimer *timer = queue->heap[0];
        CHECK(fired < RUN_CALLBACKS_MAX);
        vtimer_disarm(timer);
        timer->fire(timer->opaque);
    }
}
