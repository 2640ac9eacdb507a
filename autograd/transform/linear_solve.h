#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include <rewind/autograd/tape.h>

namespace rw::detail {

/// A linear function, of ops that it records.
using LinearFunction = std::function<std::vector<Tensor>(std::span<const Tensor>)>;

/// x of A x = b, where no values are there to iterate by: A is recorded as a matrix, row by row from its `transposed`
/// function, and solved by elimination. As a value: no gradient flows through it. Where A is singular it is inf or nan.
std::vector<Tensor> solved(Tape& tape, const LinearFunction& transposed, std::span<const Tensor> b);

/// The same with gradients to b and to what `a`, which is A, reads from the tape. `name` is in messages.
std::vector<Tensor> solve_recorded(std::string_view name, Tape& tape, const LinearFunction& a,
                                   const LinearFunction& transposed, std::span<const Tensor> b);

}  // namespace rw::detail
