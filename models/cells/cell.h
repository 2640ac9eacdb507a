#pragma once

#include <concepts>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <rewind/autograd/tape.h>
#include <rewind/models/cells/rules.h>
#include <rewind/models/init.h>
#include <rewind/models/module.h>
#include <rewind/models/state.h>

namespace rw {

/// A recurrent cell: its State, the state before the first step, and one step. Everything that works on sequences takes
/// any such type: a user's own, too. What is meant as a cell and is none is a compile error that says what to write.
///
///     State zero_state(Tape& tape, Index batch) const;
///     State step(Tensor x, State s) const;             // or, where steps depend on the time:
///     State step(Tensor x, State s, Index t) const;
template <class C>
concept Cell = detail::RightCell<C> || detail::explained_cell<C>();

/// A cell whose steps depend on the time t, their number in the sequence, from 0 on (in TruncatedBptt from the last
/// reset on).
template <class C>
concept TimedCell = Cell<C> && detail::StepsInTime<C>;

/// In the struct that `project` gives: a value that is computed once for a sequence and is the same at all steps, such
/// as a normalised weight.
struct Invariant : Tensor {
  Invariant() = default;
  /// Made of any Tensor.
  Invariant(Tensor t) : Tensor(t) {}
};

/// A cell with a part that depends on the input alone, so that `unroll` can take it out of the loop, one product for
/// all steps: step(x, s) is step_projected(project(x), s). `project` takes any leading axes. It gives a Tensor, or a
/// struct of Tensors, each of which has x's leading axes or is Invariant. A TimedCell has step_projected(projected, s,
/// t).
template <class C>
concept ProjectedCell = Cell<C> && requires(const C& cell, Tensor x, typename C::State state, Index t) {
  requires detail::holds_tensors<std::remove_cvref_t<decltype(cell.project(x))>>();
  requires requires {
    { cell.step_projected(cell.project(x), state) } -> std::same_as<typename C::State>;
  } || requires {
    { cell.step_projected(cell.project(x), state, t) } -> std::same_as<typename C::State>;
  };
};

namespace detail {

template <class C>
struct StepInputOf {
  using type = Tensor;
};
template <ProjectedCell C>
struct StepInputOf<C> {
  using type = std::remove_cvref_t<decltype(std::declval<const C&>().project(Tensor()))>;
};

}  // namespace detail

/// What the loop over steps gives to a cell: of a ProjectedCell what `project` makes of x, else x.
template <Cell C>
using StepInput = typename detail::StepInputOf<C>::type;

/// It, for a step or, with a leading axis of steps, for all of them.
template <Cell C>
StepInput<C> step_input(const C& cell, Tensor x) {
  if constexpr (ProjectedCell<C>) {
    return cell.project(x);
  } else {
    static_assert(!detail::ProjectsUnlessConst<C>,
                  "project and step_projected are const: write Tensor project(Tensor x) const and State "
                  "step_projected(Tensor projected, State s) const");
    return x;
  }
}

/// One step of any cell, from `step_input`, at time t.
template <Cell C>
typename C::State step_from_input(const C& cell, const StepInput<C>& in, const typename C::State& s, Index t) {
  if constexpr (ProjectedCell<C>) {
    if constexpr (requires { cell.step_projected(in, s, t); })
      return cell.step_projected(in, s, t);
    else
      return cell.step_projected(in, s);
  } else if constexpr (TimedCell<C>) {
    return cell.step(in, s, t);
  } else {
    return cell.step(in, s);
  }
}

/// One step of any cell at time t.
template <Cell C>
typename C::State step_at(const C& cell, Tensor x, const typename C::State& s, Index t) {
  if constexpr (TimedCell<C>)
    return cell.step(x, s, t);
  else
    return cell.step(x, s);
}

/// A step's state, and the gates that made it.
template <class State, class Gates>
struct StepWithGates {
  State state;
  Gates gates;
};

/// A cell whose gates can be looked at. Gates is an aggregate of Tensors and a static list of their `names`: all that a
/// step computes on the way to the state and that has a name in its equations. `step_gates` is the step itself (of a
/// ProjectedCell its step_projected), so asking for gates records nothing more.
template <class C>
concept CellWithGates = Cell<C> && requires(const C& cell, const StepInput<C>& in, const typename C::State& state) {
  { cell.step_gates(in, state) } -> std::same_as<StepWithGates<typename C::State, typename C::Gates>>;
};

/// The names of a cell's gates, in the order of Gates; none for a cell that does not tell.
template <Cell C>
std::span<const std::string_view> gate_names(const C& cell) {
  if constexpr (requires { cell.gate_names(); })
    return cell.gate_names();
  else if constexpr (requires { C::Gates::names; })
    return C::Gates::names;
  else
    return {};
}

/// What a step gives to the layer above: the state's h. A cell whose output is something else has a member
/// `Tensor output(const State&) const`.
template <class C>
Tensor output(const C& cell, const typename C::State& state) {
  if constexpr (requires { cell.output(state); }) {
    return cell.output(state);
  } else if constexpr (requires { Tensor(state.h); }) {
    return state.h;
  } else {
    static_assert(detail::written<C>,
                  "a cell whose State has no h says what its output is: write Tensor output(const State& s) const");
    return {};
  }
}

/// The length of the output's last axis.
template <Cell C>
Index output_width(const C& cell) {
  Tape tape;
  return output(cell, cell.zero_state(tape, 1)).size(-1);
}

/// A state of empty handles, in the structure that the cell's states have. A cell whose State has a vector must have a
/// member `State empty_state() const` that gives it its length.
template <class C>
typename C::State empty_state(const C& cell) {
  if constexpr (requires { cell.empty_state(); }) {
    return cell.empty_state();
  } else {
    static_assert(!detail::has_vector<typename C::State>(),
                  "a cell whose State has a std::vector needs a member `State empty_state() const`: a State with as "
                  "many tensors in it as zero_state has");
    return {};
  }
}

/// The scope of a cell's ops.
template <class C>
std::string scope_name(const C& cell) {
  if constexpr (requires { cell.name(); })
    return cell.name();
  else
    return "cell";
}

namespace detail {

template <class State>
concept HasH = requires(State s) {
  { (s.h) } -> std::same_as<Tensor&>;
};

/// f(the tensor of a state that is h), or of a state without h the first one.
template <class State, class F>
void at_h(State& s, F&& f) {
  if constexpr (HasH<std::remove_const_t<State>>)
    f(s.h);
  else
    for_each_tensor(s, [&, found = false](auto& t) mutable {
      if (!std::exchange(found, true)) f(t);
    });
}

}  // namespace detail

/// What a cell of gates is derived from. It has a project(x) and
///
///     Step advance(Tensor xw, const State& s, Tensor seen) const;
///
/// one step from the projected input, in which the recurrent matrices see `seen` and all else sees the state; all other
/// forms of a step follow. x is [N, in], or indices [N], each of which stands for a one-hot row.
template <class Self>
class Advancing {
 public:
  template <class C = Self>
  typename C::State step(Tensor x, const typename C::State& s) const {
    return step_projected(self().project(x), s);
  }
  template <class C = Self>
  typename C::State step_projected(Tensor xw, const typename C::State& s) const {
    return step_gates(xw, s).state;
  }
  template <class C = Self>
  typename C::Step step_gates(Tensor xw, const typename C::State& s) const {
    Tensor seen;
    detail::at_h(s, [&](const Tensor& t) { seen = t; });
    return self().advance(xw, s, seen);
  }
  template <class C = Self>
  typename C::Step step_gates(Tensor xw, const typename C::State& s, Tensor seen) const {
    return self().advance(xw, s, seen);
  }

