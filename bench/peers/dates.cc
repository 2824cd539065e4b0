// SPDX-License-Identifier: Apache-2.0
// When the versions that scripts/install-peers.sh installs were released, by the dates of the files
// in their packages: the libraries themselves don't say.
#include <algorithm>

#include "peers.h"

namespace qb::bench::peers {
namespace {

struct Release {
  std::string_view library, version, month;
};

constexpr Release kReleases[] = {
    {"eigen", "3.4.0", "2021-08"},        {"ggml", "0.20.2", "2026-08"},
    {"mkl", "2026.2.0", "2026-09"},       {"numkong", "7.8.6", "2026-10"},
    {"onednn", "3.2.0", "2023-06"},       {"onednn", "3.13.2", "2026-09"},
    {"onnxruntime", "1.32.0", "2026-11"}, {"openblas", "0.3.34", "2026-11"},
    {"openvino", "2026.4.1", "2026-10"},
};

}  // namespace

std::string dated(std::string_view library, const std::string& text) {
  const std::size_t end = std::min(text.find_first_of(" ,"), text.size());
  const std::string version = text.substr(0, end);
  for (const Release& r : kReleases)
    if (r.library == library && (version + ".").rfind(std::string(r.version) + ".", 0) == 0)
      return version + " (" + std::string(r.month) + ")" + text.substr(end);
  return text;
}

}  // namespace qb::bench::peers
