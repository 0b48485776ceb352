/* The native instruction check: the made-up machine in legacy protected mode, with 32-bit or PAE paging (Intel SDM vol. 3A, 4.3 and
 * 4.4). The same linear addresses are mapped as in native.h; the supervisor's lie at NATIVE_LEGACY_SUPERVISOR.
 *
 * There is no stack table: at level 0 a fault would push where the case's ESP happens to point. So every vector is a task gate to a task
 * of its own (vol. 3A, 7.3), and what the case had is in the case's TSS afterwards, the error code on the task's stack.
 * Without NX data can be executed with 32-bit paging. */
#include "tools/fuzz/native_internal.h"

#include "accel-interp/exceptions.h"
#include "core/cpu_state.h"

#include <string.h>

#define TABLE(n) (PHYS_TABLES + (n)*0x1000u)
#define USER_READ 0x65u
#define USER_WRITE 0x67u
#define SUPERVISOR_READ 0x61u
#define SUPERVISOR_WRITE 0x63u
#define TASK_BYTES 104u
#define TSS_EIP 0x20u
#define TSS_EFLAGS 0x24u
#define TSS_GPR 0x28u
#define TASK_GATE 0x85u
#define TSS_AVAILABLE 0x89u
#define TSS_BUSY 0x8Bu

static void put32(struct native_harness *h, uint64_t gpa, uint32_t value)
{
    memcpy(native_memory(h, gpa), &value, sizeof value);
}

static uint32_t get32(struct native_harness *h, uint64_t gpa)
{
    uint32_t value;
    memcpy(&value, native_memory(h, gpa), sizeof value);
    return value;
}

static void put64(struct native_harness *h, uint64_t gpa, uint64_t value)
{
    memcpy(native_memory(h, gpa), &value, sizeof value);
}

/* ---- paging ---- */

/* One page in the table at gpa: 4 bytes an entry with 32-bit paging, 8 with PAE. */
static void put_entry(struct native_harness *h, uint64_t table, uint64_t index, uint64_t value)
{
    if (native_paging(h) == NATIVE_PAGING_PAE)
        put64(h, table + index * 8, value);
    else
        put32(h, table + index * 4, (uint32_t)value);
}

static bool supervisor_writes(uint64_t gpa)
{
    return gpa == PHYS_GDT || gpa == PHYS_TSS || gpa == PHYS_STACK || gpa == PHYS_SERVER + 0x1000 ||
           gpa == PHYS_SERVER + 0x2000 || gpa == PHYS_TASKS;
}

static void put_arena(struct native_harness *h, uint64_t table)
{
    uint64_t no_execute = native_paging(h) == NATIVE_PAGING_PAE ? NO_EXECUTE : 0;
    for (uint64_t page = 0; page < 0x16000; page += 0x1000) {
        uint64_t linear = NATIVE_CODE + page, rights = 0;
        if (linear < NATIVE_CODE + NATIVE_CODE_BYTES)
            rights = USER_READ;
        else if (linear >= NATIVE_DATA && linear < NATIVE_DATA + NATIVE_DATA_BYTES)
            rights = USER_WRITE | no_execute;
        else if (linear >= NATIVE_RODATA && linear < NATIVE_RODATA + NATIVE_RODATA_BYTES)
            rights = USER_READ | no_execute;
        if (rights)
            put_entry(h, table, page >> 12, (PHYS_ARENA + page) | rights);
    }
}

void native_legacy_tables(struct native_harness *h)
{
    bool pae = native_paging(h) == NATIVE_PAGING_PAE;
    unsigned shift = pae ? 21 : 22;
    uint64_t low_directory = pae ? TABLE(1) : TABLE(0), high_directory = pae ? TABLE(2) : TABLE(0),
             high = NATIVE_LEGACY_HIGH, index = pae ? 0x1FF : 0x3FF;
    if (pae) {
        put64(h, TABLE(0), low_directory | 1);
        put64(h, TABLE(0) + 8 * (NATIVE_LEGACY_SUPERVISOR >> 30), high_directory | 1);
    }
    put_entry(h, high_directory, NATIVE_LEGACY_SUPERVISOR >> shift & index, high | 0x67);
    for (uint64_t gpa = 0x10000; gpa < 0x30000; gpa += 0x1000)
        put_entry(h, high, gpa >> 12, gpa | (supervisor_writes(gpa) ? SUPERVISOR_WRITE : SUPERVISOR_READ));
    put_entry(h, low_directory, NATIVE_CODE >> shift, TABLE(3) | 0x67);
    put_arena(h, TABLE(3));
    if (native_level(h))
        return;
    put_entry(h, low_directory, 0, TABLE(5) | 0x67); /* 16-bit code, as in native_interp.c */
    for (uint64_t page = 0; page < NATIVE_CODE_BYTES; page += 0x1000)
        put_entry(h, TABLE(5), page >> 12, (PHYS_ARENA + page) | USER_READ);
}

/* ---- tasks ---- */

static uint64_t tss_descriptor(uint64_t gpa, uint64_t type)
{
    uint64_t base = NATIVE_LEGACY_SUPERVISOR + gpa;
    return (TASK_BYTES - 1) | (base & 0xFFFFFF) << 16 | type << 40 | (base >> 24 & 0xFF) << 56;
}

