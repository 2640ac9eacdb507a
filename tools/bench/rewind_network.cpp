// Rewind's contenders: the library's cells, unrolled as its users unroll them, eager and compiled.

#include <optional>

#include <rewind/autograd/compile/compile.h>
#include <rewind/rewind.h>

#include "cells.h"

namespace rw::bench {

namespace {

struct Ops {
  template <std::size_t n>
  static std::array<Tensor, n> split(Tensor x) {
    return rw::split<n>(x);
  }
  static Tensor piece(Tensor x, Index start, Index length) { return slice(x, 0, start, length); }
  static Tensor layer_norm(Tensor x, Tensor gain) {
    const Tensor centred = x - mean(x, {-1}, true);
    return centred / sqrt(mean(square(centred), {-1}, true) + 1e-5) * gain;
  }
  static Tensor layer_norm(Tensor x, Tensor gain, Tensor bias) { return layer_norm(x, gain) + bias; }
};

/// The cells that are composed here: a user's own.
class OwnCell : public Module {
 public:
  struct State {
    Tensor h, c;
  };
  OwnCell(Cell cell, Index H, const LayerWeights& w)
      : Module(name_of(cell)),
        cell_(cell),
        H_(H),
        W_(param("W", w.W)),
        R_(param("R", w.R)),
        b_(param("b", w.b)),
        extra_(param("extra", w.extra)) {}
  State zero_state(Tape& tape, Index batch) const {
    return {tape.constant(0.0, {batch, H_}), tape.constant(0.0, {batch, H_})};
  }
  Tensor project(Tensor x) const { return bench::project<Ops>(cell_, x, weights(x.tape()), H_); }
  State step_projected(Tensor xw, const State& s) const {
    const auto [h, c] = bench::step<Ops>(cell_, xw, CellState<Tensor>{s.h, s.c}, weights(xw.tape()), H_);
    return {h, c};
  }
  State step(Tensor x, const State& s) const { return step_projected(project(x), s); }

 private:
  CellWeights<Tensor> weights(Tape& tape) const {
    return {tape.leaf(W_), tape.leaf(R_), tape.leaf(b_), tape.leaf(extra_)};
  }
  Cell cell_;
  Index H_;
  Parameter &W_, &R_, &b_, &extra_;
};

template <class C>
C make_cell(const Problem& p, const LayerWeights& w) {
  if constexpr (std::is_same_v<C, OwnCell>) {
    return C(p.cell, p.H, w);
  } else {
    Rng rng(1);
    C cell(w.W.shape()[0], p.H, rng);
    cell.parameter("W").set(w.W);
    cell.parameter("R").set(w.R);
    cell.parameter("b").set(w.b);
    return cell;
  }
}

/// Layers of a cell, in one direction or both.
template <class C>
class Layers {
 public:
  struct Outcome {
    Tensor loss, last;
  };
  Layers(const Problem& p, const Inputs& inputs) : problem_(p), x_(inputs.x) {
    if (p.gradient_of_x) leaf_.emplace("x", inputs.x);
    for (const LayerWeights& w : inputs.layers) cells_.push_back(make_cell<C>(p, w));
  }
  void zero_grad() {
    for (const C& cell : cells_) cell.zero_grad();
    if (leaf_) leaf_->zero_grad();
  }
  const Array& x() const { return x_; }
  Tensor leaf(Tape& tape) { return tape.leaf(*leaf_); }

  /// Records everything, the backward sweep too.
  Outcome record(Tape& tape, Tensor x) const {
    std::optional<NoGrad> off;
    if (!problem_.train) off.emplace(tape);
    std::size_t next = 0;
    for (Index l = 0; l < problem_.layers; ++l) {
      const Tensor forward = read(cells_[next++], x);
      x = problem_.both_ways ? concat({forward, flip(read(cells_[next++], flip(x, 0)), 0)}, -1) : forward;
    }
    const Tensor loss = sum(x), last = select(x, 0, -1);
    if (problem_.train) backward(loss);
    return {loss, last};
  }
  Result result(const Tensor& last) const {
    const auto picked = [](const Array& a) { return sample(a.span<float>().data(), a.size()); };
    Result out{{"h", picked(last.array())}};
    if (!problem_.train) return out;
    for (const NamedParameter& p : cells_[0].parameters())
      out.push_back({"gradient of " + p.name, picked(p.parameter->grad())});
    if (leaf_) out.push_back({"gradient of x", picked(leaf_->grad())});
    return out;
  }
  const Problem& problem() const { return problem_; }

 private:
  Tensor read(const C& cell, Tensor x) const { return outputs(unroll(cell, x, cell.zero_state(x.tape(), problem_.N))); }
  Problem problem_;
  Array x_;
  std::optional<Parameter> leaf_;
  std::vector<C> cells_;
};

template <class C>
class Eager : public Network {
 public:
  Eager(const Problem& p, const Inputs& inputs) : layers_(p, inputs) {}
  void run() override {
    tape_.clear();
    layers_.zero_grad();
    last_ =
        layers_.record(tape_, layers_.problem().gradient_of_x ? layers_.leaf(tape_) : tape_.constant(layers_.x())).last;
  }
  Result result() override { return layers_.result(last_); }

 private:
  Layers<C> layers_;
  Tape tape_;
  Tensor last_;
};

template <class C>
class CompiledNetwork : public Network {
 public:
  CompiledNetwork(const Problem& p, const Inputs& inputs) : layers_(p, inputs), step_(traced(layers_)) {}
  void run() override {
    layers_.zero_grad();
    last_ = step_(layers_.x()).last;
  }
  Result result() override { return layers_.result(last_); }

 private:
  static auto traced(Layers<C>& layers) {
    return compile(
        [&layers](Tape& tape, Tensor x) {
          return layers.record(tape, layers.problem().gradient_of_x ? layers.leaf(tape) : x);
        },
        layers.x());
  }
  Layers<C> layers_;
  decltype(traced(std::declval<Layers<C>&>())) step_;
  Tensor last_;
};

template <template <class> class Form>
std::unique_ptr<Network> make(const Problem& p, const Inputs& inputs) {
  switch (p.cell) {
    case Cell::lstm: return std::make_unique<Form<LstmCell>>(p, inputs);
    case Cell::gru: return std::make_unique<Form<GruCell>>(p, inputs);
    case Cell::rnn: return std::make_unique<Form<RnnCell>>(p, inputs);
    default: return std::make_unique<Form<OwnCell>>(p, inputs);
  }
}

}  // namespace

std::unique_ptr<Network> rewind_eager(const Problem& p, const Inputs& inputs) { return make<Eager>(p, inputs); }
std::unique_ptr<Network> rewind_compiled(const Problem& p, const Inputs& inputs) {
  return make<CompiledNetwork>(p, inputs);
}

}  // namespace rw::bench
