/* See host_stacks.h. libunwind walks the stack (unw_backtrace, async-signal-safe and without allocation), libdw knows
 * functions and lines. Each stack is kept once; both tables have a limit, so that memory has one.
 * Not done: frames of inlined functions; what stands above the first frame of a worker thread. */
#include "tools/host_stacks.h"

#ifdef VMRR_HOST_STACKS
#define UNW_LOCAL_ONLY
#include <dwarf.h>
#include <elfutils/libdwfl.h>
#include <inttypes.h>
#include <libunwind.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEPTH_MAX 64
#define STACKS_MAX 16384u
#define BUCKETS 65536u /* twice as many at least */
#define NAMES_MAX 65536u
#define OWN_FRAMES "block_activity_" /* between the caller and the capture */

struct stack {
    uint64_t hash;
    size_t depth;
    uintptr_t pc[DEPTH_MAX];
};

struct name {
    uintptr_t pc;
    char *text;
};

struct host_stacks {
    pthread_mutex_t lock;
    Dwfl *dwfl;
    struct stack *stack[STACKS_MAX];
    uint32_t stack_count;
    uint32_t bucket[BUCKETS];    /* number of a stack, 0: none */
    struct name name[NAMES_MAX]; /* by pc, open addressing */
    uint32_t name_count;
};

/* ---- names ---- */

/* The last two parts of a path: "block/raw.c". */
static const char *short_path(const char *path)
{
    const char *slash = strrchr(path, '/'), *before = path;
    if (!slash)
        return path;
    for (const char *at = path; at < slash; at++) {
        if (*at == '/')
            before = at + 1;
    }
    return before;
}

/* pc: of the call, not where it returns to. */
static char *describe(struct host_stacks *stacks, uintptr_t pc)
{
    char text[256];
    Dwfl_Module *module = stacks->dwfl ? dwfl_addrmodule(stacks->dwfl, pc) : NULL;
    const char *function = module ? dwfl_module_addrname(module, pc) : NULL;
    Dwfl_Line *source = module ? dwfl_module_getsrc(module, pc) : NULL;
    int line = 0;
    const char *file = source ? dwfl_lineinfo(source, NULL, &line, NULL, NULL, NULL) : NULL;
    if (file)
        snprintf(text, sizeof text, "%s %s:%d", function ? function : "?", short_path(file), line);
    else
        snprintf(text, sizeof text, "%s", function ? function : "?");
    return strdup(text);
}

static const char *name_of(struct host_stacks *stacks, uintptr_t pc)
{
    uint32_t at = (uint32_t)((pc * 0x9E3779B97F4A7C15u) >> 48) % NAMES_MAX;
    while (stacks->name[at].text && stacks->name[at].pc != pc)
        at = (at + 1) % NAMES_MAX;
    if (stacks->name[at].text)
        return stacks->name[at].text;
    if (stacks->name_count + 1 == NAMES_MAX)
        return "?";
    char *text = describe(stacks, pc);
    if (!text)
        return "?";
    stacks->name[at] = (struct name){pc, text};
    stacks->name_count++;
    return text;
}

size_t host_stacks_frames(void *opaque, uint32_t number, const char **text, size_t max)
{
    struct host_stacks *stacks = opaque;
    size_t depth = 0;
    bool inside = true;
    pthread_mutex_lock(&stacks->lock);
    const struct stack *stack = number && number <= stacks->stack_count ? stacks->stack[number - 1] : NULL;
    for (size_t n = 0; stack && n < stack->depth && depth < max; n++) {
        const char *name = name_of(stacks, stack->pc[n] - 1);
        inside = inside && !strncmp(name, OWN_FRAMES, strlen(OWN_FRAMES));
        if (!inside)
            text[depth++] = name;
    }
    pthread_mutex_unlock(&stacks->lock);
    return depth;
}

/* ---- stacks ---- */

