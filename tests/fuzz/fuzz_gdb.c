/* What a gdb client sends, or somebody who is none: framing, packets, points, steps, on a small machine that runs. Each packet
 * has an answer, each answer is a packet; a machine that may not be changed is not. Input: the bytes; bit 0 of the first one
 * says whether it may. */
#include "accel-interp/accel_interp.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/fake_machine.h"
#include "tools/gdbstub/packet.h"
#include "tools/gdbstub/server.h"

#include <stdlib.h>
#include <string.h>

#define CODE 0x1000u
#define RUN_STEPS 3000u

struct rig {
    struct fake_machine *fake;
    struct gdb_server *server;
    bool frozen, going, killed, changed;
    unsigned answers;
};

static void send_packet(void *opaque, const uint8_t *packet, size_t size)
{
    struct rig *rig = opaque;
    uint8_t sum = 0;
    char given[3];
    CHECK(size >= 4 && size <= 2 * GDB_PACKET_BYTES + 4 && packet[0] == '$' && packet[size - 3] == '#');
    for (size_t n = 1; n < size - 3; n++) {
        CHECK(packet[n] != '$' && packet[n] != '#');
        sum = (uint8_t)(sum + packet[n]);
    }
    gdb_write_bytes(given, &sum, 1);
    CHECK(!memcmp(given, packet + size - 2, 2));
    rig->answers++;
}

static void go(void *opaque)
{
    ((struct rig *)opaque)->going = true;
}
static void halt(void *opaque)
{
    ((struct rig *)opaque)->going = false;
}
static void kill_run(void *opaque)
{
    ((struct rig *)opaque)->killed = true;
}
static const char *frozen(void *opaque)
{
    return ((struct rig *)opaque)->frozen ? "not now" : NULL;
}
/* As tools/gdb.c has them: what was written, a word when the machine goes on, the end of it. */
static void wrote(void *opaque, uint64_t address, uint64_t size_bytes, bool physical)
{
    struct rig *rig = opaque;
    uint8_t byte;
    CHECK(!rig->frozen && size_bytes && size_bytes <= GDB_PACKET_BYTES);
    CHECK(!physical || debug_read_physical(rig->fake->machine, address, &byte, 1) == 1);
    rig->changed = true;
}
static const char *resumes(void *opaque)
{
    struct rig *rig = opaque;
    bool within = gdb_server_breaks_within(rig->server, 0, CODE);
    const char *text = rig->changed || within ? "[changed]\n" : NULL;
    rig->changed = false;
    return text;
}
static void leave(void *opaque)
{
    ((struct rig *)opaque)->changed = false;
}
static char *monitor(void *opaque, const char *line)
{
    (void)opaque;
    return strdup(line);
}

/* The machine as it would be run: to a point, a step's end, or for a while. */
static void run(struct rig *rig)
{
    struct machine *machine = rig->fake->machine;
    struct position end = machine_position(machine);
    end.icount += RUN_STEPS;
    end.vtime_ns = 0;
    while (rig->going) {
        struct position limit = gdb_server_limit(rig->server, end);
        enum machine_stop stop = machine_run(machine, limit);
        bool mine = stop == MACHINE_STOP_DEBUG || (stop == MACHINE_STOP_LIMIT && !position_equal(limit, end));
        if (mine && !gdb_server_stopped(rig->server, stop))
            continue;
        if (!mine)
            gdb_server_interrupt(rig->server);
        rig->going = false;
    }
}

static void got_item(void *opaque, enum gdb_item item, const uint8_t *data, size_t size)
{
    struct rig *rig = opaque;
    struct machine *machine = rig->fake->machine;
    CHECK(size <= GDB_PACKET_BYTES && !data[size]);
    uint64_t before = rig->frozen ? machine_digest_all(machine) : 0;
    rig->answers = 0;
    if (item == GDB_INTERRUPT)
        gdb_server_interrupt(rig->server);
    else if (item == GDB_NAK)
        gdb_server_resend(rig->server);
    if (item != GDB_PACKET)
        return;
    bool client = gdb_server_has_client(rig->server);
    uint8_t *alone = malloc(size + 1); /* so that a look behind its end is seen */
    CHECK(alone);
    memcpy(alone, data, size + 1);
    gdb_server_packet(rig->server, alone, size);
    free(alone);
    CHECK(!rig->frozen || machine_digest_all(machine) == before);
    if (rig->going)
        run(rig);
    CHECK(rig->answers || !client || rig->killed);
}

static void load(struct fake_machine *fake)
{
    static const uint8_t code[] = {
        0xBF, 0x00, 0x20,       /* mov di, 0x2000 */
        0xB9, 0x40, 0x00,       /* mov cx, 0x40 */
        0xF3, 0xAA,             /* rep stosb */
        0x40,                   /* inc ax */
        0xFF, 0x06, 0xFE, 0x2F, /* inc word [0x2FFE] */
        0xA3, 0xFF, 0x2F,       /* mov [0x2FFF], ax: over a page's end */
        0xEB, 0xEE,             /* jmp */
    };
    struct cpu_state state;
    memory_write(machine_memory(fake->machine), CODE, code, sizeof code);
    cpu_state_reset(&state);
    state.segment[CPU_CS].selector = 0;
    state.segment[CPU_CS].base = 0;
    state.rip = CODE;
    state.gpr[CPU_RSP] = 0x7000;
    machine_accel(fake->machine)->ops->set_state(machine_accel(fake->machine), &state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct fake_machine *fake;
    struct gdb_reader *reader = calloc(1, sizeof *reader);
    struct error error = {0};
    CHECK(reader);
    if (!size) {
        free(reader);
        return 0;
    }
    if (!fake) {
        fake = fake_machine_create(1 << 20);
        machine_set_accel(fake->machine, interp_create(fake->machine, NULL, &error));
    }
    load(fake);
    struct rig rig = {.fake = fake, .frozen = !(data[0] & 1)};
    rig.server = gdb_server_create(&(struct gdb_target){.machine = fake->machine,
                                                        .send = send_packet,
                                                        .go = go,
                                                        .halt = halt,
                                                        .kill = kill_run,
                                                        .frozen = frozen,
                                                        .wrote = data[0] & 2 ? wrote : NULL,
                                                        .resumes = data[0] & 2 ? resumes : NULL,
                                                        .leave = data[0] & 2 ? leave : NULL,
                                                        .monitor = monitor,
                                                        .opaque = &rig});
    reader->item = got_item;
    reader->opaque = &rig;
    gdb_server_connected(rig.server);
    gdb_reader_feed(reader, data + 1, size - 1);
    gdb_server_destroy(rig.server);
    free(reader);
    return 0;
}
