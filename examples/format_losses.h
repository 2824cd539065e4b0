// SPDX-License-Identifier: Apache-2.0
// What each weight format loses of the notebook's layer: of its weights, and of its labels.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "notebook.h"

namespace qb::notebook {

/// Which formats to try: all of them where a list is empty.
struct Chosen {
  std::vector<std::string> formats;
  /// Of the formats whose scales stand apart: "tensor" (the notebook's), "channel" (one for each
  /// output), "32", "64" or "128" (one for as many weights of an output).
  std::vector<std::string> granularities;
};

struct Loss {
  std::string format;
  std::string granularity;  ///< as above, or "block of 32"
  double bits;              ///< that a weight takes, scales included
  double nmse;              ///< of the weights: the squares of the errors over those of the weights
  std::size_t changed;      ///< labels of layer.x
  std::size_t further_changed;  ///< labels of layer.further
};

struct Losses {
  std::vector<Loss> rows;
  std::vector<std::string> skipped;  ///< what does not fit the layer, with the reason
};

/// Quantizes and restores the layer's weights in each format, rounds them to f16, and predicts as
/// the notebook does. Throws std::invalid_argument for names that there are not, and if what was
/// chosen has no format that takes the granularities.
Losses losses(const Kernels& kernels, const Layer& layer, const Chosen& chosen, int threads);

/// As a table, under a line that says of which layer.
std::string table(const Losses& losses, const Layer& layer);

}  // namespace qb::notebook
