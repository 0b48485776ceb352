/* See registers.h. Names and groups are those that gdb knows ("i386 Features" in its manual): core, sse, avx; the
 * rest is a group of its own. Sizes do not depend on the CPU's mode, so that a change of mode or of gdb's architecture
 * leaves the register packet as it is.
 * The names of 32-bit code stand beside the others, so that the same packet serves gdb's architectures i8086, i386 and
 * i386:x86-64. Which of them gdb is to begin with is said in long mode only: where it is said, gdb refuses to be set to another.
 * (The group "segments" cannot be used for fs_base and gs_base: with it gdb 13 fails as i386.)
 * Not writable: segment selectors, CR0 to CR8, EFER: their hidden parts and checks are the CPU's. */
#include "tools/gdbstub/registers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    GPR,
    GPR_LOW,
    RIP,
    RIP_LOW,
    RFLAGS,
    SELECTOR,
    ST,
    FPU, /* index: enum fpu */
    XMM,
    MXCSR,
    YMM_HIGH,
    BASE,   /* of a segment */
    SYSTEM, /* index: enum system */
};
enum fpu { FCTRL, FSTAT, FTAG, FISEG, FIOFF, FOSEG, FOOFF, FOP };
enum system { K_GS_BASE, CR0, CR2, CR3, CR4, CR8, EFER };

struct gdb_register {
    const char *name, *type, *group;
    uint8_t bytes;
    uint8_t kind, index;
    const char *feature; /* begins here; null: as the one before */
};

#define FEATURE "org.gnu.gdb.i386."
#define INT64(name, kind, index)                                                                                       \
    {                                                                                                                  \
        name, "int64", NULL, 8, kind, index, NULL                                                                      \
    }
#define INT32(name, kind, index)                                                                                       \
    {                                                                                                                  \
        name, "int32", NULL, 4, kind, index, NULL                                                                      \
    }
#define ST_(n)                                                                                                         \
    {                                                                                                                  \
        "st" #n, "i387_ext", NULL, 10, ST, n, NULL                                                                     \
    }
#define FPU_(name, index)                                                                                              \
    {                                                                                                                  \
        name, "int", "float", 4, FPU, index, NULL                                                                      \
    }
#define LOW_(name, index)                                                                                              \
    {                                                                                                                  \
        name, "int32", "x86-32", 4, GPR_LOW, index, NULL                                                               \
    }
#define XMM_(n)                                                                                                        \
    {                                                                                                                  \
        "xmm" #n, "vec128", NULL, 16, XMM, n, NULL                                                                     \
    }
#define YMM_(n)                                                                                                        \
    {                                                                                                                  \
        "ymm" #n "h", "uint128", NULL, 16, YMM_HIGH, n, NULL                                                           \
    }
#define SYSTEM_(name, index)                                                                                           \
    {                                                                                                                  \
        name, "int64", "system", 8, SYSTEM, index, NULL                                                                \
    }

