// Models as ONNX files, read back, and checked and run by others: Debian's checker, and onnxruntime.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <set>
#include <sstream>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <rewind/models/models.h>
#include <rewind/models/weights/file.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/export/onnx.h>
#include <rewind/tools/export/onnx_model.h>
#include <rewind/tools/process.h>

#include "../../paths.h"
#include "models.h"
#include "op_functions.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index in = 3;

/// Whether the library was built with it.
bool has_onnx() {
  Rng rng(1);
  try {
    make_onnx(record_sequence(RnnCell(in, 2, rng), in));
    return true;
  } catch (const Error& e) {
    if (std::string(e.what()).find("built without ONNX") == std::string::npos) throw;
    std::cout << "skipped: built without libprotobuf-dev and libonnx-dev\n";
    return false;
  }
}

std::string line(const std::string& name, const Array& a) {
  std::string out = fmt::format("{} {} {}", name,
                                a.dtype() == DType::i32   ? "int32"
                                : a.dtype() == DType::f64 ? "float64"
                                                          : "float32",
                                a.shape().rank());
  for (const Index d : a.shape()) out += fmt::format(" {}", d);
  for (const double x : a.to_vector<double>()) out += fmt::format(" {:.17g}", x);
  return out + "\n";
}

/// Files of models, each with inputs at other sizes than those recorded, and what the tape makes of them.
class Files {
 public:
  template <Layer L>
  void layer(const std::string& name, const L& layer, Index steps = 9, Index batch = 4, DType real = DType::f32) {
    randomise(layer);
    add(
        name, record_sequence(layer, in, real), {steps, batch, in}, real,
        [&](Tape& tape) { return layer.zero_state(tape, batch); },
        [&](Tensor x, typename L::State& s) {
          const auto states = unroll(layer, x, s);
          s = last_state(layer, states);
          return outputs(layer, states);
        });
    if constexpr (std::derived_from<L, Module>)  // what comes back does not say that it is never trained
      for (const NamedParameter& b : layer.buffers()) files_.back().parameters.insert(b.name);
  }
  template <class ZeroState, class Run>
  void add(const std::string& name, const RecordedSequence& sequence, const Shape& x_shape, DType real,
           const ZeroState& zero_state, const Run& run, Index indices = 0) {
    File file{.name = name, .bytes = make_onnx(sequence), .real = real};
    for (const NamedParameter& p : sequence.names) file.parameters.insert(p.name);
    Rng rng(7);
    Array x = uniform(rng, x_shape, -1, 1).to(real);
    if (indices > 0) {
      x = Array(x_shape, DType::i32);
      for (std::int32_t& i : x.span<std::int32_t>()) i = static_cast<std::int32_t>(rng.below(indices));
    }
    Tape tape(real);
    auto state = zero_state(tape);
    file.inputs.push_back({"x", x});
    std::size_t i = 0;
    for_each_tensor(state, [&](Tensor& t) {
      Array start(t.value());
      for (Index k = 0; k < start.size(); ++k) move(start, k, rng.uniform(0, 0.3));
      t = tape.constant(start);
      file.inputs.push_back({fmt::format("state{}", i++), start});
    });
    file.outputs.push_back({"y", run(tape.constant(x), state).array()});
    i = 0;
    for_each_tensor(state, [&](const Tensor& t) { file.outputs.push_back({fmt::format("last{}", i++), t.array()}); });
    write(file);
    files_.push_back(std::move(file));
  }
  const std::string& bytes() const { return files_.back().bytes; }

