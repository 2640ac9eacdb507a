// scan, cond and while_loop: beside plain loops, eager and compiled, differentiated twice, and what they refuse.
#include <cmath>
#include <limits>
#include <stdexcept>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/transform/derivatives.h>
#include <rewind/autograd/transform/implicit.h>
#include <rewind/autograd/transform/jacobian.h>
#include <rewind/autograd/transform/vmap.h>
#include <rewind/ops/control_flow.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/gradcheck.h>

#include "../autograd/support.h"

using namespace rw;
using ::test::error_of;
using ::test::list;
using ::test::numbers;
using ::test::same_bits;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

Array number(double x) { return Array({x}, Shape{}); }
bool close(const Tensor& a, const Tensor& b, double tolerance = 1e-12) {
  const std::vector<double> x = list(a.value()), y = list(b.value());
  for (std::size_t i = 0; i < x.size(); ++i)
    if (!(std::abs(x[i] - y[i]) <= tolerance * (1 + std::abs(y[i])))) return false;
  return a.shape() == b.shape();
}

struct State {
  Tensor h, c;
};
struct Pairs {
  Tensor x, y;
};

// A step of two states that takes two inputs.
State step(const State& s, const Pairs& in) {
  const Tensor c = sigmoid(in.x + s.h) * s.c + tanh(in.y);
  return {tanh(c) * in.x, c};
}

// How often 3 x goes into what is below 100: 0 steps from 100 on.
Tensor tripled(Tensor x) {
  return while_loop([](Tensor at) { return sum(at) < 100; }, [](Tensor at) { return at * 3; }, x, {.at_most = 9});
}

// Newton's iteration for the cube root of a, until it stands still.
Tensor cube_root(Tensor a) {
  const auto moves = [&](Tensor r) { return max(abs(r * r * r - a)) > 1e-13; };
  const auto newton = [&](Tensor r) { return r - (r * r * r - a) / (3 * r * r); };
  return while_loop(moves, newton, a.tape().constant(1.5, a.shape()), {.at_most = 12});
}

}  // namespace

TEST_CASE("scan: a loop over steps, states and outputs of any structure, both ways") {
  Tape tape(DType::f64);
  const Pairs xs{tape.variable(numbers({5, 2, 3}, 1, DType::f64)), tape.variable(numbers({5, 2, 3}, 2, DType::f64))};
  const State start{tape.constant(numbers({2, 3}, 3, DType::f64)), tape.constant(numbers({2, 3}, 4, DType::f64))};
  for (const bool reverse : {false, true}) {
    const auto [last, out] = scan(
        [](const State& s, const Pairs& in) {
          const State next = step(s, in);
          return std::pair(next, Pairs{next.h, next.c * 2});
        },
        start, xs, {.reverse = reverse});
    State s = start;
    std::vector<Tensor> h(5);
    for (Index i = 0; i < 5; ++i) {
      const Index t = reverse ? 4 - i : i;
      s = step(s, {select(xs.x, 0, t), select(xs.y, 0, t)});
      h[static_cast<std::size_t>(t)] = s.h;
    }
    CHECK(same_bits(last.h.value(), s.h.value()));
    CHECK(same_bits(last.c.value(), s.c.value()));
    CHECK(same_bits(out.x.value(), stack(h).value()));
    CHECK(out.y.shape() == Shape{5, 2, 3});
    const Tensor a = grad(sum(square(out.x)), xs.y), b = grad(sum(square(stack(h))), xs.y);
    CHECK(close(a, b));
  }
  const State last = scan(step, start, xs);  // a step that gives its state alone
  CHECK(last.h.shape() == Shape{2, 3});
}

TEST_CASE("scan of no steps: the start, and empty outputs of the right shapes") {
  const auto run = [](Tensor x) {
    return scan([](Tensor s, Tensor at) { return std::pair(s + sum(at), stack({at, at})); }, x.tape().constant(2), x);
  };
  Tape tape;
  const NodeId before = tape.size();
  const auto [last, out] = run(tape.constant(zeros({0, 3})));
  CHECK(last.item() == 2);
  CHECK(out.shape() == Shape{0, 2, 3});
  CHECK(tape.size() == before + 3);
  auto compiled = compile([&](Tape&, Tensor x) { return run(x); }, zeros({0, 3}));
  CHECK(compiled(zeros({0, 3})).second.shape() == Shape{0, 2, 3});
}

