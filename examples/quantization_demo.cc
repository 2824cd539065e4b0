// SPDX-License-Identifier: Apache-2.0
// The notebook, on the kernels of this suite: prints what it prints, to the digit. Then what each
// weight format of the suite loses of the notebook's layer.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "core/printable.h"
#include "format_losses.h"
#include "notebook.h"

namespace {

using qb::notebook::Layer;
using qb::notebook::Wording;

constexpr int kBadArgument = 2;
constexpr int kCannotWrite = 3;
/// Bounds of --sizes and --inputs: labels that fit a line, and numbers of any one array.
constexpr std::size_t kMostSamples = 64, kMostWeights = std::size_t{1} << 26;

struct Options {
  std::string variant;
  bool only_list = false;
  bool verbatim = false;
  std::uint32_t seed = Layer::kSeed;
  std::string sizes_text;
  Layer::Sizes sizes;
  qb::notebook::Chosen chosen;
  std::size_t further = 4096;
  int threads = int(std::max(1u, std::thread::hardware_concurrency()));
};

/// Full disks show when the last of the text is written.
int checked_output(int status) {
  std::cout.flush();
  if (std::cout) return status;
  std::cerr << "quantization_demo: can't write to standard output\n";
  return kCannotWrite;
}

/// "12x512x4096".
Layer::Sizes parsed_sizes(const std::string& text) {
  Layer::Sizes sizes;
  char x1 = 0, x2 = 0;
  std::istringstream in(text);
  const bool read = text.find_first_not_of("0123456789x") == text.npos &&
                    in >> sizes.samples >> x1 >> sizes.hidden >> x2 >> sizes.classes && x1 == 'x' &&
                    x2 == 'x' && in.peek() == std::istringstream::traits_type::eof();
  if (!read || !sizes.samples || !sizes.hidden || !sizes.classes)
    throw CLI::ValidationError("--sizes", "'" + text + "' is not like 12x512x4096");
  if (sizes.samples > kMostSamples)
    throw CLI::ValidationError("--sizes", std::to_string(sizes.samples) + " inputs: at most " +
                                              std::to_string(kMostSamples) + " (see --inputs)");
  if (std::max(sizes.samples, sizes.hidden) > kMostWeights / std::max(sizes.hidden, sizes.classes))
    throw CLI::ValidationError("--sizes", "'" + text + "' has a matrix of more than " +
                                              std::to_string(kMostWeights) + " numbers");
  return sizes;
}

void add_options(CLI::App& app, Options& o) {
  app.add_option("--seed", o.seed, "of NumPy's generator, from which all numbers are drawn")
      ->capture_default_str();
  app.add_option("--sizes", o.sizes_text, "inputs, hidden size and classes (default: 12x512x4096)")
      ->type_name("INPUTSxHIDDENxCLASSES");
  auto* format = app.add_option("--format", o.chosen.formats,
                                "weight formats of the table, as in s8,q4_0 (default: all)")
                     ->delimiter(',')
                     ->type_name("NAME,...");
  auto* granularity =
      app.add_option("--granularity", o.chosen.granularities,
                     "what shares a scale, in formats with scales apart: tensor (as in the "
                     "notebook), channel, or groups of 32, 64 or 128 (default: all)")
          ->delimiter(',')
          ->type_name("NAME,...");
  auto* inputs = app.add_option("--inputs", o.further,
                                "further inputs whose labels the table compares as well")
                     ->check(CLI::Range(1, 1 << 20))
                     ->capture_default_str();
  app.add_option("--variant", o.variant,
                 "run every operation of the notebook on its variant of this name (default: each "
                 "one's best)")
      ->type_name("NAME");
  app.add_option("--threads", o.threads, "of the table's products")->check(CLI::Range(1, 1024));
  app.add_flag(
         "--verbatim", o.verbatim,
         "print what the notebook prints and nothing else; its part about int4 says Int8 once")
      ->excludes(format)
      ->excludes(granularity)
      ->excludes(inputs);
  app.add_flag("--list", o.only_list, "print the kernels that would run, and stop");
}

void list(const qb::notebook::Kernels& kernels) {
  for (const qb::Variant* v : kernels.all()) std::cout << v->op << '/' << v->name << '\n';
}

qb::notebook::Kernels kernels_of(const Options& o) {
  if (o.variant.empty()) return {};
  try {
    return qb::notebook::Kernels::named(o.variant);
  } catch (const std::invalid_argument& e) {
    std::string message = std::string(e.what()) + "\nvariants that run the notebook here:";
    for (const std::string& name : qb::notebook::common_variants()) message += ' ' + name;
    throw std::invalid_argument(message);
  }
}

void run(const Options& o) {
  const qb::notebook::Kernels kernels = kernels_of(o);
  if (o.only_list) return list(kernels);
  if (!o.verbatim && o.further > kMostWeights / o.sizes.hidden)
    throw std::invalid_argument("--inputs " + std::to_string(o.further) + " of hidden size " +
                                std::to_string(o.sizes.hidden) + " are more than " +
                                std::to_string(kMostWeights) + " numbers");
  const Layer layer = qb::notebook::random_layer(o.seed, o.sizes, o.verbatim ? 0 : o.further);
  if (o.verbatim) {
    std::cout << qb::notebook::transcript(kernels, layer, Wording::verbatim);
    return;
  }
  const auto losses = qb::notebook::losses(kernels, layer, o.chosen, o.threads);
  std::cout << qb::notebook::transcript(kernels, layer, Wording::corrected) << '\n'
            << qb::notebook::table(losses, layer);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Quantizes weights to int8 and int4, restores them and compares what a layer and a "
      "classifier make of them, as the notebook does that this project began with; then does the "
      "same with every weight format. The numbers are the same to the bit on every variant."};
  Options options;
  add_options(app, options);
  try {
    app.parse(argc, argv);
    if (!options.sizes_text.empty()) options.sizes = parsed_sizes(options.sizes_text);
  } catch (const CLI::ParseError& e) {
    std::ostringstream message;
    const bool asked_for_help = app.exit(e, std::cout, message) == 0;
    std::cerr << qb::printable_lines(message.str());
    return asked_for_help ? checked_output(0) : kBadArgument;
  }

  try {
    run(options);
  } catch (const std::exception& e) {
    std::cerr << "quantization_demo: " << qb::printable_lines(e.what()) << '\n';
    return kBadArgument;
  }
  return checked_output(0);
}
