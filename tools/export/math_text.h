#pragma once

// Internal to tools/export/.

#include <string>
#include <string_view>

#include <rewind/core/dtype.h>

namespace rw::detail {

/// The functions of `math` that a program's text names, and those that they need, in an order in which they compile.
std::string math_functions(std::string_view used_by, DType real);

}  // namespace rw::detail