static uint64_t hash_of(const uintptr_t *pc, size_t depth)
{
    uint64_t hash = depth;
    for (size_t n = 0; n < depth; n++)
        hash = (hash ^ pc[n]) * 0x9E3779B97F4A7C15u ^ hash >> 29;
    return hash;
}

static uint32_t keep(struct host_stacks *stacks, const uintptr_t *pc, size_t depth)
{
    uint64_t hash = hash_of(pc, depth);
    uint32_t at = (uint32_t)(hash >> 40) % BUCKETS;
    for (; stacks->bucket[at]; at = (at + 1) % BUCKETS) {
        const struct stack *known = stacks->stack[stacks->bucket[at] - 1];
        if (known->hash == hash && known->depth == depth && !memcmp(known->pc, pc, depth * sizeof *pc))
            return stacks->bucket[at];
    }
    struct stack *stack = stacks->stack_count < STACKS_MAX ? malloc(sizeof *stack) : NULL;
    if (!stack)
        return 0;
    *stack = (struct stack){.hash = hash, .depth = depth};
    memcpy(stack->pc, pc, depth * sizeof *pc);
    stacks->stack[stacks->stack_count++] = stack;
    stacks->bucket[at] = stacks->stack_count;
    return stacks->stack_count;
}

uint32_t host_stacks_capture(void *opaque)
{
    struct host_stacks *stacks = opaque;
    void *frames[DEPTH_MAX];
    uintptr_t pc[DEPTH_MAX];
    int depth = unw_backtrace(frames, DEPTH_MAX);
    size_t kept = 0;
    for (int n = 1; n < depth; n++) /* 0 is this function */
        pc[kept++] = (uintptr_t)frames[n];
    if (!kept)
        return 0;
    pthread_mutex_lock(&stacks->lock);
    uint32_t number = keep(stacks, pc, kept);
    pthread_mutex_unlock(&stacks->lock);
    return number;
}

/* ---- life ---- */

static Dwfl *open_self(void)
{
    static const Dwfl_Callbacks callbacks = {.find_elf = dwfl_linux_proc_find_elf,
                                             .find_debuginfo = dwfl_standard_find_debuginfo};
    Dwfl *dwfl = dwfl_begin(&callbacks);
    if (dwfl && dwfl_linux_proc_report(dwfl, getpid()) == 0 && dwfl_report_end(dwfl, NULL, NULL) == 0)
        return dwfl;
    dwfl_end(dwfl);
    return NULL;
}

struct host_stacks *host_stacks_create(struct error *error)
{
    struct host_stacks *stacks = calloc(1, sizeof *stacks);
    if (!stacks) {
        error_set(error, "--host-stacks: out of memory");
        return NULL;
    }
    pthread_mutex_init(&stacks->lock, NULL);
    stacks->dwfl = open_self(); /* null: stacks without names */
    return stacks;
}

void host_stacks_destroy(struct host_stacks *stacks)
{
    if (!stacks)
        return;
    for (uint32_t n = 0; n < stacks->stack_count; n++)
        free(stacks->stack[n]);
    for (uint32_t n = 0; n < NAMES_MAX; n++)
        free(stacks->name[n].text);
    if (stacks->dwfl)
        dwfl_end(stacks->dwfl);
    pthread_mutex_destroy(&stacks->lock);
    free(stacks);
}

#else /* the host's libraries were not there when this was built */

struct host_stacks *host_stacks_create(struct error *error)
{
    error_set(error, "--host-stacks: this vmrr was built without libunwind and libdw");
    return NULL;
}

void host_stacks_destroy(struct host_stacks *stacks)
{
    (void)stacks;
}

uint32_t host_stacks_capture(void *opaque)
{
    (void)opaque;
    return 0;
}

size_t host_stacks_frames(void *opaque, uint32_t stack, const char **text, size_t max)
{
    (void)opaque;
    (void)stack;
    (void)text;
    (void)max;
    return 0;
}

#endif
