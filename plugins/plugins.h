// SPDX-License-Identifier: Apache-2.0
// Kernels that come from shared libraries (include/quantbench/plugin.h), as further variants of our
// operations.
//
// They are rows of the benchmark and of the tests. The library's own tables don't have them, so the
// dispatcher never chooses one: what makes inputs and expected results is always our own code.
#pragma once

#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/variant.h"

namespace qb::plugins {

/// A variant that was loaded.
struct Loaded : Variant {
  std::string file;         ///< as the user named it
  std::string fingerprint;  ///< of the file's bytes: two builds of one name differ in it
};

/// Loads the kernels of a file. Throws std::runtime_error, whose text names the file and what is
/// wrong with it or with one of its kernels; nothing of the file is kept then.
///
/// Loading runs code of the file, its constructors and its entry. They are run in a child process
/// first. To be called while this process has one thread.
void load(const std::string& file);

/// Everything that was loaded, in the order of the files and of their arrays.
const std::deque<Loaded>& all();

/// The loaded variant that `v` is, or null if it is one of ours or another project's.
const Loaded* as_loaded(const Variant* v);

/// `own` and after them the loaded variants of the operation.
std::vector<const Variant*> with_loaded(std::vector<const Variant*> own, std::string_view op);

/// From now on each call of `loaded` is recorded (call.h). For a child process that tries it: the
/// record takes time, and no other variant with functions of the same type may run meanwhile.
void trace(const Loaded& loaded);

}  // namespace qb::plugins
