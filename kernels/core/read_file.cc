// SPDX-License-Identifier: Apache-2.0
#include "core/read_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>

namespace qb {
namespace {

/// A file descriptor that is closed at the end of its scope.
struct Descriptor {
  int number;
  ~Descriptor() {
    if (number >= 0) close(number);
  }
};

[[noreturn]] void fail(const std::string& what) { throw std::runtime_error(what); }

}  // namespace

std::string read_regular_file(const std::string& path, std::size_t most_bytes) {
  // Without O_NONBLOCK, opening a FIFO waits until somebody writes to it.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY)};
  if (file.number < 0) fail(std::string("it can't be opened: ") + std::strerror(errno));
  struct stat status;
  if (fstat(file.number, &status) != 0) fail(std::strerror(errno));
  if (!S_ISREG(status.st_mode)) fail("it is no regular file");
  std::string text;
  const auto too_large = [&] {
    fail("it is larger than " + std::to_string(most_bytes >> 20) + " MiB");
  };
  if (std::size_t(status.st_size) > most_bytes) too_large();
  // The size may be a lie (files under /proc) or change meanwhile: read until the end.
  char buffer[1 << 16];
  for (ssize_t count; (count = read(file.number, buffer, sizeof buffer)) != 0;) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(std::strerror(errno));
    if (text.size() + std::size_t(count) > most_bytes) too_large();
    text.append(buffer, std::size_t(count));
  }
  return text;
}

}  // namespace qb
