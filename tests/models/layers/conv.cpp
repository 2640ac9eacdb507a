#include <cmath>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/core/error.h>
#include <rewind/models/layers/batch_norm.h>
#include <rewind/models/layers/conv.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/reduce.h>
#include <rewind/ops/view.h>
#include <rewind/tools/gradcheck/gradcheck.h>

#include "../folder.h"
#include "../golden_text.h"

using namespace rw;

namespace {

double most_apart(const Array& a, const std::vector<double>& b) {
  const std::vector<double> x = a.to_vector<double>();
  REQUIRE(x.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < b.size(); ++i) most = std::max(most, std::abs(x[i] - b[i]));
  return most;
}

Array numbers(const Shape& shape, std::uint64_t seed) {
  Rng rng(seed);
  return uniform(rng, shape, -1, 1).to(DType::f64);
}

// A fixed weight for each number, so that nothing cancels.
Tensor weighed(Tensor y) { return sum(square(y) * y.tape().constant(numbers(y.shape(), 9))); }

}  // namespace

TEST_CASE("a kernel of one element is a matrix: the identity gives what it takes, an orthogonal one keeps lengths") {
  Rng rng(1);
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({5, 2, 3}, 1));
  const Conv1d same(3, 4, 1, rng, {}, {.weights = Init::identity()});
  const Tensor y = same(x);
  CHECK(slice(y, -1, 0, 3).array() == x.array());
  CHECK(slice(y, -1, 3, 1).array() == Array(zeros({5, 2, 1})).to(DType::f64));
  const Conv1d turned(3, 7, 1, rng, {}, {.weights = Init::orthogonal()});
  CHECK(most_apart(sum(square(turned(x)), -1).array(), sum(square(x), -1).array().to_vector<double>()) < 1e-6);
}

TEST_CASE("layers of convolution: shapes, biases, clones, and gradients of both orders") {
  Rng rng(1);
  const Conv1d causal(3, 4, 3, rng, {.dilation = 2, .causal = true});
  const Conv2d picture(2, 4, {3, 2}, rng, {.stride = 2, .padding = 1, .groups = 2});
  const Conv2d plain(2, 3, 1, rng, {}, {.bias = false});
  CHECK(causal.parameter("W").shape() == Shape{4, 3, 3});
  CHECK(picture.parameter("W").shape() == Shape{4, 1, 3, 2});
  CHECK(plain.parameters().size() == 1);
  picture.parameter("b").set(Array({1.0, 2.0, 3.0, 4.0}, {4}));
  Tape tape(DType::f64);
  const Tensor x = tape.constant(numbers({6, 2, 3}, 1)), image = tape.constant(numbers({2, 2, 5, 6}, 2));
  CHECK(causal(x).shape() == Shape{6, 2, 4});
  const Tensor y = picture(image);
  CHECK(y.shape() == Shape{2, 4, 3, 4});
  CHECK(plain(image).shape() == Shape{2, 3, 5, 6});
  const Tensor bare = conv2d(image, picture.parameter("W"), {.stride = 2, .padding = 1, .groups = 2});
  for (Index o = 0; o < 4; ++o) {
    const Array apart = select(y - bare, 1, o).array();
    CHECK(most_apart(apart, std::vector<double>(static_cast<std::size_t>(apart.size()), static_cast<double>(o + 1))) <
          1e-12);
  }
  // What comes later does not reach an earlier step.
  Array later = numbers({6, 2, 3}, 1);
  for (Index t = 4; t < 6; ++t) later.set({t, 0, 1}, 5);
  CHECK(slice(causal(x), 0, 0, 4).array() == slice(causal(tape.constant(later)), 0, 0, 4).array());
  CHECK(causal.clone()(x).array() == causal(x).array());
  CHECK(picture.clone()(image).array() == y.array());
  for (const int order : {1, 2}) {
    CHECK(gradcheck(
              [&](Tape& t) {
                return weighed(causal(t.constant(numbers({6, 2, 3}, 1))));
              },
              causal.parameters(), {.order = order})
              .ok());
    CHECK(gradcheck(
              [&](Tape& t) {
                return weighed(picture(t.constant(numbers({2, 2, 5, 6}, 2))));
              },
              picture.parameters(), {.order = order})
              .ok());
  }
}

TEST_CASE("batch norm is PyTorch's: values, gradients, and what it runs along") {
  auto golden = rw::test::golden_text("conv.txt");
  BatchNorm norm(3);
  norm.to(DType::f64);
  norm.parameter("gain").set(Array({1.5, -0.5, 2.0}, {3}));
  norm.parameter("shift").set(Array({0.1, 0.2, -0.3}, {3}));
  const auto check = [&](const std::string& name, const Shape& shape) {
    Tape tape(DType::f64);
    const Tensor x = tape.variable(Array(golden[name + "_x0"], shape)), y = norm(x);
    CHECK(most_apart(y.array(), golden[name + "_y"]) < 1e-12);
    Array weights(shape, DType::f64);
    for (Index i = 0; i < shape.size(); ++i)
      weights.span<double>()[static_cast<std::size_t>(i)] = static_cast<double>(i) * 0.1 - 1;
    const Tensor g = grad(sum(y * y * tape.constant(weights)), x);
    CHECK(most_apart(g.array(), golden[name + "_gradient0"]) < 1e-10);
    CHECK(most_apart(grad(sum(g * g), x).array(), golden[name + "_second0"]) < 1e-8);
  };
  check("batch_norm", {4, 3, 2, 5});
  CHECK(most_apart(norm.buffers()[0].parameter->value(), golden["batch_norm_mean"]) < 1e-13);
  CHECK(most_apart(norm.buffers()[1].parameter->value(), golden["batch_norm_variance"]) < 1e-13);
  norm.eval();
  check("batch_norm_eval", {2, 3, 2, 5});
  CHECK(most_apart(norm.buffers()[0].parameter->value(), golden["batch_norm_mean"]) < 1e-13);
}

