#pragma once

// What the tests of autograd/ share.

#include <cstring>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/structural.h>
#include <rewind/autograd/tape.h>
#include <rewind/core/error.h>
#include <rewind/core/random.h>

namespace test {

using rw::Array;
using rw::Index;
using rw::Shape;

/// Numbers in [-1, 1), the same for the same seed.
inline Array numbers(const Shape& shape, std::uint64_t seed, rw::DType dtype = rw::DType::f32) {
  rw::Rng rng(seed);
  Array a(shape, rw::DType::f64);
  for (double& x : a.span<double>()) x = rng.uniform(-1, 1);
  return a.to(dtype);
}

/// Whether two arrays have the same bits, where -0 is 0.
inline bool same_bits(const Array& a, const Array& b) {
  if (a.shape() != b.shape() || a.dtype() != b.dtype()) return false;
  return rw::visit_dtype(a.dtype(), [&]<class T>() {
    const auto x = a.span<T>(), y = b.span<T>();
    for (std::size_t i = 0; i < x.size(); ++i)
      if (std::memcmp(&x[i], &y[i], sizeof(T)) != 0 && !(x[i] == T(0) && y[i] == T(0))) return false;
    return true;
  });
}
inline bool same_bits(rw::ConstView a, rw::ConstView b) { return same_bits(Array(a), Array(b)); }

inline std::vector<double> list(rw::ConstView v) { return Array(v).to_vector<double>(); }

/// What `f` throws, or "nothing".
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const rw::Error& e) {
    return e.what();
  }
  return "nothing";
}

/// A plain product, not elementwise to the engine: its rule goes the way of every other op's.
struct Product {
  static constexpr std::string_view name = "product";
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  void eval(std::span<const rw::ConstView> x, rw::View y) const {
    rw::visit_real(y.dtype, [&]<class T>() {
      for (Index i = 0; i < y.size(); ++i) y.as<T>()[i] = x[0].as<T>()[i] * x[1].as<T>()[i];
    });
  }
  void vjp(rw::Vjp& g) const {
    if (g.needs(0)) g.add(0, rw::record(Product{}, {g.dy(), g.x(1)}));
    if (g.needs(1)) g.add(1, rw::record(Product{}, {g.dy(), g.x(0)}));
  }
};

/// sum(x * w) for fixed w = numbers(shape, seed): a scalar through which every element's gradient is another number.
inline rw::Tensor project(rw::Tensor x, std::uint64_t seed = 77) {
  const rw::Tensor w = x.tape().constant(numbers(x.shape(), seed, x.tape().dtype()));
  return rw::record(rw::SumTo{Shape{}}, {rw::record(Product{}, {x, w})});
}

}  // namespace test
