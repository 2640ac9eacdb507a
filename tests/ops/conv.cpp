#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/autograd/program/text.h>
#include <rewind/core/error.h>
#include <rewind/core/threads.h>
#include <rewind/models/init.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/conv.h>
#include <rewind/ops/reduce.h>
#include <rewind/tools/gradcheck/check_op.h>

#include "../models/golden_text.h"

using namespace rw;

namespace {

std::size_t at(Index i) { return static_cast<std::size_t>(i); }

// How far a kernel goes: before and after each axis.
struct Loops {
  PerAxis stride = 1, dilation = 1, before = 0, after = 0;
  Index groups = 1;
};

Index places(Index size, Index before, Index after, Index kernel, Index dilation, Index stride) {
  return (size + before + after - dilation * (kernel - 1) - 1) / stride + 1;
}

// Number by number, [N, C, H, W] and [O, C / groups, K, L].
Array convolution(const Array& x, const Array& w, const Loops& l) {
  const Shape s = x.shape(), k = w.shape();
  const Index rows = places(s[2], l.before.rows, l.after.rows, k[2], l.dilation.rows, l.stride.rows);
  const Index cols = places(s[3], l.before.cols, l.after.cols, k[3], l.dilation.cols, l.stride.cols);
  Array y({s[0], k[0], rows, cols}, DType::f64);
  for (Index n = 0; n < s[0]; ++n)
    for (Index o = 0; o < k[0]; ++o)
      for (Index i = 0; i < rows; ++i)
        for (Index j = 0; j < cols; ++j) {
          double sum = 0;
          for (Index c = 0; c < k[1]; ++c)
            for (Index a = 0; a < k[2]; ++a)
              for (Index b = 0; b < k[3]; ++b) {
                const Index r = i * l.stride.rows + a * l.dilation.rows - l.before.rows;
                const Index q = j * l.stride.cols + b * l.dilation.cols - l.before.cols;
                if (r < 0 || r >= s[2] || q < 0 || q >= s[3]) continue;
                sum += x.at({n, o / (k[0] / l.groups) * k[1] + c, r, q}) * w.at({o, c, a, b});
              }
          y.set({n, o, i, j}, sum);
        }
  return y;
}
Array convolution_1d(const Array& x, const Array& w, const Loops& l) {
  const Array y = convolution(x.reshaped(x.shape().inserted(2, 1)), w.reshaped(w.shape().inserted(2, 1)), l);
  return y.reshaped(y.shape().without(2));
}

// The last two axes in windows, number by number; what is outside is `fill`.
Array pooling(const Array& x, PerAxis window, PerAxis stride, PerAxis padding, double fill,
              const std::function<double(const std::vector<double>&)>& reduce) {
  const Shape s = x.shape();
  const int last = s.rank() - 1;
  const Index H = s[last - 1], W = s[last];
  const Index rows = places(H, padding.rows, padding.rows, window.rows, 1, stride.rows);
  const Index cols = places(W, padding.cols, padding.cols, window.cols, 1, stride.cols);
  Array y(s.with(last - 1, rows).with(last, cols), DType::f64);
  for (Index e = 0; e < y.size(); ++e) {
    const Index picture = e / (rows * cols), i = e / cols % rows, j = e % cols;
    std::vector<double> numbers;
    for (Index a = 0; a < window.rows; ++a)
      for (Index b = 0; b < window.cols; ++b) {
        const Index r = i * stride.rows + a - padding.rows, q = j * stride.cols + b - padding.cols;
        const bool inside = r >= 0 && r < H && q >= 0 && q < W;
        numbers.push_back(inside ? x.span<double>()[at((picture * H + r) * W + q)] : fill);
      }
    y.span<double>()[at(e)] = reduce(numbers);
  }
  return y;
}
double largest(const std::vector<double>& x) {
  for (const double e : x)
    if (std::isnan(e)) return e;
  return *std::max_element(x.begin(), x.end());
}
double average(const std::vector<double>& x) {
  double sum = 0;
  for (const double e : x) sum += e;
  return sum / static_cast<double>(x.size());
}

OpCheck products(std::vector<std::vector<Shape>> shapes, std::vector<std::vector<Shape>> bad = {}) {
  return {.shapes = std::move(shapes),
          .bad = std::move(bad),
          .no_special_values = "0 times what is not finite is nan or 0, as it comes",
          .no_zero_gradients = "the same"};
}

using Golden = std::map<std::string, std::vector<double>>;

void check_numbers(const Array& a, const std::vector<double>& b, double tolerance) {
  REQUIRE(at(a.size()) == b.size());
  const std::vector<double> numbers = a.to_vector<double>();
  double most = 0, size = 1;
  for (std::size_t i = 0; i < b.size(); ++i) {
    most = std::max(most, std::abs(numbers[i] - b[i]));
    size = std::max(size, std::abs(b[i]));
  }
  CHECK(most <= tolerance * size);
}

// Value, gradients and gradients of their squares beside PyTorch's, eager and compiled.
template <class F>
void check_beside(Golden& golden, const std::string& name, F&& f, const std::vector<Shape>& shapes, DType dtype) {
  CAPTURE(name);
  const double tolerance = dtype == DType::f64 ? 1e-12 : 3e-5;
  std::vector<Array> inputs;
  for (std::size_t i = 0; i < shapes.size(); ++i)
    inputs.push_back(Array(golden[name + "_x" + std::to_string(i)], shapes[i]));
  const auto all = [&](Tape& tape, const std::vector<Tensor>& x) {
    const Tensor y = f(x);
    Array weights(y.shape(), DType::f64);
    for (Index i = 0; i < y.shape().size(); ++i) weights.span<double>()[at(i)] = static_cast<double>(i) * 0.1 - 1;
    const std::vector<Operand> by(x.begin(), x.end());
    std::vector<Tensor> out{y};
    Tensor squares = tape.constant(0.0);
    for (const Tensor& g : grad(sum(y * y * tape.constant(weights)), std::span<const Operand>(by))) {
      out.push_back(g);
      squares = squares + sum(g * g);
    }
    for (const Tensor& g : grad(squares, std::span<const Operand>(by))) out.push_back(g);
    return out;
  };
  const auto check = [&](const std::vector<Tensor>& out) {
    check_numbers(out[0].array(), golden[name + "_y"], tolerance);
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      check_numbers(out[1 + i].array(), golden[name + "_gradient" + std::to_string(i)], tolerance);
      check_numbers(out[1 + shapes.size() + i].array(), golden[name + "_second" + std::to_string(i)], 10 * tolerance);
    }
  };
  Tape tape(dtype);
  std::vector<Tensor> x;
  for (const Array& a : inputs) x.push_back(tape.variable(a));
  check(all(tape, x));
  auto compiled = compile(all, {.dtype = dtype, .verify = true}, inputs);
  check(compiled(inputs));
}

}  // namespace

