/* See features.h. */
#include "accel-interp/features.h"

#include "accel-interp/system_bits.h"

struct bits_row {
    const char *feature;
    uint32_t bits;
};

static uint64_t gather(const struct cpu_model *model, const struct bits_row *rows, unsigned count)
{
    uint64_t bits = 0;

    for (unsigned n = 0; n < count; n++)
        bits |= cpu_model_has(model, rows[n].feature) ? rows[n].bits : 0;
    return bits;
}

struct interp_features interp_features_of(const struct cpu_model *model)
{
    static const struct bits_row cr4[] = {
        {"vme", CR4_VME | CR4_PVI}, {"tsc", CR4_TSD},           {"de", CR4_DE},      {"pse", CR4_PSE},
        {"pae", CR4_PAE},           {"mce", CR4_MCE},           {"pge", CR4_PGE},    {"fxsr", CR4_OSFXSR},
        {"sse", CR4_OSXMMEXCPT},    {"smep", CR4_SMEP},         {"smap", CR4_SMAP},  {"xsave", CR4_OSXSAVE},
        {"umip", CR4_UMIP},         {"fsgsbase", CR4_FSGSBASE}, {"pcid", CR4_PCIDE}, {"pku", CR4_PKE}};
    static const struct bits_row efer[] = {{"syscall", EFER_SCE}, {"lm", EFER_LME}, {"nx", EFER_NXE}};

    return (struct interp_features){
        .cr4 = CR4_PCE | gather(model, cr4, sizeof cr4 / sizeof cr4[0]),
        .efer = EFER_LMA | gather(model, efer, sizeof efer / sizeof efer[0]),
        .xsave_components = cpu_model_xsave_components(model),
        .pse36 = cpu_model_has(model, "pse36"),
        .mca = cpu_model_has(model, "mca"),
        .xsavec = cpu_model_has(model, "xsavec"),
        .xsaves = cpu_model_has(model, "xsaves"),
        .xgetbv1 = cpu_model_has(model, "xgetbv1"),
        .rdtscp = cpu_model_has(model, "rdtscp"),
        .tsc_adjust = cpu_model_has(model, "tsc-adjust"),
        .arch_capabilities = cpu_model_has(model, "arch-capabilities"),
        .monitor = cpu_model_has(model, "monitor"),
    };
}
