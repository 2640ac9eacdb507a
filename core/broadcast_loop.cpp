#include <algorithm>

#include <rewind/core/broadcast_loop.h>
#include <rewind/core/strides.h>
#include <rewind/core/threads.h>

namespace rw {
namespace {

constexpr std::size_t most = max_loop_inputs;
constexpr Index block = 512;  // elements of a stretched operand written out at a time: stays in L1
constexpr Index parallel_block = 1 << 15;

template <class T>
struct Rows {
  const VectorLoop& loop;
  const void* fn;
  const LoopNest<most + 1>& nest;
  std::span<const ConstView> x;
  T* y;

  // Runs the inner loops `begin` to `end`.
  void operator()(Index begin, Index end) const {
    const auto inputs = x.size();
    T filled[most][block];
    const Index cols = nest.inner();
    Index step = cols;
    for (std::size_t i = 0; i < inputs; ++i)
      if (nest.inner_stride(i) == 0 && cols > 1) step = std::min(cols, block);
    for (Index r = begin; r < end; ++r) {
      const T* from[most];
      for (std::size_t i = 0; i < inputs; ++i) {
        from[i] = x[i].as<T>() + nest.offset(i, r);
        if (nest.inner_stride(i) == 0 && cols > 1) {
          std::fill_n(filled[i], step, *from[i]);
          from[i] = filled[i];
        }
      }
      T* to = y + nest.offset(most, r);
      for (Index c = 0; c < cols; c += step) {
        loop.of<T>()(fn, std::min(step, cols - c), from, to + c);
        for (std::size_t i = 0; i < inputs; ++i)
          if (from[i] != filled[i]) from[i] += step;
      }
    }
  }
};

// How an input lies beside y: its rows beside y's rows, one row beside all of them, one number, or anything else.
enum class Layout { rows, one_row, number, other };

Layout layout_of(const ConstView& x, const View& y) {
  if (x.shape == y.shape) return Layout::rows;
  if (x.size() == 1) return y.cols() <= block ? Layout::number : Layout::other;
  if (x.cols() == y.cols() && x.rows() == 1 && x.shape.rank() <= y.shape.rank()) return Layout::one_row;
  return Layout::other;
}

// A bias beside a batch, a gate that is a slice of a matrix: no need for a loop nest.
template <class T>
bool run_rows(const VectorLoop& loop, const void* fn, std::span<const ConstView> x, View y) {
  Index step[most];
  const T* first[most];
  T filled[most][block];
  for (std::size_t i = 0; i < x.size(); ++i) {
    const Layout layout = layout_of(x[i], y);
    if (layout == Layout::other) return false;
    step[i] = layout == Layout::rows ? x[i].stride : 0;
    first[i] = x[i].as<T>();
    if (layout == Layout::number) first[i] = std::fill_n(filled[i], y.cols(), *first[i]) - y.cols();
  }
  const auto part = [&](Index begin, Index end) {
    const T* from[most];
    for (std::size_t i = 0; i < x.size(); ++i) from[i] = first[i] + begin * step[i];
    T* to = y.as<T>() + begin * y.stride;
    for (Index r = begin; r < end; ++r) {
      loop.of<T>()(fn, y.cols(), from, to);
      for (std::size_t i = 0; i < x.size(); ++i) from[i] += step[i];
      to += y.stride;
    }
  };
  detail::parallel_parts(y.size(), y.rows(), std::max<Index>(1, parallel_block / std::max<Index>(1, y.cols())), part);
  return true;
}

template <class T>
void run(const VectorLoop& loop, const void* fn, std::span<const ConstView> x, View y) {
  if (run_rows<T>(loop, fn, x, y)) return;
  std::array<std::pair<Shape, Index>, most + 1> layouts{};
  for (std::size_t i = 0; i < x.size(); ++i) layouts[i] = {x[i].shape, x[i].stride};
  layouts[most] = {y.shape, y.stride};
  const auto nest = loop_nest<most + 1>(y.shape, layouts, static_cast<int>(most + 1));
  const Rows<T> rows{loop, fn, nest, x, y.as<T>()};
  detail::parallel_parts(y.size(), nest.outer(), std::max<Index>(1, parallel_block / nest.inner()), rows);
}

template <class T>
void run_contiguous(const VectorLoop& loop, const void* fn, Index n, const void* const* x, int inputs, void* y) {
  detail::parallel_parts(n, n, parallel_block, [&](Index begin, Index end) {
    const T* from[most];
    for (int i = 0; i < inputs; ++i) from[i] = static_cast<const T*>(x[i]) + begin;
    loop.of<T>()(fn, end - begin, from, static_cast<T*>(y) + begin);
  });
}

}  // namespace

void broadcast_loop(const VectorLoop& loop, const void* fn, std::span<const ConstView> x, View y) {
  if (y.size() == 0) return;
  bool in_one_loop = y.contiguous();
  const void* data[most];
  for (std::size_t i = 0; i < x.size(); ++i) {
    in_one_loop = in_one_loop && x[i].contiguous() && x[i].shape == y.shape;
    data[i] = x[i].data;
  }
  if (in_one_loop) return contiguous_loop(loop, fn, y.dtype, y.size(), data, static_cast<int>(x.size()), y.data);
  visit_real(y.dtype, [&]<class T>() { run<T>(loop, fn, x, y); });
}

void contiguous_loop(const VectorLoop& loop, const void* fn, DType dtype, Index n, const void* const* x, int inputs,
                     void* y) {
  if (n < detail::parallel_from) {  // the pointers serve as they are
    if (dtype == DType::f32) return loop.f32(fn, n, reinterpret_cast<const float* const*>(x), static_cast<float*>(y));
    return loop.f64(fn, n, reinterpret_cast<const double* const*>(x), static_cast<double*>(y));
  }
  visit_real(dtype, [&]<class T>() { run_contiguous<T>(loop, fn, n, x, inputs, y); });
}

}  // namespace rw
