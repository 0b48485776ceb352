/* XCR0 and the XSAVE family (Intel SDM vol. 1, chapter 13; vol. 2).
 *
 * Chosen where the manual leaves a choice: a component is in use (XINUSE) exactly when it is not in its initial
 * configuration now, whatever it was before; XSAVEOPT and XSAVES never leave out a component because it was not modified
 * since it was restored. IA32_XSS has no bits. All checks are made, and all of an image to be restored is read, before anything changes;
 * of an image to be saved all parts are probed before the first is written. */
#include "accel-interp/fx_image.h"
#include "accel-interp/mmu.h"
#include "accel-interp/sse.h"
#include "accel-interp/system.h"
#include "accel-interp/x87.h"

enum {
    XSAVE_HEADER = 512,
    XSAVE_HEADER_BYTES = 64,
    XSAVE_AVX_BYTES = 256,
    XSAVE_PKRU_BYTES = 8,
    COMPONENT_AVX = 2,
    COMPONENT_PKRU = 9
};
#define XCOMP_COMPACTED (1ull << 63)
#define XSAVE_FXSR (XCR0_X87 | XCR0_SSE)

static void require_osxsave(struct interp *cpu, const struct insn *i)
{
    if (!(cpu->cr4 & CR4_OSXSAVE))
        RAISE(EXC_UD);
}

/* ---- what is in use ------------------------------------------------------------------------------------------- */

static bool x87_in_use(const struct interp *cpu)
{
    const struct cpu_state *s = &cpu->s;
    uint64_t rest = s->ftw | s->fop | s->fip | s->fdp | fp_fsw(cpu);

    for (unsigned n = 0; n < 8; n++)
        rest |= s->fpr[n].significand | s->fpr[n].sign_exponent;
    return rest || s->fcw != FCW_DEFAULT;
}

static uint64_t components_in_use(const struct interp *cpu)
{
    uint64_t low = 0, high = 0;

    for (unsigned n = 0; n < 16; n++) {
        low |= cpu->s.vector[n].q[0] | cpu->s.vector[n].q[1];
        high |= cpu->s.vector[n].q[2] | cpu->s.vector[n].q[3];
    }
    return (x87_in_use(cpu) ? XCR0_X87 : 0) | (low ? XCR0_SSE : 0) | (high ? XCR0_AVX : 0) |
           (cpu->s.pkru ? XCR0_PKRU : 0);
}

/* ---- XCR0 ----------------------------------------------------------------------------------------------------- */

static uint64_t read_xcr(struct interp *cpu, const struct insn *i, uint32_t index)
{
    if (index == 0)
        return cpu->xcr0;
    if (index == 1 && cpu->features.xgetbv1)
        return cpu->xcr0 & components_in_use(cpu);
    RAISE_ERROR(EXC_GP, 0);
}

EXEC_STATIC(exec_xgetbv)
{
    require_osxsave(cpu, i);
    uint64_t value = read_xcr(cpu, i, cpu->r[CPU_RCX].d);
    cpu->r[CPU_RAX].q = (uint32_t)value;
    cpu->r[CPU_RDX].q = value >> 32;
    NEXT;
}

EXEC_STATIC(exec_xsetbv)
{
    uint64_t value = (cpu->r[CPU_RDX].q << 32) | cpu->r[CPU_RAX].d;

    require_osxsave(cpu, i);
    require_cpl0(cpu, i);
    if (cpu->r[CPU_RCX].d != 0 || !(value & XCR0_X87) || (value & ~cpu->features.xsave_components) ||
        ((value & XCR0_AVX) && !(value & XCR0_SSE)))
        RAISE_ERROR(EXC_GP, 0);
    cpu->xcr0 = value;
    cpu_update_usable(cpu);
    return END_FALL();
}

/* ---- saving --------------------------------------------------------------------------------------------------- */

/* Requested-feature bitmap. */
static uint64_t requested(const struct interp *cpu, uint64_t allowed)
{
    return ((cpu->r[CPU_RDX].q << 32) | cpu->r[CPU_RAX].d) & allowed;
}

