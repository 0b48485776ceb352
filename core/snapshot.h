/* A whole machine at an instant, and back to it. Thread: machine thread, machine not running.
 *
 * A machine that was restored goes on as it went on then, given the same inputs: nothing that the guest, the trace or a digest
 * could tell is different. What is not of the guest stays as it is: breakpoints, statistics, the machine's hooks, what was
 * decoded of code that is still there. Inputs are not the machine's: whoever restores sets the input back as well. */
#ifndef VMRR_CORE_SNAPSHOT_H
#define VMRR_CORE_SNAPSHOT_H

#include "core/content.h"
#include "core/machine.h"
#include "core/page_store.h"

struct machine_snapshot;

/* Number of what the bytes of a snapshot are (machine_snapshot_write), beside MACHINE_DIGEST_VERSION: goes up when the order or the
 * meaning of what lies in them does. */
#define MACHINE_SNAPSHOT_VERSION 1u

/* Does this machine have what it takes: an accelerator and devices that can be saved and put back? The name of what can't, or
 * null. One that can only be saved (its disks are the host's) is put back in another machine that is made like it. */
const char *machine_snapshot_obstacle(struct machine *machine);
/* Null: not here (within a step, something is asked of the run loop, a device is not ready): some steps on it will do. Never of
 * an accelerator that can't be saved. From within a trace sink too, at a checkpoint's event. */
struct machine_snapshot *machine_snapshot_take(struct machine *machine, struct page_store *store);
/* STATUS_CORRUPT: the snapshot is of another machine, or damaged. Where that could be seen before anything was changed, nothing
 * was; else the machine is in no state of any run, and must be restored from another one. */
enum status machine_snapshot_restore(struct machine *machine, struct machine_snapshot *snapshot) MUST_CHECK;
void machine_snapshot_destroy(struct machine_snapshot *snapshot); /* null allowed */

struct position machine_snapshot_position(const struct machine_snapshot *snapshot);
/* As bytes and pages (content.h), to be kept outside of the process. Read: null when it can't be one of this machine; restoring
 * checks the rest. */
void machine_snapshot_write(const struct machine_snapshot *snapshot, struct content_writer *writer);
struct machine_snapshot *machine_snapshot_read(struct machine *machine, struct content_reader *reader);
/* Host memory beside the store's. */
uint64_t machine_snapshot_bytes(const struct machine_snapshot *snapshot);

#endif
