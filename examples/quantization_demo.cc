// SPDX-License-Identifier: Apache-2.0
// The notebook, on the kernels of this suite: prints what it prints, to the digit.
#include <CLI/CLI.hpp>
#include <iostream>
#include <sstream>
#include <stdexcept>

#include "core/printable.h"
#include "notebook.h"

namespace {

constexpr int kBadArgument = 2;
constexpr int kCannotWrite = 3;

/// Full disks show when the last of the text is written.
int checked_output(int status) {
  std::cout.flush();
  if (std::cout) return status;
  std::cerr << "quantization_demo: can't write to standard output\n";
  return kCannotWrite;
}

void list(const qb::notebook::Kernels& kernels) {
  for (const qb::Variant* v : kernels.all()) std::cout << v->op << '/' << v->name << '\n';
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Quantizes weights to int8 and int4, restores them and compares what a layer and a "
      "classifier "
      "make of them. The numbers are the same to the bit on every variant."};
  std::string variant;
  bool only_list = false;
  app.add_option("--variant", variant,
                 "run every operation on its variant of this name (default: each one's best)")
      ->type_name("NAME");
  app.add_flag("--list", only_list, "print the kernels that would run, and stop");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    std::ostringstream message;
    const bool asked_for_help = app.exit(e, std::cout, message) == 0;
    std::cerr << qb::printable_lines(message.str());
    return asked_for_help ? checked_output(0) : kBadArgument;
  }

  try {
    const auto kernels =
        variant.empty() ? qb::notebook::Kernels{} : qb::notebook::Kernels::named(variant);
    if (only_list)
      list(kernels);
    else
      std::cout << qb::notebook::transcript(kernels);
  } catch (const std::invalid_argument& e) {
    std::cerr << "quantization_demo: " << qb::printable(e.what())
              << "\nvariants that run the notebook here:";
    for (const std::string& name : qb::notebook::common_variants()) std::cerr << ' ' << name;
    std::cerr << '\n';
    return kBadArgument;
  } catch (const std::exception& e) {
    std::cerr << "quantization_demo: " << qb::printable(e.what()) << '\n';
    return kBadArgument;
  }
  return checked_output(0);
}
