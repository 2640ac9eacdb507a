#include <charconv>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/sequence/unroll.h>
#include <rewind/models/sizes.h>
#include <rewind/models/text/char_model.h>
#include <rewind/ops/dropout.h>
#include <rewind/ops/lookup.h>

namespace rw {

namespace {

Stack<AnyCell> make_cells(const CharModelOptions& o, Index vocabulary, Rng& rng) {
  detail::checked_size("char_model", "layers", o.layers);
  CellOptions shared;
  if (o.init) shared = {.weights = *o.init, .recurrent = *o.init, .biases = *o.init};
  Index below = o.embedding > 0 ? o.embedding : vocabulary;
  std::vector<AnyCell> cells;
  for (Index i = 0; i < o.layers; ++i) {
    cells.push_back(make_cell(o.cell, below, o.hidden, rng, {.key = static_cast<std::uint32_t>(i)}, shared));
    below = output_width(cells.back());
  }
  return Stack<AnyCell>(std::move(cells), {.dropout = o.dropout});
}

Array make_table(const CharModelOptions& o, Index vocabulary, Rng& rng) {
  return o.init ? (*o.init)(rng, vocabulary, o.embedding) : normal(rng, {vocabulary, o.embedding}, 1);
}

LinearOptions output_options(const CharModelOptions& o) {
  return {.weights = o.init.value_or(Init::glorot()), .biases = o.init.value_or(Init::constant(0))};
}

/// What can be refused is refused before memory is taken.
Index checked(const Vocabulary& vocabulary, const CharModelOptions& o) {
  if (vocabulary.size() == 0) throw Error("char_model: the vocabulary is empty");
  if (o.embedding < 0) throw Error(fmt::format("char_model: the embedding is {}: it must be 0 or more", o.embedding));
  if (o.hidden < 1) throw Error(fmt::format("char_model: the hidden width is {}: it must be 1 or more", o.hidden));
  if (o.layers < 1) throw Error(fmt::format("char_model: there are {} layers: there must be 1 or more", o.layers));
  return vocabulary.size();
}

}  // namespace

CharModel::CharModel(Vocabulary vocabulary, const CharModelOptions& options, Rng& rng)
    : Module("char_model"),
      vocabulary_(std::move(vocabulary)),
      options_(options),
      table_(checked(vocabulary_, options) > 0 && options.embedding > 0
                 ? &param("embedding", make_table(options, vocabulary_.size(), rng))
                 : nullptr),
      cells_(child("cells", make_cells(options, vocabulary_.size(), rng))),
      output_(child("output", Linear(output_width(cells_), vocabulary_.size(), rng, output_options(options)))) {
  if (table_ != nullptr) return;
  Tape tape;  // a cell that cannot take characters as they are says so before anything begins
  step(tape.constant(Array(Shape{1}, DType::i32)), cells_.zero_state(tape, 1));
}

Tensor CharModel::embedded(Tensor inputs) const { return table_ != nullptr ? lookup(*table_, inputs) : inputs; }

Tensor CharModel::logits(Tensor inputs, State& state) const {
  if (inputs.shape().rank() != 2 || inputs.size(0) == 0)
    throw Error("char_model: inputs are [T, N] numbers of characters, not " + inputs.shape().str());
  const Scope scope(inputs.tape(), name());
  const auto states = unroll(cells_, embedded(inputs), state);
  state = states.back();
  return output_(detail::dropped(outputs(cells_, states), options_.dropout, training()));
}

CharModel::State CharModel::step(Tensor inputs, const State& state) const {
  const Scope scope(inputs.tape(), name());
  return cells_.step(embedded(inputs), state);
}

CharModel CharModel::clone() const {
  Rng unused(0);
  return cloned(CharModel(vocabulary_, options_, unused), *this);
}

// ---- Files

namespace {

constexpr const char* format_name = "rewind character model";
constexpr const char* format_version = "1";

const std::string& entry(const Metadata& metadata, std::string_view name, const std::string& source) {
  const auto found = metadata.find(std::string(name));
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
  if (o.hidden < 1 || o.embedding < 0 || o.layers < 1) return;  // refused by the model, by name
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
