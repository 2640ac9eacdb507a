// ONNX files that PyTorch and others wrote, and files that nobody should have written. (Those that Rewind writes are
// read back in onnx.cpp.)

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <iostream>
#include <map>
#include <sstream>
#include <string>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <rewind/autograd/backward.h>
#include <rewind/autograd/compile/compile.h>
#include <rewind/models/optim/optimizer.h>
#include <rewind/models/weights/file.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/ops/ops.h>
#include <rewind/tools/export/onnx.h>
#include <rewind/tools/export/onnx_model.h>
#include <rewind/tools/gradcheck/gradcheck.h>
#include <rewind/tools/process.h>

#include "../../effort.h"
#include "../../paths.h"

namespace rw {
namespace {

std::string golden() { return source_dir() + "/tests/golden/onnx/"; }

/// Whether the library was built with it.
bool has_onnx() {
  try {
    load_onnx(golden() + "gru.onnx");
    return true;
  } catch (const Error& e) {
    if (std::string(e.what()).find("built without ONNX") == std::string::npos) throw;
    std::cout << "skipped: built without libprotobuf-dev and libonnx-dev\n";
    return false;
  }
}

/// The arrays of a text that tests/golden/onnx_files.py wrote.
std::map<std::string, Array> arrays_in(const std::string& path) {
  std::map<std::string, Array> out;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string name, kind;
    std::size_t rank = 0;
    words >> name >> kind >> rank;
    std::vector<Index> lengths(rank);
    for (Index& l : lengths) words >> l;
    const Shape shape(lengths);
    std::vector<double> numbers(static_cast<std::size_t>(shape.size()));
    for (double& n : numbers) words >> n;
    REQUIRE(words);
    out[name] = Array(numbers, shape).to(kind == "int32" ? DType::i32 : DType::f32);
  }
  return out;
}

OnnxModel::Values inputs_of(const OnnxModel& model, Tape& tape, const std::map<std::string, Array>& arrays) {
  OnnxModel::Values out;
  for (const OnnxModel::Port& p : model.inputs()) out[p.name] = tape.constant(arrays.at(p.name));
  return out;
}

void check_close(const Array& found, const Array& expected, double tolerance) {
  REQUIRE(found.shape() == expected.shape());
  const auto a = found.to_vector<double>(), b = expected.to_vector<double>();
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= tolerance);
}

TEST_CASE("what PyTorch exports gives what PyTorch gives") {
  if (!has_onnx()) return;
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(golden())) {
    if (entry.path().extension() != ".onnx") continue;
    CAPTURE(entry.path().filename());
    ++files;
    const OnnxModel model = load_onnx(entry.path());
    const auto arrays = arrays_in(golden() + entry.path().stem().string() + ".txt");
    for (const DType real : {DType::f32, DType::f64}) {
      Tape tape(real);
      const OnnxModel::Values out = model(inputs_of(model, tape, arrays));
      CHECK(out.size() + model.inputs().size() == arrays.size());
      for (const auto& [name, value] : out) check_close(value.array(), arrays.at(name), 1e-5);
    }
  }
  CHECK(files == 16);
}

