// Derivatives of functions, eager and compiled, beside what they are counted in: jvp of an LSTM beside the LSTM alone,
// Hessian products and per-example gradients beside the gradient of the batch, a coloured Jacobian beside its function.

#include <memory>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <rewind/rewind.h>

#include "comparisons.h"
#include "recurrent.h"

namespace rw::bench {

namespace {

using Tensors = std::vector<Tensor>;
/// What is recorded of the arguments.
using Record = std::function<Tensors(const Tensors&)>;

Result result_of(const Tensors& all) {
  Result out;
  for (const Tensor& t : all) {
    const Array a = t.array().to(DType::f32);
    out.push_back({fmt::format("result {}", out.size()), sample(a.span<float>().data(), a.size())});
  }
  return out;
}

Contender eager(Record record, std::vector<Array> arguments) {
  struct Recorded {
    Tape tape;
    Tensors results;
  };
  const auto run = std::make_shared<Recorded>();
  const auto once = [run, record = std::move(record), arguments = std::move(arguments)] {
    run->tape.clear();
    Tensors x;
    for (const Array& a : arguments) x.push_back(run->tape.constant(a));
    run->results = record(x);
  };
  return {"Rewind eager", once, [run] { return result_of(run->results); }};
}

Contender compiled(std::string name, Record record, std::vector<Array> arguments) {
  const auto f = [record = std::move(record)](Tape&, const Tensors& x) { return record(x); };
  using Function = decltype(compile(f, CompileOptions{}, arguments));
  const auto function = std::make_shared<Function>(compile(f, CompileOptions{.check = SelfCheck::off}, arguments));
  const auto results = std::make_shared<Tensors>();
  return {std::move(name), [=] { *results = (*function)(arguments); }, [results] { return result_of(*results); }};
}

Field field(const Record& derivative, const Record& yardstick, const char* name, const std::vector<Array>& arguments) {
  Contender unit = compiled(name, yardstick, arguments);
  unit.result = {};
  Field out;
  out.contenders = {eager(derivative, arguments), compiled("Rewind compiled", derivative, arguments), std::move(unit)};
  return out;
}

/// An LSTM, its inputs, and directions of these and of its weights.
struct Lstm {
  Rng rng{1};
  LstmCell cell;
  std::vector<Array> arguments;  // x, dx, and a direction for each parameter

  Lstm(Index T, Index N, Index width) : cell(width, width, rng) {
    for (int i = 0; i < 2; ++i) arguments.push_back(uniform(rng, {T, N, width}, -1, 1));
    for (const NamedParameter& p : cell.parameters()) arguments.push_back(uniform(rng, p.parameter->shape(), -1, 1));
  }
  Tensor outputs_of(const Tensor& x) const {
    return outputs(cell, unroll(cell, x, cell.zero_state(x.tape(), x.size(1))));
  }
  Tensor loss(const Tensor& x) const { return mean(square(outputs_of(x))); }
  ParameterList weights(const Tensors& x) const { return ParameterList(x[0].tape(), cell.parameters()); }
  static Tensors directions(const Tensors& x) { return Tensors(x.begin() + 2, x.end()); }
};

Field along_x(const std::shared_ptr<Lstm>& lstm) {
  const auto f = [lstm](Tensor x) { return lstm->outputs_of(x); };
  const Record derivative = [f](const Tensors& x) {
    const auto [y, dy] = jvp(f, x[0], x[1]);
    return Tensors{y, dy};
  };
  return field(
      derivative, [f](const Tensors& x) { return Tensors{f(x[0])}; }, "the function alone, compiled", lstm->arguments);
}

Field along_x_and_weights(const std::shared_ptr<Lstm>& lstm) {
  const auto f = [lstm](Tensor x) { return lstm->outputs_of(x); };
  const Record derivative = [lstm, f](const Tensors& x) {
    const auto [y, dy] = jvp(f, std::tuple(x[0], lstm->weights(x)), std::tuple(x[1], Lstm::directions(x)));
    return Tensors{y, dy};
  };
  return field(
      derivative, [f](const Tensors& x) { return Tensors{f(x[0])}; }, "the function alone, compiled", lstm->arguments);
}

Tensors gradient(const Lstm& lstm, const Tensors& x) {
  return value_and_grad([&] { return lstm.loss(x[0]); }, lstm.weights(x)).second;
}

Field hessian_product(const std::shared_ptr<Lstm>& lstm) {
  const Record derivative = [lstm](const Tensors& x) {
    return hvp([&] { return lstm->loss(x[0]); }, lstm->weights(x), Lstm::directions(x));
  };
  return field(
      derivative, [lstm](const Tensors& x) { return gradient(*lstm, x); }, "the gradient, compiled", lstm->arguments);
}

Field per_example(const std::shared_ptr<Lstm>& lstm) {
  const Record derivative = [lstm](const Tensors& x) {
    return per_example_gradients([&](Tensor one) { return lstm->loss(one); }, lstm->weights(x), {1}, x[0]);
  };
  return field(
      derivative, [lstm](const Tensors& x) { return gradient(*lstm, x); }, "the gradient, compiled", lstm->arguments);
}

// Each number of the result depends on `colours` neighbours.
Field coloured(Index n, Index colours) {
  const auto f = [n, colours](Tensor x) {
    Tensor y = sin(slice(x, 0, 0, n));
    for (Index i = 1; i < colours; ++i) y = y * 0.5 + tanh(slice(x, 0, i, n));
    return y;
  };
  Rng rng(1);
  return field([f](const Tensors& x) { return Tensors{sparse_jacobian(f, x[0]).values}; },
               [f](const Tensors& x) { return Tensors{f(x[0])}; }, "the function alone, compiled",
               {uniform(rng, {n + colours - 1}, -1, 1)});
}

}  // namespace

std::vector<Comparison> transform_comparisons() {
  struct OfLstm {
    const char *name, *note;
    Field (*make)(const std::shared_ptr<Lstm>&);
    Index width;
  };
  constexpr OfLstm lstms[] = {
      {"jvp of x", "all h of an LSTM, and their derivative along x", along_x, 128},
      {"jvp of x and weights", "all h of an LSTM, and their derivative along x and weights", along_x_and_weights, 128},
      {"hvp", "the Hessian of an LSTM's loss by its weights, times a vector", hessian_product, 128},
      {"per example", "a gradient to all weights for each example", per_example, 64}};
  std::vector<Comparison> all;
  for (const OfLstm& one : lstms) {
    Comparison c;
    c.name = fmt::format("transforms/{}/T50 N32 I{} H{}", one.name, one.width, one.width);
    c.note = one.note;
    c.make = [one](const Setting&) { return one.make(std::make_shared<Lstm>(50, 32, one.width)); };
    c.work = 8 * Problem{.T = 50, .N = 32, .I = one.width, .H = one.width}.work();
    all.push_back(std::move(c));
  }
  for (const Index colours : {3, 12, 48}) {
    Comparison c;
    c.name = fmt::format("transforms/coloured Jacobian/n4096 colours {}", colours);
    c.note = "the elements of a banded Jacobian";
    c.quick = colours == 3;
    c.make = [colours](const Setting& setting) { return coloured(setting.quick ? 256 : 4096, colours); };
    all.push_back(std::move(c));
  }
  return all;
}

}  // namespace rw::bench
