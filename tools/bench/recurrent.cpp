// Recurrent networks: the problems, their inputs, and who takes part.

#include "recurrent.h"

#include <cmath>
#include <stdexcept>

#include <fmt/format.h>

#include <rewind/models/init.h>

#include "peers.h"

namespace rw::bench {

namespace {

LayerWeights random_layer(Rng& rng, const Problem& p, Index in) {
  const double width = 1 / std::sqrt(static_cast<double>(p.H));
  const Index gates = gates_of(p.cell) * p.H;
  LayerWeights w;
  w.W = uniform(rng, {in, gates}, -width, width);
  w.R = uniform(rng, {p.H, gates}, -width, width);
  w.b = uniform(rng, {gates}, -0.1, 0.1);
  w.extra = Array(Shape{1});
  if (p.cell == Cell::peephole) w.extra = uniform(rng, {3 * p.H}, -0.5, 0.5);
  if (p.cell == Cell::layer_norm) w.extra = uniform(rng, {10 * p.H}, 0.8, 1.2);
  return w;
}

struct Maker {
  const char* name;
  NetworkMaker make;
  const char* why_not;
  bool bf16 = false;
};

// Products in bf16, and the same in f32.
std::vector<Maker> bf16_makers() {
  const char* cannot = "the processor has no AVX512_BF16";
  return {{"Rewind compiled, bf16", rewind_compiled, cannot, true},
          {"oneDNN primitive, bf16", dnnl_primitive, cannot, true},
          {"Rewind compiled", rewind_compiled, ""},
          {"oneDNN primitive", dnnl_primitive, ""}};
}

std::vector<Maker> makers(const Problem& p, int threads) {
  if (p.bf16) return bf16_makers();
  std::vector<Maker> out{{"Rewind eager", p.carry ? rewind_eager_step : rewind_eager, ""},
                         {"Rewind compiled", p.carry ? rewind_compiled_step : rewind_compiled, ""}};
  if (p.carry && p.H <= 64) out.push_back({"Rewind header", rewind_header_step, "there is no compiler, c++"});
  if (threads > 1 && (p.layers > 1 || p.both_ways))
    out.push_back({"Rewind compiled, one kernel at a time", rewind_one_at_a_time, ""});
  const char* other_work = "other cells, or other gradients";
  // The primitive always computes the gradient of x.
  if (!p.train || p.gradient_of_x) out.push_back({"oneDNN primitive", dnnl_primitive, other_work});
  const char* no_torch = torch_version().empty() ? "libtorch was not found" : "libtorch has no such layer";
  out.push_back({"libtorch nn", torch_layer, no_torch});
  if (!p.gradient_of_x && p.layers == 1 && !p.both_ways && !p.carry) {
    out.push_back({"libtorch composed", torch_composed, no_torch});
    out.push_back({"libtorch composed, x W at once", torch_hoisted, no_torch});
    out.push_back({"plain C++ loops", plain_loops, "not written for this cell"});
  }
  return out;
}

// Keeps the inputs alive for its network, which is made at the first run, so that at no time more are alive than
// needed.
Contender contender(const char* name, std::shared_ptr<Network> network, std::shared_ptr<Inputs> inputs) {
  Contender out{name, [network, inputs] { network->run(); }, [network] { return network->result(); }};
  out.profile = [network] { return network->profile(); };
  return out;
}

}  // namespace

const char* name_of(Cell cell) {
  constexpr const char* names[] = {"lstm", "gru", "rnn", "mgu", "peephole", "layer-norm"};
  return names[static_cast<int>(cell)];
}

Index gates_of(Cell cell) {
  constexpr Index gates[] = {4, 3, 1, 2, 4, 4};
  return gates[static_cast<int>(cell)];
}

std::string Problem::shape() const {
  std::string out = fmt::format("T{} N{} I{} H{}", T, N, I, H);
  if (layers > 1) out += fmt::format(" x{}", layers);
  if (both_ways) out += " both ways";
  return out;
}

double Problem::work() const {
  double products = 0;
  for (Index l = 0; l < layers; ++l) {
    const Index in = l == 0 ? I : H * (both_ways ? 2 : 1);
    const double input = static_cast<double>(in * gates_of(cell) * H),
                 state = static_cast<double>(H * gates_of(cell) * H);
    const bool to_x = l > 0 || gradient_of_x;
    products += (both_ways ? 2 : 1) * (train ? (to_x ? 3 : 2) * input + 3 * state : input + state);
  }
  return 2 * static_cast<double>(T * N) * products;
}

Inputs::Inputs(const Problem& p) {
  Rng rng(1);
  x = uniform(rng, {p.T, p.N, p.I}, -1, 1);
  const Index directions = p.both_ways ? 2 : 1;
  for (Index l = 0; l < p.layers; ++l)
    for (Index d = 0; d < directions; ++d) layers.push_back(random_layer(rng, p, l == 0 ? p.I : p.H * directions));
}

std::vector<double> sample(const float* numbers, Index n) {
  constexpr Index most = 499;  // a prime, so that no column is picked again and again
  const Index step = n <= most ? 1 : n / most;
  std::vector<double> out;
  for (Index i = 0; i < n; i += step) out.push_back(static_cast<double>(numbers[i]));
  return out;
}

Field recurrent_field(const Problem& p, const Setting& setting) {
  auto inputs = std::make_shared<Inputs>(p);
  Field field;
  for (const Maker& m : makers(p, setting.threads)) {
    const bool plain = m.make == plain_loops;
    if (plain && (p.work() > most_plain_work || setting.threads > 1)) {
      field.absent.push_back(
          fmt::format("{}: {}", m.name, setting.threads > 1 ? "have no threads" : "would take too long"));
      continue;
    }
    Problem its = p;
    its.bf16 = m.bf16;
    std::shared_ptr<Network> network = m.make(its, *inputs);
    if (network == nullptr)
      field.absent.push_back(fmt::format("{}: {}", m.name, m.why_not));
    else
      field.contenders.push_back(contender(m.name, std::move(network), inputs));
  }
  return field;
}

}  // namespace rw::bench
