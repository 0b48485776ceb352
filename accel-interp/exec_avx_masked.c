/* AVX and AVX2: memory by elements that a mask chooses: VMASKMOV, VPMASKMOV, VMASKMOVDQU, gathers (Intel SDM vol. 2). Only chosen
 * elements are addressed: no fault, no segment check and no device access comes of the others. Elements are in order
 * from the lowest. A gather that faults has loaded the elements before and cleared their masks; run again, it goes on there.
 * A masked store that faults has stored nothing. */
#include "accel-interp/avx.h"
#include "accel-interp/mmu.h"
#include "accel-interp/segment.h"

static bool chosen(const struct interp *cpu, unsigned mask, unsigned number, unsigned bits)
{
    unsigned at = number * bits + bits - 1;

    return cpu->s.vector[mask].q[at / 64] >> at % 64 & 1;
}
static uint64_t get_element(const struct interp *cpu, unsigned vector, unsigned number, unsigned bits)
{
    uint64_t q = cpu->s.vector[vector].q[number * bits / 64];

    return bits == 64 ? q : (uint32_t)(q >> number * bits % 64);
}
static void set_element(struct interp *cpu, unsigned vector, unsigned number, unsigned bits, uint64_t value)
{
    uint64_t *q = &cpu->s.vector[vector].q[number * bits / 64];
    unsigned shift = number * bits % 64;

    *q = bits == 64 ? value : (*q & ~(0xFFFFFFFFull << shift)) | value << shift;
}
static enum tlb_view current_view(const struct interp *cpu)
{
    return (enum tlb_view)(cpu->tlb - cpu->views);
}
/* Elements need no alignment, whatever EFLAGS.AC says: mmu_read, not ld32. */
static uint64_t load_element(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned bits)
{
    const uint8_t *host = mem_hit(cpu, linear, bits / 8, TLB_READ);

    if (host)
        return bits == 64 ? host_get64(host) : host_get32(host);
    return mmu_read(cpu, i, linear, bits / 8, current_view(cpu));
}

/* ---- masked moves --------------------------------------------------------------------------------------------- */

/* The address size limits where the operand begins, not where its elements are. */
static uint64_t element_linear(struct interp *cpu, const struct insn *i, unsigned at_bytes, unsigned size_bytes,
                               enum tlb_access access)
{
    uint64_t offset = ea_mask(ea_offset(cpu, i), insn_asize(i)) + at_bytes;

    return seg_linear(cpu, i, i->seg, sse_wrap(cpu, offset), size_bytes, access);
}

static __attribute__((noinline)) void masked_load(struct interp *cpu, const struct insn *i, unsigned bits,
                                                  unsigned count)
{
    uint64_t value[8] = {0};

    for (unsigned n = 0; n < count; n++)
        if (chosen(cpu, insn_vvvv(i), n, bits))
            value[n] = load_element(cpu, i, element_linear(cpu, i, n * bits / 8, bits / 8, TLB_READ), bits);
    memset(cpu->s.vector[i->reg].q, 0, 32);
    for (unsigned n = 0; n < count; n++)
        set_element(cpu, i->reg, n, bits, value[n]);
}

/* A store is one access from the first chosen element to the last; that it can't be made in its second page is said of
 * its last byte (as on recent Intel processors). */
static void probe_store(struct interp *cpu, const struct insn *i, uint64_t linear, unsigned size_bytes)
{
    enum tlb_view view = current_view(cpu);

    mmu_probe(cpu, i, linear, 1, TLB_WRITE, view);
    if (TLB_PAGE(linear) != TLB_PAGE(linear + size_bytes - 1))
        mmu_probe(cpu, i, sse_wrap(cpu, linear + size_bytes - 1), 1, TLB_WRITE, view);
}

