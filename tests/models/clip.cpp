#include <cmath>
#include <limits>

#include <doctest/doctest.h>

#include <rewind/models/clip.h>

using namespace rw;

namespace {

struct Two : Module {
  Two() : a(param("a", zeros(2))), b(param("b", zeros({11}, DType::f64))) {}
  Parameter &a, &b;
};

void set(Two& m, float a0, double b10) {
  m.zero_grad();
  m.a.grad().span<float>()[0] = a0;
  m.b.grad().span<double>()[10] = b10;
}

}  // namespace

TEST_CASE("the norm is the square root of the sum of all squares, over all parameters") {
  Two m;
  set(m, 3, 4);
  CHECK(grad_norm(m.parameters()) == doctest::Approx(5).epsilon(1e-15));
  for (double& g : m.b.grad().span<double>()) g = 2;
  CHECK(grad_norm(m.parameters()) == doctest::Approx(std::sqrt(9.0 + 44.0)).epsilon(1e-15));
  m.b.freeze();
  CHECK(grad_norm(m.parameters()) == 3);
  m.b.freeze(false);
  set(m, 0, 1e200);  // the square of it is no double
  CHECK(grad_norm(m.parameters()) == doctest::Approx(1e200).epsilon(1e-14));
  set(m, 0, 1e-190);
  CHECK(grad_norm(m.parameters()) == doctest::Approx(1e-190).epsilon(1e-14));
  m.zero_grad();
  CHECK(grad_norm(m.parameters()) == 0);
}

TEST_CASE("clip_grad_norm scales all gradients alike, and only when they are too long") {
  Two m;
  set(m, 3, -4);
  CHECK(clip_grad_norm(m.parameters(), 6) == doctest::Approx(5));
  CHECK(m.a.grad().at({0}) == 3);
  CHECK(clip_grad_norm(m.parameters(), 1) == doctest::Approx(5));
  CHECK(m.a.grad().at({0}) == doctest::Approx(0.6));
  CHECK(m.b.grad().at({10}) == doctest::Approx(-0.8));
  CHECK(grad_norm(m.parameters()) == doctest::Approx(1));
}

TEST_CASE("clip_grad_value limits each element and returns the norm before") {
  Two m;
  set(m, 3, -4);
  m.a.grad().span<float>()[1] = -0.25f;
  CHECK(clip_grad_value(m.parameters(), 1) == doctest::Approx(std::sqrt(25.0625)));
  CHECK(m.a.grad().at({0}) == 1);
  CHECK(m.a.grad().at({1}) == -0.25);
  CHECK(m.b.grad().at({10}) == -1);
}

TEST_CASE("a gradient that is not finite is an error by name and changes nothing") {
  Two m;
  set(m, 3, std::numeric_limits<double>::quiet_NaN());
  CHECK_THROWS_WITH_AS(clip_grad_norm(m.parameters(), 1), "the gradient of 'b' is nan", Error);
  CHECK_THROWS_AS(clip_grad_value(m.parameters(), 1), Error);
  CHECK(m.a.grad().at({0}) == 3);
  set(m, std::numeric_limits<float>::infinity(), 1);
  CHECK_THROWS_WITH_AS(grad_norm(m.parameters()), "the gradient of 'a' is infinite", Error);
  CHECK_THROWS_AS(clip_grad_norm(m.parameters(), 0), Error);
  CHECK_THROWS_AS(clip_grad_value(m.parameters(), std::nan("")), Error);
}
