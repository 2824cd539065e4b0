#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs test programs of an x86-64 build on a CPU with AVX-512 where there is none: Linux, booted in
# Bochs, which is slow (a minute to boot, then about a hundredth of a machine's speed). Correctness
# only.
#
#   scripts/emulate-x86.sh [--cpu <model>] [--limit <seconds>] [<NAME>=<value>...] <program>...
#     --cpu    a model of `bochs --help cpu`; tigerlake (AVX-512 with VNNI) unless told.
#              sapphire_rapids has AVX-VNNI, AVX512-FP16 and AMX too, but wants a Bochs whose AMX is
#              mended; at its revision 783b58fd6 of August 2026 it is wrong in this:
#                no XFD, so that Linux stops (CPUID leaf 0xD: subleaf 1, EAX bit 4; subleaf 18, ECX
#                bit 2; MSRs 0x1C4 and 0x1C5; #NM where the first is set; the size that subleaf 1
#                gives without its alignment);
#                XSAVE of tiles (rows and bytes of a row change places, 8 rows of 16, in use and not
#                change places, which tiles are in use at first is left to chance);
#                tdpbssd, tdpbsud and tdpbusd take signed bytes for unsigned;
#                vcvtne2ps2bf16 reads its first source from past the end
#     --limit  give up after so many seconds; 900 unless told
#   NAME=value goes into the programs' environment: GTEST_FILTER, QB_REQUIRE_ISA, QB_ISA.
#   BOCHS names the bochs, 3.0 or newer (2.7 describes AVX-512 so that Linux does not save its
#   registers), built with neither window nor debugger; KERNEL another vmlinuz (6.12 or newer: 6.1
#   does not boot).
#
# Prints the programs' output; exits 1 if one failed or did not end. Needs bochs, busybox-static,
# isolinux and xorriso (scripts/install-deps.sh --bochs).
set -euo pipefail
fail() { echo "emulate-x86.sh: $*" >&2; exit 2; }

cpu=tigerlake limit=900 settings=() programs=()
while (($#)); do
  case $1 in
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    --cpu) cpu=${2:?} && shift ;;
    --limit) limit=${2:?} && shift ;;
    -*) fail "no option '$1'" ;;
    [A-Z]*=*) settings+=("$1") ;;
    *) [[ -x $1 ]] || fail "no program $1"
       programs+=("$(realpath "$1")") ;;
  esac
  shift
done
((${#programs[@]})) || fail "name a program"
bochs=${BOCHS:-bochs}
for tool in "$bochs" busybox xorriso cpio; do
  command -v "$tool" >/dev/null || fail "no $tool here; scripts/install-deps.sh --bochs installs it"
done
[[ $("$bochs" --help cpu 2>&1) == *sapphire_rapids* ]] ||
  fail "$bochs is older than 3.0, in which Linux can't use AVX-512; name a newer one in BOCHS"

cd "$(dirname "$0")/.."
cache=$PWD/build/emulated-x86
mkdir -p "$cache"

# The smallest kernel that Debian has, unpacked and not installed.
if [[ -z ${KERNEL:-} ]]; then
  KERNEL=$cache/vmlinuz
  if [[ ! -f $KERNEL ]]; then
    package=$(apt-cache pkgnames linux-image-6. |
              grep -E '^linux-image-6\.(1[2-9]|[2-9][0-9])\.[^-]*-cloud-amd64(-unsigned)?$' |
              sort -V | tail -n 1) || fail "no package of Linux 6.12 or newer; name a vmlinuz in KERNEL"
    rm -rf "$cache/kernel" && mkdir "$cache/kernel"
    (cd "$cache/kernel" && apt-get -q download "$package" && dpkg -x ./*.deb .)
    mv "$cache"/kernel/boot/vmlinuz-* "$KERNEL"
    rm -rf "$cache/kernel"
  fi
fi

run=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$run"' EXIT
root=$run/root disc=$run/disc
mkdir -p "$root"/{dev,proc,tmp,bin,programs} "$disc"

# The file system: busybox, the programs, the libraries that they load, and what runs them in turn.
cp "$(command -v busybox)" "$root/bin/busybox"
for program in "${programs[@]}"; do
  strip -o "$root/programs/${program##*/}" "$program"
  ldd "$program" 2>/dev/null | grep -o '/[^ ]*' | while read -r library; do
    cp -L --parents --update "$library" "$root"
  done || true  # a static one
done
{
  echo '#!/bin/busybox sh'
  echo '/bin/busybox mount -t proc proc /proc'
  echo '/bin/busybox mount -t devtmpfs dev /dev'
  echo '/bin/busybox mount -t tmpfs tmp /tmp'
  echo 'exec </dev/null >/dev/ttyS0 2>&1'
  ((${#settings[@]} == 0)) || printf 'export %q\n' "${settings[@]}"
  for program in "${programs[@]}"; do
    printf '/programs/%q\necho "== %s left with $?"\n' "${program##*/}" "${program##*/}"
  done
  echo '/bin/busybox sleep 10'  # or the last lines stay in the serial port
  echo '/bin/busybox poweroff -f'
} >"$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc) >"$disc/initrd"

cp "$KERNEL" "$disc/vmlinuz"
cp /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$disc"
cat >"$disc/isolinux.cfg" <<TEXT
DEFAULT linux
PROMPT 0
LABEL linux
 KERNEL vmlinuz
 INITRD initrd
 APPEND console=ttyS0 loglevel=0 nokaslr mitigations=off tsc=reliable lpj=1000000 panic=-1
TEXT
(cd "$run" && xorriso -as mkisofs -quiet -o boot.iso -b isolinux.bin -c boot.cat -no-emul-boot \
  -boot-load-size 4 -boot-info-table disc 2>"$run/xorriso.log") || fail "$(cat "$run/xorriso.log")"

firmware=$(dpkg -L bochsbios 2>/dev/null | grep -m1 BIOS-bochs-latest)
cat >"$run/bochsrc" <<TEXT
romimage: file=$firmware
vgaromimage: file=/usr/share/vgabios/vgabios.bin
cpu: model=$cpu, count=1, ips=50000000
memory: guest=2048, host=2048
boot: cdrom
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path=boot.iso, status=inserted
com1: enabled=1, mode=file, dev=serial.txt
clock: sync=none
display_library: nogui
log: bochs.log
panic: action=fatal
TEXT
(cd "$run" && timeout "$limit" "$bochs" -q -f bochsrc) </dev/null >"$run/screen.txt" 2>&1 || true

[[ -s $run/serial.txt ]] || fail "Bochs printed nothing: $(tail -n 5 "$run/bochs.log" "$run/screen.txt")"
tr -d '\r' <"$run/serial.txt"
passed=$(grep -c '^== .* left with 0' "$run/serial.txt" || true)
echo "$passed of ${#programs[@]} programs passed on an emulated $cpu"
((passed == ${#programs[@]}))
