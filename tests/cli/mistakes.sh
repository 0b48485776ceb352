#!/usr/bin/env bash
# What a newcomer does wrong: a message that names what was wrong, exit code 2, and no file changed or left behind.
. "$(dirname "$0")/../guests/lib.sh"
guest ide_pio
cd "$work"
elf=$GUESTS/ide_pio.elf
refused() { # refused PATTERN command...: exit code 2 and the pattern on standard error
    attempt 2 "$VMRR" "${@:2}"
    said "$work/err" "$1"
    [ "$(wc -c <"$work/err")" -lt 2000 ] || fail "a long message: $(head -n 3 "$work/err")"
}
mkdir directory
: >empty
head -c 700 /dev/urandom >noise
new_disk disk.img
cp disk.img disk.before

# Commands and options
attempt 2 "$VMRR"
said "$work/out" "^usage: vmrr"
refused "unknown command rec " rec -o x.vmrr
refused "unknown option --frobnicate" run --frobnicate
refused "unknown option -o " run -o x.vmrr
refused "unknown option -m " replay -m 1G x.vmrr
refused "-kernel needs a value|needs a value" run -kernel
refused "needs a value" record -o
refused "takes no value" run --no-reboot=yes
refused "record where to" record -kernel "$elf"
refused "replay what" replay
refused "unexpected argument two" replay one two
refused "needs -kernel" run -append text
refused "needs -kernel" run -initrd "$elf"
for size in 0 -1 1 9G 99999999999999999999 1.5.5G 12Q 0x tenM "" 1000K; do
    [ "$size" = 1 ] || refused "^vmrr: -m .*expected a size" run -m "$size" -kernel "$elf"
done
refused "expected model or host" run --timing=fast
refused "expected a number" run --seed=many
refused "expected a position" run --until=soon
refused "expected instructions between checkpoints" run --checkpoint-every=1
refused "expected 1 to 19" record -o x.vmrr --zstd-level=20
refused "expected HOST:PORT" run -serial tcp:1234
refused "expected at most 65535" run -serial tcp:localhost:65536,server=on
refused "expected stdio, none, null, pty, file:PATH" run -serial foo:bar
refused "at most two serial ports" run -serial none -serial none -serial none
refused "expected 1: the machine has one CPU" run -smp 4
refused "expected interp or kvm" run -accel xen
refused "^vmrr: .*z80" run -cpu z80
for sites in "" , 0x9a9d, tenM 1,2,3,4,5 7,0x7 0x123456789012345678901; do
    refused "^vmrr: -kvm-trap-tsc .*expected up to 4 different linear addresses" run "-kvm-trap-tsc=$sites" --positions exits
done
refused "kvm-trap-tsc=ADDRESS needs -accel kvm" run -kvm-trap-tsc=0x9a9d -kernel "$elf"
refused "no -kvm-trap-tsc beside it" run -kvm-trap-tsc=0x9a9d -kvm-trap-tsc --positions exits -kernel "$elf"
refused "unknown option -kernel=" run "-kernel=$elf"
refused "expected none" run -net user
refused "expected pc" run -machine q35
refused "base=" run -rtc base=yesterday
refused "letters of" run -boot order=xyz

# Drives
refused "expected file=PATH" run -drive format=raw
refused "expected key=value" run -drive disk.img
refused "expected format=raw or qcow2" run -drive file=disk.img,format=vmdk
refused "expected if=ide" run -drive file=disk.img,if=scsi
refused "expected index=0 to 15" run -drive file=disk.img,index=16
refused "index=0 to 3" run -drive file=disk.img,index=4
refused "expected serial=" run -drive file=disk.img,serial=123456789012345678901
refused "expected media=" run -drive file=disk.img,media=tape
refused "if=none: expected a -device" run -drive file=disk.img,if=none,id=a
refused "expected the id of a -drive" run -drive file=disk.img,if=none,id=a -device nvme,drive=b
refused "if=none that no other device has" run -drive file=disk.img,id=a -device nvme,drive=a
refused "if=none that no other device has" run -drive file=disk.img,if=none,id=a -device nvme,drive=a -device nvme,drive=a
refused "expected addr=3 to 1f" run -drive file=disk.img,if=none,id=a -device nvme,drive=a,addr=2
refused "expected ide.0, ide.1, or PORT" run -drive file=disk.img,if=none,id=a -device ide-hd,drive=a,bus=sata.0
refused "AHCI port is taken" run -device ahci,id=s -drive file=disk.img,if=none,id=a -device ide-hd,drive=a,bus=s.1 -drive file=disk.img,if=none,id=b -device ide-hd,drive=b,bus=s.1
refused "expected virtio-blk-pci, nvme" run -device e1000
refused "drive 0 is given twice" run -hda disk.img -drive file=disk.img,index=0
refused "at most 4 IDE drives" run -drive file=disk.img -drive file=disk.img -drive file=disk.img -drive file=disk.img -drive file=disk.img

# Files
for option in -hda -kernel -bios; do
    refused "missing: .*No such file" run $option missing
    refused "directory" run $option directory
    refused "empty" run $option empty
done
refused "missing: .*No such file" run -kernel "$elf" -initrd missing
refused "noise" run -kernel noise
refused "No such file" record -o missing/x.vmrr -kernel "$elf"
refused "directory" record -o directory -kernel "$elf"
refused "missing/console" run -kernel "$elf" -serial file:missing/console
[ ! -e x.vmrr ] || fail "a refused command left a journal behind"

# What is no journal
for command in replay info dump verify; do
    refused "missing.*No such file" $command missing
    refused "empty" $command empty
    refused "noise" $command noise
    refused "disk.img" $command disk.img
    refused "directory" $command directory
done
refused "expected one journal" info
refused "expected one journal" dump
refused "expected one journal" verify
refused "expected a position" dump --from=start noise
refused "expected pio, mmio" dump --kind=everything noise
attempt 2 "$VMRR" info --frobnicate noise
attempt 2 "$VMRR" dump --frobnicate noise

same disk.img disk.before
echo "all refused by name"
