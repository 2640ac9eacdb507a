#include <charconv>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/models/text/char_model.h>

namespace rw {

namespace {

constexpr const char* format_name = "rewind character model";
constexpr const char* format_version = "1";

const std::string& entry(const Metadata& metadata, const std::string& name, const std::string& source) {
  const auto found = metadata.find(name);
  if (found == metadata.end())
    throw Error(fmt::format("{}: a broken character model: its header lacks \"{}\"", source, name));
  return found->second;
}

template <class T>
T number(const Metadata& metadata, const std::string& name, const std::string& source) {
  const std::string& text = entry(metadata, name, source);
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw Error(fmt::format("{}: a broken character model: \"{}\" is \"{}\", no number", source, name, text));
  return value;
}

/// What the header says must be what the arrays are, before memory is taken for it.
void check_sizes(const ArrayFile& file, const std::string& source) {
  if (file.metadata.count("hidden") == 0) return;  // refused later, by name
  const auto fits = [&](const char* size, const char* name, Index most_gates) {
    const Array* array = file.find(name);
    const auto said = number<Index>(file.metadata, size, source);
    if (said == 0) return true;
    if (array == nullptr || array->shape().rank() != 2) return false;
    const Index width = array->shape()[1];
    return said <= width && width % said == 0 && width / said <= most_gates;
  };
  const bool layers = number<Index>(file.metadata, "layers", source) <= static_cast<Index>(file.arrays.size());
  if (!layers || !fits("hidden", "cells.layer0.R", 4) || !fits("embedding", "embedding", 1))
    throw Error(source + ": a broken character model: its header and its arrays disagree");
}

}  // namespace

Metadata CharModel::metadata() const {
  // A first character that looks like a byte order mark stands behind one.
  const std::u32string& characters = vocabulary_.characters();
  const std::u32string_view mark = characters.starts_with(U'\uFEFF') ? U"\uFEFF" : U"";
  return {{"format", format_name},
          {"version", format_version},
          {"cell", options_.cell},
          {"layers", fmt::format("{}", options_.layers)},
          {"hidden", fmt::format("{}", options_.hidden)},
          {"embedding", fmt::format("{}", options_.embedding)},
          {"dropout", fmt::format("{}", options_.dropout)},
          {"vocabulary", encode_utf8(std::u32string(mark) + characters)}};
}

CharModel CharModel::from_metadata(const Metadata& metadata, const std::string& source) {
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != format_name)
    throw Error(source + ": a safetensors file, but not a character model of Rewind");
  const std::string& version = entry(metadata, "version", source);
  if (version != format_version)
    throw Error(fmt::format("{}: a character model of version {}; this program reads version {}", source, version,
                            format_version));
  const CharModelOptions options{.cell = entry(metadata, "cell", source),
                                 .layers = number<Index>(metadata, "layers", source),
                                 .hidden = number<Index>(metadata, "hidden", source),
                                 .embedding = number<Index>(metadata, "embedding", source),
                                 .dropout = number<double>(metadata, "dropout", source),
                                 .init = Init::constant(0)};
  try {
    Rng unused(0);
    return CharModel(Vocabulary(decode_utf8(entry(metadata, "vocabulary", source), "vocabulary")), options, unused);
  } catch (const Error& error) {
    throw Error(fmt::format("{}: a broken character model: {}", source, error.what()));
  }
}

void CharModel::save(const std::string& path) const { save_model(path, *this, metadata()); }

CharModel CharModel::load(const std::string& path) {
  const ArrayFile file = load_arrays(path);
  check_sizes(file, path);
  CharModel model = from_metadata(file.metadata, path);
  set_parameters(model, file.arrays, path);
  return model;
}

}  // namespace rw
