/* MACHINE_DIGEST_VERSION goes up when what a digest is made of changes: names, widths, counts and order of all fields of the
 * CPU, the machine and every device of the board. Whoever changes a field meets this test. */
#include "core/machine_internal.h"
#include "tests/devices/board_test.h"

#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

/* The version and the hash of the tables that it stands for: both are changed here, together, or neither. */
static const unsigned known_version = 8;
static const uint64_t known_definition = 0x86c08f05f0e32b32ull;

static void add_text(uint64_t *hash, const char *text)
{
    *hash = XXH3_64bits_withSeed(text, strlen(text), *hash);
}

static void add_fields(void *hash, const struct state_field *fields, void *object)
{
    char row[160];

    (void)object;
    for (const struct state_field *f = fields; f->name; f++) {
        /* A nested struct's own size depends on the compiler: its fields speak for it. */
        snprintf(row, sizeof row, "%s %u %u %d %d", f->name, f->nested ? 0 : f->elem_size, f->count, f->boolean,
                 f->kept_offset != 0);
        add_text(hash, row);
        if (f->nested)
            add_fields(hash, f->nested, NULL);
    }
    add_text(hash, "end");
}

/* A drive of every kind, each at a place of its own. */
static void add_drives(struct machine *machine, struct board_pc_options *options)
{
    struct error error = {0};

    for (unsigned kind = 0; kind < BLOCK_ATTACH_KINDS; kind++) {
        bool ide = kind == BLOCK_ATTACH_IDE_DISK || kind == BLOCK_ATTACH_IDE_CD;
        struct block_image *image = block_overlay_create(NULL, 64, &error);
        struct block_queue_options queue = {.drive = kind, .timing = BLOCK_TIMING_MODEL};
        ck_assert_ptr_nonnull(image);
        options->drive[kind] = (struct board_drive){
            .drive = block_drive_create(machine, &queue, image, &error),
            .at = {.kind = (enum block_attach)kind,
                   .unit = ide ? (uint8_t)kind : 0,
                   .slot = ide ? 0 : (uint8_t)(8 + kind)},
        };
        ck_assert_msg(options->drive[kind].drive != NULL, "%s", error.text);
    }
}

static uint64_t definition_of(bool no_vga)
{
    static const uint8_t boot_sector[512] = {[510] = 0x55, [511] = 0xAA};
    struct board_pc_options options = {.kernel = {boot_sector, sizeof boot_sector}, .no_vga = no_vga};
    struct error error = {0};
    struct fake_machine *fake = board_test_machine(16 << 20, &error);
    uint64_t hash = 0;

    add_drives(fake->machine, &options);
    enum status status = board_pc_create(fake->machine, &options, &error);
    ck_assert_msg(status == STATUS_OK, "%s", error.text);
    machine_each_part(fake->machine, add_fields, &hash);
    fake_machine_destroy(fake);
    return hash;
}

START_TEST(version_stands_for_the_tables)
{
    uint64_t definition = definition_of(false);

    ck_assert_msg(
        definition == known_definition && MACHINE_DIGEST_VERSION == known_version,
        "the saved fields of the machine have changed: raise MACHINE_DIGEST_VERSION (core/machine.h), then write "
        "that number and 0x%016" PRIx64 " into %s (it knows %u and 0x%016" PRIx64 ")",
        definition, __FILE__, known_version, known_definition);
}
END_TEST

/* The hash sees a change: a board without its display adapter has other tables. */
START_TEST(another_board_is_another_definition)
{
    ck_assert_uint_ne(definition_of(false), definition_of(true));
}
END_TEST

RIG_MAIN("digest definition", version_stands_for_the_tables, another_board_is_another_definition)
