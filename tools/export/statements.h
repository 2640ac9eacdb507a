#pragma once

// Internal to tools/export/.

#include <map>
#include <string>

#include <rewind/tools/export/plan.h>

namespace rw::detail {

/// The body of `step`: statements of C++ that compute y and the state after the step, indented by two. Weights are
/// members of `w`, tensors of the state those of `state`.
std::string step_body(const Plan& plan, const std::map<std::string, std::string>& expressions);

}  // namespace rw::detail
