#include <rewind/autograd/detail/sweep.h>
#include <rewind/autograd/split_backward.h>
#include <rewind/core/error.h>
#include <rewind/core/reduce.h>

namespace rw {

using detail::TapeData;

void SplitBackward::run(std::span<const Root> roots) {
  TapeData* tape = nullptr;
  std::vector<detail::Seed> seeds;
  try {
    for (const Root& root : roots) {
      TapeData& of_root = TapeData::of(root.y);
      if (tape != nullptr && tape != &of_root) throw Error("a backward in pieces: the roots are of different tapes");
      tape = &of_root;
      if (tape->options.trace)
        throw Error("a backward in pieces adds numbers from tape to tape: compile cannot trace it");
      if (tape->options.dtype != dtype_)
        throw Error("a backward in pieces: it is " + std::string(name_of(dtype_)) + ", and the tape is " +
                    std::string(name_of(tape->options.dtype)));
      if (!root.y.needs_grad()) continue;
      if (root.cotangent.has_value() && !(root.cotangent->shape == root.y.shape()))
        throw Error(tape->describe(tape->id(root.y)) + ": the cotangent must have this shape, not " +
                    root.cotangent->shape.str());
      // Shapes agree, so y stands for its cotangent in the check.
      const auto checked = root.cotangent.has_value() ? std::optional(root.y) : std::nullopt;
      seeds.push_back({detail::checked_root(*tape, root.y, checked), root.cotangent});
    }
    if (!seeds.empty()) detail::split_backward(*tape, seeds, sums_);
  } catch (...) {
    sums_.clear();
    throw;
  }
}

void SplitBackward::commit() {
  for (const auto& [parameter, sum] : sums_) parameter->check_grad();
  for (auto& [parameter, sum] : sums_) {
    sum.aside.add_to(sum.block.view());
    add_into(sum.block, parameter->grad.view());
  }
  sums_.clear();
}

std::size_t SplitBackward::bytes() const {
  std::size_t total = 0;
  for (const auto& [parameter, sum] : sums_)
    total += static_cast<std::size_t>(sum.block.size()) * size_of(sum.block.dtype()) + sum.aside.bytes();
  return total;
}

}  // namespace rw
