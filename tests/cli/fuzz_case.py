"""A case file of `vmrr fuzz` for tests: code as hexadecimal strings over a plain state, with the registers that are named."""
import json


def write_case(path, mode, code, registers, **more):
    fx = bytearray(416)
    fx[0:2], fx[24:28] = b"\x7f\x03", b"\x80\x1f\x00\x00"
    gpr = ["0x0"] * 16
    gpr[4] = "0x10012000"
    for register, value in registers.items():
        gpr[["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi"].index(register)] = hex(value)
    with open(path, "w", encoding="ascii") as file:
        json.dump({"format": "vmrr-fuzz-1", "seed": "0x0", "mode": int(mode), "offset": 0, "rflags": "0x202",
                   "code": [{"bytes": text} for text in code], "gpr": gpr, "fxsave": fx.hex(), "ymm_high": "00" * 256,
                   "data": [], **more}, file)
    return path
