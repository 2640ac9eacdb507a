#include <sstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <rewind/core/random.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/elementwise.h>
#include <rewind/ops/matmul.h>
#include <rewind/tools/gradcheck.h>

using namespace rw;

namespace {

Array random(const Shape& shape, std::uint64_t seed, DType dtype = DType::f64) {
  Array out(shape, DType::f64);
  Rng rng(seed);
  for (double& x : out.span<double>()) x = rng.normal() * 0.5;
  return out.to(dtype);
}

// A cell of one weight matrix, by hand: h <- tanh(x W + h U + b), T steps.
struct Net {
  Parameter W{"W", random({3, 4}, 1)}, U{"U", random({4, 4}, 2)}, b{"b", random({4}, 3)};
  Array x = random({2, 3}, 4);
  CheckedParameters all() { return {W, U, b}; }
  Tensor operator()(Tape& t) {
    Tensor h = t.constant(zeros(2, 4));
    for (Index step = 0; step < 3; ++step) {
      Scope scope(t, "t", step);
      h = tanh(matmul(t.constant(x), W) + matmul(h, U) + b);
    }
    return h;
  }
};

}  // namespace

TEST_CASE("a small recurrent net is right, at orders 1 and 2") {
  Net net;
  const GradReport report = gradcheck([&](Tape& t) { return net(t); }, net.all(), {.order = 2});
  INFO(report);
  CHECK(report.ok());
  CHECK(report.count(Verdict::right) == 2 * (12 + 16 + 4));
  CHECK(report.faults.empty());
  CHECK(net.W.grad() == zeros({3, 4}, DType::f64));
}

TEST_CASE("f32 parameters are checked in f64") {
  Parameter w("w", random({3}, 5, DType::f32));
  const GradReport report = gradcheck([&](Tape& t) { return exp(t.leaf(w)) * w; }, {w});
  INFO(report);
  CHECK(report.ok());
  for (const GradElement& e : report.worst) CHECK(e.bound < 1e-8);
}

TEST_CASE("inputs form") {
  const auto f = [](std::span<const Tensor> x) { return x[0] * sigmoid(x[1]); };
  CHECK(gradcheck(f, {random({2, 3}, 1), random({3}, 2)}).ok());
}

TEST_CASE("relu at 0 is a kink, and so is the whole") {
  Parameter w("w", Array({0.0, 1.0, -2.0}, {3}));
  const GradReport report = gradcheck([&](Tape& t) { return relu(t.leaf(w)); }, {w});
  INFO(report);
  CHECK(report.verdict == Verdict::kink);
  CHECK(report.count(Verdict::kink) == 1);
  CHECK(report.count(Verdict::right) == 2);
  CHECK(report.worst[0].where() == "w[0]");
  CHECK(report.worst[0].verdict == Verdict::kink);
  CHECK(report.faults.empty());
}

TEST_CASE("abs at 0 is a kink although the central difference agrees") {
  Parameter w("w", Array({0.0}, {1}));
  CHECK(gradcheck([&](Tape& t) { return abs(t.leaf(w)); }, {w}).verdict == Verdict::kink);
}

TEST_CASE("a kink nearby is no kink") {
  for (double x : {1e-2, 1e-4, 1e-5}) {
    Parameter w("w", Array({x, 1.0}, {2}));
    const GradReport report = gradcheck([&](Tape& t) { return relu(t.leaf(w)); }, {w});
    INFO(report);
    CHECK(report.ok());
  }
}

TEST_CASE("a function that draws new numbers is not deterministic") {
  Parameter w("w", random({3}, 1));
  Rng rng(1);
  const GradReport report = gradcheck([&](Tape& t) { return t.leaf(w) * rng.uniform(); }, {w});
  CHECK(report.verdict == Verdict::not_deterministic);
  CHECK(report.count(Verdict::not_deterministic) == 3);
}

TEST_CASE("a parameter off the tape is not reached; a frozen one is left out") {
  Parameter w("w", random({3}, 1)), v("v", random({2}, 2)), z("z", random({3}, 3));
  z.freeze();
  const GradReport report = gradcheck([&](Tape& t) { return t.leaf(w) * w * z; }, {w, v, z});
  INFO(report);
  CHECK(report.verdict == Verdict::not_reached);
  CHECK(report.count(Verdict::not_reached) == 5);
  CHECK(report.parameters[1].remark == "not on the tape");
  CHECK(report.parameters[2].remark == "frozen");
  CHECK(gradcheck([&](Tape& t) { return t.leaf(w) * w * z; }, {w, z}).ok());
}