TEST_CASE("conv1d") {
  const auto check = [](const Conv1dOptions& o, Index before, Index after, const OpCheck& of) {
    CHECK(check_op(
        "conv1d", [&](Tensor x, Tensor w) { return conv1d(x, w, o); },
        [&](const Array& x, const Array& w) {
          return convolution_1d(x, w, {{1, o.stride}, {1, o.dilation}, {0, before}, {0, after}, o.groups});
        },
        of));
  };
  check({}, 0, 0,
        products({{{2, 3, 5}, {4, 3, 2}}, {{1, 1, 1}, {1, 1, 1}}, {{0, 2, 4}, {2, 2, 2}}, {{2, 1, 17}, {2, 1, 9}}},
                 {{{2, 3, 5}, {4, 3, 6}}, {{2, 3, 5}, {4, 2, 2}}, {{2, 3}, {4, 3, 2}}, {{2, 3, 5}, {4, 3, 0}}}));
  check({.stride = 2, .padding = 1, .groups = 2}, 1, 1, products({{{2, 4, 5}, {6, 2, 3}}, {{1, 2, 2}, {2, 1, 2}}}));
  check({.dilation = 2, .causal = true}, 4, 0, products({{{2, 2, 5}, {3, 2, 3}}, {{1, 2, 1}, {1, 2, 3}}}));
}

