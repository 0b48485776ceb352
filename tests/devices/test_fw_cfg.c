/* fw_cfg: selector and data ports, DMA, the file directory. */
#include "devices/fw_cfg.h"
#include "tests/devices/device_test.h"

#define SELECTOR 0x510
#define DATA 0x511
#define DMA_HIGH 0x514
#define DMA_LOW 0x518
#define DESCRIPTOR 0x1000
#define BUFFER 0x2000

static const char text[] = "twelve bytes";

static void build(struct rig *rig)
{
    struct fw_cfg *fw_cfg = fw_cfg_create(rig->fake->machine);
    rig->device = machine_device_find(rig->fake->machine, "fw_cfg");
    fw_cfg_add_u16(fw_cfg, FW_CFG_NB_CPUS, 0x1234);
    fw_cfg_add_u64(fw_cfg, FW_CFG_RAM_SIZE, 0x1122334455667788);
    fw_cfg_add_file(fw_cfg, "etc/first", text, 12);
    fw_cfg_add_file_borrowed(fw_cfg, "etc/second", text, 3);
    fw_cfg_add_bytes(fw_cfg, 0x8011, NULL, 0);
}

static uint8_t next(struct rig *rig)
{
    return fake_inb(rig->fake, DATA);
}

static uint32_t next_be32(struct rig *rig)
{
    uint32_t value = 0;
    for (int i = 0; i < 4; i++)
        value = value << 8 | next(rig);
    return value;
}

static void put_be32(struct rig *rig, uint64_t gpa, uint32_t value)
{
    memory_write_u32(machine_memory(rig->fake->machine), gpa, __builtin_bswap32(value));
}

static uint32_t dma(struct rig *rig, uint32_t control, uint32_t length, uint64_t gpa)
{
    put_be32(rig, DESCRIPTOR, control);
    put_be32(rig, DESCRIPTOR + 4, length);
    put_be32(rig, DESCRIPTOR + 8, (uint32_t)(gpa >> 32));
    put_be32(rig, DESCRIPTOR + 12, (uint32_t)gpa);
    fake_outl(rig->fake, DMA_HIGH, 0);
    fake_outl(rig->fake, DMA_LOW, __builtin_bswap32(DESCRIPTOR));
    return __builtin_bswap32(memory_read_u32(machine_memory(rig->fake->machine), DESCRIPTOR));
}

START_TEST(signature_and_features)
{
    struct rig *rig = rig_create(build);
    fake_outw(rig->fake, SELECTOR, FW_CFG_SIGNATURE);
    ck_assert_int_eq(next(rig), 'Q');
    ck_assert_int_eq(next(rig), 'E');
    ck_assert_int_eq(next(rig), 'M');
    ck_assert_int_eq(next(rig), 'U');
    ck_assert_int_eq(next(rig), 0);
    fake_outw(rig->fake, SELECTOR, FW_CFG_ID);
    ck_assert_int_eq(next(rig), 3);
    ck_assert_uint_eq(__builtin_bswap32(fake_inl(rig->fake, DMA_HIGH)), 0x51454D55);
    ck_assert_uint_eq(__builtin_bswap32(fake_inl(rig->fake, DMA_LOW)), 0x20434647);
    rig_destroy(rig);
}
END_TEST

