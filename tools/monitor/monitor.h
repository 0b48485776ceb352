/* Monitors: where a person (readline: lines of text, hmp.h) or a program (control: QMP) looks at a machine and steers it.
 *
 * The hub's thread cuts what comes in into requests and queues them; the machine thread carries them out between two calls
 * of machine_run, so always at a position, and while the machine is stopped. A monitor has at most MONITOR_QUEUE
 * requests waiting before it is read no further, and while the guest runs no more than that are carried out before the
 * guest runs on: a client that floods or never reads takes its own time, not the guest's. */
#ifndef VMRR_TOOLS_MONITOR_MONITOR_H
#define VMRR_TOOLS_MONITOR_MONITOR_H

#include "tools/chardev/chardev.h"

#include <jansson.h>

#define MONITORS_MAX 8
#define MONITOR_QUEUE 8u

struct session;
struct monitors;

/* ring: something waits; any thread. */
struct monitors *monitors_create(struct session *session, void (*ring)(void *opaque), void *opaque);
/* Before the hub starts. */
enum status monitors_add(struct monitors *monitors, struct chardev *chardev, bool control,
                         struct error *error) MUST_CHECK;
unsigned monitors_count(const struct monitors *monitors);
/* Null allowed. The hub's thread must have ended, or not begun. */
void monitors_destroy(struct monitors *monitors);

bool monitors_waiting(struct monitors *monitors); /* requests to carry out; any thread */
/* Carries out what waits (at most MONITOR_QUEUE a monitor). Machine thread, machine not running. */
void monitors_run(struct monitors *monitors);
/* An event for every QMP client that has negotiated. data: owned, may be null. Machine thread. */
void monitors_event(struct monitors *monitors, const char *name, json_t *data);

#endif
