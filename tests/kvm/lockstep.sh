#!/usr/bin/env bash
# vmrr diff --a interp --b kvm: small guests are equal on both, with registers, events, devices and memory compared; a KVM that does
# something else than a processor is found, and the journal that is written leads there. Usage: lockstep.sh NAME [OPTION...]
. "$(dirname "$0")/lib.sh"
name=$1
shift
guest "$name"
lockstep() { # lockstep CODE OPTION...
    attempt "$1" "$VMRR" diff --a interp --b kvm "${options[@]}" "${@:2}"
}
if [ "$name" = protected32 ]; then
    [ "$(fact paging_32)" != yes ] || skip "this host's KVM has 32-bit paging: nothing to find"
    lockstep 3 --stall=3 -o "$work/found.vmrr"
    said "$work/out" "^different: "
    said "$work/out" "^the instruction \([0-9]+ behind exit [0-9]+, 32-bit code\)"
    said "$work/out" "^/.*found.vmrr: the run of b from its beginning to exit [0-9]+$"
    replay "$work/found.vmrr" "$work/replay.txt"
    exit 0
fi
lockstep 0 "$@"
said "$work/out" "^a: interp, b: kvm: [0-9]+ exits, [0-9]+ events, registers compared at [0-9]+ exits"
said "$work/out" "^equal$"
# The disk is as it was: what both wrote was thrown away.
[ ! -f "$work/$name.img" ] || [ "$name" = boot_disk ] || [ "$name" = boot_sector_disk ] ||
    cmp -s "$work/$name.img" <(head -c 2M /dev/zero) || fail "the disk was written to"
# The same as JSON, turned round, and over a recording.
attempt 0 "$VMRR" diff --a=kvm --b=interp --json --until=40 "${options[@]}"
python3 - "$work/out" <<'END' || fail "not as it should be: $(cat "$work/out")"
import json, sys
report = json.load(open(sys.argv[1]))
assert report["verdict"] == "equal" and report["a"] == "kvm" and report["b"] == "interp", report["verdict"]
assert 0 < report["exits"] <= 40 + 4096 and report["difference"] is None and report["reasons"] == []
assert report["register_looks"] and report["digest_looks"]
END
if [ "$name" = exceptions64 ]; then
    record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" -accel kvm
    attempt 0 "$VMRR" diff --a interp --b kvm "$work/run.vmrr"
    said "$work/out" "^equal$"
    record "$work/counted.vmrr" "$work/run.txt" 1 "${options[@]}"
    attempt 4 "$VMRR" diff --a interp --b kvm "$work/counted.vmrr"
    said "$work/out" "^not compared: .*its positions are instructions"
fi