TEST_CASE("a loaded network is a module: named, cloned, saved, checked, compiled and trained") {
  if (!has_onnx()) return;
  const OnnxModel text = load_onnx(golden() + "text.onnx");
  CHECK(text.parameter("embedding.weight").shape() == Shape{7, 3});
  CHECK(text.parameter("head.1.bias").shape() == Shape{5});
  CHECK(text.inputs()[0].dtype == DType::i32);
  CHECK(text.inputs()[0].shape == std::vector<Index>{-1, -1});
  const auto arrays = arrays_in(golden() + "text.txt");
  const auto loss_of = [](const OnnxModel& m, Tensor x) { return -mean(pick(m(x), select(x, 1, 0))); };
  const GradReport report =
      gradcheck([&](Tape& t) { return loss_of(text, t.constant(arrays.at("x"))); }, text.parameters());
  CHECK(report.ok());

  Tape tape;
  Tensor loss = loss_of(text, tape.constant(arrays.at("x")));
  backward(loss);
  const double before = loss.item();
  const OnnxModel copy = text.clone();
  auto step = compile(
      [&](Tape&, Tensor x) {
        const Tensor l = loss_of(copy, x);
        backward(l);
        return l;
      },
      arrays.at("x"));
  CHECK(step(arrays.at("x")).item() == doctest::Approx(before).epsilon(1e-6));
  for (const NamedParameter& p : text.parameters())
    check_close(copy.parameter(p.name).grad(), p.parameter->grad(), 1e-6);

  Adam optimizer(copy.parameters(), {.rate = 0.05});
  for (int i = 0; i < 30; ++i) {
    optimizer.step();
    loss = step(arrays.at("x"));
  }
  CHECK(loss.item() < before / 2);
  const detail::ScratchFolder folder;
  save_model(folder.path() + "/text.safetensors", copy);
  const OnnxModel again = load_onnx(golden() + "text.onnx");
  load_model(folder.path() + "/text.safetensors", again);
  tape.clear();
  CHECK(loss_of(again, tape.constant(arrays.at("x"))).item() == doctest::Approx(loss.item()).epsilon(0.2));
}

std::string said(const auto& f) {
  try {
    f();
  } catch (const Error& e) {
    const std::string what = e.what();
    CHECK(what.size() < 12000);
    for (const char c : what) CHECK((static_cast<unsigned char>(c) >= 0x20 && c != 0x7f));
    return what;
  }
  return "";
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST_CASE("inputs that do not fit are named") {
  if (!has_onnx()) return;
  const OnnxModel model = load_onnx(golden() + "lstm_batch_first.onnx");
  Tape tape;
  const Tensor x = tape.constant(0, {2, 5, 3}), start = tape.constant(0, {2, 2, 4});
  CHECK(has(said([&] {
              model({{"x", x}, {"h0", start}});
            }),
            "input 'c0' is missing: the network takes 'x', 'h0', 'c0'"));
  CHECK(has(said([&] { model({{"x", x}, {"h\x1b[0", start}}); }), "no input 'h\\x1b[0'"));
  CHECK(has(said([&] { model(x); }), "3 inputs"));
  CHECK(has(said([&] { model(OnnxModel::Values()); }), "input 'x' is missing"));
  const auto with_x = [&](Tensor other) { return said([&] { model({{"x", other}, {"h0", start}, {"c0", start}}); }); };
  CHECK(has(with_x(tape.constant(0, {2, 5, 4})), "input 'x' is real (any, any, 3), not f32 (2, 5, 4)"));
  CHECK(has(with_x(tape.constant(0, {5, 3})), "not f32 (5, 3)"));
  CHECK(has(with_x(tape.constant(Array({2, 5, 3}, DType::i32))), "not i32 (2, 5, 3)"));
  // Of another batch than the state: what ONNX says of shapes is checked where the operator runs.
  CHECK(has(with_x(tape.constant(0, {3, 5, 3})), "[LSTM] initial_h is (1, 2, 4), not (1, 3, 4), in onnx/"));
}

// ---- Files made by hand, in protobuf's encoding

std::string varint(std::uint64_t v) {
  std::string out;
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  return out + static_cast<char>(v);
}
std::string number(std::uint64_t field, std::int64_t v) {
  return varint(field << 3) + varint(static_cast<std::uint64_t>(v));
}
std::string part(std::uint64_t field, const std::string& bytes) {
  return varint(field << 3 | 2) + varint(bytes.size()) + bytes;
}

constexpr int float_type = 1, int64_type = 7;

std::string tensor(const std::string& name, std::vector<std::int64_t> dims, const std::string& raw,
                   int type = float_type) {
  std::string out;
  for (const std::int64_t d : dims) out += number(1, d);
  return out + number(2, type) + part(8, name) + part(9, raw);
}
std::string graph_attribute(const std::string& name, const std::string& graph) {
  return part(5, part(1, name) + part(6, graph) + number(20, 5));
}
std::string node(const std::string& type, const std::vector<std::string>& in, const std::vector<std::string>& out,
                 const std::string& attributes = "") {
  std::string bytes;
  for (const std::string& i : in) bytes += part(1, i);
  for (const std::string& o : out) bytes += part(2, o);
  return part(1, bytes + part(4, type) + attributes);
}
std::string value(std::uint64_t field, const std::string& name, int type = float_type) {
  return part(field, part(1, name) + part(2, part(1, number(1, type))));
}
std::string model(const std::string& graph, std::int64_t opset = 17) {
  return number(1, 8) + part(7, graph) + part(8, number(2, opset));
}
/// A graph of the input x and the output y.
std::string x_to_y(const std::string& inside, std::int64_t opset = 17) {
  return model(inside + value(11, "x") + value(12, "y"), opset);
}

OnnxModel loaded(const std::string& bytes) {
  std::istringstream in(bytes);
  return load_onnx(in);
}
std::string refused(const std::string& bytes) {
  const std::string what = said([&] { loaded(bytes); });
  CHECK(what.starts_with("ONNX file: "));
  return what;
}

TEST_CASE("a file that ends too early is refused, wherever it ends") {
  if (!has_onnx()) return;
  const std::string whole = read_file(golden() + "rnn_relu.onnx");
  loaded(whole);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(refused(whole.substr(0, size)) != "");
  }
}

