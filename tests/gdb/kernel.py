"""What the tests with a Debian kernel share: its options, and its own list of symbols (Debian's System.map is empty)."""
import os
import re
import socket
import subprocess
import sys
import time

from stub import VMRR, check, processes, skip, work

ASSETS, LINUX = sys.argv[3], sys.argv[4]


def kernel_options(task, append=""):
    """As tests/linux/lib.sh has them; task: a name, and for `disk` its image. append: to the kernel's command line."""
    script = f'. {LINUX}/lib.sh; linux_options kernel-cloud {task}; append "{append}"; printf "%s\\0" "${{options[@]}}"'
    done = subprocess.run(["bash", "-c", script, f"{LINUX}/x.sh"], capture_output=True, text=True,
                          env=dict(os.environ, VMRR=VMRR, ASSETS=ASSETS))
    if done.returncode == 77:
        skip(done.stdout)
    check(done.stderr + done.stdout[-500:], done.returncode == 0)
    return done.stdout.split("\0")[:-1]


def disk_options(append=""):
    """The disk task, with a new disk."""
    with open(f"{work}/disk.img", "wb") as disk:
        disk.truncate(64 << 20)
    return kernel_options(f"disk {work}/disk.img", append)


def kernel_list(words):
    """Lines "ADDRESS LETTER NAME" of /proc/kallsyms whose names match, modules' too, of a kernel that has not moved itself (KASLR)."""
    serial = f"{work}/serial"
    process = subprocess.Popen([VMRR, "run", "-q", *kernel_options("shell", " nokaslr"), "-serial", f"unix:{serial},server=on,wait=off"],
                               stdin=subprocess.DEVNULL)
    processes.append(process)
    while not os.path.exists(serial):
        check("vmrr runs", process.poll() is None)
        time.sleep(0.05)
    console = socket.socket(socket.AF_UNIX)
    console.connect(serial)
    console.settimeout(200)
    text = b""

    def wait_for(what):
        nonlocal text
        while what not in text:
            more = console.recv(65536)
            check(f"the shell: {text[-500:]!r}", more)
            text += more
    wait_for(b"# ")
    console.sendall(f"grep -E ' ({words})([[:space:]]|$)' /proc/kallsyms; echo th''at was it\n".encode())
    wait_for(b"that was it")
    process.kill()
    process.wait()
    return sorted(set(re.findall(r"([0-9a-f]{16} \w [\w.]+)(?:\t\[\w+\])?\r?\n", text.decode(errors="replace"))))
