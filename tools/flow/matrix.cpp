#include <algorithm>
#include <cmath>
#include <numeric>

#include <rewind/core/error.h>
#include <rewind/core/random.h>
#include <rewind/tools/flow/flow.h>

namespace rw {
namespace {

using Vector = std::vector<double>;

double dot(const Vector& a, const Vector& b) { return std::inner_product(a.begin(), a.end(), b.begin(), 0.0); }

/// A'(A x), for A of n columns, each number divided by `scale` so that squares neither overflow nor vanish.
Vector gram(std::span<const double> A, double scale, const Vector& x) {
  const std::size_t n = x.size();
  Vector out(n);
  for (std::size_t r = 0; r + n <= A.size(); r += n) {
    double y = 0;
    for (std::size_t j = 0; j < n; ++j) y += A[r + j] / scale * x[j];
    for (std::size_t j = 0; j < n; ++j) out[j] += A[r + j] / scale * y;
  }
  return out;
}

/// The largest eigenvalue of a symmetric tridiagonal matrix, by bisection: how many lie above a number is the number of
/// sign changes in a Sturm sequence.
double largest_eigenvalue(const Vector& diagonal, const Vector& off) {
  double low = diagonal[0], high = diagonal[0];
  for (std::size_t i = 0; i < diagonal.size(); ++i) {
    const double reach = (i > 0 ? std::abs(off[i - 1]) : 0) + (i < off.size() ? std::abs(off[i]) : 0);
    low = std::max(low, diagonal[i]);
    high = std::max(high, diagonal[i] + reach);
  }
  const auto any_above = [&](double x) {
    double d = 1;
    for (std::size_t i = 0; i < diagonal.size(); ++i) {
      d = diagonal[i] - x - (i > 0 ? off[i - 1] * off[i - 1] / d : 0);
      if (d > 0) return true;
      if (d == 0) d = -1e-300;
    }
    return false;
  };
  for (int i = 0; i < 200 && high > low; ++i) {
    const double middle = low + (high - low) / 2;
    if (middle == low || middle == high) break;
    (any_above(middle) ? low : high) = middle;
  }
  return high;
}

}  // namespace

double spectral_norm(ConstView matrix) {
  if (matrix.shape.rank() != 2) throw Error("spectral_norm takes a matrix, not " + matrix.shape.str());
  const Array a = Array(matrix).to(DType::f64);
  const std::span<const double> A = a.span<double>();
  const auto n = static_cast<std::size_t>(matrix.shape[1]);
  double scale = 0;
  for (double x : A) scale = std::isnan(x) ? x : std::max(scale, std::abs(x));
  if (scale == 0 || !std::isfinite(scale)) return scale;
  // Lanczos on A'A, every new direction made orthogonal to all before, twice.
  Rng rng(1);
  std::vector<Vector> basis(1, Vector(n));
  for (double& x : basis[0]) x = rng.normal();
  const double length = std::sqrt(dot(basis[0], basis[0]));
  for (double& x : basis[0]) x /= length;
  Vector diagonal, off;
  while (true) {
    Vector next = gram(A, scale, basis.back());
    diagonal.push_back(dot(next, basis.back()));
    for (int twice = 0; twice < 2; ++twice)
      for (const Vector& v : basis) {
        const double along = dot(next, v);
        for (std::size_t j = 0; j < n; ++j) next[j] -= along * v[j];
      }
    const double left = std::sqrt(dot(next, next));
    if (basis.size() == n || left <= 1e-15 * diagonal[0]) break;
    off.push_back(left);
    for (double& x : next) x /= left;
    basis.push_back(std::move(next));
  }
  return std::sqrt(std::max(0.0, largest_eigenvalue(diagonal, off))) * scale;
}

}  // namespace rw
