#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include <rewind/core/error.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/models/init.h>

namespace rw {
namespace {

// Row i of `a` made orthogonal to rows [from, i), and of length 1; modified Gram-Schmidt.
void orthonormalise_row(std::vector<double>& a, std::size_t from, std::size_t i, std::size_t m) {
  double* row = &a[i * m];
  for (std::size_t j = from; j < i; ++j) {
    const double* other = &a[j * m];
    double dot = 0;
    for (std::size_t k = 0; k < m; ++k) dot += row[k] * other[k];
    for (std::size_t k = 0; k < m; ++k) row[k] -= dot * other[k];
  }
  double square = 0;
  for (std::size_t k = 0; k < m; ++k) square += row[k] * row[k];
  const double scale = 1 / std::sqrt(square);
  for (std::size_t k = 0; k < m; ++k) row[k] *= scale;
}

// The n rows of `a`, of length m >= n, made orthonormal: panels of rows first lose what lies along the rows before
// them, by two products, all of it twice over against rounding. Normal rows in, so the result is uniform over such
// matrices.
void orthonormalise(std::vector<double>& a, std::size_t n, std::size_t m) {
  constexpr std::size_t panel = 32;
  const auto M = static_cast<Index>(m);
  std::vector<double> along(panel * n);
  for (std::size_t first = 0; first < n; first += panel) {
    const std::size_t last = std::min(n, first + panel);
    const auto rows = static_cast<Index>(last - first), before = static_cast<Index>(first);
    for (int pass = 0; pass < 2; ++pass) {
      if (before > 0) {
        gemm(false, true, rows, before, M, &a[first * m], M, a.data(), M, along.data(), before, false);
        for (double& x : along) x = -x;
        gemm(false, false, rows, M, before, along.data(), before, a.data(), M, &a[first * m], M, true);
      }
      for (std::size_t i = first; i < last; ++i) orthonormalise_row(a, first, i, m);
    }
  }
}

constexpr std::array<std::pair<std::string_view, Init::Kind>, 8> kinds{{{"glorot", Init::Kind::glorot},
                                                                        {"he", Init::Kind::he},
                                                                        {"lecun", Init::Kind::lecun},
                                                                        {"orthogonal", Init::Kind::orthogonal},
                                                                        {"identity", Init::Kind::identity},
                                                                        {"uniform", Init::Kind::uniform},
                                                                        {"normal", Init::Kind::normal},
                                                                        {"constant", Init::Kind::constant}}};

Array one_block(const Init& init, Rng& rng, Index in, Index out) {
  switch (init.kind) {
    case Init::Kind::glorot: return glorot(rng, in, out);
    case Init::Kind::he: return he(rng, in, out);
    case Init::Kind::lecun: return lecun(rng, in, out);
    case Init::Kind::orthogonal: return orthogonal(rng, in, out, init.scale);
    case Init::Kind::identity: return identity(in, out, init.scale);
    case Init::Kind::uniform: return uniform(rng, {in, out}, -init.scale, init.scale);
    case Init::Kind::normal: return normal(rng, {in, out}, init.scale);
    default: return full({in, out}, init.scale);
  }
}

}  // namespace

Array uniform(Rng& rng, const Shape& shape, double lo, double hi) {
  Array a(shape);
  for (float& x : a.span<float>()) x = static_cast<float>(rng.uniform(lo, hi));
  return a;
}

Array normal(Rng& rng, const Shape& shape, double deviation) {
  if (!(deviation >= 0 && std::isfinite(deviation)))
    throw Error("[normal] needs a finite deviation of 0 or more, got " + std::to_string(deviation));
  Array a(shape);
  for (float& x : a.span<float>()) x = static_cast<float>(deviation * rng.normal());
  return a;
}

Array glorot(Rng& rng, Index in, Index out) {
  const double half_width = std::sqrt(6 / static_cast<double>(std::max<Index>(1, in + out)));
  return uniform(rng, {in, out}, -half_width, half_width);
}

Array he(Rng& rng, Index in, Index out) {
  return normal(rng, {in, out}, std::sqrt(2 / static_cast<double>(std::max<Index>(1, in))));
}

Array lecun(Rng& rng, Index in, Index out) {
  const double half_width = 1 / std::sqrt(static_cast<double>(std::max<Index>(1, in)));
  return uniform(rng, {in, out}, -half_width, half_width);
}

Array orthogonal(Rng& rng, Index in, Index out, double gain) {
  const Shape shape{in, out};
  const auto rows = static_cast<std::size_t>(std::min(in, out)), cols = static_cast<std::size_t>(std::max(in, out));
  std::vector<double> a(rows * cols);
  for (double& x : a) x = rng.normal();
  orthonormalise(a, rows, cols);
  Array result(shape);
  const auto y = result.span<float>();
  const bool wide = in <= out;
  for (std::size_t i = 0; i < rows; ++i)
    for (std::size_t k = 0; k < cols; ++k)
      y[wide ? i * cols + k : k * rows + i] = static_cast<float>(gain * a[i * cols + k]);
  return result;
}

Array identity(Index in, Index out, double scale) {
  Array a(Shape{in, out});
  const auto y = a.span<float>();
  for (Index i = 0; i < std::min(in, out); ++i) y[static_cast<std::size_t>(i * out + i)] = static_cast<float>(scale);
  return a;
}

Init Init::named(std::string_view name, double scale) {
  std::string known;
  for (const auto& [kind_name, kind] : kinds) {
    if (kind_name == name) return {kind, scale};
    known += (known.empty() ? "" : ", ") + std::string(kind_name);
  }
  throw Error("no initialiser '" + std::string(name) + "'; there are: " + known);
}

Array Init::operator()(Rng& rng, Index in, Index out, Index blocks) const {
  if (blocks == 1) return one_block(*this, rng, in, out);
  Array all(Shape{in, blocks * out});
  const auto y = all.span<float>();
  for (Index b = 0; b < blocks; ++b) {
    const Array block = one_block(*this, rng, in, out);
    const auto x = block.span<float>();
    for (Index i = 0; i < in; ++i) std::copy_n(x.begin() + i * out, out, y.begin() + (i * blocks + b) * out);
  }
  return all;
}

}  // namespace rw
