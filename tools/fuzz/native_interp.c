/* The native instruction check: the interpreter's side, and that of any other accelerator on the same made-up machine.
 * native_host.c is the host's side, native_generate.c makes cases,
 * native_compare.c holds what came out against each other. */

#include "accel-interp/accel_interp.h"
#include "accel-interp/decode.h"
#include "core/cpu_model.h"
#include "core/machine.h"
#include "tools/fuzz/native_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- interpreter ----------------------------------------------------------------------------------------------- */

#define RAM_BYTES (2u << 20)
#define CODE_INT3 0xCC
#define CODE_HLT 0xF4
#define DEVICE_GPA 0xFE000000ull /* NATIVE_DATA as a device, with the bytes that it has in RAM */

struct native_harness {
    struct machine *machine;
    struct memory_block *ram; /* mapped at 0 */
    struct input_mailbox *mailbox;
    struct input *input;
    struct accel *accel;
    struct decode_tables *tables;
    enum native_paging paging;
    unsigned level; /* at which cases run */
    bool own_input;
    uint8_t fill; /* of the code's pages: INT3 or HLT */
    struct cpu_state base;
    struct native_accesses *log; /* of the device behind NATIVE_DATA; null: nobody looks */
};

static uint8_t *ram(struct native_harness *h, uint64_t gpa)
{
    return h->ram->host + gpa;
}
static void put64(struct native_harness *h, uint64_t gpa, uint64_t value)
{
    memcpy(ram(h, gpa), &value, 8);
}
static uint64_t get64(struct native_harness *h, uint64_t gpa)
{
    uint64_t value;
    memcpy(&value, ram(h, gpa), 8);
    return value;
}

static bool supervisor_writes(uint64_t gpa)
{
    return gpa == PHYS_STACK || gpa == PHYS_SERVER + 0x1000 || gpa == PHYS_SERVER + 0x2000;
}

static void build_tables(struct native_harness *h)
{
    const uint64_t pml4 = PHYS_TABLES, pdpt = pml4 + 0x1000, pd = pml4 + 0x2000, pt_arena = pml4 + 0x3000,
                   high_pdpt = pml4 + 0x4000, high_pd = pml4 + 0x5000, high_pt = pml4 + 0x6000, low_pt = pml4 + 0x7000;

    put64(h, pml4, pdpt | 0x67);
    put64(h, pdpt, pd | 0x67);
    put64(h, pml4 + 511 * 8, high_pdpt | 0x67);
    put64(h, high_pdpt, high_pd | 0x67);
    put64(h, high_pd, high_pt | 0x67);
    put64(h, pd + (NATIVE_CODE >> 21) * 8, pt_arena | 0x67);
    for (uint64_t gpa = 0x10000; gpa < 0x30000;
         gpa += 0x1000) /* supervisor; only the stack can be written to, and what a
                                                                server has to leave somewhere */
        put64(h, high_pt + (gpa >> 12) * 8, gpa | (supervisor_writes(gpa) ? 0x63 : 0x61));
    for (uint64_t page = 0; page < NATIVE_CODE_BYTES && !h->level; page += 0x1000) /* 16-bit code, see interp_put */
        put64(h, low_pt + (page >> 12) * 8, (PHYS_ARENA + page) | 0x65);
    if (!h->level)
        put64(h, pd, low_pt | 0x67);
    for (uint64_t page = 0; page < 0x16000; page += 0x1000) {
        uint64_t linear = NATIVE_CODE + page, rights = 0;
        if (linear < NATIVE_CODE + NATIVE_CODE_BYTES)
            rights = 0x65;
        else if (linear >= NATIVE_DATA && linear < NATIVE_DATA + NATIVE_DATA_BYTES)
            rights = 0x67 | NO_EXECUTE;
        else if (linear >= NATIVE_RODATA && linear < NATIVE_RODATA + NATIVE_RODATA_BYTES)
            rights = 0x65 | NO_EXECUTE;
        if (rights)
            put64(h, pt_arena + (page >> 12) * 8, (PHYS_ARENA + page) | rights);
    }
}

