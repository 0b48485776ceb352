#!/usr/bin/env python3
"""The same command lines and the same QMP commands for vmrr and for QEMU: what they answer, and which events they send, is the same,
but for what names of nodes and devices are made of. Usage: beside_qemu.py VMRR GUESTS"""
import json
import os
import re
import shutil
import subprocess

from vmrr import PROGRAM, Error, Qmp, check, fail, finish, path, running

QEMU = "qemu-system-x86_64"
SIZE = 8 << 20
left_out = set()  # members whose values are each emulator's own


def qemu_img(*arguments):
    subprocess.run(["qemu-img", *arguments], check=True, stdout=subprocess.DEVNULL, cwd=path("."))


def make_images():
    qemu_img("create", "-f", "qcow2", "base.qcow2", "8M")
    qemu_img("create", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2", "-o", "lazy_refcounts=on", "middle.qcow2")
    qemu_img("create", "-f", "qcow2", "-b", "middle.qcow2", "-F", "qcow2", "top.qcow2")
    qemu_img("create", "-f", "qcow2", "-o", "compat=0.10,cluster_size=4096", "old.qcow2", "3M")
    qemu_img("create", "-f", "qcow2", "-o", "extended_l2=on,compression_type=zstd,refcount_bits=1", "new.qcow2", "5M")
    qemu_img("create", "-f", "raw", "plain.raw", "8M")
    qemu_img("create", "-f", "raw", "disc.iso", "2M")


class Emulator:
    def __init__(self, name, options):
        program = [QEMU, "-M", "pc", "-nodefaults", "-display", "none"] if name == "qemu" else \
            [PROGRAM, "run", "-q", "-serial", "none"]
        socket = path(f"{name}.qmp")
        self.process = subprocess.Popen([*program, "-S", "-qmp", f"unix:{socket},server=on,wait=off", *options],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                                        cwd=path("."))
        running.append(self.process)
        self.qmp = Qmp(socket)

    def ask(self, command, arguments):
        try:
            value = self.qmp.execute(command, **arguments)
        except Error as error:
            value = {"error": error.args}
        events = [(event["event"], event.get("data")) for event in self.qmp.events]
        self.qmp.events.clear()
        return plain([value, events])

    def quit(self):
        self.qmp.execute("quit")
        self.process.communicate(timeout=30)
        check(self.process.returncode == 0, "exit code", self.process.returncode)


def plain(value):
    """Without what is made up: numbers in names of nodes and devices."""
    if isinstance(value, dict):
        return {key: 0 if key in left_out else plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, str):
        value = re.sub(r"#block\d+", "#block", value)
        return re.sub(r"/device\[\d+\]", "/device[]", value)
    return value


def by_node(answer):
    """query-named-block-nodes has no order of its own."""
    return sorted(answer, key=lambda node: json.dumps(node, sort_keys=True))


def difference(where, a, b):
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted(set(a) | set(b)):
            if a.get(key, "<none>") != b.get(key, "<none>"):
                return difference(f"{where}.{key}", a.get(key, "<none>"), b.get(key, "<none>"))
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for n, (one, other) in enumerate(zip(a, b)):
            if one != other:
                return difference(f"{where}[{n}]", one, other)
    return f"{where}: vmrr has {a!r}, QEMU {b!r}"


def compare(options, commands):
    answers = []
    for name in ("vmrr", "qemu"):
        make_images()
        emulator = Emulator(name, options)
        answers.append([emulator.ask(command, arguments) for command, arguments in commands])
        emulator.quit()
    for (command, arguments), mine, theirs in zip(commands, *answers):
        if command == "query-named-block-nodes":
            mine[0], theirs[0] = by_node(mine[0]), by_node(theirs[0])
        if mine != theirs:
            fail(" ".join(options), "\n", command, arguments, difference("answer", mine, theirs))
    return answers[0]


LOOK = [("query-block", {}), ("query-named-block-nodes", {}), ("query-named-block-nodes", {"flat": True}),
        ("human-monitor-command", {"command_line": "info block"}), ("human-monitor-command", {"command_line": "info block -v"})]


def looks():
    """Command lines, and what there is to see."""
    lines = [
        ["-drive", "file=top.qcow2"],
        ["-drive", "file=top.qcow2,if=ide,cache=none,detect-zeroes=on"],
        ["-drive", "file=plain.raw,format=raw,if=virtio,cache=writethrough", "-drive", "file=disc.iso,format=raw,if=virtio"],
        ["-drive", "file=plain.raw,format=raw,id=x,cache=directsync,index=3", "-cdrom", "disc.iso"],
        ["-drive", "file=plain.raw,format=raw,cache=unsafe,discard=unmap,detect-zeroes=unmap,node-name=mine"],
        ["-drive", "file=plain.raw,format=raw,readonly=on,if=virtio", "-drive", "if=ide,media=cdrom,index=1"],
        ["-drive", "file=old.qcow2,index=0", "-drive", "file=new.qcow2,index=1,id=another"],
        ["-drive", "file=plain.raw,format=raw,throttling.bps-total=1000000,throttling.iops-total=100,"
                   "throttling.iops-total-max=200,throttling.iops-total-max-length=3,throttling.iops-size=4096"],
        ["-drive", "file=plain.raw,format=raw,throttling.bps-read=1000,throttling.bps-write=2000,throttling.bps-write-max=9000"],
        ["-drive", "file=top.qcow2,if=none,id=foo", "-device", "virtio-blk-pci,drive=foo,id=dv", "-drive",
         "if=none,id=cd", "-device", "ide-cd,drive=cd,id=tray"],
        ["-drive", "file=plain.raw,format=raw,if=none,id=n", "-device", "nvme,drive=n,serial=1"],
        ["-device", "ahci,id=ahci", "-drive", "file=plain.raw,format=raw,if=none,id=a", "-device", "ide-hd,drive=a,bus=ahci.0",
         "-drive", "file=disc.iso,format=raw,if=none,id=b,media=cdrom", "-device", "ide-cd,drive=b,bus=ahci.1"],
    ]
    for line in lines:
        compare(line, LOOK)
    return len(lines)


def media():
    commands = []
    for command, arguments in (
            ("eject", {"device": "ide1-cd0"}), ("eject", {"device": "ide1-cd0"}),
            ("blockdev-change-medium", {"device": "ide1-cd0", "filename": "plain.raw", "format": "raw"}),
            ("blockdev-change-medium", {"device": "ide1-cd0", "filename": "disc.iso", "format": "raw"}),
            ("blockdev-open-tray", {"device": "ide1-cd0"}), ("blockdev-open-tray", {"device": "ide1-cd0", "force": True}),
            ("blockdev-close-tray", {"device": "ide1-cd0"}), ("blockdev-close-tray", {"device": "ide1-cd0"}),
            ("eject", {"device": "nope"}), ("eject", {"device": "foo"}), ("eject", {"device": "foo", "force": True}),
            ("blockdev-open-tray", {"device": "foo"}), ("eject", {}),
            ("eject", {"device": "a", "id": "b"}), ("blockdev-remove-medium", {"id": "nope"}),
            ("blockdev-change-medium", {"device": "foo", "filename": "plain.raw", "format": "raw"})):
        commands += [(command, arguments), ("query-block", {})]
    for line in ("eject nope", "eject foo", "change nope x", "eject ide1-cd0", "change ide1-cd0 disc.iso raw",
                 "change ide1-cd0 plain.raw raw read-only", "eject -f ide1-cd0", "eject", "change", "change ide1-cd0",
                 "info block"):
        commands.append(("human-monitor-command", {"command_line": line}))
    compare(["-cdrom", "disc.iso", "-drive", "file=top.qcow2,if=none,id=foo", "-device", "virtio-blk-pci,drive=foo,id=dv"],
            commands)


def sizes():
    commands = []
    left_out.add("actual-size")  # where a table moves to when it grows
    for command, arguments in (
            ("block_resize", {"device": "foo", "size": 1000}), ("block_resize", {"device": "foo", "size": -512}),
            ("block_resize", {"size": 512}), ("block_resize", {"device": "nope", "size": 512}),
            ("block_resize", {"node_name": "nope", "size": 512}), ("block_resize", {"device": "foo"}),
            ("block_resize", {"device": "foo", "size": "many"}),
            ("block_resize", {"device": "foo", "size": 2 * SIZE}), ("block_resize", {"node_name": "node", "size": SIZE // 2}),
            ("block_resize", {"device": "foo", "size": SIZE // 2})):
        commands += [(command, arguments), ("query-block", {})]
    for line in ("block_resize foo 32", "block_resize nope 1", "block_resize foo", "info block"):
        commands.append(("human-monitor-command", {"command_line": line}))
    commands.append(("query-block", {}))
    compare(["-drive", "file=top.qcow2,if=none,id=foo,node-name=node", "-device", "virtio-blk-pci,drive=foo"], commands)


def snapshots():
    """Without what names files: QEMU gives backing files as they were opened, vmrr absolute, as the mode says."""
    commands = []
    for arguments in ({"device": "foo", "snapshot_file": "s", "format": "raw"}, {"device": "nope", "snapshot_file": "s"},
                      {"snapshot_file": "s"}, {"device": "foo"}, {"device": "cd", "snapshot_file": "s"},
                      {"device": "foo", "snapshot_file": "s", "mode": "x"}, {"device": "foo", "snapshot_file": "s", "format": "x"},
                      {"node_name": "node", "snapshot_file": "s"}, {"device": "foo", "snapshot_file": "one", "snapshot_node_name": "n1"},
                      {"node_name": "n1", "snapshot_file": "two", "snapshot_node_name": "n2"}):
        commands.append(("blockdev-snapshot-sync", arguments))
    options = ["-drive", "file=plain.raw,format=raw,if=none,id=foo,node-name=node", "-device", "virtio-blk-pci,drive=foo",
               "-drive", "if=ide,media=cdrom,index=2,id=cd"]
    for name in ("one", "two", "s"):
        if os.path.exists(path(name)):
            os.unlink(path(name))
    compare(options, commands)


def main():
    if not shutil.which(QEMU) or not shutil.which("qemu-img"):
        print(f"SKIP: {QEMU} or qemu-img is not there to compare with")
        raise SystemExit(77)
    count = looks()
    media()
    sizes()
    snapshots()
    print(f"{count} command lines, and the commands on media, sizes and snapshots: as QEMU answers")


finish(main)