TEST_CASE("batch norm: any axis, gradients of its parameters, compiled in both modes, saved and cloned") {
  BatchNorm norm(3, {.axis = -1});
  norm.to(DType::f64);
  const Array x = numbers({4, 2, 3}, 3);
  for (const int order : {1, 2})
    CHECK(gradcheck([&](Tape& t) { return weighed(norm(t.constant(x))); }, norm.parameters(), {.order = order}).ok());
  const auto f = [&](Tape&, Tensor a) { return norm(a); };
  auto compiled = compile(f, {.dtype = DType::f64}, x);
  compiled(x);  // the first call checks the plan beside an eager one
  norm.buffers()[0].parameter->set(full({3}, 7, DType::f64));
  Tape tape(DType::f64);
  const Array before = norm.buffers()[0].parameter->value();
  const Array trained = compiled(x).array();
  CHECK(norm.buffers()[0].parameter->value() == before);  // a plan leaves it alone
  CHECK(most_apart(trained, norm(tape.constant(x)).array().to_vector<double>()) < 1e-12);
  CHECK(norm.buffers()[0].parameter->value() != before);
  norm.eval();
  const Array kept = norm(tape.constant(x)).array();
  CHECK(most_apart(kept, trained.to_vector<double>()) > 1e-3);
  CHECK(most_apart(compiled(x).array(), kept.to_vector<double>()) < 1e-12);
  CHECK(norm.clone()(tape.constant(x)).array() == kept);
  const rw::test::Folder folder;
  const std::string file = folder / "norm.safetensors";
  save_model(file, norm);
  BatchNorm other(3, {.axis = -1});
  other.to(DType::f64);
  load_model(file, other);
  other.eval();
  CHECK(other(tape.constant(x)).array() == kept);
}

TEST_CASE("batch norm of numbers of any size is that of numbers of size 1; of equal ones it is 0") {
  for (const DType dtype : {DType::f32, DType::f64}) {
    BatchNorm norm(3);
    norm.to(dtype);
    Tape tape(dtype);
    const Array small = numbers({4, 3, 2}, 3).to(dtype);
    const Array expected = norm(tape.constant(small) * 1024).array();
    for (const double size : {1e10, 1e20, 1e37}) {
      CAPTURE(size);
      const Tensor x = tape.variable(small), y = norm(x * size);
      CHECK(most_apart(y.array(), expected.to_vector<double>()) < (dtype == DType::f32 ? 1e-5 : 1e-9));
      for (const double g : grad(sum(y * tape.constant(small)), x).array().to_vector<double>()) CHECK(std::isfinite(g));
      CHECK(norm.buffers()[0].parameter->value().at({0}) != 0);
      CHECK(std::isfinite(norm.buffers()[0].parameter->value().at({0})));
    }
    norm(tape.constant(small));
    const Array variance = norm.buffers()[1].parameter->value();
    CHECK((dtype == DType::f32 ? std::isinf(variance.at({0})) : variance.at({0}) > 1e70));
    norm.eval();
    if (dtype == DType::f32) CHECK(norm(tape.constant(small)).array() == Array({4, 3, 2}, dtype));
    norm.train();
    for (const double size : {0.1, 1e20, 1e38})
      CHECK(norm(tape.constant(full({4, 3, 2}, size, dtype))).array() == Array({4, 3, 2}, dtype));
  }
}

TEST_CASE("what these layers refuse") {
  Rng rng(1);
  CHECK_THROWS_WITH_AS(Conv1d(0, 1, 1, rng), "conv1d: input size must be at least 1, not 0", Error);
  CHECK_THROWS_WITH_AS(Conv1d(1, 1, 0, rng), "conv1d: kernel size must be at least 1, not 0", Error);
  CHECK_THROWS_WITH_AS(Conv2d(1, 1, {2, -1}, rng), "conv2d: kernel size must be at least 1, not -1", Error);
  CHECK_THROWS_WITH_AS(Conv2d(4, 3, 1, rng, {.groups = 2}), "conv2d: 2 groups do not divide 4 channels in and 3 out",
                       Error);
  Tape tape;
  CHECK_THROWS_WITH_AS(Conv2d(2, 1, 3, rng)(tape.constant(0, Shape{2, 3, 8, 8})),
                       "[conv2d] takes pictures [N, features, H, W] with 2 features, not (2, 3, 8, 8)", Error);
  CHECK_THROWS_WITH_AS(Conv1d(2, 1, 3, rng)(tape.constant(0, Shape{2, 3})),
                       "[conv1d] takes sequences [T, N, features] with 2 features, not (2, 3)", Error);
  CHECK_THROWS_WITH_AS(BatchNorm(0), "batch_norm: feature size must be at least 1, not 0", Error);
  CHECK_THROWS_WITH_AS(BatchNorm(1, {.momentum = 2}), "batch_norm: the momentum must be from 0 to 1, not 2", Error);
  CHECK_THROWS_WITH_AS(BatchNorm(1, {.epsilon = 0}), "batch_norm: epsilon must be a positive number, not 0", Error);
  const BatchNorm norm(3);
  CHECK_THROWS_WITH_AS(norm(tape.constant(0, Shape{2, 4, 3, 3})),
                       "[batch_norm] axis 1 of (2, 4, 3, 3) must have 3 features", Error);
  CHECK_THROWS_WITH_AS(norm(tape.constant(0, Shape{1, 3})),
                       "[batch_norm] (1, 3) has 1 number of a feature: training needs two or more", Error);
}
