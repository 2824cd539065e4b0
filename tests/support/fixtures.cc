// SPDX-License-Identifier: Apache-2.0
#include "support/fixtures.h"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace qb::test {
namespace {

std::size_t bytes_of(const std::string& type) {
  if (type == "int8" || type == "uint8") return 1;
  if (type == "float16" || type == "uint16") return 2;
  if (type == "float32" || type == "int32") return 4;
  if (type == "float64") return 8;
  return 0;
}

}  // namespace

struct Fixtures::Index {
  nlohmann::json root;
  const nlohmann::json& arrays() const { return root.at("arrays"); }
};

Fixtures::Fixtures() {
  const std::string directory = QB_FIXTURES;
  std::ifstream json(directory + "/fixtures.json"),
      bin(directory + "/fixtures.bin", std::ios::binary);
  if (!json || !bin) throw std::runtime_error("no fixtures in " + directory);
  index_.reset(new Index{nlohmann::json::parse(json)});
  bytes_.assign(std::istreambuf_iterator<char>(bin), {});
}

Fixtures::~Fixtures() = default;

const Fixtures& Fixtures::get() {
  static const Fixtures all;
  return all;
}

std::span<const char> Fixtures::find(const std::string& name, std::size_t element_bytes,
                                     std::vector<std::size_t>& shape) const {
  const nlohmann::json& entry = index_->arrays().at(name);
  const std::size_t offset = entry.at("offset");
  std::size_t size = element_bytes;
  for (const std::size_t extent : entry.at("shape")) {
    shape.push_back(extent);
    size *= extent;
  }
  if (bytes_of(entry.at("type")) != element_bytes || offset + size > bytes_.size())
    throw std::runtime_error("fixture " + name + " is not what the test takes it for");
  return {bytes_.data() + offset, size};
}

bool Fixtures::contains(const std::string& name) const { return index_->arrays().contains(name); }

std::vector<std::string> Fixtures::cases(const std::string& prefix) const {
  std::vector<std::string> list;
  for (const auto& [name, entry] : index_->arrays().items()) {
    if (!name.starts_with(prefix + '/') || !name.ends_with("/x")) continue;
    list.push_back(name.substr(prefix.size() + 1, name.size() - prefix.size() - 3));
  }
  if (list.empty()) throw std::runtime_error("no fixtures of " + prefix);
  return list;
}

std::uint32_t Fixtures::notebook_crc32(const std::string& tensor) const {
  return index_->root.at("notebook_crc32").at(tensor);
}

}  // namespace qb::test
