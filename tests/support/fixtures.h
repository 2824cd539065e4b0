// SPDX-License-Identifier: Apache-2.0
// The independent witness: arrays that NumPy and gguf computed (fixtures/make_fixtures.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quantbench/types.h"

namespace qb::test {

/// One array of fixtures.bin, in memory of its own.
template <class T>
struct Fixture {
  std::vector<T> values;
  std::vector<std::size_t> shape;
  /// Rows and columns of a two-dimensional one.
  std::size_t rows() const { return shape.at(0); }
  std::size_t columns() const { return shape.at(1); }
};

class Fixtures {
 public:
  static const Fixtures& get();

  /// The array of that name. Throws if there is none or if its elements are not T's size.
  template <class T>
  Fixture<T> array(const std::string& name) const {
    Fixture<T> result;
    const std::span<const char> bytes = find(name, sizeof(T), result.shape);
    result.values.resize(bytes.size() / sizeof(T));
    if (!bytes.empty()) std::memcpy(result.values.data(), bytes.data(), bytes.size());
    return result;
  }

  bool contains(const std::string& name) const;

  /// The <case> of every array named <prefix>/<case>/x, in order of name.
  std::vector<std::string> cases(const std::string& prefix) const;

  /// CRC-32 of a tensor of the notebook's experiment.
  std::uint32_t notebook_crc32(const std::string& tensor) const;

 private:
  struct Index;
  Fixtures();
  ~Fixtures();

  /// The bytes of an array, whose shape is appended.
  std::span<const char> find(const std::string& name, std::size_t element_bytes,
                             std::vector<std::size_t>& shape) const;

  std::unique_ptr<const Index> index_;
  std::vector<char> bytes_;
};

/// CRC-32 as zlib computes it.
inline std::uint32_t crc32(const void* data, std::size_t size) {
  std::uint32_t crc = ~0u;
  for (std::size_t i = 0; i < size; ++i) {
    crc ^= static_cast<const std::uint8_t*>(data)[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

}  // namespace qb::test