static const struct gdb_register registers[] = {
    {"rax", "int64", NULL, 8, GPR, CPU_RAX, FEATURE "core"},
    INT64("rbx", GPR, CPU_RBX),
    INT64("rcx", GPR, CPU_RCX),
    INT64("rdx", GPR, CPU_RDX),
    INT64("rsi", GPR, CPU_RSI),
    INT64("rdi", GPR, CPU_RDI),
    {"rbp", "data_ptr", NULL, 8, GPR, CPU_RBP, NULL},
    {"rsp", "data_ptr", NULL, 8, GPR, CPU_RSP, NULL},
    INT64("r8", GPR, 8),
    INT64("r9", GPR, 9),
    INT64("r10", GPR, 10),
    INT64("r11", GPR, 11),
    INT64("r12", GPR, 12),
    INT64("r13", GPR, 13),
    INT64("r14", GPR, 14),
    INT64("r15", GPR, 15),
    {"rip", "code_ptr", NULL, 8, RIP, 0, NULL},
    {"eflags", "i386_eflags", NULL, 4, RFLAGS, 0, NULL},
    INT32("cs", SELECTOR, CPU_CS),
    INT32("ss", SELECTOR, CPU_SS),
    INT32("ds", SELECTOR, CPU_DS),
    INT32("es", SELECTOR, CPU_ES),
    INT32("fs", SELECTOR, CPU_FS),
    INT32("gs", SELECTOR, CPU_GS),
    ST_(0),
    ST_(1),
    ST_(2),
    ST_(3),
    ST_(4),
    ST_(5),
    ST_(6),
    ST_(7),
    FPU_("fctrl", FCTRL),
    FPU_("fstat", FSTAT),
    FPU_("ftag", FTAG),
    FPU_("fiseg", FISEG),
    FPU_("fioff", FIOFF),
    FPU_("foseg", FOSEG),
    FPU_("fooff", FOOFF),
    FPU_("fop", FOP),
    LOW_("eax", CPU_RAX),
    LOW_("ecx", CPU_RCX),
    LOW_("edx", CPU_RDX),
    LOW_("ebx", CPU_RBX),
    LOW_("esp", CPU_RSP),
    LOW_("ebp", CPU_RBP),
    LOW_("esi", CPU_RSI),
    LOW_("edi", CPU_RDI),
    {"eip", "int32", "x86-32", 4, RIP_LOW, 0, NULL},
    {"xmm0", "vec128", NULL, 16, XMM, 0, FEATURE "sse"},
    XMM_(1),
    XMM_(2),
    XMM_(3),
    XMM_(4),
    XMM_(5),
    XMM_(6),
    XMM_(7),
    XMM_(8),
    XMM_(9),
    XMM_(10),
    XMM_(11),
    XMM_(12),
    XMM_(13),
    XMM_(14),
    XMM_(15),
    {"mxcsr", "i386_mxcsr", "vector", 4, MXCSR, 0, NULL},
    {"ymm0h", "uint128", NULL, 16, YMM_HIGH, 0, FEATURE "avx"},
    YMM_(1),
    YMM_(2),
    YMM_(3),
    YMM_(4),
    YMM_(5),
    YMM_(6),
    YMM_(7),
    YMM_(8),
    YMM_(9),
    YMM_(10),
    YMM_(11),
    YMM_(12),
    YMM_(13),
    YMM_(14),
    YMM_(15),
    {"fs_base", "int64", NULL, 8, BASE, CPU_FS, "org.vmrr.x86.system"},
    INT64("gs_base", BASE, CPU_GS),
    {"k_gs_base", "int64", "system", 8, SYSTEM, K_GS_BASE, NULL},
    SYSTEM_("cr0", CR0),
    SYSTEM_("cr2", CR2),
    SYSTEM_("cr3", CR3),
    SYSTEM_("cr4", CR4),
    SYSTEM_("cr8", CR8),
    SYSTEM_("efer", EFER),
};
#define REGISTERS (sizeof registers / sizeof registers[0])

/* Carry, parity, ..., ID; not VM: it is the mode. */
#define RFLAGS_WRITABLE 0x3D7FD5ull
#define RFLAGS_VM 0x20000ull
#define MXCSR_WRITABLE 0xFFFFu

/* By a debugger. */
static bool writable(const struct gdb_register *r)
{
    switch ((enum kind)r->kind) {
    case SELECTOR: return false;
    case FPU: return r->index == FCTRL || r->index == FIOFF || r->index == FOOFF || r->index == FOP;
    case SYSTEM: return r->index == K_GS_BASE;
    default: return true;
    }
}

/* ---- the description ---- */

static const char types_sse[] =
    "<vector id=\"v4f\" type=\"ieee_single\" count=\"4\"/><vector id=\"v2d\" type=\"ieee_double\" count=\"2\"/>"
    "<vector id=\"v16i8\" type=\"int8\" count=\"16\"/><vector id=\"v8i16\" type=\"int16\" count=\"8\"/>"
    "<vector id=\"v4i32\" type=\"int32\" count=\"4\"/><vector id=\"v2i64\" type=\"int64\" count=\"2\"/>"
    "<union id=\"vec128\"><field name=\"v4_float\" type=\"v4f\"/><field name=\"v2_double\" type=\"v2d\"/>"
    "<field name=\"v16_int8\" type=\"v16i8\"/><field name=\"v8_int16\" type=\"v8i16\"/>"
    "<field name=\"v4_int32\" type=\"v4i32\"/><field name=\"v2_int64\" type=\"v2i64\"/>"
    "<field name=\"uint128\" type=\"uint128\"/></union>"
    "<flags id=\"i386_mxcsr\" size=\"4\"><field name=\"IE\" start=\"0\" end=\"0\"/>"
    "<field name=\"DE\" start=\"1\" end=\"1\"/><field name=\"ZE\" start=\"2\" end=\"2\"/>"
    "<field name=\"OE\" start=\"3\" end=\"3\"/><field name=\"UE\" start=\"4\" end=\"4\"/>"
    "<field name=\"PE\" start=\"5\" end=\"5\"/><field name=\"DAZ\" start=\"6\" end=\"6\"/>"
    "<field name=\"IM\" start=\"7\" end=\"7\"/><field name=\"DM\" start=\"8\" end=\"8\"/>"
    "<field name=\"ZM\" start=\"9\" end=\"9\"/><field name=\"OM\" start=\"10\" end=\"10\"/>"
    "<field name=\"UM\" start=\"11\" end=\"11\"/><field name=\"PM\" start=\"12\" end=\"12\"/>"
    "<field name=\"FZ\" start=\"15\" end=\"15\"/></flags>";

