#pragma once

#include <vector>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/models/cells/cell.h>
#include <rewind/models/state.h>

namespace rw {

struct RtrlOptions {
  /// 0: exact. k: of the derivatives of the state by the parameters only those are kept that can be other than 0 within
  /// k steps (SnAp-k; Menick et al., "Practical real time recurrent learning with a sparse approximation", 2020).
  int sparse_steps = 0;
  DType dtype = DType::f64;
  std::uint64_t seed = 0;
};

namespace detail {

/// The influence matrix of real-time recurrent learning: derivatives of the state's numbers by the parameters', [S, P].
class Influence {
 public:
  /// Throws Error for fewer steps than none.
  Influence(std::vector<Parameter*> parameters, const RtrlOptions& options);

  /// After one step whose Jacobian by (state, parameters) is `j`, [S, S + P].
  void advance(ConstView j);
  /// Keeps only what `step` can reach in options.sparse_steps steps.
  void restrict_to(const SparsityPattern& step);
  bool needs_pattern() const { return options_.sparse_steps > 0 && mask_.size() == 1 && mask_.shape().rank() == 0; }
  /// Adds the gradient of a loss with these derivatives by the state.
  void add_gradients(std::span<const double> by_state) const;
  void reset() { matrix_ = Array(Shape{0, 0}, DType::f64); }
  const Array& matrix() const { return matrix_; }

 private:
  Index width() const;
  std::vector<Parameter*> parameters_;
  RtrlOptions options_;
  Array matrix_{Shape{0, 0}, DType::f64};
  Array mask_;  // a scalar: not there yet
};

}  // namespace detail

/// Real-time recurrent learning of any cell (Williams and Zipser, "A learning algorithm for continually running fully
/// recurrent neural networks", 1989): the gradient of a loss is known at the step where the loss is, exactly that of
/// back-propagation to the first step, and memory does not grow with the number of steps. It costs more than
/// back-propagation: each step takes as many gradients as the state has numbers, and a product of [S, S] and [S, P].
template <Cell C>
class Rtrl {
 public:
  /// `cell` must stay. Begins from its zero state, for a batch of this size. Throws Error for a negative
  /// `sparse_steps`.
  Rtrl(const C& cell, Index batch, const RtrlOptions& options = {})
      : cell_(cell),
        batch_(batch),
        options_(options),
        tape_(TapeOptions{.dtype = options.dtype, .seed = options.seed}),
        influence_(parameters(cell), options) {
    reset();
  }

  /// One step with input x [batch, in]. Adds the gradient of loss(state), a scalar Tensor, to the cell's parameters,
  /// and to those that the loss itself uses. Returns the loss. Throws Error as the cell and the loss do; nothing is
  /// changed then.
  template <class Loss>
  double step(ConstView x, Loss&& loss) {
    tape_.clear();
    tape_.set_step(step_);  // of all of a sequence, as if it were one recording
    tape_.set_draw(draws_);
    const State s = restore_state(tape_, saved_, start_);
    const Tensor in = tape_.constant(x);
    const ParameterList by(tape_, parameters(cell_));
    const auto run = [&](const State& from) {
      tape_.set_draw(draws_);
      return step_at(cell_, in, from, time_);
    };
    if (influence_.needs_pattern()) influence_.restrict_to(sparsity(run, std::tuple(s, by)));
    const Array j = jacobian(run, std::tuple(s, by), Direction::rows).array();
    const State next = run(s);
    SavedState values = save_state(next);
    const std::uint32_t draws = tape_.mark().draws;
    State held = map_state(next, [&](Tensor t) { return tape_.variable(t.value()); });
    const Tensor l = loss(held);
    const double result = l.item();
    backward(l);
    influence_.advance(j);
    influence_.add_gradients(gradients_of(held));
    saved_ = std::move(values);
    draws_ = draws;
    ++time_;
    return result;
  }

  /// Back to the zero state.
  void reset() {
    tape_.clear();
    step_ = tape_.step();
    time_ = 0;
    start_ = cell_.zero_state(tape_, batch_);
    saved_ = save_state(start_);
    influence_.reset();
    draws_ = 0;
  }
  /// The state's values now, and the derivatives of its numbers by those of the parameters, [S, P].
  const SavedState& state() const { return saved_; }
  /// The derivatives.
  const Array& influence() const { return influence_.matrix(); }
  /// What the tape uses.
  Tape::Memory memory() const { return tape_.memory(); }

 private:
  using State = typename C::State;
  static std::vector<Parameter*> parameters(const C& cell) {
    std::vector<Parameter*> out;
    for (const NamedParameter& p : cell.parameters())
      if (!p.parameter->frozen()) out.push_back(p.parameter);
    return out;
  }
  std::vector<double> gradients_of(const State& held) const {
    std::vector<double> out;
    for_each_tensor(held, [&](const Tensor& t) {
      const std::vector<double> part = tape_.has_grad(t) ? Array(tape_.grad(t)).template to_vector<double>()
                                                         : std::vector<double>(static_cast<std::size_t>(t.size()));
      out.insert(out.end(), part.begin(), part.end());
    });
    return out;
  }

  const C& cell_;
  Index batch_;
  RtrlOptions options_;
  Tape tape_;
  State start_;
  SavedState saved_;
  detail::Influence influence_;
  std::uint64_t step_ = 0;
  std::uint32_t draws_ = 0;
  Index time_ = 0;
};

}  // namespace rw
