// Cells that no vendor wrote a kernel for, beside the LSTM, compiled: the FLOPs of a training step's products over all
// of its time, and inside the products alone, beside a large product. With --profile, where the rest goes.

#include <algorithm>
#include <ctime>
#include <memory>
#include <sstream>

#include <fmt/format.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/rewind.h>

#include "comparisons.h"
#include "recurrent.h"

namespace rw::bench {

namespace {

/// A cell of nobody's: a leaky memory whose leak is a softmax over three sources, with a gate that sees its product.
class OwnCell : public Module {
 public:
  struct State {
    Tensor h, m;
  };
  OwnCell(Index in, Index hidden, Rng& rng)
      : Module("own"),
        W_(param("W", glorot(rng, in, 3 * hidden))),
        U_(param("U", glorot(rng, hidden, 3 * hidden))),
        V_(param("V", glorot(rng, hidden, hidden))),
        b_(param("b", zeros(3 * hidden))),
        hidden_(hidden) {}
  State zero_state(Tape& tape, Index batch) const {
    const Tensor zero = tape.constant(0, Shape{batch, hidden_});
    return {zero, zero};
  }
  State step(Tensor x, const State& s) const {
    const auto [p, q, r] = split<3>(matmul(x, W_) + matmul(s.h, U_) + b_);
    const Tensor a = exp(tanh(p)), b = exp(tanh(q)), n = softplus(r);
    const Tensor m = (a * s.m + b * tanh(r) + n * s.h) / (a + b + n);
    return {tanh(m + sigmoid(m * q) * matmul(m, V_)), m};
  }

 private:
  Parameter &W_, &U_, &V_, &b_;
  Index hidden_;
};

struct Part {
  double seconds = 0, done = 0;  // 1e9 FLOPs or elements
};
struct Shares {
  Part products, kernels, other;
};

// From the table of `profile`: us, share, times, GFLOP/s, MB, what.
Shares shares(const std::string& table) {
  Shares out;
  std::istringstream lines(table);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream fields(line);
    double us = 0, rate = 0, mb = 0;
    std::string share, times, what;
    if (!(fields >> us >> share >> times >> rate >> mb >> what)) continue;
    Part& part = what == "matmul" ? out.products : what == "kernel" ? out.kernels : out.other;
    part.seconds += us * 1e-6, part.done += rate * us * 1e-6;
  }
  return out;
}

class Step {
 public:
  virtual ~Step() = default;
  virtual void run() = 0;
  virtual std::string profile() = 0;
};

template <class C>
struct CellStep {
  std::shared_ptr<C> cell;
  std::shared_ptr<Parameter> x;  // [T, N, H]

  Tensor operator()(Tape& tape) const {
    const Tensor in = tape.leaf(*x);
    const Tensor loss = sum(outputs(*cell, unroll(*cell, in, cell->zero_state(tape, in.size(1)))));
    backward(loss);
    return loss;
  }
};

template <class C>
class CompiledCell : public Step {
 public:
  CompiledCell(C cell, const Shape& shape)
      : step_(compile(CellStep<C>{std::make_shared<C>(std::move(cell)), input(shape)})) {}
  void run() override { step_(); }
  std::string profile() override { return step_.explain() + "\n" + step_.profile(3); }

 private:
  static std::shared_ptr<Parameter> input(const Shape& shape) {
    Rng rng(1);
    return std::make_shared<Parameter>("x", uniform(rng, shape, -1, 1));
  }
  Compiled<CellStep<C>> step_;
};

constexpr Index T = 50, N = 64;

template <class C, class... Options>
std::shared_ptr<Step> step_of(Index H, Options... options) {
  Rng rng(1);
  return std::make_shared<CompiledCell<C>>(C(H, H, rng, options...), Shape{T, N, H});
}

struct Kind {
  const char* name;
  std::shared_ptr<Step> (*make)(Index H);
};
constexpr Kind kinds[] = {
    {"lstm", [](Index H) { return step_of<LstmCell>(H, LstmOptions{}); }},
    {"gru", [](Index H) { return step_of<GruCell>(H, GruOptions{}); }},
    {"gru-reset-before", [](Index H) { return step_of<GruCell>(H, GruOptions{.reset = GruOptions::Reset::before}); }},
    {"mgu", [](Index H) { return step_of<MguCell>(H); }},
    {"peephole", [](Index H) { return step_of<LstmCell>(H, LstmOptions{.peepholes = LstmOptions::Peepholes::all}); }},
    {"layer-norm", [](Index H) { return step_of<LstmCell>(H, LstmOptions{.layer_norm = true}); }},
    {"one-of-our-own", [](Index H) { return step_of<OwnCell>(H); }}};

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

template <class F>
double seconds_of(F&& f) {
  const double begin = processor_seconds();
  f();
  return processor_seconds() - begin;
}

double rate_of_a_large_product() {
  constexpr Index n = 1024;
  const Array a = full({n, n}, 0.5), b = full({n, n}, 0.5);
  Array c(Shape{n, n});
  const auto multiply = [&] { gemm(a.view(), false, b.view(), false, c.view()); };
  double best = seconds_of(multiply);
  for (int i = 0; i < 9; ++i) best = std::min(best, seconds_of(multiply));
  return 2e-9 * n * n * n / best;
}

Field field(const Kind& kind, Index H) {
  const std::shared_ptr<Step> step = kind.make(H);
  step->run();
  const auto part = std::make_shared<Shares>(shares(step->profile()));
  Contender whole{"Rewind compiled", {}}, products{"inside its products", {}}, large{"a large product", {}};
  whole.measure = [step, part] { return part->products.done / seconds_of([&] { step->run(); }); };
  whole.profile = [step] {
    const std::string text = step->profile();
    const Shares s = shares(text);
    const double all = s.products.seconds + s.kernels.seconds + s.other.seconds;
    return fmt::format("products {:.1f}%, kernels {:.1f}% ({:.4f} ns an element), other {:.1f}%\n{}",
                       100 * s.products.seconds / all, 100 * s.kernels.seconds / all,
                       s.kernels.seconds / s.kernels.done, 100 * s.other.seconds / all, text);
  };
  products.measure = [step, part] {
    *part = shares(step->profile());
    return part->products.done / part->products.seconds;
  };
  large.measure = rate_of_a_large_product;
  return {{whole, products, large}, {}};
}

}  // namespace

std::vector<Comparison> cell_comparisons() {
  std::vector<Comparison> all;
  for (Index H : {256, 512})
    for (const Kind& kind : kinds) {
      Comparison c;
      c.name = fmt::format("cells/{}/T{} N{} I{} H{}", kind.name, T, N, H, H);
      c.note = "FLOPs of the products of a training step, with the gradient of x, over all its time; and over theirs";
      c.unit = "GFLOP/s";
      c.seconds = H == 256 ? 2 : 6;
      c.make = [kind, H](const Setting&) { return field(kind, H); };
      all.push_back(std::move(c));
    }
  return all;
}

}  // namespace rw::bench
