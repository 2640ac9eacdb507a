#pragma once

// Where a gradient goes wrong. Internal to tools/: use gradcheck.

#include <rewind/tools/gradcheck/gradcheck.h>

namespace rw::detail {

struct Located {
  std::vector<GradFault> faults;   // the first in the order of recording first
  std::vector<std::string> kinks;  // nodes that are not differentiable at their inputs
  std::vector<NodeId> own_rules;   // nodes with a rule that was given to custom_vjp or the like, which is not checked
};

/// Checks each node that `root` depends on: its rule against finite differences of its own value at its own recorded
/// inputs, in each way in which the engine runs rules; then its gradient, which a backward with `keep_grads` has left,
/// against the sum over its consumers' rules.
Located locate_faults(Tape& tape, NodeId root, std::uint64_t seed);

}  // namespace rw::detail
