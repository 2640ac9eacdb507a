#include <algorithm>
#include <map>
#include <memory>
#include <vector>

#ifdef REWIND_HAS_ONEDNN
#include <oneapi/dnnl/dnnl.hpp>
#endif

#include <rewind/core/array.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/convolution.h>
#include <rewind/core/gemm/gemm.h>
#include <rewind/core/gemm/one_openmp_thread.h>
#include <rewind/core/threads.h>

namespace rw {
namespace {

using detail::at;

Index size_of_x(const ConvolutionSizes& s) { return s.groups * s.in * s.area(); }
Index size_of_y(const ConvolutionSizes& s) { return s.groups * s.out * s.places(); }
Index size_of_w(const ConvolutionSizes& s) { return s.groups * s.out * s.taps(); }

// ---- Kernels of our own: a picture's windows are the columns of a matrix -------------------------------------------

/// Calls f(element of x, element of the matrix [taps, places]) for each that is within the picture.
template <class F>
void for_each_tap(const ConvolutionSizes& s, F&& f) {
  const Index rows = s.places(0), cols = s.places(1);
  Index tap = 0;
  for (Index c = 0; c < s.in; ++c)
    for (Index ki = 0; ki < s.kernel[0]; ++ki)
      for (Index kj = 0; kj < s.kernel[1]; ++kj, ++tap)
        for (Index i = 0; i < rows; ++i) {
          const Index r = i * s.stride[0] + ki * s.dilation[0] - s.before[0];
          if (r < 0 || r >= s.size[0]) continue;
          const Index to = (tap * rows + i) * cols, from = (c * s.size[0] + r) * s.size[1];
          for (Index j = 0; j < cols; ++j) {
            const Index q = j * s.stride[1] + kj * s.dilation[1] - s.before[1];
            if (q >= 0 && q < s.size[1]) f(from + q, to + j);
          }
        }
}

template <class T>
T* room(const ConvolutionSizes& s) {
  thread_local std::vector<T> windows;
  if (windows.size() < at(s.taps() * s.places())) windows.resize(at(s.taps() * s.places()));
  return windows.data();
}

template <class T>
void gather(const ConvolutionSizes& s, const T* x, T* windows) {
  std::fill_n(windows, s.taps() * s.places(), T(0));
  for_each_tap(s, [&](Index from, Index to) { windows[to] = x[from]; });
}

/// Calls f(x, w, y) with where each group of each picture begins.
template <class F>
void for_each_group(const ConvolutionSizes& s, F&& f) {
  for (Index p = 0; p < s.pictures; ++p)
    for (Index g = 0; g < s.groups; ++g)
      f((p * s.groups + g) * s.in * s.area(), g * s.out * s.taps(), (p * s.groups + g) * s.out * s.places());
}

template <class T>
void run(const ConvolutionSizes& s, const T* x, const T* w, T* y) {
  const Index n = s.places(), k = s.taps();
  T* windows = room<T>(s);
  for_each_group(s, [&](Index at_x, Index at_w, Index at_y) {
    gather(s, x + at_x, windows);
    gemm(false, false, s.out, n, k, w + at_w, k, windows, n, y + at_y, n, false);
  });
}

template <class T>
void run_data(const ConvolutionSizes& s, const T* dy, const T* w, T* dx) {
  const Index n = s.places(), k = s.taps();
  T* windows = room<T>(s);
  for_each_group(s, [&](Index at_x, Index at_w, Index at_y) {
    gemm(true, false, k, n, s.out, w + at_w, k, dy + at_y, n, windows, n, false);
    T* to = dx + at_x;
    std::fill_n(to, s.in * s.area(), T(0));
    for_each_tap(s, [&](Index target, Index from) { to[target] += windows[from]; });
  });
}

template <class T>
void run_weights(const ConvolutionSizes& s, const T* x, const T* dy, T* dw) {
  const Index n = s.places(), k = s.taps();
  T* windows = room<T>(s);
  std::fill_n(dw, size_of_w(s), T(0));
  for_each_group(s, [&](Index at_x, Index at_w, Index at_y) {
    gather(s, x + at_x, windows);
    gemm(false, true, s.out, k, n, dy + at_y, n, windows, n, dw + at_w, k, true);
  });
}

// ---- oneDNN --------------------------------------------------------------------------------------------------------

#ifdef REWIND_HAS_ONEDNN

enum class Sum { value, data, weights };

/// One of the three sums for one set of sizes: a primitive, in whose own layouts our arrays are brought, in room that
/// all primitives of a thread share.
class Primitive {
 public:
  Primitive(Sum sum, const ConvolutionSizes& s) {
    const dnnl::memory::dims x{s.pictures, s.groups * s.in, s.size[0], s.size[1]};
    const dnnl::memory::dims y{s.pictures, s.groups * s.out, s.places(0), s.places(1)};
    const dnnl::memory::dims w{s.groups, s.out, s.in, s.kernel[0], s.kernel[1]};
    const auto pair = [](const ConvolutionSizes::Pair& p, Index less = 0) {
      return dnnl::memory::dims{p[0] - less, p[1] - less};
    };
    const dnnl::memory::dims stride = pair(s.stride), dilation = pair(s.dilation, 1), before = pair(s.before),
                             after = pair(s.after);
    const Desc any_x = desc(x, Tag::any), any_y = desc(y, Tag::any), any_w = desc(w, Tag::any);
    constexpr auto direct = dnnl::algorithm::convolution_direct;
    constexpr auto kind = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
    const Forward::primitive_desc forward(engine(), kind, direct, any_x, any_w, any_y, stride, dilation, before, after);
    const auto data = [&] {
      return Data::primitive_desc(engine(), direct, any_x, any_w, any_y, stride, dilation, before, after, forward);
    };
    const auto weights = [&] {
      return Weights::primitive_desc(engine(), direct, any_x, any_w, any_y, stride, dilation, before, after, forward);
    };
#else
    const Forward::primitive_desc forward({kind, direct, any_x, any_w, any_y, stride, dilation, before, after},
                                          engine());
    const auto data = [&] {
      return Data::primitive_desc({direct, any_x, any_w, any_y, stride, dilation, before, after}, engine(), forward);
    };
    const auto weights = [&] {
      return Weights::primitive_desc({direct, any_x, any_w, any_y, stride, dilation, before, after}, engine(), forward);
    };
#endif
    const Desc plain_x = desc(x, Tag::nchw), plain_y = desc(y, Tag::nchw), plain_w = desc(w, Tag::goihw);
    if (sum == Sum::value) {
      run_ = Forward(forward);
      parts_ = {part(DNNL_ARG_SRC, plain_x, forward.src_desc()),
                part(DNNL_ARG_WEIGHTS, plain_w, forward.weights_desc()),
                part(DNNL_ARG_DST, plain_y, forward.dst_desc())};
    } else if (sum == Sum::data) {
      const Data::primitive_desc pd = data();
      run_ = Data(pd);
      parts_ = {part(DNNL_ARG_DIFF_DST, plain_y, pd.diff_dst_desc()),
                part(DNNL_ARG_WEIGHTS, plain_w, pd.weights_desc()),
                part(DNNL_ARG_DIFF_SRC, plain_x, pd.diff_src_desc())};
    } else {
      const Weights::primitive_desc pd = weights();
      run_ = Weights(pd);
      parts_ = {part(DNNL_ARG_SRC, plain_x, pd.src_desc()), part(DNNL_ARG_DIFF_DST, plain_y, pd.diff_dst_desc()),
                part(DNNL_ARG_DIFF_WEIGHTS, plain_w, pd.diff_weights_desc())};
    }
    for (const Part& p : parts_) arguments_[p.argument] = p.own;
    for (const Part& p : parts_) room_ += room_of(p);
    to_own_ = {reorder(parts_[0], true), reorder(parts_[1], true)};
    from_own_ = reorder(parts_[2], false);
  }

