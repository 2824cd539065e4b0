// SPDX-License-Identifier: Apache-2.0
#include "format_losses.h"

#include <algorithm>
#include <cstdio>
#include <functional>
#include <span>
#include <stdexcept>

#include "core/scalar_half.h"
#include "numpy_random.h"
#include "quantbench/formats.h"
#include "quantize/ops.h"

namespace qb::notebook {
namespace {

const std::vector<std::string> kGranularities = {"tensor", "channel", "32", "64", "128"};

/// Weights that went through a format, and the bytes that they took there.
struct Restored {
  std::vector<f16> weights;
  std::size_t bytes;
};

/// A format with one granularity.
struct Scheme {
  std::string format, granularity;
  std::size_t k_step;    ///< what the number of an output's weights must be a multiple of
  bool has_granularity;  ///< that can be chosen
  std::function<Restored(const Kernels&, const Layer&)> restore;
};

std::vector<float> to_f32(const std::vector<f16>& x) {
  std::vector<float> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), [](f16 v) { return f16_to_f32(v); });
  return y;
}

std::vector<f16> to_f16(const std::vector<float>& x) {
  std::vector<f16> y(x.size());
  std::transform(x.begin(), x.end(), y.begin(), [](float v) { return numpy::to_float16(v); });
  return y;
}

/// One scale for all weights, every step rounded to f16.
Scheme as_the_notebook(Type type) {
  const bool eight = type == Type::int8;
  return {eight ? "s8" : "s4", "tensor", 1, true, [=](const Kernels& kernels, const Layer& layer) {
            const std::size_t n = layer.weights.size();
            const std::size_t codes = eight ? n : (n + 1) / 2;
            return Restored{quantize(kernels, type, layer.weights).restored, codes + sizeof(f16)};
          }};
}

/// A row of formats.inc.
Scheme by_rows(const FormatInfo& row, std::size_t group, std::string format,
               std::string granularity) {
  const bool apart = row.scales == ScaleKind::output || row.in_groups();
  return {std::move(format), std::move(granularity), row.k_step(group), apart,
          [&row, group](const Kernels&, const Layer& layer) {
            const std::size_t n = layer.sizes.hidden, k = layer.sizes.hidden;
            std::vector<std::byte> values(n * row.row_bytes(k));
            std::vector<std::byte> scales(row.scales_bytes(n, k, group));
            std::vector<float> w = to_f32(layer.weights);
            quantize::quantize_rows(row.format, w, n, k, group, values, scales);
            quantize::dequantize_rows(row.format, values, scales, n, k, group, w);
            return Restored{to_f16(w), values.size() + scales.size()};
          }};
}

/// A format of blocks.
template <class Block>
Scheme by_blocks(const char* format) {
  constexpr std::size_t weights = kWeightsOf<Block>;
  return {format, "block of " + std::to_string(weights), weights, false,
          [](const Kernels&, const Layer& layer) {
            std::vector<float> w = to_f32(layer.weights);
            std::vector<Block> blocks(w.size() / kWeightsOf<Block>);
            quantize::quantize(std::span<const float>(w), std::span(blocks));
            quantize::dequantize(std::span<const Block>(blocks), std::span(w));
            return Restored{to_f16(w), blocks.size() * sizeof(Block)};
          }};
}

/// The schemes of a format of formats.inc, but for f32, f16 and the blocks. A format of groups has
/// the name of the one without them: s8g is s8.
std::vector<Scheme> schemes_of(const FormatInfo& row) {
  std::string name(row.name);
  if (row.is_float() || row.in_blocks()) return {};
  if (row.in_groups()) {
    if (row.scales == ScaleKind::group) name.pop_back();
    return {by_rows(row, 128, name, "128"), by_rows(row, 64, name, "64"),
            by_rows(row, 32, name, "32")};
  }
  std::vector<Scheme> found;
  if (row.format == Format::s8) found.push_back(as_the_notebook(Type::int8));
  if (row.format == Format::s4) found.push_back(as_the_notebook(Type::int4));
  found.push_back(by_rows(row, 0, name, row.scales == ScaleKind::output ? "channel" : "none"));
  return found;
}

