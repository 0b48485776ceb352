/* Texts of --help: the program's and each subcommand's. */
#include "tools/help.h"

#include <stdio.h>
#include <string.h>

#define CHARDEV_OPTIONS                                                                                                \
    "  -chardev KIND,id=ID,...  a back end by itself: stdio[,signal=off], pty, null, file,path=F[,append=on],\n"       \
    "                           pipe,path=F, socket,path=PATH|host=H,port=P[,server=on][,wait=off][,reconnect=S];\n"   \
    "                           mux=on: for a console and a monitor\n"                                                 \
    "  -monitor DEV             the human monitor (help says its commands)\n"                                          \
    "  -qmp DEV                 QMP, for programs\n"                                                                   \
    "  -mon chardev=ID[,mode=readline|control]  the same two on a -chardev\n"                                          \
    "  -gdb tcp:HOST:PORT|unix:PATH|stdio  for gdb's `target remote` (-s: tcp:127.0.0.1:1234)\n"                       \
    "  -name NAME               for query-name\n"

#define MACHINE_OPTIONS                                                                                                \
    "Machine (QEMU's spelling; one dash or two):\n"                                                                    \
    "  -m SIZE                  memory, MiB unless a unit is given (default 128M, at most 8G)\n"                       \
    "  -cpu MODEL[,+F,-F]       max (the default: all that is implemented but vaes, vpclmulqdq), v1, v2, v3 or\n"      \
    "                           qemu64, features added or left out\n"                                                  \
    "  -accel interp|kvm        who executes the guest's code (kvm: `vmrr info --host` says what that can do here)\n"  \
    "  --positions exits|instructions  what positions count; exits (kvm's only way) with interp: a run that kvm can\n"    \
    "                           replay, under the host's clock\n"                                                    \
    "  -kvm-trap-tsc            kvm: RDTSC in the kernel (-kernel) becomes an input; its RDRAND has no number\n"        \
    "  -kvm-trap-tsc=ADDRESS[,ADDRESS...]  kvm: RDTSC at up to 4 linear addresses does, at CPL0; any guest\n"          \
    "  -kvm-slower N            kvm: virtual time N times slower than the host's, for hosts that emulate kernels\n"    \
    "  -kernel FILE             bzImage, vmlinux, multiboot ELF, or a 512-byte boot sector\n"                          \
    "  -initrd FILE             initial RAM disk; for multiboot: \"MODULE ARGS,MODULE ARGS\"\n"                        \
    "  -append TEXT             kernel command line\n"                                                                 \
    "  -bios FILE               firmware (default Debian's SeaBIOS; none with -kernel unless given)\n"                 \
    "  -drive file=F[,format=raw|qcow2][,if=ide|virtio|none][,index=N][,media=disk|cdrom][,id=ID][,serial=S]\n"        \
    "         [,readonly=on][,snapshot=on][,cache=writeback|none|writethrough|directsync|unsafe]\n"                    \
    "         [,aio=threads|native|io_uring][,discard=ignore|unmap][,detect-zeroes=off|on|unmap]\n"                    \
    "         [,rerror=report|ignore|stop][,werror=enospc|report|ignore|stop][,locking=auto|on|off]\n"                 \
    "         [,l2-cache-size=N][,refcount-cache-size=N][,cache-size=N][,overlap-check=all|cached|constant|none]\n"    \
    "         [,internal-snapshot=NAME-OR-ID]    qcow2\n"                                                              \
    "         [,throttling.{bps,iops}-{total,read,write}[-max[-length]]=N]\n"                                          \
    "  -hda FILE .. -hdd FILE, -cdrom FILE  the same in short\n"                                                       \
    "  -device virtio-blk-pci|nvme|ide-hd|ide-cd,drive=ID[,serial=S][,addr=SLOT][,bus=ide.N|AHCI.PORT]\n"              \
    "  -device ahci,id=AHCI     a controller for ide-hd and ide-cd\n"                                                  \
    "  -blkfault drive=N,op=read|write|flush|discard[,lba=A-B][,nth=N|every=K],kind=KIND[,once]\n"                     \
    "                           makes requests go wrong. KIND: eio, enospc, torn:SECTORS, lost, flip:BYTE:BIT, "       \
    "delay:NS,\n"                                                                                                      \
    "                           reorder\n"                                                                             \
    "  -snapshot                no drive's file is written to\n"                                                       \
    "  -boot order=cdn,menu=on  for the firmware\n"                                                                    \
    "  -serial DEV              COM1, a second time COM2 (default: COM1 on standard output, and on a terminal its\n"   \
    "                           input; Ctrl-A h says which keys there are). DEV: stdio, mon:stdio (Ctrl-A c: to the\n" \
    "                           monitor and back), pty, null, none, file:F, pipe:F, "                                  \
    "unix:PATH[,server=on][,wait=off],\n"                                                                              \
    "                           tcp:HOST:PORT[,server=on][,wait=off], chardev:ID\n"                                    \
    "  -debugcon stdio|DEV      ports 0x402 and 0xe9\n" CHARDEV_OPTIONS "  -vga std|none            display adapter\n" \
    "  -rtc base=utc|DATE       wall clock at start\n"                                                                 \
    "  -no-reboot               a reset or a triple fault ends the run\n"                                              \
    "  -no-shutdown             a guest that powers off leaves the run standing, until a monitor's quit\n"             \
    "  -S                       stop before the first instruction, until gdb or a monitor goes on (or SIGCONT)\n"      \
    "  -nographic, -display none, -smp 1, -M pc, -nodefaults, -net none: as QEMU, already so\n"                        \
    "Timing:\n"                                                                                                        \
    "  --timing=model|host      disk completions by a latency model (the same start gives the same run) or as the\n"   \
    "                           host finishes them\n"                                                                  \
    "  --seed=N                 vary the model's latencies and order (0: none)\n"                                      \
    "Run:\n"                                                                                                           \
    "  --until=POSITION         stop at this many instructions\n"                                                      \
    "  --checkpoint-every=N     instructions between digests of memory (default 250000000; exits: 16384) \n"       \
    "  --screendump=FILE        at the end: the screen as .png, or as text to .txt or -\n"                             \
    "  --dump-state             at the end: registers and device state to standard error\n"                            \
    "  -q, --quiet              no summary, no progress\n"

