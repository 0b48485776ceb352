#!/usr/bin/env bash
# One guest recorded by the interpreter with positions that are exits, with a digest of registers, devices and memory every EVERY
# exits, and replayed bit-exactly by the interpreter, without its disk; by KVM too, where the host has one that can do what the
# guest needs ("kvm": it is to). Usage: from_interp.sh NAME EVERY [kvm]
if [ -n "${3:-}" ] && [ -r /dev/kvm ] && [ -w /dev/kvm ]; then
    . "$(dirname "$0")/lib.sh"
    guest_needs "$1"
    ways=(interp kvm)
else
    . "$(dirname "$0")/../guests/lib.sh"
    ways=(interp)
fi
ending() {
    sed -nE 's/^guest: (.*) after ([0-9,]+) exits.* digest ([0-9a-f]+)$/\1 \2 \3/p' "$work/err"
}
guest "$1"
record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" --positions exits --checkpoint-every="$2"
said "$work/run.txt" "$verdict"
first=$(ending)
[ -n "$first" ] || fail "no ending: $(cat "$work/err")"
attempt 0 "$VMRR" info "$work/run.vmrr"
said "$work/out" "^  positions  exits"
attempt 0 "$VMRR" dump "$work/run.vmrr"
digests=$(grep -c " checkpoint state " "$work/out")
echo "$first; $digests digests, $(grep -c " deliver landmark " "$work/out" || true) stops between two exits, $(grep -c " deliver interrupt " "$work/out" || true) interrupts"
exits=$(sed -nE 's/^.* ([0-9,]+) [0-9a-f]+$/\1/p' <<<"$first" | tr -d ,)
# A string of port accesses is one stop.
[ "$digests" -ge $((exits / $2 / 20)) ] || fail "$digests digests in $exits exits"
[ ! -f "$work/$1.img" ] || mv "$work/$1.img" "$work/away.img"
for way in "${ways[@]}"; do
    attempt 0 "$VMRR" replay -accel "$way" -serial "file:$work/replay.txt" "$work/run.vmrr"
    said "$work/err" "^replay: bit-exact$"
    [ "$(ending)" = "$first" ] || fail "the replay on $way ends with $(ending), the recording with $first"
    same "$work/run.txt" "$work/replay.txt"
done
attempt 0 "$VMRR" verify "$work/run.vmrr"
[ ${#ways[@]} = 2 ] || [ -z "${3:-}" ] || skip "the replay on KVM: /dev/kvm can't be opened; by the interpreter it is bit-exact"
