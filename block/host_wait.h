/* The host's clock, for a worker that waits: when the host is asked may depend on it, what it is asked may not. Nothing of it
 * reaches the guest but by completions, which are inputs. */
#ifndef VMRR_BLOCK_HOST_WAIT_H
#define VMRR_BLOCK_HOST_WAIT_H

#include <pthread.h>
#include <stdint.h>

uint64_t host_wait_now_ns(void);
/* A condition for host_wait_until. */
void host_wait_init(pthread_cond_t *condition);
/* With the lock, as pthread_cond_wait. Returns when signalled, at that time, or for no reason. */
void host_wait_until(pthread_cond_t *condition, pthread_mutex_t *lock, uint64_t until_ns);

#endif
