#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include <rewind/models/cell.h>
#include <rewind/models/inline_vector.h>

namespace rw {

/// Any cell, its type erased, for programs that choose one by name. Parameters keep their names. Stack<AnyCell> has
/// layers.
class AnyCell : public Module {
 public:
  struct State {
    InlineVector<Tensor, 4> tensors;
  };

  template <class C>
  requires(Cell<C>&& std::derived_from<C, Module> && !std::same_as<C, AnyCell>) explicit AnyCell(C cell)
      : Module(cell.name()), model_(std::make_unique<Model<C>>(wrapped(std::move(cell)))) {}

  State zero_state(Tape& tape, Index batch) const { return model_->zero_state(tape, batch); }
  State step(Tensor x, const State& s) const { return model_->step(x, s); }
  Tensor output(const State& s) const { return model_->output(s); }
  /// As the cell does it; for a cell without them x, and step.
  Tensor project(Tensor x) const { return model_->project(x); }
  State step_projected(Tensor xw, const State& s) const { return model_->step_projected(xw, s); }

  AnyCell clone() const { return model_->clone(*this); }

 private:
  struct Base {
    virtual ~Base() = default;
    virtual State zero_state(Tape& tape, Index batch) const = 0;
    virtual State step(Tensor x, const State& s) const = 0;
    virtual Tensor output(const State& s) const = 0;
    virtual Tensor project(Tensor x) const = 0;
    virtual State step_projected(Tensor xw, const State& s) const = 0;
    virtual AnyCell clone(const AnyCell& self) const = 0;
  };

  template <class C>
  struct Model : Base {
    explicit Model(const C& c) : cell(&c) {}

    static State erase(const typename C::State& s) {
      State any;
      for_each_tensor(s, [&](const Tensor& t) { any.tensors.push_back(t); });
      return any;
    }
    typename C::State restore(const State& any) const {
      typename C::State s = empty_state(*cell);
      std::size_t i = 0;
      for_each_tensor(s, [&](Tensor& t) { t = any.tensors[i++]; });
      return s;
    }
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

static_assert(ProjectedCell<AnyCell>);

/// What `make_cell` takes for any kind of cell.
struct AnyCellOptions {
  // See CellOptions.
  Bias bias = Bias::one;
  Init weights = Init::glorot();
  Init recurrent = Init::orthogonal();
  Init biases = Init::constant(0);
  double forget_bias = 1;
};

/// The names that `make_cell` knows.
std::span<const std::string_view> cell_names();

/// A cell by name: "lstm", "gru" (reset after), "gru-before", "rnn" (tanh), "rnn-relu". Throws Error, listing the
/// names, for another one.
AnyCell make_cell(std::string_view name, Index in, Index hidden, Rng& rng, const AnyCellOptions& options = {});

}  // namespace rw
