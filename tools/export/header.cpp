#include <algorithm>
#include <array>
#include <cctype>
#include <ostream>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/tools/export/header.h>
#include <rewind/tools/export/math_text.h>
#include <rewind/tools/export/plan.h>
#include <rewind/tools/export/statements.h>
#include <rewind/tools/export/weights.h>

namespace rw::detail {
namespace {

void check_name(const std::string& name) {
  static constexpr std::array words{
      "alignas", "alignof",  "and",       "asm",      "auto",     "bool",      "break",   "case",   "catch",
      "char",    "class",    "const",     "continue", "default",  "delete",    "do",      "double", "else",
      "enum",    "explicit", "export",    "extern",   "false",    "float",     "for",     "friend", "goto",
      "if",      "inline",   "int",       "long",     "mutable",  "namespace", "new",     "not",    "operator",
      "or",      "private",  "protected", "public",   "register", "return",    "short",   "signed", "sizeof",
      "static",  "std",      "struct",    "switch",   "template", "this",      "throw",   "true",   "try",
      "typedef", "typeid",   "typename",  "union",    "unsigned", "using",     "virtual", "void",   "volatile",
      "while",   "xor"};
  const auto usual = [](unsigned char c) { return c < 128 && (std::isalnum(c) != 0 || c == '_'); };
  const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), usual) &&
                       std::isdigit(static_cast<unsigned char>(name[0])) == 0 && name[0] != '_' &&
                       name.find("__") == std::string::npos;
  if (!is_name || std::find(words.begin(), words.end(), name) != words.end())
    throw Error("export: the name must be one of C++, such as voice_2, not '" + shown(name) + "'");
}

class HeaderWriter {
 public:
  HeaderWriter(const Plan& plan, const RecordedStep& step, const HeaderOptions& options)
      : plan_(plan),
        step_(step),
        options_(options),
        real_(plan.graph().real),
        members_(members_of_weights(plan, step.start)) {}

  HeaderFile run() {
    body_ = step_body(plan_, options_.expressions);
    fingerprint_ = hash_of(body_ + layout());
    const std::string weights = options_.weights_in_header ? numbers() : view_of_bytes();
    const std::string inner = fmt::format("of_{:016x}", hash_of(body_ + layout() + weights));
    HeaderFile file;
    file.text = beginning() +
                "// By its contents, so that one program may hold several versions of this header, as plug-ins do.\n"
                "inline namespace " +
                inner + " {\n\n" + types() + functions() + weights + model() + "\n}  // namespace " + inner +
                "\n}  // namespace " + options_.name + "\n";
    if (!options_.weights_in_header) file.weights = bytes_of_weights(members_, fingerprint_, real_);
    return file;
  }

 private:
  std::string real() const { return real_ == DType::f32 ? "float" : "double"; }
  Index inputs() const { return step_.x.size(); }
  Index outputs() const { return step_.y.size(); }
  std::string x_type() const { return step_.x.dtype() == DType::i32 ? "std::int32_t" : "Real"; }

  static Index room(const Buffer& b) { return std::max<Index>(b.capacity, 1); }
  const Buffer* state_buffer(std::size_t i) const {
    for (const Buffer& b : plan_.buffers)
      if (b.kind == Buffer::Kind::state && b.name == fmt::format("state.s{}", i)) return &b;
    return nullptr;
  }
  Index room_of_state(std::size_t i) const {
    const Buffer* b = state_buffer(i);
    return std::max<Index>(b == nullptr ? step_.start[i].size() : b->capacity, 1);
  }

  std::string layout() const {
    std::string text = real();
    for (const Member& m : members_) text += fmt::format(" {} {} {}", m.type, m.name, m.room);
    return text;
  }

  // ---- Parts of the file, from the top

