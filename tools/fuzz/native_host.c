/* The native instruction check: the host's side. Includes nothing of the interpreter: its names are ucontext's too. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* REG_RIP and the like */
#endif
#include "tools/fuzz/native_host.h"

#include <asm/ldt.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#define USER_CS64 0x33u
#define USER_CS32 0x23u
#define USER_DS 0x2Bu
#define USER_CS16 NATIVE_SELECTOR16
#define VECTOR_BP 3
#define VECTOR_PF 14

/* A signal handler has no other way to its data. */
static struct {
    const struct native_case *c;
    struct native_state *out;
    ucontext_t home;                  /* where the process was when it entered */
    struct native_state home_vectors; /* fx and high of it */
    bool inside, has16;
    bool fdp_moves;      /* see probe_fdp_moves */
    unsigned fip_bits;   /* see probe_fip_bits */
    unsigned ticks;      /* of the CPU time used by one case */
    uint32_t avx_offset; /* in a frame's XSAVE area: CPUID is slow in a virtual machine */
    uint8_t *code;       /* NATIVE_CODE once more, writable; null: not open */
} host;

static const int gpr_index[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                  REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* The XSAVE area of a signal frame, standard format (Intel SDM vol. 1, chapter 13): what Linux says of it at byte 464. */
#define FRAME_MAGIC 0x46505853u
#define FRAME_SOFTWARE 464u /* magic, size, features, xstate size */
#define FRAME_IN_USE 512u
#define FEATURE_AVX 4u

static uint8_t *frame_avx(uint8_t *area)
{
    uint32_t magic;
    uint64_t features;

    memcpy(&magic, area + FRAME_SOFTWARE, 4);
    memcpy(&features, area + FRAME_SOFTWARE + 8, 8);
    if (magic != FRAME_MAGIC || !(features & FEATURE_AVX))
        return NULL;
    return area + host.avx_offset;
}

static void frame_put_vectors(ucontext_t *uc, const struct native_state *from)
{
    uint8_t *area = (uint8_t *)uc->uc_mcontext.fpregs, *avx = frame_avx(area);
    uint32_t magic;
    uint64_t in_use;

    memcpy(area, from->fx, NATIVE_FX_MXCSR_MASK);
    memcpy(area + NATIVE_FX_ST, from->fx + NATIVE_FX_ST, NATIVE_FX_BYTES - NATIVE_FX_ST);
    if (avx)
        memcpy(avx, from->high, sizeof from->high);
    memcpy(&magic, area + FRAME_SOFTWARE, 4);
    if (magic == FRAME_MAGIC) {
        memcpy(&in_use, area + FRAME_IN_USE, 8);
        in_use |= avx ? 3 | FEATURE_AVX : 3;
        memcpy(area + FRAME_IN_USE, &in_use, 8);
    }
}

static void frame_get_vectors(const ucontext_t *uc, struct native_state *to)
{
    uint8_t *area = (uint8_t *)uc->uc_mcontext.fpregs, *avx = frame_avx(area);
    uint64_t in_use;

    memcpy(to->fx, area, NATIVE_FX_BYTES);
    memset(to->high, 0, sizeof to->high);
    memcpy(&in_use, area + FRAME_IN_USE, 8);
    if (avx && (in_use & FEATURE_AVX))
        memcpy(to->high, avx, sizeof to->high);
}

static void enter(ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    const struct native_case *c = host.c;

    memcpy(host.home.uc_mcontext.gregs, regs, sizeof uc->uc_mcontext.gregs);
    frame_get_vectors(uc, &host.home_vectors);
    for (unsigned n = 0; n < 16; n++)
        regs[gpr_index[n]] = (greg_t)c->in.gpr[n];
    regs[REG_RIP] = (greg_t)(c->bits == 16 ? c->in.rip - NATIVE_CODE : c->in.rip);
    regs[REG_EFL] = (greg_t)c->in.rflags;
    regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xFFFFll) | (c->bits == 16   ? USER_CS16
                                                         : c->bits == 32 ? USER_CS32
                                                                         : USER_CS64);
    frame_put_vectors(uc, &c->in);
    host.inside = true;
    host.ticks = 0;
}

