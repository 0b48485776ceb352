/* The I/O benchmark's guest: the first process of a Linux, static, driven by tests/bench/io.py.
 *
 * The kernel's command line says io.modules=NAME,... (loaded in this order from /modules), io.first=MIB and io.disks=N: disk n is
 * the one of MIB + n MiB, so no names of devices are needed; io.phases=NAME,... which phases; io.divide=D does a D-th of the
 * requests; io.settle=MS waits so long after each line, for who wants to tell phases apart by them.
 *
 * Every phase is direct I/O by a number of requests that is the same under every emulator. Lines go to COM1 by OUT, not
 * through the kernel's driver, so that they are there when the phase begins: "B n phase requests bytes", "E n phase", and "R n phase
 * requests": of reads and writes, those that the kernel made of them. The host that reads the lines takes the time. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { COM1 = 0x3f8, DEPTH = 32, KIB = 1024, MIB = 1024 * 1024, DISKS_MAX = 16 };

enum order { SEQUENTIAL, RANDOM };

/* The first half of a disk is for all but alloc, which writes in the second, once into each of its 64 KiB clusters. */
static const struct phase {
    const char *name;
    bool write;
    enum order order;
    unsigned size;
    unsigned requests;
    unsigned depth;
    unsigned flush_every; /* requests; 0: once, at the end */
    bool fresh;
} phases[] = {
    {"alloc", true, RANDOM, 4 * KIB, 512, 1, 0, true},
    {"write-seq-1m", true, SEQUENTIAL, MIB, 64, 1, 0, false},
    {"read-seq-1m", false, SEQUENTIAL, MIB, 64, 1, 0, false},
    {"write-rand-1m", true, RANDOM, MIB, 64, 1, 0, false},
    {"read-rand-1m", false, RANDOM, MIB, 64, 1, 0, false},
    {"write-seq-4k", true, SEQUENTIAL, 4 * KIB, 1024, 1, 0, false},
    {"read-seq-4k", false, SEQUENTIAL, 4 * KIB, 1024, 1, 0, false},
    {"write-rand-4k", true, RANDOM, 4 * KIB, 1024, 1, 0, false},
    {"read-rand-4k", false, RANDOM, 4 * KIB, 1024, 1, 0, false},
    {"write-rand-4k-q32", true, RANDOM, 4 * KIB, 1024, DEPTH, 0, false},
    {"read-rand-4k-q32", false, RANDOM, 4 * KIB, 1024, DEPTH, 0, false},
    {"write-fsync-4k", true, RANDOM, 4 * KIB, 128, 1, 1, false},
};

static char command_line[4096];
static unsigned settle_us;

static void say(const char *format, ...)
{
    char text[256];
    va_list list;
    va_start(list, format);
    int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    for (int i = 0; i < length && i < (int)sizeof text - 1; i++)
        outb((unsigned char)text[i], COM1);
}

static void die(const char *what)
{
    say("\nFAIL %s: %s\n", what, strerror(errno));
    reboot(RB_POWER_OFF);
    _exit(1);
}

static const char *word(const char *name, const char *otherwise)
{
    static char value[1024];
    const char *found = strstr(command_line, name);
    if (!found)
        return otherwise;
    found += strlen(name);
    size_t length = strcspn(found, " \n");
    memcpy(value, found, length < sizeof value ? length : 0);
    value[length < sizeof value ? length : 0] = 0;
    return value;
}

static void load_modules(void)
{
    char list[1024], path[1200];
    snprintf(list, sizeof list, "%s", word("io.modules=", ""));
    for (char *name = strtok(list, ","); name; name = strtok(NULL, ",")) {
        snprintf(path, sizeof path, "/modules/%s.ko", name);
        int file = open(path, O_RDONLY);
        if (file < 0 || (syscall(SYS_finit_module, file, "", 0) && errno != EEXIST))
            die(name);
        close(file);
    }
}

static char stat_path[DISKS_MAX][64]; /* of each disk in sysfs */

/* Requests that the kernel has sent to the disk and that have ended: it cuts and joins what a program asks for. */
static unsigned long long requests_of(int n)
{
    unsigned long long value[17] = {0};
    FILE *file = fopen(stat_path[n], "r");
    if (!file)
        die(stat_path[n]);
    int found = 0;
    while (found < 17 && fscanf(file, "%llu", &value[found]) == 1)
        found++;
    fclose(file);
    return value[0] + value[4];
}

/* The block device of so many bytes, opened; the kernel's list of them is /proc/partitions, in KiB. */
static int open_disk(int n, uint64_t bytes)
{
    for (int try = 0; try < 100; try++, usleep(50000)) {
        char line[256];
        FILE *list = fopen("/proc/partitions", "r");
        if (!list)
            die("/proc/partitions");
        while (fgets(line, sizeof line, list)) {
            unsigned major, minor;
            unsigned long long blocks;
            if (sscanf(line, "%u %u %llu", &major, &minor, &blocks) != 3 || blocks * KIB != bytes)
                continue;
            fclose(list);
            snprintf(stat_path[n], sizeof stat_path[n], "/sys/dev/block/%u:%u/stat", major, minor);
            mknod("/disk", S_IFBLK | 0600, makedev(major, minor));
            int disk = open("/disk", O_RDWR | O_DIRECT);
            unlink("/disk");
            return disk;
        }
        fclose(list);
    }
    die("no such disk");
    return -1;
}

