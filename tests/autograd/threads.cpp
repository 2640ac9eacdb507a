#include <atomic>
#include <thread>

#include <rewind/core/threads.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>

#include "support.h"

using namespace rw;
using test::numbers;
using test::same_bits;

namespace {

struct Model {
  Parameter W{"W", numbers(Shape{6, 8}, 1)}, R{"R", numbers(Shape{8, 8}, 2)}, b{"b", numbers(Shape{8}, 3)};

  Tensor loss(Tape& tape, std::uint64_t sample) {
    Tensor h = tape.constant(zeros(4, 8));
    for (std::uint64_t t = 0; t < 5; ++t) {
      const Scope s(tape, "t", static_cast<Index>(t));
      const Tensor x = tape.constant(numbers(Shape{4, 6}, 100 * sample + t));
      h = tanh(matmul(x, W) + matmul(h, R) + b);
    }
    return test::project(h, sample);
  }
};

bool same(Model& a, Model& b) {
  return same_bits(a.W.grad(), b.W.grad()) && same_bits(a.R.grad(), b.R.grad()) && same_bits(a.b.grad(), b.b.grad());
}

}  // namespace

TEST_CASE("two threads with two tapes each get the gradients that one thread gets") {
  Model one, two;
  // The sum of each tape's gradients first, then the tapes in order: this is defined, so the bits are.
  Gradients expected[4];
  for (std::size_t i = 0; i < 4; ++i) {
    Tape tape;
    for (std::uint64_t step = 0; step < 10; ++step) {
      tape.clear();
      backward(one.loss(tape, 10 * i + step), expected[i]);
    }
  }
  for (const Gradients& g : expected) g.commit();

  for (int round = 0; round < 3; ++round) {
    Gradients found[4];
    const auto work = [&](std::size_t first) {
      Tape tapes[2];
      for (std::uint64_t step = 0; step < 10; ++step)  // the two tapes take turns
        for (std::size_t i = 0; i < 2; ++i) {
          tapes[i].clear();
          backward(two.loss(tapes[i], 10 * (first + i) + step), found[first + i]);
        }
    };
    std::thread a(work, 0), b(work, 2);
    a.join();
    b.join();
    for (Parameter* p : {&two.W, &two.R, &two.b}) p->zero_grad();
    for (const Gradients& g : found) g.commit();
    CHECK(same(one, two));
  }
}

TEST_CASE("tapes are made, moved and destroyed in many threads at once") {
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int n = 0; n < 4; ++n)
    threads.emplace_back([&wrong, n] {
      std::vector<Tensor> old;
      for (int i = 0; i < 200; ++i) {
        Tape tape;
        const Tensor x = tape.constant(1000 * n + i);
        const Tape moved = std::move(tape);
        if (x.item() != 1000 * n + i) ++wrong;
        old.push_back(x);
      }
      for (const Tensor& x : old) {
        try {
          if (x.valid()) ++wrong;
          x.value();
          ++wrong;
        } catch (const Error&) {
        }
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
}

TEST_CASE("the number of threads within ops changes no bit of a gradient") {
  const int before = threads();
  std::vector<Array> results;
  for (int n : {1, 2, 3}) {
    set_threads(n);
    Tape tape;
    Parameter W("W", numbers(Shape{300, 700}, 1)), b("b", numbers(Shape{700}, 2));
    const Tensor x = tape.constant(numbers(Shape{500, 300}, 3));
    backward(test::project(tanh(matmul(x, W) + b)));
    results.push_back(W.grad());
    results.push_back(b.grad());
  }
  set_threads(before);
  for (std::size_t i = 2; i < results.size(); ++i) CHECK(same_bits(results[i], results[i % 2]));
}

TEST_CASE("the same program has the same bits again") {
  Model one, two;
  Tape tape;
  backward(one.loss(tape, 1));
  tape.clear();
  tape.constant(zeros(12345));  // elsewhere in memory
  backward(two.loss(tape, 1));
  CHECK(same(one, two));
}
