#include <rewind/tools/export/math_text_ops.h>

namespace rw::detail {
namespace {

// Sums are of doubles where the library's are, so that rounding is no larger. Whatever depends on an index that is
// outside of its range is nan, and nothing is read or written there.
constexpr MathFunction functions_of_ops[] = {
    {"index_at",
     R"(
/// Index i, which is a std::int32_t or takes the place of a Real.
template <class I>
inline std::ptrdiff_t index_at(const I* indices, std::ptrdiff_t i) {
  std::int32_t index;
  std::memcpy(&index, indices + i, sizeof index);
  return index;
}
)",
     {}},
    {"is_inside",
     R"(
inline bool is_inside(std::ptrdiff_t index, std::ptrdiff_t bound) { return index >= 0 && index < bound; }
)",
     {}},
    {"fill_zeros",
     R"(
inline void fill_zeros(std::ptrdiff_t n, Real* y) {
  for (std::ptrdiff_t i = 0; i < n; ++i) y[i] = 0;
}
)",
     {}},
    {"negative",
     R"(
inline void negative(const Real* x, std::ptrdiff_t n, Real* y) {
  for (std::ptrdiff_t i = 0; i < n; ++i) y[i] = -x[i];
}
)",
     {}},

    // ---- Rows

    {"hardmax",
     R"(
/// 1 at the largest number of each row [n], 0 elsewhere; a nan counts as the largest.
inline void hardmax(const Real* x, std::ptrdiff_t rows, std::ptrdiff_t n, Real* y) {
  for (std::ptrdiff_t r = 0; r < rows; ++r, x += n, y += n) {
    std::ptrdiff_t best = 0;
    for (std::ptrdiff_t i = 1; i < n && x[best] == x[best]; ++i)
      if (!(x[i] <= x[best])) best = i;
    for (std::ptrdiff_t i = 0; i < n; ++i) y[i] = i == best ? Real(1) : Real(0);
  }
}
)",
     {}},
    {"logsumexp_of",
     R"(
inline Real logsumexp_of(const Real* x, std::ptrdiff_t n) {
  Real most = x[0];
  for (std::ptrdiff_t j = 1; j < n; ++j) most = maximum(most, x[j]);
  const Real shift = most - most == 0 ? most : Real(0);
  double total = 0;
  for (std::ptrdiff_t j = 0; j < n; ++j) total += double(exp(x[j] - shift));
  return shift + log(Real(total));
}
)",
     {}},
    {"cross_entropy",
     R"(
template <class I>
inline void cross_entropy(const Real* x, const I* indices, std::ptrdiff_t rows, std::ptrdiff_t n, Real* y) {
  for (std::ptrdiff_t r = 0; r < rows; ++r, x += n) {
    const std::ptrdiff_t at = index_at(indices, r);
    y[r] = is_inside(at, n) ? logsumexp_of(x, n) - x[at] : Real(NAN);
  }
}
)",
     {}},
    {"is_below",
     R"(
/// Whether a comes before b in a sorted row; nan comes last.
inline bool is_below(Real a, Real b) { return a < b || (b != b && a == a); }
)",
     {}},
    {"rank_in",
     R"(
/// Where number j of a row stands once that is sorted; equal ones stay in order.
inline std::ptrdiff_t rank_in(const Real* x, std::ptrdiff_t n, std::ptrdiff_t j, bool falling) {
  std::ptrdiff_t rank = 0;
  for (std::ptrdiff_t i = 0; i < n; ++i) {
    const Real a = falling ? x[j] : x[i], b = falling ? x[i] : x[j];
    rank += (i < j ? !is_below(b, a) : i > j && is_below(a, b)) ? 1 : 0;
  }
  return rank;
}
)",
     {}},
    {"sort_by",
     R"(
/// The values [n] of each row in the order of x, the first `count` of them.
inline void sort_by(const Real* x, const Real* values, std::ptrdiff_t rows, std::ptrdiff_t n, std::ptrdiff_t count,
                    bool falling, Real* y) {
  for (std::ptrdiff_t r = 0; r < rows; ++r, x += n, values += n, y += count)
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const std::ptrdiff_t to = rank_in(x, n, j, falling);
      if (to < count) y[to] = values[j];
    }
}
)",
     {}},
    {"unsort",
     R"(
/// The way back; 0 where nothing came from.
inline void unsort(const Real* x, const Real* sorted, std::ptrdiff_t rows, std::ptrdiff_t n, std::ptrdiff_t count,
                   bool falling, Real* y) {
  for (std::ptrdiff_t r = 0; r < rows; ++r, x += n, sorted += count, y += n)
    for (std::ptrdiff_t j = 0; j < n; ++j) {
      const std::ptrdiff_t from = rank_in(x, n, j, falling);
      y[j] = from < count ? sorted[from] : Real(0);
    }
}
)",
     {}},

    // ---- With indices

    {"place",
     R"(
/// Each number at its index, 0 elsewhere.
template <class I>
inline void place(const Real* x, const I* indices, std::ptrdiff_t count, std::ptrdiff_t classes, Real* y) {
  for (std::ptrdiff_t i = 0; i < count; ++i, y += classes) {
    const std::ptrdiff_t at = index_at(indices, i);
    for (std::ptrdiff_t j = 0; j < classes; ++j)
      y[j] = !is_inside(at, classes) ? Real(NAN) : j == at ? x[i] : Real(0);
  }
}
)",
     {}},
    {"scatter_rows",
     R"(
/// Rows added up by index; one whose index is outside makes the first row nan.
template <class I>
inline void scatter_rows(const Real* x, const I* indices, std::ptrdiff_t count, std::ptrdiff_t rows,
                         std::ptrdiff_t n, Real* y) {
  fill_zeros(rows * n, y);
  for (std::ptrdiff_t i = 0; i < count; ++i, x += n) {
    const std::ptrdiff_t at = index_at(indices, i);
    const bool inside = is_inside(at, rows);
    for (std::ptrdiff_t j = 0; j < n; ++j) y[(inside ? at * n : 0) + j] += inside ? x[j] : Real(NAN);
  }
}
)",
     {}},
    {"take_elements",
     R"(
template <class I>
inline void take_elements(const Real* x, const I* indices, std::ptrdiff_t count, std::ptrdiff_t bound, Real* y) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::ptrdiff_t at = index_at(indices, i);
    y[i] = is_inside(at, bound) ? x[at] : Real(NAN);
  }
}
)",
     {}},
    {"add_elements",
     R"(
template <class I>
inline void add_elements(const Real* x, const I* indices, std::ptrdiff_t count, std::ptrdiff_t bound, Real* y) {
  fill_zeros(bound, y);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::ptrdiff_t at = index_at(indices, i);
    y[is_inside(at, bound) ? at : 0] += is_inside(at, bound) ? x[i] : Real(NAN);
  }
}
)",
     {}},

    // ---- Sequences of several lengths side by side

    {"clear_padding",
     R"(
/// x [steps, batch, n] up to each sequence's length, and 0 from there on.
template <class E, class I>
inline void clear_padding(const E* x, const I* lengths, std::ptrdiff_t steps, std::ptrdiff_t batch, std::ptrdiff_t n,
                          E* y) {
  for (std::ptrdiff_t t = 0; t < steps; ++t)
    for (std::ptrdiff_t b = 0; b < batch; ++b)
      for (std::ptrdiff_t j = 0; j < n; ++j, ++x, ++y)
        if (t < index_at(lengths, b))
          std::memcpy(y, x, sizeof *y);
        else
          *y = E();
}
)",
     {}},
    {"sequence_mask",
     R"(
template <class I>
inline void sequence_mask(const I* lengths, std::ptrdiff_t steps, std::ptrdiff_t batch, Real* y) {
  for (std::ptrdiff_t t = 0; t < steps; ++t)
    for (std::ptrdiff_t b = 0; b < batch; ++b) *y++ = t < index_at(lengths, b) ? Real(1) : Real(0);
}
)",
     {}},
    {"lengths_within",
     R"(
/// How many of each length's steps lie among `count` of them, from `first` on.
template <class I>
inline void lengths_within(const I* lengths, std::ptrdiff_t batch, std::ptrdiff_t first, std::ptrdiff_t count, I* y) {
  for (std::ptrdiff_t b = 0; b < batch; ++b) {
    const std::ptrdiff_t more = index_at(lengths, b) - first, most = more < count ? more : count;
    const std::int32_t within = std::int32_t(most < 0 ? 0 : most);
    std::memcpy(y + b, &within, sizeof within);
  }
}
)",
     {}},

    // ---- Along an axis

    {"linear_recurrence",
     R"(
/// h(t) = a(t) h(t-1) + x(t) or, transposed, a(t+1) h(t+1) + x(t), of [outer, steps, inner].
inline void linear_recurrence(const Real* a, const Real* x, std::ptrdiff_t outer, std::ptrdiff_t steps,
                              std::ptrdiff_t inner, bool transposed, Real* y) {
  for (std::ptrdiff_t o = 0; o < outer; ++o)
    for (std::ptrdiff_t k = 0; k < steps; ++k)
      for (std::ptrdiff_t i = 0; i < inner; ++i) {
        const std::ptrdiff_t t = transposed ? steps - 1 - k : k, at = (o * steps + t) * inner + i;
        const std::ptrdiff_t before = transposed ? at + inner : at - inner;
        y[at] = x[at] + (k == 0 ? Real(0) : times0(a[transposed ? before : at], y[before]));
      }
}
)",
     {}},

    // ---- Matrices

    {"tril",
     R"(
/// Lower triangles of matrices [rows, columns], the diagonal times a number.
inline void tril(const Real* x, std::ptrdiff_t matrices, std::ptrdiff_t rows, std::ptrdiff_t columns, double diagonal,
                 Real* y) {
  for (std::ptrdiff_t m = 0; m < matrices; ++m)
    for (std::ptrdiff_t r = 0; r < rows; ++r)
      for (std::ptrdiff_t c = 0; c < columns; ++c, ++x, ++y)
        *y = c < r ? *x : c == r ? Real(diagonal) * *x : Real(0);
}
)",
     {}},
    {"cholesky",
     R"(
/// The lower triangle L with L L' = (A + A') / 2; nan where A is not positive definite.
inline void cholesky(const Real* a, std::ptrdiff_t matrices, std::ptrdiff_t n, Real* y) {
  for (std::ptrdiff_t m = 0; m < matrices; ++m, a += n * n, y += n * n)
    for (std::ptrdiff_t i = 0; i < n; ++i)
      for (std::ptrdiff_t j = 0; j < n; ++j) {
        if (j > i) {
          y[i * n + j] = 0;
          continue;
        }
        double sum = (double(a[i * n + j]) + double(a[j * n + i])) / 2;
        for (std::ptrdiff_t k = 0; k < j; ++k) sum -= double(y[i * n + k]) * double(y[j * n + k]);
        y[i * n + j] = Real(i > j ? sum / double(y[j * n + j]) : sum > 0 ? std::sqrt(sum) : double(NAN));
      }
}
)",
     {}},
    {"lower_factor",
     R"(
/// The lower triangle L, not negative on its diagonal, with L L' = M M', for M [N, K], by reflections (Householder, 1958).
template <std::ptrdiff_t N, std::ptrdiff_t K>
inline void lower_factor(const Real* m, std::ptrdiff_t matrices, Real* y) {
  double a[N * K];
  for (; matrices > 0; --matrices, m += N * K, y += N * N) {
    for (std::ptrdiff_t i = 0; i < N * K; ++i) a[i] = double(m[i]);
    fill_zeros(N * N, y);
    for (std::ptrdiff_t r = 0; r < N; ++r) {
      double* const v = a + r * K;  // becomes what reflects this row, and the ones below, to the diagonal
      double squares = 0;
      for (std::ptrdiff_t c = r; c < K; ++c) squares += v[c] * v[c];
      const double length = std::sqrt(squares), sign = v[r] < 0 ? -1 : 1, half = squares + length * std::fabs(v[r]);
      y[r * N + r] = Real(length);
      v[r] += sign * length;
      for (std::ptrdiff_t i = r + 1; i < N; ++i) {
        double* const row = a + i * K;
        double along = 0;
        for (std::ptrdiff_t c = r; c < K; ++c) along += row[c] * v[c];
        if (half != 0) along /= half;
        for (std::ptrdiff_t c = r; c < K; ++c) row[c] -= along * v[c];
        y[i * N + r] = Real(-sign * row[r]);
      }
    }
  }
}
)",
     {}},
    {"solve_triangular",
     R"(
/// L^-1 B or, transposed, L'^-1 B, of the lower triangle of L [n, n], for B [n, k].
inline void solve_triangular(bool transposed, const Real* l, const Real* b, std::ptrdiff_t matrices, std::ptrdiff_t n,
                             std::ptrdiff_t k, Real* y) {
  for (std::ptrdiff_t m = 0; m < matrices; ++m, l += n * n, b += n * k, y += n * k)
    for (std::ptrdiff_t c = 0; c < k; ++c)
      for (std::ptrdiff_t step = 0; step < n; ++step) {
        const std::ptrdiff_t i = transposed ? n - 1 - step : step;
        double sum = double(b[i * k + c]);
        for (std::ptrdiff_t j = transposed ? i + 1 : 0; j < (transposed ? n : i); ++j)
          sum -= double(transposed ? l[j * n + i] : l[i * n + j]) * double(y[j * k + c]);
        y[i * k + c] = Real(sum / double(l[i * n + i]));
      }
}
)",
     {}},
    {"solve_linear",
     R"(
/// The x of A x = b for each row b [N], by elimination with the largest pivot of each column.
template <std::ptrdiff_t N>
inline void solve_linear(const Real* a, const Real* b, std::ptrdiff_t rows, Real* y) {
  double lu[N * N], x[N];
  std::ptrdiff_t order[N];
  for (std::ptrdiff_t i = 0; i < N * N; ++i) lu[i] = double(a[i]);
  for (std::ptrdiff_t k = 0; k < N; ++k) order[k] = k;
  for (std::ptrdiff_t k = 0; k < N; ++k) {
    std::ptrdiff_t best = k;
    for (std::ptrdiff_t i = k + 1; i < N; ++i)
      if (std::fabs(lu[order[i] * N + k]) > std::fabs(lu[order[best] * N + k])) best = i;
    const std::ptrdiff_t pivot = order[best];
    order[best] = order[k];
    order[k] = pivot;
    for (std::ptrdiff_t i = k + 1; i < N; ++i) {
      double* const row = lu + order[i] * N;
      row[k] /= lu[pivot * N + k];
      for (std::ptrdiff_t j = k + 1; j < N; ++j) row[j] -= row[k] * lu[pivot * N + j];
    }
  }
  for (; rows > 0; --rows, b += N, y += N) {
    for (std::ptrdiff_t i = 0; i < N; ++i) {
      x[i] = double(b[order[i]]);
      for (std::ptrdiff_t j = 0; j < i; ++j) x[i] -= lu[order[i] * N + j] * x[j];
    }
    for (std::ptrdiff_t i = N; i-- > 0;) {
      for (std::ptrdiff_t j = i + 1; j < N; ++j) x[i] -= lu[order[i] * N + j] * x[j];
      x[i] /= lu[order[i] * N + i];
    }
    for (std::ptrdiff_t i = 0; i < N; ++i) y[i] = Real(x[i]);
  }
}
)",
     {}},

    // ---- Convolutions

    {"Convolution",
     R"(
/// How kernels go over pictures, whose places are where they stand.
struct Convolution {
  std::ptrdiff_t pictures, groups, in, out, size[2], kernel[2], stride[2], dilation[2], before[2], places[2];

  /// Calls f(element of a picture, element of a kernel, element of the places) for all that meet.
  template <class F>
  void each(F f) const {
    for (std::ptrdiff_t p = 0; p < pictures * groups; ++p)
      for (std::ptrdiff_t o = 0; o < out; ++o)
        for (std::ptrdiff_t c = 0; c < in; ++c)
          for (std::ptrdiff_t i = 0; i < places[0]; ++i)
            for (std::ptrdiff_t j = 0; j < places[1]; ++j)
              for (std::ptrdiff_t k = 0; k < kernel[0]; ++k)
                for (std::ptrdiff_t l = 0; l < kernel[1]; ++l) {
                  const std::ptrdiff_t row = i * stride[0] + k * dilation[0] - before[0];
                  const std::ptrdiff_t column = j * stride[1] + l * dilation[1] - before[1];
                  if (row < 0 || row >= size[0] || column < 0 || column >= size[1]) continue;
                  f(((p * in + c) * size[0] + row) * size[1] + column,
                    (((p % groups * out + o) * in + c) * kernel[0] + k) * kernel[1] + l,
                    ((p * out + o) * places[0] + i) * places[1] + j);
                }
  }
};
)",
     {}},
    {"conv",
     R"(
inline void conv(const Convolution& way, const Real* x, const Real* w, std::ptrdiff_t n, Real* y) {
  fill_zeros(n, y);
  way.each([=](std::ptrdiff_t i, std::ptrdiff_t k, std::ptrdiff_t at) { y[at] += x[i] * w[k]; });
}
)",
     {}},
    {"conv_data",
     R"(
/// What of a dy reaches x.
inline void conv_data(const Convolution& way, const Real* dy, const Real* w, std::ptrdiff_t n, Real* dx) {
  fill_zeros(n, dx);
  way.each([=](std::ptrdiff_t i, std::ptrdiff_t k, std::ptrdiff_t at) { dx[i] += dy[at] * w[k]; });
}
)",
     {}},
    {"conv_weights",
     R"(
/// What of a dy reaches w.
inline void conv_weights(const Convolution& way, const Real* x, const Real* dy, std::ptrdiff_t n, Real* dw) {
  fill_zeros(n, dw);
  way.each([=](std::ptrdiff_t i, std::ptrdiff_t k, std::ptrdiff_t at) { dw[k] += x[i] * dy[at]; });
}
)",
     {}},
    {"windows",
     R"(
/// Windows of pictures side by side, with 0 outside.
inline void windows(const Convolution& way, const Real* x, std::ptrdiff_t n, Real* y) {
  const std::ptrdiff_t taps = way.kernel[0] * way.kernel[1];
  fill_zeros(n, y);
  way.each([=](std::ptrdiff_t i, std::ptrdiff_t k, std::ptrdiff_t at) { y[at * taps + k] = x[i]; });
}
)",
     {}},
    {"from_windows",
     R"(
/// What each element of pictures has in windows, added up.
inline void from_windows(const Convolution& way, const Real* x, std::ptrdiff_t n, Real* y) {
  const std::ptrdiff_t taps = way.kernel[0] * way.kernel[1];
  fill_zeros(n, y);
  way.each([=](std::ptrdiff_t i, std::ptrdiff_t k, std::ptrdiff_t at) { y[i] += x[at * taps + k]; });
}
)",
     {}},
};

}  // namespace

std::span<const MathFunction> op_functions() { return functions_of_ops; }

}  // namespace rw::detail
