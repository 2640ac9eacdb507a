#pragma once

#include <utility>
#include <vector>

#include <rewind/models/cells/wrapper.h>
#include <rewind/models/inline_vector.h>

namespace rw {

namespace detail {
/// The rates, one for each of `tensors`, of one for all or as many. Throws Error for another number of them, and for
/// rates outside [0, 1).
std::vector<double> zoneout_rates(std::vector<double> rates, std::size_t tensors);
Tensor zoned_out(Tensor before, Tensor after, double rate, bool training);
}  // namespace detail

/// Zoneout (Krueger et al., 2017): while training, each number of the state stays what it was with probability z, drawn
/// anew for each step; otherwise the state is the mean over such draws.
///
///     s(t) = d * s(t-1) + (1 - d) * step(x, s(t-1)),  d = 1 with probability z, else 0         in training
///     s(t) = z * s(t-1) + (1 - z) * step(x, s(t-1))                                            else
///
/// Around any cell, with a rate for each tensor of its state, in their order, or one for all: of an LSTM h, c, where
/// the paper has `Zoneout(LstmCell(in, hidden, rng), {0.05, 0.5})`. Gates see the state of before, zoned out.
template <Cell C>
class Zoneout : public CellWrapper<Zoneout<C>, C> {
 public:
  using State = typename C::State;

  /// Throws Error for a number of rates that is neither 1 nor that of the state's tensors, and for rates outside
  /// [0, 1).
  Zoneout(C cell, std::vector<double> rates) : CellWrapper<Zoneout, C>(std::move(cell)) {
    Tape tape;
    rates_ = detail::zoneout_rates(std::move(rates), tensor_count(this->cell_.zero_state(tape, 1)));
  }

  /// One for each tensor of the state.
  const std::vector<double>& rates() const { return rates_; }
  Zoneout clone() const requires requires(const C& c) { c.clone(); }
  { return cloned(Zoneout(this->cell_.clone(), rates_), *this); }

 private:
  friend CellWrapper<Zoneout, C>;

  State finished(const State& before, State after) const {
    InlineVector<Tensor, 4> old;
    for_each_tensor(before, [&](const Tensor& t) { old.push_back(t); });
    std::size_t i = 0;
    for_each_tensor(after, [&](Tensor& t) {
      t = detail::zoned_out(old[i], t, rates_[i], this->training());
      ++i;
    });
    return after;
  }

  std::vector<double> rates_;
};

}  // namespace rw
