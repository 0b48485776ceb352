/* vmrr fuzz --against gdb: the made-up machine of native_interp.c in a target of gdb's remote protocol, QEMU's TCG for one. The
 * target is a PC that stands before its first instruction. It is given the machine's memory, and code that brings it from real
 * mode into the machine and then serves: a case is its memory and its state, written to pages that the server knows, and one run to a
 * breakpoint (gdb_guest.h).
 *
 * Flags that are undefined are the silicon's choice (the interpreter's are Intel's), and what follows may depend on them. A case that
 * differs and has such instructions is run once more on both with a comparison behind each, which defines them all: what is then
 * the same differed by these alone.
 * Not judged: cases with port instructions at level 0, whose devices are the target's; cases that come to system calls, or that end QEMU.
 * A case that does not end is told to; then its code becomes INT3, so that it comes back. */
#include "tools/fuzz/fuzz.h"
#include "tools/fuzz/gdb_guest.h"
#include "tools/fuzz/native_internal.h"
#include "tools/lockstep/lockstep.h"
#include "tools/lockstep/remote.h"

#include "core/cpu_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CASE_MS 400
#define START_MS 5000
#define XSTATE_BV 512u
#define XSAVE_HIGH 576u
#define LDT_GPA (PHYS_GDT + 0x200u)
#define INT3 0xCC

struct gdb {
    struct fuzz_reference reference;
    struct remote *remote;
    struct native_harness *harness; /* of the same machine: its memory at the start, and for cases of the excuse's */
    const struct guest *guest;
    unsigned bits, level;
    enum native_paging paging;
    struct cpu_model model; /* what the target says of itself */
    const struct native_case *cases;
    size_t count;
    uint64_t late; /* cases that were told to end */
};

/* The code that it executes, in long mode and in legacy mode. */
struct guest {
    uint64_t supervisor; /* where its addresses begin */
    const uint8_t *boot, *boot_end, *server, *server_end, *done, *entry, *common;
};

static const struct guest guest_long = {.supervisor = NATIVE_SUPERVISOR,
                                        .boot = fuzz_gdb_boot,
                                        .boot_end = fuzz_gdb_boot_end,
                                        .server = fuzz_gdb_server,
                                        .server_end = fuzz_gdb_server_end,
                                        .done = fuzz_gdb_done,
                                        .entry = fuzz_gdb_entry,
                                        .common = fuzz_gdb_common};
static const struct guest guest_legacy = {.supervisor = NATIVE_LEGACY_SUPERVISOR,
                                          .boot = fuzz_gdb32_boot,
                                          .boot_end = fuzz_gdb32_boot_end,
                                          .server = fuzz_gdb32_server,
                                          .server_end = fuzz_gdb32_server_end,
                                          .done = fuzz_gdb32_done,
                                          .entry = fuzz_gdb32_entry,
                                          .common = fuzz_gdb32_common};

static struct gdb *gdb_of(struct fuzz_reference *self)
{
    return (struct gdb *)(void *)self;
}

/* ---- memory ---- */

static enum status write_all(struct gdb *gdb, uint64_t gpa, const void *bytes, size_t size_bytes, struct error *error)
{
    return remote_write_block(gdb->remote, gpa, true, bytes, size_bytes, error);
}

static enum status read_all(struct gdb *gdb, uint64_t gpa, void *bytes, size_t size_bytes, struct error *error)
{
    return remote_read_block(gdb->remote, gpa, true, bytes, size_bytes, error);
}