static void leave(ucontext_t *uc)
{
    greg_t *regs = uc->uc_mcontext.gregs;
    struct native_state *out = host.out;

    for (unsigned n = 0; n < 16; n++)
        out->gpr[n] = (uint64_t)regs[gpr_index[n]];
    out->rip = (uint64_t)regs[REG_RIP];
    if ((regs[REG_CSGSFS] & 0xFFFF) == USER_CS16)
        out->rip = (out->rip & 0xFFFF) + NATIVE_CODE;
    out->rflags = (uint64_t)regs[REG_EFL];
    out->vector = (int)regs[REG_TRAPNO];
    out->error = (uint32_t)regs[REG_ERR];
    out->cr2 = (uint64_t)regs[REG_CR2];
    frame_get_vectors(uc, out);
    memcpy(regs, host.home.uc_mcontext.gregs, sizeof uc->uc_mcontext.gregs);
    frame_put_vectors(uc, &host.home_vectors);
    host.inside = false;
}

static void on_signal(int number, siginfo_t *info, void *context)
{
    (void)info;
    __asm__ volatile("lea -128(%%rsp), %%rsp; pushfq; andl $0xFFFBFFFF, (%%rsp); popfq; lea 128(%%rsp), %%rsp" ::
                         : "memory", "cc"); /* AC is the case's */
    if (number == SIGVTALRM) {
        if (host.inside && ++host.ticks > 1) { /* it does not end by itself: a branch to itself */
            leave(context);
            host.out->vector = NATIVE_ENDLESS;
        }
    } else if (number == SIGSYS && host.inside) { /* where system calls are forbidden */
        leave(context);
        host.out->vector = NATIVE_SYSCALL;
    } else if (host.inside) {
        leave(context);
    } else if (number == SIGUSR1) {
        enter(context);
    } else { /* a bug of the test itself */
        signal(number, SIG_DFL);
        raise(number);
    }
}

/* Who lies where the arena shall be. */
static void print_maps(uint64_t first, uint64_t end)
{
    unsigned long long from, to;
    char line[512];
    FILE *file = fopen("/proc/self/maps", "r");

    while (file && fgets(line, sizeof line, file))
        if (sscanf(line, "%llx-%llx", &from, &to) == 2 && from < end && to > first)
            fprintf(stderr, "  there is: %s", line);
    if (file)
        fclose(file);
}