/* Request n of count goes to this place: all of them once, in an order that looks random (a multiplication by an odd number
 * modulo a power of two, which all counts here are). */
static uint64_t offset_of(const struct phase *phase, unsigned n, unsigned count)
{
    uint64_t place = phase->order == SEQUENTIAL ? n : (n * 0x9e3779b1u + 12345) & (count - 1);
    if (phase->fresh)
        return 64 * (uint64_t)MIB + place * 64 * KIB;
    return phase->order == SEQUENTIAL ? place * phase->size : place * (64 * (uint64_t)MIB / count);
}

static void flush(int disk)
{
    if (fdatasync(disk))
        die("fdatasync");
}

static void one_by_one(int disk, const struct phase *phase, unsigned count, char *buffer)
{
    for (unsigned n = 0; n < count; n++) {
        uint64_t offset = offset_of(phase, n, count);
        memcpy(buffer, &n, sizeof n);
        ssize_t done = phase->write ? pwrite(disk, buffer, phase->size, (off_t)offset)
                                    : pread(disk, buffer, phase->size, (off_t)offset);
        if (done != (ssize_t)phase->size)
            die(phase->name);
        if (phase->flush_every && (n + 1) % phase->flush_every == 0)
            flush(disk);
    }
}

static void many_at_once(int disk, const struct phase *phase, unsigned count, char *buffer)
{
    aio_context_t context = 0;
    struct iocb blocks[DEPTH];
    struct io_event events[DEPTH];
    unsigned free_slots[DEPTH], free_count = DEPTH, sent = 0, done = 0;
    if (syscall(SYS_io_setup, DEPTH, &context))
        die("io_setup");
    for (unsigned i = 0; i < DEPTH; i++)
        free_slots[i] = i;
    while (done < count) {
        struct iocb *list[DEPTH];
        unsigned listed = 0;
        while (free_count && sent < count) {
            unsigned slot = free_slots[--free_count];
            memset(&blocks[slot], 0, sizeof blocks[slot]);
            blocks[slot].aio_data = slot;
            blocks[slot].aio_lio_opcode = phase->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD;
            blocks[slot].aio_fildes = (uint32_t)disk;
            blocks[slot].aio_buf = (uintptr_t)buffer + slot * phase->size;
            blocks[slot].aio_nbytes = phase->size;
            blocks[slot].aio_offset = (int64_t)offset_of(phase, sent++, count);
            list[listed++] = &blocks[slot];
        }
        if (listed && syscall(SYS_io_submit, context, listed, list) != (long)listed)
            die("io_submit");
        long got = syscall(SYS_io_getevents, context, 1, DEPTH, events, NULL);
        if (got < 1)
            die("io_getevents");
        for (long i = 0; i < got; i++) {
            if (events[i].res != (int64_t)phase->size)
                die(phase->name);
            free_slots[free_count++] = (unsigned)events[i].data;
        }
        done += (unsigned)got;
    }
    syscall(SYS_io_destroy, context);
}

static void run_phase(int n, int disk, const struct phase *phase, unsigned divide, char *buffer)
{
    unsigned count = phase->requests / divide ? phase->requests / divide : 1;
    unsigned long long before = requests_of(n);
    say("B %d %s %u %u\n", n, phase->name, count, phase->size);
    if (settle_us)
        usleep(settle_us);
    if (phase->depth > 1)
        many_at_once(disk, phase, count, buffer);
    else
        one_by_one(disk, phase, count, buffer);
    if (phase->write && !phase->flush_every)
        flush(disk);
    if (settle_us)
        usleep(settle_us);
    say("E %d %s\n", n, phase->name);
    say("R %d %s %llu\n", n, phase->name, requests_of(n) - before);
}

int main(void)
{
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    iopl(3);
    int file = open("/proc/cmdline", O_RDONLY);
    if (file < 0 || read(file, command_line, sizeof command_line - 1) < 0)
        die("/proc/cmdline");
    close(file);
    load_modules();
    int disks[DISKS_MAX], count = atoi(word("io.disks=", "1"));
    uint64_t first = strtoull(word("io.first=", "128"), NULL, 10);
    unsigned divide = (unsigned)atoi(word("io.divide=", "1"));
    settle_us = 1000 * (unsigned)atoi(word("io.settle=", "0"));
    char wanted[1024];
    snprintf(wanted, sizeof wanted, ",%s,", word("io.phases=", "all"));
    char *buffer = NULL;
    if (count > DISKS_MAX || !divide || posix_memalign((void **)&buffer, 4096, MIB))
        die("command line");
    for (unsigned i = 0; i < MIB; i++) /* neither zeros nor all pages alike */
        buffer[i] = (char)(i * 7 + i / 4096 + 1);
    for (int n = 0; n < count; n++) {
        disks[n] = open_disk(n, (first + (unsigned)n) * MIB);
        if (disks[n] < 0)
            die("open");
    }
    say("\nREADY\n");
    for (int n = 0; n < count; n++)
        for (unsigned i = 0; i < sizeof phases / sizeof phases[0]; i++) {
            char name[64];
            snprintf(name, sizeof name, ",%s,", phases[i].name);
            if (!strcmp(wanted, ",all,") || strstr(wanted, name))
                run_phase(n, disks[n], &phases[i], divide, buffer);
        }
    say("DONE\n");
    sync();
    reboot(RB_POWER_OFF);
    return 1;
}
