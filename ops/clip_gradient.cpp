#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/clip_gradient.h>
#include <rewind/ops/elementwise.h>

namespace rw {
namespace {

struct ClipGradient {
  static constexpr std::string_view name = "clip_gradient";
  double limit = 0;
  std::string describe() const { return fmt::format("{}", limit); }
  auto f(auto x) const { return x; }
  auto transposed_jvp(auto, auto, auto dy) const { return dy; }
  template <class T>
  T vjp(T, T, T dy) const {
    if constexpr (std::is_same_v<T, Tensor>)
      return clamp(dy, -limit, limit);
    else
      return minimum(maximum(dy, static_cast<T>(-limit)), static_cast<T>(limit));
  }
};

}  // namespace

Tensor clip_gradient(Operand x, double limit) {
  if (!(limit > 0)) throw Error(fmt::format("[clip_gradient] the limit is {}: it must be above 0", limit));
  return record(Elementwise<ClipGradient>{{limit}}, x);
}

}  // namespace rw
