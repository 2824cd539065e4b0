// SPDX-License-Identifier: Apache-2.0
// NumPy arrays as the library takes them: flat and contiguous. Halves of either kind come as
// uint16, since NumPy has no bfloat16 of its own.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <type_traits>

#include "quantbench/formats.h"
#include "quantbench/matmul.h"

namespace nb = nanobind;

template <class T>
using Array = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using ReleaseLock = nb::call_guard<nb::gil_scoped_release>;

template <class To, class T>
auto span_as(const Array<T>& a) {
  using Element = std::conditional_t<std::is_const_v<T>, const To, To>;
  static_assert(sizeof(To) == sizeof(T));
  return std::span<Element>(reinterpret_cast<Element*>(a.data()), a.size());
}
template <class T>
auto span(const Array<T>& a) {
  return std::span<T>(a.data(), a.size());
}
template <class T>
auto bytes(const Array<T>& a) {
  return span_as<std::byte>(a);
}

using F32In = Array<const float>;
using F32Out = Array<float>;
using HalfIn = Array<const std::uint16_t>;
using HalfOut = Array<std::uint16_t>;
using BytesIn = Array<const std::uint8_t>;
using BytesOut = Array<std::uint8_t>;

/// By their names; std::invalid_argument, which is a ValueError, lists those there are.
qb::Format format_of(const std::string& name);
qb::matmul::Arithmetic arithmetic_of(const std::string& name);