  /// By reading them back; by Debian's checker and by onnxruntime, where they are installed.
  void check() {
    for (const File& f : files_) check_read_back(f);
    const std::string scripts = source_dir() + "/tests/tools/export/";
    const int code = run("/usr/bin/python3 " + scripts + "onnx_check.py " + folder_.path());
    if (code == 77)
      MESSAGE("skipped: python3-onnx is not installed (tools/setup ci)");
    else
      CHECK(said() == "");
    const std::string module = onnxruntime();
    if (module.empty()) {
      MESSAGE("skipped: onnxruntime is not installed (tools/setup ci)");
      return;
    }
    REQUIRE(run("node " + scripts + "onnx_run.js " + module + " " + folder_.path()) == 0);
    std::istringstream lines(said());
    std::size_t seen = 0;
    for (std::string file, error; lines >> file && std::getline(lines, error); ++seen) {
      CAPTURE(files_.at(std::stoul(file)).name);
      CAPTURE(error);
      REQUIRE(error.find("failed") == std::string::npos);
      CHECK(std::stod(error) <= 1e-5);
    }
    CHECK(seen == files_.size());
  }

 private:
  struct File {
    std::string name, bytes;
    DType real = DType::f32;
    std::set<std::string> parameters = {};
    std::vector<NamedArray> inputs = {}, outputs = {};
  };
  void write(const File& file) const {
    const std::string stem = folder_.path() + "/" + std::to_string(files_.size());
    write_file(stem + ".onnx", file.bytes);
    std::string text;
    for (const auto* arrays : {&file.inputs, &file.outputs})
      for (const NamedArray& a : *arrays) text += line(a.name, a.array);
    write_file(stem + ".txt", text);
  }
  static void check_read_back(const File& file) {
    CAPTURE(file.name);
    std::istringstream in(file.bytes);
    const OnnxModel model = load_onnx(in);
    if (!file.parameters.empty())  // and nothing else has become one
      for (const NamedParameter& p : model.parameters()) CHECK_MESSAGE(file.parameters.contains(p.name), p.name);
    Tape tape(file.real);
    OnnxModel::Values values;
    for (const OnnxModel::Port& p : model.inputs()) {
      const auto a =
          std::find_if(file.inputs.begin(), file.inputs.end(), [&](const auto& i) { return i.name == p.name; });
      values[p.name] = tape.constant(a->array);
    }
    values = model(values);
    REQUIRE(values.size() == file.outputs.size());
    for (const NamedArray& expected : file.outputs) {
      const Array found = values.at(expected.name).array();
      REQUIRE(found.shape() == expected.array.shape());
      const auto a = found.to_vector<double>(), b = expected.array.to_vector<double>();
      for (std::size_t i = 0; i < a.size(); ++i)
        CHECK((a[i] == b[i] || std::abs(a[i] - b[i]) <= 1e-5 * std::max(1.0, std::abs(b[i]))));
    }
  }
  static void move(Array& a, Index k, double by) {
    visit_real(a.dtype(), [&]<class T>() { a.span<T>()[static_cast<std::size_t>(k)] += static_cast<T>(by); });
  }
  static std::string onnxruntime() {
    if (std::system("command -v node >/dev/null 2>&1") != 0) return "";
    const char* said = std::getenv("REWIND_ONNXRUNTIME");
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    const std::string folder = said != nullptr    ? said
                               : cache != nullptr ? std::string(cache) + "/rewind/onnxruntime"
                               : home != nullptr  ? std::string(home) + "/.cache/rewind/onnxruntime"
                                                  : "";
    const std::string module = folder + "/node_modules/onnxruntime-node";
    return std::filesystem::exists(module) ? module : "";
  }
  int run(const std::string& command) const {
    return std::system((command + " >" + folder_.path() + "/said 2>" + folder_.path() + "/errors").c_str()) / 256;
  }
  std::string said() const { return read_file(folder_.path() + "/said"); }

  rw::detail::ScratchFolder folder_;
  std::vector<File> files_;
};

bool has(const std::string& bytes, const std::string& op) { return bytes.find(op) != std::string::npos; }

