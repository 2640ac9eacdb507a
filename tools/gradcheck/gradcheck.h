#pragma once

#include <array>
#include <functional>
#include <initializer_list>
#include <iosfwd>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <rewind/autograd/tape.h>

namespace rw {

/// What can be said of one element of a gradient, and of all of it.
enum class Verdict : std::uint8_t {
  right,              ///< within the error bound of the finite differences, and the bound is narrow
  noise_limited,      ///< the bound is too wide to say
  not_reached,        ///< no gradient reaches this parameter
  kink,               ///< not differentiable here, as relu at 0: the one-sided limits differ
  wrong,              ///< outside the error bound
  not_deterministic,  ///< two evaluations differ: the function draws new random numbers, or makes new weights
};
inline constexpr int verdicts = 6;

/// "right", "noise-limited", "not reached", "kink", "WRONG", "not deterministic".
std::string_view name_of(Verdict verdict);

struct GradcheckOptions {
  /// 1: first derivatives. 2: second derivatives as well, of a fixed random projection of the recorded gradient.
  int order = 1;
  /// Elements that are checked one by one, over all parameters; 0: up to 2000, fewer when one evaluation takes long.
  /// Parameters that do not fit are sampled, and checked as a whole along random directions, which catch a wrong row of
  /// a matrix and then name it.
  Index elements = 0;
  /// Check every element.
  bool full = false;
  /// Random directions for each parameter of which not every element is checked.
  int directions = 2;
  /// When something is wrong, check every node of the tape to say where.
  bool locate = true;
  /// Elements in the report's table of the worst.
  std::size_t worst = 10;
  /// Seed of projections, directions and samples.
  std::uint64_t seed = 1;
};

/// One derivative: the analytic one, what finite differences say, and how far they can be off.
struct GradElement {
  std::string parameter;
  /// Position in the parameter; of a direction, its first row.
  std::vector<Index> position;
  /// Rows that a random direction moved; 0 for a single element.
  Index rows = 0;
  int order = 1;
  double analytic = 0, numeric = 0, bound = 0;
  Verdict verdict = Verdict::right;

  /// "lstm.W[3, 7]", "lstm.W rows 0..127".
  std::string where() const;
  /// |analytic - numeric| in bounds.
  double excess() const;
};

/// A parameter's elements, by verdict.
struct GradParameter {
  std::string name;
  Shape shape;
  int order = 1;
  Index checked = 0;
  Index directions = 0;
  std::array<Index, verdicts> counts{};  // of elements and directions
  /// The largest |analytic - numeric| and the largest bound, relative to the largest element of the gradient.
  double error = 0, bound = 0;
  /// Why no gradient reaches it, or empty.
  std::string remark;

  /// Elements and directions with this verdict.
  Index count(Verdict v) const { return counts[static_cast<std::size_t>(v)]; }
};

/// Where a gradient goes wrong.
struct GradFault {
  /// What is wrong.
  enum class Kind : std::uint8_t {
    rule,      ///< the op's gradient rule disagrees with its own value
    edge,      ///< a consumer's contribution is missing from a node's gradient, or is there more than once
    off_tape,  ///< all rules and sums are right: values leave the tape (array(), item()) and come back as constants
  };
  Kind kind = Kind::rule;
  std::string op;     // whose rule is wrong, or the consumer whose contribution is lost
  std::string scope;  // "lstm/t=3"
  NodeId node = no_node;
  int input = 0;
  NodeId from = no_node;  // of an edge: the node whose gradient lacks the contribution
  /// "mul (node 17), in lstm/t=3: ..."
  std::string text;
};

/// A place where gradients are stopped on purpose: `detach`, or `NoGrad`. Held constant in the finite differences.
struct GradCut {
  std::string op, scope;
  NodeId node = no_node;
  std::string text;
};

/// What `gradcheck` found.
struct GradReport {
  Verdict verdict = Verdict::right;
  std::vector<GradParameter> parameters;  // by order, then as they were given
  std::vector<GradElement> worst;         // the worst first
  /// The first is where it goes wrong, in the order of recording; the others are further ops with a wrong rule.
  std::vector<GradFault> faults;
  std::vector<GradCut> cuts;
  std::vector<std::string> kinks;  // nodes that are not differentiable at their inputs; searched when an element is not
  NodeId nodes = 0;                // of the tape
  Index evaluations = 0;           // of the function

