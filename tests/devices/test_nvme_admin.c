/* NVMe admin commands: queues made and deleted, Identify, features, log pages, asynchronous events, Abort. */
#include "tests/devices/nvme_bench.h"

enum { DELETE_SQ = 0, CREATE_SQ = 1, GET_LOG = 2, DELETE_CQ = 4, CREATE_CQ = 5, IDENTIFY = 6, ABORT = 8 };
enum { SET_FEATURES = 9, GET_FEATURES = 10, ASYNC_EVENT = 12, READ = 2, WRITE = 1 };

static uint8_t *data_at(struct nvme_bench *bench, uint32_t offset)
{
    return bench->fake->ram->host + NVME_DATA + offset;
}

static uint64_t data_word(struct nvme_bench *bench, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    for (unsigned n = 0; n < size; n++)
        value |= (uint64_t)*data_at(bench, offset + n) << (8 * n);
    return value;
}

static struct nvme_sent with_data(uint8_t opcode, uint32_t nsid, uint32_t dword10, uint32_t dword11)
{
    struct nvme_sent sent = nvme_command_of(opcode, nsid, NVME_DATA, 0);
    sent.word[10] = dword10;
    sent.word[11] = dword11;
    return sent;
}

static unsigned run_status(struct nvme_bench *bench, struct nvme_sent sent)
{
    return nvme_run(bench, 0, sent).status;
}

static bool nothing_posted(struct nvme_bench *bench, unsigned qid)
{
    struct nvme_answer answer;
    return !nvme_take(bench, qid, &answer);
}

/* ---- queues ---- */

START_TEST(test_create_errors)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    nvme_queue_place(bench, 2, 8, 8);
    const struct {
        uint32_t dword10, dword11;
        unsigned status;
    } cq[] = {{7 << 16, 3, 0x101},    {7 << 16 | 64, 3, 0x101},         {7 << 16 | 1, 3, 0x101},
              {2, 3, 0x102},          {2048u << 16 | 2, 3, 0x102},      {7 << 16 | 2, 2, 0x02},
              {0xFFFFFFFF, 3, 0x101}, {7 << 16 | 2, 1 << 16 | 3, 0x108}};
    for (size_t n = 0; n < sizeof cq / sizeof cq[0]; n++) {
        struct nvme_sent sent = with_data(CREATE_CQ, 0, cq[n].dword10, cq[n].dword11);
        ck_assert_msg(run_status(bench, sent) == (cq[n].status | NVME_DNR), "completion queue, row %zu", n);
    }
    struct nvme_sent bent = nvme_create_queue(bench, CREATE_CQ, 2, 8, 3);
    bent.word[6] += 0x200;
    ck_assert_uint_eq(run_status(bench, bent), 0x13 | NVME_DNR);
    nvme_assert_status(bench, 0, with_data(CREATE_CQ, 0, 2047u << 16 | 3, 3), 0);
    const struct {
        uint32_t dword10, dword11;
        unsigned status;
    } sq[] = {{7 << 16, 1 << 16 | 1, 0x101},
              {7 << 16 | 64, 1 << 16 | 1, 0x101},
              {7 << 16 | 1, 1 << 16 | 1, 0x101},
              {2, 1 << 16 | 1, 0x102},
              {7 << 16 | 2, 1, 0x100},
              {7 << 16 | 2, 2 << 16 | 1, 0x100},
              {7 << 16 | 2, 0xFFFFu << 16 | 1, 0x100},
              {7 << 16 | 2, 1 << 16, 0x02}};
    for (size_t n = 0; n < sizeof sq / sizeof sq[0]; n++) {
        struct nvme_sent sent = with_data(CREATE_SQ, 0, sq[n].dword10, sq[n].dword11);
        ck_assert_msg(run_status(bench, sent) == (sq[n].status | NVME_DNR), "submission queue, row %zu", n);
    }
    nvme_bench_close(bench);
}
END_TEST