static void build_descriptors(struct native_harness *h)
{
    put64(h, PHYS_GDT + NATIVE_KERNEL_CS32, 0x00CF9B000000FFFFull);
    put64(h, PHYS_GDT + NATIVE_KERNEL_CS64, 0x00AF9B000000FFFFull);
    put64(h, PHYS_GDT + NATIVE_KERNEL_DS, 0x00CF93000000FFFFull);
    put64(h, PHYS_GDT + 0x20, 0x00CFFB000000FFFFull); /* as Linux: 0x23, 0x2B, 0x33 */
    put64(h, PHYS_GDT + 0x28, 0x00CFF3000000FFFFull);
    put64(h, PHYS_GDT + 0x30, 0x00AFFB000000FFFFull);
    for (unsigned vector = 0; vector < 32; vector++) {
        uint64_t handler = NATIVE_SUPERVISOR + PHYS_HANDLERS + vector * 16;
        uint64_t type = vector == EXC_BP || vector == EXC_OF ? 0xEE00 : 0x8E00; /* as Linux: INT3 and INTO may */
        put64(h, PHYS_IDT + vector * 16,
              (handler & 0xFFFF) | NATIVE_KERNEL_CS64 << 16 | ((type | (h->level ? 0 : 1)) << 32) |
                  ((handler >> 16 & 0xFFFF) << 48)); /* level 0: by IST1, whatever the case's own stack is */
        put64(h, PHYS_IDT + vector * 16 + 8, handler >> 32);
    }
    put64(h, PHYS_TSS + 4, NATIVE_SUPERVISOR + PHYS_STACK_TOP);
    put64(h, PHYS_TSS + 0x24, NATIVE_SUPERVISOR + PHYS_STACK_TOP);
    put64(h, PHYS_TSS + 0x60, 0xFFFFull << 48); /* no I/O bitmap */
}

static struct cpu_segment segment(uint16_t selector, uint16_t attributes)
{
    return (struct cpu_segment){.selector = selector, .attributes = attributes, .limit = UINT32_MAX};
}

static void build_state(struct native_harness *h)
{
    struct cpu_state *s = &h->base;

    h->accel->ops->get_state(h->accel, s);
    s->segment[CPU_CS] = h->level ? segment(NATIVE_USER_CS64, 0xA0FB) : segment(NATIVE_KERNEL_CS64, 0xA09B);
    s->segment[CPU_SS] = h->level ? segment(NATIVE_USER_DS, 0xC0F3) : segment(NATIVE_KERNEL_DS, 0xC093);
    s->segment[CPU_DS] = s->segment[CPU_ES] = s->segment[CPU_SS];
    s->segment[CPU_FS] = s->segment[CPU_GS] =
        (struct cpu_segment){.attributes = CPU_SEGMENT_UNUSABLE}; /* null, as in a host process */
    s->segment[CPU_TR] = (struct cpu_segment){
        .selector = 0x38, .attributes = 0x008B, .limit = 0x67, .base = NATIVE_SUPERVISOR + PHYS_TSS};
    s->segment[CPU_LDTR] = (struct cpu_segment){.attributes = CPU_SEGMENT_UNUSABLE};
    s->gdtr_base = NATIVE_SUPERVISOR + PHYS_GDT;
    s->gdtr_limit = 0x7F;
    s->idtr_base = NATIVE_SUPERVISOR + PHYS_IDT;
    s->idtr_limit = 0x1FF;
    s->cr0 = 0x80050033; /* PG AM WP NE ET MP PE */
    s->cr3 = PHYS_TABLES;
    s->cr4 = (1u << 5) | (1u << 9) | (1u << 10) | (1u << 18);  /* PAE OSFXSR OSXMMEXCPT OSXSAVE */
    s->xcr0 = 7;                                               /* x87 SSE AVX */
    s->efer = (1u << 0) | (1u << 8) | (1u << 10) | (1u << 11); /* SCE LME LMA NXE */
    s->star = 0x10ull << 32;
    s->lstar = NATIVE_SUPERVISOR + PHYS_HANDLERS + NATIVE_SYSTEM_CALL; /* as the handlers: HLT */
    if (h->paging)
        native_legacy_state(h, s);
}

