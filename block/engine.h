/* A way to hand transfers to the host without waiting for them, several in one call. Each engine has a thread of its own that takes what is
 * done and tells the executor. */
#ifndef VMRR_BLOCK_ENGINE_H
#define VMRR_BLOCK_ENGINE_H

#include "block/executor.h"

struct block_engine;

/* On the engine's thread, or within a call of it: the host is done with the transfer; result as that of pread or pwrite, or a negative errno. */
typedef void block_engine_done(void *opaque, struct block_job *job, int64_t result);

struct block_engine_ops {
    /* Any thread. The host gets it at the next commit of any thread, or sooner. False: no room; done is not called then. */
    bool (*prepare)(struct block_engine *engine, struct block_job *job, int fd);
    void (*commit)(struct block_engine *engine);
    void (*destroy)(struct block_engine *engine); /* when nothing is under way */
};

/* First member of every implementation. */
struct block_engine {
    const struct block_engine_ops *ops;
    block_engine_done *done;
    void *opaque;
};

#define BLOCK_ENGINE_DEPTH 512u /* transfers under way: of 16 drives with 32 requests each */

/* Null with the reason: not in this build, or not on this host. */
struct block_engine *block_engine_native_create(block_engine_done *done, void *opaque, struct error *error);
struct block_engine *block_engine_uring_create(block_engine_done *done, void *opaque, struct error *error);

#endif
