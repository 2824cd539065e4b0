// SPDX-License-Identifier: Apache-2.0
// Memory that ends (or starts) exactly at an inaccessible page, so that a kernel that touches one
// byte outside its span dies at once. AddressSanitizer misses masked vector loads; the MMU does
// not.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <new>
#include <span>
#include <utility>

namespace qb::test {

enum class Against { end, begin };  ///< which side of the data touches its guard page

/// `count` elements of T between two inaccessible pages.
template <class T>
class Guarded {
 public:
  explicit Guarded(std::size_t count, Against side = Against::end) : count_(count) {
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = count * sizeof(T);
    const std::size_t inner = (bytes + page - 1) / page * page;
    mapped_ = inner + 2 * page;
    base_ = static_cast<std::byte*>(
        mmap(nullptr, mapped_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    if (inner && mprotect(base_ + page, inner, PROT_READ | PROT_WRITE) != 0) throw std::bad_alloc();
    std::byte* const first = base_ + page + (side == Against::end ? inner - bytes : 0);
    data_ = reinterpret_cast<T*>(first);
  }
  template <class Range>
  Guarded(const Range& values, Against side) : Guarded(values.size(), side) {
    if (count_) std::memcpy(data_, values.data(), count_ * sizeof(T));
  }
  Guarded(Guarded&& other) noexcept
      : base_(std::exchange(other.base_, nullptr)),
        mapped_(other.mapped_),
        data_(other.data_),
        count_(other.count_) {}
  Guarded& operator=(Guarded&&) = delete;
  ~Guarded() {
    if (base_) munmap(base_, mapped_);
  }

  /// From here on whoever writes to the elements dies.
  void make_read_only() {
    const std::size_t page = std::size_t(sysconf(_SC_PAGESIZE)), inner = mapped_ - 2 * page;
    if (inner && mprotect(base_ + page, inner, PROT_READ) != 0) throw std::bad_alloc();
  }

  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }
  std::span<T> span() { return {data_, count_}; }
  T* begin() { return data_; }
  T* end() { return data_ + count_; }

 private:
  std::byte* base_ = nullptr;
  std::size_t mapped_ = 0;
  T* data_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace qb::test