TEST_CASE("scan, cond and while_loop: gradcheck of both orders, and of their plans") {
  Parameter w("w", numbers({3}, 1, DType::f64)), a("a", numbers({2, 3}, 2, DType::f64));
  const auto loops = [&](Tape& tape) {
    const Tensor x = tape.constant(numbers({4, 2, 3}, 5, DType::f64));
    const auto scanned = scan(
        [&](Tensor at, Tensor in) {
          const Tensor next = tanh(at * w + in);
          return std::pair(next, next * in);
        },
        tape.leaf(a), x);
    const Tensor s = scanned.first, ys = scanned.second;
    const Tensor y = cond(
        sum(s) < 100, [&] { return s * sin(tape.leaf(w)); }, [&] { return s / w; });
    const Tensor z =
        while_loop([](Tensor at) { return sum(square(at)) > 0.5; },
                   [&](Tensor at) { return at * (0.5 + 0.1 * cos(tape.leaf(w))) + 0.01 * sum(ys); }, y, {.at_most = 7});
    return sum(cube_root(square(z) + 1) * (1 + tape.leaf(w))) + sum(tripled(square(tape.leaf(w))));
  };
  const GradReport report = gradcheck(loops, {w, a}, {.order = 2});
  CHECK_MESSAGE(report.ok(), report);
  auto compiled = compile(
      [&](Tape& tape, Tensor factor) {
        const Tensor loss = loops(tape) * factor;
        backward(loss);
        return loss;
      },
      {.dtype = DType::f64}, number(2));
  const GradReport of_plan = gradcheck(compiled, {w, a}, {}, number(2));
  CHECK_MESSAGE(of_plan.ok(), of_plan);
}

TEST_CASE("cond: one branch is recorded, or both are computed and one counts") {
  const auto f = [](Tensor p, Tensor x) {
    return cond(
        p, [&] { return std::pair(exp(x), x); }, [&] { return std::pair(x * x * x, -x); });
  };
  Tape tape(DType::f64);
  const Tensor x = tape.variable(Array({0.5, 2.0}, {2}));
  const auto [y, z] = f(tape.constant(0), x);
  CHECK(list(y.value()) == std::vector<double>{0.125, 8});
  CHECK(list(z.value()) == std::vector<double>{-0.5, -2});
  for (NodeId i = 0; i < tape.size(); ++i) CHECK(tape.node(i).info->name != "exp");
  CHECK(close(grad(sum(y), x), tape.constant(Array({0.75, 12.0}, {2}))));

  const auto with_gradients = [&](Tape&, Tensor p, Tensor at) {
    const auto of = [&](Tensor v) { return sum(f(p, v).first); };
    return std::tuple(f(p, at), value_and_grad(of, at).second, hvp(of, at, at), jvp(of, at, at).second);
  };
  auto compiled =
      compile(with_gradients, {.dtype = DType::f64, .verify = true, .check = SelfCheck::always}, number(0), x);
  for (const double p : {0.0, 1.0, -2.0, not_a_number}) {
    const auto [values, first, second, along] = compiled(Array({p}, {1, 1}).reshaped({}), x);
    Tape beside(DType::f64);
    const auto [v, a, b, c] = with_gradients(beside, beside.constant(p), beside.constant(x.value()));
    CHECK(close(values.first, v.first));
    CHECK(close(values.second, v.second));
    CHECK(close(first, a));
    CHECK(close(second, b));
    CHECK(close(along, c));
  }
  CHECK(compiled.plans() == 1);
}

TEST_CASE("cond: nan in the branch that is not taken reaches nothing, through products neither") {
  Parameter w("w", numbers({3, 3}, 1, DType::f64));
  const auto loss_of = [&](Tensor p, Tensor x) {
    const Tensor h = tanh(matmul(x, w));
    return sum(cond(
        p, [&] { return matmul(log(h - 2), w) * x; }, [&] { return matmul(h, w); }));  // log of what is below 0
  };
  const Array x = numbers({2, 3}, 2, DType::f64);
  auto compiled = compile(
      [&](Tape& tape, Tensor p, Tensor at) {
        const Tensor loss = loss_of(p, at);
        const Tensor g = grad(loss, w);
        backward(loss + sum(square(g)));
        return std::tuple(loss, g, grad(sum(square(g)), tape.leaf(w)));
      },
      {.dtype = DType::f64}, number(0), x);
  w.zero_grad();
  const auto [loss, g, gg] = compiled(number(0), x);
  Tape tape(DType::f64);
  const Tensor plain = sum(matmul(tanh(matmul(tape.constant(x), w)), w)), pg = grad(plain, w);
  CHECK(close(loss, plain));
  CHECK(close(g, pg));
  CHECK(close(gg, grad(sum(square(pg)), w)));
  for (const double e : list(w.grad())) CHECK(std::isfinite(e));
  CHECK(std::isnan(std::get<0>(compiled(number(1), x)).item()));
}

