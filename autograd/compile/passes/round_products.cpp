#include <bit>

#include <rewind/autograd/compile/passes/passes.h>
#include <rewind/autograd/program/queries.h>
#include <rewind/autograd/program/rewrite.h>
#include <rewind/core/error.h>
#include <rewind/core/gemm/bf16.h>

namespace rw::ir {
namespace {

float nearest_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  const std::uint32_t even = bits >> 16 & 1;  // halfway: to even
  const auto rounded = std::bit_cast<float>((bits + 0x7fff + even) & 0xffff0000u);
  return x == x ? rounded : x;
}

// Rounded to 8 significant bits, to nearest even; numbers too large become infinite.
struct Nearest {
  template <class T>
  T operator()(T x) const {
    return static_cast<T>(nearest_bf16(static_cast<float>(x)));
  }
};

struct RoundToBf16 {
  static constexpr std::string_view name = "bf16";
  static constexpr bool strided_inputs = true;
  Shape infer(std::span<const Shape> in) const { return in[0]; }
  static const ElementwiseFact& elementwise_fact() {
    static const ElementwiseFact fact = [] {
      ElementwiseFact f;
      f.arity = 1;
      f.value = vector_loop<Nearest, 1>();
      return f;
    }();
    return fact;
  }
};

class Rounder {
 public:
  explicit Rounder(const Graph& g) : g_(g), rewriter_(g), rounded_(g.size(), no_node) {}

  Graph run() {
    for (NodeId i = 0; i < g_.size(); ++i) {
      if (!is_product(g_, i) || g_.nodes[i].dtype != DType::f32) {
        rewriter_.copy(i);
        continue;
      }
      std::vector<NodeId> in;
      for (NodeId x : g_.in(i)) in.push_back(rounded(x));
      rewriter_.put(i, rewriter_.to.append(g_.nodes[i], in));
    }
    return rewriter_.done();
  }

 private:
  // Views and concatenations are of rounded values, so that each value is rounded once, where it is computed.
  NodeId rounded(NodeId first) {
    std::vector<NodeId> left{first};
    while (!left.empty()) {
      const NodeId i = left.back();
      const bool through = is_view(g_, i) || g_.is<Concat>(i);
      const std::size_t before = left.size();
      if (rounded_[i] == no_node && through)
        for (NodeId x : g_.in(i))
          if (rounded_[x] == no_node) left.push_back(x);
      if (left.size() > before) continue;
      left.pop_back();
      if (rounded_[i] == no_node) rounded_[i] = through ? moved(i) : round(i);
    }
    return rounded_[first];
  }

  NodeId moved(NodeId i) {
    std::vector<NodeId> in;
    for (NodeId x : g_.in(i)) in.push_back(rounded_[x]);
    return rewriter_.to.append(g_.nodes[i], in);
  }

  NodeId round(NodeId i) {
    if (g_.is<Fill>(i) &&
        static_cast<double>(nearest_bf16(static_cast<float>(g_.op<Fill>(i).value))) == g_.op<Fill>(i).value)
      return rewriter_.now(i);
    return rewriter_.to.add(RoundToBf16{}, {rewriter_.now(i)}, g_.nodes[i]);
  }

  const Graph& g_;
  Rewriter rewriter_;
  std::vector<NodeId> rounded_;
};

}  // namespace

Graph round_products(const Graph& g) { return Rounder(g).run(); }

void check_precision(const CompileOptions& options, DType real, bool has_bf16) {
  if (options.matmul == Precision::full) return;
  if (real != DType::f32)
    throw Error(
        "compile: {.matmul = Precision::bf16} is for f32 functions, and this one is f64: give it f32 arguments or "
        "{.dtype = DType::f32}, or leave the option out");
  if (!has_bf16 && !options.force_bf16)
    throw Error(
        "compile: {.matmul = Precision::bf16} needs a processor with AVX512_BF16, and this one has none: leave the "
        "option out, or round all the same with {.force_bf16 = true}, which is slower than f32");
}

}  // namespace rw::ir