static uint64_t image_linear(struct interp *cpu, const struct insn *i, enum tlb_access access)
{
    require_osxsave(cpu, i);
    if (cpu->cr0 & CR0_TS)
        RAISE(EXC_NM);
    uint64_t linear = ea_general(cpu, i, XSAVE_HEADER + XSAVE_HEADER_BYTES, access);
    if (in_code64(cpu) && !mmu_canonical(linear))
        RAISE_ERROR(i->seg == CPU_SS ? EXC_SS : EXC_GP, 0);
    mem_check_alignment(cpu, i, linear, 4); /* as FXSAVE */
    if (linear & 63)
        RAISE_ERROR(EXC_GP, 0);
    return linear;
}

/* Measured: before all else the last byte of the AVX component is looked at, wherever the header will say that it lies. */
static void probe_end(struct interp *cpu, const struct insn *i, uint64_t linear, uint64_t rfbm, enum tlb_access access)
{
    const unsigned last = XSAVE_HEADER + XSAVE_HEADER_BYTES + XSAVE_AVX_BYTES - 1;

    if (rfbm & XCR0_AVX)
        mmu_probe(cpu, i, linear + last, 1, access, (enum tlb_view)(cpu->tlb - cpu->views));
}

/* An image in pieces: which bytes of it are to be written. */
struct save {
    uint8_t image[XSAVE_HEADER + XSAVE_HEADER_BYTES];
    uint8_t avx[XSAVE_AVX_BYTES], pkru[XSAVE_PKRU_BYTES];
    unsigned count;
    struct {
        const uint8_t *from;
        unsigned at, size_bytes;
    } piece[8];
};

static void add_piece(struct save *save, const uint8_t *from, unsigned at, unsigned size_bytes)
{
    save->piece[save->count].from = from;
    save->piece[save->count].at = at;
    save->piece[save->count++].size_bytes = size_bytes;
}

static void save_legacy(struct interp *cpu, const struct insn *i, struct save *save, uint64_t what, bool mxcsr)
{
    if (what & XCR0_X87) {
        fx_put_x87(cpu, i, save->image);
        add_piece(save, save->image, 0, FX_MXCSR);
        add_piece(save, save->image + FX_ST, FX_ST, FX_XMM - FX_ST);
    }
    if (mxcsr) {
        fx_put_mxcsr(cpu, save->image);
        add_piece(save, save->image + FX_MXCSR, FX_MXCSR, 8);
    }
    if (what & XCR0_SSE) {
        fx_put_xmm(cpu, save->image);
        add_piece(save, save->image + FX_XMM, FX_XMM, 16 * fx_xmm_count(cpu));
    }
}

/* layout: the components that have room in a compacted image. */
static void save_extended(struct interp *cpu, struct save *save, uint64_t what, uint64_t layout, bool compacted)
{
    if (what & XCR0_AVX) {
        for (unsigned n = 0; n < fx_xmm_count(cpu); n++)
            memcpy(save->avx + 16 * n, cpu->s.vector[n].q + 2, 16);
        add_piece(save, save->avx, cpu_model_xsave_offset(layout, COMPONENT_AVX, compacted), 16 * fx_xmm_count(cpu));
    }
    if (what & XCR0_PKRU) {
        memset(save->pkru, 0, sizeof save->pkru);
        memcpy(save->pkru, &cpu->s.pkru, sizeof cpu->s.pkru);
        add_piece(save, save->pkru, cpu_model_xsave_offset(layout, COMPONENT_PKRU, compacted), XSAVE_PKRU_BYTES);
    }
}

static void write_pieces(struct interp *cpu, const struct insn *i, uint64_t linear, const struct save *save)
{
    enum tlb_view view = (enum tlb_view)(cpu->tlb - cpu->views);

    for (unsigned n = 0; n < save->count; n++)
        mmu_probe(cpu, i, linear + save->piece[n].at, save->piece[n].size_bytes, TLB_WRITE, view);
    for (unsigned n = 0; n < save->count; n++)
        mem_write_buffer(cpu, i, sse_wrap(cpu, linear + save->piece[n].at), save->piece[n].from,
                         save->piece[n].size_bytes);
}

