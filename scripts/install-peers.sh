#!/usr/bin/env bash
# Installs other projects' kernels, to be timed beside ours (make bench-peers): packages of Debian
# and Ubuntu, and of PyPI in the virtual environment .venv-peers. Each is optional: what can't be
# had is named and left out. Does nothing, quickly, when nothing is missing.
#
#   scripts/install-peers.sh [--wheel]
#     --wheel   take ggml's wheel, which is built for AVX2, FMA and F16C, instead of building ggml for
#               this very CPU (half a minute to minutes; where that fails the wheel is taken)
set -euo pipefail
cd "$(dirname "$0")/.."

wheel=
for option in "$@"; do
  case "$option" in
    --wheel) wheel=1 ;;
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "install-peers.sh: no option '$option'; there is --wheel" >&2; exit 2 ;;
  esac
done

absent=()
try() {  # try <what> <command...>
  local what=$1
  shift
  "$@" || absent+=("$what")
}

venv=.venv-peers
[[ -x $venv/bin/pip ]] || "${PYTHON:-python3}" -m venv "$venv"
pip() { "$venv/bin/pip" --disable-pip-version-check --quiet "$@"; }
has() { [[ -n $(find "$venv" -maxdepth 5 -iname "$1" -print -quit) ]]; }

if command -v apt-get >/dev/null; then
  sudo=()
  ((EUID == 0)) || sudo=(sudo)
  for package in libeigen3-dev libfp16-dev; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] ||
      try "$package" "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "$package"
  done
fi

# ggml's kernels are chosen when it is built. The mark says for which CPU that was done here.
ggml=libggml-python==0.20.2.post1
mark=$venv/ggml-native
cpu=$(grep -m1 -E '^(flags|Features)' /proc/cpuinfo || uname -m)
if [[ -z $wheel && $(cat "$mark" 2>/dev/null) != "$cpu" ]]; then
  echo "install-peers.sh: building ggml for this CPU" >&2
  # Without pip's cache, which would give back what was built for another CPU.
  CMAKE_ARGS=-DGGML_NATIVE=ON pip install --no-cache-dir --force-reinstall \
    --no-binary libggml-python "$ggml" && echo "$cpu" >"$mark" || wheel=1
fi
if [[ $wheel ]] && { [[ -e $mark ]] || ! has 'libggml_python-*.dist-info'; }; then
  rm -f "$mark"
  try ggml pip install --force-reinstall --only-binary libggml-python "$ggml"
fi

# Each library's newest build whose threads this process can set.
for package in onednn-devel-cpu-gomp scipy-openblas32; do
  has "${package//-/_}-*.dist-info" || try "$package" pip install "$package"
done

((${#absent[@]} == 0)) || echo "install-peers.sh: could not be had: ${absent[*]}" >&2
