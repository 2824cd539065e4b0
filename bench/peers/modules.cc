// SPDX-License-Identifier: Apache-2.0
// Opens the modules that fbgemm.cc, openvino.cc and zentorch.cc are. Their libraries' symbols stay
// among themselves (RTLD_DEEPBIND): what they have in common with other peers' libraries is of
// other versions. CMake defines the path of each module that it builds.
#include <dlfcn.h>

#include "peers.h"

namespace qb::bench::peers {
namespace {

/// `symbol` is the module's extern "C" void (std::vector<Peer>&, std::string& version).
[[maybe_unused]] std::string add_from(const char* path, const char* symbol,
                                      std::vector<Peer>& peers) {
  void* const module = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  void* const add = module ? dlsym(module, symbol) : nullptr;
  if (!add) return std::string("can't be loaded: ") + dlerror();
  std::string version;
  reinterpret_cast<void (*)(std::vector<Peer>&, std::string&)>(add)(peers, version);
  return version;
}

}  // namespace

#ifdef QB_FBGEMM_MODULE
std::string add_fbgemm(std::vector<Peer>& peers) {
  return add_from(QB_FBGEMM_MODULE, "qb_add_fbgemm", peers);
}
#endif

#ifdef QB_OPENVINO_MODULE
std::string add_openvino(std::vector<Peer>& peers) {
  return add_from(QB_OPENVINO_MODULE, "qb_add_openvino", peers);
}
#endif

#ifdef QB_ZENTORCH_MODULE
std::string add_zentorch(std::vector<Peer>& peers) {
  return add_from(QB_ZENTORCH_MODULE, "qb_add_zentorch", peers);
}
#endif

}  // namespace qb::bench::peers
