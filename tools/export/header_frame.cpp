#include <algorithm>
#include <cctype>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/tools/export/header_frame.h>
#include <rewind/tools/export/math_text.h>
#include <rewind/tools/export/step_program.h>

namespace rw::detail {
namespace {

void check_name(const std::string& name) {
  const auto usual = [](unsigned char c) { return c < 128 && (std::isalnum(c) != 0 || c == '_'); };
  const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), usual) &&
                       std::isdigit(static_cast<unsigned char>(name[0])) == 0 && name[0] != '_' &&
                       name.find("__") == std::string::npos;
  if (!is_name || is_keyword(name))
    throw Error("export: the name must be one of C++, such as voice_2, not '" + shown(name) + "'");
}

std::string layout(const HeaderFrame& f) {
  std::string text = plain_type(f.real);
  for (const Member& m : f.members) text += fmt::format(" {} {} {}", m.type, m.name, m.room);
  return text;
}

Array unicode(const std::u32string& characters) {
  Array all(Shape{static_cast<Index>(characters.size())}, DType::i32);
  std::transform(characters.begin(), characters.end(), all.span<std::int32_t>().begin(),
                 [](char32_t c) { return static_cast<std::int32_t>(c); });
  return all;
}

std::string declared_types(const HeaderFrame& f) {
  std::string text = fmt::format("using Real = {};\n{}\n", plain_type(f.real), f.constants);
  if (!f.characters.empty())
    text += fmt::format(
        "/// The characters that indices stand for, in Unicode.\nconstexpr std::uint32_t characters[{}] = {};\n\n",
        f.characters.size(), listed(unicode(f.characters), "std::int32_t", f.real));
  text += "/// What is carried from step to step. Arrays are as long as loops that are rounded up.\nstruct State {\n";
  for (std::size_t i = 0; i < f.start.size(); ++i)
    text += fmt::format("  {} s{}[{}] = {{}};  // {}\n", member_type(f.start[i].dtype()), i, f.rooms[i],
                        f.start[i].shape().str());
  text += "};\n\nstruct Weights {\n";
  for (const Member& m : f.members)
    text += fmt::format("  {}{} {}[{}];  // {}\n", m.alignment(f.real) == 64 ? "alignas(64) " : "", m.type, m.name,
                        m.room, m.value.shape().str());
  return text + "};\n";
}

std::string functions_used(const HeaderFrame& f) {
  const std::string text = math_functions(f.statements, f.real);
  return text.empty() ? "" : "\nnamespace math {\n\n" + text + "\n}  // namespace math\n";
}

std::string numbers(const HeaderFrame& f) {
  std::string all;
  for (const Member& m : f.members) all += "    " + listed(m.value, m.type, f.real) + ",  // " + m.name + "\n";
  return "\ninline constexpr Weights weights = {\n" + all + "};\n";
}

std::string view_of_bytes(std::uint64_t fingerprint) {
  return fmt::format(R"(
/// The weights in these bytes, which must stay where they are, aligned as Weights: null for other bytes than those that
/// were written with this header, whole.
inline const Weights* weights_in(const void* bytes, std::size_t size) {{
  const unsigned char* from = static_cast<const unsigned char*>(bytes);
  std::uint64_t begin[8];
  if (bytes == nullptr || size != sizeof begin + sizeof(Weights)) return nullptr;
  if (reinterpret_cast<std::uintptr_t>(bytes) % alignof(Weights) != 0) return nullptr;
  std::memcpy(begin, bytes, sizeof begin);
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::size_t i = sizeof begin; i < size; ++i) hash = (hash ^ from[i]) * 0x100000001b3u;
  const bool fits = std::memcmp(bytes, "{}", 8) == 0 && begin[1] == 0x{:016x}u && begin[2] == sizeof(Weights);
  return fits && begin[3] == hash ? reinterpret_cast<const Weights*>(from + sizeof begin) : nullptr;
}}
)",
                     weights_magic, fingerprint);
}

}  // namespace

void check_options(const HeaderOptions& options) {
  check_name(options.name);
  if (options.pad < 1 || options.pad > 64)
    throw Error(fmt::format("export: loops are padded to a multiple of 1 to 64, not {}", options.pad));
}

std::string plain_type(DType dtype) {
  return dtype == DType::i32 ? "std::int32_t" : dtype == DType::f32 ? "float" : "double";
}
std::string member_type(DType dtype) { return dtype == DType::i32 ? "std::int32_t" : "Real"; }

std::string reset_text(const std::vector<Array>& start) {
  std::string text;
  for (std::size_t i = 0; i < start.size(); ++i)
    if (has_numbers(start[i]))
      text += fmt::format("    std::memcpy(state.s{0}, weights_->start{0}, sizeof weights_->start{0});\n", i);
  return text;
}

HeaderFile header_file(const HeaderFrame& f, const HeaderOptions& options) {
  const std::string code = f.statements + layout(f);
  const std::uint64_t fingerprint = hash_of(code);
  const std::string weights = options.weights_in_header ? numbers(f) : view_of_bytes(fingerprint);
  const std::string inner = fmt::format("of_{:016x}", hash_of(code + weights));
  HeaderFile file;
  file.text = f.beginning +
              fmt::format(R"(// clang-format off
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace {0} {{

// By its contents, so that one program may hold several versions of this header, as plug-ins do.
inline namespace {1} {{

)",
                          options.name, inner) +
              declared_types(f) + functions_used(f) + weights + f.code + "\n}  // namespace " + inner +
              "\n}  // namespace " + options.name + "\n";
  if (!options.weights_in_header) file.weights = bytes_of_weights(f.members, fingerprint, f.real);
  return file;
}

}  // namespace rw::detail
