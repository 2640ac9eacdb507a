#pragma once

// Internal to tools/export/.

#include <string>
#include <vector>

#include <rewind/tools/export/header.h>
#include <rewind/tools/export/weights.h>

namespace rw::detail {

/// What a header is made of, besides what all of them have.
struct HeaderFrame {
  DType real = DType::f32;
  std::string beginning;   // the comment at the top
  std::string constants;   // after `Real`
  std::string statements;  // all that is computed, for the functions that it takes
  std::string code;        // behind the weights
  const std::vector<Array>& start;
  std::vector<Index> rooms;  // numbers of each tensor in State
  std::vector<Member> members;
  std::u32string characters;
};

/// Throws Error for a name that is none of C++ and for a `pad` out of range.
void check_options(const HeaderOptions& options);

/// "float", "double" or "std::int32_t".
std::string plain_type(DType dtype);
/// "Real" or "std::int32_t".
std::string member_type(DType dtype);

/// The statements of `reset`.
std::string reset_text(const std::vector<Array>& start);

/// The header.
HeaderFile header_file(const HeaderFrame& frame, const HeaderOptions& options);

}  // namespace rw::detail