/* Entry sizes that CC does not give as 64 and 16 bytes. */
START_TEST(test_entry_sizes)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    nvme_enable(bench);
    nvme_write(bench, 0x14, 0, 4);
    nvme_queue_place(bench, 0, NVME_ADMIN_ENTRIES, NVME_ADMIN_ENTRIES);
    nvme_write(bench, 0x14, 1, 4); /* Linux and SeaBIOS set them with EN; a driver may later */
    nvme_queue_place(bench, 1, 8, 8);
    ck_assert_uint_eq(run_status(bench, nvme_create_queue(bench, CREATE_CQ, 1, 8, 3)), 0x02 | NVME_DNR);
    nvme_write(bench, 0x14, 0x00400001, 4);
    ck_assert_uint_eq(run_status(bench, nvme_create_queue(bench, CREATE_CQ, 1, 8, 3)), 0);
    ck_assert_uint_eq(run_status(bench, nvme_create_queue(bench, CREATE_SQ, 1, 8, 1 << 16 | 1)), 0x02 | NVME_DNR);
    nvme_write(bench, 0x14, 0x00460001, 4);
    ck_assert_uint_eq(run_status(bench, nvme_create_queue(bench, CREATE_SQ, 1, 8, 1 << 16 | 1)), 0);
    nvme_bench_close(bench);
}
END_TEST

/* Deleting a queue with commands under way answers them; no byte of theirs reaches memory afterwards. */
START_TEST(test_delete_queues)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_answer answer;
    memset(data_at(bench, 0), 0x77, 8192);
    ck_assert_uint_eq(run_status(bench, nvme_admin(DELETE_CQ, 1, 0)), 0x10C | NVME_DNR);
    uint16_t first = nvme_send(bench, 1, nvme_block_command(READ, 0, 8, NVME_DATA, 0));
    uint16_t second = nvme_send(bench, 1, nvme_block_command(READ, 8, 8, NVME_DATA + 4096, 0));
    ck_assert_uint_eq(run_status(bench, nvme_admin(DELETE_SQ, 1, 0)), 0);
    ck_assert(nvme_take(bench, 1, &answer));
    ck_assert_uint_eq(answer.cid, first);
    ck_assert_uint_eq(answer.status, 0x08);
    ck_assert(nvme_take(bench, 1, &answer));
    ck_assert_uint_eq(answer.cid, second);
    nvme_pass(bench, 50000000);
    ck_assert(nothing_posted(bench, 1));
    ck_assert_uint_eq(bench->probe->log_count, 2);
    for (unsigned n = 0; n < 8192; n++)
        ck_assert_uint_eq(*data_at(bench, n), 0x77);
    ck_assert_uint_eq(run_status(bench, nvme_admin(DELETE_SQ, 1, 0)), 0x101 | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, nvme_admin(DELETE_CQ, 1, 0)), 0);
    ck_assert_uint_eq(run_status(bench, nvme_admin(DELETE_CQ, 1, 0)), 0x101 | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, nvme_admin(DELETE_SQ, 0, 0)), 0x101 | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, nvme_admin(DELETE_CQ, 0xFFFF, 0)), 0x101 | NVME_DNR);
    nvme_add_queue(bench, 1, 16, 16, 0);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 5, 1, NVME_DATA, 0), 0);
    nvme_assert_data(bench, NVME_DATA, 5, 512, 0);
    nvme_bench_close(bench);
}
END_TEST

/* ---- Identify ---- */

