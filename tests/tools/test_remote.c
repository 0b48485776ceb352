/* The client of gdb's remote protocol (tools/lockstep/remote.h) against a target that is written down here, and the lockstep of a
 * machine with it: the target is the stub of tools/gdbstub over a machine of its own, which may be a wrong one. */
#include "tests/support/fake_machine.h"
#include "tests/tools/lockstep_rig.h"
#include "tools/gdbstub/packet.h"
#include "tools/gdbstub/server.h"
#include "tools/lockstep/remote.h"

#include <check.h>
#include <stdio.h>

/* ---- a written-down target ---- */

struct script {
    const char *const *reply; /* in this order */
    unsigned asked;
    char request[64][128];
    size_t at; /* in the packet under way */
    uint8_t *packet;
    size_t packet_bytes;
    struct gdb_reader reader;
};

static void asked(void *opaque, enum gdb_item item, const uint8_t *data, size_t size)
{
    struct script *script = opaque;
    if (item != GDB_PACKET)
        return;
    ck_assert_uint_lt(script->asked, 64);
    snprintf(script->request[script->asked], sizeof script->request[0], "%.*s", (int)size, (const char *)data);
    const char *reply = script->reply[script->asked];
    if (!reply)
        return;
    script->asked++;
    free(script->packet);
    script->packet = gdb_packet_make(reply, strlen(reply), &script->packet_bytes);
    script->at = 0;
}

static bool script_send(void *opaque, const uint8_t *bytes, size_t size)
{
    gdb_reader_feed(&((struct script *)opaque)->reader, bytes, size);
    return true;
}

static int script_receive(void *opaque, uint8_t *bytes, size_t size)
{
    struct script *script = opaque;
    (void)size;
    if (!script->packet || script->at == script->packet_bytes)
        return 0;
    bytes[0] = script->packet[script->at++];
    return 1;
}

static struct remote *script_open(struct script *script, const char *const *reply, struct error *error)
{
    memset(script, 0, sizeof *script);
    script->reply = reply;
    script->reader.item = asked;
    script->reader.opaque = script;
    return remote_create(&(struct remote_wire){script, script_send, script_receive, NULL, NULL}, error);
}

#define NARROW                                                                                                         \
    "l<target><!-- <reg name=\"cs\" bitsize=\"64\"/> --><reg name=\"eax\" bitsize=\"32\"/><reg name='ebx' "            \
    "bitsize='32'/>"                                                                                                   \
    "<reg name=\"eip\" bitsize=\"32\"/><reg name=\"eflags\" bitsize=\"32\" regnum=\"3\"/><reg name=\"xmm1\" "          \
    "bitsize=\"128\"/></target>"

START_TEST(test_registers)
{
    /* "0* ": a zero, and 32 - 29 more. */
    static const char *const replies[] = {
        "",   "OK", "S05", NARROW, "", "78563412efbeadde00010* 4602000011223344556677889900aabbccddeeff",
        "OK", "OK", "T05", NULL};
    struct script script;
    struct error error = {{0}};
    struct cpu_state state, other;
    bool ended;
    struct remote *remote = script_open(&script, replies, &error);
    ck_assert_msg(remote != NULL, "%s", error.text);
    ck_assert(!remote_has_physical(remote));
    memset(&state, 0xFF, sizeof state);
    ck_assert_int_eq(remote_read_cpu(remote, &state, &error), STATUS_OK);
    ck_assert_uint_eq(state.gpr[CPU_RAX], 0x12345678);
    ck_assert_uint_eq(state.gpr[CPU_RBX], 0xDEADBEEF);
    ck_assert_uint_eq(state.gpr[CPU_RCX], UINT64_MAX); /* not said */
    ck_assert_uint_eq(state.rip, 0x100);
    ck_assert_uint_eq(state.rflags, 0x246);
    ck_assert_uint_eq(state.vector[1].q[0], 0x8877665544332211);
    other = state;
    other.gpr[CPU_RBX] = 0x55;
    other.rflags = 0x202;
    ck_assert_int_eq(remote_write_cpu(remote, &state, &other, &error), STATUS_OK);
    ck_assert_str_eq(script.request[6], "P1=55000000");
    ck_assert_str_eq(script.request[7], "P3=02020000");
    ck_assert_int_eq(remote_step(remote, &ended, &error), STATUS_OK);
    ck_assert(!ended);
    ck_assert_int_eq(remote_step(remote, &ended, &error), STATUS_IO); /* it is silent */
    remote_close(remote);
    free(script.packet);
}
END_TEST

