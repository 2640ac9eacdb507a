#include <ostream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/export/header_frame.h>
#include <rewind/tools/export/run_body.h>

namespace rw {
namespace {

using namespace detail;

/// Numbers of x at one step.
Index inputs_of(const RecordedSequence& sequence) {
  const Shape& x = sequence.traces[0].x.shape();
  Index numbers = 1;
  for (int a = 2; a < x.rank(); ++a) numbers *= x[a];
  return numbers;
}

std::string beginning(const RecordedSequence& sequence, const RunBody& body, const HeaderOptions& options, DType real) {
  Index weights = 0, carried = 0;
  for (const Member& m : body.weights) weights += m.value.size();
  for (const Array& s : sequence.start) carried += s.size();
  return fmt::format(
      R"(// A model of whole sequences, written by Rewind: {5} weights, a state of {6} numbers.
// C++17; no heap, lock, exception, RTTI or global state.
//
//   {0}::State state;
//   {0}::Model model{1};
//   model.reset(state);                      // as before the first step
//   model.run(x, T, state, y, workspace);    // {2} x[T * {3}] -> {4} y[outputs(T)], {4} workspace[workspace_size(T)]
//
// A model is looked at and never changed: any number of threads may share it, each with a state and a workspace.
)",
      options.name, options.weights_in_header ? "" : "(*" + options.name + "::weights_in(bytes, size))",
      sequence.traces[0].x.dtype() == DType::i32 ? "int32_t" : plain_type(real), inputs_of(sequence), plain_type(real),
      weights, carried);
}

std::string constants(const RecordedSequence& sequence, const RunBody& body) {
  const auto function = [&](const std::string& name, const std::string& value) {
    return fmt::format(R"(constexpr std::size_t {}(std::size_t T) {{
  if (T < least_steps) return 0;
  [[maybe_unused]] const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(T);
  return static_cast<std::size_t>({});
}}
)",
                       name, value);
  };
  return fmt::format(
             "/// Numbers of x at a step, and the fewest steps of a sequence.\nconstexpr std::size_t inputs = {}, "
             "least_steps = {};\n\n/// Numbers of y, and those that the workspace must have room for.\n",
             inputs_of(sequence), body.least_steps) +
         function("outputs", body.outputs) + function("workspace_size", body.workspace);
}

std::string model(const RecordedSequence& sequence, const RunBody& body, const HeaderOptions& options) {
  const std::string x = member_type(sequence.traces[0].x.dtype());
  return fmt::format(R"(
class Model {{
 public:
  explicit Model(const Weights& w{0}) : weights_(&w) {{}}

  /// The state before the first step.
  void reset([[maybe_unused]] State& state) const {{
    state = State();
{1}  }}

  /// A sequence of T steps: x [T, inputs] -> y [outputs(T)], which is other memory, and the state after the last step.
  /// The workspace has workspace_size(T) numbers, none of which need be kept. Does nothing for fewer than least_steps:
  /// false then.
  bool run(const {2}* x, std::size_t T, State& state, Real* y, Real* workspace) const;

 private:
  const Weights* weights_;
}};

inline bool Model::run([[maybe_unused]] const {2}* x, std::size_t T, [[maybe_unused]] State& state, Real* y,
                       Real* workspace) const {{
  [[maybe_unused]] const Weights& w = *weights_;
  if (T < least_steps) return false;
  [[maybe_unused]] const std::ptrdiff_t n = static_cast<std::ptrdiff_t>(T);
{3}  return true;
}}
)",
                     options.weights_in_header ? " = weights" : "", reset_text(sequence.start), x, body.statements);
}

/// With the states that begin with other numbers than 0.
std::vector<Member> members(const RecordedSequence& sequence, const RunBody& body) {
  std::vector<Member> all = members_of_weights({}, sequence.start);
  all.insert(all.end(), body.weights.begin(), body.weights.end());
  return sorted_by_type(std::move(all));
}

}  // namespace

HeaderFile make_header(const RecordedSequence& sequence, const HeaderOptions& options) {
  check_options(options);
  const SizedProgram program(sequence);
  const RunBody body = run_body(program, sequence, options.expressions, options.int8);
  const DType real = sequence.traces[0].tape.dtype();
  HeaderFrame frame{.real = real,
                    .beginning = beginning(sequence, body, options, real),
                    .constants = constants(sequence, body),
                    .statements = body.functions + body.statements,
                    .code = body.functions + model(sequence, body, options),
                    .start = sequence.start,
                    .rooms = {},
                    .members = members(sequence, body),
                    .characters = sequence.characters};
  for (const Array& s : sequence.start) frame.rooms.push_back(std::max<Index>(s.size(), 1));
  return header_file(frame, options);
}

void write_header(std::ostream& out, const RecordedSequence& sequence, const HeaderOptions& options) {
  HeaderOptions all = options;
  all.weights_in_header = true;
  out << make_header(sequence, all).text;
}

}  // namespace rw
