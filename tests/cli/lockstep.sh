#!/usr/bin/env bash
# vmrr diff --a --b as a user calls it, without KVM: two interpreters are equal, alike each time; mistakes; what can't be compared.
. "$(dirname "$0")/../guests/lib.sh"
lockstep() { # lockstep CODE OPTION...
    attempt "$1" "$VMRR" diff "${@:2}"
}
guest self_modifying64
lockstep 0 --a interp --b interp "${options[@]}" --every=16
said "$work/out" "^a: interp, b: interp: [0-9]+ exits, [0-9]+ events, .*stop: debug-exit$"
said "$work/out" "^equal$"
cmp -s "$work/self_modifying64.img" <(head -c 2M /dev/zero) || fail "the disk was written to"
lockstep 0 --a=interp --b=interp --json "${options[@]}" --seed=5
cp "$work/out" "$work/first"
lockstep 0 --a=interp --b=interp --json "${options[@]}" --seed=5
same "$work/out" "$work/first"
lockstep 0 --a=interp --b=interp --json "${options[@]}" --seed=6
! cmp -s "$work/out" "$work/first" || fail "another seed, and the same run"
lockstep 0 --a interp --b interp --until=7 "${options[@]}"
said "$work/out" "^a: interp, b: interp: 7 exits"

# Usage, before anything runs.
for wrong in "--b nobody" "--b gdb:" "--every=0" "--until=x" "--stall=0" "--frobnicate" "--b" "-m 0" "one.img two.img -hda three.img"; do
    lockstep 2 --a interp $wrong
    [ -s "$work/err" ] || fail "$wrong: nothing is said"
done
# What can't be compared, with the reason.
lockstep 4 --a interp --b interp -kernel "$work/none"
said "$work/out" "^not compared: a can't be made"
record "$work/run.vmrr" "$work/run.txt" 1 "${options[@]}"
lockstep 4 --a interp --b interp "$work/run.vmrr"
said "$work/out" "^not compared: .*its positions are instructions"
lockstep 4 --a interp --b "gdb:unix:$work/none" "${options[@]}"
said "$work/out" "^not compared: gdb:unix:.*none: "
printf '\xE6\x80\xEB\xFE' >"$work/endless.bin" # out 80, al; jmp to itself, as a boot sector
truncate -s 510 "$work/endless.bin"
printf '\x55\xAA' >>"$work/endless.bin"
lockstep 4 --a interp --b interp -m 16M -kernel "$work/endless.bin" --stall=1
said "$work/out" "^not compared: neither came to another exit within 1000 ms behind exit [0-9]+; until there they are alike$"
# Two recordings are still compared as such.
lockstep 0 "$work/run.vmrr" "$work/run.vmrr"
echo "lockstep: equal, mistakes, not compared"
