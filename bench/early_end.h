// SPDX-License-Identifier: Apache-2.0
// Last actions of a program that a library ends. libgomp calls exit() if it can't make a thread.
#pragma once

#include <functional>
#include <string>

namespace qb::bench {

/// While an EarlyEnd lives, an exit() from elsewhere and an uncaught exception call `last_words`
/// with the reason. The program then ends with kIncomplete instead of the library's exit status 1,
/// which stands for a wrong kernel here.
class EarlyEnd {
 public:
  using LastWords = std::function<void(const std::string& why)>;
  explicit EarlyEnd(LastWords last_words);
  EarlyEnd(const EarlyEnd&) = delete;
  ~EarlyEnd();
};

}  // namespace qb::bench
