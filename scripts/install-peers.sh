#!/usr/bin/env bash
# Installs other projects' kernels, to be timed beside ours (make bench-peers): packages of Debian
# and Ubuntu, and of PyPI in the virtual environment .venv-peers. Each is optional: what can't be
# had is named and left out. Does nothing, quickly, when nothing is missing.
#
#   scripts/install-peers.sh [--native]
#     --native   build ggml for this very CPU (minutes) instead of taking the wheel, which is built
#                for AVX2, FMA and F16C
set -euo pipefail
cd "$(dirname "$0")/.."

native=
for option in "$@"; do
  case "$option" in
    --native) native=1 ;;
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "install-peers.sh: no option '$option'; there is --native" >&2; exit 2 ;;
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

ggml=libggml-python==0.20.2.post1
if [[ $native ]]; then
  [[ -e $venv/ggml-native ]] ||
    { CMAKE_ARGS=-DGGML_NATIVE=ON try ggml pip install --force-reinstall --no-binary libggml-python \
        "$ggml" && touch "$venv/ggml-native"; }
else
  has 'libggml_python-*.dist-info' || try ggml pip install "$ggml"
fi

# Each library's newest build whose threads this process can set.
for package in onednn-devel-cpu-gomp scipy-openblas32; do
  has "${package//-/_}-*.dist-info" || try "$package" pip install "$package"
done

# Its sources: the wheel exports nothing but a Python module.
numkong() {
  pip download --no-deps --no-binary numkong -d "$venv/src" numkong==7.8.6 &&
    tar -xzf "$venv"/src/numkong-*.tar.gz -C "$venv/src"
}
[[ -n $(find "$venv/src" -maxdepth 1 -type d -name 'numkong-*' 2>/dev/null) ]] || try numkong numkong

((${#absent[@]} == 0)) || echo "install-peers.sh: could not be had: ${absent[*]}" >&2
