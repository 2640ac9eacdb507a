#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include <rewind/models/cells/cell.h>
#include <rewind/models/cells/gates.h>
#include <rewind/models/inline_vector.h>

namespace rw {

/// Any cell, its type erased, for programs that choose one by name. Parameters keep their names. Stack<AnyCell> has
/// layers.
class AnyCell : public Module {
 public:
  struct State {
    InlineVector<Tensor, 4> tensors;
  };
  /// Under the names that `gate_names` has; empty for a cell that has none.
  struct Gates {
    InlineVector<Tensor, 4> tensors;
  };
  using Step = StepWithGates<State, Gates>;

  /// A cell of any type, whose type is forgotten.
  template <class C>
  requires(Cell<C>&& std::derived_from<C, Module> && !std::same_as<C, AnyCell>) explicit AnyCell(C cell)
      : Module(cell.name()), model_(std::make_unique<Model<C>>(wrapped(std::move(cell)))) {}

  /// What it holds: `dynamic_cast<const LstmCell*>(&any.cell())` is null for another cell.
  const Module& cell() const { return model_->facts.module; }

  State empty_state() const { return {InlineVector<Tensor, 4>(model_->facts.tensors)}; }
  State zero_state(Tape& tape, Index batch) const { return model_->zero_state(tape, batch); }
  /// Throws Error for a TimedCell: it needs the time.
  State step(Tensor x, const State& s) const { return step(x, s, any_time()); }
  State step(Tensor x, const State& s, Index t) const { return model_->advance(model_->project(x), s, {.t = t}).state; }
  Tensor output(const State& s) const { return model_->output(s); }
  /// As the cell does it; for a cell without them, or one that projects to a struct, x, and step.
  Tensor project(Tensor x) const { return model_->project(x); }
  State step_projected(Tensor xw, const State& s) const { return step_projected(xw, s, any_time()); }
  State step_projected(Tensor xw, const State& s, Index t) const { return model_->advance(xw, s, {.t = t}).state; }
  State step_seeing(Tensor xw, const State& s, Tensor seen, Index t = 0) const {
    return model_->advance(xw, s, {.seen = &seen, .t = t}).state;
  }
  /// The cell's own: see models/cells/gates.h.
  Tensor seen_by_matrices(const State& s) const { return s.tensors[model_->facts.seen]; }
  /// The cell's own: see models/cells/gates.h.
  bool tells_what_matrices_see() const { return model_->facts.tells; }
  Step step_gates(Tensor xw, const State& s) const { return step_gates(xw, s, seen_by_matrices(s)); }
  Step step_gates(Tensor xw, const State& s, Tensor seen) const {
    return model_->advance(xw, s, {.seen = &seen, .gates = true});
  }
  std::span<const std::string_view> gate_names() const { return model_->facts.gate_names; }

  AnyCell clone() const { return model_->clone(*this); }

 private:
  /// How to make a step: with `seen` in place of what the matrices see, at time t, telling the gates.
  struct How {
    const Tensor* seen = nullptr;
    Index t = 0;
    bool gates = false;
  };
  /// What does not change from step to step.
  struct Facts {
    const Module& module;
    std::span<const std::string_view> gate_names;
    std::size_t tensors = 0;  // of a state
    std::size_t seen = 0;     // which of them the matrices see
    bool tells = false;       // see tells_what_matrices_see
    bool timed = false;
  };
  struct Base {
    explicit Base(const Facts& f) : facts(f) {}
    virtual ~Base() = default;
    virtual State zero_state(Tape& tape, Index batch) const = 0;
    virtual Tensor project(Tensor x) const = 0;
    virtual Step advance(Tensor xw, const State& s, const How& how) const = 0;
    virtual Tensor output(const State& s) const = 0;
    virtual AnyCell clone(const AnyCell& self) const = 0;

    const Facts facts;
  };

  template <class C>
  struct Model : Base {
    explicit Model(const C& c) : Base(facts_of(c)), cell(&c) {}

    template <class Any = State, class Tensors>
    static Any erase(const Tensors& s) {
      Any any;
      for_each_tensor(s, [&](const Tensor& t) { any.tensors.push_back(t); });
      return any;
    }
    typename C::State restore(const State& any) const {
      typename C::State s = rw::empty_state(*cell);
      std::size_t i = 0;
      for_each_tensor(s, [&](Tensor& t) { t = any.tensors[i++]; });
      return s;
    }
    static Facts facts_of(const C& cell) {
      Facts f{.module = cell, .gate_names = rw::gate_names(cell), .tells = rw::tells_what_matrices_see(cell)};
      f.timed = !detail::Steps<C>;
      Tape tape;
      typename C::State numbered = rw::empty_state(cell);
      for_each_tensor(numbered, [&](Tensor& t) { t = tape.constant(static_cast<double>(f.tensors++)); });
      if (f.tensors > 0) f.seen = static_cast<std::size_t>(rw::seen_by_matrices(cell, numbered).item());
      return f;
    }

