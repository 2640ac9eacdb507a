#include <cstring>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/core/math.h>
#include <rewind/core/vector_loop.h>

using rw::Index;
using rw::Isa;
using rw::VectorLoop;

namespace {

// A user's functors: nothing of the library but its math.
struct Everything {
  template <class T>
  T operator()(T a, T b, T c) const {
    return rw::tanh(a) * rw::sigmoid(b) + rw::exp(c) * rw::log(rw::abs(a) + rw::erf(b)) + rw::sin(c) +
           rw::pow(rw::abs(a), b) + rw::softplus(c) / rw::normal_cdf(a) + rw::log1p(rw::square(b)) +
           rw::clamp(a, T(-0.5), T(0.5));
  }
};
struct Seven {
  template <class T>
  T operator()() const {
    return 7;
  }
};
struct Scale {
  float by;
  template <class T>
  T operator()(T x) const {
    return x * static_cast<T>(by);
  }
};
struct Sum {
  template <class T>
  T operator()(T a, T b, T c, T d, T e, T f) const {
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f;
  }
};
struct Last {
  template <class T>
  T operator()(T, T, T c) const {
    return -c;
  }
};

template <class T>
void run(const VectorLoop& loop, const void* fn, Index n, const T* const* x, T* y) {
  if constexpr (std::is_same_v<T, float>) loop.f32(fn, n, x, y);
  if constexpr (std::is_same_v<T, double>) loop.f64(fn, n, x, y);
}

template <class T>
std::vector<T> numbers(std::size_t n, double from) {
  std::vector<T> x(n);
  for (std::size_t i = 0; i < n; ++i)
    x[i] = static_cast<T>(from + 0.37 * static_cast<double>(i % 23) - 0.11 * static_cast<double>(i % 7));
  return x;
}

std::vector<Isa> available() {
  std::vector<Isa> all;
  for (Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa <= rw::active_isa()) all.push_back(isa);
  }
  return all;
}

}  // namespace

TEST_CASE_TEMPLATE("a result has the same bits with every instruction set, length and alignment", T, float, double) {
  constexpr std::size_t most = 67;
  const std::vector<T> a = numbers<T>(most, -3), b = numbers<T>(most, -1), c = numbers<T>(most, -4);
  const Everything fn;
  std::vector<T> want(most);
  for (std::size_t i = 0; i < most; ++i) {
    const T* x[] = {&a[i], &b[i], &c[i]};
    run(rw::vector_loop<Everything, 3>(Isa::baseline), &fn, 1, x, &want[i]);
  }
  for (Isa isa : available()) {
    for (std::size_t start : {0, 1, 3, 8}) {
      for (std::size_t n = 0; start + n <= most; ++n) {
        std::vector<T> y(most + 1, T(-1));
        const T* x[] = {&a[start], &b[start], &c[start]};
        run(rw::vector_loop<Everything, 3>(isa), &fn, static_cast<Index>(n), x, &y[start]);
        CHECK(std::memcmp(&y[start], &want[start], n * sizeof(T)) == 0);
        CHECK(y[start + n] == T(-1));
      }
    }
  }
}

TEST_CASE_TEMPLATE("y may be one of the inputs", T, float, double) {
  for (Isa isa : available()) {
    for (std::size_t n : {1, 15, 16, 17, 50}) {
      std::vector<T> y = numbers<T>(n, 1);
      const std::vector<T> before = y;
      const Scale fn{3};
      const T* x[] = {y.data()};
      run(rw::vector_loop<Scale, 1>(isa), &fn, static_cast<Index>(n), x, y.data());
      for (std::size_t i = 0; i < n; ++i) CHECK(y[i] == before[i] * 3);
    }
  }
}

TEST_CASE_TEMPLATE("functors of no inputs, of six, and of inputs that they ignore", T, float, double) {
  const std::vector<T> v = numbers<T>(21, 2);
  std::vector<T> y(21);
  const T* x[] = {v.data(), v.data(), v.data(), v.data(), v.data(), v.data()};
  const Sum sum;
  run(rw::vector_loop<Sum, 6>(), &sum, 21, x, y.data());
  for (std::size_t i = 0; i < 21; ++i) CHECK(y[i] == doctest::Approx(21 * v[i]).epsilon(1e-6));
  const Last last;
  run(rw::vector_loop<Last, 3>(), &last, 21, x, y.data());
  for (std::size_t i = 0; i < 21; ++i) CHECK(y[i] == -v[i]);
  const Seven seven;
  run<T>(rw::vector_loop<Seven, 0>(), &seven, 21, nullptr, y.data());
  for (T value : y) CHECK(value == 7);
}