  void run(const float* a, const float* b, float* to) {
    set(parts_[0], a);
    set(parts_[1], b);
    set(parts_[2], to);
    float* room = shared_room(room_);
    for (Part& p : parts_) {
      if (!p.same) p.own.set_data_handle(room);
      room += room_of(p);
    }
    for (std::size_t i : {0, 1})
      if (!parts_[i].same) to_own_[i].execute(stream_, parts_[i].plain, parts_[i].own);
    run_.execute(stream_, arguments_);
    if (!parts_[2].same) from_own_.execute(stream_, parts_[2].own, parts_[2].plain);
    stream_.wait();
  }

 private:
  using Desc = dnnl::memory::desc;
  using Tag = dnnl::memory::format_tag;
  using Forward = dnnl::convolution_forward;
  using Data = dnnl::convolution_backward_data;
  using Weights = dnnl::convolution_backward_weights;

  struct Part {
    int argument = 0;
    bool same = true;  // its own layout is ours, and its memory too
    dnnl::memory plain, own;
  };

  static const dnnl::engine& engine() {
    static const dnnl::engine one(dnnl::engine::kind::cpu, 0);
    return one;
  }
  static Desc desc(const dnnl::memory::dims& dims, Tag tag) { return {dims, dnnl::memory::data_type::f32, tag}; }
  static Part part(int argument, const Desc& plain, const Desc& own) {
    Part p{argument, plain == own, dnnl::memory(plain, engine(), DNNL_MEMORY_NONE), {}};
    p.own = p.same ? p.plain : dnnl::memory(own, engine(), DNNL_MEMORY_NONE);
    return p;
  }
  /// How many numbers, in whole vectors.
  static Index room_of(const Part& p) {
    return p.same ? 0 : static_cast<Index>((p.own.get_desc().get_size() + 63) / 64 * 64 / sizeof(float));
  }
  static float* shared_room(Index size) {
    thread_local Array room(Shape{0});
    if (room.size() < size) room = Array(Shape{size});
    return room.span<float>().data();
  }
  static dnnl::reorder reorder(const Part& p, bool to_own) {
    if (p.same) return {};
    return to_own ? dnnl::reorder(p.plain, p.own) : dnnl::reorder(p.own, p.plain);
  }
  static void set(Part& p, const float* data) { p.plain.set_data_handle(const_cast<float*>(data)); }

