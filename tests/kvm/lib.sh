# What the tests of -accel kvm share, over the guests' lib.sh. Skips, with the reason, what this host's KVM can't do.
. "$(dirname "$0")/../guests/lib.sh"
attempt 0 "$VMRR" info --host --json
cp "$work/out" "$work/host.json"
fact() { # fact NAME: yes, no, fails emulation, wrong, unknown
    python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))["facts"][sys.argv[2]])' "$work/host.json" "$1"
}
needs() { # needs FACT WHAT
    [ "$(fact "$1")" = yes ] || skip "this host's KVM: $1 is '$(fact "$1")': $2"
}
[ -r /dev/kvm ] && [ -w /dev/kvm ] || skip "/dev/kvm can't be opened"
ending() {
    sed -nE 's/^guest: (.*) after ([0-9,]+) (instructions|exits).* digest ([0-9a-f]+)$/\1 \2 \4/p' "$work/err"
}
# What a guest needs of the host.
guest_needs() {
    case $1 in
    protected32) needs paging_32 "the guest pages" ;;
    events32) needs paging_32 "the guest has task gates, which fail where 32-bit paging does" ;;
    debug64) needs breakpoint_rf "the guest sets breakpoints for itself" ;;
    floating | vectors) needs x87_cpl0 "hundreds of thousands of x87 and SSE instructions would be the interpreter's" ;;
    timers) needs int3_cpl0 "a timer of 48 us is faster than such a KVM delivers interrupts" ;;
    esac
}
