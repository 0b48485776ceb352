#!/usr/bin/env python3
"""What a monitor does to the guest is an input: recorded, and replayed bit-exactly without any monitor; a replay refuses it,
but can be looked at, stopped at a position and gone on from. Usage: record.py VMRR GUESTS"""
from vmrr import Qmp, check, connect, end, ending, events, finish, guest, path, read_until, replay, start, until


def record_buttons(timing):
    """A guest that waits for its console; buttons and keys meanwhile, with stops between them."""
    journal = path("buttons.vmrr")
    process = start("record", "-o", journal, "-S", f"--timing={timing}", "-qmp", f"unix:{path('qmp')},server=on,wait=off",
                    "-serial", f"unix:{path('serial')},server=on,wait=off", *guest("echo"))
    qmp = Qmp(path("qmp"))
    console = connect(path("serial"))
    until(lambda: any(c["label"] == "serial0" and not c["filename"].startswith("disconnected")
                      for c in qmp.execute("query-chardev")), "the console is connected")
    qmp.execute("cont")
    read_until(console, b"echo: type\n")
    console.sendall(b"one\n")
    read_until(console, b"one, at")
    qmp.execute("send-key", keys=[{"type": "qcode", "data": "ctrl"}, {"type": "qcode", "data": "a"}])
    qmp.execute("system_powerdown")
    qmp.wait_event("POWERDOWN")
    qmp.execute("stop")
    console.sendall(b"while it stands still\n")
    qmp.execute("cont")
    read_until(console, b"while it stands still, at")
    qmp.execute("system_reset")
    reset = qmp.wait_event("RESET")
    check(reset["data"] == {"guest": False, "reason": "host-qmp-system-reset"}, reset)
    read_until(console, b"echo: type\n")
    console.sendall(b"quit\n")
    read_until(console, b"echo: bye\n")
    shutdown = qmp.wait_event("SHUTDOWN")
    check(shutdown["data"]["guest"], shutdown)
    err = end(process, 1)[1]
    inputs = [event["input"] for event in events(journal) if "input" in event]
    for name, count in (("key", 4), ("power-button", 1), ("reset-button", 1), ("serial", 31)):
        check(inputs.count(name) == count, f"{inputs.count(name)} of input {name} in the journal, not {count}")
    replay(journal, err)


def quit_while_halted():
    journal = path("halted.vmrr")
    process = start("record", "-o", journal, "-qmp", f"unix:{path('qmp')},server=on,wait=off", "-serial", "none",
                    *guest("echo"))
    qmp = Qmp(path("qmp"))
    for _ in range(200):
        qmp.execute("query-status")
    qmp.execute("quit")
    replay(journal, end(process)[1])


def record_long():
    journal = path("long.vmrr")
    process = start("record", "-o", journal, "-serial", "none", "--until=30000000", *guest("endless"))
    return journal, end(process)[1]


def steer_replay(journal, err):
    process = start("replay", "-S", "-serial", "none", "-qmp", f"unix:{path('qmp')},server=on,wait=off", journal)
    qmp = Qmp(path("qmp"))
    check(qmp.execute("query-replay") == {"mode": "play", "icount": 0, "filename": journal}, "query-replay")
    for name, arguments in (("system_powerdown", {}), ("system_reset", {}),
                            ("send-key", {"keys": [{"type": "qcode", "data": "a"}]})):
        check(qmp.refused(name, "changes the guest", **arguments) == "GenericError", "class")
    check("changes the guest" in qmp.human("system_reset"), "human monitor")
    check("changes the guest" in qmp.human("sendkey a"), "human monitor")
    qmp.refused("replay-break", "the journal ends at", icount=1 << 40)
    qmp.refused("replay-break", "cannot go back", icount=0)
    qmp.execute("replay-break", icount=1234567)
    qmp.execute("cont")
    qmp.wait_event("STOP")
    check(qmp.execute("query-replay")["icount"] == 1234567, qmp.execute("query-replay"))
    rip = qmp.human("print/x $rip")
    registers = qmp.human("info registers")
    for icount in (20000001, 1234567, 77, 20000001, 1234567):
        qmp.execute("replay-seek", icount=icount)
        qmp.wait_event("STOP")
        check(qmp.execute("query-replay")["icount"] == icount, "seek")
    check(qmp.human("info registers") == registers, "back where it was")
    qmp.refused("replay-seek", "the journal ends at", icount=1 << 40)
    check("icount 77," in qmp.human("goto 77") and "icount 1234567," in qmp.human("goto 1234567"), "goto")
    qmp.execute("replay-seek", icount=20000001)
    qmp.execute("replay-break", icount=20000002)
    qmp.execute("replay-delete-break")
    qmp.execute("cont")
    again = end(process)[1]
    check("replay: bit-exact" in again and ending(again) == ending(err), again)
    # The same position by --until is the same instant.
    process = start("replay", "-serial", "none", "--until=1234567", "--dump-state", journal)
    check(f"cpu.rip = {int(rip, 16):x}\n" in end(process)[1], rip)


def not_in_play():
    process = start("run", "-S", "-serial", "none", "-qmp", f"unix:{path('qmp')},server=on,wait=off", *guest("endless"))
    qmp = Qmp(path("qmp"))
    qmp.refused("replay-break", "only in play mode", icount=5)
    qmp.refused("replay-seek", "must be enabled", icount=5)
    check(qmp.execute("query-replay")["mode"] == "none", "mode")
    process.terminate()
    shutdown = qmp.wait_event("SHUTDOWN")
    check(shutdown["data"]["reason"] == "host-signal", shutdown)
    end(process)


def main():
    record_buttons("model")
    record_buttons("host")
    quit_while_halted()
    steer_replay(*record_long())
    not_in_play()
    print("recorded, replayed, steered")


finish(main)