TEST_CASE("while_loop: as many steps as values say, by one plan") {
  auto compiled = compile(
      [](Tape&, Tensor x) {
        const Tensor y = tripled(x);
        return std::tuple(y, grad(sum(y), x), hvp([](Tensor v) { return sum(square(tripled(v))); }, x, x));
      },
      {.dtype = DType::f64, .verify = true, .check = SelfCheck::always}, Array({1.0}, {1}));
  for (const double x : {200.0, 50.0, 11.0, 1.0, 1e-9}) {  // 0, 1, 3, 5 steps, and 9 that are not enough
    const auto [y, dy, ddy] = compiled(Array({x}, {1}));
    double expected = x, slope = 1;
    for (int i = 0; i < 9 && expected < 100; ++i) expected *= 3, slope *= 3;
    CHECK(y.item() == doctest::Approx(expected));
    CHECK(dy.item() == doctest::Approx(slope));
    CHECK(ddy.item() == doctest::Approx(2 * slope * slope * x));
  }
  CHECK(compiled.plans() == 1);

  Tape tape;
  const NodeId before = tape.size();
  const Tensor x = tape.constant(Array({50.0}, {1})), y = tripled(x);
  CHECK(y.item() == 150);
  CHECK(tape.size() == before + 3);  // x, 3 and one step; nothing of what was asked
  CHECK(tape.scope_path(tape.node(tape.id(y)).scope) == "while_loop/t=0");
  CHECK(while_loop([](Tensor) -> Tensor { throw Error("asked"); }, [](Tensor at) { return at; }, x, {.at_most = 0})
            .same(x));
}

TEST_CASE("while_loop: steps that do not count may be nan") {
  // 0 / 0 once it stands still, within a product by what is differentiated.
  const auto halved = [](Tensor x, Tensor w) {
    const auto step = [&](const State& s) {
      const Tensor d = s.h - s.c;
      return State{s.c, s.c - matmul(d * d / d, w)};
    };
    return while_loop([](const State& s) { return max(abs(s.h - s.c)) > 0; }, step, State{x, x * 0.5}, {.at_most = 6});
  };
  Parameter w("w", Array({0.5}, {1, 1}));
  auto compiled = compile(
      [&](Tape& tape, Tensor x) {
        const State s = halved(x, cond(
                                      sum(x) > 2, [&] { return tape.leaf(w) * 0; }, [&] { return tape.leaf(w) * 1; }));
        backward(sum(s.c));
        return s.c;
      },
      {.dtype = DType::f64, .check = SelfCheck::always}, Array({1.0}, {1, 1}));
  for (const double x : {1.0, 4.0}) {  // 4: it stands still after one step
    w.zero_grad();
    const double y = compiled(Array({x}, {1, 1})).item(), g = list(w.grad())[0];
    w.zero_grad();
    Tape tape(DType::f64);
    const Tensor at = tape.constant(Array({x}, {1, 1}));
    const Tensor plain = halved(at, x > 2 ? tape.leaf(w) * 0 : tape.leaf(w) * 1).c;
    backward(sum(plain));
    CHECK(y == doctest::Approx(plain.item()));
    CHECK(std::isfinite(g));
    CHECK(g == doctest::Approx(list(w.grad())[0]));
  }
}