START_TEST(test_memory)
{
    static const char *const replies[] = {"", "", "S05", NARROW, "0", "OK", "0102", "E01", "OK", "OK", "xyz", NULL};
    struct script script;
    struct error error = {{0}};
    uint8_t bytes[2] = {0};
    struct remote *remote = script_open(&script, replies, &error);
    ck_assert_msg(remote != NULL, "%s", error.text);
    ck_assert(remote_has_physical(remote));
    ck_assert_int_eq(remote_read_memory(remote, 0x1234, true, bytes, 2, &error), STATUS_OK);
    ck_assert_uint_eq(bytes[1], 2);
    ck_assert_str_eq(script.request[5], "Qqemu.PhyMemMode:1");
    ck_assert_str_eq(script.request[6], "m1234,2");
    ck_assert_int_eq(remote_read_memory(remote, 0x1234, true, bytes, 2, &error), STATUS_NOT_FOUND);
    ck_assert_int_eq(remote_write_memory(remote, 0x10, false, bytes, 2, &error), STATUS_OK);
    ck_assert_str_eq(script.request[9], "M10,2:0102");
    ck_assert_int_eq(remote_read_memory(remote, 0x10, false, bytes, 2, &error), STATUS_CORRUPT);
    remote_close(remote);
    free(script.packet);
}
END_TEST

START_TEST(test_refused)
{
    static const char *const no_description[] = {"", "OK", "S05", "", NULL};
    static const char *const no_x86[] = {"", "OK", "S05", "l<reg name=\"pc\" bitsize=\"32\"/>", NULL};
    static const char *const odd[] = {"", "OK", "S05", "l<reg name=\"eip\" bitsize=\"7\"/>", NULL};
    static const char *const twice[] = {
        "", "OK", "S05",
        "l<reg name=\"eip\" bitsize=\"32\" regnum=\"1\"/><reg name=\"eax\" bitsize=\"32\" regnum=\"1\"/>", NULL};
    static const char *const *const cases[] = {no_description, no_x86, odd, twice};
    for (size_t n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        struct script script;
        struct error error = {{0}};
        ck_assert_ptr_null(script_open(&script, cases[n], &error));
        ck_assert(error.text[0]);
        free(script.packet);
    }
}
END_TEST

/* ---- the instruction's kind ---- */

static struct lockstep_kind kind(unsigned bits, const char *code, unsigned size)
{
    struct lockstep_insn insn = {.bits = bits, .size = size};
    memcpy(insn.code, code, size);
    return lockstep_kind_of(&insn);
}

START_TEST(test_kinds)
{
    ck_assert(kind(64, "\x0F\xA2", 2).own); /* cpuid */
    ck_assert(!kind(64, "\x90", 1).own);
    ck_assert(kind(16, "\xE4\x60", 2).device); /* in al, 60 */
    ck_assert(kind(32, "\xF3\x6D", 2).input_string);
    ck_assert(kind(32, "\xF4", 1).halts);
    ck_assert_uint_eq(kind(64, "\x21\xD8", 2).undefined_flags, 0x10);  /* and eax, ebx: AF */
    ck_assert_uint_eq(kind(64, "\x01\xD8", 2).undefined_flags, 0);     /* add */
    ck_assert_uint_eq(kind(64, "\xD3\xE0", 2).undefined_flags, 0x811); /* shl eax, cl */
}
END_TEST

/* ---- the stub as a target ---- */

static const uint8_t guest[] = {
    0xB9, 0x05, 0x00, /* 7C00 mov cx, 5 */
    0x89, 0xC8,       /* 7C03 mov ax, cx */
    0x6B, 0xC0, 0x07, /* 7C05 imul ax, ax, 7 */
    0xA3, 0x00, 0x10, /* 7C08 mov [1000], ax */
    0x01, 0xC3,       /* 7C0B add bx, ax */
    0x49,             /* 7C0D dec cx */
    0x75, 0xF3,       /* 7C0E jnz 7C03 */
    0xFA, 0xF4,       /* 7C10 cli; hlt */
};

