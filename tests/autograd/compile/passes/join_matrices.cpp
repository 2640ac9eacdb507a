#include <deque>

#include <doctest/doctest.h>

#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 6, N = 3, I = 5, H = 8;

/// An LSTM as a textbook writes it: a matrix for each gate.
struct TextbookLstm {
  std::deque<Parameter> W, R;  // parameters do not move
  explicit TextbookLstm(DType dtype) {
    for (std::uint64_t k = 0; k < 4; ++k) {
      W.emplace_back("W", random_array(Shape{I, H}, k, 0.5, dtype));
      R.emplace_back("R", random_array(Shape{H, H}, k + 10, 0.5, dtype));
    }
  }
  std::vector<Parameter*> parameters() {
    std::vector<Parameter*> out;
    for (auto* group : {&W, &R})
      for (Parameter& p : *group) out.push_back(&p);
    return out;
  }
  std::vector<Tensor> training(const std::vector<Tensor>& in) {
    Tensor h = in[1], c = in[1];
    std::vector<Tensor> all;
    for (Index t = 0; t < T; ++t) {
      const Tensor x = select(in[0], 0, t);
      const auto z = [&](std::size_t k) { return matmul(x, W[k]) + matmul(h, R[k]); };
      c = sigmoid(z(0)) * c + sigmoid(z(1)) * tanh(z(2));
      h = sigmoid(z(3)) * tanh(c);
      all.push_back(h);
    }
    const Tensor loss = sum(stack(all) * stack(all));
    backward(loss);
    return {loss, h};
  }
};

TEST_CASE("a cell with a matrix for each gate runs as many products as one with the gates side by side") {
  for (DType dtype : {DType::f32, DType::f64}) {
    TextbookLstm lstm(dtype);
    const auto f = [&](Tape&, const std::vector<Tensor>& in) { return lstm.training(in); };
    const std::vector<Array> inputs{random_array(Shape{T, N, I}, 4, 1, dtype), random_array(Shape{N, H}, 6, 1, dtype)};
    const double tolerance = dtype == DType::f32 ? 1e-5 : 1e-13;
    CHECK(disagreement(f, inputs, lstm.parameters()) < tolerance);
    for (Pass p : all_passes)
      CHECK(disagreement(f, inputs, lstm.parameters(), {.passes = Passes::all() - p}) < tolerance);
    const auto step = compile(f, inputs);
    CHECK(products_of(step) <= 2 * T + 4);
    CHECK(step.explain().find("products of one value") != std::string::npos);
  }
}

TEST_CASE("large matrices of few products stay where they are") {
  std::deque<Parameter> W;
  for (std::uint64_t k = 0; k < 2; ++k) W.emplace_back("W", random_array(Shape{64, 64}, k));
  const Array x = random_array(Shape{2, 64}, 3);
  const auto step = compile([&](Tape&, Tensor in) { return tanh(matmul(in, W[0])) + matmul(in, W[1]); }, x);
  CHECK(products_of(step) == 2);
}

}  // namespace
}  // namespace rw
