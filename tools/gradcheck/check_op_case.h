#pragma once

// One case of check_op: an op at given inputs. Internal to tools/gradcheck/: use check_op.

#include <functional>
#include <string>
#include <vector>

#include <rewind/core/random.h>
#include <rewind/tools/gradcheck/check_op.h>

namespace rw::detail {

/// The domain of an input.
const OpDomain& domain_of(const OpCheck& check, std::size_t input);

/// Numbers of a domain, each one exact in f32: f64, or i32 for indices.
Array draw_input(const Shape& shape, const OpDomain& domain, Rng& rng);

/// Random numbers of either sign and of a size near 1: weights that break symmetry.
Array random_weights(const Shape& shape, Rng& rng);

/// The leaves of an op on a tape; reals are variables.
std::vector<Tensor> leaves(Tape& tape, std::span<const Array> x);

/// Those that may have a gradient.
std::vector<Operand> real_operands(std::span<const Tensor> x);

class OpCase {
 public:
  OpCase(const OpFunction& op, const OpReference& reference, const OpCheck& check, std::vector<Array> inputs, Rng& rng,
         std::function<void(const std::string&)> fail)
      : op_(op), reference_(reference), check_(check), x_(std::move(inputs)), rng_(rng), fail_(std::move(fail)) {}

  /// Calls `fail` for everything that is wrong.
  void run();

 private:
  void check_value();
  void check_trace();
  void check_f32();
  void check_plain_backward(DType dtype);
  void check_rows_apart();
  void check_first();
  void check_second();
  void check_linear();
  void check_along();
  void check_compiled(DType dtype);

  Array value(DType dtype);
  double projection(std::span<const Array> x);
  double second_projection(std::span<const Array> x, std::vector<Array>* gradients);
  std::vector<Array> gradients(DType dtype, bool plain);
  void compare(const std::string& what, const Array& found, const Array& expected, double tolerance);
  void compare_all(const std::string& what, std::span<const Array> found, std::span<const Array> expected,
                   double tolerance);
  std::vector<Array> differences(std::span<const Array> x, const std::function<double(std::span<const Array>)>& f);

  const OpFunction& op_;
  const OpReference& reference_;
  const OpCheck& check_;
  std::vector<Array> x_;
  Rng& rng_;
  std::function<void(const std::string&)> fail_;
  Array value_, weights_;          // y and the weights of its projection, f64
  std::vector<Array> directions_;  // weights of the gradients, for the second derivative
  std::vector<Array> gradients_;   // of the projection, f64
};

}  // namespace rw::detail
