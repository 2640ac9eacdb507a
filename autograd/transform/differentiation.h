#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/autograd/detail/gradient_parts.h>
#include <rewind/autograd/detail/sweep.h>
#include <rewind/autograd/transform/arguments.h>

namespace rw::detail {

/// While it lives, gradients are recorded, also under NoGrad; unless `keep` was called, the tape is as it was before
/// when it ends.
class Differentiation {
 public:
  Differentiation(std::string_view name, Tape& tape);
  ~Differentiation();
  Differentiation(const Differentiation&) = delete;
  Differentiation& operator=(const Differentiation&) = delete;

  void keep() { kept_ = true; }
  TapeData& tape() { return tape_; }
  /// "[jvp] reason".
  Error error(const std::string& reason) const { return tape_.owner->error(name_, reason); }

  /// Stand-ins for arguments: the same values, each a node of its own to which gradients flow. What is not real stays.
  std::vector<Tensor> stand_ins(std::span<const Tensor> x);
  /// Throws Error unless there is a tangent, or cotangent, for every real tensor of `of`, of its shape.
  void check_tangents(std::string_view what, std::span<const Tensor> of, std::span<const Tensor> tangents) const;
  /// The only tensor of a result that must be a scalar.
  Tensor scalar(std::span<const Tensor> y) const;
  Tensor one(Tensor like) { return tape_.owner->constant(1, like.shape()); }

  /// Gradients for the stand-ins `x` of sum(dy_i y_i), zeros where there are none.
  std::vector<Tensor> pullback(std::span<const Tensor> y, std::span<const Tensor> dy, std::span<const Tensor> x,
                               bool of_derivative = false);
  /// The same for `x` from before node `from`, along what was recorded since: of each gradient the parts, in the order
  /// of their sum.
  std::vector<std::vector<GradientPart>> parts_since(NodeId from, std::span<const Tensor> y, std::span<const Tensor> dy,
                                                     std::span<const Tensor> x);
  /// And these summed.
  std::vector<Tensor> pullback_since(NodeId from, std::span<const Tensor> y, std::span<const Tensor> dy,
                                     std::span<const Tensor> x);
  /// Derivatives of `y` along `dx`: the pullback is linear in the cotangents, so its transpose is its own pullback
  /// (J. Townsend, "A new trick for calculating Jacobian vector products", 2017).
  std::vector<Tensor> pushforward(std::span<const Tensor> y, std::span<const Tensor> x, std::span<const Tensor> dx);

 private:
  std::vector<Root> roots_of(std::span<const Tensor> y, std::span<const Tensor> dy);
  std::vector<std::optional<Tensor>> reached(std::span<const Tensor> y, std::span<const Tensor> dy,
                                             std::span<const Tensor> x, bool of_derivative);

  std::string name_;
  TapeData& tape_;
  TapeMark before_;
  bool recorded_gradients_;
  bool kept_ = false;
};

/// For its lifetime, nodes stand for parameters wherever these are used.
class Bound {
 public:
  explicit Bound(TapeData& tape) : tape_(tape), before_(tape.bindings.size()) {}
  ~Bound() { tape_.bindings.resize(before_); }
  Bound(const Bound&) = delete;
  Bound& operator=(const Bound&) = delete;
  void add(const Parameter& p, Tensor stand_in) { tape_.bindings.emplace_back(p.data(), tape_.id(stand_in)); }

 private:
  TapeData& tape_;
  std::size_t before_;
};

/// f at stand-ins of x.
template <class Y>
struct Evaluated {
  Y result;
  std::vector<Tensor> x, y;  // stand-ins, and the result's tensors
};

template <class F, class X>
auto evaluate(Differentiation& work, F& f, const X& x) {
  const std::vector<Tensor> stand_ins = work.stand_ins(tensors_of(x));
  Bound bound(work.tape());
  TensorSource source(stand_ins);
  walk(
      x, [&](const Tensor&) { source.skip(1); },
      [&](const ParameterList& p) {
        for (std::size_t i = 0; i < p.size(); ++i) bound.add(p[i], source.next());
      });
  const X at = with_tensors(x, stand_ins);
  using Y = std::remove_cvref_t<decltype(call(f, at))>;
  Y y = call(f, at);
  std::vector<Tensor> flat = tensors_of(y);
  return Evaluated<Y>{std::move(y), stand_ins, std::move(flat)};
}

}  // namespace rw::detail
