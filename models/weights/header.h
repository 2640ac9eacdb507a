#pragma once
// The header of a safetensors file: JSON that names each array, its element type, its shape and where its data are.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/core/shape.h>
#include <rewind/models/weights/element_types.h>
#include <rewind/models/weights/serialize.h>

namespace rw::detail {

/// One array of a header, checked but for its place among the others.
struct HeaderEntry {
  std::string name;
  Shape shape;
  const ElementType* type;
  std::uint64_t begin, end;  ///< bytes, from the first one behind the header
};

struct Header {
  Metadata metadata;
  std::vector<HeaderEntry> entries;
};

/// Reads a header. Throws Error for text that is none, with the array's name where one is at fault; what it takes is
/// bounded by the length of the text.
Header parse_header(std::string_view text);

}  // namespace rw::detail
