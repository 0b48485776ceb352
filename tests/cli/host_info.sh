#!/usr/bin/env bash
# vmrr info --host: a device that is missing or none of KVM's is one line and exit code 1; where there is a KVM, text and JSON
# say the same.
. "$(dirname "$0")/../guests/lib.sh"

one_line() { # one_line WORDS OPTION...: exit code 1, nothing on standard output, one line with the words
    local words=$1
    shift
    attempt 1 "$VMRR" info "$@"
    [ ! -s "$work/out" ] || { cat "$work/out"; fail "info $*: prints something all the same"; }
    [ "$(wc -l <"$work/err")" = 1 ] || { cat "$work/err"; fail "info $*: not one line"; }
    grep -q -- "$words" "$work/err" || { cat "$work/err"; fail "info $*: does not say '$words'"; }
}

attempt 2 "$VMRR" info --host "$work/some.vmrr"
grep -q "about no journal" "$work/err" || fail "a journal with --host: $(cat "$work/err")"

if "$VMRR" info --host 2>&1 | grep -q "no KVM accelerator"; then
    one_line "x86-64 Linux" --host
    echo "this build has no KVM accelerator, and says so"
    exit 0
fi
for json in "" --json; do
    one_line "$work/missing: No such file" --host="$work/missing" $json
    one_line "modprobe" --host="$work/missing" $json
    one_line "/dev/null: not a KVM device" --host=/dev/null $json
    one_line "$work: not a KVM device" --host="$work" $json
done
if ! { : <>/dev/kvm; } 2>/dev/null; then
    one_line "/dev/kvm" --host
    echo "no /dev/kvm here, and info --host says so"
    exit 0
fi

attempt 0 "$VMRR" info --host
! grep -nE '.{121}| $' "$work/out" || fail "lines too wide, or with blanks at the end"
cp "$work/out" "$work/text"
attempt 0 "$VMRR" info --host --json
python3 - "$work/out" "$work/text" <<'END' || fail "text and JSON differ"
import json, re, sys
told, text = json.load(open(sys.argv[1])), open(sys.argv[2]).read()
answers = {"yes", "no", "fails emulation", "wrong", "unknown"}
lines = dict(re.findall(r"^  (\w+) +(%s)  ?" % "|".join(sorted(answers)), text, re.M))
assert len(told["facts"]) > 60 and set(told["facts"].values()) <= answers, told["facts"]
assert lines == told["facts"], set(lines.items()) ^ set(told["facts"].items())
assert "tier %s " % told["tier"] in text and told["path"] == "/dev/kvm" and told["api_version"] == 12
assert len(told["promises"]) == 3 * 4
for row in told["promises"]:
    assert row["level"] in ("bit-exact", "checked only", "refused"), row
    assert (row["level"] == "bit-exact") == (row["reason"] is None), row
    assert row["level"] != "refused" or row["position"] is None and not row["unless"], row
cells = re.findall(r"(bit-exact|checked only|refused) \(\d+\)", text)
assert cells == [row["level"] for row in told["promises"]], cells
assert (told["facts"]["cpuid_hides"] == "yes") == (told["cpuid_added"] == [])
assert set(told["costs_ns"]) == set(re.findall(r"^  (\w+) +(?:[\d.]+ us|not measured)", text, re.M))
END
echo "one line without KVM, the same in text and JSON with it"
