#!/usr/bin/env bash
# A run whose positions are exits, recorded by the interpreter (record_exits.c) or, with `kvm`, by KVM, and walked about in (walk.c).
# With `sites`: by the interpreter, the guest's RDTSC being inputs (-kvm-trap-tsc=ADDRESS).
# Usage: exits.sh WALK RECORD NAME GOTOS [kvm|sites]
. "$(dirname "$0")/../guests/lib.sh"
walk=$1 recorder=$2 gotos=$4
if [ "${5:-}" = kvm ]; then
    . "$(dirname "$0")/../kvm/lib.sh"
    guest_needs "$3"
    guest "$3"
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" -accel kvm
    ways=("")
elif [ "${5:-}" = sites ]; then
    # The tests' other guests ask CPUID before they execute RDTSC. CS is as reset leaves it: offset 3 is at FFFF0003.
    python3 - "$work/firmware" <<'END'
import sys
code = bytes.fromhex("b92800" "0f31" "66a30005" "e680" "0f31" "01c3" "f8" "49" "75f0" "baf803" "b06b" "ee" "b00a" "ee" "b000" "e6f4" "faf4")
# mov cx, 40; 3: rdtsc; mov [500h], eax; out 80h, al; B: rdtsc; add bx, ax; clc; dec cx; jnz 3; "k\n" to COM1; out F4h, al; cli; hlt
image = bytearray(65536)
image[:len(code)] = code
image[0xFFF0:0xFFF3] = bytes.fromhex("e90d00")
open(sys.argv[1], "wb").write(image)
END
    verdict="^k$"
    record "$work/run.vmrr" "$work/run.txt" 1 -m 16M -bios "$work/firmware" --positions exits -kvm-trap-tsc=0xffff0003,0xffff000b
    attempt 0 "$VMRR" dump "$work/run.vmrr"
    [ "$(grep -c " pio-read e0/4 = " "$work/out")" = 80 ] || fail "RDTSC is not an exit each time"
    ways=("")
else
    ways=("" --checkpoint-frames=65536)
fi
for way in "${ways[@]}"; do
    if [ -z "${5:-}" ]; then
        guest "$3"
        attempt 1 "$recorder" -o "$work/run.vmrr" -serial "file:$work/run.txt" "${options[@]}" $way
    fi
    said "$work/run.txt" "$verdict"
    for memory in 64 1; do
        [ -z "$way" ] || [ $memory = 64 ] || continue
        attempt 0 "$walk" "$work/run.vmrr" 1 "$gotos" $memory
        [ -z "$way" ] || [ -z "$("$VMRR" dump --checkpoints "$work/run.vmrr")" ] || said "$work/out" " times set back, [1-9][0-9]* of them by the journal"
        echo "$3, $memory MiB $way: $(tail -n 2 "$work/out" | head -n 1)"
    done
done
