#pragma once

#include <string>
#include <utility>
#include <vector>

#include <rewind/models/cells/wrapper.h>

namespace rw {

namespace detail {
/// A row, once for each sequence of a batch: [...] -> [batch, ...].
Tensor repeated(Tensor row, Index batch);
/// The only row of a state for one sequence: [1, ...] -> [...]. Throws Error when there is another number of them.
Array only_row(Tensor t);
}  // namespace detail

/// Learned initial state: `zero_state` gives parameters, the same for each sequence of the batch, in the place of the
/// cell's own constants, with which they start. Around any cell; parameters start0, start1, ..., one for each tensor
/// of the state, in their order (of an LSTM h, c), without the axis of the batch.
///
/// What begins elsewhere than in `zero_state` on the same tape gives these parameters no gradient.
template <Cell C>
class LearnedStart : public CellWrapper<LearnedStart<C>, C> {
 public:
  using State = typename C::State;

  /// Throws Error for a state whose tensors do not have the batch as their first axis.
  explicit LearnedStart(C cell) : CellWrapper<LearnedStart, C>(std::move(cell)) {
    Tape tape;
    const State state = this->cell_.zero_state(tape, 1);
    for_each_tensor(state, [&](const Tensor& t) {
      start_.push_back(&this->param("start" + std::to_string(start_.size()), detail::only_row(t)));
    });
  }

  State zero_state(Tape& tape, Index batch) const {
    State state = this->cell_.zero_state(tape, batch);
    std::size_t i = 0;
    for_each_tensor(state, [&](Tensor& t) { t = detail::repeated(tape.leaf(*start_[i++]), batch); });
    return state;
  }

  LearnedStart clone() const requires requires(const C& c) { c.clone(); }
  { return cloned(LearnedStart(this->cell_.clone()), *this); }

 private:
  friend CellWrapper<LearnedStart, C>;

  std::vector<Parameter*> start_;
};

}  // namespace rw
