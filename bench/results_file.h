// SPDX-License-Identifier: Apache-2.0
// The file that --benchmark_out names.
#pragma once

#include <string>

#include "results.h"
#include "safe_file.h"

namespace qb::bench {

/// Kept up to date while the run goes on, so that an interrupted run leaves the rows it had.
class ResultsFile {
 public:
  ResultsFile(SafeFile& file, const Results& results, const Options& options);
  /// Writes what there is, if the last time was a while ago. A failure is reported once, and the
  /// run goes on: the disk may have room again at the end.
  void update();
  /// The last write; `complete` says whether the run came to its end. Throws std::runtime_error.
  void finish(bool complete);
  const std::string& path() const { return file_.path(); }

 private:
  SafeFile& file_;
  const Results& results_;
  const Options& options_;
  double written_at_ = 0;
  bool failed_ = false;
};

}  // namespace qb::bench