TEST_CASE("every cell and option as an ONNX file gives what the tape gives") {
  if (!has_onnx()) return;
  Files files;
  Rng rng(5);
  for (const ExportedCell& exported : exported_cells) {
    CAPTURE(exported.name);
    AnyCell cell = make_cell(exported.name, in, 12, rng);
    cell.eval();
    files.layer(exported.name, cell);
    CHECK(has(files.bytes(), exported.onnx));
    CHECK(has(files.bytes(), "Scan") == (std::string(exported.onnx) == "Scan"));
  }
  for (const char* name : {"mlstm", "clockwork"}) {
    files.layer(fmt::format("{}, one step", name), make_cell(name, in, 8, rng), 1, 1);
    files.layer(fmt::format("{}, f64", name), make_cell(name, in, 8, rng), 5, 3, DType::f64);
  }
  files.check();
}

TEST_CASE("loops that are a recurrent operator of ONNX become one, in layers and in both directions") {
  if (!has_onnx()) return;
  Files files;
  Rng rng(5);
  for (const char* name : {"lstm", "gru", "rnn"})
    for (const auto& [steps, batch] : {std::pair{1, 1}, {23, 1}})
      files.layer(name, make_cell(name, in, 8, rng), steps, batch);
  files.layer("two biases", GruCell(in, 5, rng, {.bias = Bias::two}));
  CHECK(!has(files.bytes(), "Scan"));
  files.layer("lstm, f64", LstmCell(in, 5, rng), 9, 4, DType::f64);
  CHECK(has(files.bytes(), "Scan"));
  files.layer("both", Bidirectional(LstmCell(in, 5, rng), GruCell(in, 4, rng)));
  CHECK(has(files.bytes(), "reverse"));
  CHECK(!has(files.bytes(), "Scan"));
  files.layer("both, scans", Bidirectional(MguCell(in, 5, rng), MguCell(in, 4, rng)));
  std::vector<Bidirectional<LstmCell>> deep;
  for (const Index width : {in, Index{8}, Index{8}})
    deep.emplace_back(LstmCell(width, 4, rng), LstmCell(width, 4, rng));
  files.layer("three layers of both", Stack(std::move(deep)));
  CHECK(has(files.bytes(), "LSTM"));
  files.layer("two layers", Stack({LstmCell(in, 5, rng), LstmCell(5, 5, rng)}));
  files.layer("five layers", Stack({GruCell(in, 5, rng), GruCell(5, 5, rng), GruCell(5, 5, rng), GruCell(5, 5, rng),
                                    GruCell(5, 5, rng)}));
  CHECK(!has(files.bytes(), "Scan"));
  files.check();
}

/// An LSTM written by somebody else: gates in another order, sums the other way round, one product for both.
struct OwnLstm : Module {
  struct State {
    Tensor h, c;
  };
  explicit OwnLstm(Rng& rng)
      : Module("own"),
        V(param("V", glorot(rng, in, 16))),
        U(param("U", glorot(rng, 4, 16))),
        d(param("d", zeros(16))) {}
  State zero_state(Tape& tape, Index batch) const {
    return {tape.constant(0, {batch, 4}), tape.constant(0, {batch, 4})};
  }
  State step(Tensor x, State s) const {
    const auto [o, g, i, f] = split<4>(d + (matmul(s.h, U) + matmul(x, V)));
    const Tensor c = tanh(g) * sigmoid(i) + s.c * sigmoid(f);
    return {tanh(c) * sigmoid(o), c};
  }
  Parameter &V, &U, &d;
};

TEST_CASE("a cell of one's own that computes an LSTM is an LSTM; one whose gates are asked for is a Scan") {
  if (!has_onnx()) return;
  Files files;
  Rng rng(2);
  const OwnLstm cell(rng);
  files.layer("own", cell);
  CHECK(has(files.bytes(), "LSTM"));
  CHECK(!has(files.bytes(), "Scan"));
  // Its names are in the file.
  CHECK(has(files.bytes(), "\x01V"));
  const auto run = [&](Tensor x, OwnLstm::State& s) {
    const auto states = unroll(cell, x, s);
    std::vector<Tensor> cs;
    for (const auto& state : states) cs.push_back(state.c);
    s = states.back();
    return stack_steps(cs);
  };
  const auto zero = [&](Tape& tape, Index batch) { return cell.zero_state(tape, batch); };
  files.add(
      "own, c", record_sequence({{in}}, DType::f32, zero, run), {7, 5, in}, DType::f32,
      [&](Tape& tape) { return zero(tape, 5); }, run);
  CHECK(has(files.bytes(), "Scan"));
  files.check();
}