TEST_CASE("a byte that was changed is an error or another network, and never worse") {
  if (!has_onnx()) return;
  const std::string whole = read_file(golden() + "rnn_relu.onnx");
  int good = 0, bad = 0;
  for (std::size_t at = 0; at < whole.size(); ++at)
    for (const int flip : {1, 0x80, 0xff}) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ flip);
      CAPTURE(at);
      (said([&] {
         const OnnxModel m = loaded(changed);
         Tape tape;
         OnnxModel::Values inputs;
         inputs[m.inputs()[0].name] = tape.constant(0.5, {5, 2, 3});
         if (m.inputs().size() > 1) inputs[m.inputs()[1].name] = tape.constant(0.5, {1, 2, 4});
         m(inputs);
       }) == ""
           ? good
           : bad) += 1;
    }
  CHECK(good > 0);
  CHECK(bad > 0);
}

TEST_CASE("sizes that a file says and does not have are refused before memory is taken for them") {
  if (!has_onnx()) return;
  const auto with = [&](const std::string& t) { return refused(x_to_y(part(5, t) + node("Add", {"x", "w"}, {"y"}))); };
  const std::string four(4, '\0');
  loaded(x_to_y(part(5, tensor("w", {1}, four)) + node("Add", {"x", "w"}, {"y"})));
  CHECK(has(with(tensor("w", {3}, four)), "tensor 'w': a tensor (3) takes 12 bytes, and the file has 4"));
  CHECK(has(with(tensor("w", {1 << 30, 1 << 20}, four)), "takes 4503599627370496 bytes, and the file has 4"));
  CHECK(has(with(tensor("w", {INT64_MAX, INT64_MAX}, four)), "too large"));
  CHECK(has(with(tensor("w", {1LL << 40}, four)), "0 to 2147483647"));
  CHECK(has(with(tensor("w", {-1}, four)), "may not be negative"));
  CHECK(has(with(tensor("w", {1, 1, 1, 1, 1, 1, 1}, four)), "7 axes"));
  CHECK(has(with(tensor("w", std::vector<std::int64_t>(100000, 1), four)), "100000 axes"));
  CHECK(has(with(number(1, 3) + number(2, float_type) + part(8, "w")), "takes 3 numbers, and the file has 0"));
  CHECK(has(with(tensor("w", {1}, four, 8)), "type STRING cannot be read"));
  CHECK(has(with(tensor("w", {1}, four, 99)), "type 99 cannot be read"));
  CHECK(has(with(tensor("w", {1}, "") + part(13, part(1, "location") + part(2, "big\x1b.bin")) + number(14, 1)),
            "tensor 'w': its numbers are in the file 'big\\x1b.bin', which is not read"));
  const std::string shape = part(5, tensor("n", {1}, std::string("\0\0\0\0\0\1\0\0", 8), int64_type));  // 2^40
  const OnnxModel huge = loaded(x_to_y(shape + node("ConstantOfShape", {"n"}, {"z"}) + node("Add", {"x", "z"}, {"y"})));
  Tape tape;
  CHECK(has(said([&] { huge(tape.constant(1)); }), "0 to 2147483647"));
}

