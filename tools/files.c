/* See files.h. */
#include "tools/files.h"

#include "tools/kernel_unpack.h"

#include "tools/tools.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BIOS_MAX_BYTES (16ull << 20)
#define KERNEL_MAX_BYTES (1ull << 30)
#define ROM_MAX_BYTES (256ull << 10)

static enum status read_all(int fd, const char *path, struct journal_blob *blob, struct error *error)
{
    uint64_t done = 0;
    while (done < blob->size_bytes) {
        ssize_t got = read(fd, blob->bytes + done, blob->size_bytes - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_status(error, STATUS_IO, "%s: %s", path, strerror(errno));
        if (!got)
            return error_status(error, STATUS_IO, "%s: ends at %" PRIu64 " of %" PRIu64 " bytes", path, done,
                                blob->size_bytes);
        done += (uint64_t)got;
    }
    return STATUS_OK;
}

enum status file_read(const char *path, uint64_t max_bytes, struct journal_blob *blob, struct error *error)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_status(error, STATUS_IO, "%s: %s", path, strerror(errno));
    enum status status = STATUS_OK;
    if (fstat(fd, &st) || !S_ISREG(st.st_mode))
        status = error_status(error, STATUS_INVALID, "%s: expected a regular file", path);
    else if (!st.st_size || (uint64_t)st.st_size > max_bytes)
        status = error_status(error, STATUS_INVALID, "%s: size %jd bytes: expected 1 to %" PRIu64, path,
                              (intmax_t)st.st_size, max_bytes);
    if (!status) {
        blob->size_bytes = (uint64_t)st.st_size;
        blob->bytes = malloc(blob->size_bytes);
        status = blob->bytes ? read_all(fd, path, blob, error)
                             : error_status(error, STATUS_NO_MEMORY, "%s: out of memory", path);
    }
    close(fd);
    return status;
}

static enum status find_and_read(const char *name, const char *const candidates[], uint64_t max_bytes,
                                 struct journal_blob *blob, struct error *error)
{
    for (; *candidates; candidates++) {
        if (!access(*candidates, R_OK))
            return file_read(*candidates, max_bytes, blob, error);
    }
    return error_status(error, STATUS_NOT_FOUND, "no %s found: install the package seabios or name a file", name);
}

static enum status read_firmware(struct journal_config *config, const struct run_options *options, struct error *error)
{
    static const char *const bios[] = {"/usr/share/seabios/bios-256k.bin", "/usr/share/qemu/bios-256k.bin",
                                       "/usr/share/seabios/bios.bin", NULL};
    static const char *const vgabios[] = {"/usr/share/seabios/vgabios-stdvga.bin", "/usr/share/qemu/vgabios-stdvga.bin",
                                          NULL};
    if (options->kernel && !options->bios)
        return STATUS_OK; /* straight into the kernel */
    enum status status = options->bios ? file_read(options->bios, BIOS_MAX_BYTES, &config->bios, error)
                                       : find_and_read("SeaBIOS", bios, BIOS_MAX_BYTES, &config->bios, error);
    if (status || options->no_vga)
        return status;
    if (options->vgabios)
        return file_read(options->vgabios, ROM_MAX_BYTES, &config->vgabios, error);
    struct error none = {0};
    (void)!find_and_read("VGA BIOS", vgabios, ROM_MAX_BYTES, &config->vgabios, &none); /* may well be missing */
    return STATUS_OK;
}

/* -initrd "file args,file2 args": QEMU's spelling of multiboot modules; one plain file is both initrd and module. */
static enum status read_modules(struct journal_config *config, const char *initrd, struct error *error)
{
    char *list = strdup(initrd), *rest = list, *item;
    enum status status = STATUS_OK;
    CHECK(list);
    while (!status && (item = strsep(&rest, ","))) {
        char *arguments = strchr(item, ' ');
        if (arguments)
            *arguments = 0;
        if (config->module_count == JOURNAL_MODULES) {
            status = error_status(error, STATUS_INVALID, "-initrd: at most %d modules", JOURNAL_MODULES);
            break;
        }
        struct journal_blob *blob = &config->module[config->module_count];
        status = file_read(item, KERNEL_MAX_BYTES, blob, error);
        if (arguments)
            *arguments = ' ';
        config->module_args[config->module_count++] = strdup(item);
    }
    free(list);
    return status;
}

static bool is_multiboot(const struct journal_blob *kernel)
{
    for (uint64_t offset = 0; offset + 12 <= kernel->size_bytes && offset < 8192; offset += 4) {
        uint32_t word[3];
        memcpy(word, kernel->bytes + offset, sizeof word);
        if (word[0] == 0x1BADB002 && word[0] + word[1] + word[2] == 0)
            return true;
    }
    return false;
}

static enum status trap_tsc(struct journal_config *config, const char *name, struct error *error)
{
    enum status status = kernel_unpack(&config->kernel, name, error);
    if (!status)
        status = kernel_trap_tsc(&config->kernel, name, &config->tsc_sites, &config->tsc_site_count, error);
    if (!status)
        config->ways |= MACHINE_WAY_TSC_PORT;
    return status;
}

static void set_sites(struct journal_config *config, const struct run_options *options)
{
    config->ways |= MACHINE_WAY_TSC_SITES;
    config->tsc_sites = malloc(sizeof options->tsc_site);
    CHECK(config->tsc_sites);
    memcpy(config->tsc_sites, options->tsc_site, sizeof options->tsc_site);
    config->tsc_site_count = options->tsc_sites;
}

enum status config_from_options(struct journal_config *config, const struct run_options *options, struct error *error)
{
    config->creator = strdup(tool_version());
    config->accel = strdup(options->accel);
    config->counts_exits = options->count_exits;
    config->ram_bytes = options->ram_bytes;
    config->checkpoint_steps = options->checkpoint_steps;
    /* Checkpoints stand where the digests of memory do. */
    if (!config->checkpoint_steps && options->checkpoint_frames &&
        options->checkpoint_frames < MACHINE_CHECKPOINT_STEPS_DEFAULT)
        config->checkpoint_steps = options->checkpoint_frames;
    config->trace_kinds = TRACE_KINDS_ALL;
    config->no_reboot = options->no_reboot;
    config->no_vga = options->no_vga;
    config->boot_menu = options->boot_menu;
    config->boot_order = strdup(options->boot_order);
    config->append = strdup(options->append ? options->append : "");
    config->timing = options->timing;
    config->seed = options->seed;
    enum status status = cpu_model_init(&config->cpu, options->cpu, error);
    if (!status)
        status = read_firmware(config, options, error);
    if (!status && options->kernel)
        status = file_read(options->kernel, KERNEL_MAX_BYTES, &config->kernel, error);
    if (!status && options->trap_tsc)
        status = trap_tsc(config, options->kernel, error);
    if (options->tsc_sites)
        set_sites(config, options);
    if (!status && options->initrd && is_multiboot(&config->kernel))
        status = read_modules(config, options->initrd, error);
    else if (!status && options->initrd)
        status = file_read(options->initrd, KERNEL_MAX_BYTES, &config->initrd, error);
    return status;
}
