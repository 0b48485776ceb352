/* The native instruction check: the host's side. Includes nothing of the interpreter: its names are ucontext's too. */
#define _GNU_SOURCE /* REG_RIP and the like */
#include "tests/support/native_host.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#define USER_CS64 0x33u
#define USER_CS32 0x23u
#define USER_DS 0x2Bu
#define VECTOR_BP 3
#define VECTOR_PF 14

/* A signal handler has no other way to its data. */
static struct {
    const struct native_case *c;
    struct native_state *out;
    ucontext_t home; /* where the process was when it entered */
    uint8_t home_fx[NATIVE_FX_BYTES];
    bool inside;
    uint8_t *code; /* NATIVE_CODE once more, writable */
} host;

static const int gpr_index[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static void frame_put_fx(ucontext_t *uc, const uint8_t *fx)
{
    uint8_t *area = (uint8_t *)uc->uc_mcontext.fpregs;
    uint32_t magic;
    uint64_t in_use;

    memcpy(area, fx, NATIVE_FX_MXCSR_MASK);
    memcpy(area + NATIVE_FX_ST, fx + NATIVE_FX_ST, NATIVE_FX_BYTES - NATIVE_FX_ST);
    memcpy(&magic, area + 464, 4);
    if (magic == 0x46505853u) { /* an XSAVE area follows: say that x87 and SSE are in it */
        memcpy(&in_use, area + 512, 8);
        in_use |= 3;
        memcpy(area + 512, &in_use, 8);
    }
}

static void enter(ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const struct native_case *c = host.c;

    memcpy(host.home.uc_mcontext.gregs, regs, sizeof uc->uc_mcontext.gregs);
    memcpy(host.home_fx, uc->uc_mcontext.fpregs, NATIVE_FX_BYTES);
    for (unsigned n = 0; n < 16; n++)
        regs[gpr_index[n]] = (greg_t)c->in.gpr[n];
    regs[REG_RIP] = (greg_t)c->in.rip;
    regs[REG_EFL] = (greg_t)c->in.rflags;
    regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xFFFFll) | (c->bits == 32 ? USER_CS32 : USER_CS64);
    frame_put_fx(uc, c->in.fx);
    host.inside = true;
}

static void leave(ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    struct native_state *out = host.out;

    for (unsigned n = 0; n < 16; n++)
        out->gpr[n] = (uint64_t)regs[gpr_index[n]];
    out->rip = (uint64_t)regs[REG_RIP];
    out->rflags = (uint64_t)regs[REG_EFL];
    out->vector = (int)regs[REG_TRAPNO];
    out->error = (uint32_t)regs[REG_ERR];
    out->cr2 = (uint64_t)regs[REG_CR2];
    memcpy(out->fx, uc->uc_mcontext.fpregs, NATIVE_FX_BYTES);
    memcpy(regs, host.home.uc_mcontext.gregs, sizeof uc->uc_mcontext.gregs);
    frame_put_fx(uc, host.home_fx);
    host.inside = false;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)info;
    if (host.inside) {
        leave(context);
    } else if (number == SIGUSR1) {
        enter(context);
    } else { /* a bug of the test itself */
        signal(number, SIG_DFL);
        raise(number);
    }
}

static void *map_at(uint32_t linear, size_t size_bytes, int protection, int file)
{
    int flags = MAP_FIXED_NOREPLACE | MAP_POPULATE | (file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    void *at = mmap((void *)(uintptr_t)linear, size_bytes, protection, flags, file, 0);

    if (at == MAP_FAILED) {
        perror("mmap of the native arena");
        exit(1);
    }
    return at;
}

static void host_map(void)
{
    int file = memfd_create("native code", 0);

    if (file < 0 || ftruncate(file, NATIVE_CODE_BYTES)) {
        perror("memfd_create");
        exit(1);
    }
    host.code = mmap(NULL, NATIVE_CODE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    memset(host.code, 0xCC, NATIVE_CODE_BYTES);
    map_at(NATIVE_CODE, NATIVE_CODE_BYTES, PROT_READ | PROT_EXEC, file); /* no case changes its own code */
    close(file);
    map_at(NATIVE_DATA, NATIVE_DATA_BYTES, PROT_READ | PROT_WRITE, -1);
    void *rodata = map_at(NATIVE_RODATA, NATIVE_RODATA_BYTES, PROT_READ | PROT_WRITE, -1);
    memset(rodata, 0x5A, NATIVE_RODATA_BYTES);
    mprotect(rodata, NATIVE_RODATA_BYTES, PROT_READ);
}

static void host_install(void)
{
    static const int signals[] = {SIGUSR1, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP};
    static uint8_t alternate[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    sigaltstack(&stack, NULL);
    for (unsigned n = 0; n < sizeof signals / sizeof signals[0]; n++)
        sigaction(signals[n], &action, NULL);
    /* 64-bit processes have null DS and ES, which compatibility mode can't use. */
    __asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es" : : "r"(USER_DS));
}

void native_host_run(const struct native_case *c, struct native_state *out, uint8_t *data_out)
{
    uint8_t *code = host.code + c->offset;

    memcpy(code, c->code, c->length);
    memcpy((void *)(uintptr_t)NATIVE_DATA, c->data, NATIVE_DATA_BYTES);
    host.c = c;
    host.out = out;
    /* NT and ID stay through a signal frame: a POPF before may have set them. */
    __asm__ volatile("leaq -128(%%rsp), %%rsp\n\t" /* the red zone */
                     "pushfq\n\tandq $~0x204000, (%%rsp)\n\tpopfq\n\t"
                     "leaq 128(%%rsp), %%rsp"
                     :
                     :
                     : "cc", "memory");
    raise(SIGUSR1);
    memcpy(data_out, (void *)(uintptr_t)NATIVE_DATA, NATIVE_DATA_BYTES);
    memset(code, 0xCC, c->length);
    if (out->vector == VECTOR_BP) { /* the INT3 behind it */
        out->vector = -1;
        out->rip--;
    }
    if (out->vector != VECTOR_PF)
        out->cr2 = 0;
}

void native_host_open(void)
{
    host_map();
    host_install();
}

void native_host_close(void)
{
    munmap((void *)(uintptr_t)NATIVE_CODE, NATIVE_CODE_BYTES);
    munmap(host.code, NATIVE_CODE_BYTES);
    munmap((void *)(uintptr_t)NATIVE_DATA, NATIVE_DATA_BYTES);
    munmap((void *)(uintptr_t)NATIVE_RODATA, NATIVE_RODATA_BYTES);
}
