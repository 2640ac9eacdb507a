#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/ops/activation.h>
#include <rewind/ops/arithmetic.h>
#include <rewind/ops/matmul.h>
#include <rewind/ops/padding.h>
#include <rewind/ops/view.h>
#include <rewind/tools/export/onnx/load/operators.h>

// LSTM, GRU and RNN as ONNX defines them (opset 14). Gates are i, o, f, c and z, r, h; matrices are [gates H, in].

namespace rw::detail::load {
namespace {

using Squash = Tensor (*)(Operand);

struct Kind {
  Index gates;
  std::vector<std::string> squashed;  // unless the file says otherwise
};
const Kind& kind_of(const Node& n) {
  static const std::map<std::string, Kind> kinds{
      {"LSTM", {4, {"Sigmoid", "Tanh", "Tanh"}}}, {"GRU", {3, {"Sigmoid", "Tanh"}}}, {"RNN", {1, {"Tanh"}}}};
  return kinds.at(n.type);
}

Squash squash_of(const Node& n, const std::string& name) {
  if (name == "Sigmoid") return sigmoid;
  if (name == "Tanh") return tanh;
  if (name == "Relu") return relu;
  throw n.error("activations are Sigmoid, Tanh and Relu, not '" + shown(name) + "'");
}

struct Options {
  std::vector<bool> backwards;                // of each direction
  std::vector<std::vector<Squash>> squashes;  // of each direction
  bool reset_after = false;                   // of a GRU
  bool coupled = false;                       // of an LSTM
};

Options options_of(const Node& n) {
  Options out;
  const auto direction = n.get<std::string>("direction", "forward");
  if (direction == "forward" || direction == "bidirectional") out.backwards.push_back(false);
  if (direction == "reverse" || direction == "bidirectional") out.backwards.push_back(true);
  if (out.backwards.empty()) throw n.error("there is no direction '" + shown(direction) + "'");
  const Kind& kind = kind_of(n);
  const std::size_t each = kind.squashed.size(), directions = out.backwards.size();
  const auto* said = n.find<std::vector<std::string>>("activations");
  if (said != nullptr && said->size() != each * directions)
    throw n.error(fmt::format("it has {} activations, not {}", said->size(), each * directions));
  for (std::size_t d = 0; d < directions; ++d) {
    out.squashes.emplace_back();
    for (std::size_t k = 0; k < each; ++k)
      out.squashes[d].push_back(squash_of(n, said != nullptr ? (*said)[d * each + k] : kind.squashed[k]));
  }
  for (const char* name : {"clip", "activation_alpha", "activation_beta"})
    if (n.attributes.contains(name)) throw n.error(std::string("the attribute ") + name + " is not read");
  if (n.get<std::int64_t>("layout", 0) != 0) throw n.error("the batch comes first (layout 1), which is not read");
  out.reset_after = n.get<std::int64_t>("linear_before_reset", 0) != 0;
  out.coupled = n.get<std::int64_t>("input_forget", 0) != 0;
  return out;
}

/// One direction of a layer.
class Direction {
 public:
  /// `d` counts directions.
  Direction(const Call& call, const Options& options, std::size_t d)
      : options_(options), squash_(options.squashes[d]), backwards_(options.backwards[d]), x_(call.real(0)) {
    const auto part = [&](std::size_t input) { return select(call.real(input), 0, static_cast<Index>(d)); };
    gates_ = kind_of(call.node()).gates;
    R_ = part(2);
    H_ = R_.size(1);
    xw_ = matmul(x_, part(1), {.transpose_b = true});  // [T, N, gates H]
    if (call.has(3)) {
      const Tensor b = part(3);
      xw_ = xw_ + slice(b, 0, 0, gates_ * H_);
      rb_ = slice(b, 0, gates_ * H_, gates_ * H_);
    }
    const Shape start{x_.size(1), H_};
    h_ = call.has(5) ? part(5) : x_.tape().constant(0, start);
    if (gates_ == 4) c_ = call.has(6) ? part(6) : x_.tape().constant(0, start);
    if (gates_ == 4 && call.has(7)) peepholes_ = split(part(7), 3, 0);
    if (call.has(4)) mask_ = sequence_mask(call.tensor(4), x_.size(0));
  }

  void run() {
    const Index T = x_.size(0);
    outputs_.resize(static_cast<std::size_t>(T));
    for (Index i = 0; i < T; ++i) {
      const Index t = backwards_ ? T - 1 - i : i;
      const Scope scope(x_.tape(), "t", t);
      const Tensor h = h_, c = c_;
      step(at_step(xw_, t));
      outputs_[static_cast<std::size_t>(t)] = h_;
      if (mask_.valid()) wait(at_step(mask_, t), h, c, outputs_[static_cast<std::size_t>(t)]);
    }
  }

  /// [T, N, H].
  Tensor outputs() const {
    if (outputs_.empty()) return x_.tape().constant(0, {0, x_.size(1), H_});
    return stack_steps(outputs_);
  }
  Tensor h() const { return h_; }
  Tensor c() const { return c_; }

