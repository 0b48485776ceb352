#!/usr/bin/env bash
# Debian's GRUB from a disk, with RDTSC in its kernel.img as an input (-kvm-trap-tsc=ADDRESS). Usage: grub.sh FORM
#   small     recorded on KVM with a digest every 64th exit, replayed bit-exactly by the interpreter and by KVM: no menu, a small file
#   kernel    the same with the menu, and a kernel and initrd read: millions of words of port input
#   interp    the small one recorded by the interpreter with positions that are exits, replayed by both
#   lockstep  the small one on both in lockstep: equal
# Where RDTSC is, objdump says: kernel.img is linked to where it runs.
form=$1
. "$(dirname "$0")/../linux/lib.sh"
seabios >/dev/null || exit $?
modules=$ASSETS/grub/usr/lib/grub/i386-pc
[ -f "$modules/boot.img" ] || skip "GRUB's package (grub-pc-bin) could not be fetched"
command -v grub-mkimage >/dev/null || skip "no grub-mkimage (package grub-common)"
command -v objdump >/dev/null || skip "no objdump (package binutils)"
fact() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["facts"][sys.argv[2]])' "$work/host.json" "$1"
}
for _ in 1 2 3 4 5 6; do # a probe ends after a time, and on a busy host it may not have come to this
    "$VMRR" info --host --json >"$work/host.json" 2>"$work/err" || skip "no KVM: $(tail -n 1 "$work/err")"
    [ "$(fact breakpoint_cpl0)" = unknown ] || break
done
[ "$(fact breakpoint_cpl0)" = yes ] || skip "this host's KVM: breakpoint_cpl0 is '$(fact breakpoint_cpl0)'"
sites=$(objdump -d --no-show-raw-insn "$modules/kernel.img" | sed -nE 's/^ *([0-9a-f]+):[[:space:]]+rdtsc *$/0x\1/p' | paste -sd ,)
count=$(tr ',' '\n' <<<"$sites" | grep -c 0x || true)
[ "$count" -ge 1 ] || skip "no RDTSC in this version's kernel.img"
[ "$count" -le 4 ] || skip "RDTSC at $count places of this version's kernel.img, and a host has four breakpoints"

attempt() { # attempt CODE COMMAND...: its output in $work/out and $work/err
    local wanted=$1 code=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
    [ $code = "$wanted" ] || { tail -n 20 "$work/out" "$work/err"; fail "exit code $code: $*"; }
}
said() { # said FILE PATTERN
    grep -aqE -- "$2" "$1" || { tail -n 20 "$1" && fail "not said: $2"; }
}
ending() {
    sed -nE 's/^guest: (.*) after ([0-9,]+) exits.* digest ([0-9a-f]+)$/\1 \2 \3/p' "$work/err"
}
options=(-m 16M -hda "$work/disk.img" -snapshot -no-reboot -rtc base=2026-01-01 -kvm-trap-tsc="$sites")
if [ "$form" = kernel ]; then
    kernel=$(kernel_of kernel-cloud) || exit $?
    "$here/make-grub-disk" "$modules" "$kernel" "$(initrd_of kernel-cloud)" "console=ttyS0" "$work/disk.img" "echo loaded" halt
    options+=(-m 256M)
    expected=("GNU GRUB  *version" "vmrr test guest" loaded)
else
    "$here/make-grub-disk" "$modules" - - "" "$work/disk.img" "cat /boot/text" "echo loaded" halt
    expected=(abcdefghijklmnopqrstuvwxyz loaded)
fi

if [ "$form" = lockstep ]; then
    attempt 0 "$VMRR" diff --a interp --b kvm "${options[@]}"
    said "$work/out" "^a: interp, b: kvm: [0-9]+ exits, [0-9]+ events, registers compared at [0-9]+ exits"
    said "$work/out" "^equal$"
    cat "$work/out"
    exit 0
fi
how=(-accel kvm -kvm-slower 2)
[ "$form" != interp ] || how=(--positions exits)
attempt 0 "$VMRR" record -o "$work/run.vmrr" -serial "file:$work/run.txt" "${options[@]}" "${how[@]}" --checkpoint-every=64
for text in "${expected[@]}"; do
    said "$work/run.txt" "$text"
done
first=$(ending)
case $first in power-off*) ;; *) fail "it ends otherwise: $(cat "$work/err")" ;; esac
grep -E "^(guest|kvm):" "$work/err"
[ "$form" = interp ] || said "$work/err" "^kvm: [1-9][0-9]* RDTSCs by breakpoints"
attempt 0 "$VMRR" dump "$work/run.vmrr"
digests=$(grep -c " checkpoint state " "$work/out")
reads=$(grep -cE " pio-read e0/4 = " "$work/out")
[ "$digests" -ge 500 ] && [ "$reads" -ge 20 ] || fail "$digests digests, $reads of RDTSC"
echo "$digests digests, RDTSC $reads times at $count places"
rm "$work/disk.img"
for way in interp kvm; do
    attempt 0 "$VMRR" replay -accel $way -serial "file:$work/replay.txt" "$work/run.vmrr"
    said "$work/err" "^replay: bit-exact$"
    [ "$(ending)" = "$first" ] || fail "the replay on $way ends with $(ending), the recording with $first"
    cmp "$work/run.txt" "$work/replay.txt" || fail "the consoles differ"
    grep -E "^(guest|kvm):" "$work/err"
done
