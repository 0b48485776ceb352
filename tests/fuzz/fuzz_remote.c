/* What a remote target of vmrr diff --b gdb: says, or somebody who is none: its description, registers, steps, memory. Input: the
 * bytes that it sends, whatever it is asked. */
#include "tests/fuzz/fuzz.h"
#include "tools/lockstep/remote.h"

#include <stdlib.h>
#include <string.h>

struct peer {
    const uint8_t *data;
    size_t left;
};

static bool take(void *opaque, const uint8_t *bytes, size_t size_bytes)
{
    (void)opaque;
    CHECK(bytes && size_bytes);
    return true;
}

static int give(void *opaque, uint8_t *bytes, size_t size_bytes)
{
    struct peer *peer = opaque;
    size_t size = peer->left < size_bytes ? peer->left : size_bytes;
    memcpy(bytes, peer->data, size);
    peer->data += size;
    peer->left -= size;
    return (int)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct peer peer = {data, size};
    struct error error = {{0}};
    struct remote *remote = remote_create(&(struct remote_wire){&peer, take, give, NULL, NULL}, &error);
    struct cpu_state state, changed;
    uint8_t bytes[REMOTE_MEMORY_BYTES], block[2 * REMOTE_MEMORY_BYTES + 1];
    bool ended = false;
    enum status status = remote ? STATUS_OK : STATUS_IO;
    CHECK(remote || error.text[0]);
    memset(&state, 0x5A, sizeof state);
    while (!status && !ended) {
        status = remote_read_cpu(remote, &state, &error);
        changed = state;
        changed.gpr[3] ^= 1;
        changed.vector[2].q[1] ^= 8;
        if (!status)
            status = remote_write_cpu(remote, &state, &changed, &error);
        if (!status)
            status = remote_step(remote, &ended, &error);
        if (!status)
            status = remote_read_memory(remote, 0x1000, remote_has_physical(remote), bytes, 4, &error);
        if (!status)
            status = remote_write_memory(remote, 0x1000, false, bytes, sizeof bytes, &error);
        if (!status)
            status = remote_write_register(remote, "rip", 0x1000, &error);
        if (!status)
            status = remote_insert_breakpoint(remote, 0x1000, &error);
        if (!status)
            status = remote_continue(remote, 0, &ended, &error);
        if (!status)
            status = remote_read_block(remote, 0x1000, false, block, sizeof block, &error);
        if (!status)
            status = remote_write_block(remote, 0x1000, false, block, sizeof block, &error);
        CHECK(!status || error.text[0]);
    }
    remote_close(remote);
    return 0;
}
