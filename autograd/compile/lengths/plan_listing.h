#pragma once

#include <memory>
#include <optional>
#include <string>

#include <rewind/autograd/compile/lengths/dictionary.h>
#include <rewind/autograd/compile/lengths/pattern.h>
#include <rewind/autograd/compile/plan/plan.h>

namespace rw::ir {

/// What lowering goes by, to be asked again at other lengths.
struct LoweredBy {
  bool reuse = true;        // Pass::reuse
  Index packed_rows = 192;  // see Choices
};

/// All that a plan without lanes runs, with the places of its pointers. Empty, and `why` says why, for a plan that has
/// something a listing does not hold.
Listing list(const Plan& plan, Dictionary& words, std::string& why, const LoweredBy& by = {});

/// The plan of a pattern at some length. It has no graph, and its parameters and constants are those of `store`, by
/// their numbers in the dictionary. None for a length at which lowering would choose otherwise.
std::optional<Plan> plan_of(const Pattern& pattern, std::int64_t length, const Slots& slots, const Dictionary& words,
                            const std::shared_ptr<Store>& store, DType real, const LoweredBy& by);

}  // namespace rw::ir
