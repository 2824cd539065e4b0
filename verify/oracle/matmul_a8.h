// SPDX-License-Identifier: Apache-2.0
// Oracle of the products of int8 activations, from the contract (section 4): what quantizing makes
// of a row of activations. The product itself is oracle/matmul.h's.
#pragma once

#include <span>
#include <vector>

#include "oracle/matmul.h"
#include "oracle/quantize.h"

namespace qb::oracle {

/// A row of activations as these weights meet it, code times scale, exact in double: one f32 scale
/// for the row beside one scale per output, otherwise a stored f16 scale for each 32, as q8_0.
inline std::vector<double> quantized_activations(matmul::Format weights,
                                                 std::span<const float> row) {
  std::vector<double> x;
  x.reserve(row.size());
  if (weights == matmul::Format::s8 || weights == matmul::Format::s4) {
    const QuantizerF32 quantizer(row, 127);
    for (const float e : row) x.push_back(quantizer.code(e) * double(quantizer.scale));
  } else {
    for (std::size_t i = 0; i < row.size(); i += kBlock) {
      const auto block = row.subspan(i, kBlock);
      const QuantizerQ8_0 quantizer(block);
      for (const float e : block) x.push_back(quantizer.code(e) * value(quantizer.d));
    }
  }
  return x;
}

}  // namespace qb::oracle
