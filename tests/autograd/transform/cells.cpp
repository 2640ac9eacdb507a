// Every transform on every cell: along inputs, state and parameters, eager and compiled.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/transform/checkpoint.h>
#include <rewind/autograd/transform/custom_vjp.h>
#include <rewind/autograd/transform/sparse.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/models/bptt/rtrl.h>
#include <rewind/models/cells/any_cell.h>
#include <rewind/models/per_example.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "../support.h"

using namespace rw;
using ::test::list;
using ::test::numbers;
using Tensors = std::vector<Tensor>;

namespace {

constexpr Index T = 3, N = 2, I = 2, H = 3;

AnyCell made(std::string_view name) {
  Rng rng(1);
  AnyCell cell = make_cell(std::string(name), I, H, rng);
  cell.to(DType::f64);
  Rng values(3);
  for (const NamedParameter& p : cell.parameters())
    for (Index i = 0; i < p.parameter->size(); ++i) p.parameter->edit().as<double>()[i] = values.uniform(-0.6, 0.6);
  return cell;
}

std::vector<std::string> all_names() {
  std::vector<std::string> out;
  for (const std::string_view name : cell_names()) out.emplace_back(name);
  for (const char* name : {"lstm+peepholes+norm", "gru+drop-h=0.3", "mgu+zoneout=0.2"}) out.emplace_back(name);
  return out;
}

Tensor weighted(const Tensor& x) { return sum(square(x) * x.tape().constant(numbers(x.shape(), 40, DType::f64))); }

Tensor loss_of(const AnyCell& cell, const Tensor& x) {
  x.tape().set_draw(0);
  return weighted(outputs(cell, unroll(cell, x, cell.zero_state(x.tape(), x.size(1)))));
}

std::vector<double> flat(const Tensors& all) {
  std::vector<double> out;
  for (const Tensor& t : all)
    for (double e : list(t.value())) out.push_back(e);
  return out;
}
double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}
bool near(double a, double b, double tolerance) { return std::abs(a - b) <= tolerance * (1 + std::abs(b)); }
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]) / (1 + std::abs(b[i])));
  return most;
}

Tensors like(Tape& tape, const ParameterList& p, std::uint64_t seed) {
  Tensors out;
  for (std::size_t i = 0; i < p.size(); ++i) out.push_back(tape.constant(numbers(p[i].shape(), seed++, DType::f64)));
  return out;
}

}  // namespace

TEST_CASE("derivatives along inputs and parameters of every cell, eager and compiled") {
  for (const std::string& name : all_names()) {
    CAPTURE(name);
    const AnyCell cell = made(name);
    const auto all = [&](Tape& tape, const Tensor& x, const Tensor& dx, const Tensor& other) {
      const ParameterList weights(tape, cell.parameters());
      const auto f = [&](Tensor at) { return loss_of(cell, at); };
      const auto at = std::tuple(x, weights);
      const auto v = std::tuple(dx, like(tape, weights, 60)), w = std::tuple(other, like(tape, weights, 80));
      const auto [y, dy] = jvp(f, at, v);
      const auto [l, g] = value_and_grad(f, at);
      const auto hv = hvp(f, at, v), hw = hvp(f, at, w);
      const auto [c, cg] = value_and_grad([&] { return checkpoint(f)(x); }, weights);
      const auto pack = [](const auto& part) { return detail::tensors_of(part); };
      return std::vector<Tensors>{{y, dy, l, c}, pack(v),  pack(w), pack(g),
                                  pack(hv),      pack(hw), cg,      {jacobian(f, at, Direction::rows)}};
    };
    const Array x = numbers({T, N, I}, 1, DType::f64), dx = numbers({T, N, I}, 2, DType::f64),
                other = numbers({T, N, I}, 3, DType::f64);
    Tape tape(DType::f64);
    const auto e = all(tape, tape.constant(x), tape.constant(dx), tape.constant(other));
    CHECK(near(e[0][1].item(), dot(flat(e[3]), flat(e[1])), 1e-13));               // jvp beside the gradient
    CHECK(near(dot(flat(e[4]), flat(e[2])), dot(flat(e[5]), flat(e[1])), 1e-12));  // the Hessian is symmetric
    CHECK(distance(list(e[7][0].value()), flat(e[3])) < 1e-13);
    const Tensors weights_part(e[3].begin() + 1, e[3].end());
    CHECK(distance(flat(e[6]), flat(weights_part)) == 0);  // checkpointed
    auto compiled = compile(all, {.dtype = DType::f64}, x, dx, other);
    const auto k = compiled(x, dx, other);
    for (const std::size_t i : {0, 3, 4, 6, 7}) CHECK(distance(flat(k[i]), flat(e[i])) < 1e-11);
  }
}