START_TEST(test_identify)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 0, 1, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 0, 4), 0x1AF41B36);
    ck_assert_int_eq(memcmp(data_at(bench, 4), "serial-7            VMRR NVMe Ctrl ", 35), 0);
    ck_assert_uint_eq(*data_at(bench, 77), 7);
    ck_assert_uint_eq(data_word(bench, 80, 4), 0x00010400);
    ck_assert_uint_eq(data_word(bench, 256, 2), 0); /* no optional admin command */
    ck_assert_uint_eq(data_word(bench, 512, 2), 0x4466);
    ck_assert_uint_eq(data_word(bench, 516, 4), 1);
    ck_assert_uint_eq(data_word(bench, 520, 2), 0x0D);
    ck_assert_uint_eq(*data_at(bench, 525), 7);
    ck_assert_int_eq(memcmp(data_at(bench, 768), "nqn.2014-08.org.nvmexpress:uuid:", 32), 0);
    ck_assert_uint_eq(strlen((char *)data_at(bench, 768)), 32 + 36);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 1, 0, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 0, 8), NVME_SECTORS);
    ck_assert_uint_eq(data_word(bench, 8, 8), NVME_SECTORS);
    ck_assert_uint_eq(data_word(bench, 128, 4), 9 << 16);
    ck_assert_uint_eq(*data_at(bench, 99), 0);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 0, 2, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 0, 8), 1);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 1, 2, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 0, 8), 0);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 1, 3, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 0, 2), 0x1003);
    ck_assert_uint_ne(data_word(bench, 4, 8), 0);
    ck_assert_uint_eq(data_word(bench, 20, 2), 0);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 2, 0, 0)), 0x0B | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 0, 3, 0)), 0x0B | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 0xFFFFFFFF, 2, 0)), 0x0B | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 0, 6, 0)), 0x02 | NVME_DNR); /* command sets: 2.0 */
    nvme_bench_close(bench);
    bench = nvme_bench_open(BLOCK_TIMING_MODEL, 4096, true);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 1, 0, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 0, 8), NVME_SECTORS / 8);
    ck_assert_uint_eq(data_word(bench, 128, 4), 12 << 16);
    ck_assert_uint_eq(*data_at(bench, 99), 1); /* write protected */
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_unsupported)
{
    static const uint8_t opcodes[] = {0x03, 0x07, 0x0D, 0x10, 0x11, 0x14, 0x15, 0x18,
                                      0x19, 0x1C, 0x7C, 0x80, 0x81, 0x82, 0xFF};
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    for (unsigned n = 0; n < sizeof opcodes; n++)
        ck_assert_uint_eq(run_status(bench, with_data(opcodes[n], 1, 0, 0)), 0x01 | NVME_DNR);
    nvme_bench_close(bench);
}
END_TEST

/* ---- features ---- */

static uint32_t feature(struct nvme_bench *bench, uint32_t dword10, uint32_t dword11)
{
    struct nvme_answer answer = nvme_run(bench, 0, nvme_admin(GET_FEATURES, dword10, dword11));
    ck_assert_uint_eq(answer.status, 0);
    return answer.result;
}

START_TEST(test_features)
{
    static const struct {
        uint32_t feature, selector, fresh, set, kept;
    } row[] = {
        {1, 0, 7, 0x04030203, 0x04030203}, {2, 0, 0, 0x20, 0x20},
        {4, 0, 0x157, 0x150, 0x150},       {4, 0x100000, 0, 0x100120, 0x120},
        {5, 0, 0, 0x1000A, 0xA},           {6, 0, 1, 0, 0},
        {8, 0, 0, 0x0503, 0x0503},         {9, 5, 5, 0x10005, 0x10005},
        {9, 0, 0, 0x10000, 0x10000},       {10, 0, 0, 1, 1},
        {11, 0, 0, 0x301, 0x101},
    };
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    for (unsigned pass = 0; pass < 2; pass++) {
        for (size_t n = 0; n < sizeof row / sizeof row[0]; n++) {
            ck_assert_msg(feature(bench, row[n].feature, row[n].selector) == row[n].fresh, "row %zu", n);
            ck_assert_uint_eq(run_status(bench, nvme_admin(SET_FEATURES, row[n].feature, row[n].set)), 0);
            ck_assert_msg(feature(bench, row[n].feature, row[n].selector) == row[n].kept, "row %zu", n);
            ck_assert_uint_eq(feature(bench, row[n].feature | 1 << 8, row[n].selector), row[n].fresh); /* default */
            ck_assert_uint_eq(feature(bench, row[n].feature | 2 << 8, row[n].selector), row[n].fresh); /* saved */
            ck_assert_uint_eq(feature(bench, row[n].feature | 3 << 8, row[n].selector), 4);            /* changeable */
        }
        nvme_write(bench, 0x14, 0, 4); /* a reset brings the defaults back */
        nvme_enable(bench);
    }
    ck_assert_uint_eq(run_status(bench, nvme_admin(GET_FEATURES, 1 | 4 << 8, 0)), 0x02 | NVME_DNR);
    static const uint32_t bad[][2] = {{0, 0},       {0x0D, 0},    {0x80, 0}, {2, 1},
                                      {4, 1 << 16}, {4, 2 << 20}, {9, 64},   {7, 0xFFFF}};
    for (size_t n = 0; n < sizeof bad / sizeof bad[0]; n++)
        ck_assert_uint_eq(run_status(bench, nvme_admin(SET_FEATURES, bad[n][0], bad[n][1])), 0x02 | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, nvme_admin(SET_FEATURES, 0x80000001, 1)), 0x10D | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, nvme_admin(GET_FEATURES, 9, 64)), 0x02 | NVME_DNR);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_queue_count)
{
    struct nvme_bench *bench = nvme_bench_plain(BLOCK_TIMING_MODEL, 512, false);
    nvme_enable(bench);
    struct nvme_answer answer = nvme_run(bench, 0, nvme_admin(SET_FEATURES, 7, 0xFFFE000F));
    ck_assert_uint_eq(answer.status, 0);
    ck_assert_uint_eq(answer.result, 62 << 16 | 62);
    nvme_add_queue(bench, 1, 8, 8, 0);
    ck_assert_uint_eq(run_status(bench, nvme_admin(SET_FEATURES, 7, 0x10001)), 0x0C | NVME_DNR);
    ck_assert_uint_eq(feature(bench, 7, 0), 62 << 16 | 62);
    nvme_bench_close(bench);
}
END_TEST

