#pragma once

// The evals' functions as a careful person writes them in plain C++, over any kind of number T: double, or another
// tool's, which differentiates them.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <span>
#include <vector>

namespace rw::bench::gradbench::plain_cpp {

template <class T>
T lse(std::span<const T> x) {
  using std::exp, std::log;
  T largest = x[0];
  for (const T& e : x)
    if (largest < e) largest = e;
  T sum = 0;
  for (const T& e : x) sum += exp(e - largest);
  return largest + log(sum);
}

/// Point i of n.
inline double llsq_point(std::size_t i, std::size_t n) {
  return -1 + static_cast<double>(i) * 2 / static_cast<double>(n - 1);
}
inline double llsq_sign(double t) { return static_cast<double>((t > 0) - (t < 0)); }

template <class T>
T llsq(std::span<const T> x, std::size_t n) {
  T y = 0;
  for (std::size_t i = 0; i < n; ++i) {
    T rest = llsq_sign(llsq_point(i, n));
    double power = 1;
    for (const T& e : x) rest -= e * power, power *= llsq_point(i, n);
    y += rest * rest;
  }
  return y / 2;
}

/// The minor of the rows from `row` on and of the columns that are left, of a matrix n wide.
template <class T>
T minor(std::span<const T> a, std::size_t n, std::size_t row, std::vector<std::size_t>& columns) {
  const auto at = [&](std::size_t j) -> const T& { return a[row * n + j]; };
  if (columns.size() == 1) return at(columns[0]);
  T sum{};
  for (std::size_t k = 0; k < columns.size(); ++k) {
    const std::size_t column = columns[k];
    columns.erase(columns.begin() + static_cast<std::ptrdiff_t>(k));
    const T term = at(column) * minor(a, n, row + 1, columns);
    columns.insert(columns.begin() + static_cast<std::ptrdiff_t>(k), column);
    if (k == 0)
      sum = term;
    else if (k % 2 == 0)
      sum = sum + term;
    else
      sum = sum - term;
  }
  return sum;
}
template <class T>
T determinant(std::span<const T> a, std::size_t n) {
  std::vector<std::size_t> columns;
  for (std::size_t j = 0; j < n; ++j) columns.push_back(j);
  return minor(a, n, 0, columns);
}

template <class T>
void ode_slope(std::span<const T> x, const std::vector<T>& y, std::vector<T>& z) {
  z[0] = x[0];
  for (std::size_t i = 1; i < x.size(); ++i) z[i] = x[i] * y[i - 1];
}
/// Runge and Kutta's method, to time 2.
template <class T>
std::vector<T> ode(std::span<const T> x, std::size_t steps) {
  const double h = 2 / static_cast<double>(steps);
  const std::size_t n = x.size();
  std::vector<T> y(n, T(0)), at(n), k1(n), k2(n), k3(n), k4(n);
  const auto stand = [&](double factor, const std::vector<T>& k) {
    for (std::size_t i = 0; i < n; ++i) at[i] = y[i] + factor * k[i];
  };
  for (std::size_t step = 0; step < steps; ++step) {
    ode_slope(x, y, k1);
    stand(h / 2, k1), ode_slope(x, at, k2);
    stand(h / 2, k2), ode_slope(x, at, k3);
    stand(h, k3), ode_slope(x, at, k4);
    for (std::size_t i = 0; i < n; ++i) y[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
  }
  return y;
}

struct GmmSizes {
  std::size_t d = 0, k = 0, n = 0;
  double gamma = 1;
  std::size_t m = 0;
};

/// What does not depend on the parameters: of the Gaussians, and of the prior (log of the multivariate gamma function).
inline double gmm_constant(const GmmSizes& s) {
  const auto d = static_cast<double>(s.d), n = d + static_cast<double>(s.m) + 1;
  double log_gamma = d * (d - 1) / 4 * std::log(std::numbers::pi);
  for (std::size_t j = 1; j <= s.d; ++j) log_gamma += std::lgamma(n / 2 + 0.5 * (1 - static_cast<double>(j)));
  const double prior = n * d * (std::log(s.gamma) - 0.5 * std::log(2)) - log_gamma;
  return -static_cast<double>(s.n) * d * 0.5 * std::log(2 * std::numbers::pi) + static_cast<double>(s.k) * prior;
}

/// x [n, d], alpha [k], mu [k, d], q [k, d] (logs of the diagonal), l [k, d (d - 1) / 2], each row by row.
template <class T>
T gmm(const GmmSizes& s, std::span<const double> x, std::span<const T> alpha, std::span<const T> mu,
      std::span<const T> q, std::span<const T> l) {
  using std::exp;
  const std::size_t d = s.d, triangle = d * (d - 1) / 2;
  std::vector<T> diagonal(q.size()), sums(s.k, T(0)), terms(s.k), centred(d), turned(d);
  for (std::size_t i = 0; i < q.size(); ++i) diagonal[i] = exp(q[i]), sums[i / d] += q[i];
  T fit = 0;
  for (std::size_t p = 0; p < s.n; ++p) {
    for (std::size_t c = 0; c < s.k; ++c) {
      for (std::size_t i = 0; i < d; ++i) {
        centred[i] = x[p * d + i] - mu[c * d + i];
        turned[i] = diagonal[c * d + i] * centred[i];
      }
      const T* lower = l.data() + c * triangle;
      for (std::size_t i = 0; i < d; ++i)
        for (std::size_t j = i + 1; j < d; ++j) turned[j] += *lower++ * centred[i];
      T distance = 0;
      for (const T& e : turned) distance += e * e;
      terms[c] = alpha[c] + sums[c] - 0.5 * distance;
    }
    fit += lse<T>(terms);
  }
  T prior = 0;
  for (const T& e : diagonal) prior += e * e;
  for (const T& e : l) prior += e * e;
  prior *= 0.5 * s.gamma * s.gamma;
  for (const T& e : sums) prior -= static_cast<double>(s.m) * e;
  return fit - static_cast<double>(s.n) * lse<T>(alpha) - prior + gmm_constant(s);
}

/// One observation of bundle adjustment: by the camera's 11 numbers, a point's 3 and a weight.
template <class T>
void ba_error(const T* camera, const T* point, const T& weight, const double* feature, T* error) {
  using std::cos, std::sin, std::sqrt;
  T x[3], axis[3], turned[3];
  for (int i = 0; i < 3; ++i) x[i] = point[i] - camera[3 + i];
  const T squared = camera[0] * camera[0] + camera[1] * camera[1] + camera[2] * camera[2];
  const bool turns = squared > 0.0;
  const T angle = turns ? T(sqrt(squared)) : T(1);
  for (int i = 0; i < 3; ++i) axis[i] = camera[i] / angle;
  const T c = turns ? T(cos(angle)) : T(1), s = turns ? T(sin(angle)) : T(1);
  const T along = (axis[0] * x[0] + axis[1] * x[1] + axis[2] * x[2]) * (1 - c);
  for (int i = 0; i < 3; ++i) {
    const int j = (i + 1) % 3, k = (i + 2) % 3;
    turned[i] = x[i] * c + (axis[j] * x[k] - axis[k] * x[j]) * s + axis[i] * along;
  }
  const T u = turned[0] / turned[2], v = turned[1] / turned[2], r = u * u + v * v;
  const T distortion = 1 + camera[9] * r + camera[10] * r * r;
  error[0] = weight * (u * distortion * camera[6] + camera[7] - feature[0]);
  error[1] = weight * (v * distortion * camera[6] + camera[8] - feature[1]);
}

/// How far from the origin the particle crosses the x axis, squared; its force, the gradient of the potential, by hand.
template <class T>
T particle_miss(const T& w) {
  using std::sqrt;
  constexpr double time_step = 0.1;
  T x[2] = {T(0), T(8)}, v[2] = {T(0.75), T(0)};
  while (x[1] + time_step * v[1] > 0.0) {
    T force[2] = {T(0), T(0)};
    for (const bool moves : {false, true}) {
      const T away[2] = {x[0] - 10, moves ? T(x[1] - 10 + w) : x[1]};
      const T squared = away[0] * away[0] + away[1] * away[1], cubed = squared * sqrt(squared);
      for (int i = 0; i < 2; ++i) force[i] += away[i] / cubed;
    }
    for (int i = 0; i < 2; ++i) {
      x[i] += time_step * v[i];
      v[i] += time_step * force[i];
    }
  }
  const T off = x[0] - x[1] / v[1] * v[0];
  return off * off;
}

}  // namespace rw::bench::gradbench::plain_cpp