static void print_flags(FILE *out)
{
    static const struct {
        const char *name;
        unsigned bit;
    } flags[] = {{"CF", 0},  {"", 1},    {"PF", 2},   {"AF", 4},   {"ZF", 6},  {"SF", 7},
                 {"TF", 8},  {"IF", 9},  {"DF", 10},  {"OF", 11},  {"NT", 14}, {"RF", 16},
                 {"VM", 17}, {"AC", 18}, {"VIF", 19}, {"VIP", 20}, {"ID", 21}};
    fputs("<flags id=\"i386_eflags\" size=\"4\">", out);
    for (size_t n = 0; n < sizeof flags / sizeof flags[0]; n++)
        fprintf(out, "<field name=\"%s\" start=\"%u\" end=\"%u\"/>", flags[n].name, flags[n].bit, flags[n].bit);
    fputs("</flags>", out);
}

/* Pointers have the width of gdb's architecture, and the packet may not change with that. */
static const char *type_of(const struct gdb_register *r, bool long_mode)
{
    bool pointer = !strcmp(r->type, "code_ptr") || !strcmp(r->type, "data_ptr");
    return pointer && !long_mode ? "int64" : r->type;
}

static void print_register(FILE *out, const struct gdb_register *r, bool long_mode)
{
    if (r->feature) {
        fprintf(out, "%s<feature name=\"%s\">", r == registers ? "" : "</feature>", r->feature);
        if (r->kind == GPR)
            print_flags(out);
        else if (r->kind == XMM)
            fputs(types_sse, out);
    }
    fprintf(out, "<reg name=\"%s\" bitsize=\"%u\" type=\"%s\"", r->name, r->bytes * 8, type_of(r, long_mode));
    if (r->group)
        fprintf(out, " group=\"%s\"", r->group);
    if (!writable(r))
        fputs(" save-restore=\"no\"", out);
    fputs("/>", out);
}

char *gdb_registers_xml(bool long_mode, size_t *size_bytes)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size_bytes);
    CHECK(out);
    fputs("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\">"
          "<target>",
          out);
    if (long_mode)
        fputs("<architecture>i386:x86-64</architecture>", out);
    for (size_t n = 0; n < REGISTERS; n++)
        print_register(out, &registers[n], long_mode);
    fputs("</feature></target>", out);
    CHECK(!fclose(out));
    return text;
}

unsigned gdb_register_count(void)
{
    return REGISTERS;
}

unsigned gdb_register_bytes(unsigned number)
{
    CHECK(number < REGISTERS);
    return registers[number].bytes;
}

/* ---- values ---- */

static const struct cpu_x87_register *st_of(const struct cpu_state *state, unsigned n)
{
    return &state->fpr[((state->fsw >> 11) + n) & 7];
}

/* The tag word as FNSTENV stores it: 0 valid, 1 zero, 2 special, 3 empty. */
static uint32_t tag_word(const struct cpu_state *state)
{
    uint32_t word = 0;
    for (unsigned n = 0; n < 8; n++) {
        const struct cpu_x87_register *r = &state->fpr[n];
        unsigned exponent = r->sign_exponent & 0x7FFF, tag = 0;
        if (!(state->ftw >> n & 1))
            tag = 3;
        else if (!exponent && !r->significand)
            tag = 1;
        else if (!exponent || exponent == 0x7FFF || !(r->significand >> 63))
            tag = 2;
        word |= tag << (2 * n);
    }
    return word;
}

static uint32_t fpu_value(const struct cpu_state *state, enum fpu index)
{
    switch (index) {
    case FCTRL: return state->fcw;
    case FSTAT: return state->fsw;
    case FTAG: return tag_word(state);
    case FISEG: return state->fcs;
    case FIOFF: return (uint32_t)state->fip;
    case FOSEG: return state->fds;
    case FOOFF: return (uint32_t)state->fdp;
    case FOP: return state->fop;
    }
    return 0;
}

static uint64_t system_value(const struct cpu_state *state, uint8_t cr8, enum system index)
{
    switch (index) {
    case K_GS_BASE: return state->kernel_gs_base;
    case CR0: return state->cr0;
    case CR2: return state->cr2;
    case CR3: return state->cr3;
    case CR4: return state->cr4;
    case CR8: return cr8;
    case EFER: return state->efer;
    }
    return 0;
}

static void put(uint8_t *bytes, uint64_t value, unsigned size_bytes)
{
    for (unsigned n = 0; n < size_bytes; n++)
        bytes[n] = (uint8_t)(value >> (8 * n));
}

static uint64_t get(const uint8_t *bytes, unsigned size_bytes)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < size_bytes; n++)
        value |= (uint64_t)bytes[n] << (8 * n);
    return value;
}

