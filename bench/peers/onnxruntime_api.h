// SPDX-License-Identifier: Apache-2.0
// What onnxruntime.cc calls of ONNX Runtime, whose package in the registries holds the library but
// no header.
//
// Its C API is two tables of pointers to functions; the second builds models. The library promises
// that a table only ever grows at its end, so that a function is known by its place in it. Here are
// the places and signatures of those that are needed, under the library's own names. Almost all
// return a status, null if all went well, and hand out what they make through their last argument.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace qb::bench::peers::ort {

using Table = void* const*;
struct Base {
  Table (*GetApi)(std::uint32_t version);
  const char* (*GetVersionString)();
};
extern "C" const Base* OrtGetApiBase();

template <class Function>
Function* entry(Table table, std::size_t place) {
  return reinterpret_cast<Function*>(table[place]);
}

inline Table api() {
  constexpr std::uint32_t kBuildsModels = 22;  // the first version that does
  static const Table table = OrtGetApiBase()->GetApi(kBuildsModels);
  if (!table) throw std::runtime_error("ONNX Runtime: older than 1.22");
  return table;
}

inline Table model_editor() {
  constexpr std::size_t kGetModelEditorApi = 291;
  static const Table table = entry<Table()>(api(), kGetModelEditorApi)();
  if (!table) throw std::runtime_error("ONNX Runtime: a build that can't make models");
  return table;
}

// Objects that only the library makes and looks into; with the place of the function that releases
// them where that is left to us.
struct Env {};
struct MemoryInfo {};
struct Node {};
struct OpAttr {};
struct RunOptions {};
struct Status {
  static constexpr std::size_t kRelease = 93;
};
struct Session {
  static constexpr std::size_t kRelease = 95;
};
struct Value {
  static constexpr std::size_t kRelease = 96;
};
struct TypeInfo {
  static constexpr std::size_t kRelease = 98;
};
struct TensorTypeAndShapeInfo {
  static constexpr std::size_t kRelease = 99;
};
struct SessionOptions {
  static constexpr std::size_t kRelease = 100;
};
struct ValueInfo {
  static constexpr std::size_t kRelease = 285;
};
struct Graph {
  static constexpr std::size_t kRelease = 287;
};
struct Model {
  static constexpr std::size_t kRelease = 288;
};

template <class T>
struct Release {
  void operator()(T* p) const { entry<void(T*)>(api(), T::kRelease)(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Release<T>>;

/// The function at that place, which throws what its status says.
template <Table (*table)(), std::size_t place, class... Arguments>
struct Call {
  void operator()(Arguments... arguments) const {
    const Owned<Status> status(entry<Status*(Arguments...)>(table(), place)(arguments...));
    constexpr std::size_t kGetErrorMessage = 2;
    if (status)
      throw std::runtime_error(
          std::string("ONNX Runtime: ") +
          entry<const char*(const Status*)>(api(), kGetErrorMessage)(status.get()));
  }
};

/// What a function makes.
template <class T, class Make, class... Arguments>
Owned<T> make(const Make& function, Arguments... arguments) {
  T* made = nullptr;
  function(arguments..., &made);
  return Owned<T>(made);
}

enum class Log : int { errors = 3 };
enum class Allocator : int { device = 0 };
enum class Memory : int { usual = 0 };
enum class Attribute : int { integer = 1 };
enum class Element : int { f32 = 1, u8 = 2, s8 = 3 };

using Names = const char* const*;
using Dims = const std::int64_t*;
using std::size_t;

inline constexpr Call<api, 3, Log, const char*, Env**> CreateEnv;
inline constexpr Call<api, 9, Session*, const RunOptions*, Names, const Value* const*, size_t,
                      Names, size_t, Value**>
    Run;
inline constexpr Call<api, 10, SessionOptions**> CreateSessionOptions;
inline constexpr Call<api, 24, SessionOptions*, int> SetIntraOpNumThreads;
inline constexpr Call<api, 49, const MemoryInfo*, void*, size_t, Dims, size_t, Element, Value**>
    CreateTensorWithDataAsOrtValue;
inline constexpr Call<api, 57, TensorTypeAndShapeInfo**> CreateTensorTypeAndShapeInfo;
inline constexpr Call<api, 58, TensorTypeAndShapeInfo*, Element> SetTensorElementType;
inline constexpr Call<api, 59, TensorTypeAndShapeInfo*, Dims, size_t> SetDimensions;
inline constexpr Call<api, 69, Allocator, Memory, MemoryInfo**> CreateCpuMemoryInfo;
inline constexpr Call<api, 130, SessionOptions*, const char*, const char*> AddSessionConfigEntry;
inline constexpr Call<api, 211, const char*, const void*, int, Attribute, OpAttr**> CreateOpAttr;

inline constexpr Call<model_editor, 0, const TensorTypeAndShapeInfo*, TypeInfo**>
    CreateTensorTypeInfo;
inline constexpr Call<model_editor, 5, const char*, const TypeInfo*, ValueInfo**> CreateValueInfo;
/// Operator, its domain, a name, inputs, outputs, attributes (which it takes).
inline constexpr Call<model_editor, 6, const char*, const char*, const char*, Names, size_t, Names,
                      size_t, OpAttr**, size_t, Node**>
    CreateNode;
inline constexpr Call<model_editor, 7, Graph**> CreateGraph;
// These take what they are given, if they don't fail.
inline constexpr Call<model_editor, 8, Graph*, ValueInfo**, size_t> SetGraphInputs;
inline constexpr Call<model_editor, 9, Graph*, ValueInfo**, size_t> SetGraphOutputs;
inline constexpr Call<model_editor, 10, Graph*, const char*, Value*, bool> AddInitializerToGraph;
inline constexpr Call<model_editor, 11, Graph*, Node*> AddNodeToGraph;
/// Domains and the versions of their operators.
inline constexpr Call<model_editor, 12, Names, const int*, size_t, Model**> CreateModel;
inline constexpr Call<model_editor, 13, Model*, Graph*> AddGraphToModel;
inline constexpr Call<model_editor, 14, const Env*, const Model*, const SessionOptions*, Session**>
    CreateSessionFromModel;

}  // namespace qb::bench::peers::ort