/* XSAVE, XSAVEOPT: the standard form. */
static void save_standard(struct interp *cpu, const struct insn *i, bool only_in_use)
{
    uint64_t linear = image_linear(cpu, i, TLB_WRITE), rfbm = requested(cpu, cpu->xcr0);
    uint64_t in_use = components_in_use(cpu), what = only_in_use ? rfbm & in_use : rfbm, bits;
    struct save save = {.count = 0};

    probe_end(cpu, i, linear, rfbm, TLB_WRITE);
    /* its last byte, as measured */
    mmu_probe(cpu, i, linear + XSAVE_HEADER + XSAVE_HEADER_BYTES - 1, 1, TLB_WRITE,
              (enum tlb_view)(cpu->tlb - cpu->views));
    mem_read_buffer(cpu, i, sse_wrap(cpu, linear + XSAVE_HEADER), &bits, sizeof bits);
    bits = (bits & ~rfbm) | (rfbm & in_use);
    memcpy(save.image + XSAVE_HEADER, &bits, sizeof bits);
    save_legacy(cpu, i, &save, what, rfbm & (XCR0_SSE | XCR0_AVX));
    add_piece(&save, save.image + XSAVE_HEADER, XSAVE_HEADER, sizeof bits);
    save_extended(cpu, &save, what, rfbm, false);
    write_pieces(cpu, i, linear, &save);
}

/* XSAVEC, XSAVES. */
static void save_compacted(struct interp *cpu, const struct insn *i, uint64_t allowed)
{
    uint64_t linear = image_linear(cpu, i, TLB_WRITE), rfbm = requested(cpu, allowed);
    uint64_t what = rfbm & components_in_use(cpu), layout = rfbm | XCOMP_COMPACTED;
    struct save save = {.count = 0};

    probe_end(cpu, i, linear, rfbm, TLB_WRITE);
    fp_merge_mxcsr(cpu);
    if (cpu->s.mxcsr != MXCSR_DEFAULT)
        what |= rfbm & XCR0_SSE;
    memcpy(save.image + XSAVE_HEADER, &what, 8);
    memcpy(save.image + XSAVE_HEADER + 8, &layout, 8);
    save_legacy(cpu, i, &save, what, what & XCR0_SSE);
    add_piece(&save, save.image + XSAVE_HEADER, XSAVE_HEADER, 16);
    save_extended(cpu, &save, what, rfbm, true);
    write_pieces(cpu, i, linear, &save);
}