static void put64(uint8_t *at, uint64_t value)
{
    memcpy(at, &value, sizeof value);
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* ---- the machine ---- */

static uint64_t server_linear(const struct guest *guest, const uint8_t *symbol)
{
    return guest->supervisor + PHYS_SERVER + (uint64_t)(symbol - guest->server);
}

/* CALL of the server's common handler. */
static void put_handler(const struct guest *guest, struct native_harness *h, uint64_t gpa)
{
    uint8_t *at = native_memory(h, gpa);
    uint32_t distance = (uint32_t)(server_linear(guest, guest->common) - (guest->supervisor + gpa + 5));
    at[0] = 0xE8;
    memcpy(at + 1, &distance, sizeof distance);
}

/* A task register and 16-bit code need descriptors here, where elsewhere the state has them. */
static void put_descriptors(struct native_harness *h)
{
    const uint64_t supervisor = native_paging(h) ? NATIVE_LEGACY_SUPERVISOR : NATIVE_SUPERVISOR;
    const uint64_t tss = supervisor + PHYS_TSS, ldt = supervisor + LDT_GPA;
    uint64_t base16 = native_level(h) ? NATIVE_CODE : 0, access = native_level(h) ? 0xFB : 0x9B;
    const struct {
        uint64_t at, base, type, limit;
    } list[] = {{0x38, tss, 0x89, 0x67}, {0x48, ldt, 0x82, 7}};
    for (size_t n = 0; n < sizeof list / sizeof list[0]; n++) {
        uint8_t *at = native_memory(h, PHYS_GDT + list[n].at);
        put64(at,
              list[n].limit | (list[n].base & 0xFFFFFF) << 16 | list[n].type << 40 | (list[n].base >> 24 & 0xFF) << 56);
        if (!native_paging(h))
            put64(at + 8, list[n].base >> 32);
    }
    put64(native_memory(h, LDT_GPA), 0xFFFF | (base16 & 0xFFFFFF) << 16 | access << 40 | (base16 >> 24) << 56);
}

static void put_boot_long(struct native_harness *h)
{
    uint64_t pml4 = GDB_GUEST_BOOT_TABLES;
    put64(native_memory(h, pml4), (pml4 + 0x1000) | 3);
    put64(native_memory(h, pml4 + 511 * 8), (PHYS_TABLES + 0x4000) | 3);
    put64(native_memory(h, pml4 + 0x1000), (pml4 + 0x2000) | 3);
    put64(native_memory(h, pml4 + 0x2000), 0x83);
}

/* Two pages, that of the code and the descriptors', and the supervisor's. */
static void put_boot_legacy(struct native_harness *h)
{
    const uint64_t top = GDB_GUEST_BOOT_TABLES, high = NATIVE_LEGACY_SUPERVISOR;
    if (native_paging(h) == NATIVE_PAGING_PAE) {
        put64(native_memory(h, top), (top + 0x1000) | 1);
        put64(native_memory(h, top + (high >> 30) * 8), (PHYS_TABLES + 0x2000) | 1);
        put64(native_memory(h, top + 0x1000), (top + 0x2000) | 3);
        put64(native_memory(h, top + 0x2000 + (GDB_GUEST_BOOT >> 12) * 8), GDB_GUEST_BOOT | 3);
        put64(native_memory(h, top + 0x2000 + (PHYS_GDT >> 12) * 8), PHYS_GDT | 3);
        return;
    }
    put64(native_memory(h, top), (top + 0x1000) | 3);
    put64(native_memory(h, top + (high >> 22) * 4), NATIVE_LEGACY_HIGH | 3);
    put64(native_memory(h, top + 0x1000 + (GDB_GUEST_BOOT >> 12) * 4), GDB_GUEST_BOOT | 3);
    put64(native_memory(h, top + 0x1000 + (PHYS_GDT >> 12) * 4), PHYS_GDT | 3);
}

static void put_boot(const struct guest *guest, struct native_harness *h)
{
    memcpy(native_memory(h, GDB_GUEST_BOOT), guest->boot, (size_t)(guest->boot_end - guest->boot));
    memcpy(native_memory(h, PHYS_SERVER), guest->server, (size_t)(guest->server_end - guest->server));
    if (native_paging(h)) {
        bool pae = native_paging(h) == NATIVE_PAGING_PAE;
        uint8_t *settings = native_memory(h, GDB_GUEST_BOOT) + (fuzz_gdb32_settings - fuzz_gdb32_boot);
        put64(settings, (pae ? 0x40620u : 0x40600u) | (uint64_t)(pae ? 0x800u : 0) << 32);
    }
    (native_paging(h) ? put_boot_legacy : put_boot_long)(h);
    for (uint64_t vector = 0; vector < 32; vector++)
        put_handler(guest, h, PHYS_HANDLERS + vector * 16);
    put_handler(guest, h, PHYS_HANDLERS + NATIVE_SYSTEM_CALL);
}

static enum status learn_model(struct gdb *gdb, struct error *error)
{
    static const struct cpu_model_leaf leaves[] = {{.leaf = 1},
                                                   {.leaf = 7, .has_subleaf = true},
                                                   {.leaf = 0xD, .subleaf = 1, .has_subleaf = true},
                                                   {.leaf = 0x80000001}};
    uint8_t bytes[16 * (sizeof leaves / sizeof leaves[0])];
    enum status status = read_all(gdb, GDB_GUEST_OUT + GDB_GUEST_CPUID, bytes, sizeof bytes, error);
    for (uint32_t n = 0; n < sizeof leaves / sizeof leaves[0] && !status; n++) {
        struct cpu_model_leaf *leaf = &gdb->model.leaf[gdb->model.count++];
        *leaf = leaves[n];
        memcpy(&leaf->eax, bytes + 16 * n, 4);
        memcpy(&leaf->ebx, bytes + 16 * n + 4, 4);
        memcpy(&leaf->ecx, bytes + 16 * n + 8, 4);
        memcpy(&leaf->edx, bytes + 16 * n + 12, 4);
    }
    return status;
}

/* The target's memory is the machine's, then it goes the way to the server. */
static enum status start_target(struct gdb *gdb, struct error *error)
{
    const uint64_t end = PHYS_ARENA + 0x16000u;
    bool late = false;
    struct native_harness *h =
        native_harness_create(&(struct native_make){.level = gdb->level, .paging = gdb->paging}, error);
    CHECK(h);
    put_descriptors(h);
    put_boot(gdb->guest, h);
    enum status status = STATUS_OK;
    for (uint64_t at = GDB_GUEST_BOOT; at < end && !status; at += REMOTE_BLOCK_BYTES) {
        uint64_t left = end - at;
        status = write_all(gdb, at, native_memory(h, at), left < REMOTE_BLOCK_BYTES ? left : REMOTE_BLOCK_BYTES, error);
    }
    native_interp_destroy(h);
    if (!status)
        status = remote_write_register(gdb->remote, "cs", 0, error);
    if (!status)
        status = remote_write_register(gdb->remote, "rip", GDB_GUEST_BOOT, error);
    if (!status)
        status = remote_insert_breakpoint(gdb->remote, server_linear(gdb->guest, gdb->guest->done), error);
    if (!status)
        status = remote_continue(gdb->remote, START_MS, &late, error);
    if (!status && late)
        status =
            error_status(error, STATUS_UNSUPPORTED,
                         "gdb: the target does not come to its server: it must be a PC that stands before its first "
                         "instruction, with a CPU that has XSAVE and AVX (QEMU: -cpu max)");
    if (!status)
        remote_defer_writes(gdb->remote);
    return status ? status : learn_model(gdb, error);
}

/* ---- a case ---- */

static uint64_t code_selector(const struct native_case *c, unsigned level)
{
    if (c->bits == 16)
        return NATIVE_SELECTOR16 & ~(level ? 0u : 3u);
    if (c->bits == 32)
        return level ? NATIVE_USER_CS32 : NATIVE_KERNEL_CS32;
    return level ? NATIVE_USER_CS64 : NATIVE_KERNEL_CS64;
}

static void put_state(const struct native_case *c, unsigned level, uint8_t in[GDB_GUEST_BYTES])
{
    uint8_t *frame = in + GDB_GUEST_FRAME, *area = in + GDB_GUEST_XSAVE;
    uint64_t data = level ? NATIVE_USER_DS : NATIVE_KERNEL_DS;
    memset(in, 0, GDB_GUEST_BYTES);
    memcpy(in, c->in.gpr, sizeof c->in.gpr);
    put64(frame, c->bits == 16 ? c->in.rip - NATIVE_CODE : c->in.rip);
    put64(frame + 8, code_selector(c, level));
    put64(frame + 16, c->in.rflags | 0x202);
    put64(frame + 24, c->in.gpr[4]);
    put64(frame + 32, data);
    put64(in + GDB_GUEST_DS, data);
    memcpy(area, c->in.fx, NATIVE_FX_BYTES);
    memset(area + NATIVE_FX_MXCSR_MASK, 0, 4);
    put64(area + XSTATE_BV, 7);
    memcpy(area + XSAVE_HIGH, c->in.high, sizeof c->in.high);
}

static void put32(uint8_t *at, uint64_t value)
{
    uint32_t half = (uint32_t)value;
    memcpy(at, &half, sizeof half);
}

static void put_frame_legacy(const struct native_case *c, unsigned level, uint8_t *frame)
{
    put32(frame, c->bits == 16 ? c->in.rip - NATIVE_CODE : c->in.rip);
    put32(frame + 4, code_selector(c, level));
    put32(frame + 8, c->in.rflags | 0x202);
    put32(frame + 12, c->in.gpr[4]);
    put32(frame + 16, level ? NATIVE_USER_DS : NATIVE_KERNEL_DS);
}

static bool has_error_code(unsigned vector)
{
    return vector == 8 || (vector >= 10 && vector <= 14) || vector == 17;
}

static void take_vectors(const uint8_t out[GDB_GUEST_BYTES], struct native_state *state)
{
    const uint8_t *area = out + GDB_GUEST_XSAVE;
    memcpy(state->fx, area, NATIVE_FX_BYTES);
    memcpy(state->high, area + XSAVE_HIGH, sizeof state->high);
    memset(state->fx + NATIVE_FX_MXCSR_MASK, 0, 4);
    native_sum_up(state);
}

static void finish_state(const struct native_case *c, struct native_state *state)
{
    if (c->bits == 16)
        state->rip = (state->rip & 0xFFFF) + NATIVE_CODE;
    if (state->vector == 3) { /* the INT3 behind it */
        state->vector = -1;
        state->rip--;
    }
}

/* Where a vector's task was, and what its predecessor had. */
static void take_state_legacy(const struct native_case *c, const uint8_t out[GDB_GUEST_BYTES],
                              struct native_state *state)
{
    uint32_t from;
    memcpy(&from, out + GDB_GUEST_FROM, sizeof from);
    from -= 5 + NATIVE_LEGACY_SUPERVISOR + PHYS_HANDLERS;
    *state = (struct native_state){.vector = from < 32 * 16 ? (int)(from / 16) : NATIVE_ENDLESS};
    if (state->vector >= 32)
        return;
    native_legacy_take(out + GDB_GUEST_TSS, state);
    if (has_error_code((unsigned)state->vector))
        memcpy(&state->error, out + GDB_GUEST_PUSHED, sizeof state->error);
    if (state->vector == 14)
        memcpy(&state->cr2, out + GDB_GUEST_CR2, 4);
    take_vectors(out, state);
    memcpy(state->fx + NATIVE_FX_XMM + 128, c->in.fx + NATIVE_FX_XMM + 128, 128);
    memcpy(state->high[8], c->in.high[8], 128);
    finish_state(c, state);
}

static void take_state(const struct native_case *c, const uint8_t out[GDB_GUEST_BYTES], struct native_state *state)
{
    const uint8_t *pushed = out + GDB_GUEST_PUSHED;
    uint64_t from = get64(out + GDB_GUEST_FROM) - 5 - NATIVE_SUPERVISOR - PHYS_HANDLERS;
    *state = (struct native_state){.vector = from == NATIVE_SYSTEM_CALL ? NATIVE_SYSCALL
                                             : from < 32 * 16           ? (int)(from / 16)
                                                                        : NATIVE_ENDLESS};
    if (state->vector >= 32)
        return;
    memcpy(state->gpr, out, sizeof state->gpr);
    take_vectors(out, state);
    if (has_error_code((unsigned)state->vector)) {
        state->error = (uint32_t)get64(pushed);
        pushed += 8;
    }
    state->cr2 = state->vector == 14 ? get64(out + GDB_GUEST_CR2) : 0;
    state->rip = get64(pushed);
    state->rflags = get64(pushed + 16);
    state->gpr[4] = get64(pushed + 24);
    finish_state(c, state);
}

/* It did not end, and stands anywhere. */
static enum status bring_back(struct gdb *gdb, const struct native_case *c, struct error *error)
{
    uint8_t fill[NATIVE_CODE_MAX];
    bool late = false;
    memset(fill, INT3, sizeof fill);
    gdb->late++;
    enum status status = write_all(gdb, PHYS_ARENA + c->offset, fill, c->length, error);
    if (!status)
        status = remote_continue(gdb->remote, START_MS, &late, error);
    return !status && late ? error_status(error, STATUS_IO, "gdb: a case does not end, and can't be ended") : status;
}

static enum status run_case(struct gdb *gdb, const struct native_case *c, struct native_outcome *outcome,
                            struct error *error)
{
    const uint64_t data_gpa = PHYS_ARENA + NATIVE_DATA - NATIVE_CODE;
    uint8_t page[GDB_GUEST_BYTES], fill[NATIVE_CODE_MAX];
    bool late = false;
    put_state(c, gdb->level, page);
    if (gdb->paging)
        put_frame_legacy(c, gdb->level, page + GDB_GUEST_FRAME);
    memset(fill, INT3, sizeof fill);
    enum status status = write_all(gdb, GDB_GUEST_IN, page, sizeof page, error);
    if (!status)
        status = write_all(gdb, PHYS_ARENA + c->offset, c->code, c->length, error);
    if (!status)
        status = write_all(gdb, data_gpa, c->data, NATIVE_DATA_BYTES, error);
    if (!status)
        status = remote_write_register(gdb->remote, "rip", server_linear(gdb->guest, gdb->guest->entry), error);
    if (!status)
        status = remote_continue(gdb->remote, CASE_MS, &late, error);
    if (!status && late) {
        outcome->state = (struct native_state){.vector = NATIVE_ENDLESS};
        return bring_back(gdb, c, error);
    }
    if (!status)
        status = read_all(gdb, GDB_GUEST_OUT, page, sizeof page, error);
    if (!status)
        status = read_all(gdb, data_gpa, outcome->data, NATIVE_DATA_BYTES, error);
    if (!status)
        status = write_all(gdb, PHYS_ARENA + c->offset, fill, c->length, error);
    if (!status)
        (gdb->paging ? take_state_legacy : take_state)(c, page, &outcome->state);
    return status;
}

/* ---- the operations ---- */

static void reference_close(struct fuzz_reference *self)
{
    struct gdb *gdb = gdb_of(self);
    native_interp_destroy(gdb->harness);
    remote_close(gdb->remote);
    free(gdb);
}

static struct fuzz_reference *reference_open(const struct fuzz_reference_options *options, struct error *error)
{
    struct gdb *gdb = calloc(1, sizeof *gdb);
    CHECK(gdb);
    gdb->reference.ops = &fuzz_gdb_ops;
    gdb->bits = options->bits;
    gdb->level = options->level;
    gdb->paging = options->paging;
    gdb->guest = gdb->paging ? &guest_legacy : &guest_long;
    gdb->remote = remote_open(options->where, error);
    if (gdb->remote && !remote_has_physical(gdb->remote))
        error_set(error, "gdb: the target can't be asked by physical address, as QEMU can");
    else if (gdb->remote && start_target(gdb, error) == STATUS_OK)
        gdb->harness = native_harness_create(&(struct native_make){.level = gdb->level, .paging = gdb->paging}, error);
    if (gdb->harness)
        return &gdb->reference;
    reference_close(&gdb->reference);
    return NULL;
}

static bool reference_has_feature(struct fuzz_reference *self, const char *feature)
{
    return !feature || cpu_model_has(&gdb_of(self)->model, feature);
}

/* TCG's x87 has exceptions, condition codes and last bits of its own; its CMPXCHG8B and CMPXCHG16B put anything into RFLAGS (QEMU 7.2),
 * VM among it, and it may abort then. */
static unsigned reference_share(struct fuzz_reference *self, const struct opcode_row *row)
{
    (void)self;
    return native_group_of(row) != NATIVE_GROUP_X87 && !native_in_list("CMPXCHG8B CMPXCHG16B", row->mnemonic) ? 100 : 0;
}

static enum status reference_submit(struct fuzz_reference *self, const struct native_case *cases, size_t count,
                                    struct error *error)
{
    (void)error;
    gdb_of(self)->cases = cases;
    gdb_of(self)->count = count;
    return STATUS_OK;
}

/* Of the instructions, each by its row; null where there is none any more. */
static const struct opcode_row *row_at(const struct gdb *gdb, const struct native_case *c, unsigned at,
                                       unsigned *length)
{
    return native_row_at(gdb->harness, c->bits, c->code + at, c->length - at, length);
}

/* LOCK BT, BTS, BTR and BTC of a register, which is #UD: QEMU 7.2 does not look whether the operand is in memory, uses an address that it has not
 * made, and ends with `tcg fatal error`. */
static bool is_fatal(const struct native_case *c)
{
    const uint8_t *end = c->code + c->length;
    for (const uint8_t *at = c->code; (at = memchr(at, 0xF0, (size_t)(end - at))); at++) {
        const uint8_t *opcode = at + 1;
        while (opcode < end && *opcode &&
               (strchr("\x66\x67\x26\x2E\x36\x3E\x64\x65\xF0\xF2\xF3", *opcode) ||
                (c->bits == 64 && (*opcode & 0xF0) == 0x40)))
            opcode++;
        if (opcode + 2 < end && opcode[0] == 0x0F && opcode[2] >= 0xC0 &&
            (opcode[1] == 0xA3 || opcode[1] == 0xAB || opcode[1] == 0xB3 || opcode[1] == 0xBB ||
             (opcode[1] == 0xBA && opcode[2] >= 0xE0)))
            return true;
    }
    return false;
}

/* Can't be asked: the devices are the target's, or it would not survive. */
static bool is_unfit(const struct gdb *gdb, const struct native_case *c)
{
    const struct opcode_row *row;
    unsigned length = 0;
    for (unsigned at = 0; at < c->length && (row = row_at(gdb, c, at, &length)); at += length) {
        const char *space = strrchr(row->mnemonic, ' '); /* "REP OUTS" */
        if (!gdb->level && native_in_list("IN OUT INS OUTS", space ? space + 1 : row->mnemonic))
            return true;
    }
    return is_fatal(c);
}

static enum status reference_collect(struct fuzz_reference *self, struct native_outcome *out, bool *valid,
                                     struct error *error)
{
    struct gdb *gdb = gdb_of(self);
    enum status status = STATUS_OK;
    for (size_t n = 0; n < gdb->count && !status; n++) {
        valid[n] = !is_unfit(gdb, &gdb->cases[n]);
        self->under_way = &gdb->cases[n];
        if (valid[n])
            status = run_case(gdb, &gdb->cases[n], &out[n], error);
    }
    return status;
}

/* ---- undefined flags ---- */

static void append(struct native_case *c, const uint8_t *bytes, unsigned length)
{
    memcpy(c->code + c->length, bytes, length);
    c->length += length;
}

/* Behind each instruction that leaves some undefined, CMP EAX, EAX; what is no instruction ends it. False: there is none. */
static bool define_flags(const struct gdb *gdb, const struct native_case *c, struct native_case *defined)
{
    static const uint8_t compare[] = {0x39, 0xC0};
    bool any = false;
    unsigned length;
    *defined = *c;
    defined->length = 0;
    for (unsigned at = 0; at < c->length; at += length) {
        struct lockstep_insn insn = {.bits = c->bits, .linear = c->in.rip + at};
        if (!row_at(gdb, c, at, &length))
            length = c->length - at;
        if (defined->length + length + sizeof compare > NATIVE_CODE_MAX)
            return false;
        append(defined, c->code + at, length);
        insn.size = length < sizeof insn.code ? length : sizeof insn.code;
        memcpy(insn.code, c->code + at, insn.size);
        if (!lockstep_kind_of(&insn).undefined_flags)
            continue;
        append(defined, compare, sizeof compare);
        any = true;
    }
    return any;
}

static bool differs_by_flags(struct gdb *gdb, const struct native_case *c, bool *guess)
{
    struct native_case *defined = malloc(sizeof *defined);
    struct native_outcome *out = calloc(2, sizeof *out);
    struct error error = {{0}};
    bool same = false;
    CHECK(defined && out);
    if (define_flags(gdb, c, defined) && run_case(gdb, defined, &out[0], &error) == STATUS_OK) {
        native_interp_run(gdb->harness, defined, FUZZ_STEPS, &out[1].state, out[1].data);
        native_normalise(&out[0].state, 0);
        native_normalise(&out[1].state, 0);
        if (native_differ(defined, false, &out[0], &out[1], NULL, NULL))
            (void)fuzz_gdb_excuse(gdb->harness, defined, &out[0], &out[1], guess);
        same = !native_differ(defined, false, &out[0], &out[1], NULL, NULL);
    }
    free(defined);
    free(out);
    return same;
}

static const char *reference_excuse(struct fuzz_reference *self, const struct native_harness *h,
                                    const struct native_case *c, struct native_outcome *reference,
                                    struct native_outcome *interp, bool *guess)
{
    const char *name = fuzz_gdb_excuse(h, c, reference, interp, guess);
    if (name || !differs_by_flags(gdb_of(self), c, guess))
        return name;
    *interp = *reference;
    return "undefined-flags";
}

static void reference_note(struct fuzz_reference *self, char *text, size_t size)
{
    const struct gdb *gdb = gdb_of(self);
    if (gdb->late)
        snprintf(text, size, "%llu cases did not end on the target, and were told to", (unsigned long long)gdb->late);
}

const struct fuzz_reference_ops fuzz_gdb_ops = {
    .name = "gdb",
    .slow = true,
    .endless = true,
    .open = reference_open,
    .has_feature = reference_has_feature,
    .share = reference_share,
    .submit = reference_submit,
    .collect = reference_collect,
    .excuse = reference_excuse,
    .note = reference_note,
    .close = reference_close,
};