    State zero_state(Tape& tape, Index batch) const override { return erase(cell->zero_state(tape, batch)); }
    Tensor output(const State& s) const override { return rw::output(*cell, restore(s)); }
    // A struct would need another AnyCell::project for each cell: such a cell projects in every step.
    static constexpr bool projects = ProjectedCell<C> && std::is_same_v<StepInput<C>, Tensor>;
    Tensor project(Tensor x) const override {
      if constexpr (projects)
        return cell->project(x);
      else
        return x;
    }
    StepInput<C> input(Tensor xw) const {
      if constexpr (projects)
        return xw;
      else
        return step_input(*cell, xw);
    }
    Step advance(Tensor xw, const State& any, const How& how) const override {
      const typename C::State s = restore(any);
      if constexpr (CellWithGates<C>)
        if (how.gates) {
          const auto step = step_gates_seeing(*cell, input(xw), s, *how.seen);
          return {erase(step.state), erase<Gates>(step.gates)};
        }
      if (how.seen != nullptr) return {erase(rw::step_seeing(*cell, input(xw), s, *how.seen, how.t)), {}};
      return {erase(step_from_input(*cell, input(xw), s, how.t)), {}};
    }
    AnyCell clone(const AnyCell& self) const override {
      if constexpr (requires { cell->clone(); })
        return cloned(AnyCell(cell->clone()), self);
      else
        throw Error("cell '" + self.name() + "' has no clone()");
    }

    const C* cell;
  };

  Index any_time() const {
    if (!model_->facts.timed) return 0;
    throw Error("cell '" + model_->facts.module.name() +
                "' depends on the time: give it to the step, step(x, state, t)");
  }

  std::unique_ptr<Base> model_;
};

static_assert(ProjectedCell<AnyCell> && CellWithGates<AnyCell>);

/// What `make_cell` takes beside CellOptions, for any kind of cell.
struct AnyCellOptions {
  /// See LstmOptions.
  double forget_bias = 1;
  /// See VariationalDropoutOptions: layers of a model take different ones.
  std::uint32_t key = 0;
};

/// The names of cells that `make_cell` knows, without options.
std::span<const std::string_view> cell_names();
/// The same with their options, for help: "lstm (+1997 ...), gru (...), ...".
std::string cells_with_options();

/// A cell by name, with options after a plus: "lstm", "lstm+peepholes+norm", "gru+zoneout=0.1".
///
///     lstm         +1997, +coupled, +peepholes or +all-peepholes, +projection=K, +norm: see LstmOptions
///     gru          +before: resets before the product; +takes: an open update gate takes the new state
///     gru-before   gru+before
///     mgu
///     rnn          +relu
///     rnn-relu     rnn+relu
///     irnn         rnn+relu that starts as the identity
///     jordan       +tanh or +sigmoid: squashes the output, which is as wide as the hidden layer
///     context      +decay=D; the output is as wide as the hidden layer
///     slstm, mlstm                        xLSTM's two (models/cells/xlstm.h)
///     min-gru, min-lstm, lru, sru, qrnn, indrnn        see models/cells/linear_cells.h
///     multiplicative-lstm, mogrifier      +rounds=R of the latter: see models/cells/lstm_variants.h
///     clockwork    +periods=1/2/4/8, which are as many groups (without: as many of these as divide the hidden
///                  size): see ClockworkCell
///     gru-ode      +euler, +steps=K: see GruOdeOptions
///     fast-weights, echo-state            see FastWeightsCell; EchoStateOptions, +radius=, +leak=, +density=, +scale=
///
/// those whose matrices see the state, but for clockwork and echo-state, +heads=K (CellOptions::heads),
/// and any of them +nobias, +drop-x=RATE and +drop-h=RATE (VariationalDropout), +zoneout=RATE or, one for each tensor
/// of the state, +zoneout=RATE/RATE (Zoneout), +learned (LearnedStart), +act=ROUNDS (AdaptiveCell).
///
/// Throws Error, listing what there is, for another name or option, and as the cell's constructor does.
AnyCell make_cell(std::string_view name, Index in, Index hidden, Rng& rng, const AnyCellOptions& own = {},
                  const CellOptions& shared = {});
/// The same with the default AnyCellOptions.
AnyCell make_cell(std::string_view name, Index in, Index hidden, Rng& rng, const CellOptions& shared);

/// Throws as `make_cell` does for names and options that it does not know.
void check_cell_name(std::string_view name);

}  // namespace rw