TEST_CASE("conv2d") {
  const auto check = [](const Conv2dOptions& o, const OpCheck& of) {
    CHECK(check_op(
        "conv2d", [&](Tensor x, Tensor w) { return conv2d(x, w, o); },
        [&](const Array& x, const Array& w) {
          return convolution(x, w, {o.stride, o.dilation, o.padding, o.padding, o.groups});
        },
        of));
  };
  check({}, products({{{2, 3, 4, 5}, {2, 3, 3, 2}}, {{1, 1, 1, 1}, {1, 1, 1, 1}}, {{1, 2, 3, 3}, {2, 2, 3, 3}}},
                     {{{2, 3, 4, 5}, {2, 3, 5, 2}}, {{2, 3, 4, 5}, {2, 2, 2, 2}}, {{3, 4, 5}, {2, 3, 2}}}));
  check({.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2},
        products({{{2, 4, 3, 4}, {4, 2, 3, 2}}, {{1, 2, 5, 1}, {2, 1, 2, 2}}}));
}

TEST_CASE("max_pool1d and avg_pool1d") {
  CHECK(check_op(
      "max_pool1d", [](Tensor x) { return max_pool1d(x, 3, {.stride = 2, .padding = 1}); },
      [](const Array& x) {
        const Array y = pooling(x.reshaped(x.shape().inserted(x.shape().rank() - 1, 1)), {1, 3}, {1, 2}, {0, 1},
                                -INFINITY, largest);
        return y.reshaped(y.shape().without(y.shape().rank() - 2));
      },
      {.shapes = {{{2, 5}}, {{4}}, {{2, 1, 1}}, {{0, 3}}, {{2, 2, 2, 7}}}, .bad = {{{}}, {{2, 0}}}}));
  CHECK(check_op(
      "avg_pool1d", [](Tensor x) { return avg_pool1d(x, 2); },
      [](const Array& x) {
        const Array y = pooling(x.reshaped(x.shape().inserted(x.shape().rank() - 1, 1)), {1, 2}, {1, 2}, 0, 0, average);
        return y.reshaped(y.shape().without(y.shape().rank() - 2));
      },
      {.shapes = {{{2, 5}}, {{4}}, {{0, 3}}}, .bad = {{{}}, {{2, 1}}}}));
}

TEST_CASE("max_pool2d and avg_pool2d") {
  CHECK(check_op(
      "max_pool2d", [](Tensor x) { return max_pool2d(x, 2); },
      [](const Array& x) { return pooling(x, 2, 2, 0, -INFINITY, largest); },
      {.shapes = {{{2, 4, 5}}, {{2, 2}}, {{2, 1, 3, 2}}}, .bad = {{{4}}, {{2, 1, 3}}}}));
  CHECK(check_op(
      "max_pool2d",
      [](Tensor x) {
        return max_pool2d(x, {3, 2}, {.stride = {2, 1}, .padding = {1, 0}});
      },
      [](const Array& x) {
        return pooling(x, {3, 2}, {2, 1}, {1, 0}, -INFINITY, largest);
      },
      {.shapes = {{{2, 4, 5}}, {{1, 2}}}}));
  CHECK(check_op(
      "avg_pool2d",
      [](Tensor x) {
        return avg_pool2d(x, {2, 3}, {.stride = 1, .padding = {0, 1}});
      },
      [](const Array& x) {
        return pooling(x, {2, 3}, 1, {0, 1}, 0, average);
      },
      {.shapes = {{{2, 3, 4}}, {{2, 1}}}, .bad = {{{1, 4}}}}));
}