TEST_CASE("random numbers do not depend on what runs: eager and compiled, and after it") {
  const auto noisy = [](Tape& tape, Tensor x) {
    const Tensor a = cond(
        sum(x) > 3, [&] { return dropout(dropout(x, 0.5), 0.5); }, [&] { return dropout(x, 0.3); });
    const Tensor b = while_loop([](Tensor at) { return sum(dropout(at, 0.1)) < 40; },
                                [](Tensor at) { return at + dropout(at, 0.4); }, a, {.at_most = 5});
    return std::pair(b, bernoulli_mask(tape, {32}, 0.5));
  };
  auto compiled = compile(noisy, {.dtype = DType::f64, .check = SelfCheck::always}, full({16}, 1, DType::f64));
  std::vector<double> after;
  for (const double scale : {0.1, 1.0, 9.0}) {
    Array x = full({16}, 1, DType::f64);
    for (double& e : x.span<double>()) e *= scale;
    compiled.set_step(0);
    const auto [y, mask] = compiled(x);
    Tape tape(DType::f64);
    const auto [eager, eager_mask] = noisy(tape, tape.constant(x));
    CHECK(close(y, eager));
    CHECK(same_bits(mask.value(), eager_mask.value()));
    if (after.empty()) after = list(mask.value());
    CHECK(list(mask.value()) == after);
  }
}

TEST_CASE("vmap and Jacobians: each example has its own number of steps") {
  const Array x({200.0, 50.0, 11.0, 1.0}, {4});
  Tape tape(DType::f64);
  const Tensor all = tape.variable(x);
  const Tensor y = vmap(tripled)(all);
  CHECK(list(y.value()) == std::vector<double>{200, 150, 297, 243});
  CHECK(list(grad(sum(y), all).value()) == std::vector<double>{1, 3, 27, 243});
  Parameter w("w", Array({2.0}, Shape{}));
  const auto branch = [&](Tensor v) {
    return cond(
        v > 20, [&] { return log(v - 20) * w; }, [&] { return v * w; });
  };
  const Tensor z = vmap(branch)(all);
  CHECK(list(z.value())[3] == 2);
  CHECK(grad(sum(z), w).item() == doctest::Approx(std::log(180.0) + std::log(30.0) + 12));
  const auto roots = [](Tensor a) { return cube_root(a); };
  const Tensor j = jacobian(roots, tape.constant(Array({8.0, 27.0}, {2})));
  CHECK(close(j, tape.constant(Array({1.0 / 12, 0.0, 0.0, 1.0 / 27}, {2, 2})), 1e-9));
}

TEST_CASE("a rule of one's own within a branch") {
  const auto f = [](Tensor p, Tensor n) {
    return cond(
        p,
        [&] {
          const Tensor twice = n * 2;
          return fixed_point([twice](Tensor r) { return (r + twice / r) * 0.5; }, n.tape().constant(1),
                             {.traced_steps = 20});
        },
        [&] { return n; });
  };
  auto compiled = compile([&](Tape&, Tensor p, Tensor n) { return std::pair(f(p, n), grad(f(p, n), n)); },
                          {.dtype = DType::f64}, number(1), number(8));
  const auto [y, dy] = compiled(number(1), number(8));
  CHECK(y.item() == doctest::Approx(4));
  CHECK(dy.item() == doctest::Approx(0.25));
  CHECK(compiled(number(0), number(8)).second.item() == 1);
}