unsigned native_level(const struct native_harness *h)
{
    return h->level;
}

enum native_paging native_paging(const struct native_harness *h)
{
    return h->paging;
}

uint8_t *native_memory(struct native_harness *h, uint64_t gpa)
{
    return ram(h, gpa);
}

/* FXSAVE image and the upper halves <-> the architectural x87 and vector state. */
static void state_put_vectors(struct cpu_state *s, const struct native_state *from)
{
    const uint8_t *fx = from->fx;

    memcpy(&s->fcw, fx + NATIVE_FX_FCW, 2);
    memcpy(&s->fsw, fx + NATIVE_FX_FSW, 2);
    s->ftw = fx[NATIVE_FX_FTW];
    memcpy(&s->fop, fx + NATIVE_FX_FOP, 2);
    memcpy(&s->fip, fx + NATIVE_FX_FIP, 8);
    memcpy(&s->fdp, fx + NATIVE_FX_FDP, 8);
    s->fcs = s->fds = 0;
    memcpy(&s->mxcsr, fx + NATIVE_FX_MXCSR, 4);
    for (unsigned n = 0; n < 8; n++) {
        struct cpu_x87_register *reg = &s->fpr[((s->fsw >> 11) + n) & 7];
        memcpy(&reg->significand, fx + NATIVE_FX_ST + n * 16, 8);
        memcpy(&reg->sign_exponent, fx + NATIVE_FX_ST + n * 16 + 8, 2);
    }
    for (unsigned n = 0; n < NATIVE_VECTORS; n++) {
        memcpy(s->vector[n].q, fx + NATIVE_FX_XMM + n * 16, 16);
        memcpy(s->vector[n].q + 2, from->high[n], 16);
    }
}

static void state_get_vectors(const struct cpu_state *s, struct native_state *to)
{
    uint8_t *fx = to->fx;

    memset(fx, 0, NATIVE_FX_BYTES);
    memcpy(fx + NATIVE_FX_FCW, &s->fcw, 2);
    memcpy(fx + NATIVE_FX_FSW, &s->fsw, 2);
    fx[NATIVE_FX_FTW] = s->ftw;
    memcpy(fx + NATIVE_FX_FOP, &s->fop, 2);
    memcpy(fx + NATIVE_FX_FIP, &s->fip, 8);
    memcpy(fx + NATIVE_FX_FDP, &s->fdp, 8);
    memcpy(fx + NATIVE_FX_MXCSR, &s->mxcsr, 4);
    for (unsigned n = 0; n < 8; n++) {
        const struct cpu_x87_register *reg = &s->fpr[((s->fsw >> 11) + n) & 7];
        memcpy(fx + NATIVE_FX_ST + n * 16, &reg->significand, 8);
        memcpy(fx + NATIVE_FX_ST + n * 16 + 8, &reg->sign_exponent, 2);
    }
    for (unsigned n = 0; n < NATIVE_VECTORS; n++) {
        memcpy(fx + NATIVE_FX_XMM + n * 16, s->vector[n].q, 16);
        memcpy(to->high[n], s->vector[n].q + 2, 16);
    }
}

/* ---- NATIVE_DATA as a device ------------------------------------------------------------------------------------ */

static void note_access(struct native_harness *h, struct native_access access)
{
    if (!h->log)
        return;
    access.address += NATIVE_DATA;
    if (h->log->count < NATIVE_ACCESSES_MAX)
        h->log->access[h->log->count] = access;
    h->log->count++;
}

static uint64_t device_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct native_harness *h = opaque;
    uint64_t value = 0;

    memcpy(&value, ram(h, PHYS_ARENA + NATIVE_DATA - NATIVE_CODE + address), size_bytes);
    note_access(h, (struct native_access){.address = address, .value = value, .size_bytes = size_bytes});
    return value;
}

