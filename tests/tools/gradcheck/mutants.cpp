// Every op's gradient rule broken in several ways: gradcheck has to find each, and to name the op.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include <doctest/doctest.h>

#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/gradcheck/node.h>

#include "../../paths.h"
#include "mutant.h"
#include "random_graph.h"

using namespace rw;
using namespace rw::test;

namespace {

/// A graph in which an op occurs: one case of random_graph.h, or the recorded gradient of it.
struct Source {
  std::size_t op_case = 0;
  std::uint64_t seed = 0;
  bool of_gradient = false;

  Tensor record(Tape& tape, const RandomParameters& parameters) const {
    Pool pool(tape, parameters.leaves(tape));
    Rng rng(seed);
    const std::vector<Tensor> leaves = pool.tensors();
    Tensor y = op_cases()[op_case].make(pool, rng);
    if (!of_gradient) return y;
    const Tensor loss = projected(y, 1);
    const std::vector<Operand> x(leaves.begin(), leaves.end());
    Tensor sum = tape.constant(0.0);
    const std::vector<Tensor> g = grad(loss, std::span<const Operand>(x));
    for (std::size_t i = 0; i < g.size(); ++i)
      if (g[i].needs_grad()) sum = sum + projected(g[i], 2 + i);
    return sum;
  }
  static Tensor projected(Tensor y, std::uint64_t stream) {
    return sum((y + y * y) * y.tape().constant(rw::detail::projection(y.shape(), 3, stream)));
  }
};

const RandomParameters& parameters() {
  static const RandomParameters p(11);
  return p;
}

/// Every op that the cases and their gradients are made of, with a few graphs in which it occurs.
std::map<const OpInfo*, std::vector<Source>> sources() {
  std::map<const OpInfo*, std::vector<Source>> out;
  for (bool of_gradient : {false, true})
    for (std::size_t c = 0; c < op_cases().size(); ++c)
      for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        const Source source{c, seed, of_gradient};
        try {
          Tape tape(DType::f64);
          const Tensor y = source.record(tape, parameters());
          if (!y.needs_grad()) continue;
          std::set<const OpInfo*> here;
          const std::vector<bool> used = rw::detail::ancestors(tape, tape.id(y));
          for (NodeId i = 0; i <= tape.id(y); ++i)
            if (used[i] && tape.node(i).role == Role::op) here.insert(tape.node(i).info);
          for (const OpInfo* info : here)
            if (out[info].size() < 24) out[info].push_back(source);
        } catch (const Error&) {  // nothing in the pool fits
        }
      }
  return out;
}

std::vector<RandomParameters::Named> used_parameters(const Source& source) {
  Tape tape(DType::f64);
  const Tensor y = source.record(tape, parameters());
  const std::vector<bool> used = rw::detail::ancestors(tape, tape.id(y));
  std::vector<RandomParameters::Named> out;
  for (const auto& p : parameters().all())
    if (used[tape.leaf(*p.parameter).index()]) out.push_back(p);
  return out;
}

std::vector<double> gradient_of(const Source& source, bool mutated, bool recorded) {
  Tape tape(DType::f64);
  const Tensor x = source.record(tape, parameters());
  if (mutated) mutate(tape);
  const Tensor y = Source::projected(x, 9);
  std::vector<double> out;
  const auto append = [&](const Array& g) { out.insert(out.end(), g.span<double>().begin(), g.span<double>().end()); };
  if (recorded) {
    for (const auto& p : parameters().all()) append(grad(y, *p.parameter).array());
    return out;
  }
  Gradients g;
  backward(y, g);
  for (const auto& p : parameters().all()) append(g.of(*p.parameter));
  return out;
}

bool changes_gradient(const Source& source, bool recorded) {
  const std::vector<double> right = gradient_of(source, false, recorded), wrong = gradient_of(source, true, recorded);
  double size = 0, off = 0;
  for (std::size_t i = 0; i < right.size(); ++i) {
    size = std::max(size, std::fabs(right[i]));
    off = std::max(off, std::fabs(right[i] - wrong[i]));
  }
  return off > 1e-7 * size;
}

struct Counts {
  int mutants = 0, caught = 0, named = 0, equivalent = 0;
};

// Why a mutant that fires may leave every gradient as it was; nothing when there is no reason.
std::string reason(const Mutation& m) {
  static const std::set<std::string_view> passes = {"add",    "sub",           "add_n",        "slice", "reshape",
                                                    "sum_to", "concat",        "broadcast_to", "relu",  "clamp",
                                                    "where",  "clip_gradient", "mod"};
  if (m.fault == Fault::forgotten && passes.contains(m.original->name)) return "its rule is dy itself";
  if (m.fault == Fault::swap && (m.original->name == "add" || m.original->name == "add_n"))
    return "its terms are the same: two of y * y";
  if (m.fault == Fault::reorder && m.original->name == "cholesky") return "its gradient is symmetric";
  return {};
}

