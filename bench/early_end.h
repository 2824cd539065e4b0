// What is still done where a library ends the program, as libgomp does if it can't make a thread.
#pragma once

#include <functional>
#include <string>

namespace qb::bench {

/// While it lives, an exit() from elsewhere or an exception that nobody catches first calls
/// `last_words` with the reason, and then ends the program with kIncomplete: exit status 1, which
/// libraries use, means a wrong kernel here.
class EarlyEnd {
 public:
  using LastWords = std::function<void(const std::string& why)>;
  explicit EarlyEnd(LastWords last_words);
  EarlyEnd(const EarlyEnd&) = delete;
  ~EarlyEnd();
};

}  // namespace qb::bench
