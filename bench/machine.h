// The results' context: everything about machine, build and run that a reader of a number needs.
// No host name: results are meant to be passed on.
#pragma once

#include <map>
#include <string>

namespace qb::bench {

/// Key and value, sorted: cpu_name, cpu_flags, microcode, isa_*, compiler, git_revision, ...
std::map<std::string, std::string> machine_context();

/// True under qemu's user-mode emulation, where timings mean nothing. QB_EMULATED=1 says so too.
bool emulated();

/// Pins the calling thread, and OpenMP thread t of the team to cpu + t.
/// Throws std::invalid_argument if the operating system refuses.
void pin_threads(int first_cpu, int threads);

/// Zeroes the upper halves of the vector registers of so many OpenMP threads, the calling one among
/// them, as every function may expect them: FBGEMM and ggml leave something there, and SSE code
/// that follows then waits for what it doesn't use, a Zen 4 three times as long.
void clear_upper_halves(int threads);

}  // namespace qb::bench