static const char program_help[] =
    "usage: vmrr COMMAND [options]\n"
    "\n"
    "A PC emulator that records a whole run and replays it bit-exactly.\n"
    "\n"
    "  run      run a guest, unrecorded\n"
    "  record   run a guest and keep everything that it does at its edge in a journal\n"
    "  replay   run a journal again, every access and digest checked\n"
    "  info     what is in a journal: machine, guest, length, events, sizes, whole or torn; what this host can do\n"
    "  dump     the journal's events, one a line, or as JSON\n"
    "  verify   the checksum of every frame, without replaying\n"
    "  debug    gdb on a journal's run\n"
    "  image    make, check, convert, compare, resize, rebase and commit disk images\n"
    "  writes   the guest's disk writes: from where, to where, and what became of each on the host\n"
    "  diff     what is different in two journals, or on two accelerators in lockstep\n"
    "  fuzz     random instructions on the interpreter and on this host's CPU or KVM, or on QEMU\n"
    "  blktrace a drive's writes as a dm-log-writes log, or its requests as lines of blkparse\n"
    "\n"
    "vmrr COMMAND --help tells more; vmrr --version the version. Manual: vmrr(1), vmrr-journal(5).\n";

static const char run_help[] =
    "usage: vmrr run [options] [DISK]\n\nRuns the machine, unrecorded. Exit code 0: powered off, "
    "reset or stopped; the guest's own through\nisa-debug-exit; 1: it died; 2: wrong options.\n\n" MACHINE_OPTIONS;

static const char record_help[] =
    "usage: vmrr record -o FILE.vmrr [options] [DISK]\n\nRuns the machine and records it. Ctrl-C ends the recording "
    "cleanly.\n\n  -o FILE                  the journal (an existing file is replaced)\n"
    "  --zstd-level=N           1 to 19 (default 3)\n"
    "  --checkpoint-frames=N    a checkpoint in the journal every N instructions, for replays that go about (default: none)\n"
    "  --checkpoint-memory=SIZE memory that these may take (default: twice the guest's and 1 GiB)\n"
    "  --host-stacks            keep the stack of vmrr itself at each call that changes an image (writes -v shows "
    "it)\n" MACHINE_OPTIONS;

