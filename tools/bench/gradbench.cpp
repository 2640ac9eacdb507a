// GradBench's LSTM: diagonal weights, 14 wide, f64. One gradient to all weights, eager and compiled, beside one
// evaluation of the function alone in plain C++ with the C library's functions, and our own compiled function alone.

#include <cmath>
#include <memory>

#include <fmt/format.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/rewind.h>

#include "comparisons.h"

namespace rw::bench {

namespace {

constexpr Index b = 14;

struct Data {
  Index layers, T;
  Array h0, c0, sequence;  // [layers, b], [layers, b], [T, b]

  std::vector<Array> values;  // of the weights
  Data(Index l, Index t) : layers(l), T(t), sequence(Shape{t, b}, DType::f64) {
    Rng rng(1);
    h0 = uniform(rng, {l, b}, -1, 1).to(DType::f64), c0 = uniform(rng, {l, b}, -1, 1).to(DType::f64);
    for (double& x : sequence.span<double>()) x = rng.uniform(0, 1) < 0.5 ? 0 : 1;
    for (Index i = 0; i < 8 * l + 3; ++i) values.push_back(uniform(rng, {b}, -1, 1).to(DType::f64));
  }
};

double plain(const Data& d) {
  const auto at = [&](std::size_t i) { return d.values[i].view().as<double>(); };
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  std::vector<double> h(d.h0.view().as<double>(), d.h0.view().as<double>() + d.layers * b);
  std::vector<double> c(d.c0.view().as<double>(), d.c0.view().as<double>() + d.layers * b);
  const std::size_t extra = static_cast<std::size_t>(8 * d.layers);
  double loss = 0;
  for (Index t = 0; t + 1 < d.T; ++t) {
    double x[b], prediction[b], total = 2;
    for (Index i = 0; i < b; ++i) x[i] = d.sequence.view().as<double>()[t * b + i] * at(extra)[i];
    for (Index l = 0; l < d.layers; ++l) {
      const auto k = static_cast<std::size_t>(8 * l);
      double *hl = &h[static_cast<std::size_t>(l * b)], *cl = &c[static_cast<std::size_t>(l * b)];
      for (Index i = 0; i < b; ++i) {
        const double f = sigmoid(x[i] * at(k)[i] + at(k + 1)[i]), in = sigmoid(hl[i] * at(k + 2)[i] + at(k + 3)[i]);
        const double o = sigmoid(x[i] * at(k + 4)[i] + at(k + 5)[i]),
                     g = std::tanh(hl[i] * at(k + 6)[i] + at(k + 7)[i]);
        cl[i] = cl[i] * f + in * g;
        x[i] = hl[i] = o * std::tanh(cl[i]);
      }
    }
    for (Index i = 0; i < b; ++i) {
      prediction[i] = x[i] * at(extra + 1)[i] + at(extra + 2)[i];
      total += std::exp(prediction[i]);
    }
    const double lse = std::log(total);
    for (Index i = 0; i < b; ++i) loss += d.sequence.view().as<double>()[(t + 1) * b + i] * (prediction[i] - lse);
  }
  return -loss / static_cast<double>((d.T - 1) * b);
}

Tensor recorded(Tape& tape, const std::vector<std::unique_ptr<Parameter>>& w, const Data& d) {
  std::vector<Tensor> h, c;
  for (Index l = 0; l < d.layers; ++l) {
    h.push_back(select(tape.constant(d.h0), 0, l));
    c.push_back(select(tape.constant(d.c0), 0, l));
  }
  const Tensor sequence = tape.constant(d.sequence);
  const std::size_t extra = static_cast<std::size_t>(8 * d.layers);
  std::vector<Tensor> predictions;
  for (Index t = 0; t + 1 < d.T; ++t) {
    const Scope scope(tape, "t", t);
    Tensor x = select(sequence, 0, t) * *w[extra];
    for (std::size_t l = 0; l < h.size(); ++l) {
      const auto k = 8 * l;
      const Tensor f = sigmoid(x * *w[k] + *w[k + 1]), i = sigmoid(h[l] * *w[k + 2] + *w[k + 3]);
      const Tensor o = sigmoid(x * *w[k + 4] + *w[k + 5]), g = tanh(h[l] * *w[k + 6] + *w[k + 7]);
      c[l] = c[l] * f + i * g;
      x = h[l] = o * tanh(c[l]);
    }
    predictions.push_back(x * *w[extra + 1] + *w[extra + 2]);
  }
  const Tensor all = stack(predictions);
  const Tensor lse = log(sum(exp(all), {1}, true) + 2.0);
  return sum(slice(sequence, 0, 1, d.T - 1) * (all - lse)) * (-1.0 / static_cast<double>((d.T - 1) * b));
}

/// The gradient, or the function alone, with weights of its own.
struct Ours {
  std::shared_ptr<Data> data;
  std::vector<std::unique_ptr<Parameter>> w;
  double loss = 0;
  explicit Ours(std::shared_ptr<Data> d) : data(std::move(d)) {
    for (const Array& value : data->values) w.push_back(std::make_unique<Parameter>("w", value));
  }
  void begin() {
    for (auto& p : w) p->zero_grad();
  }
  Tensor record(Tape& tape, bool gradient) {
    const Tensor out = recorded(tape, w, *data);
    if (gradient) backward(out);
    return out;
  }
  Result result() const {
    Result out{{"loss", {loss}}};
    for (const auto& p : w) out.push_back({"gradient", p->grad().to_vector<double>()});
    return out;
  }
};

Contender eager(const std::shared_ptr<Data>& data) {
  const auto ours = std::make_shared<Ours>(data);
  const auto tape = std::make_shared<Tape>(DType::f64);
  return {"Rewind eager",
          [ours, tape] {
            ours->begin();
            tape->clear();
            ours->loss = ours->record(*tape, true).item();
          },
          [ours] { return ours->result(); }};
}

Contender compiled(const std::shared_ptr<Data>& data, bool gradient) {
  const auto ours = std::make_shared<Ours>(data);
  const auto f = [ours, gradient](Tape& tape) { return ours->record(tape, gradient); };
  using Function = decltype(compile(f, CompileOptions{}));
  const auto function =
      std::make_shared<Function>(compile(f, CompileOptions{.dtype = DType::f64, .check = SelfCheck::off}));
  const auto run = [ours, function] {
    ours->begin();
    ours->loss = (*function)().item();
  };
  if (!gradient) return {"the function alone, compiled", run};
  return {"Rewind compiled", run, [ours] { return ours->result(); }};
}

Field field(Index layers, Index T) {
  const auto data = std::make_shared<Data>(layers, T);
  Field out;
  out.contenders = {eager(data), compiled(data, true), compiled(data, false)};
  out.contenders[0].run();
  compare("Rewind", {out.contenders[0].result()[0]}, "plain C++", {{"loss", {plain(*data)}}}, 1e-9);
  out.contenders.push_back({"the function alone, plain C++", [data, sink = std::make_shared<double>()] {
                              *static_cast<volatile double*>(sink.get()) = plain(*data);
                            }});
  return out;
}

}  // namespace

std::vector<Comparison> gradbench_comparisons() {
  std::vector<Comparison> all;
  constexpr std::pair<Index, Index> sizes[] = {{2, 1024}, {4, 1024}, {4, 4096}};
  for (const auto& size : sizes) {
    const Index layers = size.first, T = size.second;
    Comparison c;
    c.name = fmt::format("gradbench/lstm/l{} T{}", layers, T);
    c.note = "one gradient to all weights, f64";
    c.tolerance = 1e-9;
    c.quick = layers == 2;
    c.make = [layers, T](const Setting&) { return field(layers, T); };
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace rw::bench