struct target {
    struct fake_machine *fake;
    struct gdb_server *server;
    struct gdb_reader reader;
    uint8_t out[1 << 16];
    size_t used, at;
    bool going;
    uint64_t wrong_at, times; /* BX is made wrong when RIP has come there so often */
};

static void target_answers(void *opaque, const uint8_t *packet, size_t size)
{
    struct target *target = opaque;
    if (target->at == target->used)
        target->at = target->used = 0;
    ck_assert_uint_le(target->used + size, sizeof target->out);
    memcpy(target->out + target->used, packet, size);
    target->used += size;
}
static void target_go(void *opaque)
{
    ((struct target *)opaque)->going = true;
}
static void target_halt(void *opaque)
{
    ((struct target *)opaque)->going = false;
}
static const char *target_frozen(void *opaque)
{
    (void)opaque;
    return NULL;
}
static char *target_monitor(void *opaque, const char *line)
{
    (void)opaque;
    return strdup(line);
}

static void go_wrong(struct target *target)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(target->fake->machine);
    accel->ops->get_state(accel, &state);
    if (!target->wrong_at || state.rip != target->wrong_at || --target->times)
        return;
    state.gpr[CPU_RBX] ^= 0x40;
    accel->ops->set_state(accel, &state);
}

static void target_item(void *opaque, enum gdb_item item, const uint8_t *data, size_t size)
{
    struct target *target = opaque;
    if (item != GDB_PACKET)
        return;
    gdb_server_packet(target->server, data, size);
    if (!target->going)
        return;
    enum machine_stop stop = machine_run(target->fake->machine, gdb_server_limit(target->server, MACHINE_NO_LIMIT));
    go_wrong(target);
    (void)gdb_server_stopped(target->server, stop);
    target->going = false;
}

static bool target_send(void *opaque, const uint8_t *bytes, size_t size)
{
    gdb_reader_feed(&((struct target *)opaque)->reader, bytes, size);
    return true;
}
static int target_receive(void *opaque, uint8_t *bytes, size_t size)
{
    struct target *target = opaque;
    size_t part = target->used - target->at < size ? target->used - target->at : size;
    memcpy(bytes, target->out + target->at, part);
    target->at += part;
    return (int)part;
}

static void load_target(struct target *target)
{
    struct cpu_state state;
    struct accel *accel = machine_accel(target->fake->machine);
    accel->ops->reset(accel);
    memory_write(machine_memory(target->fake->machine), RIG_CODE, guest, sizeof guest);
    accel->ops->get_state(accel, &state);
    for (unsigned n = 0; n < CPU_LDTR; n++) {
        state.segment[n].selector = 0;
        state.segment[n].base = 0;
    }
    state.rip = RIG_CODE;
    state.gpr[CPU_RSP] = 0x7000;
    state.gpr[CPU_RDI] = 0x1234; /* what the machine does not have: it is given at the start */
    accel->ops->set_state(accel, &state);
}

static struct remote *open_stub(struct target *target)
{
    struct error error = {{0}};
    target->fake = fake_machine_create_cpu(RIG_RAM, "qemu64");
    machine_set_accel(target->fake->machine, interp_create(target->fake->machine, NULL, &error));
    load_target(target);
    target->server = gdb_server_create(&(struct gdb_target){.machine = target->fake->machine,
                                                            .send = target_answers,
                                                            .go = target_go,
                                                            .halt = target_halt,
                                                            .kill = target_halt,
                                                            .frozen = target_frozen,
                                                            .monitor = target_monitor,
                                                            .opaque = target});
    target->reader.item = target_item;
    target->reader.opaque = target;
    gdb_server_connected(target->server);
    struct remote *remote = remote_create(&(struct remote_wire){target, target_send, target_receive, NULL, NULL}, &error);
    ck_assert_msg(remote != NULL, "%s", error.text);
    return remote;
}

static void close_stub(struct target *target, struct remote *remote)
{
    remote_close(remote);
    gdb_server_destroy(target->server);
    fake_machine_destroy(target->fake);
}

