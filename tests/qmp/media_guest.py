"""The guest that does what its console says with a CD-ROM drive and a disk (tests/guests/media.c), recorded under a monitor;
and its replay, without the images that it had."""
import os
import pathlib
import struct

from vmrr import GUESTS, Qmp, check, connect, end, ending, events, path, read_until, start, until

BLOCK = 2048


def make_disc(name, letter, blocks):
    """Block n is filled with the words letter << 16 | n."""
    with open(path(name), "wb") as disc:
        for n in range(blocks):
            disc.write(struct.pack("<I", letter << 16 | n) * (BLOCK // 4))
    return path(name)


def connected(qmp, label="serial0"):
    """The console's socket has been taken: nothing that the guest says gets lost."""
    until(lambda: any(chardev["label"] == label and not chardev["filename"].startswith("disconnected")
                      for chardev in qmp.execute("query-chardev")), "the console is connected")


class Guest:
    def __init__(self, name, *options, timing="model", command="record"):
        self.journal = path(f"{name}.vmrr")
        self.output = ["-o", self.journal] if command == "record" else []
        self.process = start(command, *self.output, "-S", f"--timing={timing}", "-m", "16M", "-rtc", "base=2026-01-01",
                             "-kernel", str(GUESTS / "media.elf"), "-qmp", f"unix:{path('qmp')},server=on,wait=off",
                             "-serial", f"unix:{path('serial')},server=on,wait=off", *options)
        self.qmp, self.console = Qmp(path("qmp")), connect(path("serial"))
        connected(self.qmp)
        self.said = b""

    def begin(self):
        self.qmp.execute("cont")
        self.said += read_until(self.console, b"media: say\n")

    def tell(self, line, expected=None):
        """A line for the guest; what it says to it, to the end of the line."""
        self.console.sendall(line.encode() + b"\n")
        answer = read_until(self.console, b"\n")
        self.said += answer
        text = answer.decode().strip()
        check(expected is None or text == expected, f"{line!r}: the guest says {text!r}, expected {expected!r}")
        return text

    def drive(self, device):
        return next(drive for drive in self.qmp.execute("query-block") if drive["device"] == device)

    def finish(self):
        self.console.sendall(b"q\n")
        self.said += read_until(self.console, b"media: bye\n")
        self.error = end(self.process, 1)[1]
        return self.error

    def inputs(self, name):
        return [event for event in events(self.journal) if event.get("input") == name]

    def replay(self, *images):
        """Bit-exact, and the same words on the console, with the images gone."""
        for image in images:
            pathlib.Path(image).unlink(missing_ok=True)
        console = path("again")
        process = start("replay", "-serial", f"file:{console}", self.journal)
        again = end(process)[1]
        check("replay: bit-exact" in again, again)
        check(ending(again) == ending(self.error), ending(again), ending(self.error))
        with open(console, "rb") as out:
            check(out.read() == self.said, "the replay says other things")
        os.unlink(console)
