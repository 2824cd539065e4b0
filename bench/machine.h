// SPDX-License-Identifier: Apache-2.0
// The results' context: everything about machine, build and run that a reader of a number needs.
// No host name: results are meant to be passed on.
#pragma once

#include <cstddef>
#include <map>
#include <string>

namespace qb::bench {

/// Key and value, sorted: cpu_name, cpu_flags, microcode, isa_*, compiler, git_revision, ...
std::map<std::string, std::string> machine_context();

/// True under qemu's user-mode emulation, where timings mean nothing. QB_EMULATED=1 says so too.
bool emulated();

/// Throws std::runtime_error if `bytes` exceed the memory that the process already has plus what
/// the machine has left. Linux would grant more, and kill the process when it touches the pages.
void require_memory(std::size_t bytes);

/// Zeroes the upper halves of the vector registers (vzeroupper) on `threads` OpenMP threads, the
/// calling one included. The ABI requires it of every function, but FBGEMM and ggml leave values
/// there. SSE code that follows then depends on them: on a Zen 4 it takes three times as long.
void clear_upper_halves(int threads);

}  // namespace qb::bench
