#!/usr/bin/env bash
# One guest recorded on KVM, with a digest of registers, devices and memory every EVERY exits, and replayed bit-exactly by the
# interpreter, without its disk. Usage: guest.sh NAME EVERY [again]   again: replayed on KVM too
. "$(dirname "$0")/lib.sh"
guest_needs "$1"
guest "$1"
record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}" -accel kvm --checkpoint-every="$2"
said "$work/run.txt" "$verdict"
said "$work/err" "^kvm: [0-9]+ exits"
first=$(ending)
[ -n "$first" ] || fail "no ending"
digests=$("$VMRR" dump "$work/run.vmrr" | grep -c " checkpoint state ")
exits=$(sed -nE 's/^guest: .* after ([0-9,]+) exits.*/\1/p' "$work/err" | tr -d ,)
[ "$digests" -ge $((exits / $2 / 2)) ] || fail "$digests digests in $exits exits"
[ ! -f "$work/$1.img" ] || mv "$work/$1.img" "$work/away.img"
for way in interp ${3:+kvm}; do
    attempt 0 "$VMRR" replay -accel $way -serial "file:$work/replay.txt" "$work/run.vmrr"
    said "$work/err" "^replay: bit-exact$"
    [ "$(ending)" = "$first" ] || fail "the replay on $way ends with $(ending), the recording with $first"
    same "$work/run.txt" "$work/replay.txt"
done
attempt 0 "$VMRR" verify "$work/run.vmrr"
