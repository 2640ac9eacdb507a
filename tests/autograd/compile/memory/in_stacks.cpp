#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/cells/any_cell.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index rows = 8, width = 128;

std::vector<Parameter*> all_of(const Module& m) {
  std::vector<Parameter*> out;
  for (const NamedParameter& p : m.parameters()) out.push_back(p.parameter);
  return out;
}

/// The same bits with and without shared memory, near the tape's; gives the bytes of the plan.
template <class F>
std::size_t check_memory(const F& f, const std::vector<Array>& x, const std::vector<Parameter*>& parameters) {
  CHECK(disagreement(f, x, parameters) < 2e-5);
  auto with = compile(f, {.check = SelfCheck::off}, x);
  auto without = compile(f, {.passes = Passes::all() - Pass::reuse, .check = SelfCheck::off}, x);
  CHECK(compiled_call(with, x, parameters) == compiled_call(without, x, parameters));
  return with.memory();
}

Array steps(Index n) { return random_array(Shape{n, rows, width}, 7); }

TEST_CASE("what a GRU's step keeps stands where its gradients will: seven values a step") {
  for (const Bias bias : {Bias::one, Bias::two}) {
    Rng rng(1);
    const GruCell cell(width, width, rng, {}, {.bias = bias});
    const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
      const Tensor loss = sum(unroll(cell, in[0], cell.zero_state(tape, rows)).back().h);
      backward(loss);
      return std::vector{loss};
    };
    // The gates and what is multiplied by r, three of either product, where the gradients of both products stand
    // afterwards; and h.
    const auto memory = [&](Index n) { return check_memory(f, {steps(n)}, all_of(cell)); };
    const std::size_t more = memory(24) - memory(12);
    CHECK(more <= std::size_t{12} * 7 * rows * width * sizeof(float));
  }
}

TEST_CASE("a GRU of other sizes: the same bits with and without shared memory") {
  for (const Index n : {1, 2, 7})
    for (const Index h : {1, 63, 127, 128, 129})
      for (const Index t : {1, 2, 5}) {
        CAPTURE(n);
        CAPTURE(h);
        CAPTURE(t);
        Rng rng(1);
        const GruCell cell(3, h, rng, {}, {.bias = Bias::two});
        const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
          const Tensor loss = mean(square(outputs(cell, unroll(cell, in[0], cell.zero_state(tape, n)))));
          backward(loss);
          return std::vector{loss};
        };
        check_memory(f, {random_array(Shape{t, n, 3}, 5)}, all_of(cell));
      }
}

TEST_CASE("a step's buffer stands in a stack only when nothing needs it any more") {
  Parameter W("W", random_array(Shape{width, 2 * width}, 1, 0.1)),
      V("V", random_array(Shape{2 * width, width}, 2, 0.1));
  const auto check = [&](const auto& step) {
    const auto f = [&](Tape&, const std::vector<Tensor>& in) {
      std::vector<Tensor> pieces, later;
      Tensor h = reshape(slice(in[0], 0, 0, 1), {rows, width});
      for (Index t = 0; t < in[0].size(0); ++t) {
        pieces.push_back(step(matmul(h, W), later));
        h = tanh(matmul(pieces.back(), V) + reshape(slice(in[0], 0, t, 1), {rows, width}));
      }
      Tensor all = sum(square(matmul(concat(pieces, 0), V)));
      for (const Tensor& x : later) all = all + sum(x);
      backward(all);
      return std::vector{all};
    };
    check_memory(f, {steps(6)}, {&W, &V});
  };
  check([](Tensor z, std::vector<Tensor>&) { return tanh(z); });
  check([](Tensor z, std::vector<Tensor>& later) { return later.push_back(square(z)), tanh(z); });
  check([&](Tensor z, std::vector<Tensor>& later) { return later.push_back(matmul(z, V)), tanh(z) * z; });
  check([](Tensor z, std::vector<Tensor>&) {  // halves change places
    const auto [a, b] = split<2>(z);
    return concat({tanh(b) * a, sigmoid(a) + b}, 1);
  });
  check([](Tensor z, std::vector<Tensor>&) {  // a half is needed in both
    const auto [a, b] = split<2>(z);
    return concat({tanh(a) * b, b}, 1);
  });
  check([](Tensor z, std::vector<Tensor>&) {  // rows of other lengths
    return reshape(tanh(reshape(z, {2 * rows, width})), {rows, 2 * width});
  });
  check([](Tensor z, std::vector<Tensor>&) { return softmax(z) * z; });
}

/// Programs whose kernels read n numbers as a row and as a column.
void check_row_and_column(Index n) {
  Parameter W("W", random_array(Shape{n, n}, 1, 0.1)), V("V", random_array(Shape{n, n}, 2, 0.1));
  const auto shares = [n](Tensor u) {
    const Tensor c = reshape(u, {n, 1});
    return reshape(c * sum(tanh(c + u), {1}, true), {1, n});
  };
  const auto row = [n](Tensor x, Index t) { return reshape(slice(x, 0, t, 1), {1, n}); };
  const std::vector<Array> x{random_array(Shape{6, n}, 3)};
  check_memory(
      [&](Tape&, const std::vector<Tensor>& in) {
        std::vector<Tensor> all;
        Tensor h = row(in[0], 0);
        for (Index t = 0; t < 6; ++t) all.push_back(h = shares(matmul(h, W)) * 0.01);
        return std::vector{matmul(concat(all, 0), V)};
      },
      x, {});
  check_memory(
      [&](Tape&, const std::vector<Tensor>& in) {
        std::vector<Tensor> all;
        const Tensor z = matmul(in[0], W);
        for (Index t = 0; t < 6; ++t) all.push_back(matmul(shares(row(z, t)), V));
        return all;
      },
      x, {});
  check_memory(
      [&](Tape&, const std::vector<Tensor>& in) {
        std::vector<Tensor> all;
        for (Index t = 0; t < 6; ++t) all.push_back(matmul(shares(matmul(row(in[0], t), W)), V));
        return all;
      },
      x, {});
}

TEST_CASE("what a kernel reads as a row and as a column is not written over: it is read again for other rows") {
  // Below, at and above what is large enough to move, and no whole number of vectors.
  for (const Index n : {1, 33, 127, 128, 129, 150}) {
    CAPTURE(n);
    check_row_and_column(n);
  }
}

TEST_CASE("cells whose rows are long enough to stand in others' places: the same bits as without") {
  for (const std::string_view name : cell_names()) {
    CAPTURE(name);
    Rng rng(1);
    const AnyCell cell = make_cell(name, width, width, rng);
    const auto f = [&](Tape& tape, const std::vector<Tensor>& in) {
      auto state = cell.zero_state(tape, rows);
      std::vector<Tensor> outputs;
      for (Index t = 0; t < in[0].size(0); ++t)
        outputs.push_back(cell.output(state = cell.step(select(in[0], 0, t), state, t)));
      const Tensor loss = mean(square(concat(outputs, 0)));
      backward(loss);
      return std::vector{loss};
    };
    check_memory(f, {steps(5)}, all_of(cell));
  }
}

}  // namespace
}  // namespace rw
