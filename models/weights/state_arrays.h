#pragma once

// Internal to models/.

#include <span>
#include <string>
#include <utility>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/models/weights/match_arrays.h>

namespace rw::detail {

/// Numbers of a state that is saved: each an f64 scalar.
inline std::vector<NamedArray> scalar_arrays(std::initializer_list<std::pair<const char*, double>> numbers) {
  std::vector<NamedArray> arrays;
  for (const auto& [name, number] : numbers) arrays.push_back({name, full({}, number, DType::f64)});
  return arrays;
}

/// A count of a state that is saved. Throws Error unless it is a whole number from 0 on.
inline Index saved_count(const Array& array, const std::string& complaint) {
  const double count = array.item();
  if (!(count >= 0 && count < 0x1p53) || count != static_cast<double>(static_cast<Index>(count)))
    throw Error(complaint + ": " + std::to_string(count) + " is no count");
  return static_cast<Index>(count);
}

/// The arrays of `state`, in the order of `own`, whose names, shapes and types they must have: see match_arrays.
inline std::vector<const Array*> matching(std::span<const NamedArray> own, std::span<const NamedArray> state,
                                          const std::string& complaint) {
  std::vector<ExpectedArray> expected;
  for (const NamedArray& a : own) expected.push_back({a.name, a.array.shape(), a.array.dtype()});
  return match_arrays(expected, state, complaint);
}

}  // namespace rw::detail
