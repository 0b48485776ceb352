#!/usr/bin/env python3
"""Character devices: each back end carries what the guest says and is told, and what it is not is refused by name.
Usage: chardevs.py VMRR GUESTS"""
import os
import pty
import re
import select
import socket
import subprocess
import termios
import tty

from vmrr import PROGRAM, Qmp, check, connect, end, fail, finish, guest, path, read_until, replay, start, until

MONITOR = lambda: f"unix:{path('qmp')},server=on,wait=off"


class Descriptor:
    """A file descriptor that looks like a socket."""

    def __init__(self, number):
        self.number = number

    def recv(self, size):
        check(select.select([self.number], [], [], 60)[0], "nothing comes")
        return os.read(self.number, size)

    def sendall(self, data):
        check(os.write(self.number, data) == len(data), "short write")


def talk(far):
    """With the guest echo, which says when it is told something."""
    far.sendall(b"hello\n")
    read_until(far, b"hello, at")
    far.sendall(b"quit\n")
    read_until(far, b"echo: bye\n")


def recorded(name, connect_far, *options):
    journal = path(f"{name}.vmrr")
    process = start("record", "-o", journal, "-qmp", MONITOR(), "-S", *options, *guest("echo"))
    qmp = Qmp(path("qmp"))
    far = connect_far(process)
    until(lambda: not any("disconnected" in c["filename"] for c in qmp.execute("query-chardev")), f"{name} is connected")
    qmp.execute("cont")
    read_until(far, b"echo: type\n")
    talk(far)
    replay(journal, end(process, 1)[1])


def sockets():
    recorded("unix", lambda process: connect(path("u")), "-serial", f"unix:{path('u')},server,nowait")
    recorded("chardev", lambda process: connect(path("c")), "-chardev",
             f"socket,id=com,path={path('c')},server=on,wait=off", "-serial", "chardev:com")
    # A client: the far side listens, and is there only later.
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def accept(process):
        listener.listen(1)
        far = listener.accept()[0]
        far.settimeout(60)
        return far

    recorded("client", accept, "-chardev", f"socket,id=com,host=127.0.0.1,port={port},reconnect=1", "-serial",
             "chardev:com")
    listener.close()
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    listener.close()
    recorded("tcp", lambda process: socket.create_connection(("127.0.0.1", port), 60), "-serial",
             f"tcp:127.0.0.1:{port},server=on,wait=off")


def started(name):
    """The guest with its console at the socket, past its start: what is typed before that a UART forgets."""
    process = start("run", "-S", "-serial", f"unix:{path(name)},server,nowait", "-qmp", MONITOR(), *guest("echo"))
    qmp, far = Qmp(path("qmp")), connect(path(name))
    until(lambda: not any("disconnected" in c["filename"] for c in qmp.execute("query-chardev")), f"{name} is connected")
    qmp.execute("cont")
    read_until(far, b"echo: type\n")
    return process, far


def wait_for_client():
    process = start("run", "-serial", f"unix:{path('w')},server", *guest("echo"))
    line = process.stderr.readline()
    check(b"waiting for connection on: disconnected:unix:" in line, line)
    far = connect(path("w"))
    read_until(far, b"echo: type\n")
    talk(far)
    end(process, 1)


def reconnects():
    """A client that goes and comes again finds the guest as it was."""
    process, far = started("r")
    far.close()
    for _ in range(3):
        far = connect(path("r"))
        far.sendall(b"again\n")
        read_until(far, b"again, at")
        far.close()
    # The second of two waits for its turn.
    first, second = connect(path("r")), connect(path("r"))
    second.sendall(b"quit\n")
    first.sendall(b"first\n")
    read_until(first, b"first, at")
    first.close()
    read_until(second, b"quit, at")
    end(process, 1)


def pipes():
    for name in ("p.in", "p.out"):
        os.mkfifo(path(name))
    process = start("run", "-serial", f"pipe:{path('p')}", *guest("echo"))
    out, into = os.open(path("p.out"), os.O_RDONLY), os.open(path("p.in"), os.O_WRONLY)
    far = Descriptor(out)
    read_until(far, b"echo: type\n")
    os.write(into, b"quit\n")
    read_until(far, b"echo: bye\n")
    end(process, 1)
    os.close(out)
    os.close(into)


def terminals():
    names = []

    def open_pty(process):
        line = process.stdout.readline().decode()
        found = re.match(r"char device redirected to (/dev/pts/\d+) \(label serial0\)", line)
        check(found, line)
        number = os.open(found.group(1), os.O_RDWR | os.O_NOCTTY)
        tty.setraw(number)
        names.append(number)
        return Descriptor(number)

    recorded("pty", open_pty, "-serial", "pty")


