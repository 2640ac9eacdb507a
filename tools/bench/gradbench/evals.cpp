#include "evals.h"

#include <memory>
#include <stdexcept>

#include <rewind/autograd/compile/compile.h>

namespace rw::bench::gradbench {

std::span<const Eval> evals() {
  static const std::vector<Eval> all = {hello_eval(),  lse_eval(),  llsq_eval(),     det_eval(),
                                        ode_eval(),    gmm_eval(),  ba_eval(),       ht_eval(),
                                        kmeans_eval(), lstm_eval(), particle_eval(), saddle_eval()};
  return all;
}

const Eval& eval(std::string_view name) {
  std::string names;
  for (const Eval& e : evals()) {
    if (e.name == name) return e;
    names += (names.empty() ? "" : ", ") + std::string(e.name);
  }
  throw std::runtime_error("no eval '" + std::string(name) + "': there are " + names);
}

void no_function(std::string_view eval, std::string_view function) {
  throw std::runtime_error(std::string(eval) + " has no function '" + std::string(function) + "'");
}

namespace {

struct Evaluation {
  Record record;
  std::vector<Array> arguments, results;
  Tape tape{DType::f64};

  void eager() {
    tape.clear();
    std::vector<Tensor> x;
    for (const Array& a : arguments) x.push_back(is_real(a.dtype()) ? tape.variable(a) : tape.constant(a));
    keep(record(tape, x));
  }
  void keep(const std::vector<Tensor>& found) {
    results.resize(found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      const ConstView v = found[i].value();
      if (results[i].shape() == v.shape && results[i].dtype() == v.dtype)
        copy(v, results[i].view());
      else
        results[i] = Array(v);
    }
  }
};

}  // namespace

Work ours(Engine engine, Record record, std::vector<Array> arguments,
          std::function<json(const std::vector<Array>&)> shape) {
  const auto run = std::make_shared<Evaluation>();
  run->record = std::move(record);
  run->arguments = std::move(arguments);
  const auto output = [run, shape = std::move(shape)] { return shape(run->results); };
  if (engine == Engine::eager) return {[run] { run->eager(); }, output, {}};
  const auto plan = [run] {
    return compile([run](Tape& tape, const std::vector<Tensor>& x) { return run->record(tape, x); },
                   CompileOptions{.dtype = DType::f64}, run->arguments);
  };
  const auto compiled = std::make_shared<decltype(plan())>(plan());
  return {[run, compiled] { run->keep((*compiled)(run->arguments)); }, output, [plan] { plan(); }};
}

Array vector_of(const Numbers& numbers) { return Array(numbers); }

Numbers flat(const json& rows) {
  Numbers out;
  for (const json& row : rows)
    for (const json& e : row) out.push_back(e.get<double>());
  return out;
}
Array matrix_of(const json& rows) {
  const auto m = static_cast<Index>(rows.size()), n = static_cast<Index>(m == 0 ? 0 : rows.at(0).size());
  return Array(flat(rows), Shape{m, n});
}

json number(const std::vector<Array>& results) { return results.at(0).item(); }
json list(const std::vector<Array>& results) {
  Numbers out;
  for (const Array& a : results)
    for (double e : a.to_vector<double>()) out.push_back(e);
  return out;
}
json rows(const Array& matrix) {
  json out = json::array();
  const Numbers all = matrix.to_vector<double>();
  const auto n = static_cast<std::ptrdiff_t>(matrix.shape()[1]);
  for (std::ptrdiff_t i = 0; i < matrix.shape()[0]; ++i)
    out.push_back(Numbers(all.begin() + i * n, all.begin() + (i + 1) * n));
  return out;
}

}  // namespace rw::bench::gradbench
