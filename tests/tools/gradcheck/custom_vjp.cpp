// gradcheck of a function with a rule of its own.
#include <doctest/doctest.h>

#include <rewind/autograd/transform/custom_vjp.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/gradcheck/gradcheck.h>

using namespace rw;

TEST_CASE("a gradcheck finds a rule that is not the derivative") {
  const Array x({0.3, -0.7, 1.1}, Shape{3});
  const auto checked = [&](double factor) {
    const auto own = custom_vjp([](Tensor a) { return sin(a); },
                                [factor](Tensor a, Tensor, Tensor dy) { return dy * cos(a) * factor; });
    return gradcheck([own](std::span<const Tensor> in) { return sum(own(in[0]) * 2); }, {x});
  };
  CHECK(checked(1).ok());
  const GradReport wrong = checked(1.01);
  CHECK(wrong.verdict == Verdict::wrong);
  REQUIRE(wrong.faults.size() == 1);
  CHECK(wrong.faults[0].kind == GradFault::Kind::rule);
  CHECK(wrong.faults[0].op == "own_rule");
  CHECK(wrong.cuts.empty());
}

TEST_CASE("the function of an own rule is differenced, a cut beside it is held") {
  const auto own = custom_vjp([](Tensor a) { return sin(a); }, [](Tensor a, Tensor, Tensor dy) { return dy * cos(a); });
  const GradReport report =
      gradcheck([own](std::span<const Tensor> in) { return sum(own(in[0]) * exp(detach(in[0]))); },
                {Array({0.3, -0.7, 1.1}, Shape{3})}, {.order = 2});
  INFO(report);
  CHECK(report.ok());
  REQUIRE(report.cuts.size() == 1);
  CHECK(report.cuts[0].op == "detach");
}
