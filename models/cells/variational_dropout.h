#pragma once

#include <cstdint>
#include <utility>

#include <rewind/models/cells/wrapper.h>

namespace rw {

struct VariationalDropoutOptions {
  /// Share of the input's elements that are dropped.
  double input = 0;
  /// Share of what the recurrent matrices see that is dropped.
  double recurrent = 0;
  /// Layers of a model take different keys, or else drop the same elements.
  std::uint32_t key = 0;
};

namespace detail {
void check(const VariationalDropoutOptions& options);
/// x [..., N, F] less the elements that a mask [N, F] drops.
Tensor variationally_dropped(Tensor x, double rate, std::uint64_t key);
}  // namespace detail

/// Variational dropout (Gal and Ghahramani, 2016): while training, the same elements of each sequence's input and of
/// its recurrent h are dropped at every step.
///
///     state(t) = step(x(t) * mx, h(t-1) * mh seen by the recurrent matrices),  mx, mh: 0, or 1 / (1 - rate)
///
/// The masks depend on the tape's seed and step, and on the key: all that is run between two steps of the optimizer
/// (`tape.set_step`), in chunks or recomputed, drops the same. The memory of a cell is not dropped: neither an LSTM's c
/// nor the h that a GRU keeps. A cell of one's own says what its matrices see by `step_seeing`; else the first tensor
/// of its state is dropped altogether. Wrap the layers of a Stack, rather than the Stack.
template <Cell C>
class VariationalDropout : public CellWrapper<VariationalDropout<C>, C> {
 public:
  /// Throws Error for rates outside [0, 1).
  VariationalDropout(C cell, const VariationalDropoutOptions& options)
      : CellWrapper<VariationalDropout, C>(std::move(cell)), options_(options) {
    detail::check(options);
  }

  /// What it was made with.
  const VariationalDropoutOptions& options() const { return options_; }
  VariationalDropout clone() const requires requires(const C& c) { c.clone(); }
  { return cloned(VariationalDropout(this->cell_.clone(), options_), *this); }

 private:
  friend CellWrapper<VariationalDropout, C>;

  Tensor entering(Tensor x) const { return dropped(x, options_.input, 2 * std::uint64_t{options_.key}); }
  Tensor seen(Tensor h) const { return dropped(h, options_.recurrent, 2 * std::uint64_t{options_.key} + 1); }
  Tensor dropped(Tensor x, double rate, std::uint64_t key) const {
    return this->training() && rate > 0 ? detail::variationally_dropped(x, rate, key) : x;
  }

  VariationalDropoutOptions options_;
};

}  // namespace rw
