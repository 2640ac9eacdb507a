#pragma once

// Which elements and directions are checked. Internal to tools/: use gradcheck.

#include <optional>

#include <rewind/tools/gradcheck/function.h>
#include <rewind/tools/gradcheck/gradcheck.h>

namespace rw::detail {

/// Checks the gradient of `f`: adds to the report's parameters, elements and verdict. `recorded` holds, for order 1 of
/// a check of order 2, the gradients that `grad` recorded: they have to be right as well.
void check_elements(CheckedFunction& f, int order, const std::vector<std::optional<Array>>& recorded,
                    const GradcheckOptions& options, GradReport& report);

}  // namespace rw::detail