std::vector<Scheme> all_schemes() {
  std::vector<Scheme> all;
  for (const FormatInfo& row : kFormats)
    for (Scheme& scheme : schemes_of(row)) {
      const auto last = std::find_if(all.rbegin(), all.rend(),
                                     [&](const Scheme& s) { return s.format == scheme.format; });
      all.insert(last == all.rend() ? all.end() : last.base(), std::move(scheme));
    }
#define QB_ADD(format, block, ...) all.push_back(by_blocks<block>(#format));
  QB_BLOCK_FORMATS(QB_ADD, )
#undef QB_ADD
  return all;
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

void refuse_unknown(const std::string& what, const std::vector<std::string>& names,
                    const std::vector<std::string>& known) {
  for (const std::string& name : names)
    if (!contains(known, name))
      throw std::invalid_argument("no " + what + " '" + name + "'; there are: " + joined(known));
}

std::vector<Scheme> chosen_schemes(const Chosen& chosen) {
  std::vector<Scheme> found;
  std::vector<std::string> formats, with_granularity;
  bool any_takes_it = false;
  for (Scheme& scheme : all_schemes()) {
    if (!contains(formats, scheme.format)) formats.push_back(scheme.format);
    if (scheme.has_granularity && !contains(with_granularity, scheme.format))
      with_granularity.push_back(scheme.format);
    if (!chosen.formats.empty() && !contains(chosen.formats, scheme.format)) continue;
    any_takes_it |= scheme.has_granularity;
    if (!chosen.granularities.empty() && scheme.has_granularity &&
        !contains(chosen.granularities, scheme.granularity))
      continue;
    found.push_back(std::move(scheme));
  }
  refuse_unknown("format", chosen.formats, formats);
  refuse_unknown("granularity", chosen.granularities, kGranularities);
  if (!chosen.granularities.empty() && !any_takes_it)
    throw std::invalid_argument("of the formats, only " + joined(with_granularity) +
                                " have a granularity to choose, not " + joined(chosen.formats));
  if (found.empty())
    throw std::invalid_argument(joined(chosen.formats) + " has no granularity " +
                                joined(chosen.granularities));
  return found;
}

double nmse(const std::vector<f16>& exact, const std::vector<f16>& approximate) {
  double lost = 0, all = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    const double w = f16_to_f32(exact[i]), error = f16_to_f32(approximate[i]) - w;
    lost += error * error;
    all += w * w;
  }
  return lost / all;
}

std::size_t differing(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < a.size(); ++i) count += a[i] != b[i];
  return count;
}

}  // namespace

Losses losses(const Kernels& kernels, const Layer& layer, const Chosen& chosen, int threads) {
  const std::vector<Scheme> schemes = chosen_schemes(chosen);
  const auto labels_of = [&](const std::vector<f16>& x, const std::vector<f16>& weights) {
    return labels(kernels, layer, x, weights, threads);
  };
  const auto original = labels_of(layer.x, layer.weights);
  const auto further_original = labels_of(layer.further, layer.weights);
  Losses found;
  for (const Scheme& scheme : schemes) {
    if (layer.sizes.hidden % scheme.k_step) {
      found.skipped.push_back(scheme.format + " " + scheme.granularity + ": hidden size " +
                              std::to_string(layer.sizes.hidden) + " is not a multiple of " +
                              std::to_string(scheme.k_step));
      continue;
    }
    const Restored restored = scheme.restore(kernels, layer);
    found.rows.push_back({scheme.format, scheme.granularity,
                          8 * double(restored.bytes) / double(layer.weights.size()),
                          nmse(layer.weights, restored.weights),
                          differing(original, labels_of(layer.x, restored.weights)),
                          differing(further_original, labels_of(layer.further, restored.weights))});
  }
  return found;
}

std::string table(const Losses& losses, const Layer& layer) {
  const auto [samples, hidden, classes] = layer.sizes;
  char line[160];
  std::snprintf(line, sizeof line,
                "## Formats\nA layer of %zu x %zu weights before a classifier of %zu classes\n",
                hidden, hidden, classes);
  std::string text = line;
  const std::string of = "of " + std::to_string(samples),
                    of_further = "of " + std::to_string(layer.further.size() / hidden);
  std::snprintf(line, sizeof line, "%-8s %-13s %11s %9s  %s\n%-8s %-13s %11s %9s  %8s %8s\n",
                "format", "a scale for", "bits", "NMSE", "labels changed", "", "", "a weight", "",
                of.c_str(), of_further.c_str());
  text += line;
  for (const Loss& row : losses.rows) {
    std::snprintf(line, sizeof line, "%-8s %-13s %11.4g %9.1e  %8zu %8zu\n", row.format.c_str(),
                  row.granularity.c_str(), row.bits, row.nmse, row.changed, row.further_changed);
    text += line;
  }
  for (const std::string& why : losses.skipped) text += "not tried: " + why + "\n";
  return text;
}

}  // namespace qb::notebook