def files():
    with open(path("log"), "w") as log:
        log.write("before\n")
    end(start("run", "-chardev", f"file,id=log,path={path('log')},append=on", "-serial", "chardev:log",
              *guest("protected32")), 1)
    with open(path("log")) as log:
        text = log.read()
    check(text.startswith("before\n") and "all as expected" in text, text)
    end(start("run", "-serial", f"file:{path('log')}", *guest("protected32")), 1)
    with open(path("log")) as log:
        check(not log.read().startswith("before\n"), "not truncated")
    out = end(start("run", "-serial", "null", *guest("protected32")), 1)[0]
    check(not out, out)


def stdio():
    """Standard input that is no terminal, for QMP; the serial port keeps away from it."""
    process = start("run", "-qmp", "stdio", "-S", *guest("echo"), stdin=subprocess.PIPE)
    process.stdin.write(b'{"execute":"qmp_capabilities"}{"execute":"query-status","id":7}{"execute":"quit"}')
    process.stdin.close()
    process.stdin = None
    out = end(process)[0].splitlines()
    check(len(out) == 5 and '"id": 7' in out[2] and "SHUTDOWN" in out[4], out)


def on_terminal(*options):
    """vmrr on a pseudo terminal of ours."""
    master, slave = pty.openpty()
    settings = termios.tcgetattr(slave)
    process = subprocess.Popen([PROGRAM, "run", "-q", *options, *guest("echo")], stdin=slave, stdout=slave,
                               stderr=subprocess.PIPE, start_new_session=True)
    return process, Descriptor(master), slave, settings


def mux():
    process, far, slave, settings = on_terminal("-serial", "mon:stdio")
    read_until(far, b"echo: type")
    far.sendall(b"hello\n")
    read_until(far, b"hello, at")
    far.sendall(b"\x01c")
    read_until(far, b"(vmrr) ")
    far.sendall(b"info stt\x7fatus\r")
    read_until(far, b"VM status: running\r\r\n(vmrr) ")
    for keys in (b"print 6*7\r", b"\x1b[A\r"):
        far.sendall(keys)
        shown = read_until(far, b"42\r\r\n(vmrr) ")
        check(shown.startswith(b"print 6*7"), "echo, history:", shown)
    far.sendall(b"\x01c")
    far.sendall(b"quit\n")
    read_until(far, b"quit, at")
    process.wait(60)
    check(termios.tcgetattr(slave) == settings, "the terminal is left raw")


def escapes():
    for keys in (b"\x01x", b"\x03"):
        process, far, slave, settings = on_terminal()
        read_until(far, b"echo: type")
        far.sendall(b"\x01h")
        read_until(far, b"end the run")
        if keys == b"\x03":
            process.send_signal(2)  # no controlling terminal here: what the terminal would send
        else:
            far.sendall(keys)
        check(process.wait(60) == 0, process.stderr.read())
        check(termios.tcgetattr(slave) == settings, "the terminal is left raw")


def refused(text, *options):
    err = end(start("run", *options, *guest("echo")), 2)[1]
    check(text in err, options, "refused with", err)


def mistakes():
    refused("expected null, stdio", "-chardev", "vc,id=x")
    refused("expected id=NAME", "-chardev", "null")
    refused("this id is used already", "-chardev", "null,id=a", "-chardev", "null,id=a")
    refused("needs path=", "-chardev", "file,id=a")
    refused("a socket needs path=", "-chardev", "socket,id=a")
    refused("a socket needs path=", "-chardev", "socket,id=a,path=x,port=1")
    refused("reconnect= is for a client", "-chardev", "socket,id=a,path=x,server=on,reconnect=1")
    refused("expected an option", "-chardev", "null,id=a,path=x")
    refused("expected path, host", "-chardev", "socket,id=a,path=x,telnet=on")
    refused("no -chardev with id=none", "-serial", "chardev:none")
    refused("no -chardev with id=none", "-mon", "chardev=none")
    refused("stdio is used already", "-serial", "stdio", "-qmp", "stdio")
    refused("is in use, and is not made with mux=on", "-chardev", "null,id=a", "-serial", "chardev:a", "-serial",
            "chardev:a")
    refused("expected chardev=ID", "-mon", "chardev=x,mode=x")
    refused("bytes", "-serial", f"unix:/tmp/{'x' * 200},server,nowait")
    with open(path("plain"), "w") as plain:
        plain.write("precious")
    refused("is not a socket", "-serial", f"unix:{path('plain')},server,nowait")
    with open(path("plain")) as plain:
        check(plain.read() == "precious", "a file was removed to make room for a socket")
    server = socket.socket(socket.AF_UNIX)
    server.bind(path("served"))
    server.listen(1)
    refused("another program listens there", "-serial", f"unix:{path('served')},server,nowait")
    check(os.path.exists(path("served")), "somebody else's socket was removed")
    server.close()
    process, far = started("served")  # nobody listens any more: taken over
    far.sendall(b"quit\n")
    read_until(far, b"bye")
    end(process, 1)


def main():
    for part in (sockets, wait_for_client, reconnects, pipes, terminals, files, stdio, mux, escapes, mistakes):
        part()
        print(part.__name__)


finish(main)
