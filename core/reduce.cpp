#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include <rewind/core/broadcast_loop.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>
#include <rewind/core/threads.h>

namespace rw {
namespace {

struct Plus {
  template <class... T>
  auto operator()(T... x) const {
    return (... + x);  // from left to right
  }
};

// How sums are made into trees: so many additions follow each other, and then partial sums of equally many terms meet
// in pairs. Contiguous numbers are added by so many running sums side by side, and their blocks in double.
constexpr Index run_length = 32, side_by_side = 16, sum_block = 4096;

/// A sum in pairs, of terms that come one by one: of 2^k terms at `level_[k]`, as a binary counter has digits.
class PairwiseSum {
 public:
  void add(double term) {
    int k = 0;
    for (std::uint64_t digits = count_++; (digits & 1) != 0; digits >>= 1) term = level_[k++] + term;
    level_[k] = term;
  }
  double total() const {
    double sum = 0;
    int k = 0;
    for (std::uint64_t digits = count_; digits != 0; digits >>= 1, ++k)
      if ((digits & 1) != 0) sum = level_[k] + sum;
    return sum;
  }

 private:
  std::uint64_t count_ = 0;
  double level_[64];
};

// Sum of up to `sum_block` contiguous numbers: runs of additions side by side, and the runs in pairs.
template <class T>
T block_sum(const T* x, Index n) {
  constexpr Index each = run_length * side_by_side, most = sum_block / each;
  T part[most][side_by_side];
  Index runs = 0;
  for (Index begin = 0; begin < n || runs == 0; begin += each, ++runs) {
    const Index end = std::min(n, begin + each);
    T* running = part[runs];
    std::fill_n(running, side_by_side, T(0));
    Index i = begin;
    for (; i + side_by_side <= end; i += side_by_side)
      for (Index l = 0; l < side_by_side; ++l) running[l] += x[i + l];
    for (Index l = 0; i < end; ++i, ++l) running[l] += x[i];
  }
  for (Index apart = 1; apart < runs; apart *= 2)
    for (Index r = 0; r + apart < runs; r += 2 * apart)
      for (Index l = 0; l < side_by_side; ++l) part[r][l] += part[r + apart][l];
  for (Index width = side_by_side / 2; width > 0; width /= 2)
    for (Index l = 0; l < width; ++l) part[0][l] += part[0][l + width];
  return part[0][0];
}

// The elements of a view by their number, row-major.
template <class T>
struct Elements {
  T* data;
  Index cols, stride;
  bool packed;

  template <class V>
  explicit Elements(const V& v)
      : data(v.template as<std::remove_const_t<T>>()), cols(v.cols()), stride(v.stride), packed(v.contiguous()) {}
  explicit Elements(T* contiguous) : data(contiguous), cols(1), stride(1), packed(true) {}
  T* at(Index i) const { return packed ? data + i : data + i / cols * stride + i % cols; }
  // How many elements from number i on lie side by side.
  Index run(Index i, Index at_most) const { return packed ? at_most : std::min(at_most, cols - i % cols); }
};

template <class T, int inputs>
void add_run(const T* const* in, Index n, T* to) {
  static const VectorLoop plus = vector_loop<Plus, inputs>();
  const Plus fn;
  plus.of<T>()(&fn, n, in, to);
}

// to = the sum of 1 to 5 arrays, from left to right; `to` may be the first.
template <class T>
void add_runs(const T* const* in, Index inputs, Index n, T* to) {
  switch (inputs) {
    case 1: return add_run<T, 1>(in, n, to);
    case 2: return add_run<T, 2>(in, n, to);
    case 3: return add_run<T, 3>(in, n, to);
    case 4: return add_run<T, 4>(in, n, to);
    default: return add_run<T, 5>(in, n, to);
  }
}

/// Rows of x, `cols` elements each from number `first` on, to be added up. x's own rows do not cross their ends.
template <class T>
struct SummedRows {
  const Elements<const T>& x;
  Index first, cols;

  const T* at(Index row, Index column) const { return x.at(first + row * cols + column); }