static const char replay_help[] =
    "usage: vmrr replay [options] FILE.vmrr\n\n"
    "Runs a journal again, bit-exactly; needs nothing else and writes nothing. Exit code 0: bit-exact; 3: diverged;\n"
    "2: the file is not a journal that can be read.\n\n"
    "  --until=POSITION         stop at this many instructions\n"
    "  --then=live|record       go on from --until (or --at, or the journal's end) by itself, with the host's inputs;\n"
    "                           record: everything in a new journal\n"
    "  --at=POSITION            where that begins, when --until is to say where it ends\n"
    "  --set=WHAT               what is other than it was, once, from there: drop-flush, drop-write, reorder-write,\n"
    "                           torn-write=SECTORS, fail-read|write|flush=EIO, fail-write|flush=ENOSPC,\n"
    "                           flip=LBA:BYTE:BIT, delay=NS (each with ,drive=N ,lba=A-B ,nth=N); or key=NAME-NAME,\n"
    "                           serial=TEXT, power-button, reset-button\n"
    "  -blkfault RULE           the same by rules, as for run, counted from there\n"
    "  -drive file=F[,format=F][,index=N]  the image that drive N of the journal began with, for sectors that the\n"
    "                           journal does not know; only read\n"
    "  -o FILE                  the new journal\n"
    "  --zstd-level=N           its compression\n"
    "  -accel interp|kvm        who executes the guest's code, whoever did when it was recorded; kvm takes runs of "
    "kvm,\n"
    "                           and of interp with --positions exits\n"
    "  --follow                 the journal is still being recorded: wait for more at its end\n"
    "  --block=rerun --scratch=DIR  each disk request also on an image in DIR, through format and host code as in the\n"
    "                           recording, and reads compared (exit code 1: not as in the journal); steps in DIR too\n"
    "  --scratch=DIR            where --block=rerun makes its images\n"
    "  --host-stacks            with --block=rerun: stacks of vmrr itself among the steps\n"
    "  -serial DEV              where COM1's output goes (default standard output): as for run\n"
    "  -debugcon stdio|DEV      ports 0x402 and 0xe9\n" CHARDEV_OPTIONS
    "  --checkpoint-memory=SIZE  with gdb or a monitor, which may go backwards: memory for checkpoints (default: as much as\n"
    "                           the guest has)\n"
    "  --checkpoint-file=FILE   likewise: begin with the checkpoints in FILE, and leave some there at the end\n"
    "  --screendump=FILE        at the end: the screen as .png, or as text to .txt or -\n"
    "  --dump-state             at the end: registers and device state to standard error\n"
    "  -S                       stop before the first instruction, until gdb or a monitor goes on (or SIGCONT)\n"
    "  -q, --quiet              no summary, no progress\n";

static const char debug_help[] =
    "usage: vmrr debug [options] FILE.vmrr [-- ARGUMENTS of gdb]\n\n"
    "Starts gdb, attached to a replay of the journal, which stands at its start, with commands of its own: vmrr-when,\n"
    "vmrr-goto, vmrr-events, vmrr-last-write, vmrr-next-write, vmrr-last-store, vmrr-bookmark, vmrr-symbols (gdb's "
    "help\n"
    "tells of each). Exit code: gdb's.\n\n"
    "  --symbols=FILE           a Linux kernel's vmlinux or System.map: placed where the kernel moved itself (KASLR)\n"
    "  --at=PLACE               go there first, as vmrr-goto does\n"
    "  --console=DEV            where COM1's output goes (default none): as -serial of run\n"
    "  --gdb=PROGRAM            another gdb\n";

static const char info_help[] =
    "usage: vmrr info [--json] FILE.vmrr\n       vmrr info --host[=DEVICE] [--json]\n\n"
    "Machine, guest, length, events by kind, sizes, and whether the journal is whole or torn.\n\n"
    "  --host[=DEVICE]          instead, what this host's KVM (default /dev/kvm) does with small guests, and which "
    "runs\n"
    "                           can be replayed bit-exactly, be checked only, or are refused. Exit code 1: no KVM\n"
    "  --json                   as one JSON object\n";

