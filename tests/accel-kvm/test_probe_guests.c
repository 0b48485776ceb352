/* probe_guests.def: each guest's bytes are what its listing says, by capstone. */
#include "accel-kvm/probe_guests.h"

#include <capstone/capstone.h>
#include <check.h>
#include <string.h>

#define CODE_ADDRESS 0x10000

static void disassemble(const struct probe_guest *guest, char *text, size_t size)
{
    csh handle;
    cs_insn *insn;
    cs_mode mode = guest->bits == 16 ? CS_MODE_16 : guest->bits == 32 ? CS_MODE_32 : CS_MODE_64;
    ck_assert_int_eq(cs_open(CS_ARCH_X86, mode, &handle), CS_ERR_OK);
    size_t count = cs_disasm(handle, guest->code, guest->size_bytes, CODE_ADDRESS, 0, &insn), bytes = 0, used = 0;
    text[0] = 0;
    for (size_t n = 0; n < count; n++) {
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", n ? "; " : "", insn[n].mnemonic,
                                 insn[n].op_str[0] ? " " : "", insn[n].op_str);
        ck_assert_uint_lt(used, size);
        bytes += insn[n].size;
    }
    ck_assert_msg(bytes == guest->size_bytes, "%s: %zu of %zu bytes are code", guest->name, bytes, guest->size_bytes);
    cs_free(insn, count);
    cs_close(&handle);
}

START_TEST(listing)
{
    const struct probe_guest *guest = probe_guest_get((enum probe_guest_id)_i);
    char text[512];
    disassemble(guest, text, sizeof text);
    ck_assert_msg(!strcmp(text, guest->listing), "%s: '%s' is listed as '%s'", guest->name, text, guest->listing);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("probe_guests");
    TCase *tests = tcase_create("listing");
    tcase_add_loop_test(tests, listing, 0, PROBE_GUEST_COUNT);
    suite_add_tcase(suite, tests);
    return run_suite(suite, CK_FORK_GETENV);
}
