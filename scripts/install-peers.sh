#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs other projects' kernels, to be timed beside ours (make bench-peers): packages of Debian
# and Ubuntu, and of PyPI in the virtual environment .venv-peers. Each is optional: what can't be
# had is named and left out. Does nothing, quickly, when nothing is missing.
#
#   scripts/install-peers.sh [--wheel|--native] [--fbgemm] [--zentorch] [--mkl] [--onednn-sycl]
#     --wheel        take ggml's wheel, which is built for AVX2, FMA and F16C, and keep to it. Otherwise
#                    ggml is built for this very CPU (a minute or so), and the wheel is taken if that
#                    fails
#     --native       build it, after --wheel or a failure
#     --fbgemm       PyTorch's library, for FBGEMM within it (0.55 GB to download, 0.7 GB on disk; x86-64
#                    only)
#     --zentorch     AMD's ZenDNN, by its extension of PyTorch, and the PyTorch that it is made for (0.9 GB
#                    to download, 0.7 GB on disk; x86-64 with AVX-512)
#     --mkl          Intel's MKL as well (220 MB to download, 0.7 GB on disk; x86-64 only)
#     --onednn-sycl  replace oneDNN 3.2, the last of PyPI's that calls its code at once, by the current
#                    one (0.6 GB to download, 1.6 GB on disk; x86-64 only), and keep to it. It multiplies
#                    float activations by integer weights as well, but runs all it does as tasks of a
#                    SYCL queue: 10 to 60 us a call
set -euo pipefail
cd "$(dirname "$0")/.."

ggml=
fbgemm=
zentorch=
onednn=
mkl=
for option in "$@"; do
  case "$option" in
    --wheel|--native) ggml=${option#--} ;;
    --fbgemm) fbgemm=1 ;;
    --zentorch) zentorch=1 ;;
    --mkl) mkl=1 ;;
    --onednn-sycl) onednn=sycl ;;
    -h|--help) sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0"; exit 0 ;;
    *) echo "install-peers.sh: no option '$option'; --help lists them" >&2; exit 2 ;;
  esac
done

absent=()
try() {  # try <what> <command...>
  local what=$1
  shift
  "$@" || absent+=("$what")
}

venv=.venv-peers
[[ -x $venv/bin/python ]] || "${PYTHON:-python3}" -m venv "$venv"
# By the interpreter: the scripts of a virtual environment name the folder that it was made in.
pip() { "$venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
has() { [[ -n $(find "$venv" -maxdepth 5 -iname "$1" -print -quit) ]]; }

if command -v apt-get >/dev/null; then
  sudo=()
  ((EUID == 0)) || sudo=(sudo)
  for package in libeigen3-dev libfp16-dev libxnnpack-dev libpthreadpool-dev; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed* ]] ||
      try "$package" "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get -q install -y --no-install-recommends "$package"
  done
fi

# As llama.cpp builds it: for this CPU, and with llamafile's products of many rows. GGML_NATIVE reaches
# libggml-cpu only; the rows' quantize_row_*_ref and dequantize_row_* are in libggml-base, which would be
# built for plain x86-64. The mark holds what it was built for, or "wheel".
package=libggml-python==0.20.2.post1
mark=$venv/ggml-built-for
native=-march=native
case $(uname -m) in aarch64|arm64) native=-mcpu=native ;; esac
options="-DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON -DCMAKE_C_FLAGS=$native -DCMAKE_CXX_FLAGS=$native"
build="$options, $(grep -m1 -E '^(flags|Features)' /proc/cpuinfo || uname -m)"
built_for=$(cat "$mark" 2>/dev/null || true)
has 'libggml_python-*.dist-info' || built_for=
[[ $ggml ]] || { [[ $built_for == wheel ]] && ggml=wheel || ggml=native; }
if [[ $ggml == native && $built_for != "$build" ]]; then
  echo "install-peers.sh: building ggml for this CPU, which takes a minute or so" >&2
  # Without pip's cache, which would give back what was built for another CPU.
  if CMAKE_ARGS=$options pip install --no-cache-dir --force-reinstall \
      --no-binary libggml-python "$package"; then
    echo "$build" >"$mark"
  else
    ggml=wheel
  fi
fi
if [[ $ggml == wheel && $built_for != wheel ]]; then
  try ggml pip install --force-reinstall --only-binary libggml-python "$package"
  echo wheel >"$mark"
fi

# Of what PyTorch depends on only the two libraries without which its own can't be loaded, and of its
# own not those for a GPU and for Python. ZenDNN's extension works with one release of it only.
torch() {  # torch <release>
  pip install --no-deps "torch==$1" nvidia-cuda-runtime==13.2.86 nvidia-cuda-cupti==13.2.86 &&
    rm -f "$venv"/lib/python3*/site-packages/torch/lib/libtorch_{cuda,cuda_linalg,nvshmem,python}.so
}
zentorch() {
  torch 2.14.0 && pip install --no-deps zentorch==2.14.0.1
}
[[ ! $zentorch ]] || has 'zentorch-*.dist-info' || try ZenDNN zentorch
[[ ! $fbgemm ]] || has 'torch-*.dist-info' || try FBGEMM torch 2.15.0

# The two builds of oneDNN have files in common.
openmp=(onednn-devel-cpu-gomp onednn-cpu-gomp)
sycl=(onednn-devel==2026.1.0 onednn==2026.1.0 tbb-devel tbb tcmlib umf intel-sycl-rt intel-opencl-rt
  intel-cmplr-lib-rt intel-cmplr-lib-ur)
if [[ $onednn == sycl ]] && ! has 'onednn_devel-*.dist-info'; then
  echo "install-peers.sh: oneDNN with SYCL: 0.6 GB to download" >&2
  pip uninstall --yes "${openmp[@]}" 2>/dev/null
  # Not all that they ask for: a compiler's and another OpenMP's libraries are not needed.
  pip install --no-deps "${sycl[@]}" || {
    pip uninstall --yes "${sycl[@]%%==*}" 2>/dev/null
    absent+=("oneDNN with SYCL")
  }
fi
has 'onednn_devel-*.dist-info' || has 'onednn_devel_cpu_gomp-*.dist-info' ||
  try oneDNN pip install "${openmp[0]}"

# Without another OpenMP's libraries.
[[ ! $mkl ]] || has 'mkl_include-*.dist-info' ||
  try MKL pip install --no-deps mkl==2026.2.0 mkl-include==2026.2.0

has 'scipy_openblas32-*.dist-info' || try OpenBLAS pip install scipy-openblas32

# Of Python's side of it nothing is needed, nor of what that depends on.
has 'onnxruntime-*.dist-info' || try 'ONNX Runtime' pip install --no-deps 'onnxruntime>=1.22'

# Its libraries, headers and CMake package are in the wheel, which has its own TBB.
has 'openvino-*.dist-info' || try OpenVINO pip install --no-deps openvino==2026.4.1

# Its sources: the wheel exports nothing but a Python module.
numkong() {
  pip download --no-deps --no-binary numkong -d "$venv/src" numkong==7.8.6 &&
    tar -xzf "$venv"/src/numkong-*.tar.gz -C "$venv/src"
}
[[ -n $(find "$venv/src" -maxdepth 1 -type d -name 'numkong-*' 2>/dev/null) ]] || try numkong numkong

((${#absent[@]} == 0)) || echo "install-peers.sh: could not be had: ${absent[*]}" >&2
