#include <algorithm>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/detail/gradient_parts.h>
#include <rewind/autograd/transform/checkpoint.h>
#include <rewind/autograd/transform/own_rule.h>
#include <rewind/core/error.h>

namespace rw::detail {

namespace {

// Adds what flows into an input part by part, as if the ops had been on the tape all the time: to the same bits.
void add_parts(Vjp& g, TapeData& tape, int input, const std::vector<GradientPart>& parts) {
  const Shape whole = g.x(input).shape();
  for (const GradientPart& part : parts) {
    const Tensor t = tape.tensor(part.node);
    std::vector<int> cut;
    for (int a = 0; a < whole.rank(); ++a)
      if (t.shape()[a] != whole[a]) cut.push_back(a);
    if (cut.empty())
      g.add(input, t);
    else if (cut.size() == 1)
      g.add_slice(input, t, cut[0], part.start[static_cast<std::size_t>(cut[0])]);
    else
      g.add(input, tape.tensor(sum_of_parts(tape, whole, {&part, 1})));
  }
}

void check_shapes(const Differentiation& work, std::span<const Tensor> y, std::span<const Shape> before) {
  const auto same = [](const Tensor& t, const Shape& s) { return t.shape() == s; };
  if (!std::equal(y.begin(), y.end(), before.begin(), before.end(), same))
    throw work.error(
        "the function gives other shapes than before when it is called again: it must record the same ops");
}

void run_again(Vjp& g, TapeData& tape, const std::function<std::vector<Tensor>()>& f, const Surroundings& surroundings,
               std::span<const Shape> shapes) {
  std::vector<Tensor> x;
  for (int i = 1; i < g.inputs(); ++i) x.push_back(g.x(i));
  const std::vector<Tensor> dy = parted(g.dy(), shapes);
  const auto from = static_cast<NodeId>(tape.nodes.size());
  Differentiation work("checkpoint", *tape.owner);
  const std::vector<Tensor> y = surroundings.run(tape, f);
  check_shapes(work, y, shapes);
  tape.lazy = tape.in_rule;  // what is added is computed straight into the gradients
  const auto parts = work.parts_since(from, y, dy, x);
  for (std::size_t i = 0; i < x.size(); ++i) add_parts(g, tape, static_cast<int>(i) + 1, parts[i]);
  work.keep();
}

}  // namespace

bool keeps_no_values(const Tape& tape) { return tape.tracing() || tape.data().lazy || tape.data().in_rule; }

std::vector<Tensor> checkpointed(Tape& tape, std::function<std::vector<Tensor>()> f) {
  TapeData& d = tape.data();
  const TapeMark before = tape.mark();
  const Surroundings surroundings(d);
  try {
    const std::vector<Array> values = arrays_of(f());
    const std::uint32_t draws = d.draws;
    const std::vector<Tensor> inputs = forget_and_name_inputs(d, before);
    d.draws = draws;
    std::vector<Shape> shapes;
    for (const Array& a : values) shapes.push_back(a.shape());
    const Tensor y = joined(constants(tape, values));
    const auto rule = [f = std::move(f), surroundings, shapes, &d](Vjp& g) {
      run_again(g, d, f, surroundings, shapes);
    };
    return parted(with_plain_rule(tape, inputs, y, rule), shapes);
  } catch (...) {
    d.truncate(before);
    d.draws = before.draws;
    throw;
  }
}

}  // namespace rw::detail
