// vmap beside one example after another, for every op, and inside and outside of derivatives.
#include <algorithm>
#include <functional>

#include <doctest/doctest.h>

#include <rewind/autograd/transform/jacobian.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/ops/ops.h>

#include "../support.h"

using namespace rw;
using test::error_of;
using test::list;
using test::numbers;

namespace {

// The same by hand: position e of axis 0, one example after the other.
template <class F>
Tensor one_by_one(F f, const Tensor& x) {
  std::vector<Tensor> out;
  for (Index e = 0; e < x.size(0); ++e) out.push_back(f(select(x, 0, e)));
  return stack(out);
}

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  const std::vector<double> x = list(a.value()), y = list(b.value());
  double most = 0;
  for (std::size_t i = 0; i < x.size(); ++i) most = std::max(most, std::abs(x[i] - y[i]) / (1 + std::abs(y[i])));
  return most;
}

}  // namespace

TEST_CASE("axes of arguments and results, negative ones, and arguments that are one for all") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({2, 3, 4}, 1, DType::f64)), w = tape.constant(numbers({4}, 2, DType::f64));
  const auto f = [](Tensor a, Tensor b) { return tanh(a) * b; };
  for (const int axis : {0, 1, -3, -2}) {
    const Tensor y = vmap(f, {.in = {axis, no_axis}})(x, w);
    const Tensor turned = axis == 1 || axis == -2 ? permute(x, {1, 0, 2}) : x;
    CHECK(test::same_bits(y.value(), (tanh(turned) * w).value()));
  }
  const Tensor last = vmap([](Tensor a) { return a * 2; }, {.in = {2}, .out = -1})(x);
  CHECK(test::same_bits(last.array(), (x * 2).array()));
  const Tensor kept = vmap(
      [](Tensor a) {
        CHECK(a.shape() == Shape{2, 1, 4});
        return a;
      },
      {.in = {1}, .keep_axis = true})(x);
  CHECK(kept.shape() == Shape{3, 2, 1, 4});
  // A result that does not depend on the example is repeated.
  const Tensor same = vmap([&](Tensor) { return w; })(x);
  CHECK(same.shape() == Shape{2, 4});
}

TEST_CASE("ops that have their own way: products, reductions, views, indices") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({3, 2, 4}, 1, DType::f64)), m = tape.constant(numbers({4, 5}, 2, DType::f64));
  const Tensor n = tape.constant(numbers({2, 5}, 3, DType::f64));
  const std::vector<std::function<Tensor(Tensor)>> functions = {
      [&](Tensor a) { return matmul(a, m); },
      [&](Tensor a) { return matmul(a, n, {.transpose_a = true}); },
      [&](Tensor a) { return matmul(n, a, {.transpose_a = true}); },
      [&](Tensor a) { return matmul(a, a, {.transpose_b = true}); },
      [&](Tensor a) {
        return matmul(stack({a, a * 2}), transpose(a));
      },
      [&](Tensor a) {
        return matmul(stack({a, a * 2}), m);
      },
      [&](Tensor a) {
        return matmul(stack({n, n}), stack({a, a}), {.transpose_a = true});
      },
      [](Tensor a) { return sum(a, 0); },
      [](Tensor a) { return mean(a, -1, true); },
      [](Tensor a) { return sum(a); },
      [](Tensor a) { return max(a, 1); },
      [](Tensor a) { return min(a); },
      [](Tensor a) { return softmax(a, 0) + log_softmax(a); },
      [](Tensor a) { return logsumexp(a, 1); },
      [](Tensor a) {
        return concat({slice(a, 1, 1, 2), slice(a, 1, 0, 3)}, 1);
      },
      [](Tensor a) { return reshape(a, {8}); },
      [](Tensor a) { return transpose(a) * 2; },
      [](Tensor a) { return flip(a, 0); },
      [](Tensor a) {
        return broadcast_to(select(a, 0, 1), {3, 4});
      },
      [](Tensor a) { return a + sum(a) + select(a, 1, 2).tape().constant(1.0); },
      [&](Tensor a) { return where(a > 0, a, select(m, 1, 0)); },
      [](Tensor a) { return a * hardmax(a) + detach(a); },
      [](Tensor a) { return dropout(a, 0.5); },
      [&](Tensor a) {
        return lookup(a, tape.constant(Array(std::vector<std::int32_t>{1, 0, 1})));
      },
      [&](Tensor a) {
        return pick(a, tape.constant(Array(std::vector<std::int32_t>{3, 0})));
      },
      [&](Tensor a) {
        return cross_entropy(a, tape.constant(Array(std::vector<std::int32_t>{3, 0})));
      },
      [&](Tensor a) {
        return clear_padding(a, tape.constant(Array(std::vector<std::int32_t>{1, 2, 0, 2})));
      }};
  for (std::size_t i = 0; i < functions.size(); ++i) {
    CAPTURE(i);
    const auto& f = functions[i];
    tape.set_draw(5);
    const Tensor all = vmap(f)(x);
    std::vector<Tensor> each;
    for (Index e = 0; e < 3; ++e) {
      tape.set_draw(5);  // a draw is the same one for all
      each.push_back(f(select(x, 0, e)));
    }
    CHECK(distance(all, stack(each)) < 1e-14);
    // Gradients through it, and of it.
    const auto total = [&](Tensor a) { return sum(square(vmap(f)(a))); };
    const auto apart = [&](Tensor a) { return sum(square(one_by_one(f, a))); };
    if (i == 22) continue;  // other draws
    CHECK(distance(value_and_grad(total, x).second, value_and_grad(apart, x).second) < 1e-13);
    const auto own = [&](Tensor a) { return value_and_grad([&](Tensor b) { return sum(square(f(b))); }, a).second; };
    CHECK(distance(vmap(own)(x), one_by_one(own, x)) < 1e-13);
    const Tensor v = tape.constant(numbers({2, 4}, 9, DType::f64));
    const auto along = [&](Tensor a) { return jvp(f, a, v).second; };
    CHECK(distance(vmap(along)(x), one_by_one(along, x)) < 1e-13);
  }
}

