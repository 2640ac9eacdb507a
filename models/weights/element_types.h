#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include <rewind/core/view.h>

namespace rw::detail {

/// An element type that a safetensors file may have, and how it becomes one of ours.
struct ElementType {
  std::string_view name;  // as the format has it
  std::size_t bytes;      // of an element in the file
  DType dtype;            // what it is read as
  /// Reads all elements of `to`, contiguous, from as many little-endian ones. Throws Error for one that has no place
  /// there.
  void (*read)(const char* from, View to);
};

/// Null for a name that cannot be read.
const ElementType* element_type(std::string_view name);
/// "F32, F64, ... and I64".
std::string readable_element_types();

}  // namespace rw::detail