TEST_CASE("convolutions and pooling are PyTorch's, and their gradients of both orders") {
  Golden golden = rw::test::golden_text("conv.txt");
  for (const DType dtype : {DType::f64, DType::f32}) {
    check_beside(
        golden, "plain", [](const auto& x) { return conv2d(x[0], x[1]); }, {{2, 3, 5, 6}, {4, 3, 3, 2}}, dtype);
    check_beside(
        golden, "all",
        [](const auto& x) {
          return conv2d(x[0], x[1], {.stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}, .groups = 2});
        },
        {{2, 4, 6, 7}, {6, 2, 3, 2}}, dtype);
    check_beside(
        golden, "depthwise", [](const auto& x) { return conv1d(x[0], x[1], {.stride = 2, .padding = 1, .groups = 3}); },
        {{2, 3, 9}, {3, 1, 3}}, dtype);
    check_beside(
        golden, "causal", [](const auto& x) { return conv1d(x[0], x[1], {.dilation = 2, .causal = true}); },
        {{2, 3, 8}, {4, 3, 3}}, dtype);
    check_beside(
        golden, "max_pool",
        [](const auto& x) {
          return max_pool2d(x[0], {3, 2}, {.stride = {2, 1}, .padding = {1, 0}});
        },
        {{2, 2, 6, 5}}, dtype);
    check_beside(
        golden, "avg_pool",
        [](const auto& x) {
          return avg_pool2d(x[0], {3, 2}, {.stride = {2, 1}, .padding = 1});
        },
        {{2, 2, 6, 5}}, dtype);
  }
}

TEST_CASE("large convolutions: f32 beside f64, and the same bits for any number of threads") {
  Rng rng(4);
  const Array x = uniform(rng, {9, 32, 14, 15}, -1, 1), w = uniform(rng, {64, 32, 3, 3}, -1, 1);
  const auto run = [&](DType dtype) {
    Tape tape(dtype);
    const Tensor a = tape.variable(x), b = tape.variable(w);
    const Tensor y = conv2d(a, b, {.padding = 1});
    const std::vector<Tensor> g = grad(sum(y * y), {a, b});
    return std::vector<Array>{y.array(), g[0].array(), g[1].array()};
  };
  const int before = threads();
  const std::vector<Array> exact = run(DType::f64);
  std::vector<Array> first;
  for (const int count : {1, 2, 3}) {
    set_threads(count);
    const std::vector<Array> f32 = run(DType::f32), f64 = run(DType::f64);
    if (first.empty()) first = f32;
    for (std::size_t i = 0; i < exact.size(); ++i) {
      CHECK(f32[i] == first[i]);
      CHECK(f64[i] == exact[i]);
      check_numbers(f32[i], exact[i].to_vector<double>(), 1e-5);
    }
  }
  set_threads(before);
}

