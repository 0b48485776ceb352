/* IN OUT INS OUTS: sizes, permission by IOPL and the TSS's bitmap, positions, slices of repeated ones. */
#include "tests/accel-interp/cpu_test.h"

struct port_log {
    struct machine *machine;
    unsigned reads, writes;
    uint16_t address[8];
    uint64_t value[8];
    unsigned size[8];
    uint64_t icount[8];
};

static uint64_t port_read(void *opaque, uint64_t address, unsigned size_bytes)
{
    struct port_log *log = opaque;
    unsigned n = log->reads++ % 8;

    log->address[n] = (uint16_t)address;
    log->size[n] = size_bytes;
    log->icount[n] = machine_position(log->machine).icount;
    return 0x1122334455667700ull + log->reads;
}

static void port_write(void *opaque, uint64_t address, uint64_t value, unsigned size_bytes)
{
    struct port_log *log = opaque;
    unsigned n = log->writes++ % 8;

    log->address[n] = (uint16_t)address;
    log->value[n] = value;
    log->size[n] = size_bytes;
    log->icount[n] = machine_position(log->machine).icount;
}

static const struct bus_ops port_ops = {port_read, port_write, 4};

static void map_ports(struct cpu_test *t, struct port_log *log)
{
    *log = (struct port_log){.machine = t->fake->machine};
    bus_map_io(machine_bus(t->fake->machine), 0x300, 16, &port_ops, log, "log");
}

START_TEST(in_sizes)
{
    struct cpu_test t = t_create();
    struct port_log log;

    t_long(&t, 0);
    map_ports(&t, &log);
    t.s.gpr[CPU_RAX] = UINT64_MAX;
    t.s.gpr[CPU_RDX] = 0xFFFF0304;
    t_code(&t, 0xEC, 0x48, 0x89, 0xC3, 0x66, 0xED, 0x48, 0x89, 0xC1, 0xED,
           0xF4); /* in al; rbx; in ax; rcx; in eax; hlt */
    t_run(&t);
    ck_assert_uint_eq(t.s.gpr[CPU_RBX], 0xFFFFFFFFFFFFFF01ull);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0xFFFFFFFFFFFF7702ull);
    ck_assert_uint_eq(t.s.gpr[CPU_RAX], 0x55667703ull);
    ck_assert_uint_eq(log.reads, 3);
    ck_assert_uint_eq(log.address[0], 4);
    ck_assert_uint_eq(log.size[0], 1);
    ck_assert_uint_eq(log.size[1], 2);
    ck_assert_uint_eq(log.size[2], 4);
    ck_assert_uint_eq(log.icount[1] - log.icount[0], 2);
    t_destroy(&t);
}
END_TEST