static const char dump_help[] =
    "usage: vmrr dump [options] FILE.vmrr\n\nThe events, one a line: position, virtual time, kind, details.\n\n"
    "  --from=POSITION          first position (icount)\n"
    "  --to=POSITION            last position\n"
    "  --kind=K,K,...           pio, mmio, irq, halt, block, input, digest, ... (default: all)\n"
    "  --steps                  instead, what the recording's block layer did for each request\n"
    "  --checkpoints            instead, the checkpoints that it has (record --checkpoint-frames)\n"
    "  --json                   one JSON object a line\n";

static const char verify_help[] =
    "usage: vmrr verify FILE.vmrr\n\nChecks the checksum of every frame, without replaying. "
    "Exit code 0: whole; 2: torn or damaged.\n";

static const char image_help[] =
    "usage: vmrr image COMMAND [options] FILE...\n\n"
    "Disk images, raw and qcow2; commands, options, output and exit codes as qemu-img's.\n\n"
    "  create [-q] [-f FORMAT] [-b BACKING -F FORMAT] [-u] [-o NAME=VALUE,...] FILE [SIZE]\n"
    "           qcow2: cluster_size compat refcount_bits lazy_refcounts extended_l2 compression_type preallocation\n"
    "           data_file data_file_raw backing_file backing_fmt; raw: preallocation\n"
    "  info [-f FORMAT] [--backing-chain] [--output=human|json] FILE\n"
    "  check [-q] [-f FORMAT] [-r leaks|all] [--output=human|json] FILE\n"
    "           0: fine, 1: failed, 2: corrupt, 3: leaked clusters, 63: nothing to check in this format\n"
    "  map [-f FORMAT] [--start-offset=N] [--max-length=N] [--output=human|json] FILE\n"
    "  convert [-c] [-p] [-q] [-n] [-f FORMAT] [-O FORMAT] [-o NAME=VALUE,...] [-B BACKING -F FORMAT] [-l SNAPSHOT]\n"
    "          [-S BYTES] SOURCE TARGET\n"
    "  compare [-f FORMAT] [-F FORMAT] [-p] [-q] [-s] FILE FILE\n"
    "           0: same disk, 1: different, 2: cannot be opened, 4: cannot be read\n"
    "  snapshot [-l | -c NAME | -a NAME | -d NAME] FILE\n"
    "  resize [-f FORMAT] [--preallocation=off|metadata|falloc|full] [--shrink] [-q] FILE [+|-]SIZE\n"
    "  rebase [-f FORMAT] [-p] [-q] [-u] -b BACKING [-F FORMAT] FILE     -b \"\": none\n"
    "  commit [-f FORMAT] [-b BASE] [-d] [-p] [-q] FILE\n\n"
    "-U: look at an image that others may write to meanwhile.\n";

static const char writes_help[] =
    "usage: vmrr writes [options] FILE.vmrr [ID...]\n\n"
    "The guest's writes, flushes, discards and write-zeroes, one a line: name (drive.tag), position, virtual time, "
    "device,\n"
    "command, sectors, FUA, hash of the data, latency, status, number of calls to the host, address of the "
    "instruction.\n"
    "With IDs: only these.\n\n"
    "  -v, --verbose            the whole tree of each: where in the guest, scatter list, changes of the image's own\n"
    "                           structures, calls to the host, completion\n"
    "  --all                    reads too\n"
    "  --drive=N                of this drive only\n"
    "  --lba=RANGE              that touch these sectors: A, A-B or A+N\n"
    "  --file-offset=RANGE      that wrote to these bytes of a file of the host\n"
    "  --since=P, --until=P     submitted between these positions (icount)\n"
    "  --symbols=FILE           names for addresses: the guest kernel's System.map\n"
    "  --json                   one JSON object a line\n";

