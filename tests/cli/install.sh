#!/usr/bin/env bash
# What cmake --install puts down: a program that runs, man pages that format without a warning and name every option, and a
# completion that works with and without the bash-completion package.  Usage: install.sh BUILD_DIR
set -euo pipefail
build=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "FAIL: $*"
    exit 1
}

cmake --install "$build" --prefix "$work/usr" >"$work/install.txt" 2>&1 || { cat "$work/install.txt"; fail "cmake --install"; }
vmrr=$work/usr/bin/vmrr
version=$("$vmrr" --version) || fail "vmrr --version: exit $?"
grep -qE '^vmrr [0-9]+\.[0-9]+\.[0-9]+ \(.*zstd.*\)$' <<<"$version" || fail "vmrr --version says: $version"

man1=$work/usr/share/man/man1/vmrr.1
man5=$work/usr/share/man/man5/vmrr-journal.5
for page in "$man1" "$man5"; do
    [ -s "$page" ] || fail "$page is not installed"
    if command -v groff >/dev/null; then
        groff -man -Tutf8 -ww -z "$page" 2>"$work/groff.txt" || fail "groff $page"
        [ ! -s "$work/groff.txt" ] || { cat "$work/groff.txt"; fail "warnings in $page"; }
    fi
done

# gdb's commands, where the program looks for them.
[ -s "$work/usr/share/vmrr/vmrr-gdb.py" ] || fail "vmrr-gdb.py is not installed"
"$vmrr" record -q -o "$work/run.vmrr" -m 16M --until=1000 || fail "vmrr record: exit $?"
"$vmrr" debug --gdb=echo "$work/run.vmrr" >"$work/debug.txt" 2>&1 || { cat "$work/debug.txt"; fail "vmrr debug: exit $?"; }
grep -q "share/vmrr/vmrr-gdb.py" "$work/debug.txt" || { cat "$work/debug.txt"; fail "vmrr debug finds other commands"; }

# The long and short options that --help names at the beginning of a line are in the manual and in the completion.
completion=$work/usr/share/bash-completion/completions/vmrr
[ -s "$completion" ] || fail "$completion is not installed"
tr -d '\\' <"$man1" >"$work/manual.txt"
for command in run record replay info dump verify writes blktrace diff fuzz debug; do
    "$vmrr" "$command" --help >"$work/help.txt" || fail "vmrr $command --help: exit $?"
    grep -q "^usage: vmrr $command" "$work/help.txt" || fail "vmrr $command --help does not say its usage"
    for option in $(sed -nE 's/^  (--?[a-zA-Z][a-z-]*).*/\1/p' "$work/help.txt"); do
        grep -qE -- "[ \"]$option([ =\",]|$)" "$work/manual.txt" || fail "vmrr(1) does not know $option of vmrr $command"
        case $option in -q | -nographic) continue ;; esac
        grep -qE -- "[ \"]$option([ =\")]|$)" "$completion" || fail "the completion does not know $option of vmrr $command"
    done
done

# complete WORDS...: what is offered for the last word
cat >"$work/complete" <<'END'
source "$1" || exit 1
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=${#COMP_LINE}
_vmrr
printf '%s\n' "${COMPREPLY[@]}"
END
offered() { # offered EXPECTED WORDS...
    local expected=$1 result
    shift
    result=$(env -i PATH="$PATH" bash --norc --noprofile "$work/complete" "$completion" "$@" 2>"$work/complete.txt") ||
        fail "completion of $*: exit $?"
    [ ! -s "$work/complete.txt" ] || { cat "$work/complete.txt"; fail "completion of $* complains"; }
    grep -qx -- "$expected" <<<"$result" || fail "completion of $* offers: $result"
}
env -i PATH="$PATH" bash --norc --noprofile -euc "source '$completion'" || fail "sourcing the completion"
offered record vmrr rec
offered -kernel vmrr run -ker
offered --zstd-level= vmrr record --zs
offered stdio vmrr run -serial st
offered "$work/complete" vmrr run -kernel "$work/compl"
echo "$version"