TEST_CASE("vmap of vmap, aggregates, and indices as examples") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({2, 3, 4}, 1, DType::f64)), y = tape.constant(numbers({5, 4}, 2, DType::f64));
  // All pairs.
  const auto pairs = [&](Tensor a) { return vmap([&](Tensor b) { return sum(a * b); })(y); };
  CHECK(distance(vmap(pairs)(reshape(x, {6, 4})), matmul(reshape(x, {6, 4}), y, {.transpose_b = true})) < 1e-14);
  const auto both = vmap([](const std::pair<Tensor, Tensor>& p) {
    return std::pair(p.first + p.second, sum(p.first));
  })(std::pair(x, x * 2));
  CHECK(distance(both.first, x * 3) < 1e-14);
  CHECK(both.second.shape() == Shape{2});
  const Tensor rows = tape.constant(Array({1, 0, 4}, Shape{3}));
  CHECK(distance(vmap([&](Tensor i) { return lookup(y, i); })(rows), lookup(y, rows)) == 0);
  CHECK(distance(vmap([&](Tensor i) { return one_hot(i, 6); })(rows), one_hot(rows, 6)) == 0);
}

TEST_CASE("a user's own op goes example by example") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({3, 4}, 1, DType::f64)), w = tape.constant(numbers({4}, 2, DType::f64));
  const auto f = [&](Tensor a) { return record(test::Product{}, {a, w}); };
  CHECK(test::same_bits(vmap(f)(x).array(), (x * w).array()));
}

TEST_CASE("what vmap refuses") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({2, 3}, 1, DType::f64)), y = tape.constant(numbers({3, 3}, 1, DType::f64));
  const NodeId before = tape.size();
  const auto f = [](Tensor a, Tensor b) { return a + b; };
  CHECK(error_of([&] { vmap(f)(x, y); }) ==
        "[vmap] argument 1 of shape (3, 3) has 3 examples along axis 0; those before have 2");
  CHECK(error_of([&] { vmap(f, {.in = {2}})(x, x); }) == "[vmap] argument 0 of shape (2, 3) has no axis 2");
  CHECK(error_of([&] { vmap(f, {.in = {no_axis}})(x, x); }).find("[vmap] no argument has examples") == 0);
  CHECK(error_of([&] { vmap(f, {.out = 4})(x, x); }) == "[vmap] a result of shape (2, 3) has no axis 4");
  CHECK(error_of([&] {
          vmap([](Tensor a) { return reshape(a, {1, 1, 1, 1, 1, 3}); })(x);
        }).find("[reshape] vmap would give (1, 1, 1, 1, 1, 3) an axis more") == 0);
  CHECK(error_of([&] { vmap([](Tensor a) { return a * a.item(); })(x); }).find("within vmap") != std::string::npos);
  CHECK(error_of([&] {
          vmap([](Tensor a) {
            backward(sum(a));
            return a;
          })(tape.variable(numbers({2, 3}, 1, DType::f64)));
        }).find("use grad") != std::string::npos);
  CHECK(tape.size() <= before + 1);
  CHECK_FALSE(tape.tracing());
}

TEST_CASE("Jacobians and Hessians, by rows and by columns, beside vjp and jvp") {
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({2, 3}, 1, DType::f64)), z = tape.constant(numbers({2}, 2, DType::f64));
  const auto f = [](Tensor a, Tensor b) { return std::pair(tanh(a) * sum(b), matmul(a, transpose(a))); };
  const auto at = std::tuple(x, z);
  const Tensor rows = jacobian(f, at, Direction::rows), columns = jacobian(f, at, Direction::columns);
  CHECK(rows.shape() == Shape{10, 8});
  CHECK(distance(rows, columns) < 1e-14);
  CHECK(distance(jacobian(f, at), columns) < 1e-14);
  for (Index j = 0; j < 8; ++j) {
    Array unit(Shape{8}, DType::f64);
    unit.span<double>()[static_cast<std::size_t>(j)] = 1;
    const Tensor e = tape.constant(unit);
    const auto [y, dy] = jvp(f, at, std::tuple(reshape(slice(e, 0, 0, 6), {2, 3}), slice(e, 0, 6, 2)));
    CHECK(distance(concat({reshape(dy.first, {6}), reshape(dy.second, {4})}), select(rows, 1, j)) < 1e-14);
  }
  const auto g = [](Tensor a) { return sum(sin(a) * exp(sum(a, 0))); };
  const Tensor h = hessian(g, x);
  CHECK(distance(h, transpose(h)) < 1e-14);
  const Tensor v = tape.constant(numbers({2, 3}, 3, DType::f64));
  CHECK(distance(matmul(h, reshape(v, {6, 1})), reshape(hvp(g, x, v), {6, 1})) < 1e-13);
  CHECK(jacobian([](Tensor a) { return a * 2; }, tape.constant(0, {0})).shape() == Shape{0, 0});
  CHECK(list(jacobian([&](Tensor) { return z; }, x).value()) == std::vector<double>(12, 0));
}
