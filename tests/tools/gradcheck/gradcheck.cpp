#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/ops/compare.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/reduce.h>

#include "net.h"

using namespace rw;
using test::Net, test::random;

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

TEST_CASE("a tied weight that is listed under two names is checked once") {
  Parameter w("w", random({3}, 1)), other("other", random({3}, 2));
  other.tie(w);
  const GradReport report = gradcheck([&](Tape& t) { return exp(t.leaf(w)) * other; }, {w, other});
  INFO(report);
  CHECK(report.ok());
  CHECK(report.count(Verdict::right) == 3);
}

TEST_CASE("every evaluation drops the same elements, at order 2 too") {
  Parameter w("w", random({4, 5}, 1));
  const GradReport report = gradcheck(
      [&](Tape& t) {
        const Tensor y = dropout(exp(t.leaf(w)), 0.5);
        Gradients apart;
        backward(sum(y), apart);  // which ends a step
        return dropout(y, 0.5);
      },
      {w}, {.order = 2});
  INFO(report);
  CHECK(report.ok());
}