TEST_CASE("detach is a cut, held constant") {
  Parameter w("w", random({3}, 1)), v("v", random({3}, 2));
  const GradReport report = gradcheck([&](Tape& t) { return t.leaf(w) * detach(tanh(t.leaf(w) * v)); }, {w, v});
  INFO(report);
  CHECK(report.ok());
  REQUIRE(report.cuts.size() == 1);
  CHECK(report.cuts[0].op == "detach");
  CHECK(report.parameters[1].remark.starts_with("cut off by detach"));
}

TEST_CASE("NoGrad is a cut") {
  Parameter w("w", random({3}, 1));
  const auto f = [&](Tape& t) {
    Tensor factor;
    {
      NoGrad off(t);
      factor = exp(t.leaf(w));
    }
    return factor * w;
  };
  const GradReport report = gradcheck(f, {w});
  INFO(report);
  CHECK(report.ok());
  CHECK(!report.cuts.empty());
}

TEST_CASE("a value that leaves the tape is found, and named as such") {
  Parameter w("w", random({3}, 1));
  const auto f = [&](Tape& t) { return t.leaf(w) * t.constant(exp(t.leaf(w)).array()); };
  const GradReport report = gradcheck(f, {w});
  INFO(report);
  CHECK(report.verdict == Verdict::wrong);
  REQUIRE(report.faults.size() == 1);
  CHECK(report.faults[0].kind == GradFault::Kind::off_tape);
}

TEST_CASE("f32 replayed in f64: rounding alone") {
  Net net;
  const RoundingReport report = check_rounding([&](Tape& t) { return net(t); }, net.all());
  INFO(report.str());
  CHECK(report.ok());
  CHECK(report.nodes > 30);
  CHECK(report.worst > 0);
  CHECK(report.worst < 1);
}

namespace {

// x + 1e-5 in f32, x in f64: a kernel that is wrong in one precision.
struct Off {
  static constexpr std::string_view name = "off";
  float f(float x) const { return x + 1e-5f; }
  double f(double x) const { return x; }
  template <class T>
  T vjp(T, T, T dy) const {
    return dy;
  }
};

}  // namespace

TEST_CASE("f32 replayed in f64: the first node that deviates is named") {
  Net net;
  const auto f = [&](Tape& t) {
    const Tensor h = net(t);
    Scope scope(t, "after");
    return exp(record(Elementwise<Off>{}, {h}) * 2);
  };
  const RoundingReport report = check_rounding(f, net.all());
  INFO(report.str());
  REQUIRE(report.faults.size() == 1);
  CHECK(report.faults[0].op == "off");
  CHECK(report.faults[0].scope == "after");
}

TEST_CASE("a small derivative of a huge value is noise-limited, not right") {
  Parameter w("w", random({2}, 1));
  const GradReport report = gradcheck([&](Tape& t) { return t.leaf(w) + 1e13; }, {w});
  INFO(report);
  CHECK(report.verdict == Verdict::noise_limited);
}

TEST_CASE("a gradient of zero is right") {
  Parameter w("w", random({2}, 1)), v("v", random({2}, 2));
  CHECK(gradcheck([&](Tape& t) { return t.leaf(w) * 0 + 3; }, {w}).ok());
  CHECK(gradcheck([&](Tape& t) { return exp(t.leaf(v)) + t.leaf(w) * 0; }, {w, v}).ok());
}

namespace {

// The value as it is; the gradient of one row of it 1 % too large.
struct WrongRow {
  static constexpr std::string_view name = "wrong_row";
  Index row = 0;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
  void vjp(Vjp& g) const {
    Array factor = full(g.y().shape(), 1, DType::f64);
    const Index cols = factor.shape().cols();
    for (Index c = 0; c < cols; ++c) factor.span<double>()[static_cast<std::size_t>(row * cols + c)] = 1.01;
    g.add(0, g.dy() * g.dy().tape().constant(factor));
  }
};

}  // namespace