/* ---- log pages ---- */

static struct nvme_sent log_page(uint32_t page, uint32_t bytes, uint32_t offset)
{
    struct nvme_sent sent = with_data(GET_LOG, 0xFFFFFFFF, (bytes / 4 - 1) << 16 | page, 0);
    sent.word[12] = offset;
    return sent;
}

START_TEST(test_error_log)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    bench->probe->fail_read = STATUS_IO;
    for (unsigned n = 0; n < 5; n++)
        nvme_run(bench, 1, nvme_block_command(READ, 100 + n, 1, NVME_DATA, 0));
    uint16_t cid = bench->next_cid;
    ck_assert_uint_eq(run_status(bench, log_page(1, 256, 0)), 0);
    for (unsigned n = 0; n < 4; n++) { /* the newest first */
        ck_assert_uint_eq(data_word(bench, 64 * n, 8), 5 - n);
        ck_assert_uint_eq(data_word(bench, 64 * n + 8, 2), 1);
        ck_assert_uint_eq(data_word(bench, 64 * n + 10, 2), cid - n);
        ck_assert_uint_eq(data_word(bench, 64 * n + 12, 2) >> 1 & 0x7FF, 0x281);
        ck_assert_uint_eq(data_word(bench, 64 * n + 16, 8), 104 - n);
        ck_assert_uint_eq(data_word(bench, 64 * n + 24, 4), 1);
    }
    memset(data_at(bench, 0), 0x5A, 256);
    ck_assert_uint_eq(run_status(bench, log_page(1, 8, 72)), 0);
    ck_assert_uint_eq(data_word(bench, 2, 2), cid - 1);
    ck_assert_uint_eq(*data_at(bench, 8), 0x5A);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_health_log)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    nvme_run(bench, 1, nvme_block_command(READ, 0, 1, NVME_DATA, 0));
    nvme_run(bench, 1, nvme_block_command(READ, 0, 1000, NVME_DATA, 0)); /* a wrong PRP2: not counted */
    nvme_run(bench, 1, nvme_block_command(WRITE, 0, 1, NVME_DATA, 0));
    nvme_run(bench, 1, nvme_block_command(WRITE, 0, 16, NVME_DATA, NVME_DATA + 4096));
    bench->probe->fail_write = STATUS_IO;
    nvme_run(bench, 1, nvme_block_command(WRITE, 0, 1, NVME_DATA, 0));
    ck_assert_uint_eq(run_status(bench, log_page(2, 512, 0)), 0);
    ck_assert_uint_eq(*data_at(bench, 0), 0);
    ck_assert_uint_eq(data_word(bench, 1, 2), 323);
    ck_assert_uint_eq(data_word(bench, 32, 8), 1);
    ck_assert_uint_eq(data_word(bench, 48, 8), 1);
    ck_assert_uint_eq(data_word(bench, 64, 8), 1);
    ck_assert_uint_eq(data_word(bench, 80, 8), 3);
    ck_assert_uint_eq(data_word(bench, 160, 8), 1);
    ck_assert_uint_eq(data_word(bench, 176, 8), 2);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_other_logs)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    ck_assert_uint_eq(run_status(bench, log_page(3, 512, 0)), 0);
    ck_assert_uint_eq(*data_at(bench, 0), 1);
    ck_assert_int_eq(memcmp(data_at(bench, 8), "1.0     ", 8), 0);
    ck_assert_uint_eq(run_status(bench, log_page(5, 4096, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 4 * 6, 4), 1);
    ck_assert_uint_eq(data_word(bench, 4 * 0x80, 4), 0);
    ck_assert_uint_eq(data_word(bench, 1024 + 4 * 1, 4), 3);
    ck_assert_uint_eq(data_word(bench, 1024 + 4 * 2, 4), 1);
    ck_assert_uint_eq(run_status(bench, log_page(7, 512, 0)), 0x109 | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, log_page(2, 512, 2)), 0x02 | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, log_page(2, 512, 512)), 0x02 | NVME_DNR);
    /* more than there is: the transfer ends with the page */
    memset(data_at(bench, 0), 0x5A, 4096);
    struct nvme_sent big = log_page(2, 512, 0);
    big.word[10] |= 0xFFFF0000;
    big.word[11] = 0xFFFF;
    ck_assert_uint_eq(run_status(bench, big), 0);
    ck_assert_uint_eq(*data_at(bench, 511), 0);
    ck_assert_uint_eq(*data_at(bench, 512), 0x5A);
    nvme_bench_close(bench);
}
END_TEST

