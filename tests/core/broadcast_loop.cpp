#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/broadcast_loop.h>
#include <rewind/core/strides.h>
#include <rewind/core/threads.h>

#include "nest_reference.h"

using rw::Array;
using rw::ConstView;
using rw::DType;
using rw::Index;
using rw::Rng;
using rw::Shape;
using test::Strided;

namespace {

// Depends on the order of its inputs.
struct Weigh {
  template <class T>
  T operator()(T a) const {
    return a * 3;
  }
  template <class T>
  T operator()(T a, T b) const {
    return a - 2 * b;
  }
  template <class T>
  T operator()(T a, T b, T c) const {
    return a - 2 * b + c * b;
  }
};

template <int arity>
void run(std::span<const ConstView> x, rw::View y) {
  static const rw::VectorLoop loop = rw::vector_loop<Weigh, arity>();
  const Weigh fn;
  rw::broadcast_loop(loop, &fn, x, y);
}

template <class T, int arity>
void check_random(std::uint64_t seed) {
  CAPTURE(seed);
  Rng rng(seed);
  const Shape shape = test::some_shape(rng);
  CAPTURE(shape.str());
  std::vector<Strided<T>> x;
  std::vector<ConstView> views;
  for (int i = 0; i < arity; ++i) {
    x.emplace_back(test::some_part(rng, shape), test::some_gap(rng));
    x.back().fill(rng);
    CAPTURE(x.back().shape.str());
  }
  for (Strided<T>& v : x) views.push_back(v.view());
  Strided<T> y(shape, test::some_gap(rng));
  run<arity>(views, y.view());
  for (Index i = 0; i < shape.size(); ++i) {
    const auto at = [&](int input) {
      Strided<T>& v = x[static_cast<std::size_t>(input)];
      return v[test::stretched_index(v.shape, shape, i)];
    };
    T expected;
    if constexpr (arity == 1)
      expected = Weigh()(at(0));
    else if constexpr (arity == 2)
      expected = Weigh()(at(0), at(1));
    else
      expected = Weigh()(at(0), at(1), at(2));
    CAPTURE(i);
    REQUIRE(y[i] == expected);
  }
  REQUIRE(y.guards_stand());
}

}  // namespace

TEST_CASE("a loop over random shapes and views does what NumPy does") {
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    check_random<float, 1>(seed);
    check_random<float, 2>(seed);
    check_random<float, 3>(seed);
    check_random<double, 2>(seed);
    check_random<double, 3>(seed);
  }
}

TEST_CASE("one column of a matrix is an input and an output like any other") {
  Strided<float> x(Shape{2, 3, 1}, 4), y(Shape{2, 3, 1}, 2), row(Shape{2, 1, 1}, 0);
  for (Index i = 0; i < 6; ++i) x[i] = static_cast<float>(i);
  row[0] = 10;
  row[1] = 20;
  const ConstView in[] = {x.view(), row.view()};
  run<2>(in, y.view());
  for (Index i = 0; i < 6; ++i) CHECK(y[i] == static_cast<float>(i) - (i < 3 ? 20.0f : 40.0f));
  CHECK(y.guards_stand());
}

TEST_CASE("the output may be one of the inputs") {
  Strided<float> x(Shape{5, 7}, 2), b(Shape{7}, 0);
  Rng rng(1);
  x.fill(rng);
  b.fill(rng);
  std::vector<float> expected;
  for (Index i = 0; i < 35; ++i) expected.push_back(Weigh()(x[i], b[i % 7]));
  const ConstView in[] = {x.view(), b.view()};
  run<2>(in, x.view());
  for (Index i = 0; i < 35; ++i) CHECK(x[i] == expected[static_cast<std::size_t>(i)]);
  CHECK(x.guards_stand());
}

TEST_CASE("the number of threads changes no bit") {
  const int before = rw::threads();
  Rng rng(3);
  for (const auto& shapes : {std::pair{Shape{1 << 18}, Shape{1 << 18}},
                             {Shape{600, 400}, Shape{400}},
                             {Shape{3, 70000}, Shape{3, 1}},
                             {Shape{300, 3, 200}, Shape{300, 1, 200}}}) {
    const Shape &shape = shapes.first, &part = shapes.second;
    CAPTURE(shape.str());
    for (Index gap : {0, 3}) {
      Strided<float> a(shape, gap), b(part, 0);
      a.fill(rng);
      b.fill(rng);
      std::vector<std::vector<float>> results;
      for (int threads : {1, 2, 5}) {
        rw::set_threads(threads);
        Strided<float> y(shape, gap);
        const ConstView in[] = {a.view(), b.view()};
        run<2>(in, y.view());
        CHECK(y.guards_stand());
        results.push_back(y.numbers);
      }
      for (const auto& r : results) CHECK(std::memcmp(r.data(), results[0].data(), r.size() * sizeof(float)) == 0);
    }
  }
  rw::set_threads(before);
}

TEST_CASE("a loop nest merges axes where every array allows it") {
  using Layout = std::pair<Shape, Index>;
  const Shape s{4, 5, 6};
  CHECK(rw::loop_nest<1>(s, {Layout{s, 6}}, 1).rank == 1);
  CHECK(rw::loop_nest<1>(s, {Layout{s, 8}}, 1).rank == 2);  // rows apart
  CHECK(rw::loop_nest<2>(s, {Layout{s, 6}, Layout{Shape{6}, 6}}, 2).rank == 2);
  CHECK(rw::loop_nest<2>(s, {Layout{s, 6}, Layout{Shape{4, 1, 1}, 1}}, 2).rank == 2);
  CHECK(rw::loop_nest<2>(s, {Layout{s, 6}, Layout{Shape{5, 1}, 1}}, 2).rank == 3);
  CHECK(rw::loop_nest<1>(Shape{}, {Layout{Shape{}, 1}}, 1).outer() == 1);
  CHECK(rw::loop_nest<1>(Shape{1, 1}, {Layout{Shape{1, 1}, 1}}, 1).inner() == 1);
}
