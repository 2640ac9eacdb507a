#include <doctest/doctest.h>

#include <rewind/autograd/structural.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 4, N = 8, H = 128;

TEST_CASE("a result that stands in the place of an operand is written after the last read of it") {
  Parameter W("W", random_array(Shape{H, H}, 1, 0.1)), V("V", random_array(Shape{H, 4 * H}, 2, 0.1));
  const std::vector<Array> x{random_array(Shape{N, H}, 3)};
  const auto check = [&](const auto& f) {
    CHECK(disagreement(f, x, {}, {.passes = Passes::exact()}) == 0);
    CHECK(disagreement(f, x, {}, {.passes = Passes::all() - Pass::reuse}) < 1e-5);
    CHECK(disagreement(f, x, {}) < 1e-5);
  };
  check([&](Tape&, const std::vector<Tensor>& in) {  // the operand is read after the result, too
    const Tensor a = matmul(in[0], W), y = sigmoid(a), z = a * y;
    return std::vector{matmul(y, W), matmul(z, W)};
  });
  check([&](Tape&, const std::vector<Tensor>& in) {  // each result stands where the other's operand stood
    const auto [p, q, r, s] = split<4>(matmul(in[0], V));
    const Tensor y = tanh(p) * q, z = tanh(q) * p, u = tanh(r) + s * y, w = r * s - z;
    return std::vector{matmul(y, W), matmul(z, W), matmul(u, W), matmul(w, W)};
  });
  check([&](Tape&, const std::vector<Tensor>& in) {  // a sum of many terms over its last one
    const auto [p, q, r, s] = split<4>(matmul(in[0], V));
    const Operand terms[] = {tanh(p), tanh(q), r, s, p};
    return std::vector{matmul(record(AddN{}, std::span<const Operand>(terms)), W)};
  });
  check([&](Tape&, const std::vector<Tensor>& in) {  // a part is read once more, as a part of all
    const Tensor all = matmul(in[0], V);
    const auto [p, q, r, s] = split<4>(all);
    return std::vector{matmul(tanh(p + q), W), softmax(all), matmul(tanh(r * s), W)};
  });
}

TEST_CASE("what an op wants in one piece does not move to where rows are apart: it would be copied") {
  Parameter V("V", random_array(Shape{H, 2 * H}, 2, 0.1));
  const std::vector<Array> x{random_array(Shape{N, H}, 3)};
  const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
    const auto [p, q] = split<2>(matmul(in[0], V));
    return std::vector{cumsum(tanh(p) * q, 0),
                       matmul(reshape(sigmoid(p) * q, {2 * N, H / 2}), slice(tape.leaf(V), 0, 0, H / 2))};
  };
  CHECK(disagreement(f, x, {}) < 1e-5);
  CHECK(compile(f, x).explain().find(" 0 copies,") != std::string::npos);
}

TEST_CASE("the gates of an LSTM and their gradients share memory") {
  HandLstm lstm(H, H);
  const auto f = [&](Tape&, const std::vector<Tensor>& in) {
    const Tensor loss = sum_of_h(lstm.unroll(in[0], {in[1], in[1]}));
    backward(loss);
    return std::vector{loss};
  };
  const auto inputs = [](Index steps) {
    return std::vector<Array>{random_array(Shape{steps, N, H}, 7), random_array(Shape{N, H}, 8)};
  };
  CHECK(disagreement(f, inputs(T), {&lstm.W, &lstm.R, &lstm.b}) < 1e-5);
  const auto memory = [&](Index steps) { return compile(f, inputs(steps)).memory(); };
  // What a step takes: four of gates, c and tanh(c), and h.
  CHECK(memory(3 * T) - memory(2 * T) <= T * 7 * N * H * sizeof(float));
}

}  // namespace
}  // namespace rw
