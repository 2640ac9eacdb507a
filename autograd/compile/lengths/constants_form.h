#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <rewind/autograd/compile/lengths/pattern.h>

namespace rw::ir {

/// What a plan took for granted about the constants of its trace, besides that a slot has any value: passes drop what
/// is times 1 or plus 0, fold what is times 0, and make one of two constants that are alike.
class ConstantsForm {
 public:
  /// What two plans, of which a pattern is made, have in common; nothing where they differ in this.
  static std::optional<ConstantsForm> of(const Slots& a, const Slots& b);
  /// Whether these constants are of this form: the same ones have values that passes look at, or are alike; and what
  /// had one value in both plans, and so may be a part of them, has it still.
  bool has(const Slots& slots) const;

 private:
  explicit ConstantsForm(const Slots& slots);

  Slots values_;
  std::vector<std::uint32_t> alike_;  // the first slot that has the same value
  std::vector<bool> same_;            // has one value in both plans
};

}  // namespace rw::ir
