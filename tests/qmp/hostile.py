#!/usr/bin/env python3
"""Clients that mean no good, or no sense, while a guest runs: it makes its way all the same, others are served, memory stays
bounded, and the recording replays. Usage: hostile.py VMRR GUESTS"""
import os
import random
import socket
import time

from vmrr import Qmp, check, connect, end, finish, guest, path, replay, start, until


def memory_kib(process):
    with open(f"/proc/{process.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def send_all(name, data, read=False):
    """Sends as far as the other side takes it; ends in the middle."""
    client = connect(name)
    client.settimeout(0.5)
    try:
        client.sendall(data)
        while read and client.recv(65536):
            pass
    except (socket.timeout, ConnectionError):
        pass
    client.close()


def noise(size):
    """Random bytes, the same each time. Without q and s: a line of one of them is what a human asks to quit or to stop by."""
    return random.Random(1).randbytes(size).translate(None, b"qs")


def attacks(name):
    request = b'{"execute":"qmp_capabilities"}'
    yield "a huge line", lambda: send_all(name, request + b'{"execute":"' + b"x" * (8 << 20))
    yield "deep nesting", lambda: send_all(name, request + b"[" * (1 << 20), read=True)
    yield "binary", lambda: send_all(name, noise(1 << 20), read=True)
    yield "half a request", lambda: send_all(name, request + b'{"execute":"query-')
    yield "zeros", lambda: send_all(name, bytes(1 << 20), read=True)
    yield "a flood of errors", lambda: send_all(name, b"{}" * 200000)
    yield "comes and goes", lambda: [connect(name).close() for _ in range(50)]
    yield "asks and goes", lambda: [send_all(name, request + b'{"execute":"query-commands"}') for _ in range(50)]


def never_reads(name):
    """Asks for much and reads nothing, until it is thrown out or no more is taken."""
    client = connect(name)
    client.settimeout(1)
    client.sendall(b'{"execute":"qmp_capabilities"}')
    sent = 0
    try:
        while sent < 20000:
            client.sendall(b'{"execute":"query-qmp-schema"}' * 10)
            sent += 10
    except (socket.timeout, ConnectionError):
        pass
    return client


def main():
    # AddressSanitizer keeps what is freed, 256 MiB of it unless told otherwise: that is not the program's own growth.
    sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=1:thread_local_quarantine_size_kb=64"
    process = start("record", "-o", path("run.vmrr"), "-serial", f"unix:{path('serial')},server=on,wait=off",
                    "-qmp", f"unix:{path('qmp')},server=on,wait=off", "-qmp", f"unix:{path('bad')},server=on,wait=off",
                    "-monitor", f"unix:{path('hmp')},server=on,wait=off", *guest("endless"),
                    env={**os.environ, "ASAN_OPTIONS": sanitizer})
    qmp = Qmp(path("qmp"))
    position = lambda: qmp.execute("query-replay")["icount"]
    until(lambda: position() > 10000000, "the guest runs")
    before_kib = memory_kib(process)

    def still_runs(what):
        at = position()
        until(lambda: position() > at + 10000000, f"the guest runs on: {what}")
        check(process.poll() is None, what)

    for what, attack in attacks(path("bad")):
        attack()
        still_runs(what)
    for what, attack in attacks(path("hmp")):
        attack()
        still_runs(f"human monitor: {what}")
    silent = never_reads(path("bad"))
    still_runs("a client that never reads")
    silent.close()
    # The guest prints to a console that nobody reads, and is typed to without end.
    console = connect(path("serial"))
    console.settimeout(1)
    try:
        for _ in range(100):
            console.sendall(b"x" * 65536)
    except socket.timeout:
        pass
    still_runs("a console that nobody reads")
    console.close()
    grown = memory_kib(process) - before_kib
    check(grown < 48 << 10, f"memory grew by {grown} KiB")
    # Whoever comes next is served as ever.
    again = Qmp(path("bad"))
    check(again.execute("query-status")["running"], "status")
    again.close()
    qmp.execute("quit")
    err = end(process)[1]
    replay(path("run.vmrr"), err)
    print(f"the guest made its way; memory grew by {grown} KiB")


finish(main)