/* ---- events ---- */

static uint32_t take_event(struct nvme_bench *bench, uint16_t cid)
{
    struct nvme_answer answer = {0};
    ck_assert(nvme_take(bench, 0, &answer));
    nvme_ring_cq(bench, 0);
    ck_assert_uint_eq(answer.cid, cid);
    ck_assert_uint_eq(answer.status, 0);
    return answer.result;
}

START_TEST(test_doorbell_events)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    uint16_t first = nvme_send(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0));
    uint16_t second = nvme_send(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0));
    nvme_pass(bench, 1000000);
    ck_assert(nothing_posted(bench, 0));
    nvme_write(bench, 0x1000 + 8 * 5, 1, 4); /* no such queue */
    ck_assert_uint_eq(take_event(bench, first), 0x00010000);
    nvme_write(bench, 0x1000 + 8, 64, 4);
    ck_assert(nothing_posted(bench, 0)); /* not before the log has been read */
    nvme_assert_status(bench, 0, log_page(1, 64, 0), 0);
    nvme_write(bench, 0x1000 + 8, 64, 4);
    ck_assert_uint_eq(take_event(bench, second), 0x00010100);
    nvme_assert_status(bench, 0, log_page(1 | 0x8000, 64, 0), 0); /* retain */
    nvme_write(bench, 0x1004 + 8, 1, 4);                          /* beyond what is posted */
    uint16_t third = nvme_send(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0));
    ck_assert(nothing_posted(bench, 0));
    nvme_assert_status(bench, 0, log_page(1, 64, 0), 0);
    nvme_write(bench, 0x1004 + 8, 64, 4);
    ck_assert_uint_eq(take_event(bench, third), 0x00010100);
    nvme_write(bench, 0x1FF8, 1, 4);
    nvme_write(bench, 0x1FFC, 1, 4);
    nvme_assert_status(bench, 1, nvme_block_command(READ, 0, 1, NVME_DATA, 0), 0); /* nothing was changed */
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_temperature_event)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    uint16_t cid = nvme_send(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0));
    nvme_assert_status(bench, 0, nvme_admin(SET_FEATURES, 4, 323), 0);
    ck_assert(nothing_posted(bench, 0)); /* not asked for */
    nvme_assert_status(bench, 0, nvme_admin(SET_FEATURES, 4, 0x157), 0);
    nvme_assert_status(bench, 0, nvme_admin(SET_FEATURES, 11, 2), 0);
    ck_assert(nothing_posted(bench, 0));
    nvme_assert_status(bench, 0, nvme_admin(SET_FEATURES, 4, 300), 0);
    ck_assert_uint_eq(take_event(bench, cid), 0x00020101);
    nvme_assert_status(bench, 0, log_page(2, 512, 0), 0);
    ck_assert_uint_eq(*data_at(bench, 0), 2);
    nvme_bench_close(bench);
}
END_TEST

