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

/// Throws std::runtime_error if `bytes` are more than the process can have at all: than what it has
/// and the machine has left. Linux would hand them out, and kill the process when they are touched.
void require_memory(std::size_t bytes);

/// Zeroes the upper halves of the vector registers of so many OpenMP threads, the calling one among
/// them, as every function may expect them: FBGEMM and ggml leave something there, and SSE code
/// that follows then waits for what it doesn't use, a Zen 4 three times as long.
void clear_upper_halves(int threads);

}  // namespace qb::bench
