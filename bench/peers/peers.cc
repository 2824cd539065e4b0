// SPDX-License-Identifier: Apache-2.0
#include "peers.h"

// The function where CMake found the library and so defined the macro as 1, else null.
#define QB_IF_FOUND(macro, function) QB_IF_FOUND_AS(macro, function)
#define QB_IF_FOUND_AS(found, function) QB_IF_FOUND_##found(function)
#define QB_IF_FOUND_0(function) nullptr
#define QB_IF_FOUND_1(function) function

namespace qb::bench::peers {

using Add = std::string (*)(std::vector<Peer>&);

#define QB_LEVEL(level)                              \
  std::string add_eigen_##level(std::vector<Peer>&); \
  std::string add_fp16_##level(std::vector<Peer>&);
QB_HEADER_LEVELS
#undef QB_LEVEL

namespace {

/// Code of headers, if this CPU has what it was compiled for.
Add if_able(FeatureSet needs, Add add) { return isa::refusal(needs).empty() ? add : nullptr; }

struct Found {
  std::vector<Library> libraries;
  std::vector<Peer> peers;
};

bool only_ourselves = false;

const Found& found() {
  static const Found once = [] {
    Found f;
    if (only_ourselves) {
      f.libraries.push_back({"self", add_self(f.peers), "--self-peer"});
      return f;
    }
    const auto add = [&](const char* name, const char* how, std::initializer_list<Add> adds) {
      Library library{name, "", how};
      for (const Add peers_of : adds)
        if (peers_of) library.version = dated(name, peers_of(f.peers));
      f.libraries.push_back(std::move(library));
    };
    add("ggml", "scripts/install-peers.sh, which builds libggml-python for this CPU in .venv-peers",
        {QB_IF_FOUND(QB_PEER_GGML, add_ggml)});
#define QB_LEVEL(level) if_able(isa::level, QB_IF_FOUND(QB_PEER_EIGEN, add_eigen_##level)),
    add("eigen", "package libeigen3-dev", {QB_HEADER_LEVELS});
#undef QB_LEVEL
    add("fbgemm", "scripts/install-peers.sh --fbgemm", {QB_IF_FOUND(QB_PEER_FBGEMM, add_fbgemm)});
#define QB_LEVEL(level) if_able(isa::level, QB_IF_FOUND(QB_PEER_FP16, add_fp16_##level)),
    add("fp16", "package libfp16-dev", {QB_HEADER_LEVELS});
#undef QB_LEVEL
    add("numkong", "pip download --no-binary numkong, unpacked in .venv-peers/src",
        {QB_IF_FOUND(QB_PEER_NUMKONG, add_numkong)});
    add("onednn",
        "pip install onednn-devel-cpu-gomp in .venv-peers, or scripts/install-peers.sh "
        "--onednn-sycl",
        {QB_IF_FOUND(QB_PEER_ONEDNN, add_onednn)});
    add("onnxruntime", "pip install --no-deps onnxruntime in .venv-peers",
        {QB_IF_FOUND(QB_PEER_ONNXRUNTIME, add_onnxruntime)});
    add("mkl", "scripts/install-peers.sh --mkl", {QB_IF_FOUND(QB_PEER_MKL, add_mkl)});
    add("openblas", "pip install scipy-openblas32 in .venv-peers, or package libopenblas-dev",
        {QB_IF_FOUND(QB_PEER_OPENBLAS, add_openblas)});
    add("openvino", "pip install --no-deps openvino in .venv-peers",
        {QB_IF_FOUND(QB_PEER_OPENVINO, add_openvino)});
    add("xnnpack", "packages libxnnpack-dev and libpthreadpool-dev",
        {QB_IF_FOUND(QB_PEER_XNNPACK, add_xnnpack)});
    add("zentorch", "scripts/install-peers.sh --zentorch (ZenDNN, by AMD's extension of PyTorch)",
        {QB_IF_FOUND(QB_PEER_ZENTORCH, add_zentorch)});
    return f;
  }();
  return once;
}

}  // namespace

void compare_with_ourselves() { only_ourselves = true; }

const std::vector<Library>& libraries() { return found().libraries; }

const std::vector<Peer>& all() { return found().peers; }

std::vector<const Peer*> of(std::string_view op) {
  std::vector<const Peer*> list;
  for (const Peer& peer : all())
    if (peer.op == op) list.push_back(&peer);
  return list;
}

std::vector<const Variant*> with_peers(std::vector<const Variant*> own, std::string_view op) {
  for (const Peer* peer : of(op)) own.push_back(peer);
  return own;
}

}  // namespace qb::bench::peers