static void compare_with_stub(struct rig *rig, struct target *target)
{
    memset(rig, 0, sizeof *rig);
    rig->code = guest;
    rig->size = sizeof guest;
    struct remote *remote = open_stub(target);
    struct lockstep_options options = {.make = rig_make,
                                       .unmake = rig_unmake,
                                       .opaque = rig,
                                       .until_exits = POSITION_NEVER,
                                       .every = 16,
                                       .stall_ms = 1000,
                                       .steps_max = 1000};
    lockstep_run_remote(&options, remote, 1, &rig->result);
    close_stub(target, remote);
}

static struct target target;
static struct rig rig;

START_TEST(test_against_stub)
{
    memset(&target, 0, sizeof target);
    compare_with_stub(&rig, &target);
    ck_assert_msg(rig.result.verdict == LOCKSTEP_EQUAL, "%s", rig.result.reason);
    ck_assert_uint_eq(rig.result.steps, 1 + 5 * 6 + 1);
    ck_assert_uint_eq(rig.result.taken_start, 1);
    ck_assert_int_eq(rig.result.stop, MACHINE_STOP_IDLE);
}
END_TEST

/* What vmrr fuzz --against gdb does with a target: blocks of memory, a register, and on to a breakpoint. */
START_TEST(test_go)
{
    static uint8_t out[3000], in[3000];
    struct error error = {{0}};
    struct cpu_state state = {0};
    bool late = true;
    memset(&target, 0, sizeof target);
    struct remote *remote = open_stub(&target);
    for (unsigned n = 0; n < sizeof out; n++)
        out[n] = (uint8_t)(n * 7 + n / 256);
    ck_assert_int_eq(remote_write_block(remote, 0x3000, false, out, sizeof out, &error), STATUS_OK);
    ck_assert_int_eq(remote_read_block(remote, 0x3000, false, in, sizeof in, &error), STATUS_OK);
    ck_assert_mem_eq(in, out, sizeof out);
    ck_assert_int_eq(remote_write_register(remote, "rsi", 0x3456789A, &error), STATUS_OK);
    ck_assert_int_eq(remote_write_register(remote, "nothing", 1, &error), STATUS_NOT_FOUND);
    ck_assert_int_eq(remote_write_register(remote, "cs", 0x1234, &error), STATUS_UNSUPPORTED);
    ck_assert_int_eq(remote_insert_breakpoint(remote, 0x7C0D, &error), STATUS_OK);
    ck_assert_int_eq(remote_continue(remote, 1000, &late, &error), STATUS_OK);
    ck_assert(!late);
    ck_assert_int_eq(remote_read_cpu(remote, &state, &error), STATUS_OK);
    ck_assert_uint_eq(state.rip, 0x7C0D);
    ck_assert_uint_eq(state.gpr[CPU_RSI], 0x3456789A);
    close_stub(&target, remote);
}
END_TEST

START_TEST(test_wrong_target)
{
    memset(&target, 0, sizeof target);
    target.wrong_at = 0x7C0D; /* behind the ADD */
    target.times = 3;
    compare_with_stub(&rig, &target);
    const struct lockstep_difference *difference = &rig.result.difference;
    ck_assert_int_eq(rig.result.verdict, LOCKSTEP_DIFFERENT);
    ck_assert(difference->has_insn);
    ck_assert_uint_eq(difference->insn.linear, 0x7C0B);
    ck_assert_uint_eq(difference->equal_exits, 1 + 2 * 6 + 3);
    ck_assert_uint_eq(difference->step_registers.count, 1);
    ck_assert_str_eq(difference->step_registers.field[0].name, "rbx");
    ck_assert_uint_eq(difference->step_registers.field[0].value[1],
                      difference->step_registers.field[0].value[0] ^ 0x40);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("remote");
    TCase *tests = tcase_create("remote");
    tcase_add_test(tests, test_registers);
    tcase_add_test(tests, test_memory);
    tcase_add_test(tests, test_refused);
    tcase_add_test(tests, test_kinds);
    tcase_add_test(tests, test_against_stub);
    tcase_add_test(tests, test_go);
    tcase_add_test(tests, test_wrong_target);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
