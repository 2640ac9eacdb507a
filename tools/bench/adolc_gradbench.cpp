// ADOL-C. What can be traced before is: a run is then the tape's replay alone.

#include <adolc/adolc.h>
#include <memory>
#include <vector>

#include <rewind/tools/bench/gradbench/descent.h>

#include "gradbench_peers.h"

namespace rw::bench {
namespace {

using gradbench::json;
using gradbench::Numbers;
using gradbench::Work;

constexpr std::size_t most_operations = 400'000;  // longer tapes are written to files

short new_tag() {
  static short last = 0;
  return ++last;
}

template <class F>
void trace(short tag, F&& f, const Numbers& x, std::size_t results) {
  std::vector<adouble> in(x.size()), out(results);
  trace_on(tag);
  for (std::size_t i = 0; i < x.size(); ++i) in[i] <<= x[i];
  f(std::span<const adouble>(in), out);
  for (adouble& y : out) {
    double value = 0;
    y >>= value;
  }
  trace_off();
}

std::optional<Work> scalar(const std::string& eval, const json& input) {
  return with_scalar_function(eval, input, [](auto f, const Numbers& x) -> std::optional<Work> {
    const short tag = new_tag();
    trace(
        tag, [&](std::span<const adouble> in, std::vector<adouble>& out) { out[0] = f(in); }, x, 1);
    const auto g = std::make_shared<Numbers>(x.size());
    return Work{[=] { ::gradient(tag, static_cast<int>(x.size()), x.data(), g->data()); }, [g] { return json(*g); }};
  });
}

Work observations(const json& input) {
  auto x = input.at("cam").get<Numbers>();
  for (double e : input.at("x").get<Numbers>()) x.push_back(e);
  x.push_back(input.at("w").get<double>());
  const auto feature = input.at("feat").get<Numbers>();
  const short tag = new_tag();
  trace(
      tag,
      [&](std::span<const adouble> in, std::vector<adouble>& out) {
        gradbench::plain_cpp::ba_error(in.data(), in.data() + 11, in[14], feature.data(), out.data());
      },
      x, 2);
  return gradbench::ba_by_observations(input, [tag](const double* at, const double*, double* rows) {
    double* both[] = {rows, rows + 15};
    ::jacobian(tag, 2, 15, at, both);
  });
}

// The path depends on w, so each is traced.
Work particle(const json& input) {
  const short tag = new_tag();
  const auto miss = [tag](const Numbers& at) {
    double value = 0, slope = 0;
    trace_on(tag);
    adouble w;
    w <<= at[0];
    adouble y = gradbench::plain_cpp::particle_miss(w);
    y >>= value;
    trace_off();
    ::gradient(tag, 1, at.data(), &slope);
    return std::pair(value, Numbers{slope});
  };
  return gradbench::plain([miss, w = input.at("w").get<double>()] { return json(gradbench::descend(miss, {w})[0]); });
}

std::optional<Work> derivative(const std::string& eval, const json& input) {
  if (tape_length(eval, input) > most_operations) return std::nullopt;
  if (eval == "ba") return observations(input);
  if (eval == "particle") return particle(input);
  return scalar(eval, input);
}

}  // namespace

Peer adolc_peer() { return {"ADOL-C", "", derivative}; }

}  // namespace rw::bench