TEST_CASE("what does not fit says so, and the tape is as it was") {
  Tape tape;
  const Tensor x = tape.constant(full({3}, 1));
  const NodeId before = tape.size();
  const auto same = [](Tensor at) { return at; };
  const auto yes = [](Tensor at) { return sum(at) > 0; };
  const auto check = [&](auto&& f, const std::string& says) {
    const std::uint32_t draw = tape.mark().draws, scope = tape.mark().scope;
    CHECK(error_of(f) == says);
    CHECK(tape.size() == before);
    CHECK(tape.mark().draws == draw);
    CHECK(tape.mark().scope == scope);
  };
  check(
      [&] {
        cond(
            x, [&] { return x; }, [&] { return x; });
      },
      "[cond] the predicate must be one number, not (3): reduce it, as by max(mask), in cond");
  check([&] { while_loop(yes, same, x, {}); },
        "[while_loop] say how many steps there may be: {.at_most = n}; a plan computes as many, in while_loop");
  check([&] { while_loop([](Tensor at) { return at > 0; }, same, x, {.at_most = 3}); },
        "[while_loop] the predicate must be one number, not (3): reduce it, as by max(mask), in while_loop");
  check(
      [&] {
        while_loop(yes, [](Tensor at) { return concat({at, at}); }, x, {.at_most = 3});
      },
      "[while_loop] step 0 gives f32 (6) as tensor 0, not f32 (3), in while_loop/t=0");
  check(
      [&] {
        while_loop([&](const std::vector<Tensor>& at) { return yes(at[0]); },
                   [](std::vector<Tensor> at) {
                     at.push_back(at[0]);
                     return at;
                   },
                   std::vector<Tensor>{x}, {.at_most = 3});
      },
      "[while_loop] step 0 gives 2 tensors, not 1, in while_loop/t=0");
  check(
      [&] { while_loop(yes, [](Tensor at) -> Tensor { throw Error(at.shape().str() + " mine"); }, x, {.at_most = 3}); },
      "(3) mine");
  const Tensor two = tape.constant(zeros({2, 3})), four = tape.constant(zeros({4, 3})), one = tape.constant(1);
  const NodeId with_sequences = tape.size();
  const auto last = [](Tensor s, Tensor) { return s; };
  const auto both = [](Tensor s, const Pairs&) { return s; };
  CHECK(error_of([&] { scan(last, x, one); }) ==
        "[scan] a scalar is no sequence: the first axis is that of the steps, in scan");
  CHECK(error_of([&] { scan(both, x, Pairs{two, four}); }) == "[scan] the sequences have 2 and 4 steps, in scan");
  CHECK(error_of([&] { scan([](Tensor, Tensor at) { return sum(at); }, x, two); }) ==
        "[scan] step 0 gives f32 () as tensor 0, not f32 (3), in scan/t=0");
  CHECK(error_of([&] { scan([](Tensor s, std::vector<Tensor>) { return s; }, x, std::vector<Tensor>{}); }) ==
        "[scan] what it goes over has no Tensor");
  Index calls = 0;
  CHECK_THROWS_AS(scan(
                      [&](Tensor s, Tensor at) {
                        if (++calls == 3) throw std::runtime_error("mine");
                        return s + at;
                      },
                      x, four),
                  std::runtime_error);
  CHECK(tape.size() == with_sequences);
  CHECK(tape.mark().scope == 0);
  const auto shrinks = [&](Tensor s, Tensor at) { return std::pair(s, ++calls == 5 ? sum(at) : at); };
  CHECK(error_of([&] { scan(shrinks, x, four); }) ==
        "[scan] step 1 gives f32 () as tensor 1, not f32 (3), in scan/t=1");
}

TEST_CASE("what does not fit a plan says so, and leaves it as it was") {
  const Array x = full({3}, 1);
  Parameter w("w", full({3}, 2));
  const auto refused = [&](auto f) { return error_of([&] { compile(f, x); }); };
  CHECK(refused([](Tape&, Tensor a) {
          return cond(
              sum(a), [&] { return a; }, [&] { return sum(a); });
        }) == "[cond] the second branch gives f32 () as tensor 0, not f32 (3), in cond");
  CHECK(refused([](Tape& tape, Tensor a) {
          const Tensor i = tape.constant(zeros({3}, DType::i32)), j = tape.constant(zeros({3}, DType::i32));
          return a + one_hot(cond(
                                 sum(a), [&] { return i; }, [&] { return j; }),
                             3);
        }) == "[cond] tensor 0 is indices (i32), and without values only real numbers can be chosen, in cond");
  CHECK(refused([&](Tape& tape, Tensor a) {
          return while_loop([](Tensor at) { return sum(at) < 9; },
                            [&](Tensor at) {
                              backward(sum(at * w));
                              return at * tape.leaf(w);
                            },
                            a, {.at_most = 3});
        }).find("[while_loop] backward is called within, and would add to gradients though this may not count") == 0);
  CHECK(refused([](Tape&, Tensor a) {
          Tensor y = a;
          while (sum(y).item() < 100) y = y * 2;
          return y;
        }).find("a branch or a loop that depends on a value is cond or while_loop") != std::string::npos);
  Index calls = 0;
  auto compiled = compile(
      [&](Tape&, Tensor a) {
        if (++calls == 3) throw std::runtime_error("mine");
        return tripled(a);
      },
      x);
  CHECK(compiled(x).size() == 3);  // traced, and checked
  CHECK_THROWS_AS(compiled(full({4}, 1)), std::runtime_error);
  CHECK(list(compiled(x).value()) == std::vector<double>{81, 81, 81});
}