static void put_task(struct native_harness *h, unsigned vector)
{
    const uint64_t at = PHYS_TASKS + vector * TASK_BYTES;
    memset(native_memory(h, at), 0, TASK_BYTES);
    put32(h, at + 0x1C, PHYS_TABLES);
    put32(h, at + TSS_EIP, NATIVE_LEGACY_SUPERVISOR + PHYS_HANDLERS + vector * 16);
    put32(h, at + TSS_EFLAGS, 2);
    put32(h, at + TSS_GPR + 4 * CPU_RSP, NATIVE_LEGACY_SUPERVISOR + PHYS_STACK_TOP);
    for (uint64_t segment = 0x48; segment < 0x58; segment += 4) /* ES, CS, SS, DS */
        put32(h, at + segment, segment == 0x4C ? NATIVE_KERNEL_CS32 : NATIVE_KERNEL_DS);
    put32(h, at + 0x64, 0xFFFFu << 16); /* no I/O bitmap */
}

void native_legacy_begin(struct native_harness *h)
{
    for (unsigned vector = 0; vector < 32; vector++)
        put64(h, PHYS_GDT + NATIVE_LEGACY_TASK + vector * 8,
              tss_descriptor(PHYS_TASKS + vector * TASK_BYTES, TSS_AVAILABLE));
    put64(h, PHYS_GDT + NATIVE_LEGACY_CASE, tss_descriptor(PHYS_TSS, TSS_BUSY));
}

void native_legacy_descriptors(struct native_harness *h)
{
    put64(h, PHYS_GDT + NATIVE_KERNEL_CS32, 0x00CF9B000000FFFFull);
    put64(h, PHYS_GDT + NATIVE_KERNEL_DS, 0x00CF93000000FFFFull);
    put64(h, PHYS_GDT + 0x20, 0x00CFFB000000FFFFull);
    put64(h, PHYS_GDT + 0x28, 0x00CFF3000000FFFFull);
    for (unsigned vector = 0; vector < 32; vector++) {
        uint64_t type = TASK_GATE | (vector == EXC_BP || vector == EXC_OF ? 0x60 : 0);
        put64(h, PHYS_IDT + vector * 8, (uint64_t)(NATIVE_LEGACY_TASK + vector * 8) << 16 | type << 40);
        put_task(h, vector);
    }
    put32(h, PHYS_TSS + 0x64, 0xFFFFu << 16);
    native_legacy_begin(h);
}

/* ---- the CPU ---- */

void native_legacy_state(const struct native_harness *h, struct cpu_state *s)
{
    bool pae = native_paging(h) == NATIVE_PAGING_PAE;
    s->segment[CPU_TR].selector = NATIVE_LEGACY_CASE;
    s->segment[CPU_TR].base = NATIVE_LEGACY_SUPERVISOR + PHYS_TSS;
    s->gdtr_base = NATIVE_LEGACY_SUPERVISOR + PHYS_GDT;
    s->gdtr_limit = NATIVE_LEGACY_GDT_LIMIT;
    s->idtr_base = NATIVE_LEGACY_SUPERVISOR + PHYS_IDT;
    s->idtr_limit = 0xFF;
    s->cr4 &= ~(uint64_t)(1u << 5);
    s->cr4 |= pae ? 1u << 5 : 0;
    s->efer = pae ? 1u << 11 : 0; /* NXE */
    s->star = s->lstar = 0;
    if (pae) {
        s->pdpte[0] = TABLE(1) | 1;
        s->pdpte[NATIVE_LEGACY_SUPERVISOR >> 30] = TABLE(2) | 1;
    }
}

bool native_legacy_in_handler(const struct cpu_state *s)
{
    uint64_t at = s->rip - NATIVE_LEGACY_SUPERVISOR - PHYS_HANDLERS;
    return at < 32 * 16 && s->segment[CPU_TR].selector == NATIVE_LEGACY_TASK + at / 16 * 8;
}

void native_legacy_take(const uint8_t *tss, struct native_state *out)
{
    uint32_t value;
    memcpy(&value, tss + TSS_EIP, 4);
    out->rip = value;
    memcpy(&value, tss + TSS_EFLAGS, 4);
    out->rflags = value;
    for (unsigned n = 0; n < 8; n++) {
        memcpy(&value, tss + TSS_GPR + 4 * n, 4);
        out->gpr[n] = value;
    }
}

void native_legacy_unwind(struct native_harness *h, const struct cpu_state *s, struct native_state *out)
{
    uint64_t stack = s->gpr[CPU_RSP] - NATIVE_LEGACY_SUPERVISOR;
    out->vector = (int)((s->rip - NATIVE_LEGACY_SUPERVISOR - PHYS_HANDLERS) / 16);
    out->cr2 = out->vector == EXC_PF ? s->cr2 : 0;
    out->error = stack == PHYS_STACK_TOP - 4 ? get32(h, stack) : 0;
    native_legacy_take(native_memory(h, PHYS_TSS), out);
}