START_TEST(integers_are_little_endian_and_rewind)
{
    struct rig *rig = rig_create(build);
    for (int again = 0; again < 2; again++) {
        fake_outw(rig->fake, SELECTOR, FW_CFG_RAM_SIZE);
        ck_assert_int_eq(next(rig), 0x88);
        ck_assert_int_eq(next(rig), 0x77);
    }
    fake_outw(rig->fake, SELECTOR, FW_CFG_NB_CPUS);
    ck_assert_int_eq(next(rig), 0x34);
    fake_outw(rig->fake, SELECTOR, 0x7777);
    ck_assert_int_eq(next(rig), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(directory_leads_to_the_files)
{
    struct rig *rig = rig_create(build);
    fake_outw(rig->fake, SELECTOR, FW_CFG_FILE_DIR);
    ck_assert_uint_eq(next_be32(rig), 2);
    uint32_t size = next_be32(rig), key = next_be32(rig) >> 16;
    char name[56];
    for (int i = 0; i < 56; i++)
        name[i] = (char)next(rig);
    ck_assert_uint_eq(size, 12);
    ck_assert_str_eq(name, "etc/first");
    ck_assert_uint_eq(next_be32(rig), 3);
    fake_outw(rig->fake, SELECTOR, (uint16_t)key);
    for (int i = 0; i < 12; i++)
        ck_assert_int_eq(next(rig), text[i]);
    ck_assert_int_eq(next(rig), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(dma_reads_skips_and_fills_with_zeros)
{
    struct rig *rig = rig_create(build);
    struct memory *memory = machine_memory(rig->fake->machine);
    uint8_t buffer[32];
    memset(buffer, 0xEE, sizeof buffer);
    memory_write(memory, BUFFER, buffer, sizeof buffer);
    ck_assert_uint_eq(dma(rig, FW_CFG_FILE_FIRST << 16 | 8 | 2, 5, BUFFER), 0);
    ck_assert_uint_eq(dma(rig, 4, 2, 0), 0);
    ck_assert_uint_eq(dma(rig, 2, 10, BUFFER + 5), 0);
    memory_read(memory, BUFFER, buffer, sizeof buffer);
    ck_assert_int_eq(memcmp(buffer, "twelvbytes\0\0\0\0\0\xEE", 16), 0);
    rig_destroy(rig);
}
END_TEST

START_TEST(dma_zeros_from_an_empty_item)
{
    struct rig *rig = rig_create(build);
    struct memory *memory = machine_memory(rig->fake->machine);
    memory_write_u32(memory, 0x5000, 0xFFFFFFFF);
    memory_write_u32(memory, 0x8FFE, 0xFFFFFFFF);
    ck_assert_uint_eq(dma(rig, 0x8011u << 16 | 8 | 2, 0x4000, 0x5000), 0);
    ck_assert_uint_eq(memory_read_u32(memory, 0x5000), 0);
    ck_assert_uint_eq(memory_read_u32(memory, 0x8FFE), 0xFFFF0000);
    rig_destroy(rig);
}
END_TEST

START_TEST(writes_are_refused)
{
    struct rig *rig = rig_create(build);
    ck_assert_uint_eq(dma(rig, FW_CFG_FILE_FIRST << 16 | 8 | 16, 4, BUFFER), 1);
    fake_outb(rig->fake, DATA, 'x');
    fake_outw(rig->fake, SELECTOR, FW_CFG_FILE_FIRST);
    ck_assert_int_eq(next(rig), 't');
    rig_destroy(rig);
}
END_TEST

static void before_save(struct rig *rig)
{
    fake_outw(rig->fake, SELECTOR, FW_CFG_FILE_FIRST);
    (void)next(rig);
    fake_outl(rig->fake, DMA_HIGH, 0x11000000);
}

static void after_load(struct rig *rig)
{
    for (int i = 0; i < 12; i++)
        rig_log(rig, next(rig));
}

static void build_other_content(struct rig *rig)
{
    struct fw_cfg *fw_cfg = fw_cfg_create(rig->fake->machine);
    rig->device = machine_device_find(rig->fake->machine, "fw_cfg");
    fw_cfg_add_u16(fw_cfg, FW_CFG_NB_CPUS, 0x1234);
    fw_cfg_add_u64(fw_cfg, FW_CFG_RAM_SIZE, 0x1122334455667788);
    fw_cfg_add_file(fw_cfg, "etc/first", "twelve bytez", 12);
    fw_cfg_add_file_borrowed(fw_cfg, "etc/second", text, 3);
    fw_cfg_add_bytes(fw_cfg, 0x8011, NULL, 0);
}

static void build_other_name(struct rig *rig)
{
    struct fw_cfg *fw_cfg = fw_cfg_create(rig->fake->machine);
    rig->device = machine_device_find(rig->fake->machine, "fw_cfg");
    fw_cfg_add_u16(fw_cfg, FW_CFG_NB_CPUS, 0x1234);
    fw_cfg_add_u64(fw_cfg, FW_CFG_RAM_SIZE, 0x1122334455667788);
    fw_cfg_add_file(fw_cfg, "etc/first", text, 12);
    fw_cfg_add_file_borrowed(fw_cfg, "etc/secund", text, 3);
    fw_cfg_add_bytes(fw_cfg, 0x8011, NULL, 0);
}

static uint64_t digest_of(void (*with)(struct rig *rig))
{
    struct rig *rig = rig_create(with);
    uint64_t digest = machine_digest_state(rig->fake->machine);
    rig_destroy(rig);
    return digest;
}

START_TEST(what_is_offered_is_in_the_digest)
{
    ck_assert_uint_eq(digest_of(build), digest_of(build));
    ck_assert_uint_ne(digest_of(build), digest_of(build_other_content));
    ck_assert_uint_ne(digest_of(build), digest_of(build_other_name));
}
END_TEST

START_TEST(state_is_whole)
{
    rig_round_trip(build, before_save, after_load);
}
END_TEST

RIG_MAIN("fw_cfg", signature_and_features, integers_are_little_endian_and_rewind, directory_leads_to_the_files,
         dma_reads_skips_and_fills_with_zeros, dma_zeros_from_an_empty_item, writes_are_refused,
         what_is_offered_is_in_the_digest, state_is_whole)
