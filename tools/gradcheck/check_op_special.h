#pragma once

// Special numbers in check_op: 0, -0, the smallest and the largest, infinities and nan.

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <rewind/core/random.h>
#include <rewind/tools/gradcheck/check_op.h>

namespace rw::detail {

class SpecialCase {
 public:
  SpecialCase(const OpFunction& op, const OpReference& reference, const OpCheck& check, Rng& rng,
              std::function<void(const std::string&)> fail)
      : op_(op), reference_(reference), check_(check), rng_(rng), fail_(std::move(fail)) {}

  /// An elementwise op of so many inputs, at all combinations of them.
  void run_elementwise(std::size_t inputs);
  /// Any op: inputs of one special number each, and of ordinary ones with one special number among them.
  void run(std::span<const Shape> shapes);

 private:
  using Inputs = std::vector<Array>;

  void run(std::span<const Inputs> cases, DType dtype);
  // The value; gradients of a random projection; gradients of a dy of 0, the last of x, and the slopes of those.
  std::vector<Tensor> record_all(Tape& tape, std::span<const Tensor> x);
  std::vector<Array> plain_gradients(const Inputs& x, DType dtype);
  void check_value(const Inputs& x, const Array& found);
  void check_zero(const Inputs& x, std::span<const Array> found);
  void check_same(const std::string& what, const Inputs& x, std::span<const Array> found,
                  std::span<const Array> expected);

  const OpFunction& op_;
  const OpReference& reference_;
  const OpCheck& check_;
  Rng& rng_;
  std::function<void(const std::string&)> fail_;
  bool elementwise_ = false;
  Array weights_;                  // of the projection
  std::vector<Array> directions_;  // of the slopes of gradients; one for each real input
};

}  // namespace rw::detail
