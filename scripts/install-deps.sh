#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what building and testing needs, on Debian and Ubuntu; elsewhere names what is missing.
# Does nothing, quickly, when nothing is missing.
#
#   scripts/install-deps.sh [--clang] [--aarch64] [--qemu] [--lint] [--python] [--browser] [--bochs]
#                           [--llvm] [--debootstrap] [--slurm] [--fleet]
#     --clang    clang, its OpenMP and its sanitizers
#     --aarch64  the cross compiler, qemu, and the libraries for arm64
#     --qemu     qemu, to run this machine's own binaries on an emulated older CPU
#     --lint     clang-format and clang-tidy
#     --python   python3 with venv and headers, for the results tools and the package, and Google
#                Benchmark's compare.py, which reads their files too
#     --browser  Chromium, to test the report and to draw the README's picture
#     --bochs    what emulate-x86.sh boots from; Bochs itself, 3.0 or newer, is yours to bring
#     --llvm     LLVM 19's llvm-mca and llvm-objdump, to model loops
#     --debootstrap  to make another release of Debian in a folder (.ci/debian)
#     --slurm    Slurm and munge, for bench/fleet's cluster of emulated nodes
#     --fleet    ReFrame, into .venv (bench/fleet/requirements.txt); `make venv` first
set -euo pipefail

packages=(cmake ninja-build g++ make git pkgconf libgtest-dev libgmock-dev libbenchmark-dev
          libxsimd-dev nlohmann-json3-dev libcli11-dev)
foreign=()
fleet=
for option in "$@"; do
  case "$option" in
    --clang) packages+=(clang libomp-dev libclang-rt-dev) ;;
    --aarch64)
      packages+=(g++-aarch64-linux-gnu qemu-user-static)
      # nlohmann-json and CLI11 are headers for any architecture.
      foreign+=(libgtest-dev:arm64 libgmock-dev:arm64 libbenchmark-dev:arm64 libxsimd-dev:arm64
                libgomp1:arm64) ;;
    --qemu) packages+=(qemu-user-static) ;;
    --lint) packages+=(clang-format clang-tidy) ;;
    --python) packages+=(python3 python3-venv python3-dev libbenchmark-tools) ;;
    --browser) packages+=(chromium chromium-driver fonts-dejavu-core) ;;
    --bochs) packages+=(bochsbios vgabios busybox-static isolinux syslinux-common xorriso cpio) ;;
    --llvm) packages+=(llvm-19) ;;
    --slurm) packages+=(slurm-wlm munge python3) ;;
    --fleet) packages+=(python3 python3-venv); fleet=1 ;;
    --debootstrap) packages+=(debootstrap debian-archive-keyring util-linux) ;;
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "install-deps.sh: no option '$option'; there are --clang --aarch64 --qemu" \
            "--lint --python --browser --bochs --llvm --debootstrap --slurm --fleet" >&2
       exit 2 ;;
  esac
done

if ! command -v apt-get >/dev/null; then
  missing=()
  for tool in cmake ninja c++ make git; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  if ((${#missing[@]} == 0)); then
    echo "install-deps.sh: no apt-get here, but the tools are present; CMake names any library" \
         "that is missing, and with -DQUANTBENCH_FETCH_DEPS=ON fetches it"
    exit 0
  fi
  cat >&2 <<TEXT
install-deps.sh: no apt-get here. Missing tools: ${missing[*]}
Install with your package manager:
  cmake >= 3.22, ninja, a C++20 compiler (gcc >= 12 or clang >= 14) with OpenMP, make, git
and either these libraries, or configure with -DQUANTBENCH_FETCH_DEPS=ON to fetch them:
  GoogleTest >= 1.12 with gmock, Google Benchmark >= 1.7.1, xsimd >= 8.1, nlohmann-json >= 3.11,
  CLI11 >= 2.1
TEXT
  exit 1
fi

installed() { [[ $(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) == installed* ]]; }

missing=()
for package in "${packages[@]}" "${foreign[@]}"; do
  installed "$package" || missing+=("$package")
done
# What no archive has, from PyPI into the project's own environment.
install_fleet() {
  [[ $fleet ]] || return 0
  local root marker
  root=$(cd "$(dirname "$0")/.." && pwd)
  marker=$root/.venv/fleet-installed
  [[ $root/bench/fleet/requirements.txt -nt $marker ]] || return 0
  [[ -x $root/.venv/bin/pip ]] || python3 -m venv "$root/.venv"
  "$root/.venv/bin/pip" install --quiet --disable-pip-version-check \
    -r "$root/bench/fleet/requirements.txt"
  touch "$marker"
}
((${#missing[@]})) || { install_fleet; exit 0; }

sudo=()
if ((EUID != 0)); then
  command -v sudo >/dev/null || {
    echo "install-deps.sh: needs root or sudo to install: ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi

echo "installing ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q "$@" </dev/null; }
if ((${#foreign[@]})) && [[ $(dpkg --print-architecture) != arm64 ]] &&
   ! dpkg --print-foreign-architectures | grep -qx arm64; then
  "${sudo[@]}" dpkg --add-architecture arm64
fi
apt update
apt install -y --no-install-recommends "${missing[@]}"
install_fleet
