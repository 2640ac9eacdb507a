#pragma once

// Internal to tools/export/.

#include <span>
#include <string_view>

namespace rw::detail {

/// A function as text, for both types or for each. Those after it may use it.
struct MathFunction {
  std::string_view name, f32, f64;
};

/// The functions that op_call names, of lengths that are arguments.
std::span<const MathFunction> op_functions();

}  // namespace rw::detail
