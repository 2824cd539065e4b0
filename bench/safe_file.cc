// SPDX-License-Identifier: Apache-2.0
#include "safe_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <optional>
#include <stdexcept>
#include <utility>

namespace qb::bench {
namespace {

namespace fs = std::filesystem;

/// What stands at the end of a chain of symbolic links; it need not exist. Empty for a loop.
fs::path end_of_links(fs::path path) {
  constexpr int most_links = 40;  // as Linux has it
  std::error_code error;
  for (int i = 0; i < most_links; ++i) {
    if (!fs::is_symlink(fs::symlink_status(path, error))) return path;
    const fs::path to = fs::read_symlink(path, error);
    if (error) return {};
    path = path.parent_path() / to;  // an absolute `to` replaces all of it
  }
  return {};
}

fs::path folder_of(const fs::path& path) {
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

bool same_file(int descriptor, const std::string& path) {
  struct stat open_one, named;
  return fstat(descriptor, &open_one) == 0 && lstat(path.c_str(), &named) == 0 &&
         open_one.st_dev == named.st_dev && open_one.st_ino == named.st_ino;
}

/// A new file beside the target, with a name that nobody could foresee; gone at the end of the
/// scope unless it was renamed.
class Temporary {
 public:
  explicit Temporary(const fs::path& folder) : name_((folder / ".quantbench-XXXXXX").string()) {
    descriptor_ = mkostemp(name_.data(), O_CLOEXEC);
  }
  Temporary(const Temporary&) = delete;
  ~Temporary() {
    if (descriptor_ >= 0) close(descriptor_);
    if (exists_()) unlink(name_.c_str());
  }
  bool made() const { return descriptor_ >= 0 || closed_; }
  int descriptor() const { return descriptor_; }
  /// Network file systems report a full disk here.
  bool close_checked() {
    closed_ = true;
    return close(std::exchange(descriptor_, -1)) == 0;
  }
  bool rename_to(const std::string& target) {
    renamed_ = std::rename(name_.c_str(), target.c_str()) == 0;
    return renamed_;
  }

 private:
  bool exists_() const { return made() && !renamed_; }
  std::string name_;
  int descriptor_;
  bool closed_ = false, renamed_ = false;
};

/// What a file that is replaced was, so that the new one is the same: mode and owner.
std::optional<struct stat> status_of(const std::string& path) {
  struct stat status;
  if (stat(path.c_str(), &status) != 0) return std::nullopt;
  return status;
}

/// The mode that open() would give a new file.
mode_t new_file_mode() {
  const mode_t mask = umask(0);
  umask(mask);
  return 0666 & ~mask;
}

}  // namespace

bool write_all(int descriptor, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = write(descriptor, text.data(), text.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    text.remove_prefix(std::size_t(count));
  }
  return true;
}

SafeFile::SafeFile(std::string path) : path_(std::move(path)) {
  const auto status = status_of(path_);
  if (status && S_ISDIR(status->st_mode)) fail("it is a directory");
  if (status && !S_ISREG(status->st_mode)) {
    open_stream();
    return;
  }
  target_ = end_of_links(path_).string();
  if (target_.empty()) {
    errno = ELOOP;
    fail_with_errno();
  }
  if (status && access(target_.c_str(), W_OK) != 0) fail_with_errno();
  if (!Temporary(folder_of(target_)).made()) fail_with_errno();
  take_lock();
}

SafeFile::~SafeFile() {
  release_lock();
  if (stream_ >= 0) close(stream_);
}

void SafeFile::release_lock() {
  if (lock_ < 0) return;
  // The lock file goes while it is still locked: whoever waits for it then finds it gone.
  if (made_lock_ && same_file(lock_, lock_path_)) unlink(lock_path_.c_str());
  close(std::exchange(lock_, -1));
}

void SafeFile::fail(const std::string& why) const {
  throw std::runtime_error("can't write '" + path_ + "': " + why);
}

void SafeFile::fail_with_errno() const { fail(std::strerror(errno)); }

void SafeFile::open_stream() {
  // A FIFO that nobody reads would otherwise keep the run waiting.
  stream_ = open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
  if (stream_ < 0 && errno == ENXIO) fail("nobody reads from it");
  if (stream_ < 0) fail_with_errno();
  fcntl(stream_, F_SETFL, fcntl(stream_, F_GETFL) & ~O_NONBLOCK);
}

void SafeFile::take_lock() {
  const fs::path target(target_);
  lock_path_ = (folder_of(target) / ("." + target.filename().string() + ".lock")).string();
  for (;;) {
    constexpr int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    lock_ = open(lock_path_.c_str(), flags | O_CREAT | O_EXCL, 0666);
    made_lock_ = lock_ >= 0;
    if (!made_lock_ && errno == EEXIST) lock_ = open(lock_path_.c_str(), flags);
    if (lock_ < 0 && errno == ENOENT) continue;  // its owner has just removed it
    if (lock_ < 0) fail("its lock '" + lock_path_ + "': " + std::strerror(errno));
    if (flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
      close(std::exchange(lock_, -1));
      fail("another run is writing it");
    }
    // Where the file system has no locks, the run goes on without one.
    if (same_file(lock_, lock_path_)) return;
    close(std::exchange(lock_, -1));
  }
}

void SafeFile::update(std::string_view text) {
  if (stream_ < 0) replace(text, false);
}

void SafeFile::finish(std::string_view text) {
  if (stream_ < 0) {
    replace(text, true);
    return release_lock();
  }
  if (!write_all(stream_, text)) fail_with_errno();
  if (close(std::exchange(stream_, -1)) != 0) fail_with_errno();
}

void SafeFile::replace(std::string_view text, bool sync) const {
  const auto old = status_of(target_);
  if (old && !S_ISREG(old->st_mode)) fail("it is no regular file any more");
  Temporary file(folder_of(target_));
  if (!file.made()) fail_with_errno();
  if (old && fchown(file.descriptor(), old->st_uid, old->st_gid) != 0) {
    // Only root may give files away: then the file is its writer's.
  }
  if (fchmod(file.descriptor(), old ? old->st_mode & 07777 : new_file_mode()) != 0)
    fail_with_errno();
  if (!write_all(file.descriptor(), text)) fail_with_errno();
  if (sync && fsync(file.descriptor()) != 0 && errno != EINVAL && errno != ENOTSUP)
    fail_with_errno();
  if (!file.close_checked() || !file.rename_to(target_)) fail_with_errno();
}

}  // namespace qb::bench
