#!/usr/bin/env python3
"""Gate: an instruction function goes on to the next instruction by a jump, never by a call (interp.h, NEXT).

A call would nest one host stack frame for each guest instruction until the chain ends, and a guest could overflow the host's
stack. It happens when a local's address escapes, which the compiler does not tell. So the optimised objects of accel-interp are
disassembled, and

  1. an indirect call may stand only in a function that calls something else by pointer (ALLOWED, with what it calls);
  2. nobody but the run loop calls a function that goes on with a chain: one that jumps through an instruction's slot,
     or jumps to such a function.

Usage: check_tail_calls.py BUILD_DIR | --self-test COMPILER
"""
import pathlib
import re
import subprocess
import sys
import tempfile

SKIP = 77
RUN_LOOP = "run_chain"
# function (without .part and .constprop): what it calls by pointer
ALLOWED = {
    RUN_LOOP: "the first instruction",
    "run_guest": "struct cpu_link",
    "exec_mov_to_cr": "struct cpu_link",
    "exec_mov_from_cr": "struct cpu_link",
    "identify": "struct cpu_link",
    "msr_read": "struct cpu_link",
    "msr_write": "struct cpu_link",
    "io_string": "the operation for one element",
    "fp_sse_trapping": "an SSE operation",
    "fp_x87_execute_host": "host code",
    "dot_step": "fp_sse.c: a kernel",
    "unary": "fp_x87_soft.c: an operation of soft_float.h",
}
ALLOWED_PATTERN = re.compile(r"cmp[ps][sd]_(reg|m64|m32|seg|any)$")  # CMPPS and kin: a comparison by predicate

FUNCTION = re.compile(r"^[0-9a-f]+ <(\S+)>:$")
BRANCH = re.compile(r"^\s*[0-9a-f]+:\s+(?:bnd |notrack )*(call|jmp|j[a-z]+)\s+(\S+)(?:\s+<([^>+]+)(\+0x[0-9a-f]+)?>)?")
RELOCATION = re.compile(r"R_X86_64_(?:PLT32|PC32)\s+([^\s+-]+)")
LOAD = re.compile(r"\bmov\s+(?:0x[0-9a-f]+)?\((%\w+)\),(%\w+)")


def base_name(name):
    return re.sub(r"\.(part|constprop|isra|cold)\b.*", "", name)


class Function:
    def __init__(self, name):
        self.name = name
        self.indirect_calls, self.calls, self.jumps = [], set(), set()
        self.goes_on = False


def is_slot_jump(operand, before):
    """jmp *N(%reg), or a jump to what such a load put into a register; a jump table has an index or adds."""
    if re.fullmatch(r"\*(-?0x[0-9a-f]+)?\(%\w+\)", operand):
        return True
    register = operand.lstrip("*")
    for line in reversed(before):
        if re.search(r"\badd\s+%\w+," + register + r"\b", line) or "(,%" in line:
            return False
        load = LOAD.search(line)
        if load and load.group(2) == register:
            return True
    return False


def parse(text, functions):
    """A relocation under a branch names the target; only without one does the branch's own line."""
    function, last, lines = None, None, []

    def take(name):
        if last and name and name != function.name:
            (function.calls if last[0] == "call" else function.jumps).add(name)

    for line in text.splitlines():
        head = FUNCTION.match(line)
        if head:
            take(last and last[1])
            function, last, lines = functions.setdefault(head.group(1), Function(head.group(1))), None, []
            continue
        if function is None:
            continue
        relocation = RELOCATION.search(line)
        if relocation:
            take(relocation.group(1))
            last = None
            continue
        take(last and last[1])
        last = None
        branch = BRANCH.match(line)
        if branch:
            kind, operand, target, inside = branch.groups()
            if operand.startswith("*"):
                if kind == "call":
                    function.indirect_calls.append(line.strip())
                elif is_slot_jump(operand, lines[-6:]):
                    function.goes_on = True
            else:
                last = (kind, None if inside else target)
        lines.append(line)
    take(last and last[1])


def find_chain_functions(functions):
    going = {name for name, f in functions.items() if f.goes_on}
    while True:
        more = {name for name, f in functions.items() if name not in going and f.jumps & going}
        if not more:
            return going
        going |= more


def check(functions):
    going = find_chain_functions(functions)
    faults = []
    for name, f in functions.items():
        plain = base_name(name)
        if f.indirect_calls and plain not in ALLOWED and not ALLOWED_PATTERN.match(plain):
            faults += [f"{name}: indirect call: {line}" for line in f.indirect_calls]
        if plain != RUN_LOOP:
            faults += [f"{name}: calls {callee}, which goes on with the chain" for callee in sorted(f.calls & going)]
    return going, faults


def disassemble(path):
    return subprocess.run(["objdump", "-dr", "--no-show-raw-insn", str(path)], check=True, capture_output=True, text=True).stdout


def check_build(build):
    if build_type(build) == "Debug":
        print("SKIP: not an optimised build, which uses the loop in run_chain")
        return SKIP
    library = next(build.glob("accel-interp/libvmrr_interp.a"), None)
    if not library:
        print("SKIP: accel-interp is not built")
        return SKIP
    functions = {}
    # an object's static functions may share a name: each object is judged on its own
    faults, going_count = [], 0
    for part in disassemble(library).split("file format ")[1:]:
        functions = {}
        parse(part, functions)
        going, found = check(functions)
        going_count += len(going)
        faults += found
    print("\n".join(faults))
    if going_count < 1000:
        print(f"only {going_count} functions look like instructions: this gate has lost its eyes")
        return 1
    print(f"{going_count} functions go on with a chain, {len(faults)} faults")
    return 1 if faults else 0


def build_type(build):
    for line in (build / "CMakeCache.txt").read_text().splitlines():
        if line.startswith("CMAKE_BUILD_TYPE:"):
            return line.split("=", 1)[1] or "Release"
    return "Release"


SELF_TEST = """
struct insn { const struct insn *(*fn)(void *, const struct insn *); long fill[3]; };
void use(long *);
#define NEXT return (i + 1)->fn(cpu, i + 1)
const struct insn *good(void *cpu, const struct insn *i) { NEXT; }
const struct insn *escapes(void *cpu, const struct insn *i) { long local; use(&local); NEXT; }
const struct insn *nests(void *cpu, const struct insn *i)
{ long local; use(&local); return __builtin_expect(local, 0) ? good(cpu, i) : 0; }
const struct insn *hands_over(void *cpu, const struct insn *i) { return good(cpu, i); }
"""


def self_test(compiler):
    with tempfile.TemporaryDirectory() as folder:
        source, output = pathlib.Path(folder, "t.c"), pathlib.Path(folder, "t.o")
        source.write_text(SELF_TEST)
        subprocess.run([compiler, "-O2", "-fno-inline", "-c", str(source), "-o", str(output)], check=True)
        functions = {}
        parse(disassemble(output).split("file format ")[1], functions)
    going, faults = check(functions)
    faulty = {fault.split(":")[0] for fault in faults}
    print("\n".join(faults))
    if faulty != {"escapes", "nests"} or not {"good", "hands_over"} <= going:
        print(f"self-test: found {faulty}, chain functions {going}")
        return 1
    return 0


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        sys.exit(self_test(sys.argv[2]))
    sys.exit(check_build(pathlib.Path(sys.argv[1])))
