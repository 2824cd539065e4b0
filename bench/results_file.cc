// SPDX-License-Identifier: Apache-2.0
#include "results_file.h"

#include <chrono>
#include <cstdio>
#include <stdexcept>

#include "core/printable.h"

namespace qb::bench {
namespace {

constexpr double kSecondsBetweenWrites = 2;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace

ResultsFile::ResultsFile(SafeFile& file, const Results& results, const Options& options)
    : file_(file), results_(results), options_(options) {}

void ResultsFile::update() {
  if (now() - written_at_ < kSecondsBetweenWrites) return;
  try {
    file_.update(results_.text(options_.out_format, options_.aggregates_only, false));
  } catch (const std::runtime_error& e) {
    if (!failed_) std::fprintf(stderr, "quantbench: %s; going on\n", printable(e.what()).c_str());
    failed_ = true;
  }
  written_at_ = now();
}

void ResultsFile::finish(bool complete) {
  file_.finish(results_.text(options_.out_format, options_.aggregates_only, complete));
}

}  // namespace qb::bench
