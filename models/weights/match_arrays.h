#pragma once

// Internal to models/.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include <rewind/models/weights/serialize.h>

namespace rw::detail {

/// An array that must be there. Without `dtype` any real type will do.
struct ExpectedArray {
  std::string name;
  Shape shape;
  std::optional<DType> dtype = std::nullopt;
};

/// The given arrays in the order of `expected`. Throws Error, "<complaint>: missing: ...; not expected: ...; of another
/// shape: ...", listing every name, unless each expected array is there and no other.
std::vector<const Array*> match_arrays(std::span<const ExpectedArray> expected, std::span<const NamedArray> given,
                                       const std::string& complaint);

}  // namespace rw::detail
