/* vmrr fuzz: a case for people: disassembly, what is not zero before, what differs afterwards. */
#include "tools/disassemble.h"
#include "tools/fuzz/fuzz.h"
#include "tools/json_text.h"

#include <inttypes.h>
#include <string.h>

static void print_registers(const struct native_state *in, FILE *out)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};
    uint16_t fcw, fsw;
    uint32_t mxcsr;
    memcpy(&fcw, in->fx + NATIVE_FX_FCW, 2);
    memcpy(&fsw, in->fx + NATIVE_FX_FSW, 2);
    memcpy(&mxcsr, in->fx + NATIVE_FX_MXCSR, 4);
    for (unsigned n = 0; n < 16; n++) {
        if (in->gpr[n])
            fprintf(out, "    %-6s %016" PRIx64 "\n", names[n], in->gpr[n]);
    }
    fprintf(out, "    rflags %08" PRIx64 "  fcw %04x fsw %04x ftw %02x mxcsr %08x\n", in->rflags, fcw, fsw,
            in->fx[NATIVE_FX_FTW], mxcsr);
}

static void print_wide(const char *name, unsigned number, const uint8_t *bytes, size_t size, FILE *out)
{
    bool any = false;
    for (size_t n = 0; n < size; n++)
        any |= bytes[n] != 0;
    if (!any)
        return;
    fprintf(out, "    %s%u ", name, number);
    for (size_t n = size; n-- > 0;)
        fprintf(out, "%02x", bytes[n]);
    fprintf(out, "\n");
}

static void print_state(const struct native_state *in, FILE *out)
{
    print_registers(in, out);
    for (unsigned n = 0; n < 8; n++)
        print_wide("st", n, in->fx + NATIVE_FX_ST + 16 * n, 10, out);
    for (unsigned n = 0; n < NATIVE_VECTORS; n++) {
        uint8_t whole[32];
        memcpy(whole, in->fx + NATIVE_FX_XMM + 16 * n, 16);
        memcpy(whole + 16, in->high[n], 16);
        print_wide("ymm", n, whole, sizeof whole, out);
    }
}

static void print_data(const uint8_t *data, FILE *out)
{
    unsigned lines = 0;
    for (unsigned at = 0; at < NATIVE_DATA_BYTES; at += 16) {
        bool any = false;
        for (unsigned n = 0; n < 16; n++)
            any |= data[at + n] != 0;
        if (!any)
            continue;
        if (lines++ == 8) {
            fprintf(out, "    ...\n");
            return;
        }
        fprintf(out, "    [%08x]", NATIVE_DATA + at);
        for (unsigned n = 0; n < 16; n++)
            fprintf(out, " %02x", data[at + n]);
        fprintf(out, "\n");
    }
}

static void print_code(const struct fuzz_run *run, const struct fuzz_case *fuzz, FILE *out)
{
    for (unsigned n = 0; n < fuzz->count; n++) {
        uint64_t address = fuzz_address(fuzz, n);
        const uint8_t *bytes = run->c.code + (address - run->c.in.rip);
        fprintf(out, "  ");
        if (disassemble_one(bytes, fuzz->insn[n].length, address, fuzz->bits, out))
            continue;
        fprintf(out, "0x%08" PRIx64 ":  ", address);
        for (unsigned byte = 0; byte < fuzz->insn[n].length; byte++)
            fprintf(out, "%02x ", bytes[byte]);
        fprintf(out, "(capstone does not know it)\n");
    }
}

static void print_difference(void *opaque, const char *name, uint64_t in, uint64_t host, uint64_t interp)
{
    fprintf(opaque, "    %-10s before %016" PRIx64 "  %016" PRIx64 "  %016" PRIx64 "\n", name, in, host, interp);
}

void fuzz_print(const struct fuzz_run *run, const struct fuzz_case *fuzz, FILE *out)
{
    fprintf(out, "%u-bit, seed 0x%" PRIx64 ", %u instructions\n", fuzz->bits, fuzz->seed, fuzz->count);
    print_code(run, fuzz, out);
    fprintf(out, "  before\n");
    print_state(&fuzz->in, out);
    print_data(fuzz->data, out);
    fprintf(out, "  differs: %s, interpreter (vector %d and %d; -1: ran to the end)\n", run->reference->ops->name,
            run->of_reference.state.vector, run->of_interp.state.vector);
    native_differ(&run->c, false, &run->of_reference, &run->of_interp, print_difference, out);
}

static void add_difference(void *opaque, const char *name, uint64_t in, uint64_t host, uint64_t interp)
{
    json_t *object = json_object();
    json_object_set_new(object, "name", json_string(name));
    json_set_hex(object, "before", in, 1);
    json_set_hex(object, "reference", host, 1);
    json_set_hex(object, "interpreter", interp, 1);
    json_array_append_new(opaque, object);
}

json_t *fuzz_differences_json(const struct fuzz_run *run)
{
    json_t *list = json_array();
    native_differ(&run->c, false, &run->of_reference, &run->of_interp, add_difference, list);
    return list;
}