TEST_CASE("what convolutions and pooling refuse") {
  Tape tape;
  const Scope scope(tape, "eye");
  const Tensor x = tape.constant(0, Shape{2, 4, 5, 6}), w = tape.constant(0, Shape{6, 4, 3, 3});
  const auto refuses = [](const auto& f, const std::string& message) {
    CHECK_THROWS_WITH_AS(f(), message.c_str(), Error);
  };
  const std::string shapes = ": input (2, 4, 5, 6), kernel (6, 4, 3, 3), in eye";
  refuses(
      [&] {
        return conv2d(x, tape.constant(0, Shape{6, 4, 8, 3}));
      },
      "[conv2d] a kernel that reaches over 8 does not fit into 5, padding included: input (2, 4, 5, 6), kernel (6, "
      "4, 8, 3), in eye");
  refuses(
      [&] {
        return conv2d(x, w, {.dilation = {1, 3}});
      },
      "[conv2d] a kernel that reaches over 7 does not fit into 6, padding included" + shapes);
  refuses(
      [&] {
        return conv2d(x, w, {.stride = {1, 0}});
      },
      "[conv2d] stride 0 and dilation 1 must be 1 or more, and below 2^31" + shapes);
  refuses([&] { return conv2d(x, w, {.dilation = 0}); },
          "[conv2d] stride 1 and dilation 0 must be 1 or more, and below 2^31" + shapes);
  refuses([&] { return conv2d(x, w, {.padding = -1}); },
          "[conv2d] padding -1 must be 0 or more, and below 2^31" + shapes);
  refuses([&] { return conv2d(x, w, {.groups = 3}); },
          "[conv2d] 3 groups do not divide 4 channels in and 6 out" + shapes);
  refuses([&] { return conv2d(x, w, {.groups = 0}); },
          "[conv2d] 0 groups do not divide 4 channels in and 6 out" + shapes);
  refuses([&] { return conv2d(x, w, {.groups = 2}); },
          "[conv2d] the kernel is of 4 channels, and a group of the input has 2" + shapes);
  refuses(
      [&] {
        return conv2d(tape.constant(0, Shape{4, 5, 6}), w);
      },
      "[conv2d] needs [N, C, H, W] and [O, C / groups, K, L]: input (4, 5, 6), kernel (6, 4, 3, 3), in eye");
  const Tensor s = tape.constant(0, Shape{2, 4, 5}), k = tape.constant(0, Shape{6, 4, 3});
  refuses([&] { return conv1d(s, k, {.padding = 1, .causal = true}); },
          "[conv1d] causal padding is said by the kernel: padding 1 is too much: input (2, 4, 5), kernel (6, 4, 3), in "
          "eye");
  refuses([&] { return conv1d(s, k, {.dilation = Index{1} << 60, .causal = true}); },
          "[conv1d] stride 1 and dilation 1152921504606846976 must be 1 or more, and below 2^31: input (2, 4, 5), "
          "kernel (6, 4, 3), in "
          "eye");
  refuses(
      [&] {
        return max_pool2d(x, {6, 2});
      },
      "[max_pool2d] the window is larger than the input, padding included: input (2, 4, 5, 6), window (6, 2), in "
      "eye");
  refuses([&] { return max_pool2d(x, 2, {.padding = 2}); },
          "[max_pool2d] padding 2 must be from 0 to half the window: input (2, 4, 5, 6), window (2, 2), in eye");
  refuses(
      [&] {
        return avg_pool2d(x, {2, 0});
      },
      "[avg_pool2d] a window must be 1 or more: input (2, 4, 5, 6), window (2, 0), in eye");
  refuses([&] { return avg_pool1d(x, 2, {.stride = -1}); },
          "[avg_pool1d] stride -1 is negative: input (2, 4, 5, 6), window (1, 2), in eye");
  refuses(
      [&] {
        return max_pool1d(tape.constant(0, Shape{2, 0}), 2, {.padding = 1});
      },
      "[max_pool1d] there is nothing to pool: input (2, 0), window (1, 2), in eye");
  // What only a text can ask for.
  const auto text = [](const std::string& op) {
    return ir::parse("program f32\nx = input 0 : (1, 2, 5, 6)\nw = input 1 : (3, 2, 2, 2)\ny = " + op + "\nreturn y\n");
  };
  const std::string most = "4611686018427387904";
  for (const std::string& op :
       {"conv(before=[" + most + ", 0], after=[" + most + ", 0]) x w", "conv(dilation=[" + most + ", 1]) x w",
        std::string("conv(before=[-1, 0]) x w"), "windows(window=[1, " + most + "], padding=[0, " + most + "]) x",
        std::string("windows(window=[0, 1]) x")}) {
    CAPTURE(op);
    std::string said;
    try {
      text(op);
    } catch (const Error& e) {
      said = e.what();
    }
    CHECK((said.find("do not fit") != std::string::npos || said.find("needs pictures") != std::string::npos));
  }
  CHECK(text("conv x w").size() == 3);
}
