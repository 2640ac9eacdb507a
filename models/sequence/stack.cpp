#include <fmt/format.h>

#include <rewind/models/sequence/stack.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/view.h>

namespace rw::detail {

Tensor dropped(Tensor x, double rate, bool on) { return on ? dropout(x, rate) : x; }

void check_stack(std::size_t layers, const StackOptions& options) {
  if (layers == 0) throw Error("stack: there are no layers");
  if (!(options.dropout >= 0 && options.dropout < 1))
    throw Error(fmt::format("stack: dropout must be in [0, 1), not {}", options.dropout));
}

Tensor stack_input(Tensor below, Tensor input, const StackOptions& options, bool training) {
  below = dropped(below, options.dropout, training);
  if (!options.skip_input) return below;
  if (!is_real(input.dtype()))
    throw input.tape().error("stack", "indices cannot skip to the layers above: embed them, or take one_hot of them");
  return concat({below, input}, -1);
}

Tensor stack_step(Tensor below, Tensor output, const StackOptions& options) {
  if (!options.residual) return output;
  if (below.shape() != output.shape())
    throw output.tape().error(
        "stack", "residual layers must have equal widths: " + below.shape().str() + " below " + output.shape().str());
  return below + output;
}

Tensor stack_output(std::span<Tensor> outputs, const StackOptions& options) {
  for (std::size_t i = 1; i < outputs.size(); ++i) outputs[i] = stack_step(outputs[i - 1], outputs[i], options);
  return options.skip_output ? concat(std::span<const Tensor>(outputs), -1) : outputs.back();
}

}  // namespace rw::detail
