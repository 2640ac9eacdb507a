#pragma once

#include <limits>
#include <optional>
#include <span>
#include <vector>

#include <rewind/autograd/transform/arguments.h>
#include <rewind/autograd/transform/section.h>

namespace rw {

/// An argument that is one for all examples.
inline constexpr int no_axis = std::numeric_limits<int>::min();

struct VmapOptions {
  /// For each argument the axis of its tensors along which the examples stand, or `no_axis`; the last one counts for
  /// the rest. Negative: from the end.
  std::vector<int> in = {0};
  /// Where results have that axis.
  int out = 0;
  /// f sees the axis with length 1, in place of not at all.
  bool keep_axis = false;
};

namespace detail {

/// One call of a mapped function.
class Mapping {
 public:
  Mapping(Tape& tape, const VmapOptions& options) : tape_(tape), options_(options) {}
  /// What f sees of a tensor of argument number `argument`.
  void add(Tensor t, std::size_t argument);
  std::vector<Tensor> begin();
  std::vector<Tensor> end(std::span<const Tensor> results);

 private:
  struct Part {
    Tensor whole;  // examples first
    bool batched;
  };
  Tape& tape_;
  const VmapOptions& options_;
  std::vector<Part> parts_;
  std::optional<Index> size_;
  std::optional<Section> section_;
};

}  // namespace detail

/// `f` for many examples at once: vmap(f)(x, w) is f(x[0], w[0]), f(x[1], w[1]), ... side by side. Each op that f
/// records is recorded once for all of them, where it has a rule or a fact that says how (docs/transforms.md has the
/// table), and otherwise example by example. Arguments and results are Tensors, numbers, and ranges, tuples and
/// aggregates of them. f is called once, without values, as when `compile` traces; it may itself use transforms. A draw
/// of random numbers is the same one for every example. Parameters and Tensors that f takes from elsewhere are one for
/// all. Throws Error when no argument has examples, for an axis that is not there, for different numbers of examples,
/// and, naming the op, where a shape would have more than six axes; the tape is then as it was.
template <class F>
auto vmap(F f, VmapOptions options = {}) {
  return [f = std::move(f), options = std::move(options)]<class... X>(const X&... x) {
    Tape* tape = nullptr;
    const auto find = [&](const Tensor& t) { tape = &t.tape(); };
    const auto lists = [](const ParameterList&) {};
    (detail::walk(x, find, lists), ...);
    if (tape == nullptr) throw Error("[vmap] no argument is a Tensor, so there are no examples");
    const TapeMark before = tape->mark();
    try {
      detail::Mapping mapping(*tape, options);
      std::size_t argument = 0;
      ((detail::walk(
            x, [&](const Tensor& t) { mapping.add(t, argument); }, lists),
        ++argument),
       ...);
      const std::vector<Tensor> inputs = mapping.begin();
      detail::TensorSource source(inputs);
      // In order: braces.
      const std::tuple<X...> one{detail::tangents_of(x, source)...};
      auto y = std::apply(f, one);
      const std::vector<Tensor> all = mapping.end(detail::tensors_of(y));
      return detail::with_tensors(std::move(y), all);
    } catch (...) {
      tape->data().truncate(before);
      throw;
    }
  };
}

}  // namespace rw
