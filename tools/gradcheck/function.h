#pragma once

// The function under a gradient check, on f64 tapes. Internal to tools/: use gradcheck.

#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <rewind/tools/gradcheck/gradcheck.h>

namespace rw::detail {

using RecordFunction = std::function<Tensor(Tape&)>;

/// The scalar whose gradient is checked: the function's result, projected when it is no scalar; for order 2, a random
/// projection of the recorded gradient of that.
class CheckedFunction {
 public:
  /// Records it once, with its gradient. Throws Error when there is nothing to differentiate. Tied names are one.
  CheckedFunction(const RecordFunction& function, std::span<const CheckedParameters::Item> items, int order,
                  std::uint64_t seed);

  struct Leaf {
    std::string name;
    Parameter* parameter = nullptr;
    Array value;                    // f64
    Array gradient;                 // analytic, by backward
    std::optional<Array> recorded;  // order 2: the first gradient, as `grad` recorded it
    bool on_tape = false, reached = false, frozen = false;
  };
  std::vector<Leaf>& leaves() { return leaves_; }
  double value() const { return f0_; }
  Tape& tape() { return base_; }
  NodeId root() const { return root_; }
  const std::vector<NodeId>& cuts() const { return cuts_; }
  Index evaluations() const { return evaluations_; }

  /// The gradients to be checked are these, of the parameters as they were given, and not the tape's.
  void check_instead(std::span<const CheckedParameters::Item> items, std::span<const Array> gradients);

  /// The scalar when leaf `i` has this value and what is cut stays constant.
  double at(std::size_t i, Array value);
  /// Whether another evaluation gives the same bits.
  bool deterministic();

 private:
  Tensor record(Tape& tape, bool base);
  Tensor project_gradient(Tape& tape, Tensor y, bool base);
  void differentiate();
  void find_cuts();
  /// Clears the tape of evaluations, which draws the numbers of the first one again.
  void renew_probe();
  double held_value(const Tape& tape, NodeId root) const;

  const RecordFunction& function_;
  int order_;
  std::uint64_t seed_;
  std::vector<Leaf> leaves_;
  Tape base_, probe_;
  NodeId root_ = no_node;
  double f0_ = 0;
  std::vector<NodeId> cuts_;
  Index evaluations_ = 0;
};

}  // namespace rw::detail