  /// Everything was checked and is right.
  bool ok() const { return verdict == Verdict::right; }
  /// Elements and directions with this verdict.
  Index count(Verdict v) const;
  /// An aligned table, with ANSI colours on request.
  std::string str(bool colour = false) const;
  /// The same for programs.
  std::string json() const;
};

/// The table, plain.
std::ostream& operator<<(std::ostream& out, const GradReport& report);

/// The parameters to check, with their names: `module.parameters()`, or `{w, b}`.
class CheckedParameters {
 public:
  struct Item {
    std::string name;
    Parameter* parameter = nullptr;
  };
  /// Parameters under their own names.
  CheckedParameters(std::initializer_list<std::reference_wrapper<Parameter>> parameters) {
    for (Parameter& p : parameters) items_.push_back({p.name(), &p});
  }
  /// Any range of things with a `name` and a pointer `parameter`.
  template <class Range>
  requires requires(const Range& r) {
    r.begin()->name;
    *r.begin()->parameter;
  }
  CheckedParameters(const Range& named) {
    for (const auto& p : named) items_.push_back({p.name, p.parameter});
  }
  /// All of them.
  std::span<const Item> items() const { return items_; }

 private:
  std::vector<Item> items_;
};

/// Compares the gradient that `backward` gives with finite differences extrapolated to the limit, in f64, for a
/// function that records itself on the tape it is given; no step size has to be chosen. A result that is no scalar is
/// projected on a fixed random vector. Parameters are perturbed on the tape, never in their storage, and their
/// gradients are left alone. Throws Error when there is nothing to check: no parameter, none that needs a gradient, an
/// empty or stale result, a value that is not finite.
GradReport gradcheck(const std::function<Tensor(Tape&)>& function, const CheckedParameters& parameters,
                     const GradcheckOptions& options = {});

/// The same for a function of arrays: `gradcheck([](std::span<const Tensor> x) { return x[0] * x[1]; }, {a, b})`. Real
/// arrays are checked as x0, x1, ...; indices (i32) are passed as constants.
GradReport gradcheck(const std::function<Tensor(std::span<const Tensor>)>& function, std::span<const Array> inputs,
                     const GradcheckOptions& options = {});
GradReport gradcheck(const std::function<Tensor(std::span<const Tensor>)>& function,
                     std::initializer_list<Array> inputs, const GradcheckOptions& options = {});

/// A node whose f32 value deviates from its f64 value by more than rounding can explain.
struct RoundingFault {
  NodeId node = no_node;
  std::string op, scope;
  Index element = 0;
  double f32 = 0, f64 = 0, bound = 0;
  std::string text;
};

/// What `check_rounding` found.
struct RoundingReport {
  std::vector<RoundingFault> faults;  // in the order of recording: the first is the one to look at
  NodeId nodes = 0;
  /// The largest deviation, in rounding bounds.
  double worst = 0;
  std::string worst_node;
  /// Whether no node deviates.
  bool ok() const { return faults.empty(); }
  /// A table, with ANSI colours on request.
  std::string str(bool colour = false) const;
  /// The same for programs.
  std::string json() const;
};

/// Records the function and its gradient on an f32 tape and replays every node in f64 on its own f32 inputs. Names the
/// nodes, forward and backward, that deviate by more than their rounding bound. Throws Error as `gradcheck` does.
RoundingReport check_rounding(const std::function<Tensor(Tape&)>& function, const CheckedParameters& parameters);

}  // namespace rw
