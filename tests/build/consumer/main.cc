// SPDX-License-Identifier: Apache-2.0
// One kernel, called as another project would.
#include <cstdio>
#include <vector>

#include "quantbench/absmax.h"

int main() {
  std::vector<float> values(1000, 0.5f);
  values[731] = -3.0f;
  const float most = qb::absmax::tensor(values);
  std::printf("absmax %g\n", double(most));
  return most == 3.0f ? 0 : 1;
}
