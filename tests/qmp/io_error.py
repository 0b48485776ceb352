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
        check(event["device"] == "ide0-hd0" and event["node-name"] and event["reason"], event)
        qmp.wait_event("STOP")
        status = qmp.execute("query-status")
        check(status["status"] == "io-error" and not status["running"], status)
        qmp.execute("cont")
        qmp.wait_event("RESUME")
    err = end(process, 1)[1]
    with open(path("console"), encoding="ascii") as console:
        said = console.read()
    check("500 interrupts" in said and " 0 errors" in said, said)
    replay(journal, err)


def report():
    process = start("run", "-S", "-qmp", f"unix:{path('qmp')},server=on,wait=off", "-serial", "none", *options("rerror=report"),
                    "-blkfault", "drive=0,op=read,nth=5,kind=eio")
    qmp = Qmp(path("qmp"))
    qmp.execute("cont")
    event = qmp.wait_event("BLOCK_IO_ERROR")["data"]
    check(event["operation"] == "read" and event["action"] == "report" and not event["nospace"], event)
    end(process, 5)


def main():
    stop_and_go_on("model")
    stop_and_go_on("host")
    report()
    print("io errors: stopped, gone on, replayed")


finish(main)
