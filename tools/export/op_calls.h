#pragma once

// Internal to tools/export/.

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/tools/export/length_text.h>

namespace rw::detail {

/// Numbers in memory as C++: where they begin, and how many there are along each axis.
struct CallOperand {
  std::string pointer;
  Lengths shape;
};

/// An op that is about to be written as a call of a function of `math`.
struct OpCall {
  std::vector<CallOperand> in;
  CallOperand out;
  /// Number k of an attribute, or what it is in a new op; and the same of one that may be a length.
  std::function<double(std::string_view name, double usual)> number;
  std::function<Length(std::string_view name, std::size_t k, Index usual)> length;
};

/// The call, for ops whose lengths are arguments: sorting, linear algebra, convolutions, indexing. Such a function
/// takes indices as std::int32_t, or in the place of a Real each. Nothing for an op that has none, or none of such
/// lengths.
std::optional<std::string> op_call(std::string_view op, const OpCall& call);

}  // namespace rw::detail
