// SPDX-License-Identifier: Apache-2.0
// Loads the kernels of a file, as `quantbench --kernels` does; with plugins/load.cc compiled as for
// the statically linked program.
#include <cstdio>
#include <stdexcept>

#include "plugins/plugins.h"

int main(int argc, char** argv) try {
  for (int i = 1; i < argc; ++i) qb::plugins::load(argv[i]);
} catch (const std::runtime_error& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 2;
}