  dnnl::stream stream_{engine()};
  dnnl::primitive run_;
  std::array<Part, 3> parts_;
  std::array<dnnl::reorder, 2> to_own_;
  dnnl::reorder from_own_;
  std::unordered_map<int, dnnl::memory> arguments_;
  Index room_ = 0;  // numbers of parts that are not the same
};

void run_library(Sum sum, const ConvolutionSizes& s, const float* a, const float* b, float* to) {
  using Key = std::pair<Sum, ConvolutionSizes>;
  constexpr std::size_t most = 64;  // of other sizes, once so many were met
  thread_local std::map<Key, std::unique_ptr<Primitive>> known;
  const detail::OneOpenMpThread one;  // how many it runs with is settled when a primitive is made
  try {
    if (known.size() >= most && !known.contains(Key{sum, s})) known.clear();
    std::unique_ptr<Primitive>& primitive = known[{sum, s}];
    if (!primitive) primitive = std::make_unique<Primitive>(sum, s);
    primitive->run(a, b, to);
  } catch (const dnnl::error& e) {
    known.erase({sum, s});
    throw Error(std::string("[conv] oneDNN refused a convolution: ") + e.what());
  }
}

// Preferred to the templates above.
void run(const ConvolutionSizes& s, const float* x, const float* w, float* y) {
  portable_bits() ? run<float>(s, x, w, y) : run_library(Sum::value, s, x, w, y);
}
void run_data(const ConvolutionSizes& s, const float* dy, const float* w, float* dx) {
  portable_bits() ? run_data<float>(s, dy, w, dx) : run_library(Sum::data, s, dy, w, dx);
}
void run_weights(const ConvolutionSizes& s, const float* x, const float* dy, float* dw) {
  portable_bits() ? run_weights<float>(s, x, dy, dw) : run_library(Sum::weights, s, x, dy, dw);
}

#endif

// ---- Pictures in parts, for threads: by the sizes alone ------------------------------------------------------------

/// Calls f(part, its sizes, its first picture) for each part, among threads.
template <class F>
void for_each_part(const ConvolutionSizes& s, Index parts, F&& f) {
  const Index each = (s.pictures + parts - 1) / parts;
  parallel_for(parts, [&](Index part) {
    ConvolutionSizes some = s;
    some.pictures = std::clamp<Index>(s.pictures - part * each, 0, each);
    if (some.pictures > 0) f(part, some, part * each);
  });
}

Index parts_of(const ConvolutionSizes& s) {
  constexpr Index worth = Index{1} << 21, most = 8;  // products that are some 50 us
  const Index work = s.pictures * size_of_y(s) * s.taps();
  return std::clamp<Index>(std::min(s.pictures, work / worth), 1, most);
}

bool is_empty(const ConvolutionSizes& s) { return s.pictures == 0 || s.places() == 0 || size_of_w(s) == 0; }

template <class T>
void any_convolve(const ConvolutionSizes& s, const T* x, const T* w, T* y) {
  if (is_empty(s)) return void(std::fill_n(y, s.pictures * size_of_y(s), T(0)));
  for_each_part(s, parts_of(s), [&](Index, const ConvolutionSizes& some, Index first) {
    run(some, x + first * size_of_x(s), w, y + first * size_of_y(s));
  });
}

template <class T>
void any_data(const ConvolutionSizes& s, const T* dy, const T* w, T* dx) {
  if (is_empty(s)) return void(std::fill_n(dx, s.pictures * size_of_x(s), T(0)));
  for_each_part(s, parts_of(s), [&](Index, const ConvolutionSizes& some, Index first) {
    run_data(some, dy + first * size_of_y(s), w, dx + first * size_of_x(s));
  });
}

/// Each part has a sum of its own; then they are added, first to last.
template <class T>
void any_weights(const ConvolutionSizes& s, const T* x, const T* dy, T* dw) {
  const Index size = size_of_w(s), parts = parts_of(s);
  if (is_empty(s)) return void(std::fill_n(dw, size, T(0)));
  std::vector<T> others(at((parts - 1) * size));
  for_each_part(s, parts, [&](Index part, const ConvolutionSizes& some, Index first) {
    run_weights(some, x + first * size_of_x(s), dy + first * size_of_y(s),
                part == 0 ? dw : others.data() + (part - 1) * size);
  });
  for (Index part = 1; part < parts; ++part)
    for (Index i = 0; i < size; ++i) dw[i] += others[at((part - 1) * size + i)];
}

}  // namespace

void convolve(const ConvolutionSizes& s, const float* x, const float* w, float* y) { any_convolve(s, x, w, y); }
void convolve(const ConvolutionSizes& s, const double* x, const double* w, double* y) { any_convolve(s, x, w, y); }
void convolve_data(const ConvolutionSizes& s, const float* dy, const float* w, float* dx) { any_data(s, dy, w, dx); }
void convolve_data(const ConvolutionSizes& s, const double* dy, const double* w, double* dx) { any_data(s, dy, w, dx); }
void convolve_weights(const ConvolutionSizes& s, const float* x, const float* dy, float* dw) {
  any_weights(s, x, dy, dw);
}
void convolve_weights(const ConvolutionSizes& s, const double* x, const double* dy, double* dw) {
  any_weights(s, x, dy, dw);
}

}  // namespace rw
