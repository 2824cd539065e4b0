// Opens the module that fbgemm.cc is. Its libraries' symbols stay among themselves (RTLD_DEEPBIND):
// what they have in common with other peers' libraries is of other versions.
#include <dlfcn.h>

#include "peers.h"

namespace qb::bench::peers {

std::string add_fbgemm(std::vector<Peer>& peers) {
  void* const module = dlopen(QB_FBGEMM_MODULE, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);
  void* const add = module ? dlsym(module, "qb_add_fbgemm") : nullptr;
  if (!add) return std::string("can't be loaded: ") + dlerror();
  std::string version;
  reinterpret_cast<void (*)(std::vector<Peer>&, std::string&)>(add)(peers, version);
  return version;
}

}  // namespace qb::bench::peers