  std::string beginning() const {
    Index weights = 0, carried = 0, local = 0;
    for (const Buffer& b : plan_.buffers)
      if (b.kind == Buffer::Kind::weight) weights += b.size;
    for (const Array& s : step_.start) carried += s.size();
    for (const Buffer& b : plan_.buffers)
      if (b.kind == Buffer::Kind::local) local += room(b);
    const std::string bytes_text =
        options_.weights_in_header ? "" : "(*" + options_.name + "::weights_in(bytes, size))";
    return fmt::format(
        R"(// One step of a recurrent model, written by Rewind: {5} weights, a state of {6} numbers, {7} bytes of locals.
// C++17; no heap, lock, exception, RTTI or global state.
//
//   {0}::State state;
//   {0}::Model model{1};
//   model.reset(state);                // as before the first step
//   model.step(x, state, y);           // {2} x[{3}] -> {8} y[{4}]
//   model.run(x, T, state, y);         // T steps: x[T * {3}] -> y[T * {4}]
//
// A model is looked at and never changed: any number of threads may share it, each with a state of its own.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {0} {{

)",
        options_.name, bytes_text, step_.x.dtype() == DType::i32 ? "int32_t" : real(), inputs(), outputs(), weights,
        carried, local * static_cast<Index>(size_of(real_)), real());
  }

  std::string types() const {
    std::string text = fmt::format("using Real = {};\nconstexpr std::size_t inputs = {}, outputs = {};\n\n", real(),
                                   inputs(), outputs());
    if (!step_.characters.empty())
      text += fmt::format(
          "/// The characters that indices stand for, in Unicode.\nconstexpr std::uint32_t characters[{}] = {};\n\n",
          step_.characters.size(), listed(unicode(), "std::int32_t", real_));
    text += "/// What is carried from step to step. Arrays are as long as loops that are rounded up.\nstruct State {\n";
    for (std::size_t i = 0; i < step_.start.size(); ++i)
      text +=
          fmt::format("  {} s{}[{}] = {{}};  // {}\n", step_.start[i].dtype() == DType::i32 ? "std::int32_t" : "Real",
                      i, room_of_state(i), step_.start[i].shape().str());
    text += "};\n\nstruct Weights {\n";
    for (const Member& m : members_)
      text += fmt::format("  {} {}[{}];  // {}\n", m.type, m.name, m.room, m.value.shape().str());
    return text + "};\n";
  }

  std::string functions() const {
    const std::string text = math_functions(body_, real_);
    return text.empty() ? "" : "\nnamespace math {\n\n" + text + "\n}  // namespace math\n";
  }

  Array unicode() const {
    Array all(Shape{static_cast<Index>(step_.characters.size())}, DType::i32);
    std::transform(step_.characters.begin(), step_.characters.end(), all.span<std::int32_t>().begin(),
                   [](char32_t c) { return static_cast<std::int32_t>(c); });
    return all;
  }

  std::string numbers() const {
    std::string all;
    for (const Member& m : members_) all += "    " + listed(m.value, m.type, real_) + ",  // " + m.name + "\n";
    return "\ninline constexpr Weights weights = {\n" + all + "};\n";
  }

  std::string view_of_bytes() const {
    return fmt::format(R"(
/// The weights in these bytes, which must stay where they are, aligned as Weights: null for other bytes than those that
/// were written with this header, whole.
inline const Weights* weights_in(const void* bytes, std::size_t size) {{
  const unsigned char* from = static_cast<const unsigned char*>(bytes);
  std::uint64_t begin[4];
  if (bytes == nullptr || size != sizeof begin + sizeof(Weights)) return nullptr;
  if (reinterpret_cast<std::uintptr_t>(bytes) % alignof(Weights) != 0) return nullptr;
  std::memcpy(begin, bytes, sizeof begin);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::size_t i = sizeof begin; i < size; ++i) hash = (hash ^ from[i]) * 0x100000001b3u;
  const bool fits = std::memcmp(bytes, "{}", 8) == 0 && begin[1] == 0x{:016x}u && begin[2] == sizeof(Weights);
  return fits && begin[3] == hash ? reinterpret_cast<const Weights*>(from + sizeof begin) : nullptr;
}}
)",
                       weights_magic, fingerprint_);
  }

  std::string model() const {
    std::string reset;
    for (std::size_t i = 0; i < step_.start.size(); ++i)
      if (has_numbers(step_.start[i]))
        reset += fmt::format("    std::memcpy(state.s{0}, weights_->start{0}, sizeof weights_->start{0});\n", i);
    const bool one = inputs() == 1 && outputs() == 1;
    return fmt::format(R"(
class Model {{
 public:
  explicit Model(const Weights& w{}) : weights_(&w) {{}}

  /// The state before the first step.
  void reset(State& state) const {{
    state = State();
{}  }}

  /// One step: x [inputs] -> y [outputs], which may be x itself.
  void step(const {}* x, State& state, Real* y) const;
{}
  /// T steps, one after the other: x [T, inputs] -> y [T, outputs].
  void run(const {}* x, std::size_t T, State& state, Real* y) const {{
    for (std::size_t t = 0; t < T; ++t) step(x + t * inputs, state, y + t * outputs);
  }}

 private:
  const Weights* weights_;
}};

inline void Model::step([[maybe_unused]] const {}* x, [[maybe_unused]] State& state, Real* y) const {{
  [[maybe_unused]] const Weights& w = *weights_;
{}}}
)",
                       options_.weights_in_header ? " = weights" : "", reset, x_type(),
                       one ? fmt::format("  Real step({} x, State& state) const {{\n    Real y;\n    step(&x, state, "
                                         "&y);\n    return y;\n  }}\n",
                                         x_type())
                           : "",
                       x_type(), x_type(), body_);
  }

  const Plan& plan_;
  const RecordedStep& step_;
  const HeaderOptions& options_;
  DType real_;
  std::vector<Member> members_;
  std::string body_;
  std::uint64_t fingerprint_ = 0;
};

}  // namespace
}  // namespace rw::detail

namespace rw {

HeaderFile make_header(const RecordedStep& step, const HeaderOptions& options) {
  detail::check_name(options.name);
  if (options.pad < 1 || options.pad > 64)
    throw Error(fmt::format("export: loops are padded to a multiple of 1 to 64, not {}", options.pad));
  const detail::Plan plan = detail::make_plan(detail::step_program(step), options.pad, options.int8);
  return detail::HeaderWriter(plan, step, options).run();
}

void write_header(std::ostream& out, const RecordedStep& step, const HeaderOptions& options) {
  HeaderOptions all = options;
  all.weights_in_header = true;
  out << make_header(step, all).text;
}

}  // namespace rw
