// SPDX-License-Identifier: Apache-2.0
// Loaded kernels before they run in this process: each is tried in a process of its own, with its
// arrays next to guard pages. What crashes, hangs or computes something else there becomes the
// error of a row, and the run goes on.
//
// A forked child has one thread, and OpenMP's library believes that it has all those that the
// parent had: the first team that this program asks for there would wait for ever (the library's
// products avoid that). So the children are not forked by the
// process that times, which has teams, but by a server: a process that was forked from it before
// the first team, and never has one itself.
//
//   this process ---- request: a row ----> server ---- fork ----> child: makes the inputs,
//                <--- what was found -----        <--- memory --- runs the kernel, verifies
//
// Running this program once more instead (exec) would do as well on a CPU, but an emulator does not
// know how to.
#pragma once

#include <string>

#include "options.h"
#include "suite.h"

namespace qb::bench {

class Trials {
 public:
  /// Forks the server if any kernel was loaded. To be made while this process has one thread.
  explicit Trials(const Options& options);
  Trials(const Trials&) = delete;
  ~Trials();

  /// What verify::conformance finds wrong with a loaded variant; empty if nothing.
  std::string conformance(const Variant& v) const;
  /// What is wrong when a loaded variant runs the inputs that the row is about to time, verified as
  /// the options say; empty if nothing.
  std::string row(const Case& c, std::size_t cache_bytes) const;

 private:
  struct Request;
  struct Reply;
  static std::string answer(const Request& request, const Options& options);
  [[noreturn]] static void serve(int socket, const Options& options);
  std::string ask(const Request& request) const;

  int socket_ = -1;
  int server_ = -1;  ///< process number
};

}  // namespace qb::bench