TEST_CASE("operators that are not known are listed, all of them") {
  if (!has_onnx()) return;
  const std::string body = node("Elu", {"a"}, {"b"}) + value(11, "a") + value(12, "b");
  const std::string inside = node("Celu", {"x"}, {"a"}) + node("Celu", {"a"}, {"b"}) + node("Tanh", {"b"}, {"c"}) +
                             node("Bad\x1b[31m", {"c"}, {"d"}) +
                             node("Scan", {"d"}, {"e"}, graph_attribute("body", body)) +
                             part(1, part(1, "e") + part(2, "y") + part(4, "Tanh") + part(7, "com.acme"));
  CHECK(refused(x_to_y(inside)) ==
        "ONNX file: it has operators that are not known here: Bad\\x1b[31m, Celu, Elu, com.acme.Tanh");
  std::string many;
  for (int i = 0; i < 1000; ++i) many += node(fmt::format("Op{:04}{}", i, std::string(100, 'x')), {"x"}, {});
  CHECK(has(refused(x_to_y(many)), " and 900 more"));
}

TEST_CASE("graphs that cannot be run are refused") {
  if (!has_onnx()) return;
  CHECK(
      has(refused(x_to_y(node("Add", {"x", "b"}, {"a"}) + node("Add", {"a", "x"}, {"b"}) + node("Tanh", {"b"}, {"y"}))),
          "'b' is read by the node 'a', and nothing before that makes it"));
  CHECK(has(refused(x_to_y(node("Tanh", {"z"}, {"y"}))), "'z' is read by the node 'y'"));
  CHECK(has(refused(x_to_y(node("Tanh", {"x"}, {"z"}))), "'y' is an output, and nothing"));
  CHECK(has(refused(x_to_y(node("Tanh", {"x"}, {"y"}) + node("Tanh", {"x"}, {"y"}))), "two values are named 'y'"));
  CHECK(has(refused(x_to_y(node("Tanh", {"x", "x"}, {"y"}))), "[Tanh] it has 2 inputs, in y"));
  CHECK(has(refused(x_to_y(node("Add", {"x", ""}, {"y"}))), "input 1 is left out"));
  CHECK(has(refused(x_to_y(node("Tanh", {"x"}, {"y", "z"}))), "2 outputs"));
  CHECK(has(refused(x_to_y(node("Tanh", {"x"}, {"y"}), 18)), "it is of opset 18; 9 to 17 are read"));
  CHECK(has(refused(model(value(11, "") + value(12, "y"))), "an input has no name"));
  CHECK(has(refused(model(node("Tanh", {"x"}, {"y"}) + value(12, "y"))), "'x' is read"));
  CHECK(has(refused("hello"), "no ONNX file"));
  CHECK(has(refused(number(1, 8)), "no graph"));
  // Graphs in graphs in graphs.
  std::string deep = node("Tanh", {"x"}, {"y"});
  for (int i = 0; i < 20; ++i) deep = node("Scan", {"x"}, {"y"}, graph_attribute("body", deep));
  CHECK(has(refused(x_to_y(deep)), "nested more than 8 deep"));
  for (int i = 0; i < 200; ++i) deep = node("Scan", {"x"}, {"y"}, graph_attribute("body", deep));
  CHECK(has(refused(x_to_y(deep)), "no ONNX file, or truncated"));
}

