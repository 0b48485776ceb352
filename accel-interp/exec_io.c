/* IN OUT INS OUTS: port I/O, with the checks of IOPL and the TSS's bitmap (Intel SDM vol. 1, chapter 19).
 *
 * IN and OUT go on in their block when the device asks for nothing (invariant 3 of interp.h). INS and OUTS end theirs; those
 * whose memory operand is not a TLB hit run alone, since that operand may be a device too; REP INS and OUTS are cut into slices like
 * the other string instructions. An instruction that faults has touched no port: permission comes first, then
 * the memory operand, then a breakpoint on the port, then the port. */
#include "accel-interp/block.h"
#include "accel-interp/debug.h"
#include "accel-interp/exec.h"
#include "accel-interp/run_control.h"
#include "accel-interp/segment.h"

static bool io_bitmap_allows(struct interp *cpu, const struct insn *i, unsigned port, unsigned size_bytes)
{
    const struct seg *tss = &cpu->seg[CPU_TR];
    unsigned type = tss->attributes & SEG_TYPE;

    if ((type != SYS_TSS32 && type != SYS_TSS32_BUSY) || tss->limit < 0x67)
        return false;
    uint32_t map = (uint32_t)sys_read(cpu, i, tss->base + 0x66, 2);
    if (map + port / 8 + 1 > tss->limit) /* two bytes are read always */
        return false;
    unsigned bits = (unsigned)sys_read(cpu, i, tss->base + map + port / 8, 2);
    return !((bits >> (port & 7)) & ((1u << size_bytes) - 1));
}

static void io_check(struct interp *cpu, const struct insn *i, unsigned port, unsigned size_bytes)
{
    unsigned iopl = (cpu->sysflags & FLAG_IOPL) >> 12;
    bool open = !(cpu->cr0 & CR0_PE) || (cpu->cpl <= iopl && !(cpu->sysflags & FLAG_VM));

    if (!open && !io_bitmap_allows(cpu, i, port, size_bytes))
        RAISE_ERROR(EXC_GP, 0);
}

static uint64_t port_read(struct interp *cpu, const struct insn *i, unsigned port, unsigned size_bytes)
{
    if (UNLIKELY(cpu->dr[7] & DR7_ENABLED))
        debug_check_io(cpu, i, (uint16_t)port, size_bytes);
    interp_sync_position(cpu, i);
    return bus_io_read(machine_bus(cpu->accel.machine), (uint16_t)port, size_bytes);
}

/* IN EAX may stand for RDTSC (core/machine.h, MACHINE_WAY_TSC_PORT). */
static void in_done(struct interp *cpu, unsigned port, unsigned bits)
{
    if (UNLIKELY(port == MACHINE_TSC_PORT && bits == 32 && machine_goes(cpu->accel.machine, MACHINE_WAY_TSC_PORT)))
        cpu->r[CPU_RDX].q = machine_tsc_port_high(cpu->accel.machine);
}

static void port_write(struct interp *cpu, const struct insn *i, unsigned port, uint64_t value, unsigned size_bytes)
{
    if (UNLIKELY(cpu->dr[7] & DR7_ENABLED))
        debug_check_io(cpu, i, (uint16_t)port, size_bytes);
    interp_sync_position(cpu, i);
    bus_io_write(machine_bus(cpu->accel.machine), (uint16_t)port, value, size_bytes);
}

static uint64_t io_in(struct interp *cpu, const struct insn *i, unsigned port, unsigned size_bytes)
{
    io_check(cpu, i, port, size_bytes);
    return port_read(cpu, i, port, size_bytes);
}

static void io_out(struct interp *cpu, const struct insn *i, unsigned port, uint64_t value, unsigned size_bytes)
{
    io_check(cpu, i, port, size_bytes);
    port_write(cpu, i, port, value, size_bytes);
}

/* The end of IN and OUT: on in the block when the device has left nothing for the run loop, nor touched code or mappings.
 * key: jump_key of before. */
EXEC_STATIC(io_leave)
{
    return END_FALL();
}
static inline const struct insn *io_end(struct interp *cpu, const struct insn *i, uint32_t key)
{
    if (UNLIKELY(!interp_undisturbed(cpu, i, key)))
        return io_leave(cpu, i);
    cpu->current = NULL;
    NEXT;
}

#define IO_IN_(name, bits, port)                                                                                       \
    EXEC_STATIC(name)                                                                                                  \
    {                                                                                                                  \
        uint32_t key = cpu->jump_key;                                                                                  \
        unsigned from = port;                                                                                          \
        reg_set##bits(cpu, CPU_RAX, (uint##bits##_t)io_in(cpu, i, from, (bits) / 8));                                  \
        in_done(cpu, from, bits);                                                                                      \
        return io_end(cpu, i, key);                                                                                    \
    }