void gdb_register_get(const struct cpu_state *state, uint8_t cr8, unsigned number, uint8_t *bytes)
{
    const struct gdb_register *r = &registers[number];
    CHECK(number < REGISTERS);
    switch ((enum kind)r->kind) {
    case GPR: put(bytes, state->gpr[r->index], 8); break;
    case GPR_LOW: put(bytes, state->gpr[r->index], 4); break;
    case RIP: put(bytes, state->rip, 8); break;
    case RIP_LOW: put(bytes, state->rip, 4); break;
    case RFLAGS: put(bytes, state->rflags, 4); break;
    case SELECTOR: put(bytes, state->segment[r->index].selector, 4); break;
    case ST:
        put(bytes, st_of(state, r->index)->significand, 8);
        put(bytes + 8, st_of(state, r->index)->sign_exponent, 2);
        break;
    case FPU: put(bytes, fpu_value(state, (enum fpu)r->index), 4); break;
    case XMM:
    case YMM_HIGH: {
        const uint64_t *q = &state->vector[r->index].q[r->kind == XMM ? 0 : 2];
        put(bytes, q[0], 8);
        put(bytes + 8, q[1], 8);
        break;
    }
    case MXCSR: put(bytes, state->mxcsr, 4); break;
    case BASE: put(bytes, state->segment[r->index].base, 8); break;
    case SYSTEM: put(bytes, system_value(state, cr8, (enum system)r->index), 8); break;
    }
}

/* In 64-bit mode addresses that are not canonical are in no register. */
static bool set_base(uint64_t *base, uint64_t value)
{
    if ((uint64_t)((int64_t)(value << 16) >> 16) != value)
        return false;
    *base = value;
    return true;
}

static bool set_fpu(struct cpu_state *state, enum fpu index, uint32_t value)
{
    switch (index) {
    case FCTRL: state->fcw = (uint16_t)((value & 0x1F3F) | 0x40); return true;
    case FIOFF: state->fip = value; return true;
    case FOOFF: state->fdp = value; return true;
    case FOP: state->fop = value & 0x7FF; return true;
    default: return false;
    }
}

static bool write_value(struct cpu_state *state, const struct gdb_register *r, const uint8_t *bytes)
{
    switch ((enum kind)r->kind) {
    case GPR: state->gpr[r->index] = get(bytes, 8); return true;
    case GPR_LOW: state->gpr[r->index] = (state->gpr[r->index] & ~(uint64_t)UINT32_MAX) | get(bytes, 4); return true;
    case RIP_LOW: return set_base(&state->rip, (state->rip & ~(uint64_t)UINT32_MAX) | get(bytes, 4));
    case RIP: return set_base(&state->rip, cpu_state_code64(state) ? get(bytes, 8) : (uint32_t)get(bytes, 8));
    case RFLAGS:
        state->rflags = (state->rflags & ~RFLAGS_WRITABLE) | (get(bytes, 4) & RFLAGS_WRITABLE);
        return !((get(bytes, 4) ^ state->rflags) & RFLAGS_VM);
    case ST: {
        struct cpu_x87_register *st = &state->fpr[((state->fsw >> 11) + r->index) & 7];
        st->significand = get(bytes, 8);
        st->sign_exponent = (uint16_t)get(bytes + 8, 2);
        return true;
    }
    case FPU: return set_fpu(state, (enum fpu)r->index, (uint32_t)get(bytes, 4));
    case XMM:
    case YMM_HIGH: {
        uint64_t *q = &state->vector[r->index].q[r->kind == XMM ? 0 : 2];
        q[0] = get(bytes, 8);
        q[1] = get(bytes + 8, 8);
        return true;
    }
    case MXCSR: state->mxcsr = (uint32_t)get(bytes, 4) & MXCSR_WRITABLE; return true;
    case BASE: return cpu_state_code64(state) && set_base(&state->segment[r->index].base, get(bytes, 8));
    case SYSTEM: return r->index == K_GS_BASE && set_base(&state->kernel_gs_base, get(bytes, 8));
    case SELECTOR: break;
    }
    return false;
}

bool gdb_register_set(struct cpu_state *state, uint8_t cr8, unsigned number, const uint8_t *bytes)
{
    uint8_t present[GDB_REGISTER_BYTES_MAX];
    gdb_register_get(state, cr8, number, present);
    if (!memcmp(present, bytes, registers[number].bytes))
        return true;
    return write_value(state, &registers[number], bytes);
}

bool gdb_registers_same(const struct cpu_state *a, const struct cpu_state *b)
{
    uint8_t one[GDB_REGISTER_BYTES_MAX], other[GDB_REGISTER_BYTES_MAX];
    for (unsigned n = 0; n < REGISTERS; n++) {
        gdb_register_get(a, 0, n, one);
        gdb_register_get(b, 0, n, other);
        if (writable(&registers[n]) && memcmp(one, other, registers[n].bytes) != 0)
            return false;
    }
    return true;
}
