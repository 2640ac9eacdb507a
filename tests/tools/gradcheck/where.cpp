// Where a gradient goes wrong, in which report, and where an f32 tape does.
#include <sstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <rewind/ops/elementwise.h>

#include "net.h"

using namespace rw;
using test::Net, test::random;

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
  Parameter w("a \"quoted\\\nname \x01 \xff", random({2, 3}, 1));
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
  CHECK(json.at("parameters")[0].at("name") == "a \"quoted\\\nname \x01 \uFFFD");
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

TEST_CASE("kinks that cancel are no error of a rule") {
  // relu(x) - relu(-x) is x, but at 0 both rules say 0.
  Parameter w("w", Array({0.0, 1.0}, {2}));
  const GradReport report = gradcheck([&](Tape& t) { return relu(t.leaf(w)) - relu(-t.leaf(w)); }, {w});
  INFO(report);
  CHECK(report.verdict == Verdict::kink);
  CHECK(report.count(Verdict::wrong) == 0);
  CHECK(report.count(Verdict::kink) == 1);
  CHECK(report.kinks.size() == 2);
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
