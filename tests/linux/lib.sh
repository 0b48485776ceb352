# What the Linux tests share. Sourced with VMRR (the program) and ASSETS (tests/linux/fetch-assets) set.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

skip() { # to standard error: the functions below are called for their output
    echo "SKIP: $*" >&2
    exit 77
}
fail() {
    echo "FAIL: $*"
    exit 1
}

# A script's first argument may be CONTROLLER=WHERE: see disk_options.
case ${1:-} in CONTROLLER=*) CONTROLLER=${1#CONTROLLER=} && shift ;; esac

# kernel_of NAME: path of the kernel in the unpacked package, or skip
kernel_of() {
    local path
    path=$(echo "$ASSETS/$1"/boot/vmlinuz-*)
    [ -f "$path" ] || skip "package of $1 could not be fetched"
    echo "$path"
}

# initrd_of NAME: made once, and anew when what makes it has changed. MODULES: what it has besides the usual ones.
initrd_of() {
    local path modules=${MODULES:-}
    path=$ASSETS/initrd-$1${modules:+-${modules// /-}}-$(cat "$here/make-initrd" "$here/init" | sha256sum | head -c 12).gz
    (
        flock 9
        # shellcheck disable=SC2086 # a list of words
        [ -f "$path" ] || "$here/make-initrd" "$ASSETS/$1" "$path" $modules
    ) 9>"$ASSETS/.lock-$1"
    echo "$path"
}

# tools_disk: a disk with fio and mkfs for the guest, made once; or skip
tools_disk() {
    local path program
    for program in fio mkfs.xfs mkfs.btrfs; do
        PATH=$PATH:/usr/sbin:/sbin command -v $program >/dev/null || skip "no $program (packages fio, xfsprogs, btrfs-progs)"
    done
    path=$ASSETS/tools-$(cat "$here/make-tools-disk" "$here"/fio/*.fio | sha256sum | head -c 12).img
    (
        flock 9
        [ -f "$path" ] || "$here/make-tools-disk" "$path"
    ) 9>"$ASSETS/.lock-tools" >/dev/null || exit $?
    echo "$path"
}

# seabios: path of the firmware that the host has, or skip
seabios() {
    local path
    for path in /usr/share/seabios/bios-256k.bin /usr/share/qemu/bios-256k.bin /usr/share/seabios/bios.bin; do
        [ -f "$path" ] && echo "$path" && return 0
    done
    skip "no SeaBIOS (package seabios)"
}

new_disk() {
    rm -f "$1"
    truncate -s "${2:-64M}" "$1"
}

# place_disk DISK: fills disk_options and disk_words (what init must be told). The disk is where the variable CONTROLLER
# says: ide (the default), ahci, or virtio or nvme with more properties of the device, as "virtio,disable-legacy=on"; its
# format the variable FORMAT (raw), more of -drive the variable DRIVE.
place_disk() {
    local device drive
    disk_words=
    drive=file=$1,format=${FORMAT:-raw}${DRIVE:+,$DRIVE}
    disk_options=(-drive "$drive,if=ide")
    case ${CONTROLLER:-ide} in
    ide) return ;;
    virtio*)
        disk_words=" vmrr.disk=vda vmrr.modules=virtio_pci,virtio_blk"
        device="virtio-blk-pci,drive=disk,serial=vmrr-virtio${CONTROLLER#virtio}"
        ;;
    nvme*)
        disk_words=" vmrr.disk=nvme0n1 vmrr.modules=nvme"
        device="nvme,drive=disk,serial=vmrr-nvme${CONTROLLER#nvme}"
        ;;
    ahci)
        disk_words=" vmrr.modules=ahci,sd_mod"
        disk_options=(-device ich9-ahci,id=ahci -drive "$drive,if=none,id=disk"
            -device "ide-hd,drive=disk,bus=ahci.0,serial=vmrr-ahci")
        return
        ;;
    *) fail "no controller $CONTROLLER" ;;
    esac
    disk_options=(-drive "$drive,if=none,id=disk" -device "$device")
}

# linux_options KERNEL_NAME TASK DISK: fills the array options
linux_options() {
    local kernel initrd
    kernel=$(kernel_of "$1") || exit $?
    initrd=$(initrd_of "$1")
    place_disk "${3:-}"
    options=(-m 256M -kernel "$kernel" -initrd "$initrd" -append "console=ttyS0 vmrr.task=$2$disk_words" -no-reboot
        -rtc base=2026-01-01)
    [ -z "${3:-}" ] || options+=("${disk_options[@]}")
}

append() { # append WORDS: to the kernel's command line in options
    local n
    for n in "${!options[@]}"; do
        [ "${options[n]}" != -append ] || options[n + 1]+=$1
    done
}

record() { # record JOURNAL CONSOLE options...
    local journal=$1 console=$2
    shift 2
    "$VMRR" record -q -o "$journal" -serial "file:$console" "$@" </dev/null || fail "record: exit $?"
}

replay() { # replay JOURNAL CONSOLE options...
    local journal=$1 console=$2
    shift 2
    "$VMRR" replay -q -serial "file:$console" "$@" "$journal" </dev/null 2>"$work/replay.err" ||
        { code=$?; cat "$work/replay.err"; fail "replay of $journal: exit $code"; }
    grep -q "replay: bit-exact" "$work/replay.err" || { cat "$work/replay.err"; fail "replay of $journal is not bit-exact"; }
}

# The event stream as text, without what depends on where frames were cut (how many bits of a digest a frame keeps).
events() {
    "$VMRR" dump "$1" | sed -E '/ digest /s/digest .*(..)$/digest \1/'
}

same_console() {
    cmp "$1" "$2" || fail "the consoles of $1 and $2 differ"
}
said() { # said CONSOLE TEXT
    grep -aq "$2" "$1" || { tail -n 30 "$1"; fail "the guest did not say: $2"; }
}

# clean_log CONSOLE: the kernel complained about nothing that an emulated machine could have got wrong
clean_log() {
    local complaints
    complaints=$(grep -aE 'ACPI (BIOS )?(Error|Warning)|WARNING:|BUG:|Oops|Call Trace|unchecked MSR|hard LOCKUP|soft lockup' "$1" || true)
    [ -z "$complaints" ] || { echo "$complaints"; fail "the guest's log $1 is not clean"; }
}
