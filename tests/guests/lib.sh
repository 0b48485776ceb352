# What the tests of bare-metal guests share. Sourced with VMRR (the program) and GUESTS (build's output directory) set.
set -euo pipefail
work=$(mktemp -d)
jobs_started=()
end_all() {
    local pid
    for pid in "${jobs_started[@]:-}"; do
        [ -z "$pid" ] || kill -KILL "$pid" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap end_all EXIT

skip() {
    echo "SKIP: $*"
    exit 77
}
fail() {
    echo "FAIL: $*"
    exit 1
}

all_guests=(dma_writer dma_writer64 self_modifying self_modifying64 spinner protected32 ide_pio timers inputs vga_text
    exceptions64 floating vectors monitor debug64 events32 boot_sector boot_sector_disk boot_disk vga_text_firmware)
firmware=/usr/share/seabios/bios-256k.bin

new_disk() { # new_disk FILE: 4096 sectors of zero
    rm -f "$1"
    truncate -s 2M "$1"
}

# guest NAME: fills the arrays options and verdict, and makes the guest's disk anew where it has one
guest() {
    local name=$1 disk=$work/$1.img
    options=(-m 16M -rtc base=2026-01-01T10:20:30)
    case $name in
    boot_disk) [ -f $firmware ] || skip "no $firmware" ;;
    *_firmware | *_disk) [ -f $firmware ] || skip "no $firmware" ;;
    esac
    case $name in
    boot_disk)
        cp "$GUESTS/boot_disk.bin" "$disk"
        options+=(-hda "$disk")
        ;;
    boot_sector_disk)
        new_disk "$disk"
        dd if="$GUESTS/boot_sector.bin" of="$disk" conv=notrunc status=none
        options+=(-hda "$disk")
        ;;
    boot_sector) options+=(-kernel "$GUESTS/boot_sector.bin") ;;
    *_firmware) options+=(-kernel "$GUESTS/${name%_firmware}.elf" -bios $firmware) ;;
    dma_* | self_modifying* | spinner | ide_pio | monitor | endless)
        new_disk "$disk"
        options+=(-kernel "$GUESTS/$name.elf" -drive "file=$disk,format=raw,if=ide")
        ;;
    *) options+=(-kernel "$GUESTS/$name.elf") ;;
    esac
    case $name in
    dma_writer*) verdict="^dma writer: 500 interrupts, [0-9]* sectors, 0 errors" ;;
    dma_many) verdict="^dma writer: 10000 interrupts, [0-9]* sectors, 0 errors" ;;
    self_modifying*) verdict="^self-modifying: all as expected" ;;
    spinner) verdict="^dma: 100 rounds" ;;
    ide_pio) verdict="^ide pio: [0-9]* interrupts, all as expected" ;;
    protected32) verdict="^protected32: 55 checks, all as expected" ;;
    events32) verdict="^events32: 34 checks, all as expected" ;;
    debug64) verdict="^debug64: 75 checks, all as expected" ;;
    inputs) verdict="^inputs: all read" ;;
    echo) verdict="^echo: bye" ;;
    vga_text*) verdict="^vga text: all as expected" ;;
    boot_sector*) verdict="^boot sector: all as expected" ;;
    boot_disk) verdict="^boot disk: all as expected" ;;
    *) verdict="^$name: all as expected" ;;
    esac
}

# attempt CODE COMMAND...: the command's output in $work/out and $work/err, its exit code must be CODE
attempt() {
    local wanted=$1 code=0
    shift
    "$@" >"$work/out" 2>"$work/err" </dev/null || code=$?
    [ $code = "$wanted" ] || {
        tail -n 20 "$work/out" "$work/err"
        fail "exit code $code, expected $wanted, of: $*"
    }
}
said() { # said FILE PATTERN
    grep -aqE -- "$2" "$1" || { tail -n 30 "$1"; fail "not said: $2"; }
}
not_said() {
    ! grep -aqE -- "$2" "$1" || { tail -n 30 "$1"; fail "said: $2"; }
}

record() { # record JOURNAL CONSOLE EXIT_CODE options...: a guest that leaves by itself has exit code 1
    attempt "$3" "$VMRR" record -o "$1" -serial "file:$2" "${@:4}"
}
replay() { # replay JOURNAL CONSOLE: bit-exact to the end
    attempt 0 "$VMRR" replay -serial "file:$2" "$1"
    said "$work/err" "^replay: bit-exact$"
}
# The guest's end as the last run, record or replay said it: cause, instructions, digest.
ending() {
    sed -nE 's/^guest: (.*) after ([0-9,]+) instr.* digest ([0-9a-f]+)$/\1 \2 \3/p' "$work/err"
}
same() {
    cmp "$1" "$2" || fail "$1 and $2 differ"
}
# The event stream as text, without what depends on where frames were cut (how many bits of a digest a frame keeps).
events() {
    "$VMRR" dump "$1" | sed -E '/ digest /s/digest .*(..)$/digest \1/'
}
# start_recording JOURNAL CONSOLE options...: in the background, $recorder is its process; waits until the guest is under way
start_recording() {
    rm -f "$1" "$2"
    "$VMRR" record -o "$1" -serial "file:$2" "${@:3}" </dev/null >"$work/record.out" 2>"$work/record.err" &
    recorder=$!
    jobs_started+=($recorder)
    for ((n = 0; n < 300; n++)); do
        [ ! -s "$2" ] || return 0
        sleep 0.1
    done
    cat "$work/record.err"
    fail "the guest says nothing"
}
# end_recording SIGNAL: $code is the recorder's exit code
end_recording() {
    code=0
    kill -"$1" "$recorder"
    wait "$recorder" 2>/dev/null || code=$?
}
