#include <array>
#include <utility>

#include <rewind/autograd/compile/kernel/combine.h>

namespace rw::ir {
namespace {

constexpr std::size_t kinds = 4;

std::size_t index(Arithmetic op) { return static_cast<std::size_t>(op) - static_cast<std::size_t>(Arithmetic::add); }

constexpr Arithmetic kind(std::size_t i) {
  return static_cast<Arithmetic>(i + static_cast<std::size_t>(Arithmetic::add));
}
template <std::size_t op, class T>
T apply(T a, T b) {
  return value_of<kind(op)>(a, b);
}

template <std::size_t inner, std::size_t outer, bool swapped>
struct Chained {
  template <class T>
  T operator()(T a, T b, T c) const {
    return swapped ? apply<outer>(c, apply<inner>(a, b)) : apply<outer>(apply<inner>(a, b), c);
  }
};

template <std::size_t left, std::size_t right, std::size_t outer>
struct Paired {
  template <class T>
  T operator()(T a, T b, T c, T d) const {
    return apply<outer>(apply<left>(a, b), apply<right>(c, d));
  }
};

template <std::size_t... K>
std::array<VectorLoop, sizeof...(K)> chained_loops(std::index_sequence<K...>) {
  return {vector_loop<Chained<K / (2 * kinds), K / 2 % kinds, K % 2 != 0>, 3>()...};
}
template <std::size_t... K>
std::array<VectorLoop, sizeof...(K)> paired_loops(std::index_sequence<K...>) {
  return {vector_loop<Paired<K / (kinds * kinds), K / kinds % kinds, K % kinds>, 4>()...};
}

}  // namespace

bool combines(Arithmetic op) { return op >= Arithmetic::add && op <= Arithmetic::times0; }

const VectorLoop& combined_loop(const Formula& f) {
  static const auto chained = chained_loops(std::make_index_sequence<kinds * kinds * 2>());
  static const auto paired = paired_loops(std::make_index_sequence<kinds * kinds * kinds>());
  if (f.right == Arithmetic::none) return chained[(index(f.left) * kinds + index(f.outer)) * 2 + (f.swapped ? 1 : 0)];
  return paired[(index(f.left) * kinds + index(f.right)) * kinds + index(f.outer)];
}

}  // namespace rw::ir
