/* Boot plans: choosing a loader, carrying a plan out. See loader.h. */
#include "devices/loader.h"

#include <stdlib.h>
#include <string.h>

#define GDT_CODE 0x10u
#define GDT_DATA 0x18u
#define GDT_BYTES 0x20u

#define CR0_PE 0x00000001u
#define CR0_ET 0x00000010u
#define CR0_PG 0x80000000u
#define CR4_PAE 0x00000020u
#define EFER_LME 0x00000100u
#define EFER_LMA 0x00000400u

const char *loader_blob_name(const struct board_blob *blob, const char *role)
{
    return blob->name ? blob->name : role;
}

void boot_plan_add(struct boot_plan *plan, uint64_t gpa, const uint8_t *bytes, uint64_t size_bytes)
{
    if (!size_bytes)
        return;
    CHECK(plan->chunk_count < BOOT_CHUNKS_MAX);
    plan->chunk[plan->chunk_count++] = (struct boot_chunk){gpa, bytes, size_bytes, NULL};
}

void boot_plan_add_zeros(struct boot_plan *plan, uint64_t gpa, uint64_t size_bytes)
{
    boot_plan_add(plan, gpa, NULL, size_bytes);
}

uint8_t *boot_plan_add_new(struct boot_plan *plan, uint64_t gpa, uint64_t size_bytes)
{
    uint8_t *bytes = calloc(1, size_bytes);
    CHECK(bytes && plan->chunk_count < BOOT_CHUNKS_MAX);
    plan->chunk[plan->chunk_count++] = (struct boot_chunk){gpa, bytes, size_bytes, bytes};
    return bytes;
}

void boot_plan_add_gdt(struct boot_plan *plan, bool long_mode)
{
    uint8_t *gdt = boot_plan_add_new(plan, BOOT_GDT_GPA, GDT_BYTES);
    loader_put(gdt + GDT_CODE, long_mode ? 0x00AF9B000000FFFFull : 0x00CF9B000000FFFFull, 8);
    loader_put(gdt + GDT_DATA, 0x00CF93000000FFFFull, 8);
    plan->gdt_gpa = BOOT_GDT_GPA;
}

void boot_plan_free(struct boot_plan *plan)
{
    for (unsigned i = 0; i < plan->chunk_count; i++)
        free(plan->chunk[i].owned);
    memset(plan, 0, sizeof *plan);
}

enum status loader_plan(const struct loader_options *options, struct boot_plan *plan, struct error *error)
{
    const struct board_blob *kernel = &options->board->kernel;
    enum status status;

    memset(plan, 0, sizeof *plan);
    if (loader_multiboot_recognize(kernel))
        status = loader_multiboot_plan(options, plan, error);
    else if (loader_linux_recognize(kernel))
        status = loader_linux_plan(options, plan, error);
    else if (loader_vmlinux_recognize(kernel))
        status = loader_vmlinux_plan(options, plan, error);
    else if (loader_flat_recognize(kernel))
        status = loader_flat_plan(options, plan, error);
    else
        status = error_status(
            error, STATUS_UNSUPPORTED,
            "%s: not a kernel: expected a multiboot header (magic 1BADB002h in the first 8 KiB), a bzImage "
            "(\"HdrS\" at offset 202h), a 64-bit ELF file, or a boot sector (55h AAh at offset 1FEh)",
            loader_blob_name(kernel, "kernel"));
    if (status)
        boot_plan_free(plan);
    return status;
}

/* ---- registers ---- */

static void set_segment(struct cpu_state *cpu, enum cpu_segment_index index, uint16_t selector, uint64_t base,
                        uint32_t limit, uint16_t attributes)
{
    cpu->segment[index].selector = selector;
    cpu->segment[index].base = base;
    cpu->segment[index].limit = limit;
    cpu->segment[index].attributes = attributes;
}

static void set_data_segments(struct cpu_state *cpu, uint16_t selector, uint64_t base, uint32_t limit,
                              uint16_t attributes)
{
    static const enum cpu_segment_index data[] = {CPU_ES, CPU_DS, CPU_FS, CPU_GS};
    for (unsigned i = 0; i < sizeof data / sizeof *data; i++)
        set_segment(cpu, data[i], selector, base, limit, attributes);
}

static void enter_real(const struct boot_plan *plan, struct cpu_state *cpu)
{
    uint32_t cs_base = (uint32_t)plan->real_cs << 4;
    set_data_segments(cpu, plan->real_ds, (uint32_t)plan->real_ds << 4, 0xFFFF, 0x0093);
    set_segment(cpu, CPU_SS, plan->real_ss, (uint32_t)plan->real_ss << 4, 0xFFFF, 0x0093);
    set_segment(cpu, CPU_CS, plan->real_cs, cs_base, 0xFFFF, 0x009B);
    cpu->gpr[CPU_RSP] = plan->real_sp;
    cpu->rip = plan->entry - cs_base;
}

static void enter_flat(const struct boot_plan *plan, struct cpu_state *cpu)
{
    bool long_mode = plan->mode == BOOT_MODE_LONG;
    set_data_segments(cpu, GDT_DATA, 0, 0xFFFFFFFF, 0xC093);
    set_segment(cpu, CPU_SS, GDT_DATA, 0, 0xFFFFFFFF, 0xC093);
    set_segment(cpu, CPU_CS, GDT_CODE, 0, 0xFFFFFFFF, long_mode ? 0xA09B : 0xC09B);
    cpu->gdtr_base = plan->gdt_gpa;
    cpu->gdtr_limit = GDT_BYTES - 1;
    cpu->idtr_limit = 0;
    cpu->cr0 = CR0_PE | CR0_ET;
    if (long_mode) {
        cpu->cr3 = plan->cr3;
        cpu->cr4 |= CR4_PAE;
        cpu->efer |= EFER_LME | EFER_LMA;
        cpu->cr0 |= CR0_PG;
    }
    cpu->rip = plan->entry;
}

static void write_chunk(struct memory *memory, const struct boot_chunk *chunk)
{
    static const uint8_t zeros[MEMORY_PAGE_BYTES];
    if (chunk->bytes) {
        memory_write(memory, chunk->gpa, chunk->bytes, chunk->size_bytes);
        return;
    }
    for (uint64_t done = 0; done < chunk->size_bytes; done += sizeof zeros) {
        uint64_t rest = chunk->size_bytes - done;
        memory_write(memory, chunk->gpa + done, zeros, rest < sizeof zeros ? rest : sizeof zeros);
    }
}

void boot_plan_execute(const struct boot_plan *plan, struct machine *machine)
{
    struct accel *accel = machine_accel(machine);
    struct cpu_state cpu;

    for (unsigned i = 0; i < plan->chunk_count; i++)
        write_chunk(machine_memory(machine), &plan->chunk[i]);
    accel->ops->get_state(accel, &cpu);
    if (plan->mode == BOOT_MODE_REAL)
        enter_real(plan, &cpu);
    else
        enter_flat(plan, &cpu);
    cpu.gpr[CPU_RAX] = plan->eax;
    cpu.gpr[CPU_RBX] = plan->ebx;
    cpu.gpr[CPU_RCX] = plan->ecx;
    cpu.gpr[CPU_RDX] = plan->edx;
    cpu.gpr[CPU_RSI] = plan->rsi;
    accel->ops->set_state(accel, &cpu);
}