static void resize(struct nvme_bench *bench, uint64_t sectors)
{
    input_mailbox_post(bench->fake->mailbox, (struct input_message){.id = INPUT_BLOCK_RESIZE, .a = sectors});
    machine_deliver(bench->fake->machine);
}

static uint64_t namespace_blocks(struct nvme_bench *bench)
{
    nvme_assert_status(bench, 0, with_data(IDENTIFY, 1, 0, 0), 0);
    return data_word(bench, 0, 8);
}

START_TEST(test_size_event)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    uint16_t cid = nvme_send(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0));
    resize(bench, NVME_SECTORS / 2);
    ck_assert(nothing_posted(bench, 0)); /* not asked for */
    ck_assert_uint_eq(namespace_blocks(bench), NVME_SECTORS / 2);
    nvme_assert_status(bench, 0, nvme_admin(SET_FEATURES, 11, 0x100), 0);
    resize(bench, NVME_SECTORS);
    ck_assert_uint_eq(take_event(bench, cid), 0x00040002);
    cid = nvme_send(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0));
    resize(bench, NVME_SECTORS / 2);
    ck_assert(nothing_posted(bench, 0)); /* not before the list has been read */
    nvme_assert_status(bench, 0, log_page(4, 4096, 0), 0);
    ck_assert_uint_eq(data_word(bench, 0, 4), 1);
    nvme_assert_status(bench, 0, log_page(4, 4096, 0), 0);
    ck_assert_uint_eq(data_word(bench, 0, 4), 0);
    nvme_assert_status(bench, 1, nvme_block_command(READ, NVME_SECTORS / 2, 1, NVME_DATA, 0), 0x80 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(READ, NVME_SECTORS / 2 - 1, 1, NVME_DATA, 0), 0);
    resize(bench, NVME_SECTORS);
    ck_assert_uint_eq(take_event(bench, cid), 0x00040002);
    nvme_assert_status(bench, 1, nvme_block_command(READ, NVME_SECTORS - 1, 1, NVME_DATA, 0), 0);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_event_limit)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    uint16_t cid[4];
    for (unsigned n = 0; n < 4; n++)
        cid[n] = nvme_send(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0));
    nvme_assert_status(bench, 0, nvme_admin(ASYNC_EVENT, 0, 0), 0x105 | NVME_DNR);
    /* one of them aborted: its answer comes before that of Abort */
    struct nvme_answer answer;
    nvme_send(bench, 0, nvme_admin(ABORT, (uint32_t)cid[1] << 16, 0));
    ck_assert(nvme_take(bench, 0, &answer));
    ck_assert_uint_eq(answer.cid, cid[1]);
    ck_assert_uint_eq(answer.status, 0x07);
    ck_assert(nvme_take(bench, 0, &answer));
    ck_assert_uint_eq(answer.result, 0);
    nvme_ring_cq(bench, 0);
    nvme_write(bench, 0x1000 + 8 * 5, 1, 4);
    ck_assert_uint_eq(take_event(bench, cid[0]), 0x00010000);
    nvme_assert_status(bench, 0, log_page(1, 64, 0), 0);
    nvme_write(bench, 0x1000 + 8 * 5, 1, 4);
    ck_assert_uint_eq(take_event(bench, cid[2]), 0x00010000);
    nvme_bench_close(bench);
}
END_TEST

