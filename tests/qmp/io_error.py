#!/usr/bin/env python3
"""A disk error that stops the machine: the BLOCK_IO_ERROR and STOP events, the state, cont, and the request that is tried
again; recorded, and replayed without any monitor. Usage: io_error.py VMRR GUESTS"""
from vmrr import Qmp, check, end, finish, guest, path, replay, start


def options(extra):
    return [f"{option},{extra}" if option.startswith("file=") else option for option in guest("dma_writer")]


def stop_and_go_on(timing):
    journal = path("stopped.vmrr")
    process = start("record", "-o", journal, "-S", f"--timing={timing}", "-qmp", f"unix:{path('qmp')},server=on,wait=off",
                    "-serial", f"file:{path('console')}", *options("werror=stop"),
                    "-blkfault", "drive=0,op=write,nth=100,kind=eio", "-blkfault", "drive=0,op=write,nth=200,kind=enospc")
    qmp = Qmp(path("qmp"))
    qmp.execute("cont")
    for nospace in (False, True):
        event = qmp.wait_event("BLOCK_IO_ERROR")["data"]
        check(event["operation"] == "write" and event["action"] == "stop" and event["nospace"] == nospace, event)
        check(set(event) == {"device", "node-name", "operation", "action", "nospace", "reason"}, set(event))
        drive = qmp.execute("query-block")[0]
        check(event["device"] == drive["device"] and event["node-name"] == drive["inserted"]["node-name"], event, drive)
        check(event["reason"] == ("No space left on device" if nospace else "Input/output error"), event)
        qmp.wait_event("STOP")
        status = qmp.execute("query-status")
        check(status["status"] == "io-error" and not status["running"], status)
        check(qmp.execute("query-block")[0]["io-status"] == ("nospace" if nospace else "failed"), "io-status")
        check("I/O status:       " in qmp.human("info block"), qmp.human("info block"))
        qmp.execute("cont")
        check(qmp.execute("query-block")[0]["io-status"] == "ok", "io-status")
        qmp.wait_event("RESUME")
    err = end(process, 1)[1]
    with open(path("console"), encoding="ascii") as console:
        said = console.read()
    check("500 interrupts" in said and " 0 errors" in said, said)
    replay(journal, err)


def told_only(name, operation, kind, nospace):
    """report and ignore: said, and the machine goes on."""
    process = start("run", "-S", "-qmp", f"unix:{path('qmp')},server=on,wait=off", "-serial", "none",
                    *options(f"{'rerror' if operation == 'read' else 'werror'}={name}"),
                    "-blkfault", f"drive=0,op={operation},nth=5,kind={kind}")
    qmp = Qmp(path("qmp"))
    qmp.execute("cont")
    event = qmp.wait_event("BLOCK_IO_ERROR")["data"]
    check((event["operation"], event["action"], event["nospace"]) == (operation, name, nospace), event)
    end(process, 1 if name == "ignore" and operation == "write" else 5)
    check(not [event for event in qmp.events if event["event"] == "STOP"], qmp.events)


def main():
    stop_and_go_on("model")
    stop_and_go_on("host")
    told_only("report", "read", "eio", False)
    told_only("report", "write", "enospc", True)
    told_only("ignore", "read", "eio", False)
    print("io errors: stopped, gone on, replayed")


finish(main)
