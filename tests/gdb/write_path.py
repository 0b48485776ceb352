#!/usr/bin/env python3
"""A kernel's write path, as README.md walks it: from the fsync of its init down to the ATA command, back to the bio, and to the store that
put the data into the page cache. Symbols by name are the kernel's own. Usage: write_path.py VMRR GUESTS ASSETS TESTS_LINUX"""
import json
import re
import shutil
import subprocess

from kernel import disk_options, kernel_list
from stub import VMRR, check, finish, in_order, same, skip, work

if not shutil.which("gdb"):
    skip("no gdb")
DOWN = ("ext4_sync_file", "file_write_and_wait_range", "ext4_writepages", "blk_finish_plug", "blk_mq_dispatch_rq_list", "scsi_queue_rq",
        "ata_scsi_queuecmd", "ata_qc_issue", "ata_bmdma_qc_issue")
UP = ("vfs_write", "ext4_buffered_write_iter", "generic_perform_write", "copy_page_from_iter_atomic")
NAMES = (*DOWN, *UP, "__x64_sys_fsync", "iowrite8", "ata_bmdma_start", "submit_bio", "ext4_io_submit", "jiffies_to_msecs",
         "copy_user_enhanced_fast_string", "asm_exc_[a-z_0-9]*", "entry_SYSCALL_64")
journal, system_map = f"{work}/run.vmrr", f"{work}/System.map"
with open(system_map, "w") as file:
    file.write("\n".join(kernel_list("|".join(NAMES))) + "\n")
done = subprocess.run([VMRR, "record", "-q", "-o", journal, *disk_options(" nokaslr"), "-serial", "none"], stdin=subprocess.DEVNULL)
same("recording's exit code", done.returncode, 0)


def debug(*lines):
    more = [word for line in ("set pagination off", "set width 0", *lines) for word in ("-ex", line)]
    return subprocess.run([VMRR, "debug", "--symbols", system_map, journal, "--", "-nx", "-batch", *more], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL, timeout=500).stdout


def stack(names):
    return [rf"<{name}\+\d+>" for name in names]


def position(text, n=0):
    return int(re.findall(r"icount (\d+)", text)[n])


# The first fsync, and which sectors it writes first: the data of a file, by what the journal has.
text = debug("break ext4_sync_file", "continue", "vmrr-when", "vmrr-stack 0x80")
in_order(text, r"Breakpoint 1, 0x\w+ in ext4_sync_file", *stack(["__x64_sys_fsync"]))
fsync = position(text)
dump = subprocess.run([VMRR, "dump", "--json", "--kind=block", f"--from={fsync}", journal], capture_output=True, text=True, check=True).stdout
requests = [json.loads(line) for line in dump.splitlines()]
write = next(request for request in requests if request["kind"] == "block-request" and request["op"] == "write")
segments = [event for event in requests if event["kind"] == "block-segment" and event["tag"] == write["tag"]]
text = debug(f"vmrr-goto {fsync}", f"vmrr-next-write {write['sector']}", "vmrr-stack 0xa00", "vmrr-events", "reverse-finish", "reverse-finish",
             "break submit_bio", "reverse-continue", "vmrr-when", "vmrr-stack 0x30", f"vmrr-last-store {int(segments[1]['gpa'], 16):#x}",
             "vmrr-stack 0x200", "x/i $rip", "x/s $rsi", "monitor digest",
             "print ((unsigned (*)(unsigned long)) jiffies_to_msecs)(250)", "print ((unsigned (*)(unsigned long)) jiffies_to_msecs)(500)",
             "vmrr-diversion", "vmrr-diversion off", "monitor digest", "delete", "break ext4_sync_file", "continue", "vmrr-when",
             "vmrr-goto end", f"vmrr-last-write {write['sector']}", "detach")
in_order(text, rf"icount {write['icount']} \(\+\d+\): drive 0 tag {write['tag']} write of {write['sectors']} sectors at {write['sector']}",
         r"rip 0x\w+ <iowrite8\+\d+>", *stack(reversed(DOWN)), *stack(["__x64_sys_fsync"]), r"pio-write 1f7/1 = ca",
         rf"-> {write['icount']}", r"block-request", r"in ata_bmdma_start \(\)", r"in ata_bmdma_qc_issue \(\)",
         r"Breakpoint 1, 0x\w+ in submit_bio", *stack(["ext4_io_submit", "ext4_writepages"]), r"before the store of \d+ bytes at \w+ by the CPU",
         r"copy_user_enhanced_fast_string", *stack(reversed(UP)), r"rep movsb", r'"[\d\\n]+', r"\$1 = 1000", r"\$2 = 2000",
         r"in a diversion from icount", r"no diversion", r"Breakpoint 2, 0x\w+ in ext4_sync_file", rf"icount {fsync}, virtual",
         rf"icount {write['icount']} \(-\d+\): drive 0 tag {write['tag']}", r"iowrite8")
found = re.findall(r"state \w+ all \w+", text)
same("digests around a call", found[:1], found[1:])
print(f"fsync at {fsync}, ATA command at {write['icount']}, {len(segments)} segments")
finish()