TEST_CASE("what runs into nonsense when a graph is run is an error that names the node") {
  if (!has_onnx()) return;
  const auto words = [](std::vector<std::int64_t> v) {
    return std::string(static_cast<const char*>(static_cast<const void*>(v.data())), v.size() * sizeof v[0]);
  };
  const auto whole = [&](const std::string& name, const std::vector<std::int64_t>& v) {
    return part(5, tensor(name, {static_cast<std::int64_t>(v.size())}, words(v), int64_type));
  };
  const auto run = [&](const std::string& inside) {
    const OnnxModel m = loaded(x_to_y(inside));
    Tape tape;
    return said([&] { m(tape.constant(1, {2, 3})); });
  };
  CHECK(has(refused(model(value(11, "x") + value(11, "x") + node("Tanh", {"x"}, {"y"}) + value(12, "y"))),
            "two values are named 'x'"));
  const std::string twice = whole("two", {2, 2}) + whole("three", {3, 3}) + whole("axes", {0, 0});
  CHECK(has(run(twice + node("Slice", {"x", "two", "three", "axes"}, {"y"})), "[Slice] axis 0 is named twice"));
  CHECK(has(run(twice + node("Shape", {"x"}, {"s"}) + node("Slice", {"s", "two", "three", "axes"}, {"y"})),
            "[Slice] axis 0 is named twice"));
  CHECK(has(run(node("Shape", {"x"}, {"s"}) + node("Mean", {"s"}, {"y"})), "[Mean] input 0 is not real"));
  const std::string large = whole("large", {1 << 30, 1 << 20});
  if (!test::sanitized)  // which ends the program
    CHECK(has(run(large + node("ConstantOfShape", {"large"}, {"y"})), "[ConstantOfShape] no memory for"));
  const std::string axes =
      whole("count", {1 << 20}) +
      node("ConstantOfShape", {"count"}, {"axes"},
           part(5, part(1, "value") + part(5, tensor("", {1}, words({1}), int64_type)) + number(20, 4)));
  CHECK(has(run(axes + node("Reshape", {"x", "axes"}, {"y"})), "a shape of 1048576 axes: at most 6 are read"));
  CHECK(has(run(node("Transpose", {"x"}, {"y"}, part(5, part(1, "perm") + number(8, 0) + number(20, 7)))),
            "perm has 1 axes, and the input is (2, 3)"));
  CHECK(has(run(whole("none", {0}) + node("Shape", {"x"}, {"s"}) + node("Div", {"s", "none"}, {"y"})),
            "[Div] a whole number is divided by 0"));
  std::string copies = axes;
  for (int i = 0; i < 20; ++i) copies += node("Identity", {"axes"}, {fmt::format("copy{}", i)});
  CHECK(has(run(copies + node("Tanh", {"x"}, {"y"})), "[Identity] more than 16777216 whole numbers are computed"));
}

TEST_CASE("Dropout with the mode that later opsets have") {
  if (!has_onnx()) return;
  Tape tape;
  const auto dropout = [&](char training) {
    return loaded(x_to_y(part(5, tensor("ratio", {}, std::string(4, '\0'))) +
                         part(5, tensor("mode", {}, std::string(1, training), 9)) +
                         node("Dropout", {"x", "ratio", "mode"}, {"y", "mask"})));
  };
  CHECK(dropout(0)(tape.constant(0.5)).item() == 0.5);
  CHECK(has(said([&] { dropout(1)(tape.constant(0.5)); }), "[Dropout] it is of a network in training"));
}

TEST_CASE("names of weights become names of a module's parts, whatever they are") {
  if (!has_onnx()) return;
  const std::string four(4, '\0');
  std::string inside, sum = "x";
  for (const std::string name : {"a.b", "a", "a.b.c", ".c", "a..b", "\x1b[31m.w", "_c"}) {
    inside += part(5, tensor(name, {1}, four)) + node("Add", {sum, name}, {"y" + name});
    sum = "y" + name;
  }
  const OnnxModel m = loaded(x_to_y(inside + node("Tanh", {sum}, {"y"})));
  std::vector<std::string> names;
  for (const NamedParameter& p : m.parameters()) names.push_back(p.name);
  std::sort(names.begin(), names.end());
  CHECK(names == std::vector<std::string>{"\\x1b[31m.w", "_c", "_c_", "a.b", "a.b_.c", "a_", "a__b"});
  Tape tape;
  CHECK(m(tape.constant(1, {1})).item() == doctest::Approx(std::tanh(1.0)));
}

}  // namespace
}  // namespace rw
