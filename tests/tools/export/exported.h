#pragma once

// Headers that are written, compiled and run.

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <fstream>
#include <memory>
#include <pthread.h>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/weights/file.h>
#include <rewind/tools/export/header.h>
#include <rewind/tools/process.h>

#include "../../effort.h"

namespace rw::test {

/// What a header must compile with, without a word.
inline std::string strict_flags(const std::string& standard = "c++17") {
  return "-std=" + standard + " -Wall -Wextra -Wconversion -Werror -fno-exceptions -fno-rtti ";
}

inline bool has_command(const std::string& name) {
  return std::system(("command -v " + name + " >/dev/null 2>&1").c_str()) == 0;
}

/// f() with room for the locals of large programs.
template <class F>
void with_large_stack(F f) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, std::size_t{256} << 20);
  pthread_t thread;
  const auto call = [](void* g) -> void* { return (*static_cast<F*>(g))(), nullptr; };
  REQUIRE(pthread_create(&thread, &attributes, call, &f) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

/// Any number of exported steps, compiled together.
class Exports {
 public:
  ~Exports() {
    if (library_ != nullptr) dlclose(library_);
  }

  static constexpr Index most_steps = 50;

  /// Its number.
  std::size_t add(const RecordedStep& step, HeaderOptions options = {}) {
    const std::size_t n = sizes_.size();
    options.name = fmt::format("m{}", n);
    const HeaderFile header = make_header(step, options);
    write_file(file(options.name + ".h"), header.text);
    weights_.push_back(header.weights);
    sizes_.push_back({step.x.size(), step.y.size(), step.x.dtype(), step.y.dtype()});
    source_ += fmt::format(R"(#include "m{0}.h"
extern "C" int run{0}(const void* x, std::size_t T, void* y, const void* bytes, std::size_t size);
extern "C" int run{0}(const void* x, std::size_t T, void* y, const void* bytes, std::size_t size) {{
  m{0}::State state;
  static_cast<void>(bytes);
  static_cast<void>(size);
{2}
  model.reset(state);
  model.run(static_cast<const {1}*>(x), T, state, static_cast<m{0}::Real*>(y));
  return 0;
}}
)",
                           n, step.x.dtype() == DType::i32 ? "std::int32_t" : fmt::format("m{}::Real", n),
                           options.weights_in_header
                               ? fmt::format("  const m{0}::Model model;", n)
                               : fmt::format("  const m{0}::Weights* w = m{0}::weights_in(bytes, size);\n"
                                             "  if (w == nullptr) return 1;\n  const m{0}::Model model(*w);",
                                             n));
    return n;
  }

  /// What takes whole sequences; `run_sequence` runs it, and `run` where there are `most_steps` at most.
  std::size_t add(const RecordedSequence& sequence, HeaderOptions options = {}) {
    const std::size_t n = sizes_.size();
    options.name = fmt::format("m{}", n);
    const HeaderFile header = make_header(sequence, options);
    write_file(file(options.name + ".h"), header.text);
    weights_.push_back(header.weights);
    const RecordedSequence::Trace& t = sequence.traces[0];
    Index state = 0;
    std::string last;
    for (std::size_t i = 0; i < sequence.start.size(); ++i) {
      last += fmt::format("  for (std::size_t i = 0; i < {0}; ++i) last[{1} + i] = m{2}::Real(state.s{3}[i]);\n",
                          sequence.start[i].size(), state, n, i);
      state += sequence.start[i].size();
    }
    const Index each = t.x.size(0) * t.x.size(1);
    sizes_.push_back({t.x.size() / each, t.y.size() / each, t.x.dtype(), t.y.dtype(), state});
    source_ +=
        fmt::format(R"(#include "m{0}.h"
extern "C" std::size_t sizes{0}(std::size_t T, int which);
extern "C" std::size_t sizes{0}(std::size_t T, int which) {{
  return which == 0 ? m{0}::outputs(T) : which == 1 ? m{0}::workspace_size(T) : m{0}::least_steps;
}}
extern "C" int sequence{0}(const void* x, std::size_t T, void* y, void* workspace, m{0}::Real* last);
extern "C" int sequence{0}(const void* x, std::size_t T, void* y, void* workspace, m{0}::Real* last) {{
  m{0}::State state;
  const m{0}::Model model;
  model.reset(state);
  const bool done = model.run(static_cast<const {1}*>(x), T, state, static_cast<m{0}::Real*>(y),
                              static_cast<m{0}::Real*>(workspace));
  static_cast<void>(last);
{2}  return done ? 0 : 1;
}}
extern "C" int run{0}(const void* x, std::size_t T, void* y, const void*, std::size_t);
extern "C" int run{0}(const void* x, std::size_t T, void* y, const void*, std::size_t) {{
  static m{0}::Real workspace[m{0}::workspace_size({3})];
  m{0}::State state;
  const m{0}::Model model;
  model.reset(state);
  return T <= {3} && model.run(static_cast<const {1}*>(x), T, state, static_cast<m{0}::Real*>(y), workspace) ? 0 : 1;
}}
)",
                    n, t.x.dtype() == DType::i32 ? "std::int32_t" : fmt::format("m{}::Real", n), last, most_steps);
    return n;
  }

  std::string file(const std::string& name) const { return folder_.path() + "/" + name; }
  const std::string& folder() const { return folder_.path(); }

  /// Compiles the source, whose name is models.cpp: whether the compiler takes it; what it says is printed.
  bool compile(const std::string& compiler, const std::string& flags, const std::string& output) {
    write_file(file("models.cpp"), source_);
    return run(compiler + " " + flags + " models.cpp -o " + output);
  }
  /// A shell command in the folder.
  bool run(const std::string& command) const {
    const bool done = std::system(("cd '" + folder() + "' && " + command + " >said.txt 2>&1").c_str()) == 0;
    if (!done) MESSAGE(command << "\n" << read_file(file("said.txt")).substr(0, 2000));
    return done;
  }

  void load(const std::string& flags = "-O0 ", const std::string& compiler = "g++") {
    REQUIRE(compile(compiler, strict_flags() + flags + "-shared -fPIC", "models.so"));
    library_ = dlopen(file("models.so").c_str(), RTLD_NOW);
    REQUIRE_MESSAGE(library_ != nullptr, dlerror());
  }

  using Run = int (*)(const void* x, std::size_t T, void* y, const void* bytes, std::size_t size);
  Run function(std::size_t n) const { return reinterpret_cast<Run>(dlsym(library_, fmt::format("run{}", n).c_str())); }

  /// The outputs of all steps, [T, outputs], from x [T, inputs].
  Array run(std::size_t n, const Array& x) const {
    const Index T = x.size() / sizes_[n].inputs;
    Array y(Shape{T, sizes_[n].outputs}, sizes_[n].real);
    const Array given = is_real(x.dtype()) ? x.to(sizes_[n].real) : x;
    int code = 0;
    std::vector<char> room(weights_[n].size() + 64);
    void* aligned = room.data();
    std::size_t space = room.size();
    std::memcpy(std::align(64, weights_[n].size(), aligned, space), weights_[n].data(), weights_[n].size());
    with_large_stack([&] {
      code = function(n)(given.view().data, static_cast<std::size_t>(T), y.view().data, aligned, weights_[n].size());
    });
    if (code != 0) throw Error("the weights do not fit");
    return y;
  }
  /// outputs(T), workspace_size(T), or the fewest steps.
  std::size_t size(std::size_t n, Index T, int which) const {
    using Size = std::size_t (*)(std::size_t T, int which);
    return reinterpret_cast<Size>(dlsym(library_, fmt::format("sizes{}", n).c_str()))(static_cast<std::size_t>(T),
                                                                                      which);
  }
  /// The outputs and the state after the last step, in one row each. Writes to no more memory than the header says.
  std::pair<Array, Array> run_sequence(std::size_t n, const Array& x) const {
    using Run = int (*)(const void* x, std::size_t T, void* y, void* workspace, void* last);
    const Index T = x.size() / sizes_[n].inputs;
    const DType real = sizes_[n].real;
    const auto numbers = static_cast<Index>(size(n, T, 0)), room = static_cast<Index>(size(n, T, 1)), fence = Index{16};
    Array y(Shape{numbers}, real), workspace(Shape{room + fence}, real), last(Shape{sizes_[n].state}, real);
    workspace.fill(NAN);
    const Array given = is_real(x.dtype()) ? x.to(real) : x;
    const auto run = reinterpret_cast<Run>(dlsym(library_, fmt::format("sequence{}", n).c_str()));
    if (run(given.view().data, static_cast<std::size_t>(T), y.view().data, workspace.view().data, last.view().data) !=
        0)
      throw Error("too few steps");
    const std::vector<double> behind = workspace.to_vector<double>();
    CHECK(std::all_of(behind.end() - fence, behind.end(), [](double v) { return std::isnan(v); }));
    return {std::move(y), std::move(last)};
  }
  std::string& weights(std::size_t n) { return weights_[n]; }

 private:
  struct Sizes {
    Index inputs, outputs;  // at each step
    DType x, real;
    Index state = 0;  // of what takes whole sequences
  };
  rw::detail::ScratchFolder folder_;
  std::string source_;
  std::vector<Sizes> sizes_;
  std::vector<std::string> weights_;
  void* library_ = nullptr;
};

inline double largest(const Array& a) {
  double most = 0;
  for (const double x : a.to_vector<double>()) most = std::max(most, std::abs(x));
  return most;
}

/// The largest difference; infinite where only one is nan.
inline double difference(const Array& a, const Array& b) {
  const std::vector<double> x = a.to_vector<double>(), y = b.to_vector<double>();
  double worst = x.size() == y.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (std::isnan(x[i]) && std::isnan(y[i])) continue;
    const double d = x[i] == y[i] ? 0 : std::abs(x[i] - y[i]);
    if (!(d <= worst)) worst = std::isnan(d) ? INFINITY : d;
  }
  return worst;
}

}  // namespace rw::test