TEST_CASE("a cell that looks back at earlier steps than the one before is a Scan that passes them on") {
  if (!has_onnx()) return;
  Files files;
  Rng rng(2);
  for (const auto& [delay, steps] : {std::pair<Index, Index>{1, 1}, {2, 4}, {3, 11}, {4, 8}})
    files.layer(fmt::format("{} steps", delay), DelayCell(in, delay, rng), steps);
  files.check();
}

TEST_CASE("a decoder that attends to an encoder of both directions is a Scan behind operators") {
  if (!has_onnx()) return;
  Files files;
  Rng rng(2);
  const Translator model(in, rng);
  randomise(model);
  const auto zero = [&](Tape& tape, Index batch) { return model.zero_state(tape, batch); };
  const auto run = [&](Tensor x, Translator::State& s) { return model(x, s); };
  const RecordedSequence sequence = record_sequence({{in}}, DType::f32, zero, run);
  for (const auto& [steps, batch] : {std::pair{9, 4}, {1, 1}, {23, 2}})
    files.add(
        "translator", sequence, {steps, batch, in}, DType::f32, [&, n = batch](Tape& tape) { return zero(tape, n); },
        run);
  CHECK(has(files.bytes(), "LSTM"));
  files.check();
}

TEST_CASE("character models, readouts and means over the steps") {
  if (!has_onnx()) return;
  Files files;
  Rng rng(3);
  for (const Index embedding : {0, 4}) {
    CharModel model(Vocabulary(U"abcdefg"), {.layers = 2, .hidden = 6, .embedding = embedding}, rng);
    randomise(model);
    files.add(
        "text", record_sequence(model), {11, 3}, DType::f32, [&](Tape& tape) { return model.zero_state(tape, 3); },
        [&](Tensor x, CharModel::State& s) { return model.logits(x, s); }, 7);
  }
  const Readout<LstmCell> network{LstmCell(in, 6, rng), Linear(6, 2, rng)};
  using State = LstmCell::State;
  files.add(
      "readout", record_sequence(network, in), {11, 3, in}, DType::f32,
      [&](Tape& tape) { return network.cell().zero_state(tape, 3); },
      [&](Tensor x, State& s) {
        const auto states = unroll(network.cell(), x, s);
        s = states.back();
        return network.head()(outputs(network.cell(), states));
      });
  CHECK(has(files.bytes(), "head.W"));
  const auto averaged = [&](Tensor x, State& s) {
    const auto states = unroll(network.cell(), x, s);
    s = states.back();
    return softmax(network.head()(mean(outputs(network.cell(), states), 0)));
  };
  const auto zero = [&](Tape& tape, Index batch) { return network.cell().zero_state(tape, batch); };
  files.add(
      "mean", record_sequence({{in}}, DType::f32, zero, averaged), {11, 5, in}, DType::f32,
      [&](Tape& tape) { return zero(tape, 5); }, averaged);
  const auto attended = [&](Tensor x, State& s) {  // the last state looks back at all
    const auto states = unroll(network.cell(), x, s);
    s = states.back();
    const Tensor all = outputs(network.cell(), states);
    const Tensor scores = transpose(sum(all * reshape(s.h, {1, x.size(1), 6}), {-1}));
    return sum(all * reshape(transpose(softmax(scores)), {x.size(0), x.size(1), 1}), {0});
  };
  files.add(
      "attention", record_sequence({{in}}, DType::f32, zero, attended), {11, 5, in}, DType::f32,
      [&](Tape& tape) { return zero(tape, 5); }, attended);
  files.check();
}

