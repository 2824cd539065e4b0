// SPDX-License-Identifier: Apache-2.0
// The one way in which this program writes a file that a user named.
//
//   x.json -> data/real.json     the symbolic link stays, its target is replaced
//   data/.quantbench-a1b2c3      written whole, checked, then renamed to data/real.json
//   data/.real.json.lock         held from begin to end: a second run into the file is refused
#pragma once

#include <string>
#include <string_view>

namespace qb::bench {

/// A file whose content is replaced as a whole or not at all. A reader, and whoever looks after the
/// run was killed, sees an old content or a new one, never half of one. Only regular files are
/// replaced; a device or a FIFO is written to, once, by finish().
/// Everything here throws std::runtime_error, which names the path and the reason.
class SafeFile {
 public:
  /// Takes the lock, and finds out whether the file can be written.
  explicit SafeFile(std::string path);
  SafeFile(const SafeFile&) = delete;
  ~SafeFile();

  /// Replaces the content. Does nothing where the file can't be replaced.
  void update(std::string_view text);
  /// The last content: asks for it to reach the disk, and gives the lock back.
  void finish(std::string_view text);

  const std::string& path() const { return path_; }

 private:
  void open_stream();
  void take_lock();
  void release_lock();
  void replace(std::string_view text, bool sync) const;
  [[noreturn]] void fail(const std::string& why) const;
  [[noreturn]] void fail_with_errno() const;

  std::string path_;    ///< as the user wrote it
  std::string target_;  ///< what symbolic links lead to
  std::string lock_path_;
  int lock_ = -1;
  bool made_lock_ = false;
  int stream_ = -1;  ///< of a device or FIFO
};

/// Writes all of `text`. Returns false, with errno set, where that fails.
bool write_all(int descriptor, std::string_view text);

}  // namespace qb::bench
