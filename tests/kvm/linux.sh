#!/usr/bin/env bash
# Debian's cloud kernel recorded on KVM to its init and to power-off, and replayed by the interpreter: with -kvm-trap-tsc bit-exactly
# to its end; without, the replay goes to the first value that nobody had and names it. Minutes where kernels are emulated.
. "$(dirname "$0")/../linux/lib.sh"
"$VMRR" info --host --json >"$work/host.json" 2>"$work/err" || skip "no KVM: $(tail -n 1 "$work/err")"
fact() {
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["facts"][sys.argv[2]])' "$work/host.json" "$1"
}
[ "$(fact long_cpl3)" = yes ] || skip "this host's KVM: long_cpl3 is '$(fact long_cpl3)': init is such code"
case "$(fact syscall)" in yes | wrong) ;; *) skip "this host's KVM: syscall is '$(fact syscall)'" ;; esac
kernel=$(kernel_of kernel-cloud)
initrd=$(initrd_of kernel-cloud)
slower=1
[ "$(fact insn_emulation_cpl0)" != yes ] || slower=20 # its kernel code is emulated
linux_on_kvm() { # linux_on_kvm JOURNAL CONSOLE options...
    "$VMRR" record -o "$1" -serial "file:$2" -m 256M -cpu v1 -accel kvm -kvm-slower $slower -kernel "$kernel" -initrd "$initrd" \
        -no-reboot -append "console=ttyS0 vmrr.task=boot mitigations=off nokaslr lpj=1000000 cryptomgr.notests nowatchdog" \
        "${@:3}" >"$work/out" 2>"$work/err" </dev/null || {
        tail -n 5 "$work/err" "$2"
        fail "exit code $?"
    }
}

linux_on_kvm "$work/trapped.vmrr" "$work/console.txt" -kvm-trap-tsc
grep -aq "vmrr-init: boot done" "$work/console.txt" || { tail "$work/console.txt"; fail "init was not reached"; }
grep -aE "^(guest|kvm):" "$work/err"
"$VMRR" replay -serial "file:$work/replay.txt" "$work/trapped.vmrr" >"$work/out" 2>"$work/err" || { cat "$work/err"; fail "the replay with -kvm-trap-tsc"; }
grep -q "^replay: bit-exact$" "$work/err" || { cat "$work/err"; fail "the replay does not say that it was bit-exact"; }
cmp "$work/console.txt" "$work/replay.txt"

# Not trapped: as far as the contract goes.
linux_on_kvm "$work/plain.vmrr" "$work/console.txt" --until 200
code=0
"$VMRR" replay "$work/plain.vmrr" >"$work/out" 2>"$work/err" || code=$?
case $code in
0) echo "not trapped: nothing uncontrolled was read in 200 exits" ;;
3) grep -E "uncontrolled: |pull entropy" "$work/err" || { cat "$work/err"; fail "the first uncontrolled instruction is not named"; } ;;
*) cat "$work/err" && fail "exit code $code" ;;
esac
