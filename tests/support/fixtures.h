// The independent witness: arrays that NumPy and gguf computed (fixtures/make_fixtures.py).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/types.h"

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
  static const Fixtures& get() {
    static const Fixtures all;
    return all;
  }

  /// The array of that name. Throws if there is none or if its elements are not T's size.
  template <class T>
  Fixture<T> array(const std::string& name) const {
    const nlohmann::json& entry = index_.at("arrays").at(name);
    const std::size_t offset = entry.at("offset");
    Fixture<T> result;
    std::size_t count = 1;
    for (const std::size_t extent : entry.at("shape")) {
      result.shape.push_back(extent);
      count *= extent;
    }
    if (element_bytes(entry.at("type")) != sizeof(T) || offset + count * sizeof(T) > bytes_.size())
      throw std::runtime_error("fixture " + name + " is not what the test takes it for");
    result.values.resize(count);
    if (count) std::memcpy(result.values.data(), bytes_.data() + offset, count * sizeof(T));
    return result;
  }

  bool contains(const std::string& name) const { return index_.at("arrays").contains(name); }

  /// The <case> of every array named <prefix>/<case>/x, in order of name.
  std::vector<std::string> cases(const std::string& prefix) const {
    std::vector<std::string> list;
    for (const auto& [name, entry] : index_.at("arrays").items()) {
      if (!name.starts_with(prefix + '/') || !name.ends_with("/x")) continue;
      list.push_back(name.substr(prefix.size() + 1, name.size() - prefix.size() - 3));
    }
    if (list.empty()) throw std::runtime_error("no fixtures of " + prefix);
    return list;
  }

  /// CRC-32 of a tensor of the notebook's experiment.
  std::uint32_t notebook_crc32(const std::string& tensor) const {
    return index_.at("notebook_crc32").at(tensor);
  }

 private:
  Fixtures() {
    const std::string directory = QB_FIXTURES;
    std::ifstream json(directory + "/fixtures.json"),
        bin(directory + "/fixtures.bin", std::ios::binary);
    if (!json || !bin) throw std::runtime_error("no fixtures in " + directory);
    index_ = nlohmann::json::parse(json);
    bytes_.assign(std::istreambuf_iterator<char>(bin), {});
  }

  static std::size_t element_bytes(const std::string& type) {
    if (type == "int8" || type == "uint8") return 1;
    if (type == "float16" || type == "uint16") return 2;
    if (type == "float32" || type == "int32") return 4;
    if (type == "float64") return 8;
    return 0;
  }

  nlohmann::json index_;
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
