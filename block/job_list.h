/* Jobs of an executor that wait, in order of start, and which of them go to the host together. The executor's lock covers
 * every call. A job that is taken out does not await another any more. */
#ifndef VMRR_BLOCK_JOB_LIST_H
#define VMRR_BLOCK_JOB_LIST_H

#include "block/executor.h"

struct job_list {
    struct block_job *first, **last;
};

void job_list_init(struct job_list *list);
void job_list_append(struct job_list *list, struct block_job *job);
void job_list_unlink(struct job_list *list, struct block_job **link);
/* A transfer that was taken takes along those behind it in the file, linked by next: HOST_PIECES_MAX with it. */
void job_list_join(struct job_list *list, struct block_job *job);
/* Those of the same image that wait for the same phase and for no other, linked by next, in order. */
struct block_job *job_list_take_alike(struct job_list *list, const struct block_job *job);
/* When the job may go though what it awaits is not in the list (host_wait.h): 0 at once. */
uint64_t job_list_awaits_until_ns(struct job_list *list, const struct block_job *job);
bool job_list_has_awaiting(const struct job_list *list);

#endif
