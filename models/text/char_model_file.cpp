#include <charconv>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
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
    throw Error(fmt::format("{}: a broken character model: \"{}\" is \"{}\", no number", source, name, shown(text)));
  return value;
}

/// What the header says must be what the arrays are, before memory is taken for it.
void check_sizes(const ArrayFile& file, const Vocabulary& vocabulary, const CharModelOptions& o,
                 const std::string& source) {
  if (o.hidden < 1 || o.embedding < 0 || o.layers < 1) return;  // refused later, by name
  constexpr Index most_layers = 1024;
  double numbers = 0;
  for (const NamedArray& a : file.arrays) numbers += static_cast<double>(a.array.size());
  if (o.layers > most_layers || parameter_count_of(vocabulary.size(), o) > numbers)
    throw Error(source + ": a broken character model: its header and its arrays disagree");
}

/// Options and vocabulary of a model file.
std::pair<CharModelOptions, Vocabulary> described(const Metadata& metadata, const std::string& source) {
  const auto format = metadata.find("format");
  if (format == metadata.end() || format->second != format_name)
    throw Error(source + ": a safetensors file, but not a character model of Rewind");
  const std::string& version = entry(metadata, "version", source);
  if (version != format_version)
    throw Error(fmt::format("{}: a character model of version {}; this program reads version {}", source,
                            shown(version), format_version));
  const CharModelOptions options{.cell = entry(metadata, "cell", source),
                                 .layers = number<Index>(metadata, "layers", source),
                                 .hidden = number<Index>(metadata, "hidden", source),
                                 .embedding = number<Index>(metadata, "embedding", source),
                                 .dropout = number<double>(metadata, "dropout", source),
                                 .init = Init::constant(0)};
  return {options, Vocabulary(decode_utf8(entry(metadata, "vocabulary", source), "vocabulary"))};
}

/// Calls f, and names the file in what it throws.
template <class F>
auto broken_if_it_throws(const std::string& source, F f) {
  try {
    return f();
  } catch (const Error& error) {
    const std::string what = error.what();
    if (what.starts_with(source)) throw;
    throw Error(fmt::format("{}: a broken character model: {}", source, what));
  }
}

}  // namespace

Metadata CharModel::metadata() const {
  return {{"format", format_name},
          {"version", format_version},
          {"cell", options_.cell},
          {"layers", fmt::format("{}", options_.layers)},
          {"hidden", fmt::format("{}", options_.hidden)},
          {"embedding", fmt::format("{}", options_.embedding)},
          {"dropout", fmt::format("{}", options_.dropout)},
          {"vocabulary", encode_utf8(vocabulary_.characters())}};
}

CharModel CharModel::from_metadata(const Metadata& metadata, const std::string& source) {
  return broken_if_it_throws(source, [&] {
    auto [options, vocabulary] = described(metadata, source);
    Rng unused(0);
    return CharModel(std::move(vocabulary), options, unused);
  });
}

void CharModel::save(const std::string& path) const { save_model(path, *this, metadata()); }

CharModel CharModel::load(const std::string& path) {
  const ArrayFile file = load_arrays(path);
  broken_if_it_throws(path, [&] {
    const auto [options, vocabulary] = described(file.metadata, path);
    check_sizes(file, vocabulary, options, path);
  });
  CharModel model = from_metadata(file.metadata, path);
  set_parameters(model, file.arrays, path);
  return model;
}

}  // namespace rw
