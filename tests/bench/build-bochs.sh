#!/bin/sh
# Builds Bochs from Debian's source package without its debugger, optimised, as a fairer peer for the benchmark than
# Debian's debugger build. Not part of any set-up: it takes some minutes. Needs apt's mirror, a C++ compiler and
# libncurses-dev; leaves the system's package lists alone.
#
#   [SUITE=bookworm] tests/bench/build-bochs.sh [DIRECTORY]     default: build/bochs; then run.py --peers bochs:DIRECTORY/bochs
#
# Mirrors do not keep every suite's upstream tarball: without SUITE the running release is tried, then trixie.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
out=${1:-$top/build/bochs}
mkdir -p "$out/apt/lists/partial" "$out/apt/cache/archives/partial"
out=$(cd "$out" && pwd)
. /etc/os-release

apt_private() {
    apt-get -q -o Dir::Etc::SourceList="$out/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
        -o Dir::State::Lists="$out/apt/lists" -o Dir::Cache="$out/apt/cache" -o APT::Sandbox::User=root "$@"
}
fetch_source() {
    key=/usr/share/keyrings/debian-archive-keyring.gpg
    echo "deb-src [signed-by=$key] http://deb.debian.org/debian $1 main" >"$out/apt/sources.list"
    apt_private update
    (cd "$out" && rm -f bochs_* && apt_private source --download-only bochs) || true # a mirror may lack the .dsc alone
    ls "$out"/bochs_*.orig.tar.* "$out"/bochs_*.debian.tar.* >/dev/null 2>&1          # apt has checked their hashes
}
for suite in ${SUITE:-$VERSION_CODENAME trixie}; do
    ! fetch_source "$suite" || break
done
cd "$out"
rm -rf source
mkdir source
tar -xf bochs_*.orig.tar.* -C source --strip-components=1
tar -xf bochs_*.debian.tar.* -C source
cd source
if [ -f debian/patches/series ]; then
    while read -r patch; do
        case $patch in '' | '#'*) continue ;; esac
        patch -p1 -s <"debian/patches/$patch"
    done <debian/patches/series
fi
test -d bochs && cd bochs
./configure --disable-debugger --disable-debugger-gui --enable-cpu-level=6 --enable-x86-64 --enable-fpu \
    --enable-repeat-speedups --enable-fast-function-calls --enable-handlers-chaining --enable-all-optimizations \
    --enable-pci --disable-docbook --disable-plugins --enable-a20-pin --with-nogui --with-term \
    CFLAGS='-O3 -fomit-frame-pointer' CXXFLAGS='-O3 -fomit-frame-pointer' >"$out/configure.log" 2>&1
make -j"${JOBS:-1}" >"$out/make.log" 2>&1
cp bochs "$out/bochs"
"$out/bochs" --help 2>&1 | head -3
echo "built: $out/bochs"