TEST_CASE("second derivatives, sparse ones, vmap and own rules of every cell, eager and compiled") {
  for (const std::string& name : all_names()) {
    CAPTURE(name);
    const AnyCell cell = made(name);
    const auto f = [&](Tensor at) { return loss_of(cell, at); };
    const auto states = [&](Tensor at) {
      at.tape().set_draw(0);
      return outputs(cell, unroll(cell, at, cell.zero_state(at.tape(), at.size(1))));
    };
    const auto all = [&](Tape&, const Tensor& x, const Tensor& v) {
      const auto own = custom_vjp(f, [&](Tensor at, Tensor, Tensor dy) { return vjp(f, at).second(dy); });
      const auto frozen = [&](Tensor at) { return f(at) + f(stop(at)); };
      const auto line = second_derivative(f, x, v);
      return Tensors{hessian(f, x),
                     hvp(f, x, v),
                     hessian_diagonal(f, x),
                     sparse_hessian(f, x).values,
                     jacobian(states, x),
                     sparse_jacobian(states, x).values,
                     line.second,
                     value_and_grad(f, x).second,
                     value_and_grad(own, x).second,
                     value_and_grad(frozen, x).second,
                     vmap(f, {.in = {1}, .keep_axis = true})(x)};
    };
    const Array x = numbers({2, N, I}, 1, DType::f64), v = numbers({2, N, I}, 2, DType::f64);
    Tape tape(DType::f64);
    const Tensor at = tape.constant(x), along = tape.constant(v);
    const Tensors e = all(tape, at, along);
    const Index n = x.size();
    CHECK(distance(flat({matmul(e[0], reshape(along, {n, 1}))}), flat({e[1]})) < 1e-12);
    CHECK(near(e[6].item(), dot(flat({e[1]}), flat({along})), 1e-12));
    const std::vector<double> h = flat({e[0]}), j = flat({e[4]});
    for (std::size_t i = 0; i < 8; ++i) CHECK(near(flat({e[2]})[i], h[9 * i], 1e-12));
    const auto check_pattern = [](const SparsityPattern& p, const std::vector<double>& values,
                                  const std::vector<double>& dense) {
      std::size_t next = 0;
      for (Index r = 0; r < p.rows; ++r)
        for (Index c = 0; c < p.columns; ++c)
          CHECK(near(p.has(r, c) ? values[next++] : 0, dense[static_cast<std::size_t>(r * p.columns + c)], 1e-12));
    };
    check_pattern(sparse_hessian(f, at).pattern, flat({e[3]}), h);
    check_pattern(sparse_jacobian(states, at).pattern, flat({e[5]}), j);
    for (const std::size_t other : {8, 9}) CHECK(distance(flat({e[other]}), flat({e[7]})) < 1e-13);
    for (Index example = 0; example < N; ++example)
      CHECK(near(flat({e[10]})[static_cast<std::size_t>(example)], f(slice(at, 1, example, 1)).item(), 1e-13));
    auto compiled = compile(all, {.dtype = DType::f64, .check = SelfCheck::off}, x, v);
    const Tensors k = compiled(x, v);
    for (std::size_t i = 0; i < e.size(); ++i) CHECK(distance(flat({k[i]}), flat({e[i]})) < 1e-11);
  }
}

TEST_CASE("per-example gradients of every cell equal runs of one example, and their norms") {
  for (const std::string& name : all_names()) {
    if (name.find("drop") != std::string::npos || name.find("zoneout") != std::string::npos) continue;  // masks differ
    CAPTURE(name);
    const AnyCell cell = made(name);
    Tape tape(DType::f64);
    const ParameterList weights(tape, cell.parameters());
    const Tensor x = tape.constant(numbers({T, 4, I}, 1, DType::f64));
    const auto loss = [&](Tensor one) { return loss_of(cell, one); };
    const Tensors all = per_example_gradients(loss, weights, {1}, x);
    const Tensor norms = per_example_norms(loss, weights, {1}, x);
    for (Index e = 0; e < 4; ++e) {
      const Tensors alone = value_and_grad([&] { return loss(slice(x, 1, e, 1)); }, weights).second;
      Tensors part;
      for (const Tensor& t : all) part.push_back(select(t, 0, e));
      CHECK(distance(flat(part), flat(alone)) < 1e-12);
      CHECK(near(list(norms.value())[static_cast<std::size_t>(e)], std::sqrt(dot(flat(alone), flat(alone))), 1e-12));
    }
  }
  Tape tape(DType::f64);
  const ParameterList none(tape, std::vector<Parameter*>{});
  const Tensor x = tape.constant(0, {2, 3});
  CHECK(::test::error_of([&] { per_example_norms([](Tensor one) { return sum(one); }, none, {0}, x); }) ==
        "[per_example_norms] the list of parameters is empty");
}

TEST_CASE("online gradients of every cell beside back-propagation through all steps") {
  for (const std::string& name : all_names()) {
    if (name.find("drop") != std::string::npos || name.find("zoneout") != std::string::npos) continue;
    CAPTURE(name);
    const AnyCell cell = made(name);
    const Array x = numbers({T, N, I}, 1, DType::f64);
    Rtrl online(cell, N);
    double total = 0;
    for (Index t = 0; t < T; ++t) {
      const ConstView at =
          contiguous_view(static_cast<const void*>(x.span<double>().data() + t * N * I), {N, I}, DType::f64);
      total += online.step(at, [&](const AnyCell::State& s) { return weighted(output(cell, s)); });
    }
    Tape tape(DType::f64);
    Tensor loss = tape.constant(0.0);
    const auto states = unroll(cell, tape.constant(x), cell.zero_state(tape, N));
    for (const auto& s : states) loss = loss + weighted(output(cell, s));
    CHECK(near(total, loss.item(), 1e-13));
    const Tensors expected = grad(loss, [&] {
      std::vector<Operand> all;
      for (const NamedParameter& p : cell.parameters()) all.emplace_back(*p.parameter);
      return all;
    }());
    std::size_t i = 0;
    for (const NamedParameter& p : cell.parameters())
      CHECK(distance(p.parameter->grad().to_vector<double>(), list(expected[i++].value())) < 1e-12);
  }
}
