/* vmrr replay --block=rerun: besides the replay's own drives, every request of the guest is performed on an image of the
 * recorded format in a directory of the caller's, through the same format and host code as in the recording: to look at it in
 * a debugger, and to see that it gives back what the journal says. The guest sees the journal's data only.
 * Thread: machine thread. */
#ifndef VMRR_TOOLS_RERUN_H
#define VMRR_TOOLS_RERUN_H

#include "replay/replay.h"

struct rerun;
struct rerun_options {
    const char *journal, *directory; /* borrowed while the images are made; the directory is made if it is not there */
    const struct journal_config *config;
    struct block_stacks stacks; /* for the logs; may be empty */
    size_t (*frames)(void *opaque, uint32_t stack, const char **text, size_t max);
    void *frames_opaque;
};

/* Reads the first contents of all sectors. */
struct rerun *rerun_create(const struct rerun_options *options, struct error *error);
/* image: the drive's in the replay. Owned by the result, or gone on failure. Makes DIR/driveN.FORMAT, which must not exist,
 * and DIR/driveN.steps, the log of all steps. */
struct block_image *rerun_image(struct rerun *rerun, uint32_t drive, struct block_image *image, struct error *error);
/* Sees the events after they were checked: holds the steps of each request against the recorded ones (rerun_steps.h), and
 * after a request that failed in the recording, the image is given what the
 * journal says its sectors held. */
struct trace_sink rerun_observer(struct rerun *rerun);
/* After the run, to standard error. False: something was not as in the journal. Steps do not count: the scratch image has not
 * all that the recorded one had. */
bool rerun_report(const struct rerun *rerun);
void rerun_destroy(struct rerun *rerun); /* null allowed; after the machine, which owns the images */

#endif