  // to = the sum of rows [from, until), one after another, of the columns [begin, end).
  void add_run_of_rows(Index from, Index until, Index begin, Index end, T* to) const {
    for (Index c = begin, n = 0; c < end; c += n, to += n) {
      n = x.run(first + c, end - c);
      const T* in[5] = {to};
      for (Index r = from; r < until;) {
        Index inputs = r == from ? 0 : 1;
        while (inputs < 5 && r < until) in[inputs++] = at(r++, c);
        add_runs(in, inputs, n, to);
        in[0] = to;
      }
    }
  }
};

/// Room for the partial sums of a thread; it stays for the next sums.
template <class T>
T* room(Index n) {
  thread_local std::vector<T> memory;
  if (static_cast<Index>(memory.size()) < n) memory.resize(static_cast<std::size_t>(n));
  return memory.data();
}

// The sum of `count` rows, of the columns [begin, end): runs in pairs. It stands in the thread's room.
template <class T>
T* add_rows_in_pairs(const SummedRows<T>& rows, Index count, Index begin, Index end) {
  const Index n = end - begin, runs = (count + run_length - 1) / run_length;
  const auto levels = static_cast<Index>(std::bit_width(static_cast<std::uint64_t>(runs)));
  T* level[64];  // level[k] is of 2^k runs, and the last one is free
  T* next = room<T>((levels + 1) * n);
  for (Index k = 0; k <= levels; ++k) level[k] = next + k * n;
  T* sum = level[levels];
  const auto add_level = [&](Index k) {
    const T* in[] = {level[k], sum};
    add_run<T, 2>(in, n, level[k]);
    std::swap(level[k], sum);
  };
  for (Index run = 0; run < runs; ++run) {
    rows.add_run_of_rows(run * run_length, std::min(count, (run + 1) * run_length), begin, end, sum);
    Index k = 0;
    for (Index digits = run; (digits & 1) != 0; digits >>= 1) add_level(k++);
    std::swap(level[k], sum);
  }
  bool first = true;
  for (Index k = 0; k < levels; ++k) {
    if ((runs >> k & 1) == 0) continue;
    if (first)
      std::swap(level[k], sum);
    else
      add_level(k);
    first = false;
  }
  return sum;
}

template <class T>
void copy_to(const T* from, const Elements<T>& to, Index first, Index n) {
  for (Index i = 0, run = 0; i < n; i += run) {
    run = to.run(first + i, n - i);
    std::copy_n(from + i, run, to.at(first + i));
  }
}

/// One of the axes of a sum: x is [outer, length, inner] and y [outer, inner].
struct SummedAxis {
  Index outer, length, inner;
};

// How many rows are added as one, so that few columns make whole vectors.
Index rows_at_once(const SummedAxis& a) {
  constexpr Index wide = 256;
  const Index most = std::min(wide / a.inner, a.length / 8);
  return most < 2 ? 1 : static_cast<Index>(std::bit_floor(static_cast<std::uint64_t>(most)));
}

// Columns [begin, end) of one matrix [length, inner], of which row 0 begins at x's element `first`.
template <class T>
void sum_columns(const Elements<const T>& x, Index first, const SummedAxis& a, Index begin, Index end,
                 const Elements<T>& y, Index to) {
  const SummedRows<T> rows{x, first, a.inner};
  if (a.length > run_length) return copy_to(add_rows_in_pairs(rows, a.length, begin, end), y, to + begin, end - begin);
  for (Index c = begin, n = 0; c < end; c += n) {
    n = y.run(to + c, end - c);
    rows.add_run_of_rows(0, a.length, c, c + n, y.at(to + c));
  }
}

// The same of few columns: `group` rows at once, what is left of them, and then the rows of the group in pairs.
template <class T>
void sum_few_columns(const Elements<const T>& x, Index first, const SummedAxis& a, Index group, const Elements<T>& y,
                     Index to) {
  const Index cols = group * a.inner, groups = a.length / group, rest = a.length % group * a.inner;
  T* sum = add_rows_in_pairs(SummedRows<T>{x, first, cols}, groups, 0, cols);
  for (Index i = 0, n = 0; i < rest; i += n) {
    n = x.run(first + groups * cols + i, rest - i);
    const T* in[] = {sum + i, x.at(first + groups * cols + i)};
    add_run<T, 2>(in, n, sum + i);
  }
  for (Index half = group / 2; half > 0; half /= 2) {
    const T* in[] = {sum, sum + half * a.inner};
    add_run<T, 2>(in, half * a.inner, sum);
  }
  copy_to(static_cast<const T*>(sum), y, to, a.inner);
}

// Sum of the n elements from number `first` on.
template <class T>
double sum_elements(const Elements<const T>& x, Index first, Index n) {
  if (x.run(first, n) == n) return sum(x.at(first), n);
  T block[sum_block];
  PairwiseSum total;
  for (Index begin = 0; begin < n; begin += sum_block) {
    const Index length = std::min(sum_block, n - begin);
    for (Index i = 0, run = 0; i < length; i += run) {
      run = x.run(first + begin + i, length - i);
      std::copy_n(x.at(first + begin + i), run, block + i);
    }
    total.add(static_cast<double>(block_sum(static_cast<const T*>(block), length)));
  }
  return total.total();
}

template <class T>
void sum_axis(const Elements<const T>& x, const SummedAxis& a, const Elements<T>& y) {
  constexpr Index few_elements = 1 << 14, few_columns = 128, most_columns = 4096;  // what stays in the cache
  const Index matrix = a.length * a.inner, work = a.outer * matrix, group = rows_at_once(a);
  const Index matrices = std::max<Index>(1, few_elements / matrix);
  if (a.inner == 1 || group > 1)
    return detail::parallel_parts(work, a.outer, matrices, [&](Index begin, Index end) {
      for (Index o = begin; o < end; ++o)
        if (a.inner == 1)
          *y.at(o) = static_cast<T>(sum_elements(x, o * matrix, a.length));
        else
          sum_few_columns(x, o * matrix, a, group, y, o * a.inner);
    });
  const Index each = std::clamp((a.inner / threads() + 63) / 64 * 64, few_columns, most_columns);
  const Index parts = (a.inner + each - 1) / each;
  detail::parallel_parts(work, a.outer * parts, parts > 1 ? 1 : matrices, [&](Index begin, Index end) {
    for (Index i = begin; i < end; ++i)
      sum_columns(x, i / parts * matrix, a, i % parts * each, std::min(a.inner, (i % parts + 1) * each), y,
                  i / parts * a.inner);
  });
}

/// The axes of a sum from x to y, neighbours that are both summed, or both not, as one.
class Axes {
 public:
  Axes(const Shape& x, const Shape& y) {
    for (int i = 0; i < x.rank(); ++i) {
      const int in_y = i - (x.rank() - y.rank());
      if (x[i] != 1) append({x[i], in_y < 0 || y[in_y] != x[i]});
    }
  }
  bool any_summed() const {
    return std::any_of(begin(), end(), [](const Axis& a) { return a.summed; });
  }
  /// The last axis that is summed, between what is before and behind it; or all as one that is no sum.
  SummedAxis last_summed() const {
    SummedAxis a{1, 1, 1};
    for (const Axis* i = end(); i != begin();) {
      --i;
      if (a.length > 1)
        a.outer *= i->length;
      else
        (i->summed ? a.length : a.inner) *= i->length;
    }
    return a;
  }
  /// What is left once that one has been summed.
  Axes rest() const {
    Axes out;
    const Axis* last = end();
    while (last != begin() && !(last - 1)->summed) --last;
    for (const Axis* i = begin(); i != end(); ++i)
      if (i + 1 != last) out.append(*i);
    return out;
  }

