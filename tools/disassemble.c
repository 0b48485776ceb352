/* See disassemble.h. */
#include "tools/disassemble.h"

#include "core/debug.h"

#include <capstone/capstone.h>
#include <inttypes.h>

#define WINDOW_BYTES 64
#define LINES 8

static cs_mode mode_of(unsigned bits)
{
    return bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16;
}

size_t disassemble_one(const uint8_t *code, size_t size_bytes, uint64_t address, unsigned bits, FILE *out)
{
    csh handle;
    cs_insn *list;
    size_t size = 0;
    if (cs_open(CS_ARCH_X86, mode_of(bits), &handle) != CS_ERR_OK)
        return 0;
    size_t count = cs_disasm(handle, code, size_bytes, address, 1, &list);
    if (count) {
        size = list[0].size;
        fprintf(out, "0x%08" PRIx64 ":  ", address);
        for (size_t n = 0; n < size || n < 8; n++)
            fprintf(out, n < size ? "%02x " : "   ", n < size ? code[n] : 0);
        fprintf(out, "%s %s\n", list[0].mnemonic, list[0].op_str);
        cs_free(list, count);
    }
    cs_close(&handle);
    return size;
}

void disassemble_around(struct machine *machine, FILE *out)
{
    uint8_t code[WINDOW_BYTES];
    unsigned bits;
    csh handle;
    cs_insn *list;
    uint64_t address = debug_code_address(machine, &bits);
    size_t size = debug_read_linear(machine, address, code, sizeof code);
    if (!size) {
        fprintf(out, "code at %016" PRIx64 " is not mapped\n", address);
        return;
    }
    if (cs_open(CS_ARCH_X86, mode_of(bits), &handle) != CS_ERR_OK)
        return;
    size_t count = cs_disasm(handle, code, size, address, LINES, &list);
    for (size_t n = 0; n < count; n++)
        fprintf(out, "%s%016" PRIx64 "  %s %s\n", n ? "   " : "=> ", list[n].address, list[n].mnemonic, list[n].op_str);
    if (count)
        cs_free(list, count);
    cs_close(&handle);
}
