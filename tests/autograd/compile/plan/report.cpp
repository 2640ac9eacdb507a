#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include <rewind/autograd/compile/compile.h>
#include <rewind/core/subnormals.h>
#include <rewind/ops/ops.h>

#include "../agree.h"
#include "../hand_lstm.h"

namespace rw {
namespace {

using namespace rw::test;

TEST_CASE("profile is a table by kernel: time, share, how often, rate, bytes, and the scope") {
  HandLstm lstm(64, 128);  // large enough: the table rounds to a tenth of a microsecond
  const Array x = random_array(Shape{5, 32, 64}, 1);
  auto step = compile(
      [&](Tape& tape, Tensor in) {
        const Scope scope(tape, "cell");
        const Tensor zero = tape.constant(0, Shape{32, 128});
        const Tensor loss = sum_of_h(lstm.unroll(in, {zero, zero}));
        backward(loss);
        return loss;
      },
      x);
  step(x);
  std::istringstream table(step.profile(2));
  std::string line;
  std::getline(table, line);
  for (const char* column : {"us", "share", "times", "GFLOP/s", "MB", "what, where"})
    CHECK(line.find(column) != std::string::npos);
  int products = 0, kernels = 0;
  double time = 0, share = 0, all = 0;
  while (std::getline(table, line)) {
    CAPTURE(line);
    std::istringstream fields(line);
    double us = 0, rate = 0, megabytes = 0;
    int times = 0;
    char percent = 0;
    double part = 0;
    std::string what, last = line.substr(line.size() - 6);
    REQUIRE(static_cast<bool>(fields >> us));
    if (last == "in all") {
      all = us;
      continue;
    }
    REQUIRE(static_cast<bool>(fields >> part >> percent >> times >> rate >> megabytes >> what));
    CHECK(percent == '%');
    CHECK(times > 0);
    time += us;
    share += part;
    products += what == "matmul" ? times : 0;
    kernels += what == "kernel" ? times : 0;
    const bool in_scope = line.find(", cell") != std::string::npos;
    if (what == "matmul" || what == "kernel") CHECK(in_scope);
  }
  CHECK(products == products_of(step));
  CHECK(kernels == static_cast<int>(step.kernels()));
  CHECK(share == doctest::Approx(100).epsilon(0.02));
  CHECK(time == doctest::Approx(all).epsilon(0.02));
}

TEST_CASE("explain lists a copy where two concatenations want a value, and what it is") {
  const Array x = random_array(Shape{3, 40}, 1);
  auto f = compile(
      [](Tape&, Tensor in) {
        const Tensor a = tanh(in);
        return std::pair(concat({a, sigmoid(in)}, 1), concat({a, exp(in)}, 1));
      },
      x);
  f(x);
  const std::string said = f.explain();
  CHECK(said.find("1 copies") != std::string::npos);
  CHECK(said.find("copied: tanh (3, 40) into concat (3, 80): it is computed once, and its place is in another value") !=
        std::string::npos);
  CHECK(f.profile().find("copy for concat (3, 80)") != std::string::npos);
  auto free = compile([](Tape&, Tensor in) { return concat({tanh(in), sigmoid(in)}, 1); }, x);
  CHECK(free.explain().find("0 copies") != std::string::npos);
}

TEST_CASE("profile says when subnormal numbers were met, and not under a FlushSubnormals") {
  const Array x = random_array(Shape{64}, 1);
  Parameter p("p", full(Shape{64}, 1e-39));
  auto f = compile([&](Tape& tape, Tensor in) { return in * tape.leaf(p); }, x);
  f(x);
  const auto says = [&] { return f.profile(1).find("FlushSubnormals") != std::string::npos; };
#if defined(__x86_64__)
  CHECK(says());
#endif
  const FlushSubnormals flush;
  CHECK_FALSE(says());
}

TEST_CASE("profile counts the operations of products of a batch, whichever way their matrices lie") {
  const Index N = 64, H = 96;
  const Array x = random_array(Shape{N, 8, H}, 1), y = random_array(Shape{N, 8, 48}, 2),
              w = random_array(Shape{N, H, 48}, 3);
  const double operations = 2.0 * static_cast<double>(N * 8 * H * 48);
  // The table has microseconds and GFLOP/s with one digit behind the point: of a slow run little is left of the latter.
  const auto counted = [&](const Array& a, const Array& b, MatMulOptions options) {
    auto f = compile([&](Tape&, Tensor p, Tensor q) { return matmul(p, q, options); }, a, b);
    f(a, b);
    std::istringstream table(f.profile(3));
    for (std::string line; std::getline(table, line);) {
      double us = 0, rate = 0;
      std::string share, times, what;
      if (!(std::istringstream(line) >> us >> share >> times >> rate >> what >> what) || what != "matmul") continue;
      CAPTURE(line);
      CHECK((us + 0.051) * (rate + 0.051) * 1e3 >= operations);
      CHECK((us - 0.051) * (rate - 0.051) * 1e3 <= operations);
      return true;
    }
    return false;
  };
  CHECK(counted(x, w, {}));                     // [8, H] [H, 48]
  CHECK(counted(x, y, {.transpose_a = true}));  // [H, 8] [8, 48]
  CHECK(counted(y, w, {.transpose_b = true}));  // [8, 48] [48, H]
}

TEST_CASE("explain has one line for what repeats, and says how often it does") {
  const Array x = random_array(Shape{3, 4}, 1);
  auto f = compile(
      [](Tape& tape, Tensor in) {
        for (Index t = 0; t < 30; ++t) {
          const Scope scope(tape, "t", t);
          in = softmax(in * tape.constant(random_array(Shape{3, 4}, static_cast<std::uint64_t>(t))));
        }
        return in;
      },
      x);
  const std::string said = f.explain();
  CAPTURE(said);
  CHECK(said.find("  f32 (3, 4), in t (x 30)\n") != std::string::npos);
  CHECK(said.find("on its own: softmax (3, 4), in t (x 30)\n") != std::string::npos);
  CHECK(said.find("t=") == std::string::npos);
}

}  // namespace
}  // namespace rw