static const char diff_help[] =
    "usage: vmrr diff [options] A.vmrr B.vmrr\n\n"
    "What is different in two recordings: configuration; the first event that differs, with and without positions; "
    "the\n"
    "guest's disk requests; and, by replaying both, registers, device fields and memory before the first difference "
    "and\n"
    "at the end, and the sectors that the disks hold, with the requests that wrote them. Exit code 0: equal; 3: "
    "different;\n"
    "4: could not be compared; 2: wrong options.\n\n"
    "  --no-replay              only what the journals themselves say\n"
    "  --max=N                  at most so many entries of each list (default 16); what is counted is counted all\n"
    "  --json                   one object; keys: vmrr(1)\n\n"
    "       vmrr diff [--a WHO] [--b WHO] [options] [the machine's options as for run | RUN.vmrr]\n\n"
    "One machine on two accelerators in this process, with the same inputs, held against each other at every exit: "
    "registers,\n"
    "accesses, devices, memory. The first difference is followed to its instruction by single steps. The same exit codes.\n\n"
    "  --a=WHO, --b=WHO         interp, kvm, gdb:unix:PATH or gdb:tcp:HOST:PORT (a gdb remote target: QEMU's -gdb, with -S);\n"
    "                           default interp and kvm, when one of the two is given\n"
    "  --until=N                at most so many exits (a remote target: steps)\n"
    "  --every=N                devices and memory at each N-th exit or step (default 64), and at the end\n"
    "  --steps=N                single steps at most (default 2000000)\n"
    "  --stall=SECONDS          without an exit, and a side is stuck (default 30)\n"
    "  -o FILE.vmrr             when they differ: the run to there as a journal\n"
    "  RUN.vmrr                 instead of a machine: the run that was recorded on KVM, with its inputs\n";

static const char fuzz_help[] =
    "usage: vmrr fuzz [options]\n\n"
    "Runs random sequences of instructions from random state on the interpreter and on a reference, and compares "
    "registers,\n"
    "flags, x87, SSE and AVX state, memory and faults. What differs is shrunk to the smallest case, shown, and written "
    "to a\n"
    "file. Exit code 0: nothing differs; 3: something does; 4: this host can't be the judge; 2: wrong options.\n\n"
    "  --seed=N                 other cases (default 1); the same seed gives the same cases\n"
    "  --count=N                so many cases (default 1000000)\n"
    "  --time=SECONDS           for so long\n"
    "  --mode=16|32|64          size of the code (default 64)\n"
    "  --against=host|kvm       this host's CPU, in a locked-up child process (default); this host's KVM\n"
    "  --against=gdb:unix:PATH|gdb:tcp:HOST:PORT  a PC that stands before its first instruction (QEMU -S -gdb, -cpu max)\n"
    "  --level=0|3              privilege level of the code: kvm (default 0), host (3)\n"
    "  --paging=long|pae|32     what 16- and 32-bit code runs in (default long); pae, 32: gdb, or a KVM that has them\n"
    "  --max=N                  stop after so many cases that differ (default 10)\n"
    "  --output=DIR             where fuzz-MODE-SEED.json is written for each of them (default: here)\n"
    "  --replay=FILE            run the case of such a file again\n"
    "  --json                   one object; keys: vmrr(1)\n";

static const char blktrace_help[] =
    "usage: vmrr blktrace [options] -o FILE FILE.vmrr\n       vmrr blktrace --text [options] FILE.vmrr\n\n"
    "Replays the journal and writes the drive's writes to FILE in the format of Linux's dm-log-writes target, for\n"
    "xfstests' replay-log; or prints all requests as blkparse does.\n\n"
    "  -o, --output=FILE        where to\n"
    "  --drive=N                which drive (needed when there are several; --text: default all)\n"
    "  --text                   lines of blkparse: Q, D and C of each request; nothing is replayed\n";

void help_print(const char *command)
{
    static const struct {
        const char *command, *text;
    } texts[] = {{"run", run_help},           {"record", record_help}, {"replay", replay_help}, {"info", info_help},
                 {"dump", dump_help},         {"verify", verify_help}, {"image", image_help},   {"writes", writes_help},
                 {"blktrace", blktrace_help}, {"diff", diff_help},     {"fuzz", fuzz_help},     {"debug", debug_help}};
    for (size_t n = 0; command && n < sizeof texts / sizeof texts[0]; n++) {
        if (!strcmp(command, texts[n].command)) {
            fputs(texts[n].text, stdout);
            return;
        }
    }
    fputs(program_help, stdout);
}
