/* vmrr fuzz --against host: this host's CPU, in a child process that can do nothing but compute: what a random jump turns into a
 * system call is caught (seccomp), and what it overwrites or kills is the child's own. 16- and 32-bit code runs in
 * compatibility mode, where the kernel gives such segments. Includes nothing of the interpreter: its names are ucontext's too. */
#include "tools/fuzz/fuzz.h"
#include "tools/fuzz/native_host.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_US 10000 /* of CPU time; two of them end a case */

struct shared {
    volatile uint32_t index; /* of the case under way */
    uint32_t count;
    bool has16;
    struct fuzz_host_facts facts;
    struct native_case cases[FUZZ_BATCH];
    struct native_outcome out[FUZZ_BATCH];
};

struct host {
    struct fuzz_reference reference;
    struct shared *shared;
    pid_t child; /* 0: none */
    int to, from;
    uint32_t left;                /* of the batch under way */
    struct fuzz_host_facts facts; /* as the child said before it ran anything */
};

static struct host *host_of(struct fuzz_reference *self)
{
    return (struct host *)(void *)self;
}

/* ---- the child ---- */

struct allowed {
    uint32_t call;
    int argument; /* that must have the value; -1: none */
    uint32_t value;
};

#define LOAD(offset) ((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(offset)))
#define SKIP_UNLESS(value, skip) ((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip)))
#define GIVE(what) ((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (what)))

/* Raising SIGUSR1 to itself, its two pipes, the return from a signal, the end; all else is SIGSYS. */
static bool lock_up(int in, int out)
{
    const struct allowed calls[] = {
        {SYS_rt_sigreturn, -1, 0},   {SYS_rt_sigprocmask, -1, 0},   {SYS_getpid, -1, 0},     {SYS_gettid, -1, 0},
        {SYS_read, 0, (uint32_t)in}, {SYS_write, 0, (uint32_t)out}, {SYS_exit_group, -1, 0}, {SYS_tgkill, 2, SIGUSR1},
    };
    struct sock_filter filter[64];
    unsigned short used = 0;
    filter[used++] = LOAD(offsetof(struct seccomp_data, arch));
    filter[used++] = SKIP_UNLESS(AUDIT_ARCH_X86_64, 1);
    filter[used++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0);
    filter[used++] = GIVE(SECCOMP_RET_TRAP);
    /* None from the arena, which lies below 4 GiB. */
    filter[used++] = LOAD(offsetof(struct seccomp_data, instruction_pointer) + 4);
    filter[used++] = SKIP_UNLESS(0, 1);
    filter[used++] = GIVE(SECCOMP_RET_TRAP);
    for (size_t n = 0; n < sizeof calls / sizeof calls[0]; n++) {
        filter[used++] = LOAD(offsetof(struct seccomp_data, nr));
        filter[used++] = SKIP_UNLESS(calls[n].call, calls[n].argument < 0 ? 1 : 3);
        if (calls[n].argument >= 0) {
            filter[used++] = LOAD(offsetof(struct seccomp_data, args) + 8 * (size_t)calls[n].argument);
            filter[used++] = SKIP_UNLESS(calls[n].value, 1);
        }
        filter[used++] = GIVE(SECCOMP_RET_ALLOW);
    }
    filter[used++] = GIVE(SECCOMP_RET_TRAP);
    const struct sock_fprog program = {used, filter};
    return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) && !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

/* All that this process has mapped, but the arena. */
static void list_own(struct fuzz_host_facts *facts)
{
    FILE *file = fopen("/proc/self/maps", "re");
    unsigned long long start, end;
    char line[512];
    facts->own_count = 0;
    while (file && facts->own_count < FUZZ_OWN_MAX && fgets(line, sizeof line, file)) {
        if (sscanf(line, "%llx-%llx", &start, &end) != 2 ||
            (start >= NATIVE_CODE && end <= NATIVE_RODATA + NATIVE_RODATA_BYTES))
            continue;
        facts->own[facts->own_count].start = start;
        facts->own[facts->own_count++].end = end;
    }
    if (file)
        fclose(file);
}

_Noreturn static void child_main(struct shared *shared, int in, int out)
{
    static const struct itimerval tick = {{0, TICK_US}, {0, TICK_US}};
    uint8_t byte;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    native_host_open();
    setitimer(ITIMER_VIRTUAL, &tick, NULL);
    shared->has16 = native_host_has16();
    shared->facts.fdp_moves = native_host_fdp_moves();
    list_own(&shared->facts);
    if (!lock_up(in, out))
        _exit(3);
    byte = 1;
    while (write(out, &byte, 1) == 1 && read(in, &byte, 1) == 1) {
        for (shared->index = 0; shared->index < shared->count && shared->index < FUZZ_BATCH; shared->index++) {
            struct native_outcome *outcome = &shared->out[shared->index];
            native_host_run(&shared->cases[shared->index], &outcome->state, outcome->data);
        }
    }
    _exit(0);
}

/* ---- its parent ---- */

static void stop_child(struct host *host)
{
    if (!host->child)
        return;
    close(host->to);
    close(host->from);
    kill(host->child, SIGKILL);
    while (waitpid(host->child, NULL, 0) < 0 && errno == EINTR)
        ;
    host->child = 0;
}

