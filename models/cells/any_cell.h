#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
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
  const Module& cell() const { return model_->module(); }

  State empty_state() const { return model_->empty_state(); }
  State zero_state(Tape& tape, Index batch) const { return model_->zero_state(tape, batch); }
  State step(Tensor x, const State& s) const { return model_->step(x, s); }
  Tensor output(const State& s) const { return model_->output(s); }
  /// As the cell does it; for a cell without them x, and step.
  Tensor project(Tensor x) const { return model_->project(x); }
  State step_projected(Tensor xw, const State& s) const { return model_->step_projected(xw, s); }
  State step_seeing(Tensor xw, const State& s, Tensor seen) const { return model_->step_seeing(xw, s, seen); }
  Step step_gates(Tensor xw, const State& s) const { return step_gates(xw, s, first_tensor(s)); }
  Step step_gates(Tensor xw, const State& s, Tensor seen) const { return model_->step_gates(xw, s, seen); }
  std::span<const std::string_view> gate_names() const { return model_->gate_names(); }

  AnyCell clone() const { return model_->clone(*this); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual const Module& module() const = 0;
    virtual State empty_state() const = 0;
    virtual State zero_state(Tape& tape, Index batch) const = 0;
    virtual State step(Tensor x, const State& s) const = 0;
    virtual Tensor output(const State& s) const = 0;
    virtual Tensor project(Tensor x) const = 0;
    virtual State step_projected(Tensor xw, const State& s) const = 0;
    virtual State step_seeing(Tensor xw, const State& s, Tensor seen) const = 0;
    virtual Step step_gates(Tensor xw, const State& s, Tensor seen) const = 0;
    virtual std::span<const std::string_view> gate_names() const = 0;
    virtual AnyCell clone(const AnyCell& self) const = 0;
  };

  template <class C>
  struct Model : Base {
    explicit Model(const C& c) : cell(&c) {}

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
    const Module& module() const override { return *cell; }
    State empty_state() const override { return erase(rw::empty_state(*cell)); }
    State zero_state(Tape& tape, Index batch) const override { return erase(cell->zero_state(tape, batch)); }
    State step(Tensor x, const State& s) const override { return erase(cell->step(x, restore(s))); }
    Tensor output(const State& s) const override { return rw::output(*cell, restore(s)); }
    Tensor project(Tensor x) const override {
      if constexpr (ProjectedCell<C>)
        return cell->project(x);
      else
        return x;
    }
    State step_projected(Tensor xw, const State& s) const override {
      if constexpr (ProjectedCell<C>)
        return erase(cell->step_projected(xw, restore(s)));
      else
        return step(xw, s);
    }
    State step_seeing(Tensor xw, const State& s, Tensor seen) const override {
      return erase(rw::step_seeing(*cell, xw, restore(s), seen));
    }
    Step step_gates(Tensor xw, const State& s, Tensor seen) const override {
      if constexpr (CellWithGates<C>) {
        const auto step = step_gates_seeing(*cell, xw, restore(s), seen);
        return {erase(step.state), erase<Gates>(step.gates)};
      } else {
        return {step_seeing(xw, s, seen), {}};
      }
    }
    std::span<const std::string_view> gate_names() const override { return rw::gate_names(*cell); }
    AnyCell clone(const AnyCell& self) const override {
      if constexpr (requires { cell->clone(); })
        return cloned(AnyCell(cell->clone()), self);
      else
        throw Error("cell '" + self.name() + "' has no clone()");
    }

    const C* cell;
  };

  std::unique_ptr<Base> model_;
};

static_assert(ProjectedCell<AnyCell> && CellWithGates<AnyCell>);

/// What `make_cell` takes for any kind of cell.
struct AnyCellOptions {
  // See CellOptions.
  Bias bias = Bias::one;
  Init weights = Init::glorot();
  Init recurrent = Init::orthogonal();
  Init biases = Init::constant(0);
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
///
/// and any of them +nobias, +drop-x=RATE and +drop-h=RATE (VariationalDropout), +zoneout=RATE or, one for each tensor
/// of the state, +zoneout=RATE/RATE (Zoneout), +learned (LearnedStart). Throws Error, listing what there is, for
/// another name or option, and as the cell's constructor does.
AnyCell make_cell(std::string_view name, Index in, Index hidden, Rng& rng, const AnyCellOptions& options = {});

/// Throws as `make_cell` does for names and options that it does not know.
void check_cell_name(std::string_view name);

}  // namespace rw