static void device_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct native_harness *h = opaque;

    memcpy(ram(h, PHYS_ARENA + NATIVE_DATA - NATIVE_CODE + address), &value, size_bytes);
    note_access(h, (struct native_access){.address = address, .value = value, .size_bytes = size_bytes, .write = true});
}

static const struct bus_ops device_ops = {.read = device_read, .write = device_write, .max_size_bytes = 8};

static void map_data(struct native_harness *h, unsigned devices)
{
    const uint64_t data = NATIVE_DATA - NATIVE_CODE, pt = PHYS_TABLES + 0x3000 + (data >> 12) * 8;

    for (unsigned page = 0; page < NATIVE_DATA_BYTES >> 12; page++) {
        uint64_t gpa = devices >> page & 1 ? DEVICE_GPA : PHYS_ARENA + data;
        put64(h, pt + 8 * page, (gpa + page * 0x1000ull) | 0x67 | NO_EXECUTE);
    }
}

static uint64_t no_clock(void *opaque)
{
    (void)opaque;
    return 0;
}

/* RAM and a CPU, nothing else; entropy and clock that are the same each time. */
static void make_machine(struct native_harness *h, const struct native_make *make, struct error *error)
{
    struct machine_options options = {.ram_bytes = RAM_BYTES, .no_reboot = true, .counts_exits = make->counts_exits};

    h->mailbox = input_mailbox_create();
    h->own_input = !make->input;
    h->input = make->input;
    if (h->own_input)
        h->input = input_live_create(&(struct input_live_options){
            .mailbox = h->mailbox, .wall_clock_seconds = no_clock, .entropy_seeded = true});
    options.input = h->input;
    CHECK(cpu_model_init(&options.cpu, "max,+vaes,+vpclmulqdq", error) == STATUS_OK); /* every row that there is */
    h->machine = machine_create(&options, error);
    CHECK(h->machine);
    h->ram = memory_add_block(machine_memory(h->machine), "ram", RAM_BYTES, true, error);
    CHECK(h->ram);
}

static void fill_memory(struct native_harness *h)
{
    memset(ram(h, PHYS_HANDLERS), 0xF4, NATIVE_SYSTEM_CALL + 16); /* HLT */
    (h->paging ? native_legacy_tables : build_tables)(h);
    (h->paging ? native_legacy_descriptors : build_descriptors)(h);
    memset(ram(h, PHYS_ARENA), h->fill, NATIVE_CODE_BYTES);
    memset(ram(h, PHYS_ARENA + NATIVE_RODATA - NATIVE_CODE), 0x5A, NATIVE_RODATA_BYTES);
}

static struct accel *make_interp(struct machine *machine, struct error *error)
{
    return interp_create(machine, NULL, error);
}

struct native_harness *native_harness_create(const struct native_make *make, struct error *error)
{
    struct native_harness *h = calloc(1, sizeof *h);

    CHECK(h);
    h->level = make->level;
    h->paging = make->paging;
    h->fill = make->halts ? CODE_HLT : CODE_INT3;
    make_machine(h, make, error);
    h->tables = decode_tables_create(machine_cpu_model(h->machine));
    h->accel = (make->accel ? make->accel : make_interp)(h->machine, error);
    if (!h->accel) {
        native_interp_destroy(h);
        return NULL;
    }
    machine_set_accel(h->machine, h->accel);
    memory_map_block(machine_memory(h->machine), 0, RAM_BYTES, h->ram, 0, MEMORY_RAM, 0);
    h->accel->ops->reset(h->accel);
    bus_map_mmio(machine_bus(h->machine), DEVICE_GPA, NATIVE_DATA_BYTES, &device_ops, h, "data");
    fill_memory(h);
    build_state(h);
    return h;
}

struct native_harness *native_interp_create(void)
{
    struct error error = {{0}};
    struct native_harness *h = native_harness_create(&(struct native_make){.level = 3}, &error);

