#include "peers.h"

// The function where CMake found the library and so defined the macro as 1, else null.
#define QB_IF_FOUND(macro, function) QB_IF_FOUND_AS(macro, function)
#define QB_IF_FOUND_AS(found, function) QB_IF_FOUND_##found(function)
#define QB_IF_FOUND_0(function) nullptr
#define QB_IF_FOUND_1(function) function

namespace qb::bench::peers {
namespace {

struct Found {
  std::vector<Library> libraries;
  std::vector<Peer> peers;
};

const Found& found() {
  static const Found once = [] {
    Found f;
    const auto add = [&](const char* name, const char* how,
                         std::string (*peers_of)(std::vector<Peer>&)) {
      f.libraries.push_back({name, peers_of ? peers_of(f.peers) : "", how});
    };
    add("ggml", "scripts/install-peers.sh, which builds libggml-python for this CPU in .venv-peers",
        QB_IF_FOUND(QB_PEER_GGML, add_ggml));
    const bool able = isa::refusal(QB_PEER_HEADER_ISA).empty();
    add("eigen", "package libeigen3-dev", able ? QB_IF_FOUND(QB_PEER_EIGEN, add_eigen) : nullptr);
    add("fp16", "package libfp16-dev", able ? QB_IF_FOUND(QB_PEER_FP16, add_fp16) : nullptr);
    add("onednn",
        "pip install onednn-devel-cpu-gomp in .venv-peers, or scripts/install-peers.sh "
        "--onednn-sycl",
        QB_IF_FOUND(QB_PEER_ONEDNN, add_onednn));
    add("openblas", "pip install scipy-openblas32 in .venv-peers, or package libopenblas-dev",
        QB_IF_FOUND(QB_PEER_OPENBLAS, add_openblas));
    return f;
  }();
  return once;
}

}  // namespace

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