START_TEST(out_sizes)
{
    struct cpu_test t = t_create();
    struct port_log log;

    t_long(&t, 0);
    map_ports(&t, &log);
    t.s.gpr[CPU_RAX] = 0x8877665544332211ull;
    t.s.gpr[CPU_RDX] = 0x302;
    t_code(&t, 0x90, 0xEE, 0x66, 0xEF, 0x48, 0xEF, 0xE6, 0x80, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(log.writes, 3);
    ck_assert_uint_eq(log.value[0], 0x11);
    ck_assert_uint_eq(log.value[1], 0x2211);
    ck_assert_uint_eq(log.value[2], 0x44332211);
    ck_assert_uint_eq(log.size[2], 4);
    ck_assert_uint_eq(fake_machine_count_events(t.fake, TRACE_PIO_WRITE), 4);
    t_destroy(&t);
}
END_TEST

/* At CPL 3: the bitmap decides, and the byte after the port's must be within the limit. */
START_TEST(bitmap)
{
    static const struct {
        uint16_t map, port;
        uint8_t byte; /* in the bitmap */
        uint16_t limit;
        unsigned size;
        bool allowed;
    } cases[] = {
        {0x68, 0x300, 0x00, 0x6FF, 1, true},   {0x68, 0x300, 0x01, 0x6FF, 1, false},
        {0x68, 0x301, 0x01, 0x6FF, 1, true},   {0x68, 0x300, 0x02, 0x6FF, 2, false},
        {0x68, 0x300, 0x08, 0x6FF, 4, false},  {0x68, 0x300, 0x10, 0x6FF, 4, true},
        {0x68, 0x300, 0x00, 0x0C8, 1, false},  {0x68, 0x300, 0x00, 0x0C9, 1, true},
        {0x700, 0x300, 0x00, 0x6FF, 1, false}, {0x68, 0x300, 0x00, 0x066, 1, false},
    };
    for (unsigned n = 0; n < sizeof cases / sizeof cases[0]; n++) {
        struct cpu_test t = t_create();
        struct port_log log;
        t_protected(&t, 3);
        map_ports(&t, &log);
        t.s.segment[CPU_TR].limit = cases[n].limit;
        t_put(&t, T_TSS + 0x66, cases[n].map, 2);
        t_put(&t, T_TSS + cases[n].map + cases[n].port / 8, cases[n].byte, 1);
        t.s.gpr[CPU_RDX] = cases[n].port;
        if (cases[n].size == 1)
            t_code(&t, 0xEC);
        else if (cases[n].size == 2)
            t_code(&t, 0x66, 0xED);
        else
            t_code(&t, 0xED);
        t_code(&t, 0xCD, 0x80); /* INT 80 says that it went through */
        t_run(&t);
        ck_assert_msg(t.vector == (cases[n].allowed ? 0x80 : 13), "case %u: vector %d", n, t.vector);
        ck_assert_uint_eq(log.reads, cases[n].allowed);
        t_destroy(&t);
    }
}
END_TEST

START_TEST(iopl_allows)
{
    struct cpu_test t = t_create();
    struct port_log log;

    t_protected(&t, 3);
    map_ports(&t, &log);
    t_put(&t, T_TSS + 0x66, 0xFFFF, 2);
    t.s.rflags |= 0x3000;
    t.s.gpr[CPU_RDX] = 0x300;
    t_code(&t, 0xEC, 0xCD, 0x80);
    t_run(&t);
    ck_assert_int_eq(t.vector, 0x80);
    ck_assert_uint_eq(log.reads, 1);
    t_destroy(&t);
}
END_TEST

START_TEST(rep_insw)
{
    struct cpu_test t = t_create();
    struct port_log log;

    t_long(&t, 0);
    map_ports(&t, &log);
    t.s.gpr[CPU_RDX] = 0x300;
    t.s.gpr[CPU_RCX] = 3;
    t.s.gpr[CPU_RDI] = T_DATA + 0xFFF; /* crosses a page */
    t_code(&t, 0x66, 0xF3, 0x6D, 0xF4);
    t_run(&t);
    ck_assert_uint_eq(log.reads, 3);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 0);
    ck_assert_uint_eq(t.s.gpr[CPU_RDI], T_DATA + 0xFFF + 6);
    ck_assert_uint_eq(t_get(&t, T_DATA + 0xFFF, 6), 0x770377027701ull);
    ck_assert_uint_eq(log.icount[0], log.icount[2]); /* one step */
    t_destroy(&t);
}
END_TEST

/* A fault in the middle: registers say how far, and the port was not read for the element that faulted. */
START_TEST(rep_insb_faults)
{
    struct cpu_test t = t_create();
    struct port_log log;

    t_long(&t, 0);
    map_ports(&t, &log);
    t_put(&t, T_PT + 8 * ((T_DATA >> 12) + 1), 0, 8);
    t.s.gpr[CPU_RDX] = 0x300;
    t.s.gpr[CPU_RCX] = 8;
    t.s.gpr[CPU_RDI] = T_DATA + 0xFFD;
    t_code(&t, 0xF3, 0x6C, 0xF4);
    t_run(&t);
    ck_assert_int_eq(t.vector, 14);
    ck_assert_uint_eq(log.reads, 3);
    ck_assert_uint_eq(t.s.gpr[CPU_RCX], 5);
    ck_assert_uint_eq(t.s.gpr[CPU_RDI], T_DATA + 0x1000);
    ck_assert_uint_eq(t.s.cr2, T_DATA + 0x1000);
    t_destroy(&t);
}
END_TEST

START_TEST(rep_outsb_slices)
{
    struct cpu_test t = t_create();
    struct port_log log;

    t_long(&t, 0);
    map_ports(&t, &log);
    t.s.gpr[CPU_RDX] = 0x300;
    t.s.gpr[CPU_RCX] = REP_SLICE_ITERATIONS + 2;
    t.s.gpr[CPU_RSI] = T_DATA;
    t_code(&t, 0xF3, 0x6E, 0xF4);
    t_steps(&t, 1); /* the odd two first, so that a slice ends at a multiple */
    ck_assert_uint_eq(log.writes, 2);
    ck_assert_uint_eq(t.s.rip, T_CODE);
    t_steps(&t, 1);
    ck_assert_uint_eq(log.writes, REP_SLICE_ITERATIONS + 2);
    ck_assert_uint_eq(t.s.rip, T_CODE + 2);
    ck_assert_uint_eq(t.s.gpr[CPU_RSI], T_DATA + REP_SLICE_ITERATIONS + 2);
    t_destroy(&t);
}
END_TEST