static void *map_at(uint32_t linear, size_t size_bytes, int protection, int file)
{
    int flags = MAP_FIXED_NOREPLACE | MAP_POPULATE | (file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
    void *at = mmap((void *)(uintptr_t)linear, size_bytes, protection, flags, file, 0);

    if (at == MAP_FAILED) {
        fprintf(stderr, "mmap of the native arena at %x: %s\n", linear, strerror(errno));
        print_maps(linear, linear + size_bytes);
        exit(1);
    }
    return at;
}

static uint32_t ask_avx_offset(void)
{
    uint32_t offset, leaf = 13, subleaf = 2;

    __asm__("cpuid" : "+a"(leaf), "=b"(offset), "+c"(subleaf) : : "edx");
    return offset;
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

/* 64-bit processes have null DS and ES, which compatibility mode can't use. */
static void set_segments(void)
{
    __asm__ volatile("movl %0, %%ds\n\tmovl %0, %%es\n\tmovl %1, %%gs" : : "r"(USER_DS), "r"(0));
}

static void host_install(void)
{
    static const int signals[] = {SIGUSR1, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGVTALRM, SIGSYS};
    static uint8_t alternate[65536];
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
    static const struct itimerval tick = {{0, 100000}, {0, 100000}};
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    sigaltstack(&stack, NULL);
    for (unsigned n = 0; n < sizeof signals / sizeof signals[0]; n++)
        sigaction(signals[n], &action, NULL);
    setitimer(ITIMER_VIRTUAL, &tick, NULL);
}

/* ---- the x87's pointers ------------------------------------------------------------------------------------------- */

/* FIP is as wide as a linear address, sign-extended from there when a 64-bit image is loaded: 48 bits, or 57 where the silicon
 * has 5-level paging, whether or not the system uses it and CPUID shows it. So the silicon is asked. (FDP has all 64 bits.) */
static unsigned probe_fip_bits(void)
{
    static _Alignas(16) uint8_t home[512], loaded[512], saved[512];
    const uint64_t negative = 1ull << 47; /* if there are 48 */
    uint64_t fip;

    __asm__ volatile("fxsave64 %0" : "=m"(loaded));
    memcpy(loaded + NATIVE_FX_FIP, &negative, 8);
    __asm__ volatile("fxsave64 %0\n\tfxrstor64 %2\n\tfxsave64 %1\n\tfxrstor64 %0"
                     : "+m"(home), "+m"(saved)
                     : "m"(loaded));
    memcpy(&fip, saved + NATIVE_FX_FIP, 8);
    return fip == negative ? 57 : 48;
}

/* Processors whose CPUID.7.EBX bit 6 is clear set FDP at every memory operand, not only with an unmasked exception. Asked of the
 * silicon too. */
static bool probe_fdp_moves(void)
{
    static _Alignas(16) uint8_t home[512], saved[512];
    static const float one = 1;
    uint64_t fdp;

    __asm__ volatile("fxsave64 %0\n\tfninit\n\tfld1\n\tfadds %2\n\tfxsave64 %1\n\tfxrstor64 %0"
                     : "+m"(home), "+m"(saved)
                     : "m"(one));
    memcpy(&fdp, saved + NATIVE_FX_FDP, 8);
    return fdp != 0;
}

/* A FIP of 57 bits, as a processor of 48, which the interpreter is, would have kept it. */
static void narrow_fip(uint8_t *fip)
{
    int64_t value;

    memcpy(&value, fip, 8);
    value = (int64_t)((uint64_t)value << 16) >> 16;
    memcpy(fip, &value, 8);
}

void native_host_run(const struct native_case *c, struct native_state *out, uint8_t *data_out)
{
    uint8_t *code = host.code + c->offset;

    memcpy(code, c->code, c->length);
    memcpy((void *)(uintptr_t)NATIVE_DATA, c->data, NATIVE_DATA_BYTES);
    host.c = c;
    host.out = out;
    /* Segment registers, NT and ID stay through a signal frame: a case before may have changed them. */
    set_segments();
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
    if (host.fip_bits == 57)
        narrow_fip(out->fx + NATIVE_FX_FIP);
}

/* ---- features ----------------------------------------------------------------------------------------------------- */

/* Linux' name for a feature: its own in two cases, and with _ for - and . */
static void linux_name(const char *feature, char out[32])
{
    static const char *const own[][2] = {{"sse3", "pni"}, {"tsc-deadline", "tsc_deadline_timer"}};

    snprintf(out, 32, "%s", feature);
    for (unsigned n = 0; n < sizeof own / sizeof own[0]; n++)
        if (!strcmp(feature, own[n][0]))
            snprintf(out, 32, "%s", own[n][1]);
    for (char *at = out; *at; at++)
        if (*at == '-' || *at == '.')
            *at = '_';
}

bool native_host_has(const char *feature)
{
    static char flags[8192];
    char name[32], *at;
    size_t size;

    if (!feature)
        return true;
    if (!flags[0]) {
        FILE *file = fopen("/proc/cpuinfo", "r");
        while (file && fgets(flags, sizeof flags, file) && strncmp(flags, "flags", 5))
            ;
        if (file)
            fclose(file);
    }
    linux_name(feature, name);
    size = strlen(name);
    for (at = flags; (at = strstr(at, name)); at += size)
        if (at > flags && at[-1] == ' ' && (at[size] == ' ' || at[size] == '\n'))
            return true;
    return false;
}

/* ---- what no model has ------------------------------------------------------------------------------------------- */

enum { EAX, EBX, ECX, EDX };
#define XCR0_AVX 0x6u
#define XCR0_AVX512 0xE6u
#define SYSTEM 0x80000000u /* no bit of XCR0: the operating system has more to do */

/* Where CPUID has it (leaf 0: nowhere), and the bits of XCR0 that it takes. */
static const struct {
    char name[16];
    uint32_t leaf, subleaf;
    uint8_t reg, bit;
    uint32_t xcr0;
} other_features[] = {
    {"vmx", 1, 0, ECX, 5, SYSTEM},
    {"rtm", 7, 0, EBX, 11, 0},
    {"avx512f", 7, 0, EBX, 16, XCR0_AVX512},
    {"avx512dq", 7, 0, EBX, 17, XCR0_AVX512},
    {"avx512bw", 7, 0, EBX, 30, XCR0_AVX512},
    {"waitpkg", 7, 0, ECX, 5, 0},
    {"shstk", 7, 0, ECX, 7, SYSTEM},
    {"gfni", 7, 0, ECX, 8, XCR0_AVX},
    {"kl", 7, 0, ECX, 23, SYSTEM},
    {"movdiri", 7, 0, ECX, 27, 0},
    {"movdir64b", 7, 0, ECX, 28, 0},
    {"enqcmd", 7, 0, ECX, 29, 0},
    {"uintr", 7, 0, EDX, 5, SYSTEM},
    {"serialize", 7, 0, EDX, 14, 0},
    {"tsxldtrk", 7, 0, EDX, 16, 0},
    {"amx-bf16", 7, 0, EDX, 22, SYSTEM},
    {"amx-tile", 7, 0, EDX, 24, SYSTEM},
    {"amx-int8", 7, 0, EDX, 25, SYSTEM},
    {"sha512", 7, 1, EAX, 0, XCR0_AVX},
    {"sm3", 7, 1, EAX, 1, XCR0_AVX},
    {"sm4", 7, 1, EAX, 2, XCR0_AVX},
    {"raoint", 7, 1, EAX, 3, 0},
    {"avx-vnni", 7, 1, EAX, 4, XCR0_AVX},
    {"cmpccxadd", 7, 1, EAX, 7, 0},
    {"fred", 7, 1, EAX, 17, SYSTEM},
    {"lkgs", 7, 1, EAX, 18, SYSTEM},
    {"amx-fp16", 7, 1, EAX, 21, SYSTEM},
    {"hreset", 7, 1, EAX, 22, 0},
    {"avx-ifma", 7, 1, EAX, 23, XCR0_AVX},
    {"movrs", 7, 1, EAX, 31, 0},
    {"avx-vnni-int8", 7, 1, EDX, 4, XCR0_AVX},
    {"avx-ne-convert", 7, 1, EDX, 5, XCR0_AVX},
    {"amx-complex", 7, 1, EDX, 8, SYSTEM},
    {"avx-vnni-int16", 7, 1, EDX, 10, XCR0_AVX},
    {"usermsr", 7, 1, EDX, 15, SYSTEM},
    {"ptwrite", 0x14, 0, EBX, 4, 0},
    {"sse4a", 0x80000001, 0, ECX, 6, 0},
    {"fma4", 0x80000001, 0, ECX, 16, XCR0_AVX},
    {"monitorx", 0x80000001, 0, ECX, 29, 0},
    {"clzero", 0x80000008, 0, EBX, 0, 0},
    {"rdpru", 0x80000008, 0, EBX, 4, 0},
    {"tdx", 0, 0, EAX, 0, SYSTEM},
};

static uint32_t read_xcr0(void)
{
    uint32_t eax, ebx, ecx, edx, low = 0, high;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_OSXSAVE))
        __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

enum native_feature native_host_says(const char *feature)
{
    uint32_t out[4];
    unsigned n = 0;

    while (n < sizeof other_features / sizeof other_features[0] && strcmp(other_features[n].name, feature))
        n++;
    if (n == sizeof other_features / sizeof other_features[0]) {
        fprintf(stderr, "native_host.c does not know where CPUID has %s\n", feature);
        exit(1);
    }
    if (!other_features[n].leaf || !__get_cpuid_count(other_features[n].leaf, other_features[n].subleaf, &out[EAX],
                                                      &out[EBX], &out[ECX], &out[EDX]))
        return NATIVE_HIDDEN;
    if (!(out[other_features[n].reg] >> other_features[n].bit & 1))
        return NATIVE_HIDDEN;
    return other_features[n].xcr0 & ~read_xcr0() ? NATIVE_SHOWN : NATIVE_RUNS;
}

bool native_host_is(const char *maker)
{
    uint32_t eax, words[3] = {0};

    return __get_cpuid(0, &eax, &words[0], &words[2], &words[1]) && !memcmp(words, maker, sizeof words);
}

/* ---- opening ----------------------------------------------------------------------------------------------------- */

/* A 16-bit code segment over the arena. Kernels without modify_ldt, or forbidden to have such segments, have none. */
static void make_segment16(void)
{
    struct user_desc code = {.entry_number = NATIVE_SELECTOR16 >> 3,
                             .base_addr = NATIVE_CODE,
                             .limit = 0xFFFF,
                             .contents = MODIFY_LDT_CONTENTS_CODE};

    host.has16 = syscall(SYS_modify_ldt, 1, &code, sizeof code) == 0;
}

bool native_host_fdp_moves(void)
{
    return host.fdp_moves;
}

bool native_host_has16(void)
{
    return host.has16;
}

void native_host_open(void)
{
    if (host.code) {
        fprintf(stderr, "a native harness is open already: a test that failed has not closed it\n");
        exit(1);
    }
    host_map();
    host.avx_offset = ask_avx_offset();
    host.fip_bits = probe_fip_bits();
    host.fdp_moves = probe_fdp_moves();
    make_segment16();
    host_install();
}

void native_host_close(void)
{
    munmap((void *)(uintptr_t)NATIVE_CODE, NATIVE_CODE_BYTES);
    munmap(host.code, NATIVE_CODE_BYTES);
    host.code = NULL;
    munmap((void *)(uintptr_t)NATIVE_DATA, NATIVE_DATA_BYTES);
    munmap((void *)(uintptr_t)NATIVE_RODATA, NATIVE_RODATA_BYTES);
}
