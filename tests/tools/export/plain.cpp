#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <rewind/models/models.h>
#include <rewind/ops/ops.h>

#include "exported.h"

namespace rw {
namespace {

using namespace rw::test;

constexpr Index T = Exports::most_steps, count = 10;

/// Cells, and layers of both directions, that between them use most of what a header may have.
struct Cells {
  Rng rng{11};
  AnyCell lstm = make_cell("lstm+norm+peepholes+learned", 3, 12, rng);
  AnyCell gru = make_cell("gru", 3, 20, rng);
  CharModel text{Vocabulary(U"abcdefg"), {.cell = "lstm", .layers = 2, .hidden = 10, .embedding = 4}, rng};

  Stack<Bidirectional<LstmCell>> both = Stack({Bidirectional(LstmCell(3, 5, rng), LstmCell(3, 4, rng)),
                                               Bidirectional(LstmCell(9, 5, rng), LstmCell(9, 4, rng))});

  Cells() { text.eval(); }
  void add(Exports& exports) const {
    for (const DType real : {DType::f32, DType::f64}) {
      exports.add(record_step(lstm, 3, real));
      exports.add(record_step(gru, 3, real), {.weights_in_header = false});
      exports.add(record_step(text, real));
      exports.add(functions(real), {.pad = 1});
      exports.add(record_sequence(both, 3, real), {.int8 = real == DType::f64});
    }
  }
  static RecordedStep functions(DType real) {
    return record_step(
        {{1, 6}}, real, [](Tape& t) { return t.constant(0, {1}); },
        [](Tensor x, Tensor&) {
          const Tensor p = square(x) + 1, halves = reshape(x, {2, 3});
          return concat(
              {gelu(x) + erf(x), softplus(x) * log(p), log1p(p), expm1(x), pow(p, x) + pow(x, 2), sin(x) * cos(x),
               floor(x) + sign(x), mod(x, p), softmax(x), log_softmax(x), sort(x), topk(x, 3), cumsum(x, 1), hardmax(x),
               norm(x, {-1}, true), reshape(matmul(halves, transpose(halves)), {1, 4}),
               reshape(max(halves, {0}), {1, 3}), reshape(flip(halves, 1), {1, 6}), where(x > 0, x, 2 * x)},
              -1);
        });
  }
};

Array input(std::size_t n) {
  Rng rng(n);
  if (n % 5 == 2) {
    Array x(Shape{T}, DType::i32);
    for (std::int32_t& v : x.span<std::int32_t>()) v = static_cast<std::int32_t>(rng.below(7));
    return x;
  }
  Array x(Shape{T, n % 5 == 3 ? 6 : 3});
  for (float& v : x.span<float>()) v = static_cast<float>(rng.uniform(-1, 1));
  return x;
}

/// A program that runs every model and prints its outputs; counts what allocates and locks meanwhile.
std::string program(const Exports& exports, std::size_t models) {
  std::string text = R"(#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
static int calls = 0;
#ifdef COUNT_CALLS
extern "C" void* __libc_malloc(std::size_t);
extern "C" void* malloc(std::size_t n) { ++calls; return __libc_malloc(n); }
struct Mutex;
extern "C" int pthread_mutex_lock(Mutex*) { ++calls; return 0; }
#endif
using Run = int(const void* x, std::size_t T, void* y, const void* bytes, std::size_t size);
static double numbers[100000];
template <class R>
static void run(Run* f, const char* x, std::size_t T, std::size_t outputs, const char* weights) {
  alignas(64) static char from[65536], bytes[1 << 20];
  std::FILE* file = std::fopen(x, "rb");
  std::size_t size = std::fread(from, 1, sizeof from, file);
  std::fclose(file);
  if ((file = std::fopen(weights, "rb")) != nullptr) {
    size = std::fread(bytes, 1, sizeof bytes, file);
    std::fclose(file);
  }
  R* y = reinterpret_cast<R*>(numbers);
  calls = 0;
  const int code = f(from, T, y, bytes, size), during = calls;
  if (code != 0 || during != 0) std::exit(2);
  for (std::size_t i = 0; i < T * outputs; ++i) std::printf("%.17g\n", static_cast<double>(y[i]));
}
)";
  std::string calls;
  for (std::size_t n = 0; n < models; ++n) {
    const Array y = exports.run(n, input(n));
    text += fmt::format("extern \"C\" Run run{};\n", n);
    calls += fmt::format("  run<{0}>(run{1}, \"x{1}\", {2}, {3}, \"weights{1}\");\n",
                         y.dtype() == DType::f32 ? "float" : "double", n, T, y.shape()[1]);
  }
  return text + "int main() {\n" + calls + "}\n";
}

void write_inputs(Exports& exports, std::size_t models) {
  for (std::size_t n = 0; n < models; ++n) {
    const bool is_f64 = exports.run(n, input(n)).dtype() == DType::f64;
    const Array x = is_real(input(n).dtype()) && is_f64 ? input(n).to(DType::f64) : input(n);
    write_file(exports.file(fmt::format("x{}", n)),
               std::string_view(static_cast<const char*>(x.view().data),
                                static_cast<std::size_t>(x.size()) * size_of(x.dtype())));
    if (!exports.weights(n).empty()) write_file(exports.file(fmt::format("weights{}", n)), exports.weights(n));
  }
}

/// The largest difference of what such a program printed, relative to each model's largest number, by type.
std::pair<double, double> differences(const Exports& exports, std::size_t models, const std::string& printed) {
  std::istringstream in(printed);
  std::pair<double, double> worst{0, 0};
  for (std::size_t n = 0; n < models; ++n) {
    const Array y = exports.run(n, input(n));
    Array there(y.shape(), DType::f64);
    for (double& v : there.span<double>()) in >> v;
    REQUIRE(in);
    double& so_far = y.dtype() == DType::f32 ? worst.first : worst.second;
    so_far = std::max(so_far, difference(there, y) / largest(y));
  }
  return worst;
}

TEST_CASE("headers compile without a word, as C++17 and C++20, with g++ and clang") {
  Exports exports;
  Cells().add(exports);
  for (const std::string compiler : {"g++", "clang++"})
    for (const std::string standard : {"c++17", "c++20"}) {
      CAPTURE(compiler);
      if (has_command(compiler))
        CHECK(exports.compile(compiler,
                              strict_flags(standard) + "-pedantic -Wshadow -c " +
                                  (full() && standard == "c++17" ? "-O1" : "-fsyntax-only"),
                              "models.o"));
      else
        MESSAGE("skipped: there is no " << compiler);
    }
}

TEST_CASE("a header needs nothing but memcpy, memset and the mathematical library") {
  Exports exports;
  Cells().add(exports);
  REQUIRE(exports.compile("g++", strict_flags() + (full() ? "-c -O2" : "-c -O1"), "models.o"));
  REQUIRE(exports.run("nm -u models.o"));
  std::istringstream names(read_file(exports.file("said.txt")));
  std::vector<std::string> others;
  for (std::string kind, name; names >> kind >> name;) {
    const std::string plain = name.ends_with('f') ? name.substr(0, name.size() - 1) : name;
    bool known = name == "memcpy" || name == "memset" || name == "memcmp" || name == "_GLOBAL_OFFSET_TABLE_" ||
                 name == "__stack_chk_fail";
    for (const char* function : {"erf", "erfc", "exp", "pow", "sin", "cos", "sincos", "floor", "fmod", "sqrt"})
      known = known || plain == function || name == function;
    if (!known) others.push_back(name);
  }
  CAPTURE(others);
  CHECK(others.empty());
  REQUIRE(exports.run("nm models.o"));  // and changes nothing that is not its caller's
  CHECK(read_file(exports.file("said.txt")).find(" B ") == std::string::npos);
  CHECK(read_file(exports.file("said.txt")).find(" D ") == std::string::npos);
}

TEST_CASE("no step and no sequence allocates or locks") {
  Exports exports;
  Cells().add(exports);
  exports.load();
  write_inputs(exports, count);
  write_file(exports.file("main.cpp"), program(exports, count));
  REQUIRE(exports.run("g++ -std=c++17 -O0 -DCOUNT_CALLS main.cpp models.cpp -o main"));
  REQUIRE(exports.run("./main"));
  const auto [f32, f64] = differences(exports, count, read_file(exports.file("said.txt")));
  CHECK(f32 <= 2e-6);
  CHECK(f64 <= 1e-12);
}

TEST_CASE("the same numbers on a processor of 32 bits") {
  if (!has_command("arm-linux-gnueabihf-g++") || !has_command("qemu-arm")) {
    MESSAGE("skipped: there is no g++ for 32-bit Arm, or no qemu-arm");
    return;
  }
  Exports exports;
  Cells().add(exports);
  exports.load();
  write_inputs(exports, count);
  write_file(exports.file("main.cpp"), program(exports, count));
  REQUIRE(exports.run("arm-linux-gnueabihf-g++ " + strict_flags() + "-static " + (full() ? "-O2" : "-O0") +
                      " main.cpp models.cpp -o main"));
  REQUIRE(exports.run("qemu-arm ./main"));
  const auto [f32, f64] = differences(exports, count, read_file(exports.file("said.txt")));
  CHECK(f32 <= 2e-6);
  CHECK(f64 <= 1e-12);
}

/// Bytes of the object's code and numbers, without what the test itself computes in.
Index compiled_size(Exports& exports, const std::string& flags, const std::string& compiler = "g++") {
  REQUIRE(exports.compile(compiler, strict_flags() + "-c " + flags, "models.o"));
  REQUIRE(exports.run("size models.o | tail -n 1"));
  std::istringstream sizes(read_file(exports.file("said.txt")));
  Index text = 0, data = 0;
  sizes >> text >> data;
  CHECK(text > 1000);
  return text + data;
}

TEST_CASE("compiled, a header takes its weights and at most 20 kB") {
  Rng rng(2);
  for (const char* name : {"lstm+norm+all-peepholes+learned", "gru", "lstm+projection=16"}) {
    Exports exports;
    const AnyCell cell = make_cell(name, 8, 40, rng);
    exports.add(record_step(cell, 8));
    CAPTURE(name);
    CHECK(compiled_size(exports, "-O3 -march=native") <= cell.parameter_count() * 4 + 20000);
    if (!rw::test::full()) return;
  }
  const auto layers =
      Stack({LstmCell(8, 40, rng), LstmCell(40, 40, rng), LstmCell(40, 40, rng), LstmCell(40, 40, rng)});
  for (const char* compiler : {"g++", "clang++"}) {
    if (!has_command(compiler)) continue;
    Exports step, sequence;
    step.add(record_step(layers, 8));
    sequence.add(record_sequence(layers, 8));
    CAPTURE(compiler);
    for (Exports* exports : {&step, &sequence})
      CHECK(compiled_size(*exports, "-O3 -march=native", compiler) <= layers.parameter_count() * 4 + 20000);
  }
}

}  // namespace
}  // namespace rw
