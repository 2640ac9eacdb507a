#include <doctest/doctest.h>

#include <rewind/core/threads.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = 16, N = 4, I = 8, H = 32;

/// Two layers and the sum of the upper one's states, with the gradients.
struct TwoLayers {
  HandLstm lower{I, H, 1}, upper{H, H, 11};

  std::vector<Tensor> operator()(Tape& tape, const std::vector<Tensor>& in) {
    const Tensor zero = tape.constant(0, Shape{in[0].shape()[1], H});
    LstmState a{zero, zero}, b{zero, zero};
    std::vector<LstmState> states;
    for (Index t = 0; t < in[0].shape()[0]; ++t) {
      a = lower.step(select(in[0], 0, t), a);
      b = upper.step(a.h, b);
      states.push_back(b);
    }
    const Tensor loss = sum_of_h(states);
    backward(loss);
    return {loss, states.back().c};
  }
  std::vector<Parameter*> parameters() { return {&lower.W, &lower.R, &lower.b, &upper.W, &upper.R, &upper.b}; }
};

std::string explained(TwoLayers& model, const Array& x, const CompileOptions& options) {
  return compile([&](Tape& tape, const std::vector<Tensor>& in) { return model(tape, in); }, options, std::vector{x})
      .explain();
}

}  // namespace

TEST_CASE("what the upper layer takes up is cut into chunks of steps, both ways") {
  TwoLayers model;
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  const auto f = [&](Tape& tape, const std::vector<Tensor>& in) { return model(tape, in); };
  const CompileOptions all{.branch_from = 0}, whole{.passes = Passes::all() - Pass::chunk, .branch_from = 0};
  // One product over all steps becomes eight: that of the upper layer's input, and that of its gradient.
  CHECK(products_of(compile(f, all, x)) == products_of(compile(f, whole, x)) + 14);
  CHECK(explained(model, x[0], all).find("(64, 32) x (32, 128), over many steps, in 8 chunks") != std::string::npos);
  CHECK(explained(model, x[0], whole).find("chunks") == std::string::npos);
  CHECK(compile(f, all, x).explain().find("copied:") == std::string::npos);
  CHECK(disagreement(f, x, model.parameters(), all) < 1e-5);
}

TEST_CASE("steps that do not make up equal chunks, and more of them than fit") {
  TwoLayers model;
  const auto f = [&](Tape& tape, const std::vector<Tensor>& in) { return model(tape, in); };
  for (const Index steps : {3, 9, 21})
    CHECK(disagreement(f, {random_array(Shape{steps, N, I}, 7)}, model.parameters(), {.branch_from = 0}) < 1e-5);
}

TEST_CASE("the number of threads does not decide about chunks") {
  const int before = threads();
  TwoLayers model;
  const Array x = random_array(Shape{120, 8, I}, 7);
  std::string text[2];
  for (const int n : {1, 2}) {
    set_threads(n);
    const std::string all = explained(model, x, {});
    text[n - 1] = all.substr(all.find("batched: "), all.rfind("batched: ") - all.find("batched: "));
  }
  set_threads(before);
  CHECK(text[0].find(" in 4 chunks") != std::string::npos);
  CHECK(text[0] == text[1]);
}

TEST_CASE("steps that two threads share well keep their product whole") {
  TwoLayers model;
  const std::string text = explained(model, random_array(Shape{4, 4096, I}, 7), {});
  CHECK(text.find(" chunks") == std::string::npos);
  CHECK(text.find("stays whole: each step by itself gains by two threads") != std::string::npos);
}

TEST_CASE("nothing is cut where nobody could begin earlier") {
  HandLstm lstm(I, H);
  Parameter W("W", random_array(Shape{H, H}, 5));
  // What reads the product needs all of its rows.
  const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
    const Tensor zero = tape.constant(0, Shape{N, H});
    std::vector<Tensor> h;
    for (const LstmState& s : lstm.unroll(in[0], {zero, zero})) h.push_back(s.h);
    const Tensor loss = mean(tanh(matmul(stack(h), W)));
    backward(loss);
    return std::vector{loss};
  };
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  CHECK(compile(f, CompileOptions{.branch_from = 0}, x).explain().find("chunks") == std::string::npos);
}

TEST_CASE("a product of three axes that its author wrote over all steps is cut as well") {
  HandLstm lower(I, H), upper(H, H, 11);
  const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
    const Tensor zero = tape.constant(0, Shape{N, H});
    std::vector<Tensor> h;
    for (const LstmState& s : lower.unroll(in[0], {zero, zero})) h.push_back(s.h);
    const Tensor xw = matmul(stack(h), upper.W);  // [T, N, 4H]
    Tensor state = zero;
    for (Index t = 0; t < T; ++t) state = tanh(slice(select(xw, 0, t), 1, 0, H) + state);
    const Tensor loss = sum(state * state);
    backward(loss);
    return std::vector{loss, xw};
  };
  const std::vector<Array> x{random_array(Shape{T, N, I}, 7)};
  const std::vector<Parameter*> parameters{&lower.W, &lower.R, &lower.b, &upper.W};
  CHECK(compile(f, CompileOptions{.branch_from = 0}, x).explain().find("8 chunks") != std::string::npos);
  CHECK(disagreement(f, x, parameters, {.branch_from = 0}) < 1e-5);
}

}  // namespace rw