    CHECK(h);
    return h;
}

void native_interp_destroy(struct native_harness *h)
{
    if (!h)
        return;
    decode_tables_destroy(h->tables);
    machine_destroy(h->machine);
    if (h->own_input)
        input_destroy(h->input);
    input_mailbox_destroy(h->mailbox);
    free(h);
}

static void interp_put(struct native_harness *h, const struct native_case *c)
{
    struct cpu_state s = h->base;

    memcpy(s.gpr, c->in.gpr, sizeof s.gpr);
    s.rip = c->bits == 16 ? c->in.rip - NATIVE_CODE : c->in.rip;
    s.rflags = c->in.rflags | 0x202;
    state_put_vectors(&s, &c->in);
    if (c->bits == 32)
        s.segment[CPU_CS] = h->level ? segment(NATIVE_USER_CS32, 0xC0FB) : segment(NATIVE_KERNEL_CS32, 0xC09B);
    /* At level 0 without a base, the code mapped at 0 too: kvm_pvm forgets the base where its emulation fails. */
    if (c->bits == 16)
        s.segment[CPU_CS] = (struct cpu_segment){.selector = (uint16_t)(NATIVE_SELECTOR16 & ~(h->level ? 0u : 3u)),
                                                 .attributes = h->level ? 0x00FB : 0x009B,
                                                 .limit = 0xFFFF,
                                                 .base = h->level ? NATIVE_CODE : 0};
    h->accel->ops->set_state(h->accel, &s);
}

/* A handler was come to; at level 0 a case may jump to one with a stack of its own. */
static bool in_handler(const struct native_harness *h, const struct cpu_state *s)
{
    uint64_t frame = s->gpr[CPU_RSP] - NATIVE_SUPERVISOR;

    if (h->paging)
        return native_legacy_in_handler(s);
    return s->rip - NATIVE_SUPERVISOR - PHYS_HANDLERS < 32 * 16 &&
           (h->level || (frame >= PHYS_STACK && frame + 40 <= PHYS_STACK_TOP));
}

/* A fault has put the program's state on the supervisor stack. */
static void interp_unwind_fault(struct native_harness *h, struct native_state *out, uint64_t cr2)
{
    static const uint32_t with_error =
        1u << EXC_DF | 1u << EXC_TS | 1u << EXC_NP | 1u << EXC_SS | 1u << EXC_GP | 1u << EXC_PF | 1u << EXC_AC;
    uint64_t frame = out->gpr[CPU_RSP] - NATIVE_SUPERVISOR;

    CHECK(frame < PHYS_STACK_TOP); /* nobody at CPL 3 gets at the TSS; else in_handler has looked */
    out->vector = (int)(out->rip - NATIVE_SUPERVISOR - PHYS_HANDLERS) / 16;
    out->cr2 = out->vector == EXC_PF ? cr2 : 0;
    if (with_error & (1u << out->vector)) {
        out->error = (uint32_t)get64(h, frame);
        frame += 8;
    }
    out->rip = get64(h, frame);
    out->rflags = get64(h, frame + 16);
    out->gpr[CPU_RSP] = get64(h, frame + 24);
}

/* 16-bit code's IP as it is for all others: linear. */
static void interp_linear_rip(const struct native_case *c, struct native_state *out)
{
    if (c->bits == 16)
        out->rip = (out->rip & 0xFFFF) + NATIVE_CODE;
}

static void fill_code(struct native_harness *h, const struct native_case *c)
{
    uint8_t fill[NATIVE_CODE_MAX];

    memset(fill, h->fill, sizeof fill);
    memory_write(machine_memory(h->machine), PHYS_ARENA + c->offset, fill, c->length + 1);
}