TEST_CASE("beyond the budget, random directions catch a wrong row of one matrix, and name it") {
  Parameter W("W", random({300, 40}, 1)), V("V", random({40, 5}, 2));
  const Array x = random({3, 300}, 3);
  for (Index row : {0, 237, 299}) {
    const auto f = [&](Tape& t) {
      const Tensor w = record(WrongRow{row}, {t.leaf(W)});
      return matmul(tanh(matmul(t.constant(x), w) * 0.1), V);
    };
    const GradReport report = gradcheck(f, {W, V}, {.elements = 40});
    INFO(report);
    CHECK(report.verdict == Verdict::wrong);
    CHECK(report.parameters[0].checked < 200);
    CHECK(report.parameters[1].count(Verdict::wrong) == 0);
    bool named = false;
    for (const GradElement& e : report.worst) named = named || (e.verdict == Verdict::wrong && e.position[0] == row);
    CHECK(named);
    REQUIRE(!report.faults.empty());
    CHECK(report.faults[0].op == "wrong_row");
  }
  const auto right = [&](Tape& t) { return matmul(tanh(matmul(t.constant(x), W) * 0.1), V); };
  const GradReport sampled = gradcheck(right, {W, V}, {.elements = 40});
  CHECK(sampled.ok());
  CHECK(sampled.parameters[0].checked == 20);
  CHECK(sampled.parameters[0].directions == 2);
  const GradReport full = gradcheck([&](Tape& t) { return tanh(t.leaf(V)); }, {V}, {.elements = 5, .full = true});
  CHECK(full.parameters[0].checked == 200);
  CHECK(full.parameters[0].directions == 0);
}

TEST_CASE("a wrong rule is named with its scope, in the table and in JSON") {
  Parameter w("a \"quoted\\\nname", random({2, 3}, 1));
  const auto f = [&](Tape& t) {
    Tensor h = t.leaf(w);
    for (Index step = 0; step < 4; ++step) {
      Scope layer(t, "lstm");
      Scope scope(t, "t", step);
      h = step == 2 ? record(WrongRow{1}, {tanh(h)}) : tanh(h);
    }
    return h;
  };
  const GradReport report = gradcheck(f, {w});
  CHECK(report.verdict == Verdict::wrong);
  CHECK(report.count(Verdict::wrong) == 3);
  CHECK(report.count(Verdict::right) == 3);
  REQUIRE(report.faults.size() == 1);
  CHECK(report.faults[0].scope == "lstm/t=2");
  std::ostringstream plain;
  plain << report;
  CHECK(plain.str().find("where: wrong_row, in lstm/t=2 (node ") != std::string::npos);
  CHECK(plain.str().find("gradcheck: WRONG") == 0);
  CHECK(plain.str().find('\033') == std::string::npos);
  CHECK(report.str(true).find("\033[1;31mWRONG\033[0m") != std::string::npos);
  const auto json = nlohmann::json::parse(report.json());
  CHECK(json.at("verdict") == "WRONG");
  CHECK(json.at("ok") == false);
  CHECK(json.at("faults")[0].at("scope") == "lstm/t=2");
  CHECK(json.at("parameters")[0].at("name") == w.name());
  CHECK(json.at("parameters")[0].at("counts").at("WRONG") == 3);
}

namespace {

struct NoRule {
  static constexpr std::string_view name = "no_rule";
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const ConstView> x, View y) const { copy(x[0], y); }
};

}  // namespace

TEST_CASE("an op without a rule that is not flat is named") {
  Parameter w("w", random({3}, 1));
  const GradReport report = gradcheck([&](Tape& t) { return t.leaf(w) + record(NoRule{}, {t.leaf(w)}); }, {w});
  INFO(report);
  CHECK(report.verdict == Verdict::wrong);
  REQUIRE(!report.faults.empty());
  CHECK(report.faults[0].op == "no_rule");
}

TEST_CASE("bad input") {
  Parameter w("w", random({3}, 1));
  Parameter frozen("f", random({3}, 1));
  frozen.freeze();
  const auto identity = [&](Tape& t) { return t.leaf(w); };
  CHECK_THROWS_WITH_AS(gradcheck(identity, std::initializer_list<std::reference_wrapper<Parameter>>{}),
                       "gradcheck: no parameters to check: pass module.parameters()", Error);
  CHECK_THROWS_WITH_AS(gradcheck(identity, {w}, {.order = 3}), "gradcheck: order 3 is not known: 1 or 2", Error);
  CHECK_THROWS_AS(gradcheck([&](Tape&) { return Tensor(); }, {w}), Error);
  CHECK_THROWS_AS(gradcheck([&](Tape& t) { return exp(t.leaf(frozen)); }, {frozen}), Error);
  CHECK_THROWS_AS(gradcheck([&](Tape& t) { return exp(t.leaf(frozen)); }, {frozen}, {.order = 2}), Error);
  CHECK_THROWS_AS(gradcheck([&](Tape& t) { return t.constant(1.0) / 0.0 * w; }, {w}), Error);
  Tape other(DType::f64);
  CHECK_THROWS_WITH_AS(gradcheck([&](Tape&) { return other.leaf(w); }, {w}),
                       "gradcheck: the function must record on the tape that it is given", Error);
  const auto cleared = [&](Tape& t) {
    const Tensor y = exp(t.leaf(w));
    t.clear();
    return y;
  };
  CHECK_THROWS_AS(gradcheck(cleared, {w}), Error);
}
