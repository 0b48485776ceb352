#!/usr/bin/env python3
"""vmrr debug: gdb attached to a replay, with its commands; what it leaves behind; what it cannot do.
Usage: debug.py VMRR GUESTS"""
import glob
import os
import re
import shutil
import signal
import subprocess
import time

from stub import GUESTS, VMRR, check, finish, in_order, processes, same, skip, work

if not shutil.which("gdb"):
    skip("no gdb")
journal, disk, private = f"{work}/run.vmrr", f"{work}/disk.img", f"{work}/private"
os.mkdir(private)
environment = dict(os.environ, XDG_RUNTIME_DIR=private)
with open(disk, "wb") as file:
    file.truncate(2 << 20)
done = subprocess.run([VMRR, "record", "-q", "-o", journal, "-m", "16M", "-kernel", f"{GUESTS}/disk_shell.elf", "-drive",
                       f"file={disk},format=raw,if=ide", "-serial", "stdio"], capture_output=True, text=True,
                      input="\nw 5 1\nr 5\nw 5 2\nw 6 1\nw 5 3\nq\n")
same("exit code of the guest", done.returncode, 1)


def debug(*arguments, code=0):
    done = subprocess.run([VMRR, "debug", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=100, env=environment)
    check(f"{arguments}: exit code {done.returncode}, expected {code}\n{done.stdout}", done.returncode == code)
    same(f"what it leaves of {arguments}", os.listdir(private), [])
    return done.stdout


def gdb(*lines, options=(), code=0):
    more = [word for line in ("set pagination off", "set width 0", *lines) for word in ("-ex", line)]
    return debug(*options, journal, "--", "-nx", "-batch", *more, code=code)


# The events, as another program tells them: position, op, first sector, sectors.
dump = subprocess.run([VMRR, "dump", "--kind=block", journal], capture_output=True, text=True, check=True).stdout
requests = [tuple(int(part) if part.isdigit() else part for part in match) for match in
            re.findall(r"^ *(\d+) +\d+ block-request drive 0 tag (\d+) (\w+) sector (\d+)\+(\d+)", dump, re.M)]
writes = [request for request in requests if request[2] == "write"]
sector = 5
hits = [request for request in writes if request[3] == sector]
same("writes of the sector", len(hits), 3)
here = hits[1][0] + 10
nearest = max(request[0] for request in writes if request[0] < here and request[3] <= sector < request[3] + request[4])

text = gdb("vmrr-when", f"monitor replay_break {here}", "continue", "vmrr-when", f"vmrr-events {here} 3", f"monitor last-write {sector}",
           "vmrr-when", f"monitor goto {here}", f"monitor next-write {sector} 0", "vmrr-when", f"monitor goto {here}",
           f"monitor next-write {sector} 5", "vmrr-when", "monitor last-write", "monitor events x",
           "monitor last-write 4095")
in_order(text, r"icount 0, virtual time", rf"icount {here}, virtual time", rf"-> {here}\n",
         rf"icount {nearest} \(-{here - nearest}\): drive 0 tag {hits[1][1]} write of {hits[1][4]} sectors at {hits[1][3]}, hash \w+; "
         r"done at \d+: ok", rf"icount {nearest}, virtual time",
         rf"icount {hits[2][0]} \(\+{hits[2][0] - here}\): drive 0 tag {hits[2][1]} write", rf"icount {hits[2][0]}, virtual time",
         rf"no write of sector {sector} after here", rf"icount {here}, virtual time",
         r"sector \(of 512 bytes\) and, where there are several, drive expected", r"\[around\] .* expected",
         r"no write of sector 4095 before here")
block = text[text.index(f"-> {here}\n") - 400:text.index(f"-> {here}\n") + 400]
around = [int(place) for place in re.findall(r"^   (\d+) \(\d+ ns\)", block, re.M)]
check(f"three before, three after {here}: {around}", sum(place < here for place in around) == 3 and
      sum(place >= here for place in around) == 3)
text = gdb(f"vmrr-goto {here}", "monitor writes 2", "monitor writes none")
rows = re.findall(r"^(->|0\.\d+) +(\d+) ", text.replace(f"-> {here}\n", f"-> {here} \n"), re.M)
changes = [request for request in requests if request[2] != "read"]
before = [request for request in changes if request[0] < here][-2:]
after = [request for request in changes if request[0] >= here][:2]
same("writes around", [(name, int(place)) for name, place in rows],
     [(f"0.{request[1]}", request[0]) for request in before] + [("->", here)] +
     [(f"0.{request[1]}", request[0]) for request in after])
in_order(text, r"\[number of requests to each side\] expected")
help_text = gdb("help vmrr-goto", "help vmrr-symbols", "help vmrr-last-write", "monitor help events")
in_order(help_text, "Go to a place of a replay", "Place a Linux kernel's symbols", "Go back to the instruction", "events ")
# Going about.
text = gdb(f"vmrr-goto {here}", "vmrr-when", f"vmrr-last-write {sector}", "vmrr-when", f"vmrr-last-write {sector}", "vmrr-when",
           f"vmrr-next-write {sector}", "vmrr-when", "vmrr-bookmark place", "vmrr-goto start", "vmrr-goto place", "vmrr-when")
in_order(text, *(rf"icount {place}, virtual time" for place in (here, nearest, hits[0][0], nearest, nearest)))
in_order(gdb("vmrr-when", options=("--at", "50%")), r"icount \d{4,}, virtual time .*50\.00 %")

# Its own arguments, before and behind the file; gdb's exit code.
same("gdb's exit code", gdb("python print(6*7)", "quit 7", code=7).count("42"), 1)
console = f"{work}/console.txt"
debug(journal, f"--console=file:{console}", "--", "-nx", "-batch", "-ex", "continue")
with open(console) as file:
    check("the console", "disk shell: told" in file.read())
check("another gdb", "vmrr-gdb.py" in debug("--gdb=echo", journal))

# A System.map that fits no kernel of this guest; files that are none.
with open(f"{work}/System.map", "w") as file:
    file.write("ffffffff81000000 T _text\nffffffff81c00be0 T asm_exc_page_fault\nffffffff81c00b20 T asm_exc_general_protection\n")
in_order(gdb("vmrr-when", options=("--symbols", f"{work}/System.map")), "no kernel whose handlers are those is there yet", r"icount 0,")
with open(f"{work}/empty.map", "w") as file:
    file.write("0000000000000000 T _text\n")
in_order(gdb("vmrr-when", options=("--symbols", f"{work}/empty.map")), "expected lines as")
check("no such map", "nowhere.map: No such file" in debug("--symbols=nowhere.map", journal, code=2))
check("no such journal", "nowhere.vmrr" in debug("nowhere.vmrr", code=2))
check("no journal", "expected one journal" in debug(code=2))
check("two journals", "expected one journal" in debug(journal, journal, code=2))
check("no such gdb", "no-such-gdb" in debug("--gdb=no-such-gdb", journal, code=1))
check("an unknown option", "frobnicate" in debug("--frobnicate", journal, code=2))
with open(journal, "rb") as file:
    data = bytearray(file.read())
data[40] ^= 1  # the first frame's header
with open(f"{work}/bad.vmrr", "wb") as file:
    file.write(data)
check("a damaged journal", "bad.vmrr" in debug(f"{work}/bad.vmrr", code=2))
# Without its commands beside it.
shutil.copy(VMRR, f"{work}/vmrr")
alone = subprocess.run([f"{work}/vmrr", "debug", journal], capture_output=True, text=True, env=environment)
same("alone", (alone.returncode, "vmrr-gdb.py is neither beside" in alone.stderr), (1, True))

# In the middle of it: the socket is the user's alone; a signal ends all three processes.
running = subprocess.Popen([VMRR, "debug", journal, "--", "-nx", "-ex", "vmrr-when"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT, text=True, env=environment)
processes.append(running)
for line in running.stdout:
    if "icount 0," in line:
        break
directory, = glob.glob(f"{private}/vmrr-debug-*")
same("modes", [oct(os.stat(name).st_mode & 0o777) for name in (directory, f"{directory}/gdb")], ["0o700", "0o600"])


def children():
    found = subprocess.run(["ps", "-e", "-o", "pid=,args="], capture_output=True, text=True, check=True).stdout
    return [line for line in found.splitlines() if directory in line]


check(f"a replay and a gdb: {children()}", len(children()) == 2)
running.send_signal(signal.SIGTERM)
running.wait(timeout=60)
same("what is left", os.listdir(private), [])
end = time.monotonic() + 30
while children() and time.monotonic() < end:
    time.sleep(0.05)
same("who is left", children(), [])
print("gdb on a journal: commands, files, processes")
finish()
