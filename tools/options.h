/* The machine's options as QEMU spells them, shared by run, record and (a few) replay. */
#ifndef VMRR_TOOLS_OPTIONS_H
#define VMRR_TOOLS_OPTIONS_H

#include "block/host_file.h"
#include "replay/replay.h"
#include "tools/chardev/chardev.h"

#include <stdbool.h>
#include <stdint.h>

enum serial_kind { SERIAL_DEFAULT, SERIAL_NONE, SERIAL_CHARDEV, SERIAL_STDOUT };

struct serial_option {
    enum serial_kind kind;
    const char *chardev; /* SERIAL_CHARDEV: label */
};

struct monitor_option {
    const char *chardev; /* label */
    bool control;        /* QMP; else for people */
};

#define OPTION_ID_BYTES 64

struct drive_option {
    bool present;
    const char *path;   /* null: a removable drive without a medium */
    const char *format; /* null: by the file's first bytes */
    bool read_only, snapshot;
    struct block_attachment at;
    struct block_policy policy;
    struct host_file_options host;
    enum block_detect_zeroes detect_zeroes;
    enum block_aio aio;
    char id[OPTION_ID_BYTES]; /* as monitors call it; so also its device, and its image when that was given a name */
    char qdev[OPTION_ID_BYTES + 48];
    const char *node_name; /* null: made up */
    unsigned given;        /* as how manieth */
    /* struct block_open_options */
    uint64_t l2_cache_bytes, refcount_cache_bytes, cache_bytes;
    uint32_t unguarded, guard_given; /* the second: bits of the first that were said one by one */
    const char *internal_snapshot;
};

#define OPTION_SERIALS 2
#define OPTION_MONITORS 8

/* replay: the run leaves its journal at a position. */
enum branch_then { BRANCH_NONE, BRANCH_LIVE, BRANCH_RECORD };
struct branch_original {
    const char *path, *format; /* format: null: by the file's first bytes */
    unsigned index;            /* of the drive in the journal; JOURNAL_DRIVES: the first that has none yet */
};
struct branch_option {
    enum branch_then then;
    bool has_at, has_set;
    uint64_t at; /* icount */
    struct branch_original original[JOURNAL_DRIVES];
    unsigned original_count;
    struct input_message *message; /* that arrive there; owned */
    size_t message_count;
    char *changes; /* --set's and -blkfault's, for people; owned; null: none */
};

/* Strings are borrowed from argv but for those that options_free frees. */
struct run_options {
    /* the machine */
    uint64_t ram_bytes;
    bool count_exits;    /* --positions exits, or -accel kvm */
    bool count_steps;    /* --positions instructions was asked for */
    bool trap_tsc;       /* -kvm-trap-tsc */
    uint64_t tsc_site[MACHINE_TSC_SITES_MAX]; /* -kvm-trap-tsc=ADDRESS... */
    unsigned tsc_sites;
    uint32_t kvm_slower; /* -kvm-slower; 0: not given */
    const char *kernel, *initrd, *append, *bios, *vgabios;
    const char *cpu, *accel;
    char *boot_order; /* owned */
    bool boot_menu, no_reboot, no_vga, no_shutdown, start_stopped, snapshot;
    struct drive_option drive[JOURNAL_DRIVES]; /* by index: 0..3 the IDE units, the others from 4 on */
    struct block_fault_rule fault[BLOCK_FAULT_RULES_MAX];
    unsigned fault_count;
    struct serial_option serial[OPTION_SERIALS];
    struct serial_option debugcon;
    struct chardev_options chardev[CHARDEVS_MAX];
    unsigned chardev_count;
    struct monitor_option monitor[OPTION_MONITORS];
    unsigned monitor_count;
    const char *gdb;        /* label of the debugger's character device; null: none */
    const char *guest_name; /* -name; null: none */
    bool has_rtc_base;
    uint64_t rtc_base_seconds;
    /* timing */
    uint32_t timing; /* enum block_timing */
    uint64_t seed;
    /* the run */
    uint64_t limit_icount; /* --until */
    uint64_t checkpoint_steps;
    uint64_t checkpoint_frames; /* record: a checkpoint in the journal every so many instructions; 0: none */
    /* Memory that a timeline's checkpoints may take; 0: as much as the guest has. Record: that those for the journal may; 0: twice
     * that and 1 GiB. */
    uint64_t checkpoint_bytes;
    const char *checkpoint_file; /* replay: checkpoints are taken from it and left in it; null: none */
    const char *output;     /* -o */
    const char *screendump; /* written when the run ends */
    const char *input;      /* replay: the journal */
    const char *scratch;    /* replay --block=rerun: directory for its images */
    struct branch_option branch;
    bool quiet, follow, dump_state, host_stacks, rerun;
    int zstd_level;
    char *owned[64]; /* copies made while parsing */
    unsigned owned_count;
};

enum options_use { OPTIONS_RUN, OPTIONS_RECORD, OPTIONS_REPLAY };

/* argv[0] is the subcommand. Returns -1 to go on, else the exit code (0 after --help). Errors are printed. */
int options_parse(struct run_options *options, enum options_use use, int argc, char **argv);
void options_free(struct run_options *options);

#endif