 private:
  struct Axis {
    Index length;
    bool summed;
  };
  Axes() = default;
  const Axis* begin() const { return axes_.data(); }
  const Axis* end() const { return axes_.data() + count_; }
  void append(Axis a) {
    if (count_ > 0 && (end() - 1)->summed == a.summed)
      axes_[count_ - 1].length *= a.length;
    else
      axes_[count_++] = a;
  }

  std::array<Axis, max_rank> axes_{};
  std::size_t count_ = 0;
};

// y = the sums of x, over one axis after another, the last one first.
template <class T>
void sum_axes(ConstView x, View y) {
  Axes axes(x.shape, y.shape);
  Elements<const T> from(x);
  for (std::vector<T> partial;;) {
    const SummedAxis sum = axes.last_summed();
    axes = axes.rest();
    if (!axes.any_summed()) return sum_axis(from, sum, Elements<T>(y));
    std::vector<T> sums(static_cast<std::size_t>(sum.outer * sum.inner));
    sum_axis(from, sum, Elements<T>(sums.data()));
    partial = std::move(sums);
    from = Elements<const T>(static_cast<const T*>(partial.data()));
  }
}

void add_converted(ConstView x, View y) {
  visit_real(x.dtype, [&]<class From>() {
    visit_real(y.dtype, [&]<class To>() {
      for (Index r = 0; r < y.rows(); ++r)
        for (Index c = 0; c < y.cols(); ++c) y.row<To>(r)[c] += static_cast<To>(x.row<From>(r)[c]);
    });
  });
}

}  // namespace

void add_into(ConstView x, View y) {
  if (x.dtype != y.dtype) return add_converted(x, y);
  static const VectorLoop plus = vector_loop<Plus, 2>();
  const Plus fn;
  const ConstView in[] = {y, x};
  broadcast_loop(plus, &fn, in, y);
}

template <class T>
double sum(const T* x, Index n) {
  if (n <= sum_block) return static_cast<double>(block_sum(x, n));
  PairwiseSum total;
  for (Index begin = 0; begin < n; begin += sum_block)
    total.add(static_cast<double>(block_sum(x + begin, std::min(sum_block, n - begin))));
  return total.total();
}

template double sum<float>(const float*, Index);
template double sum<double>(const double*, Index);

void sum_to(ConstView x, View y) {
  if (!broadcasts_to(y.shape, x.shape))
    throw Error("cannot sum " + x.shape.str() + " to " + y.shape.str() + ": the second must broadcast to the first");
  if (y.shape == x.shape) return copy(x, y);
  visit_real(y.dtype, [&]<class T>() {
    // All of it to one number: one axis, which takes no looking for.
    if (y.size() == 1 && x.contiguous()) {
      *y.as<T>() = static_cast<T>(sum(x.as<T>(), x.size()));
      return;
    }
    if (x.size() > 0) return sum_axes<T>(x, y);
    for (Index r = 0; r < y.rows(); ++r) std::fill_n(y.row<T>(r), y.cols(), T(0));
  });
}

}  // namespace rw
