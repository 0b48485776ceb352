/* See disassemble.h. */
#include "tools/disassemble.h"

#include "core/debug.h"

#include <capstone/capstone.h>
#include <inttypes.h>

#define WINDOW_BYTES 64
#define LINES 8

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
    if (cs_open(CS_ARCH_X86, bits == 64 ? CS_MODE_64 : bits == 32 ? CS_MODE_32 : CS_MODE_16, &handle) != CS_ERR_OK)
        return;
    size_t count = cs_disasm(handle, code, size, address, LINES, &list);
    for (size_t n = 0; n < count; n++)
        fprintf(out, "%s%016" PRIx64 "  %s %s\n", n ? "   " : "=> ", list[n].address, list[n].mnemonic, list[n].op_str);
    if (count)
        cs_free(list, count);
    cs_close(&handle);
}
