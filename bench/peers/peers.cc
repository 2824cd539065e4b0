#include "peers.h"

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
#ifdef QB_PEER_GGML
    constexpr auto ggml = add_ggml;
#else
    constexpr std::nullptr_t ggml = nullptr;
#endif
    add("ggml", "pip install libggml-python in .venv-peers", ggml);
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
