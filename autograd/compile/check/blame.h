#pragma once

#include <functional>
#include <string>

#include <rewind/autograd/compile/check/check.h>

namespace rw::ir {

/// The largest finite magnitude, and the largest difference (infinite where one is nan or infinite and the other not).
double largest(ConstView x);
double distance(ConstView a, ConstView b);

/// How much of its largest element a result may move because a plan rounds in another order.
double rounding_bound(const Graph& g, const CompileOptions& options);

/// Why a plan is wrong: the pass without which the outcome is `right`, the first step that does not do what its graph
/// says, and how to go on without it.
std::string blame(const Check& check, const std::function<bool(const Outcome&)>& right);

}  // namespace rw::ir