/* The child's sign that it waits for a batch. */
static bool await(struct host *host)
{
    uint8_t byte;
    ssize_t got;
    do
        got = read(host->from, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static enum status start_child(struct host *host, struct error *error)
{
    int to[2] = {-1, -1}, from[2] = {-1, -1};
    if (pipe(to) || pipe(from))
        return error_status(error, STATUS_IO, "pipe: %s", strerror(errno));
    fflush(NULL);
    host->child = fork();
    if (host->child < 0)
        return error_status(error, STATUS_IO, "fork: %s", strerror(errno));
    if (!host->child) {
        close(to[1]);
        close(from[0]);
        child_main(host->shared, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    host->to = to[1];
    host->from = from[0];
    if (await(host)) {
        host->facts = host->shared->facts;
        return STATUS_OK;
    }
    stop_child(host);
    return error_status(error, STATUS_UNSUPPORTED,
                        "the host's side can't be set up: its arena is taken, or the kernel has no seccomp filters");
}

static enum status host_submit(struct fuzz_reference *self, const struct native_case *cases, size_t count,
                               struct error *error)
{
    struct host *host = host_of(self);
    uint8_t byte = 1;
    enum status status = host->child ? STATUS_OK : start_child(host, error);
    CHECK(count <= FUZZ_BATCH);
    if (status)
        return status;
    memcpy(host->shared->cases, cases, count * sizeof *cases);
    host->shared->count = host->left = (uint32_t)count;
    return write(host->to, &byte, 1) == 1 ? STATUS_OK : error_status(error, STATUS_IO, "the host's side is gone");
}

/* The cases behind the one that killed the child go to another child. What the dead one wrote is not believed. */
static enum status go_on_behind(struct host *host, uint32_t died, struct error *error)
{
    uint8_t byte = 1;
    stop_child(host);
    host->left -= died + 1;
    memmove(host->shared->cases, host->shared->cases + died + 1, host->left * sizeof host->shared->cases[0]);
    enum status status = start_child(host, error);
    if (status || !host->left)
        return status;
    host->shared->count = host->left;
    return write(host->to, &byte, 1) == 1 ? STATUS_OK : error_status(error, STATUS_IO, "the host's side is gone");
}

static enum status host_collect(struct fuzz_reference *self, struct native_outcome *out, bool *valid,
                                struct error *error)
{
    struct host *host = host_of(self);
    enum status status = STATUS_OK;
    while (host->left && !status) {
        bool whole = await(host);
        uint32_t died = host->shared->index, count = whole ? host->left : died < host->left ? died : host->left - 1;
        memcpy(out, host->shared->out, count * sizeof *out);
        memset(valid, true, count * sizeof *valid);
        out += count;
        valid += count;
        if (whole)
            host->left = 0;
        else {
            *valid++ = false;
            out++;
            status = go_on_behind(host, count, error);
        }
    }
    return status;
}

static bool host_has_feature(struct fuzz_reference *self, const char *feature)
{
    (void)self;
    return native_host_has(feature);
}

static void host_close(struct fuzz_reference *self)
{
    struct host *host = host_of(self);
    stop_child(host);
    if (host->shared)
        munmap(host->shared, sizeof *host->shared);
    free(host);
}

/* Does the kernel let a process into this code segment? A NOP tells. */
static enum status probe(struct host *host, unsigned bits, struct error *error)
{
    struct native_case *c = calloc(1, sizeof *c);
    struct native_outcome *out = calloc(1, sizeof *out);
    bool valid = false;
    CHECK(c && out);
    native_case_init(c, 1, bits);
    c->code[0] = 0x90;
    c->length = 1;
    c->in.rip = NATIVE_CODE + c->offset;
    enum status status = host_submit(&host->reference, c, 1, error);
    if (!status)
        status = host_collect(&host->reference, out, &valid, error);
    if (!status && (!valid || out->state.vector != -1))
        status = error_status(error, STATUS_UNSUPPORTED,
                              "%u-bit code can't be run on this host: the kernel gives no such code segment", bits);
    free(out);
    free(c);
    return status;
}

static struct fuzz_reference *host_open(const struct fuzz_reference_options *options, struct error *error)
{
    const unsigned bits = options->bits;
    if (options->level != 3 || options->paging) {
        error_set(error, options->paging ? "this host's CPU runs a process in long mode only"
                                         : "this host's CPU runs a process at level 3 only");
        return NULL;
    }
    struct host *host = calloc(1, sizeof *host);
    CHECK(host);
    host->reference.ops = &fuzz_host_ops;
    void *at = mmap(NULL, sizeof *host->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    enum status status = STATUS_OK;
    if (at == MAP_FAILED)
        status = error_status(error, STATUS_NO_MEMORY, "mmap: %s", strerror(errno));
    else
        host->shared = at;
    if (!status)
        status = start_child(host, error);
    if (!status && bits == 16 && !host->shared->has16)
        status = error_status(error, STATUS_UNSUPPORTED,
                              "16-bit code can't be run on this host: the kernel makes no such segments (modify_ldt)");
    if (!status)
        status = probe(host, bits, error);
    if (!status)
        return &host->reference;
    host_close(&host->reference);
    return NULL;
}

static const char *host_excuse(struct fuzz_reference *self, const struct native_harness *h, const struct native_case *c,
                               struct native_outcome *reference, struct native_outcome *interp, bool *guess)
{
    (void)guess;
    return fuzz_host_excuse(&host_of(self)->facts, h, c, reference, interp);
}

const struct fuzz_reference_ops fuzz_host_ops = {
    .name = "host",
    .open = host_open,
    .has_feature = host_has_feature,
    .submit = host_submit,
    .collect = host_collect,
    .excuse = host_excuse,
    .close = host_close,
};
