"""What the tests of monitors and character devices share: starting vmrr, a QMP client written after QEMU's specification
(docs/interop/qmp-spec), and checks that say what they saw."""
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

PROGRAM, GUESTS = sys.argv[1], pathlib.Path(sys.argv[2])
TIMEOUT = 60
work = pathlib.Path(tempfile.mkdtemp())
running = []


def fail(*what):
    print("FAIL:", *what)
    raise SystemExit(1)


def check(condition, *what):
    if not condition:
        fail(*what)


def close(process):
    """Ends what still runs; says what a program said that ended before its time."""
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return
    if not process.stderr.closed:
        print(f"exit code {process.returncode}:", process.stderr.read().decode(errors="replace"))


def finish(main):
    try:
        main()
    finally:
        for process in running:
            close(process)
        shutil.rmtree(work, ignore_errors=True)


def path(name):
    return str(work / name)


def guest(name):
    """Options of a guest of tests/guests, with a disk where it has one."""
    options = ["-m", "16M", "-rtc", "base=2026-01-01T10:20:30", "-kernel", str(GUESTS / f"{name}.elf")]
    if name in ("endless", "ide_pio", "spinner", "dma_writer"):
        disk = path(f"{name}.img")
        with open(disk, "wb") as out:
            out.truncate(2 << 20)
        options += ["-drive", f"file={disk},format=raw,if=ide"]
    return options


def kernel_options(name):
    """A kernel of tests/linux, with its initrd; ends as skipped where there is none. Arguments 3 and 4: ASSETS, tests/linux."""
    assets, here = pathlib.Path(sys.argv[3]), sys.argv[4]
    lookup = f'export ASSETS="{assets}"; . "{here}/lib.sh"; kernel_of {name}; initrd_of {name}'
    lib = subprocess.run(["bash", "-c", lookup, f"{here}/qmp"], capture_output=True, text=True, check=False)
    if lib.returncode == 77:
        print(lib.stderr.strip())
        raise SystemExit(77)
    check(lib.returncode == 0, lib.stdout, lib.stderr)
    kernel, initrd = lib.stdout.split()
    return ["-m", "256M", "-kernel", kernel, "-initrd", initrd, "-no-reboot", "-rtc", "base=2026-01-01"]


def start(*arguments, **keywords):
    keywords.setdefault("stdin", subprocess.DEVNULL)
    process = subprocess.Popen([PROGRAM, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **keywords)
    running.append(process)
    return process


def end(process, code=0):
    """Waits for the end; returns standard output and standard error."""
    out, err = process.communicate(timeout=TIMEOUT)
    out, err = out.decode(errors="replace"), err.decode(errors="replace")
    check(process.returncode == code, f"exit code {process.returncode}, expected {code}:\n{out}\n{err}")
    return out, err


def ending(err):
    found = re.search(r"^guest: (.*) after ([0-9,]+) instr.* digest ([0-9a-f]+)$", err, re.M)
    check(found, "no summary in", err)
    return found.groups()


def replay(journal, err):
    """The journal replays bit-exactly, to the same end."""
    process = start("replay", "-serial", "none", journal)
    again = end(process)[1]
    check("replay: bit-exact" in again, again)
    check(ending(again) == ending(err), "the replay ends with", ending(again), "the recording with", ending(err))


def events(journal, kind="input"):
    run = subprocess.run([PROGRAM, "dump", "--json", f"--kind={kind}", journal], capture_output=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines()]


def connect(name):
    """Connects to a Unix socket as soon as somebody listens there."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        client = socket.socket(socket.AF_UNIX)
        try:
            client.connect(name)
            client.settimeout(TIMEOUT)
            return client
        except OSError:
            client.close()
            check(time.monotonic() < deadline, "nobody listens at", name)
            time.sleep(0.02)


def read_until(client, text):
    seen = b""
    while text not in seen:
        part = client.recv(4096)
        check(part, f"the connection ended; seen {seen!r}, waiting for {text!r}")
        seen += part
    return seen


class Error(Exception):
    pass


class Qmp:
    def __init__(self, name, negotiate=True):
        self.socket = connect(name)
        self.file = self.socket.makefile("rb")
        self.events = []
        self.greeting = self.receive()
        if negotiate:
            self.execute("qmp_capabilities")

    def receive(self):
        line = self.file.readline()
        check(line, "the QMP connection ended")
        check(line.endswith(b"\r\n"), "a message does not end with CR LF:", line)
        return json.loads(line)

    def raw(self, data):
        self.socket.sendall(data)

    def answer(self):
        while True:
            message = self.receive()
            if "event" not in message:
                return message
            self.events.append(message)

    def execute(self, command, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = {name.replace("_", "-"): value for name, value in arguments.items()}
        self.raw(json.dumps(request).encode() + b"\n")
        message = self.answer()
        if "error" in message:
            raise Error(message["error"]["class"], message["error"]["desc"])
        return message["return"]

    def refused(self, command, text, **arguments):
        try:
            value = self.execute(command, **arguments)
        except Error as error:
            check(text in error.args[1], command, "refused with", error.args, "instead of", text)
            return error.args[0]
        fail(command, arguments, "was accepted:", value)

    def human(self, line):
        return self.execute("human-monitor-command", command_line=line)

    def wait_event(self, name):
        for n, event in enumerate(self.events):
            if event["event"] == name:
                return self.events.pop(n)
        while True:
            event = self.receive()
            check("event" in event, "an answer to no question:", event)
            if event["event"] == name:
                return event
            self.events.append(event)

    def close(self):
        self.file.close()
        self.socket.close()


def until(look, what):
    """Polls for what a guest does in its own time."""
    deadline = time.monotonic() + TIMEOUT
    while not look():
        check(time.monotonic() < deadline, "does not happen:", what)
        time.sleep(0.02)