#define IO_OUT_(name, bits, port)                                                                                      \
    EXEC_STATIC(name)                                                                                                  \
    {                                                                                                                  \
        uint32_t key = cpu->jump_key;                                                                                  \
        io_out(cpu, i, port, reg_get##bits(cpu, CPU_RAX), (bits) / 8);                                                 \
        return io_end(cpu, i, key);                                                                                    \
    }
#define IO_FUNCTIONS(bits, unused)                                                                                     \
    IO_IN_(in_i##bits, bits, (uint8_t)i->imm)                                                                          \
    IO_IN_(in_d##bits, bits, cpu->r[CPU_RDX].w)                                                                        \
    IO_OUT_(out_i##bits, bits, (uint8_t)i->imm)                                                                        \
    IO_OUT_(out_d##bits, bits, cpu->r[CPU_RDX].w)
IO_FUNCTIONS(8, )
IO_FUNCTIONS(16, )
IO_FUNCTIONS(32, )
#define IO_FORMS(name) const struct insn_forms forms_##name = {.fn = {{name##8}, {name##16}, {name##32}, {name##32}}}
IO_FORMS(in_i);
IO_FORMS(in_d);
IO_FORMS(out_i);
IO_FORMS(out_d);

/* INS and OUTS. A REX.W is ignored: 32 bits at most. */
static unsigned io_string_size(const struct insn *i)
{
    unsigned size_bytes = insn_osize_bytes(i);
    return size_bytes > 4 ? 4 : size_bytes;
}

static uint64_t io_string_mask(const struct insn *i)
{
    return ea_mask(UINT64_MAX, insn_asize(i));
}

static void io_string_move(struct interp *cpu, const struct insn *i, unsigned reg, uint64_t delta)
{
    uint64_t mask = io_string_mask(i), moved = (cpu->r[reg].q + delta) & mask;

    cpu->r[reg].q = mask == 0xFFFF ? (cpu->r[reg].q & ~mask) | moved : moved;
}

/* RAM that may be written without looking again, or null. Alone, anything writable: faults come before the port is
 * read. */
static uint8_t *io_destination(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    uint8_t *host = mem_hit(cpu, linear, size_bytes, TLB_WRITE);

    if (host)
        return host;
    if (!cpu->single)
        interp_redo_single(cpu, i);
    mem_probe_write(cpu, i, linear, size_bytes);
    return NULL;
}

static void io_ins_one(struct interp *cpu, const struct insn *i, unsigned size_bytes)
{
    unsigned port = cpu->r[CPU_RDX].w;
    uint64_t offset = cpu->r[CPU_RDI].q & io_string_mask(i);

    io_check(cpu, i, port, size_bytes);
    uint64_t linear = seg_linear(cpu, i, CPU_ES, offset, size_bytes, TLB_WRITE);
    uint8_t *host = io_destination(cpu, i, linear, size_bytes);
    uint64_t value = port_read(cpu, i, port, size_bytes);
    /* The device may have changed the memory map: look the address up again rather than trust host. */
    if (host && mem_hit(cpu, linear, size_bytes, TLB_WRITE) == host)
        memcpy(host, &value, size_bytes);
    else
        mem_write_slow(cpu, i, linear, value, size_bytes);
}

static void io_outs_one(struct interp *cpu, const struct insn *i, unsigned size_bytes)
{
    unsigned port = cpu->r[CPU_RDX].w;
    uint64_t offset = cpu->r[CPU_RSI].q & io_string_mask(i), value = 0;

    io_check(cpu, i, port, size_bytes);
    uint64_t linear = seg_linear(cpu, i, i->seg, offset, size_bytes, TLB_READ);
    const uint8_t *host = mem_hit(cpu, linear, size_bytes, TLB_READ);
    if (host)
        memcpy(&value, host, size_bytes);
    else
        value = mem_read_slow(cpu, i, linear, size_bytes);
    port_write(cpu, i, port, value, size_bytes);
}

/* Does the step end after this iteration? count: of those left. */
static bool io_slice_ends(const struct interp *cpu, uint64_t count)
{
    return !(count & (REP_SLICE_ITERATIONS - 1)) || (cpu->sysflags & FLAG_TF) || cpu->s.pending_debug ||
           cpu->each_iteration || interp_exit_asked(cpu);
}

static const struct insn *io_string(struct interp *cpu, const struct insn *i,
                                    void one(struct interp *cpu, const struct insn *i, unsigned size_bytes),
                                    unsigned pointer)
{
    unsigned size_bytes = io_string_size(i);
    uint64_t delta = cpu->sysflags & FLAG_DF ? 0 - (uint64_t)size_bytes : size_bytes;

    if (!(i->bits & (INSN_REP | INSN_REPNE))) {
        one(cpu, i, size_bytes);
        io_string_move(cpu, i, pointer, delta);
        return END_FALL();
    }
    uint64_t count = cpu->r[CPU_RCX].q & io_string_mask(i);
    if (count == 0)
        return END_FALL();
    do {
        one(cpu, i, size_bytes);
        io_string_move(cpu, i, pointer, delta);
        io_string_move(cpu, i, CPU_RCX, UINT64_MAX);
    } while (!io_slice_ends(cpu, --count) && !run_control_pauses(cpu));
    if (!io_slice_ends(cpu, count))
        return run_control_pause(cpu, i);
    cpu->sysflags = count ? cpu->sysflags | FLAG_RF : cpu->sysflags & ~FLAG_RF; /* as string_end */
    if (count == 0)
        return END_FALL();
    cpu->rip = interp_rip(cpu, i);
    if ((cpu->mode & MODE_CODE_MASK) != MODE_CODE64)
        cpu->rip = (uint32_t)cpu->rip;
    return END_LEAVE();
}

EXEC_STATIC(ins_any)
{
    return io_string(cpu, i, io_ins_one, CPU_RDI);
}
EXEC_STATIC(outs_any)
{
    return io_string(cpu, i, io_outs_one, CPU_RSI);
}
FORMS_ANY(forms_ins, ins_any);
FORMS_ANY(forms_outs, outs_any);
