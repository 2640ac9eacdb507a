// Which recurrent networks are run: training steps, with and without the gradient of x, and inference.

#include <fmt/format.h>

#include "comparisons.h"
#include "recurrent.h"

namespace rw::bench {

namespace {

constexpr Cell all_cells[] = {Cell::lstm, Cell::gru, Cell::rnn, Cell::mgu, Cell::peephole, Cell::layer_norm};

// Steps, batch, features, hidden.
const Problem sizes[] = {
    {.T = 50, .N = 1, .I = 16, .H = 16},    {.T = 50, .N = 16, .I = 32, .H = 32},
    {.T = 50, .N = 32, .I = 128, .H = 128}, {.T = 50, .N = 64, .I = 256, .H = 256},
    {.T = 50, .N = 64, .I = 512, .H = 512}, {.T = 25, .N = 128, .I = 1024, .H = 1024},
};

bool has_primitive(Cell cell) { return cell == Cell::lstm || cell == Cell::gru || cell == Cell::rnn; }

// Turns are not shorter than 20 ms; libtorch takes 80 us for a small step of training; plain loops are slow.
double least_seconds(const Problem& p) {
  const double steps = static_cast<double>(p.T * p.layers * (p.both_ways ? 2 : 1) * (p.train ? 3 : 1));
  const bool plain = has_primitive(p.cell) && p.work() < most_plain_work && !p.gradient_of_x && p.layers == 1;
  return 0.8 + 5 * 80e-6 * steps + (plain ? 5 * p.work() / 3e10 : 0);
}

Comparison comparison(const char* group, const Problem& p, const char* note) {
  Comparison c;
  c.name = fmt::format("{}/{}/{}", group, name_of(p.cell), p.shape());
  c.note = note;
  c.work = p.work();
  c.seconds = least_seconds(p);
  c.all_cores = true;
  c.make = [p](const Setting& setting) { return recurrent_field(p, setting); };
  return c;
}

Comparison training(const char* group, Problem p) {
  p.train = true, p.gradient_of_x = false;
  return comparison(group, p, "training step, nobody computes the gradient of x");
}
Comparison training_with_x(const char* group, Problem p) {
  p.train = p.gradient_of_x = true;
  return comparison(group, p, "training step, everybody computes the gradient of x too");
}
Comparison inference(const char* group, Problem p) {
  p.train = p.gradient_of_x = false;
  return comparison(group, p, "inference");
}

void add_six_sizes(std::vector<Comparison>& all) {
  for (Cell cell : all_cells)
    for (Problem p : sizes) {
      p.cell = cell;
      all.push_back(training("train", p));
      all.back().quick = p.H == 16 || (p.H == 32 && cell == Cell::lstm);
      if (has_primitive(cell)) all.push_back(training_with_x("train+dx", p));
      if (has_primitive(cell)) all.back().quick = p.H == 16;
    }
  for (Cell cell : all_cells)
    for (Problem p : sizes) {
      p.cell = cell;
      all.push_back(inference("infer", p));
      all.back().quick = p.H == 16;
    }
}

// Products in bf16, which differ from f32's in the third digit.
void add_bf16(std::vector<Comparison>& all) {
  for (Problem p : sizes) {
    p.train = p.gradient_of_x = true, p.bf16 = true;
    all.push_back(
        comparison("bf16", p, "training step with products in bf16; everybody computes the gradient of x too"));
    all.back().tolerance = 3e-2;
    all.back().quick = p.H == 32;
  }
}

// The sampling loop: one step of one sequence at a time.
void add_one_step(std::vector<Comparison>& all) {
  for (Index H : {8, 16, 20, 32, 40}) {
    all.push_back(inference("step", {.T = 1, .N = 1, .I = 1, .H = H, .carry = true}));
    all.back().note = "one step of inference for one number in, the state carried: an audio callback";
    all.back().unit = "ns", all.back().scale = 1e9, all.back().all_cores = false;
  }
  for (Index H : {128, 512, 1024}) {
    all.push_back(inference("step", {.T = 1, .N = 1, .I = H, .H = H, .carry = true}));
    all.back().note = "one step of inference, the state carried: the sampling loop";
    all.back().unit = "steps/s", all.back().scale = 1, all.back().rate = true;
  }
}

// Shapes that others measure themselves with.
void add_known_shapes(std::vector<Comparison>& all) {
  const Problem deepbench[] = {{.cell = Cell::lstm, .T = 150, .N = 16, .I = 256, .H = 256},
                               {.cell = Cell::lstm, .T = 25, .N = 16, .I = 512, .H = 512},
                               {.cell = Cell::lstm, .T = 150, .N = 1, .I = 256, .H = 256},
                               {.cell = Cell::gru, .T = 1, .N = 32, .I = 512, .H = 512},
                               {.cell = Cell::rnn, .T = 96, .N = 1, .I = 64, .H = 64}};
  const Problem onednn[] = {{.cell = Cell::lstm, .T = 50, .N = 64, .I = 500, .H = 500},
                            {.cell = Cell::lstm, .T = 629, .N = 1, .I = 128, .H = 128}};
  const Problem fastrnns{.T = 100, .N = 64, .I = 512, .H = 512};
  for (const auto& [group, problems] : {std::pair{"deepbench", std::span<const Problem>(deepbench)},
                                        {"onednn", std::span<const Problem>(onednn)},
                                        {"fastrnns", std::span<const Problem>(&fastrnns, 1)}})
    for (const Problem& p : problems) {
      all.push_back(training(group, p));
      all.push_back(training_with_x(fmt::format("{}+dx", group).c_str(), p));
      all.push_back(inference(fmt::format("{}-infer", group).c_str(), p));
    }
}

void add_stacks(std::vector<Comparison>& all) {
  for (Cell cell : {Cell::lstm, Cell::gru})
    for (Index H : {32, 128, 512}) {
      const Index N = H == 32 ? 16 : H == 128 ? 32 : 64;
      for (Index layers : {2, 4}) {
        const Problem stack{.cell = cell, .T = 50, .N = N, .I = H, .H = H, .layers = layers};
        all.push_back(training("stack", stack));
        all.push_back(training_with_x("stack+dx", stack));
        all.push_back(inference("stack-infer", stack));
      }
      const Problem both_ways{.cell = cell, .T = 50, .N = N, .I = H, .H = H, .both_ways = true};
      all.push_back(training("both-ways", both_ways));
      all.push_back(training_with_x("both-ways+dx", both_ways));
      all.push_back(inference("both-ways-infer", both_ways));
    }
}

}  // namespace

std::vector<Comparison> recurrent_comparisons() {
  std::vector<Comparison> all;
  add_six_sizes(all);
  add_bf16(all);
  add_one_step(all);
  add_known_shapes(all);
  add_stacks(all);
  return all;
}

std::vector<Comparison> growth_comparisons() {
  std::vector<Comparison> all;
  const auto add = [&](const char* letter, Index size, const Problem& p) {
    all.push_back(training("growth", p));
    Comparison& c = all.back();
    c.name = fmt::format("growth/{}/{}", letter, size);
    c.note = "LSTM training step, " + p.shape();
    c.size = static_cast<double>(size), c.all_cores = false;
    c.series = fmt::format("ms of an LSTM training step against {}", letter);
  };
  for (Index T : {10, 30, 100, 300, 1000, 3000, 10000}) add("T", T, {.T = T, .N = 16, .I = 32, .H = 32});
  for (Index H : {16, 32, 64, 128, 256, 512, 1024, 2048}) add("H", H, {.T = 10, .N = 16, .I = H, .H = H});
  for (Index N : {1, 2, 4, 8, 16, 32, 64, 128, 256}) add("N", N, {.T = 20, .N = N, .I = 128, .H = 128});
  return all;
}

}  // namespace rw::bench
