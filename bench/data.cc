// SPDX-License-Identifier: Apache-2.0
#include "data.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <new>
#include <random>
#include <vector>

#include "core/scalar_half.h"

namespace qb::bench {
namespace {

constexpr std::size_t kHuge = std::size_t{2} << 20;
constexpr std::size_t kChunk = std::size_t{1} << 16;

template <class T, class Convert>
void fill(std::span<T> x, std::uint64_t seed, std::uint64_t stream, Convert convert) {
  const std::size_t chunks = (x.size() + kChunk - 1) / kChunk;
#pragma omp parallel for schedule(dynamic)
  for (std::size_t c = 0; c < chunks; ++c) {
    std::seed_seq words{std::uint32_t(seed), std::uint32_t(seed >> 32), std::uint32_t(stream),
                        std::uint32_t(c)};
    std::mt19937 engine(words);
    std::normal_distribution<float> normal;
    std::vector<float> chunk(std::min(kChunk, x.size() - c * kChunk));
    for (float& v : chunk) v = normal(engine);
    convert(chunk, x.subspan(c * kChunk, chunk.size()));
  }
}

bool guarded = false;

/// `size` bytes, a multiple of 64, before an inaccessible page.
std::byte* before_guard_page(std::size_t size) {
  const auto page = std::size_t(sysconf(_SC_PAGESIZE));
  const std::size_t pages = (size + page - 1) / page * page;
  void* const p =
      mmap(nullptr, pages + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED) throw std::bad_alloc();
  auto* const first = static_cast<std::byte*>(p);
  if (mprotect(first + pages, page, PROT_NONE) != 0) throw std::bad_alloc();
  return first + pages - size;
}

}  // namespace

void put_guard_pages_behind_bytes() { guarded = true; }

Bytes::Bytes(std::size_t size) : size_(size) {
  if (guarded) {
    const std::size_t whole = (size + 63) / 64 * 64;
    data_.reset(before_guard_page(whole));
    std::memset(data(), 0x5a, whole);
    return;
  }
  const std::size_t alignment = size >= kHuge ? kHuge : 64;
  const std::size_t padded = (size + alignment - 1) / alignment * alignment;
  auto* p = static_cast<std::byte*>(std::aligned_alloc(alignment, padded ? padded : alignment));
  if (!p) throw std::bad_alloc();
  data_.reset(p);
#ifdef MADV_HUGEPAGE
  if (alignment == kHuge) madvise(p, padded, MADV_HUGEPAGE);
#endif
  std::memset(p, 0x5a, padded ? padded : alignment);
}

void Bytes::wipe() { std::memset(data(), 0x5a, size_); }

Bytes Bytes::copy() const {
  Bytes to(size_);
  if (size_) std::memcpy(to.data(), data(), size_);
  return to;
}

void Bytes::Free::operator()(std::byte* p) const {
  if (!guarded) std::free(p);
}

void fill_normal(std::span<float> x, std::uint64_t seed, std::uint64_t stream) {
  fill(x, seed, stream, [](const std::vector<float>& from, std::span<float> to) {
    std::copy(from.begin(), from.end(), to.begin());
  });
}

void fill_normal(std::span<f16> x, std::uint64_t seed, std::uint64_t stream) {
  fill(x, seed, stream, [](const std::vector<float>& from, std::span<f16> to) {
    std::transform(from.begin(), from.end(), to.begin(), f32_to_f16);
  });
}

void fill_normal(std::span<bf16> x, std::uint64_t seed, std::uint64_t stream) {
  fill(x, seed, stream, [](const std::vector<float>& from, std::span<bf16> to) {
    std::transform(from.begin(), from.end(), to.begin(), f32_to_bf16);
  });
}

}  // namespace qb::bench
