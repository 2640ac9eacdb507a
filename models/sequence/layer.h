#pragma once

#include <concepts>
#include <optional>
#include <vector>

#include <rewind/models/cells/cell.h>

namespace rw {

/// How a sequence is run over.
struct UnrollOptions {
  /// From the last step to the first; with `lengths` each sequence from its own last step.
  bool reverse = false;
  /// Lengths of the sequences of a padded batch, i32 [N], each from 0 to T (see ops/padding.h). A state stays as it is
  /// in the padding, which reaches neither values nor gradients.
  std::optional<Tensor> lengths = std::nullopt;
  /// The time of x's first step, for a TimedCell: the steps that came before, in a sequence that comes in parts.
  Index first = 0;
};

/// What has an `unroll` of its own: fills `states` with the state at each of the T positions of x.
template <class L>
concept UnrollsItself = requires(const L& layer, Tensor x, typename L::State state,
                                 std::vector<typename L::State>& states, const UnrollOptions& options) {
  layer.unroll(x, state, states, options);
};

/// What runs over a sequence: a Cell, or something that sees all of the sequence at once, such as Bidirectional.
template <class L>
concept Layer = Cell<L> ||(UnrollsItself<L>&& detail::BeginsAsCell<L>);

}  // namespace rw
