// Rewind's contenders: the library's cells, unrolled as its users unroll them, eager and compiled.

#include <optional>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/gemm/bf16.h>
#include <rewind/rewind.h>

#include "recurrent.h"

namespace rw::bench {

namespace {

// Weights are given afterwards; the orthogonal matrices that cells begin with take longer than the comparison.
template <class C>
C make_cell(const Problem& p, Index in) {
  Rng rng(1);
  if constexpr (std::is_same_v<C, LstmCell>) {
    LstmOptions own{.layer_norm = p.cell == Cell::layer_norm};
    if (p.cell == Cell::peephole) own.peepholes = LstmOptions::Peepholes::gates;
    return C(in, p.H, rng, own, {.recurrent = Init::constant(0)});
  } else {
    return C(in, p.H, rng, {.recurrent = Init::constant(0)});
  }
}

/// The parameters that `LayerWeights::extra` is, end to end.
std::vector<std::string> extra_names(Cell cell) {
  if (cell == Cell::peephole) return {"pi", "pf", "po"};
  if (cell == Cell::layer_norm) return {"norm_x.gain", "norm_h.gain", "norm_c.gain", "norm_c.shift"};
  return {};
}

template <class C>
C make_cell(const Problem& p, const LayerWeights& w) {
  C cell = make_cell<C>(p, w.W.shape()[0]);
  cell.parameter("W").set(w.W);
  cell.parameter("R").set(w.R);
  cell.parameter("b").set(w.b);
  std::span<const float> rest = w.extra.span<float>();
  for (const std::string& name : extra_names(p.cell)) {
    Parameter& parameter = cell.parameter(name);
    const auto n = static_cast<std::size_t>(parameter.size());
    parameter.set(Array(rest.first(n), parameter.shape()));
    rest = rest.subspan(n);
  }
  return cell;
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
    if (!problem_.train) return;  // inference has no gradients, and nobody else clears any
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
      const Tensor forward = read(cells_[next++], x, false);
      x = problem_.both_ways ? concat({forward, read(cells_[next++], x, true)}, -1) : forward;
    }
    const Tensor loss = sum(x), last = select(x, 0, -1);
    if (problem_.train) backward(loss);
    return {loss, last};
  }
  Result result(const Tensor& last) const {
    const auto picked = [](const Array& a) { return sample(a.span<float>().data(), a.size()); };
    Result out{{"h", picked(last.array())}};
    if (!problem_.train) return out;
    for (const char* name : {"W", "R", "b"})
      out.push_back({std::string("gradient of ") + name, picked(cells_[0].parameter(name).grad())});
    std::vector<float> extra;
    for (const std::string& name : extra_names(problem_.cell)) {
      const std::vector<float> part = cells_[0].parameter(name).grad().template to_vector<float>();
      extra.insert(extra.end(), part.begin(), part.end());
    }
    if (!extra.empty()) out.push_back({"gradient of extra", sample(extra.data(), static_cast<Index>(extra.size()))});
    if (leaf_) out.push_back({"gradient of x", picked(leaf_->grad())});
    return out;
  }
  const Problem& problem() const { return problem_; }

 private:
  Tensor read(const C& cell, Tensor x, bool reverse) const {
    return outputs(unroll(cell, x, cell.zero_state(x.tape(), problem_.N), {.reverse = reverse}));
  }
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
    const Tensor x = layers_.problem().gradient_of_x ? layers_.leaf(tape_) : tape_.constant(layers_.x());
    last_ = layers_.record(tape_, x).last;
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
  CompiledNetwork(const Problem& p, const Inputs& inputs, Passes passes = Passes::all())
      : layers_(p, inputs), step_(traced(layers_, passes)) {}
  void run() override {
    layers_.zero_grad();
    last_ = step_(layers_.x()).last;
  }
  Result result() override { return layers_.result(last_); }
  std::string profile() override { return step_.explain() + "\n" + step_.profile(3); }

 private:
  static auto traced(Layers<C>& layers, Passes passes) {
    return compile(
        [&layers](Tape& tape, Tensor x) {
          return layers.record(tape, layers.problem().gradient_of_x ? layers.leaf(tape) : x);
        },
        CompileOptions{.passes = passes,
                       .matmul = layers.problem().bf16 ? Precision::bf16 : Precision::full,
                       .check = SelfCheck::off},  // results are compared with those of the others
        layers.x());
  }
  Layers<C> layers_;
  decltype(traced(std::declval<Layers<C>&>(), Passes::all())) step_;
  Tensor last_;
};

template <template <class> class Form, class... Options>
std::unique_ptr<Network> make(const Problem& p, const Inputs& inputs, Options... options) {
  switch (p.cell) {
    case Cell::gru: return std::make_unique<Form<GruCell>>(p, inputs, options...);
    case Cell::rnn: return std::make_unique<Form<RnnCell>>(p, inputs, options...);
    case Cell::mgu: return std::make_unique<Form<MguCell>>(p, inputs, options...);
    default: return std::make_unique<Form<LstmCell>>(p, inputs, options...);  // with peepholes, or layer norm
  }
}

}  // namespace

std::unique_ptr<Network> rewind_eager(const Problem& p, const Inputs& inputs) { return make<Eager>(p, inputs); }
std::unique_ptr<Network> rewind_compiled(const Problem& p, const Inputs& inputs) {
  if (p.bf16 && !detail::has_bf16()) return nullptr;
  return make<CompiledNetwork>(p, inputs);
}

std::unique_ptr<Network> rewind_one_at_a_time(const Problem& p, const Inputs& inputs) {
  return make<CompiledNetwork>(p, inputs, Passes::all() - Pass::branch);
}

}  // namespace rw::bench
