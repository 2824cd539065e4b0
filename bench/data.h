// SPDX-License-Identifier: Apache-2.0
// Buffers and inputs of benchmarks. Every page is touched before timing; zeros are never timed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <type_traits>

#include "quantbench/types.h"

namespace qb::bench {

/// 64-byte aligned bytes (page-aligned, with transparent huge pages asked for, when large), every
/// page written.
class Bytes {
 public:
  explicit Bytes(std::size_t size);
  Bytes(Bytes&&) noexcept = default;
  Bytes& operator=(Bytes&&) noexcept = default;
  std::byte* data() { return data_.get(); }
  const std::byte* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  /// Writes what new memory holds: 0x5a in every byte.
  void wipe();
  /// The same bytes in memory of their own.
  Bytes copy() const;

 private:
  struct Free {
    void operator()(std::byte* p) const;
  };
  std::unique_ptr<std::byte[], Free> data_;
  std::size_t size_;
};

/// From now on in this process, an inaccessible page follows the end of every Bytes, which is
/// rounded up to 64 bytes, and their memory is never freed. For a child process that tries a
/// kernel.
void put_guard_pages_behind_bytes();

/// `count` elements of a trivially copyable T.
template <class T>
class Array {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  explicit Array(std::size_t count) : bytes_(count * sizeof(T)), count_(count) {}
  T* data() { return reinterpret_cast<T*>(bytes_.data()); }
  const T* data() const { return reinterpret_cast<const T*>(bytes_.data()); }
  std::size_t size() const { return count_; }
  void wipe() { bytes_.wipe(); }
  T& operator[](std::size_t i) { return data()[i]; }
  const T& operator[](std::size_t i) const { return data()[i]; }
  std::span<T> span() { return {data(), count_}; }
  std::span<const T> span() const { return {data(), count_}; }

 private:
  Bytes bytes_;
  std::size_t count_;
};

/// Standard normal values from the seed; the same for the same (seed, stream) whatever the threads.
void fill_normal(std::span<float> x, std::uint64_t seed, std::uint64_t stream = 0);
/// The same, rounded to the format.
void fill_normal(std::span<f16> x, std::uint64_t seed, std::uint64_t stream = 0);
void fill_normal(std::span<bf16> x, std::uint64_t seed, std::uint64_t stream = 0);

/// Calls body(begin, end) for a partition of [0, n) into one range per thread, each a multiple of
/// `granule` but the last, on OpenMP threads; directly if threads == 1.
template <class Body>
void parallel_ranges(int threads, std::size_t n, std::size_t granule, const Body& body);

}  // namespace qb::bench

#include <omp.h>

template <class Body>
void qb::bench::parallel_ranges(int threads, std::size_t n, std::size_t granule, const Body& body) {
  if (threads <= 1) return body(std::size_t{0}, n);
  const std::size_t granules = (n + granule - 1) / granule;
#pragma omp parallel num_threads(threads)
  {
    const auto t = std::size_t(omp_get_thread_num()), all = std::size_t(omp_get_num_threads());
    const std::size_t begin = granules * t / all * granule;
    const std::size_t end = granules * (t + 1) / all * granule;
    if (begin < n && begin < end) body(begin, end < n ? end : n);
  }
}