/// Ops that have no form in a file, by what the message names.
constexpr const char* without_onnx[] = {
    "[cholesky]",     "[clear_padding]",    "[conv_data]",    "[conv_weights]",     "[from_windows]",
    "[gather",        "[lengths_within]",   "[lower_factor]", "[linear_recurrence", "[sequence_mask]",
    "[solve_linear]", "[solve_triangular]", "[tril]",         "[unsort]",           "[windows]"};

std::string refused(const RecordedSequence& sequence) {
  try {
    make_onnx(sequence);
  } catch (const Error& e) {
    const std::string what = e.what();
    CHECK(what.find('\n') == std::string::npos);
    return what;
  }
  return "";
}

TEST_CASE("every op as an ONNX file gives what the tape gives, or is named") {
  if (!has_onnx()) return;
  std::vector<Case> taken;
  for (const Case& c : cases()) {
    CAPTURE(c.name);
    const auto is_expected = [&](const std::string& why) {
      return why.empty() || (c.draws && has(why, "call eval()")) ||
             std::any_of(std::begin(without_onnx), std::end(without_onnx),
                         [&](const char* op) { return has(why, op); });
    };
    const std::string why = refused(sequence_of(c.f, DType::f32));
    CHECK_MESSAGE(is_expected(why), why);
    const std::string of_gradient = refused(sequence_of([&](Tensor x) { return with_gradient(c, x); }, DType::f32));
    CHECK_MESSAGE(is_expected(of_gradient), of_gradient);
    if (why.empty()) taken.push_back(c);
  }
  CHECK(taken.size() > 85);
  const auto together = [&](Tensor x) {
    std::vector<Tensor> y;
    for (const Case& c : taken) y.push_back(reshape(c.f(x), {-1}));
    return concat(y, 0);
  };
  Files files;
  files.add(
      "all", sequence_of(together, DType::f32), {7, 3, width}, DType::f32,
      [](Tape& t) {
        return t.constant(0, {3, 1});
      },
      [&](Tensor x, Tensor&) {
        return together(mean(x, {0, 1}));
      });
  files.check();
}

TEST_CASE("what an ONNX file cannot say is named") {
  if (!has_onnx()) return;
  Rng rng(1);
  const AnyCell training = make_cell("lstm+zoneout=0.1", in, 4, rng);
  CHECK(has(refused(record_sequence(training, in)), "call eval()"));
  const LstmCell cell(in, 4, rng);
  const auto with = [&](auto f) {
    return refused(record_sequence(
        {{in}}, DType::f32, [&](Tape& tape, Index batch) { return cell.zero_state(tape, batch); },
        [&](Tensor x, LstmCell::State& s) {
          const auto states = unroll(cell, x, s);
          s = states.back();
          return f(outputs(cell, states));
        }));
  };
  CHECK(has(with([](Tensor y) { return cholesky(matmul(y, y, {.transpose_b = true})); }), "[cholesky]"));
  CHECK(has(with([](Tensor y) { return slice(y, 0, 0, y.size(0) / 2); }), "depends on the length"));
  CHECK(has(with([](Tensor y) { return y.size(0) > 17 ? y * 2 : y; }), "depends on the length"));
  CHECK(has(with([](Tensor y) { return y * (1.0 / static_cast<double>(y.size(0))); }), "depends on the length"));
  CHECK(has(with([](Tensor y) { return clamp(y, -0.1, 0.1 * static_cast<double>(y.size(0))); }),
            "depends on the length"));
  CHECK(has(with([](Tensor y) { return y * y.tape().constant(full({4}, static_cast<double>(y.size(1)))); }),
            "depend on the length"));
  CHECK(has(with([](Tensor y) {
              return y * y.tape().constant(arange(y.size(0) * 4).to(DType::f32).reshaped({y.size(0), 1, 4}));
            }),
            "for each sequence or step"));
  CHECK_THROWS_AS(record_sequence(
                      {{in}}, DType::f32, [&](Tape& tape, Index batch) { return cell.zero_state(tape, batch); },
                      [&](Tensor x, LstmCell::State&) { return x * mean(x).item(); }),
                  Error);
}

}  // namespace
}  // namespace rw