 private:
  /// A sequence that has ended stays where it was, and gives 0.
  void wait(Tensor mask, Tensor h, Tensor c, Tensor& output) {
    output = carried(mask, output, x_.tape().constant(0, output.shape()));
    h_ = carried(mask, h_, h);
    if (c_.valid()) c_ = carried(mask, c_, c);
  }

  /// h R^T + b, of gates from `first` on.
  Tensor fed_back(Tensor h, Index first, Index count) const {
    const Tensor R = count == gates_ ? R_ : slice(R_, 0, first * H_, count * H_);
    const Tensor y = matmul(h, R, {.transpose_b = true});
    return rb_.valid() ? y + (count == gates_ ? rb_ : slice(rb_, 0, first * H_, count * H_)) : y;
  }

  void step(Tensor xw) {
    if (gates_ == 4)
      lstm(xw + fed_back(h_, 0, 4));
    else if (gates_ == 3)
      gru(xw);
    else
      h_ = squash_[0](xw + fed_back(h_, 0, 1));
  }

  void lstm(Tensor sums) {
    const auto [i_sum, o_sum, f_sum, g_sum] = split<4>(sums);
    const auto peep = [&](Tensor sum, std::size_t k, Tensor c) {
      return peepholes_.empty() ? sum : sum + peepholes_[k] * c;
    };
    const Tensor i = squash_[0](peep(i_sum, 0, c_));
    const Tensor f = options_.coupled ? 1 - i : squash_[0](peep(f_sum, 2, c_));
    c_ = f * c_ + i * squash_[1](g_sum);
    h_ = squash_[0](peep(o_sum, 1, c_)) * squash_[2](c_);
  }

  void gru(Tensor xw) {
    const Tensor x_gates = slice(xw, -1, 0, 2 * H_), x_n = slice(xw, -1, 2 * H_, H_);
    const Tensor all = options_.reset_after ? fed_back(h_, 0, 3) : fed_back(h_, 0, 2);
    const auto [z, r] = split<2>(squash_[0](x_gates + (options_.reset_after ? slice(all, -1, 0, 2 * H_) : all)));
    const Tensor n = options_.reset_after ? x_n + r * slice(all, -1, 2 * H_, H_) : x_n + fed_back(r * h_, 2, 1);
    h_ = (1 - z) * squash_[1](n) + z * h_;
  }

  const Options& options_;
  const std::vector<Squash>& squash_;
  bool backwards_;
  Tensor x_, R_, xw_, rb_, h_, c_, mask_;
  std::vector<Tensor> peepholes_, outputs_;
  Index gates_ = 0, H_ = 0;
};

/// The shapes that ONNX gives the inputs, where they are there.
void check_shapes(const Call& c, std::size_t directions) {
  const Shape x = c.shape(0), R = c.shape(2);
  if (x.rank() != 3) throw c.error("x is " + x.str() + ", not (steps, batch, in)");
  if (R.rank() != 3) throw c.error("R is " + R.str() + ", not (directions, gates times hidden, hidden)");
  const Index D = static_cast<Index>(directions), H = R[2], G = kind_of(c.node()).gates, N = x[1];
  const auto check = [&](std::size_t i, const char* name, const Shape& expected) {
    if (c.has(i) && c.shape(i) != expected)
      throw c.error(fmt::format("{} is {}, not {}", name, c.shape(i).str(), expected.str()));
  };
  check(1, "W", {D, G * H, x[2]});
  check(2, "R", {D, G * H, H});
  check(3, "B", {D, 2 * G * H});
  check(4, "sequence_lens", {N});
  check(5, "initial_h", {D, N, H});
  check(6, "initial_c", {D, N, H});
  check(7, "P", {D, 3 * H});
  if (c.node().get<std::int64_t>("hidden_size", H) != H) throw c.error("hidden_size is not the width of R");
}

Values recurrent(const Call& c) {
  const Options options = options_of(c.node());
  const std::size_t directions = options.backwards.size();
  check_shapes(c, directions);
  std::vector<Tensor> outputs, h, memory;
  for (std::size_t d = 0; d < directions; ++d) {
    Direction direction(c, options, d);
    direction.run();
    if (c.wants(0)) outputs.push_back(direction.outputs());
    h.push_back(direction.h());
    if (direction.c().valid()) memory.push_back(direction.c());
  }
  Values out(3);
  if (c.wants(0)) out[0] = stack(outputs, 1);
  if (c.wants(1)) out[1] = stack(h, 0);
  if (c.wants(2)) out[2] = stack(memory, 0);
  return out;
}

void check_recurrent(const Node& n) { options_of(n); }

}  // namespace

std::vector<Operator> recurrent_operators() {
  return {
      {.type = "LSTM", .least = 3, .most = 8, .outputs = 3, .run = recurrent, .check = check_recurrent},
      {.type = "GRU", .least = 3, .most = 6, .outputs = 2, .run = recurrent, .check = check_recurrent},
      {.type = "RNN", .least = 3, .most = 6, .outputs = 2, .run = recurrent, .check = check_recurrent},
  };
}

}  // namespace rw::detail::load