#define IMAGE(name, ...)                                                                                               \
    static __attribute__((noinline)) void name##_execute(struct interp *cpu, const struct insn *i)                     \
    {                                                                                                                  \
        __VA_ARGS__;                                                                                                   \
    }                                                                                                                  \
    EXEC_STATIC(exec_##name)                                                                                           \
    {                                                                                                                  \
        name##_execute(cpu, i);                                                                                        \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    FORMS_RM(forms_##name, 0, exec_##name)
IMAGE(xsave, save_standard(cpu, i, false));
IMAGE(xsaveopt, save_standard(cpu, i, true));
IMAGE(xsavec, save_compacted(cpu, i, cpu->xcr0));
IMAGE(xsaves, require_osxsave(cpu, i); require_cpl0(cpu, i); save_compacted(cpu, i, cpu->xcr0 | cpu->s.xss));

/* ---- restoring ------------------------------------------------------------------------------------------------ */

struct header {
    uint64_t present;   /* XSTATE_BV */
    uint64_t compacted; /* XCOMP_BV */
    uint64_t reserved[6];
};

static bool any(const uint64_t *words, unsigned count)
{
    uint64_t all = 0;

    for (unsigned n = 0; n < count; n++)
        all |= words[n];
    return all;
}

/* The order of checks is the silicon's: what a compacted image may hold, then the legacy area's page if that is needed,
 * then the rest of the header. */
static bool layout_valid(const struct header *h, uint64_t allowed)
{
    return !(h->compacted & XCOMP_COMPACTED) || !(h->compacted & ~XCOMP_COMPACTED & ~allowed);
}

static bool header_valid(const struct interp *cpu, const struct header *h, uint64_t allowed, bool supervisor)
{
    if (h->compacted & XCOMP_COMPACTED)
        return (supervisor || cpu->features.xsavec) && !(h->present & ~h->compacted) && !(h->present >> 63) &&
               !any(h->reserved, 6);
    return !supervisor && !(h->present & ~allowed) && !h->compacted && !h->reserved[0];
}

struct restore {
    uint8_t image[FX_BYTES], avx[XSAVE_AVX_BYTES];
    uint64_t pkru;
};

static void read_components(struct interp *cpu, const struct insn *i, uint64_t linear, const struct header *h,
                            uint64_t what, struct restore *r)
{
    bool compacted = h->compacted & XCOMP_COMPACTED;
    uint64_t layout = h->compacted & ~XCOMP_COMPACTED;

    if (what & XSAVE_FXSR)
        mem_read_buffer(cpu, i, linear, r->image, FX_XMM + 16 * fx_xmm_count(cpu));
    if (what & XCR0_AVX)
        mem_read_buffer(cpu, i, sse_wrap(cpu, linear + cpu_model_xsave_offset(layout, COMPONENT_AVX, compacted)),
                        r->avx, 16 * fx_xmm_count(cpu));
    if (what & XCR0_PKRU)
        mem_read_buffer(cpu, i, sse_wrap(cpu, linear + cpu_model_xsave_offset(layout, COMPONENT_PKRU, compacted)),
                        &r->pkru, sizeof r->pkru);
}

static void initial_legacy(uint8_t *image, uint64_t what)
{
    const uint16_t fcw = FCW_DEFAULT;

    if (what & XCR0_X87) {
        memset(image, 0, FX_MXCSR);
        memset(image + FX_ST, 0, FX_XMM - FX_ST);
        memcpy(image, &fcw, sizeof fcw);
    }
    if (what & XCR0_SSE)
        memset(image + FX_XMM, 0, FX_XMM_END_64 - FX_XMM);
}

static void restore(struct interp *cpu, const struct insn *i, uint64_t allowed, bool supervisor)
{
    uint64_t linear = image_linear(cpu, i, TLB_READ), rfbm = requested(cpu, allowed), what;
    struct restore r = {.pkru = 0};
    struct header h;
    uint32_t mxcsr = MXCSR_DEFAULT;

    probe_end(cpu, i, linear, rfbm, TLB_READ);
    mem_read_buffer(cpu, i, sse_wrap(cpu, linear + XSAVE_HEADER), &h, sizeof h);
    if (!layout_valid(&h, allowed))
        RAISE_ERROR(EXC_GP, 0);
    if (rfbm & (h.compacted & XCOMP_COMPACTED ? h.compacted & XSAVE_FXSR : XSAVE_FXSR | XCR0_AVX))
        mmu_probe(cpu, i, linear, XSAVE_HEADER, TLB_READ, (enum tlb_view)(cpu->tlb - cpu->views));
    if (!header_valid(cpu, &h, allowed, supervisor))
        RAISE_ERROR(EXC_GP, 0);
    what = rfbm & h.present;
    bool standard = !(h.compacted & XCOMP_COMPACTED), in_mxcsr = rfbm & XCR0_SSE;
    if (standard) /* MXCSR comes with either of the two, present or not */
        in_mxcsr = rfbm & (XCR0_SSE | XCR0_AVX);
    bool load_mxcsr = standard ? in_mxcsr : (what & XCR0_SSE) != 0;
    read_components(cpu, i, linear, &h, what | (load_mxcsr ? XCR0_SSE : 0), &r);
    if (load_mxcsr)
        mxcsr = fx_check_mxcsr(cpu, i, r.image);

    initial_legacy(r.image, rfbm & ~what);
    if (rfbm & XCR0_X87)
        fx_get_x87(cpu, i, r.image);
    if (rfbm & XCR0_SSE)
        fx_get_xmm(cpu, r.image);
    if (in_mxcsr) {
        cpu->s.mxcsr = mxcsr;
        fp_load_mxcsr(cpu);
    }
    if (rfbm & XCR0_AVX)
        for (unsigned n = 0; n < fx_xmm_count(cpu); n++)
            memcpy(cpu->s.vector[n].q + 2, r.avx + 16 * n, 16);
    if (rfbm & XCR0_PKRU)
        mmu_write_pkru(cpu, (uint32_t)r.pkru);
}
IMAGE(xrstor, restore(cpu, i, cpu->xcr0, false));
IMAGE(xrstors, require_osxsave(cpu, i); require_cpl0(cpu, i); restore(cpu, i, cpu->xcr0 | cpu->s.xss, true));

FORMS_ANY(forms_xgetbv, exec_xgetbv);
FORMS_ANY(forms_xsetbv, exec_xsetbv);