static __attribute__((noinline)) void masked_store(struct interp *cpu, const struct insn *i, unsigned bits,
                                                   unsigned count)
{
    unsigned mask = insn_vvvv(i), first = 0, end = count;

    while (first < count && !chosen(cpu, mask, first, bits))
        first++;
    if (first == count)
        return;
    while (!chosen(cpu, mask, end - 1, bits))
        end--;
    unsigned span = (end - first) * bits / 8;
    uint64_t linear = element_linear(cpu, i, first * bits / 8, span, TLB_WRITE);
    probe_store(cpu, i, linear, span);
    for (unsigned n = first; n < end; n++) {
        uint64_t at = sse_wrap(cpu, linear + (n - first) * bits / 8);
        if (chosen(cpu, mask, n, bits))
            mmu_write(cpu, i, at, get_element(cpu, i->reg, n, bits), bits / 8, current_view(cpu));
    }
}

/* The sign bit of each element over all of it. */
static inline __m128i spread32(__m128i mask)
{
    return _mm_srai_epi32(mask, 31);
}
static inline __m128i spread64(__m128i mask)
{
    return _mm_shuffle_epi32(_mm_srai_epi32(mask, 31), 0xF5);
}

#define MASKED(name, bits, length)                                                                                     \
    EXEC_STATIC(name##_load_seg)                                                                                       \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        masked_load(cpu, i, bits, (length) / (bits));                                                                  \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_store_seg)                                                                                      \
    {                                                                                                                  \
        AVX_CHECK();                                                                                                   \
        masked_store(cpu, i, bits, (length) / (bits));                                                                 \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    MASKED_FAST_##length(name, bits, 64) MASKED_FAST_##length(name, bits, 32)                                          \
        SSE_FORMS_MEM(forms_##name##_load, name##_load);                                                               \
    SSE_FORMS_MEM(forms_##name##_store, name##_store)
/* All of the operand at hand: what is not chosen may be looked at, or written back as it was. */
#define MASKED_FAST_128(name, bits, abits)                                                                             \
    EXEC_STATIC(name##_load_m##abits)                                                                                  \
    {                                                                                                                  \
        const uint8_t *host = mem_hit(cpu, ea##abits(cpu, i), 16, TLB_READ);                                           \
        if (UNLIKELY(!host || !avx_usable(cpu)))                                                                       \
            return name##_load_seg(cpu, i);                                                                            \
        ymm_set_low(cpu, i->reg, _mm_and_si128(spread##bits(xmm_get(cpu, insn_vvvv(i))), host_get_v16(host)));         \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_store_m##abits)                                                                                 \
    {                                                                                                                  \
        uint8_t *host = mem_hit(cpu, ea##abits(cpu, i), 16, TLB_WRITE);                                                \
        if (UNLIKELY(!host || !avx_usable(cpu)))                                                                       \
            return name##_store_seg(cpu, i);                                                                           \
        host_set_v16(host, _mm_blendv_epi8(host_get_v16(host), xmm_get(cpu, i->reg),                                   \
                                           spread##bits(xmm_get(cpu, insn_vvvv(i)))));                                 \
        NEXT;                                                                                                          \
    }
#define MASKED_FAST_256(name, bits, abits)                                                                             \
    EXEC_STATIC(name##_load_m##abits)                                                                                  \
    {                                                                                                                  \
        const uint8_t *host = mem_hit(cpu, ea##abits(cpu, i), 32, TLB_READ);                                           \
        if (UNLIKELY(!host || !avx_usable(cpu)))                                                                       \
            return name##_load_seg(cpu, i);                                                                            \
        const struct ymm mask = ymm_get(cpu, insn_vvvv(i)), src = host_get_v32(host);                                  \
        ymm_set(cpu, i->reg,                                                                                           \
                ymm_make(_mm_and_si128(spread##bits(mask.lane[0]), src.lane[0]),                                       \
                         _mm_and_si128(spread##bits(mask.lane[1]), src.lane[1])));                                     \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    EXEC_STATIC(name##_store_m##abits)                                                                                 \
    {                                                                                                                  \
        uint8_t *host = mem_hit(cpu, ea##abits(cpu, i), 32, TLB_WRITE);                                                \
        if (UNLIKELY(!host || !avx_usable(cpu)))                                                                       \
            return name##_store_seg(cpu, i);                                                                           \
        const struct ymm mask = ymm_get(cpu, insn_vvvv(i)), v = ymm_get(cpu, i->reg), old = host_get_v32(host);        \
        host_set_v32(host, ymm_make(_mm_blendv_epi8(old.lane[0], v.lane[0], spread##bits(mask.lane[0])),               \
                                    _mm_blendv_epi8(old.lane[1], v.lane[1], spread##bits(mask.lane[1]))));             \
        NEXT;                                                                                                          \
    }
MASKED(vmaskmovd128, 32, 128);
MASKED(vmaskmovd256, 32, 256);
MASKED(vmaskmovq128, 64, 128);
MASKED(vmaskmovq256, 64, 256);

static __attribute__((noinline)) void maskmovdqu(struct interp *cpu, const struct insn *i)
{
    uint8_t data[16], mask[16];

    host_set_v16(data, xmm_get(cpu, i->reg));
    host_set_v16(mask, xmm_get(cpu, i->rm));
    sse_masked_store(cpu, i, data, mask, 16);
}
EXEC_STATIC(vmaskmovdqu)
{
    AVX_CHECK();
    maskmovdqu(cpu, i);
    NEXT;
}
FORMS_RM(forms_vmaskmovdqu, vmaskmovdqu, 0);

/* ---- gathers -------------------------------------------------------------------------------------------------- */

/* Before the first element each mask becomes its sign bit all over, and 0 beyond the vector length: a fault shows it. */
static void normalise_mask(struct interp *cpu, unsigned mask, unsigned bits, unsigned length)
{
    uint64_t q[4] = {0};

    for (unsigned n = 0; n < length / bits; n++)
        if (chosen(cpu, mask, n, bits))
            q[n * bits / 64] |= bits == 64 ? UINT64_MAX : 0xFFFFFFFFull << n * bits % 64;
    memcpy(cpu->s.vector[mask].q, q, sizeof q);
}

/* Elements of `bits` by indices of `index_bits`, as many as the vector length has of the longer. */
static __attribute__((noinline)) void gather(struct interp *cpu, const struct insn *i, unsigned bits,
                                             unsigned index_bits, unsigned length)
{
    unsigned count = length / (bits > index_bits ? bits : index_bits);
    unsigned mask = insn_vvvv(i), used = count * bits / 8;

    AVX_CHECK();
    if (i->reg == mask || i->reg == i->scaled || mask == i->scaled)
        RAISE(EXC_UD);
    normalise_mask(cpu, mask, bits, length);
    for (unsigned n = 0; n < count; n++) {
        if (!chosen(cpu, mask, n, bits))
            continue;
        uint64_t index = get_element(cpu, i->scaled, n, index_bits);
        if (index_bits == 32)
            index = (uint64_t)(int64_t)(int32_t)index;
        uint64_t offset = cpu->r[i->base].q + (index << i->scale) + (uint64_t)(int64_t)i->disp;
        uint64_t linear = seg_linear(cpu, i, i->seg, ea_mask(offset, insn_asize(i)), bits / 8, TLB_READ);
        set_element(cpu, i->reg, n, bits, load_element(cpu, i, linear, bits));
        set_element(cpu, mask, n, bits, 0);
        memset((uint8_t *)cpu->s.vector[i->reg].q + length / 8, 0, 32 - length / 8);
    }
    memset(cpu->s.vector[mask].q, 0, 32);
    memset((uint8_t *)cpu->s.vector[i->reg].q + used, 0, 32 - used);
}
#define GATHER(name, bits, index_bits, length)                                                                         \
    EXEC_STATIC(name)                                                                                                  \
    {                                                                                                                  \
        gather(cpu, i, bits, index_bits, length);                                                                      \
        NEXT;                                                                                                          \
    }                                                                                                                  \
    FORMS_RM(forms_##name, 0, name)
GATHER(vgatherdd128, 32, 32, 128);
GATHER(vgatherdd256, 32, 32, 256);
GATHER(vgatherdq128, 64, 32, 128);
GATHER(vgatherdq256, 64, 32, 256);
GATHER(vgatherqd128, 32, 64, 128);
GATHER(vgatherqd256, 32, 64, 256);
GATHER(vgatherqq128, 64, 64, 128);
GATHER(vgatherqq256, 64, 64, 256);