void native_interp_step(struct native_harness *h, const struct native_case *c, struct native_state *out,
                        uint8_t *data_out)
{
    struct machine *m = h->machine;
    const uint64_t code_gpa = PHYS_ARENA + c->offset, data_gpa = PHYS_ARENA + NATIVE_DATA - NATIVE_CODE;
    struct cpu_state s;

    memory_write(machine_memory(m), code_gpa, c->code, c->length);
    memcpy(ram(h, data_gpa), c->data, NATIVE_DATA_BYTES);
    interp_put(h, c);
    for (unsigned slices = 0; slices < 64; slices++) {
        struct position limit = machine_position(m);
        limit.icount++;
        machine_run(m, limit);
        h->accel->ops->get_state(h->accel, &s);
        if (s.rip != (c->bits == 16 ? c->in.rip - NATIVE_CODE : c->in.rip))
            break;
    }
    memcpy(data_out, ram(h, data_gpa), NATIVE_DATA_BYTES);
    fill_code(h, c);
    *out = (struct native_state){.vector = -1, .rip = s.rip, .rflags = s.rflags};
    memcpy(out->gpr, s.gpr, sizeof out->gpr);
    state_get_vectors(&s, out);
    if (in_handler(h, &s))
        interp_unwind_fault(h, out, s.cr2);
    interp_linear_rip(c, out);
    if (out->vector == EXC_BP) { /* not reached by a case that ends at an INT3: it stops before it */
        out->rip--;
    }
}

/* Up to the HLT of a handler, that of INT3 at least: a case that does not end so does not end. */
void native_run_devices(struct native_harness *h, const struct native_case *c, unsigned devices,
                        struct native_state *out, uint8_t *data_out, struct native_accesses *log)
{
    const uint64_t code_gpa = PHYS_ARENA + c->offset, data_gpa = PHYS_ARENA + NATIVE_DATA - NATIVE_CODE;
    struct machine *m = h->machine;
    struct position limit = machine_position(m);
    struct cpu_state s;

    log->count = 0;
    map_data(h, devices);
    memory_write(machine_memory(m), code_gpa, c->code, c->length);
    memcpy(ram(h, data_gpa), c->data, NATIVE_DATA_BYTES);
    interp_put(h, c);
    h->log = log;
    limit.icount += 200;
    machine_run(m, limit);
    h->log = NULL;
    h->accel->ops->get_state(h->accel, &s);
    memcpy(data_out, ram(h, data_gpa), NATIVE_DATA_BYTES);
    fill_code(h, c);
    map_data(h, 0);
    bool ended = s.halted && in_handler(h, &s);
    *out = (struct native_state){.vector = ended ? -1 : NATIVE_ENDLESS, .rip = s.rip, .rflags = s.rflags};
    memcpy(out->gpr, s.gpr, sizeof out->gpr);
    state_get_vectors(&s, out);
    if (ended)
        interp_unwind_fault(h, out, s.cr2);
    interp_linear_rip(c, out);
}

/* ---- a whole sequence ------------------------------------------------------------------------------------------- */

/* At the HLT behind a case, wherever its code is mapped: no case can come to another one below the handlers. */
static bool at_end(const struct native_harness *h, const struct cpu_state *s)
{
    return h->fill == CODE_HLT && s->halted && s->rip <= NATIVE_CODE + NATIVE_CODE_BYTES;
}

/* The same at level 3, where HLT is #GP: anywhere in the code's pages but in the case and the NOP behind it. */
static bool faulted_at_end(const struct native_harness *h, const struct native_case *c, const struct native_state *out)
{
    uint64_t at = out->rip - NATIVE_CODE;
    return h->fill == CODE_HLT && out->vector == EXC_GP && !out->error && at < NATIVE_CODE_BYTES &&
           at - c->offset > c->length;
}

