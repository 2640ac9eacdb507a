// Steps that read unequal parts of one value of all steps.
#include <algorithm>

#include <doctest/doctest.h>

#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

#include "agree.h"
#include "hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index N = 4, I = 8, H = 16;

/// A recurrent function of x [T, N, I] whose steps take `read(all, t)`, [N, H], of all = xW + b, [T, N, 2H].
template <class Read>
void check(Read read) {
  Parameter W("W", random_array(Shape{I, 2 * H}, 1, 0.3)), R("R", random_array(Shape{H, H}, 2, 0.3)),
      b("b", random_array(Shape{2 * H}, 3));
  const auto f = [&](Tape&, const std::vector<Tensor>& in) {
    const Tensor all = matmul(in[0], W) + b;
    Tensor h = in[1];
    for (Index t = 0; t < in[0].size(0); ++t) h = tanh(read(all, t) + matmul(h, R));
    const Tensor loss = sum(h);
    backward(loss);
    return std::vector{loss, h};
  };
  const auto inputs = [](Index T) {
    return std::vector{random_array(Shape{T, N, I}, 4), random_array(Shape{N, H}, 5)};
  };
  for (const Index T : {1, 2, 3, 12}) CHECK(disagreement(f, inputs(T), {&W, &R, &b}) < 1e-5);
  const auto memory = [&](Index T) { return static_cast<double>(compile(f, inputs(T)).memory()); };
  const int before = threads();
  set_threads(1);                        // kernels that run side by side need more, and whether they do depends on T
  CHECK(memory(80) < 2.5 * memory(40));  // it grows with T, not with its square
  set_threads(before);
}

TEST_CASE("a step reads other columns than the one before, and memory grows with the number of steps") {
  check([](Tensor all, Index t) { return select(slice(all, 2, t % 2 * H, H), 0, t); });
  check([](Tensor all, Index t) { return slice(select(all, 0, t), 1, t % 2 * H, H); });
  check([](Tensor all, Index t) { return select(slice(all, 2, t % 3 * 5, H), 0, t); });
}

TEST_CASE("a step reads a window of steps, or one far away, and memory grows with the number of steps") {
  check([](Tensor all, Index t) {
    const Index last = all.size(0) - 1;
    const Tensor window = slice(all, 0, std::min(t, std::max<Index>(last - 2, 0)), std::min<Index>(last + 1, 3));
    return slice(mean(window, 0), 1, 0, H) * slice(select(all, 0, last - t), 1, H, H);
  });
}

}  // namespace
}  // namespace rw