/* INS to memory-mapped I/O: one port read, one write, and the register is not read. */
START_TEST(insd_to_mmio)
{
    struct cpu_test t = t_create();
    struct port_log log, mmio = {.machine = t.fake->machine};

    t_long(&t, 0);
    map_ports(&t, &log);
    bus_map_mmio(machine_bus(t.fake->machine), 0xFE000000, 0x1000, &port_ops, &mmio, "mmio");
    t_put(&t, T_PT + 8 * 0x60, 0xFE000000 | 7, 8);
    t.s.gpr[CPU_RDX] = 0x300;
    t.s.gpr[CPU_RDI] = 0x60010;
    t.s.gpr[CPU_RCX] = 3;
    t_code(&t, 0x90, 0xF3, 0x6D, 0xF4); /* nop; rep insd; hlt */
    t_run(&t);
    ck_assert_int_eq(t.vector, -1);
    ck_assert_uint_eq(log.reads, 3);
    ck_assert_uint_eq(mmio.reads, 0);
    ck_assert_uint_eq(mmio.writes, 3);
    for (unsigned n = 0; n < 3; n++) {
        ck_assert_uint_eq(mmio.address[n], 0x10 + 4 * n);
        ck_assert_uint_eq(mmio.value[n], 0x55667701 + n);
        ck_assert_uint_eq(mmio.size[n], 4);
        ck_assert_uint_eq(t.fake->events[2 * n].kind, TRACE_PIO_READ);
        ck_assert_uint_eq(t.fake->events[2 * n + 1].kind, TRACE_MMIO_WRITE);
    }
    t_destroy(&t);
}
END_TEST

/* What an INS or OUTS that faults has done: nothing; and which fault it is. */
static const struct {
    uint8_t opcode;
    uint64_t at;
    unsigned cpl, flags;
    int vector;
} string_faults[] = {
    {0x6D, 0x60000, 0, 0, 14},          {0x6F, 0x60000, 0, 0, 14},          {0x6D, 0x5FFFE, 0, 0, 14},
    {0x6F, 0x5FFFE, 0, 0, 14},          {0x6D, 0x60000, 3, 0, 13},          /* permission first */
    {0x6D, T_DATA + 2, 3, 0x43000, 17}, {0x6F, T_DATA + 2, 3, 0x43000, 17}, /* IOPL 3, AC */
    {0x6D, 1ull << 63, 0, 0, 13},
};
START_TEST(string_faults_touch_nothing)
{
    struct cpu_test t = t_create();
    struct port_log log;

    t_long(&t, string_faults[_i].cpl);
    map_ports(&t, &log);
    t_put(&t, T_PT + 8 * 0x60, 0, 8);
    t_put(&t, T_TSS + 0x66, 0x68, 2);
    memory_write(t.memory, T_TSS + 0x68, (uint8_t[0x100]){[0x60] = 0xFF}, 0x100);
    t.s.cr0 |= 0x40000;
    t.s.cr4 |= 8;
    t.s.rflags |= string_faults[_i].flags;
    t.s.dr[0] = 0x300; /* a breakpoint on the port does not outlive the fault */
    t.s.dr[7] = 0x400 | 2 | 2 << 16 | 3 << 18;
    t.s.gpr[CPU_RDX] = 0x300;
    t.s.gpr[CPU_RSI] = t.s.gpr[CPU_RDI] = string_faults[_i].at;
    t_put(&t, T_CODE, string_faults[_i].opcode, 1);
    t_run(&t);
    ck_assert_int_eq(t.vector, string_faults[_i].vector);
    ck_assert_uint_eq(log.reads + log.writes, 0);
    ck_assert_uint_eq(t.s.pending_debug, 0);
    ck_assert_uint_eq(t.s.dr[6] & 0xF, 0);
    t_destroy(&t);
}
END_TEST

static void add_tests(TCase *tcase)
{
    tcase_add_test(tcase, in_sizes);
    tcase_add_test(tcase, out_sizes);
    tcase_add_test(tcase, bitmap);
    tcase_add_test(tcase, iopl_allows);
    tcase_add_test(tcase, rep_insw);
    tcase_add_test(tcase, rep_insb_faults);
    tcase_add_test(tcase, rep_outsb_slices);
    tcase_add_test(tcase, insd_to_mmio);
    tcase_add_loop_test(tcase, string_faults_touch_nothing, 0, sizeof string_faults / sizeof string_faults[0]);
}

T_MAIN("port_io", add_tests)
