#pragma once

// GradBench's evals (github.com/gradbench/gradbench), written from their definitions: one file each, by Rewind's ops
// and beside it the function in plain C++.

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include <rewind/autograd/tape.h>
#include <rewind/core/array.h>

namespace rw::bench::gradbench {

using json = nlohmann::json;
using Numbers = std::vector<double>;

enum class Engine { compiled, eager, plain };

/// One function of an eval on one input.
struct Work {
  /// Does it once.
  std::function<void()> run;
  /// What the last run gave, as the board wants it.
  std::function<json()> output;
  /// Compiles it once more; nothing unless it is compiled.
  std::function<void()> compile = {};
};

struct Eval {
  std::string_view name;
  std::vector<std::string_view> functions;
  /// Throws std::exception for an input that is not the eval's, and for a function that it has not (or, with
  /// Engine::plain, one that only has a derivative).
  Work (*make)(std::string_view function, const json& input, Engine engine);
};

/// All of them.
std::span<const Eval> evals();
/// Throws std::runtime_error, listing the names, for another one.
const Eval& eval(std::string_view name);

/// What Rewind records: a function of arrays.
using Record = std::function<std::vector<Tensor>(Tape&, const std::vector<Tensor>&)>;
/// That function, eager or compiled before its first run, in f64; `shape` makes the output of the results.
Work ours(Engine engine, Record record, std::vector<Array> arguments,
          std::function<json(const std::vector<Array>&)> shape);
/// A function in plain C++.
template <class F>
Work plain(F f) {
  const auto result = std::make_shared<json>();
  return {[f, result] { *result = f(); }, [result] { return *result; }, {}};
}

/// A vector, and a matrix of the rows of a JSON list of lists.
Array vector_of(const Numbers& numbers);
Array matrix_of(const json& rows);
Numbers flat(const json& rows);
/// Results as a number, a list, and a list of rows.
json number(const std::vector<Array>& results);
json list(const std::vector<Array>& results);
json rows(const Array& matrix);

/// Of one observation of bundle adjustment: 2 rows of derivatives by the camera's 11 numbers, the point's 3 and the
/// weight, which are x.
using ObservationDerivatives = std::function<void(const double* x, const double* feature, double* rows)>;
/// The Jacobian of ba's input by that function.
Work ba_by_observations(const json& input, ObservationDerivatives derivatives);

[[noreturn]] void no_function(std::string_view eval, std::string_view function);

Eval hello_eval();
Eval lse_eval();
Eval llsq_eval();
Eval det_eval();
Eval ode_eval();
Eval gmm_eval();
Eval ba_eval();
Eval ht_eval();
Eval kmeans_eval();
Eval lstm_eval();
Eval particle_eval();
Eval saddle_eval();

}  // namespace rw::bench::gradbench
