// SPDX-License-Identifier: Apache-2.0
#include "early_end.h"

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <utility>

#include "core/printable.h"
#include "options.h"

namespace qb::bench {
namespace {

EarlyEnd::LastWords g_last_words;

[[noreturn]] void end_program(const std::string& why) {
  // Taken away first, so that an error in the last words can't call them again.
  if (!g_last_words) std::fprintf(stderr, "quantbench: %s\n", printable(why).c_str());
  if (const auto last_words = std::exchange(g_last_words, nullptr)) try {
      last_words(why);
    } catch (const std::exception& e) {
      std::fprintf(stderr, "quantbench: %s\n", printable(e.what()).c_str());
    }
  std::fflush(stdout);
  std::_Exit(kIncomplete);
}

void at_exit() {
  if (g_last_words) end_program("a library ended the program");
}

void on_terminate() {
  std::string why = "an exception in a thread";
  if (const std::exception_ptr e = std::current_exception()) try {
      std::rethrow_exception(e);
    } catch (const std::bad_alloc&) {
      why = "out of memory";
    } catch (const std::exception& known) {
      why = known.what();
    } catch (...) {  // of no known type: nothing more can be said
    }
  end_program(why);
}

}  // namespace

EarlyEnd::EarlyEnd(LastWords last_words) {
  g_last_words = std::move(last_words);
  [[maybe_unused]] static const int registered = std::atexit(at_exit);
  std::set_terminate(on_terminate);
}

EarlyEnd::~EarlyEnd() { g_last_words = nullptr; }

}  // namespace qb::bench
