#include <doctest/doctest.h>

#include <rewind/autograd/compile/check/reference.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;
using In = std::vector<Tensor>;

/// How far roundings of size `unit` move what f makes of x, at most in six draws.
template <class F>
double moved(const F& f, const std::vector<Array>& x, double unit) {
  Tape tape(DType::f64);
  In in;
  for (const Array& a : x) in.push_back(tape.constant(a));
  const In results{f(in)};
  const ir::Graph g = ir::from_tape(tape, results, {});
  const Array exact = ir::Reference(g, DType::f64, {}).outcome().results[0];
  CHECK(exact == results[0].array());
  double most = 0;
  for (std::uint64_t draw = 1; draw <= 6; ++draw) {
    const Array y = ir::Reference(g, DType::f64, {}, unit, draw).outcome().results[0];
    for (std::size_t i = 0; i < y.span<double>().size(); ++i)
      most = std::max(most, std::abs(y.span<double>()[i] - exact.span<double>()[i]));
  }
  return most;
}

constexpr double unit = 0x1p-40;

// Its result is about 0, its partial sums are not: a count of roundings of the result alone sees nothing.
TEST_CASE("a sum that cancels is moved as its terms are large") {
  const Array x = random_array(Shape{1000}, 1, 1, DType::f64);
  const auto cancels = [](const In& in) { return sum(concat({in[0], -in[0]}), {0}); };
  const double n = 2000, size = 0.8 * n;  // of all terms, about
  CHECK(moved(cancels, {x}, unit) > unit * size * n / 16 / 3);
  CHECK(moved(cancels, {x}, unit) < unit * size * n / 16 * 3);
  const Array rows = random_array(Shape{1, 1000}, 1, 1, DType::f64);
  const auto product = [](const In& in) { return matmul(concat({in[0], -in[0]}, 1), concat({in[1], in[1]})); };
  CHECK(moved(product, {rows, full({1000, 1}, 1.0, DType::f64)}, unit) > unit * size * n / 16 / 3);
}

// Each of them is rounded to the same side, so that errors add up.
TEST_CASE("a sum of equal terms is as far off as 16 times the noise allows") {
  const double x = 1.0 / 216 / 3, n = 600;
  double sum_of_them = 0;
  for (int i = 0; i < 600; ++i) sum_of_them += x;
  const auto total = [](const In& in) { return sum(in[0], {0}); };
  const double rounded = std::abs(sum_of_them - n * x), noise = moved(total, {full({600}, x, DType::f64)}, unit);
  CHECK(rounded > 8 * 0x1p-53 * n * x);
  CHECK(rounded < 16 * noise / unit * 0x1p-53);
}

TEST_CASE("an op that is no sum is moved in its own size") {
  const Array x = random_array(Shape{200}, 1, 1, DType::f64);
  const double most = moved([](const In& in) { return tanh(in[0]); }, {x}, unit);
  CHECK(most > unit / 4);
  CHECK(most < unit * 4);
}

TEST_CASE("what cannot have been rounded is not moved") {
  const Array x = random_array(Shape{7, 9}, 1, 1, DType::f64), y = random_array(Shape{7, 9}, 2, 1, DType::f64);
  const auto stays = [&](const auto& f) { return moved(f, {x, y}, unit) == 0; };
  CHECK(stays([](const In& in) { return in[0] < in[1]; }));
  CHECK(stays([](const In& in) { return sum(in[0] < in[1], {1}); }));
  CHECK(stays([](const In& in) { return equal(maximum(in[0], in[1]), in[0]); }));
  CHECK(stays([](const In& in) { return equal(max(in[0], {1}, true), in[0]); }));
  CHECK(stays([](const In& in) { return slice(concat({in[0], in[1]}, 0), 0, 7, 7) - in[1]; }));
  CHECK(stays([](const In& in) { return relu(in[0]) - relu(in[0] * 1); }));
  CHECK(!stays([](const In& in) { return (in[0] + in[1]) - in[1]; }));
}

}  // namespace
}  // namespace rw