void native_interp_run(struct native_harness *h, const struct native_case *c, uint64_t steps, struct native_state *out,
                       uint8_t *data_out)
{
    const uint64_t code_gpa = PHYS_ARENA + c->offset, data_gpa = PHYS_ARENA + NATIVE_DATA - NATIVE_CODE;
    struct position limit = machine_position(h->machine);
    const uint8_t nop = 0x90; /* KVM's HLT is over before a trap of the instruction before it */
    struct cpu_state s;

    memory_write(machine_memory(h->machine), code_gpa, c->code, c->length);
    if (h->fill == CODE_HLT)
        memory_write(machine_memory(h->machine), code_gpa + c->length, &nop, 1);
    memcpy(ram(h, data_gpa), c->data, NATIVE_DATA_BYTES);
    if (h->paging)
        native_legacy_begin(h);
    interp_put(h, c);
    limit.icount += steps;
    machine_run(h->machine, limit);
    h->accel->ops->get_state(h->accel, &s);
    memcpy(data_out, ram(h, data_gpa), NATIVE_DATA_BYTES);
    fill_code(h, c);
    bool ended = s.halted && in_handler(h, &s);
    bool called = s.halted && s.rip - NATIVE_SUPERVISOR - PHYS_HANDLERS == NATIVE_SYSTEM_CALL + 1;
    bool stopped = at_end(h, &s);
    *out = (struct native_state){.vector = ended || stopped ? -1 : called ? NATIVE_SYSCALL : NATIVE_ENDLESS};
    out->rip = s.rip - stopped;
    out->rflags = s.rflags;
    memcpy(out->gpr, s.gpr, sizeof out->gpr);
    state_get_vectors(&s, out);
    if (ended && h->paging)
        native_legacy_unwind(h, &s, out);
    else if (ended)
        interp_unwind_fault(h, out, s.cr2);
    interp_linear_rip(c, out);
    if (out->vector == EXC_BP) { /* the INT3 behind it */
        out->vector = -1;
        out->rip--;
    }
    if (faulted_at_end(h, c, out))
        out->vector = -1;
}

/* ---- what is known of the machine -------------------------------------------------------------------------------- */

bool native_has_feature(const struct native_harness *h, const char *feature)
{
    return !feature || cpu_model_has(machine_cpu_model(h->machine), feature);
}

uint8_t native_mode(unsigned bits)
{
    unsigned code = bits == 64 ? MODE_CODE64 : bits == 32 ? MODE_CODE32 : MODE_CODE16;

    return (uint8_t)(code | (bits == 16 ? 0 : MODE_FLAT) | MODE_STACK32 | MODE_USER | MODE_LONG);
}

static bool decode_at(const struct native_harness *h, unsigned bits, const uint8_t *code, unsigned length,
                      struct decoded *decoded)
{
    return decode_insn(h->tables, native_mode(bits), code, length, 0, 0, decoded) == DECODE_OK;
}

const struct opcode_row *native_row_of(const struct native_harness *h, unsigned bits, const uint8_t *code,
                                       unsigned length)
{
    struct decoded decoded;

    return decode_at(h, bits, code, length, &decoded) ? decoded.row : NULL;
}

const struct opcode_row *native_row_at(const struct native_harness *h, unsigned bits, const uint8_t *code,
                                       unsigned length, unsigned *size)
{
    struct decoded decoded;

    if (!decode_at(h, bits, code, length, &decoded))
        return NULL;
    *size = decoded.insn.len;
    return decoded.row;
}

bool native_branch_of(const struct native_harness *h, unsigned bits, const uint8_t *code, unsigned length,
                      int64_t *distance)
{
    struct decoded decoded;

    if (!decode_at(h, bits, code, length, &decoded) ||
        (!native_has_operand(decoded.row, "Jb") && !native_has_operand(decoded.row, "Jz")))
        return false;
    *distance = (int64_t)decoded.insn.imm;
    return true;
}

bool native_host_lacks_case(const struct native_harness *h, const struct native_case *c)
{
    const struct opcode_row *row = native_row_of(h, c->bits, c->code, c->length);

    return row && !native_host_has(row->feature);
}

struct machine *native_machine(struct native_harness *h)
{
    return h->machine;
}

struct accel *native_accel(struct native_harness *h)
{
    return h->accel;
}

const struct cpu_model *native_cpu_model(const struct native_harness *h)
{
    return machine_cpu_model(h->machine);
}
