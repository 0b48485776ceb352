/* Which jobs go together: see job_list.h. */
#include "block/job_list.h"
#include "block/host_file.h"

void job_list_init(struct job_list *list)
{
    list->first = NULL;
    list->last = &list->first;
}

void job_list_append(struct job_list *list, struct block_job *job)
{
    job->next = NULL;
    *list->last = job;
    list->last = &job->next;
}

void job_list_unlink(struct job_list *list, struct block_job **link)
{
    struct block_job *job = *link;
    *link = job->next;
    if (list->last == &job->next)
        list->last = link;
    job->next = NULL;
    job->await_until_ns = 0;
}

/* The same operation, right behind it: in the file, or, where its place is not known yet, on the image. */
static bool follows(const struct block_job *job, const struct block_job *other)
{
    if (other->phase != job->phase || other->op != job->op)
        return false;
    if (job->phase == BLOCK_JOB_TRANSFER)
        return other->place.file == job->place.file &&
               other->place.offset == job->place.offset + (uint64_t)job->sectors * BLOCK_SECTOR_BYTES;
    return other->image == job->image && other->sector == job->sector + job->sectors;
}

static struct block_job **find_behind(struct job_list *list, const struct block_job *job)
{
    for (struct block_job **link = &list->first; *link; link = &(*link)->next) {
        if (follows(job, *link))
            return link;
    }
    return NULL;
}

void job_list_join(struct job_list *list, struct block_job *job)
{
    struct block_job **link;
    for (unsigned count = 1; count < HOST_PIECES_MAX && (link = find_behind(list, job)); count++) {
        job->next = *link;
        job_list_unlink(list, link);
        job = job->next;
    }
}

struct block_job *job_list_take_alike(struct job_list *list, const struct block_job *job)
{
    struct block_job *taken = NULL, **last = &taken, **link = &list->first;
    while (*link) {
        struct block_job *other = *link;
        if (other->phase != job->phase || other->image != job->image || job_list_awaits_until_ns(list, other)) {
            link = &other->next;
            continue;
        }
        job_list_unlink(list, link);
        *last = other;
        last = &other->next;
    }
    return taken;
}

uint64_t job_list_awaits_until_ns(struct job_list *list, const struct block_job *job)
{
    return job->await_until_ns && !find_behind(list, job) ? job->await_until_ns : 0;
}

bool job_list_has_awaiting(const struct job_list *list)
{
    for (const struct block_job *job = list->first; job; job = job->next) {
        if (job->await_until_ns)
            return true;
    }
    return false;
}
