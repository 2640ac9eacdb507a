#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/cells/variational_dropout.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/dropout.h>

namespace rw::detail {

void check(const VariationalDropoutOptions& options, const std::string& cell, bool cell_tells) {
  for (const auto& [name, rate] : {std::pair("input", options.input), std::pair("recurrent", options.recurrent)})
    if (!(rate >= 0 && rate < 1))
      throw Error(fmt::format("variational dropout: {} is {}: it must be in [0, 1)", name, rate));
  if (options.recurrent > 0 && !cell_tells)
    throw Error(
        "variational dropout: which tensor of its state do the recurrent matrices of '" + cell +
        "' see? Call it h, or give the cell a step_seeing(x, state, seen) (see models/cells/gates.h); of a Stack "
        "wrap the layers");
}

Tensor variationally_dropped(Tensor x, double rate, std::uint64_t key) {
  if (x.dtype() == DType::i32 || x.shape().rank() < 2)
    throw x.tape().error("variational_dropout", "drops features, [N, F] or [T, N, F], and cannot drop " +
                                                    std::string(name_of(x.dtype())) + " " + x.shape().str() +
                                                    "; look indices up first (see Embedding), or set input to 0");
  return x * dropout_mask(x.tape(), {x.size(-2), x.size(-1)}, rate, key);
}

}  // namespace rw::detail
