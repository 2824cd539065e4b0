// SPDX-License-Identifier: Apache-2.0
// Classes of products by their rows of activations. Which variant of a product is fastest depends
// on m: one row is a matter of reading the weights, many are a matter of arithmetic. Dispatch, the
// tuning file, the benchmark's rows and quantbench-choose all know these classes by these names.
//
// Many begin at 4 since there the one pair of variants crosses over whose order depends on m by
// more than measuring noise: abf16 by AVX-512 and by vdpbf16ps on an Emerald Rapids
// (matmul/order.inc).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace qb {

enum class Rows : std::uint8_t {
  any,   ///< of operations without rows of activations: convert, absmax, quantize
  one,   ///< m = 1: a token after the other is generated
  few,   ///< 2 and 3: too few to share what decoding costs
  many,  ///< 4 and more: a prompt is read, or a batch served
};

/// The classes that products have.
inline constexpr Rows kRowClasses[] = {Rows::one, Rows::few, Rows::many};

/// The least m of a class.
constexpr std::size_t first_of(Rows rows) {
  constexpr std::size_t first[] = {0, 1, 2, 4};
  return first[std::size_t(rows)];
}

constexpr Rows rows_of(std::size_t m) {
  return m < first_of(Rows::few) ? Rows::one : m < first_of(Rows::many) ? Rows::few : Rows::many;
}

constexpr std::string_view rows_name(Rows rows) {
  constexpr std::string_view names[] = {"any", "one", "few", "many"};
  return names[std::size_t(rows)];
}

}  // namespace qb