 private:
  const Self& self() const { return static_cast<const Self&>(*this); }
};

/// Bias vectors of a layer: none; one; or two, one with each matrix, as PyTorch and cuDNN have it.
enum class Bias { none, one, two };

/// What the cells of the library share. What a cell has besides stands in options of its own, which come first, so that
/// either kind can be given alone:
///
///     LstmCell(3, 4, rng, {.bias = Bias::two})
///     LstmCell(3, 4, rng, {.forget_bias = 0})
///     LstmCell(3, 4, rng, {.forget_bias = 0}, {.bias = Bias::two})
struct CellOptions {
  Bias bias = Bias::one;
  /// Start of W [in, gates * hidden] and of R [hidden, gates * hidden], for each gate by itself, and of the biases. R
  /// starts orthogonal when nothing is said, but for a cell that says otherwise.
  Init weights = Init::glorot();
  std::optional<Init> recurrent = std::nullopt;
  Init biases = Init::constant(0);
  /// Parts of equal width into which what is fed back is cut; each feeds its own part of every gate alone, so that R is
  /// block-diagonal (the heads of xLSTM; Beck et al., 2024). R is [fed back / heads, gates * hidden]: the columns of a
  /// part of a gate see that part.
  Index heads = 1;
};

namespace detail {

/// How recurrent matrices start.
inline Init start_of_recurrent(const CellOptions& o) { return o.recurrent.value_or(Init::orthogonal()); }

/// h [N, f] times the block-diagonal matrix that R [f / heads, gates * hidden] stands for (CellOptions::heads).
Tensor times_blocks(Tensor h, Tensor R, Index hidden, Index heads);

/// `heads`, when they divide the hidden size and the width of what is fed back. Throws Error otherwise.
Index checked_heads(const char* cell, Index heads, Index hidden, Index fed_back);

}  // namespace detail

/// What the library's cells are made of: W [in, gates * hidden], R [fed back, gates * hidden], b and, for two biases,
/// br, both [gates * hidden]. What is fed back is as wide as the state's h, or the output that stands for it.
class GatedCell : public Module {
 public:
  /// Width of the input.
  Index in() const { return in_; }
  /// Width of the hidden state.
  Index hidden() const { return hidden_; }
  /// What it was made with, of the options that cells share.
  const CellOptions& shared_options() const { return shared_; }

  /// The part of a step that depends on the input alone, x W + b: x [..., in], or indices [...] of i32, each of which
  /// stands for the one-hot row of its value -> [..., gates * hidden].
  Tensor project(Tensor x) const { return biased(multiplied(x), b_); }

 protected:
  struct Sizes {
    Index in, hidden, gates, fed_back;
  };
  /// Throws Error for sizes below 1, and for heads that do not divide them.
  GatedCell(const char* name, const Sizes& sizes, Rng& rng, const CellOptions& shared);

  /// x W, or rows of W for indices.
  Tensor multiplied(Tensor x) const;
  /// h R + br.
  Tensor recur(Tensor h) const;
  /// h R, or h times those columns of it that belong to some of the gates.
  Tensor times_recurrent(Tensor h, Tensor R) const { return detail::times_blocks(h, R, hidden_, heads_); }
  /// x + bias; x without one.
  static Tensor biased(Tensor x, Parameter* bias);
  /// A hidden state of zeros.
  Tensor zeros(Tape& tape, Index batch) const { return tape.constant(0.0, {batch, hidden_}); }

  Index in_, hidden_, heads_;
  CellOptions shared_;
  Parameter &W_, &R_;
  Parameter *b_, *br_;
};

}  // namespace rw