START_TEST(test_abort)
{
    struct nvme_bench *bench = nvme_bench_open(BLOCK_TIMING_MODEL, 512, false);
    struct nvme_answer answer;
    memset(data_at(bench, 0), 0x77, 4096);
    uint16_t cid = nvme_send(bench, 1, nvme_block_command(READ, 0, 8, NVME_DATA, 0));
    answer = nvme_run(bench, 0, nvme_admin(ABORT, (uint32_t)cid << 16 | 1, 0));
    ck_assert_uint_eq(answer.status, 0);
    ck_assert_uint_eq(answer.result, 0);
    answer = nvme_wait(bench, 1);
    ck_assert_uint_eq(answer.cid, cid);
    ck_assert_uint_eq(answer.status, 0x07);
    nvme_pass(bench, 50000000);
    ck_assert(nothing_posted(bench, 1));
    ck_assert_uint_eq(*data_at(bench, 0), 0x77);
    answer = nvme_run(bench, 0, nvme_admin(ABORT, (uint32_t)cid << 16 | 1, 0));
    ck_assert_uint_eq(answer.result, 1);
    nvme_assert_status(bench, 0, nvme_admin(ABORT, 9, 0), 0x02 | NVME_DNR);
    nvme_bench_close(bench);
}
END_TEST

/* A drive whose writes are durable as they are. */
static void check_without_cache(unsigned flag)
{
    struct nvme_bench *bench = nvme_bench_flags(BLOCK_TIMING_MODEL, 512, false, flag);
    nvme_enable(bench);
    nvme_add_queue(bench, 1, 8, 8, 0);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 0, 1, 0)), 0);
    ck_assert_uint_eq(*data_at(bench, 525), 6);
    ck_assert_uint_eq(data_word(bench, 520, 2), 0x0D);
    ck_assert_uint_eq(run_status(bench, nvme_admin(SET_FEATURES, 6, 0)), 0x02 | NVME_DNR);
    ck_assert_uint_eq(run_status(bench, nvme_admin(GET_FEATURES, 6, 0)), 0x02 | NVME_DNR);
    nvme_assert_status(bench, 1, nvme_block_command(WRITE, 5, 1, NVME_DATA, 0), 0);
    nvme_bench_close(bench);
}

START_TEST(test_without_cache)
{
    check_without_cache(BLOCK_ATTACH_NO_WRITE_CACHE);
    check_without_cache(NVME_DRIVE_WRITE_THROUGH);
}
END_TEST

/* A drive that keeps what is discarded. */
START_TEST(test_without_discard)
{
    struct nvme_bench *bench = nvme_bench_flags(BLOCK_TIMING_MODEL, 512, false, BLOCK_ATTACH_NO_DISCARD);
    nvme_enable(bench);
    nvme_add_queue(bench, 1, 8, 8, 0);
    ck_assert_uint_eq(run_status(bench, with_data(IDENTIFY, 0, 1, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 520, 2), 0x09);
    struct nvme_sent trim = with_data(9, 1, 0, 4);
    nvme_assert_status(bench, 1, trim, 0x01 | NVME_DNR);
    struct nvme_sent zeroes = nvme_block_command(8, 5, 1, 0, 0);
    zeroes.word[12] |= 0x02000000; /* deallocate: it need not */
    nvme_assert_status(bench, 1, zeroes, 0);
    ck_assert_int_eq(bench->probe->log[0].op, TRACE_BLOCK_WRITE_ZEROES);
    ck_assert_uint_eq(run_status(bench, log_page(5, 4096, 0)), 0);
    ck_assert_uint_eq(data_word(bench, 1024 + 4 * 9, 4), 0);
    nvme_bench_close(bench);
}
END_TEST

RIG_MAIN("nvme admin", test_create_errors, test_entry_sizes, test_delete_queues, test_identify, test_unsupported,
         test_features, test_queue_count, test_error_log, test_health_log, test_other_logs, test_doorbell_events,
         test_temperature_event, test_size_event, test_event_limit, test_abort, test_without_cache,
         test_without_discard)
