#include <doctest/doctest.h>

#include <rewind/core/error.h>
#include <rewind/ops/scan.h>
#include <rewind/tools/gradcheck/check_op.h>

using namespace rw;

namespace {

Array running(const Array& x, int axis) {
  Array y = x;
  Index inner = 1;
  for (int i = axis + 1; i < x.shape().rank(); ++i) inner *= x.shape()[i];
  for (Index i = 0; i < y.size(); ++i)
    if (i / inner % x.shape()[axis] > 0)
      y.span<double>()[static_cast<std::size_t>(i)] += y.span<double>()[static_cast<std::size_t>(i - inner)];
  return y;
}

}  // namespace

TEST_CASE("cumsum") {
  const OpCheck check{.shapes = {{{2, 3}}, {{1, 1}}, {{2, 35}}, {{2, 3, 2}}, {{0, 3}}, {{3, 0}}}};
  CHECK(check_op(
      "cumsum", [](Tensor x) { return cumsum(x); }, [](const Array& x) { return running(x, x.shape().rank() - 1); },
      check));
  CHECK(check_op(
      "cumsum along the first", [](Tensor x) { return cumsum(x, 0); }, [](const Array& x) { return running(x, 0); },
      check));
  Tape tape;
  CHECK_THROWS_WITH_AS(cumsum(tape.constant(1, Shape{2}), 1), "[cumsum] no axis 1 in shape (2)", Error);
}

TEST_CASE("cumsum does not lose small terms") {
  Tape tape;
  const Tensor y = cumsum(tape.constant(0.1, Shape{1000000}));
  CHECK(y.array().at({999999}) == doctest::Approx(1e6 * static_cast<double>(0.1f)).epsilon(1e-7));
}
