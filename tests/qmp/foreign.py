#!/usr/bin/env python3
"""QMP as a client takes it that is not ours: that of Ganeti, by which Debian's clusters steer their QEMU guests (package
ganeti-3.0, hypervisor/hv_kvm/monitor.py, loaded as it is; only the modules that it imports for other ends, which need
packages of their own, are stood in for). Usage: foreign.py VMRR GUESTS ASSETS"""
import importlib.util
import json
import pathlib
import sys
import types

from vmrr import check, end, finish, guest, path, replay, start, until


def load(package):
    sources = [file.parent for file in pathlib.Path(package).glob("usr/share/ganeti/*/ganeti/errors.py")]
    if not sources:
        print("SKIP: package ganeti-3.0 could not be fetched")
        raise SystemExit(77)
    sys.path.insert(0, str(sources[0].parent))
    from ganeti import errors  # noqa: its own
    names = {
        "bitarray": {"bitarray": list},
        "ganeti.utils": {"ErrnoOrStr": str},
        "ganeti.constants": {},
        "ganeti.serializer": {"LoadJson": json.loads, "DumpJson": lambda data: json.dumps(data).encode()},
    }
    for name, members in names.items():
        module = types.ModuleType(name)
        module.__dict__.update(members)
        sys.modules[name] = module
        if "." in name:
            setattr(sys.modules["ganeti"], name.split(".")[1], module)
    spec = importlib.util.spec_from_file_location("monitor", sources[0] / "hypervisor/hv_kvm/monitor.py")
    monitor = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(monitor)
    return monitor, errors


def main():
    monitor, errors = load(sys.argv[3] + "/ganeti")
    process = start("record", "-o", path("run.vmrr"), "-S", "-serial", "none", "-qmp",
                    f"unix:{path('qmp')},server,nowait", *guest("endless"))
    until(lambda: pathlib.Path(path("qmp")).is_socket(), "the socket is there")
    # Methods that connect for themselves, each time anew, and those of an open connection.
    once = lambda: monitor.QmpConnection(path("qmp"))
    once().ContinueGuestEmulation()
    with once() as client:
        check(client.package.startswith("vmrr"), client.package)
        check("query-block" in client.supported_commands, client.supported_commands)
        check(client.Execute("query-status")["status"] == "running", "running")
        until(lambda: client.Execute("query-replay")["icount"] > 1000000, "the guest runs")
    once().StopGuestEmulation()
    with once() as client:
        check(client.Execute("query-status")["status"] == "paused", "paused")
        check(client._GetBlockDevices()[0]["device"] == "ide0-hd0", "block devices")
        check(client.Execute("query-blockstats")[0]["stats"]["rd_operations"] > 0, "blockstats")
        client.Execute("block_resize", {"device": "ide0-hd0", "size": 4 << 20})
        client.Execute("blockdev-snapshot-sync", {"device": "ide0-hd0", "snapshot-file": path("over.qcow2")})
        inserted = client.Execute("query-block")[0]["inserted"]
        check(inserted["image"]["virtual-size"] == 4 << 20 and inserted["backing_file_depth"] == 1, inserted)
        check({"eject", "blockdev-change-medium"} <= set(client.supported_commands), client.supported_commands)
        check(client.Execute("human-monitor-command", {"command-line": "cont"}) == "", "cont")
        check(client.Execute("query-status")["status"] == "running", "it runs on")
        try:
            client.Execute("migrate", {"uri": "tcp:nowhere"})
        except monitor.QmpCommandNotSupported:
            pass
        else:
            check(False, "migrate is not there")
        client.supported_commands = None  # so that it asks
        try:
            client.Execute("migrate", {"uri": "tcp:nowhere"})
        except errors.HypervisorError as error:
            check("CommandNotFound" in str(error), error)
        else:
            check(False, "migrate is not there")
        client.Execute("quit")
    replay(path("run.vmrr"), end(process)[1])
    print("Ganeti's client is content")


finish(main)