/// Tries one mutation on the op's graphs until one shows it.
void try_mutation(const Mutation& mutation, const std::vector<Source>& graphs, Counts& counts, std::string& listing) {
  const bool recorded = mutation.where == Where::recorded;
  bool fired = false;
  for (const Source& source : graphs) {
    begin_trial(mutation);
    if (!changes_gradient(source, recorded)) {
      fired = fired || trial().fired > 0;
      continue;
    }
    ++counts.mutants;
    const auto f = [&](Tape& tape) {
      const Tensor y = source.record(tape, parameters());
      mutate(tape);
      return y;
    };
    const GradReport report = gradcheck(f, used_parameters(source), {.order = recorded ? 2 : 1});
    const bool caught = report.verdict == Verdict::wrong;
    const bool named = !report.faults.empty() && report.faults[0].op == mutation.original->name &&
                       report.faults[0].kind == GradFault::Kind::rule;
    counts.caught += caught ? 1 : 0;
    counts.named += named ? 1 : 0;
    INFO(mutation.str() << " in " << op_cases()[source.op_case].name << (source.of_gradient ? ", its gradient" : "")
                        << ", seed " << source.seed << "\n"
                        << report);
    CHECK(caught);
    CHECK(named);
    return;
  }
  if (!fired) return;  // nothing to mutate: no such input, no broadcast
  ++counts.mutants;
  ++counts.equivalent;
  INFO(mutation.str());
  CHECK(!reason(mutation).empty());
  listing += "\n  " + mutation.str() + ": " + reason(mutation);
}

std::vector<Mutation> mutations_of(const OpInfo& info) {
  std::vector<Mutation> out;
  for (int input = 0; input < 3; ++input) {
    const auto add = [&](Fault fault, Where where = Where::everywhere) { out.push_back({&info, fault, input, where}); };
    if (info.vjp == nullptr) {
      for (Fault f : {Fault::spurious, Fault::negative, Fault::half, Fault::hundredth}) add(f);
      continue;
    }
    for (Fault f : {Fault::sign, Fault::factor, Fault::drop, Fault::reorder, Fault::forgotten, Fault::swap,
                    Fault::no_sum, Fault::shift})
      add(f);
    if (info.elementwise == nullptr || input >= info.elementwise->arity ||
        info.elementwise->gradient[input].f64 == nullptr)
      continue;
    for (Where where : {Where::loops, Where::recorded})
      for (Fault f : {Fault::sign, Fault::factor}) add(f, where);
  }
  return out;
}

}  // namespace

TEST_CASE("every op with a gradient rule in the sources is on trial") {
  std::set<std::string> tried;
  for (const auto& [info, graphs] : sources()) tried.emplace(info->name);
  std::set<std::string> leaves = {"constant", "variable", "parameter", "input", "random_key", "fill"};
  std::set<std::string> in_traces = {
      "gate"};  // recorded by cond and while_loop in a trace alone: tests/ops/control_flow.cpp
  int found = 0;
  for (const char* room : {"ops", "autograd"})
    for (const auto& file : std::filesystem::directory_iterator(source_dir() + "/" + room)) {
      if (!file.is_regular_file()) continue;
      std::ifstream in(file.path());
      const std::string key = "static constexpr std::string_view name = \"";
      for (std::string line; std::getline(in, line);) {
        const std::size_t at = line.find(key);
        if (at == std::string::npos || line.find("//") < at) continue;
        const std::string name = line.substr(at + key.size(), line.rfind('"') - at - key.size());
        ++found;
        INFO(name << " in " << file.path());
        CHECK((tried.contains(name) || leaves.contains(name) || in_traces.contains(name)));
      }
    }
  CHECK(found > 50);
}

TEST_CASE("every mutant of every op's gradient rule is caught, and the op is named") {
  Counts all;
  std::string listing, few, ops;
  int kinds = 0;
  for (const auto& [info, graphs] : sources()) {
    Counts counts;
    for (const Mutation& m : mutations_of(*info)) try_mutation(m, graphs, counts, listing);
    const bool integer = (info->integer_inputs & 1u) != 0;         // of what is drawn or looked up: no real input
    const bool no_rule = info->any_dtype && info->vjp == nullptr;  // of indices made of indices
    if (counts.mutants < 4 && !integer && !no_rule) few += " " + std::string(info->name);
    ++kinds;
    ops += " " + std::string(info->name) + " " + std::to_string(counts.mutants);
    all.mutants += counts.mutants;
    all.caught += counts.caught;
    all.named += counts.named;
    all.equivalent += counts.equivalent;
  }
  MESSAGE(all.mutants << " mutants of " << kinds << " ops: " << all.caught << " caught, " << all.named << " named, "
                      << all.equivalent << " change nothing:" << listing << "\nmutants by op:" << ops);
  CHECK(few == "");
  CHECK(all.caught + all.equivalent == all.mutants);
  CHECK(all.named == all.caught);
  CHECK(all.equivalent * 10 <= all.mutants);
}
