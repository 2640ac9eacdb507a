#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <map>
#include <set>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/weights/element_types.h>
#include <rewind/models/weights/file.h>
#include <rewind/models/weights/match_arrays.h>
#include <rewind/models/weights/serialize.h>

namespace rw {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and copied as they are");

using Json = nlohmann::json;
using detail::element_type;
using detail::ElementType;
using detail::readable_element_types;

// As the format's own readers have it.
constexpr std::uint64_t max_header = 100'000'000;

std::string_view format_name(DType t) { return t == DType::f64 ? "F64" : t == DType::f32 ? "F32" : "I32"; }

std::size_t bytes_of(ConstView v) { return static_cast<std::size_t>(v.size()) * size_of(v.dtype); }

// A JSON string of UTF-8 text. (A whole header is not put together by the JSON library: the destructors of its objects
// allocate, and end the process when there is no memory.)
std::string json_text(std::string_view text) {
  constexpr std::string_view named = "\"\\\b\f\n\r\t", names = "\"\\bfnrt";
  std::string out = "\"";
  for (const char c : text) {
    if (const std::size_t i = named.find(c); i != named.npos)
      out += std::string("\\") + names[i];
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + "\"";
}

// One entry of a header, checked but for its place among the others.
struct Entry {
  std::string name;
  Shape shape;
  const ElementType* type;
  std::uint64_t begin, end;
};

std::uint64_t natural(const Json& value, const std::string& what) {
  if (!value.is_number_unsigned()) throw Error(what + " is not a whole number of 0 or more");
  return value.get<std::uint64_t>();
}

const Json& member(const Json& object, const char* key, const std::string& name) {
  const auto found = object.find(key);
  if (found == object.end()) throw Error("tensor '" + shown(name) + "' has no " + key);
  return *found;
}

const ElementType* type_named(const Json& value, const std::string& name) {
  const ElementType* type = value.is_string() ? element_type(value.get_ref<const std::string&>()) : nullptr;
  if (type == nullptr)
    throw Error("tensor '" + shown(name) + "' has element type " +
                shown(value.dump(-1, ' ', false, Json::error_handler_t::replace)) + "; " + readable_element_types() +
                " can be read");
  return type;
}

Shape shape_of(const Json& value, const std::string& name) {
  if (!value.is_array()) throw Error("tensor '" + shown(name) + "': its shape is not a list");
  std::vector<Index> dims;
  for (const Json& d : value) {
    const std::uint64_t n = natural(d, "tensor '" + shown(name) + "': a length in its shape");
    if (n > static_cast<std::uint64_t>(INT64_MAX)) throw Error("tensor '" + shown(name) + "': a length is too large");
    dims.push_back(static_cast<Index>(n));
  }
  try {
    return Shape(std::span<const Index>(dims));
  } catch (const Error& e) {
    throw Error("tensor '" + shown(name) + "': " + e.what());
  }
}

Entry entry_of(const std::string& name, const Json& value) {
  if (!value.is_object()) throw Error("tensor '" + shown(name) + "' is not described by an object");
  Entry e{.name = name,
          .shape = shape_of(member(value, "shape", name), name),
          .type = type_named(member(value, "dtype", name), name),
          .begin = 0,
          .end = 0};
  const Json& offsets = member(value, "data_offsets", name);
  if (!offsets.is_array() || offsets.size() != 2)
    throw Error("tensor '" + shown(name) + "': data_offsets is not a pair");
  e.begin = natural(offsets[0], "tensor '" + shown(name) + "': an offset");
  e.end = natural(offsets[1], "tensor '" + shown(name) + "': an offset");
  const std::uint64_t bytes = e.end - e.begin;
  if (e.end < e.begin || bytes % e.type->bytes != 0 ||
      bytes / e.type->bytes != static_cast<std::uint64_t>(e.shape.size()))
    throw Error("tensor '" + shown(name) + "': its offsets do not fit its shape " + e.shape.str());
  return e;
}

// What a file may claim is bounded, so that a header never takes much more memory than the file has bytes.
constexpr std::size_t most_arrays = 1 << 18, most_metadata = 1 << 16, most_values = 1000;

Metadata metadata_of(const Json& value) {
  Metadata metadata;
  if (!value.is_object()) throw Error("its metadata is not an object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) throw Error("its metadata '" + shown(key) + "' is not text");
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

struct Header {
  Metadata metadata;
  std::vector<Entry> entries;
};

// Takes a header apart while it is parsed: every entry is looked at and dropped as soon as it ends (a parser that keeps
// them searches all of them at the end of each). Refuses what a plain parse would let pass: a key that comes twice, and
// nesting without end.
class HeaderReader {
 public:
  bool operator()(int depth, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    const bool begins = event == Event::object_start || event == Event::array_start || event == Event::value;
    if (depth > 3) throw Error("its header is nested too deeply");
    if (depth == 0 && begins && event != Event::object_start) throw Error("its header is not a JSON object");
    if (event == Event::key) note_key(depth, value.get_ref<const std::string&>());
    if (depth == 1 && begins && event != Event::object_start) take(value);
    if (depth == 1 && event == Event::object_start) inner_keys_.clear();
    if (event == Event::array_start) values_ = 0;
    if (event == Event::value && ++values_ > most_values) throw Error("a list in its header is too long");
    if (depth != 1 || event != Event::object_end) return true;
    take(value);
    return false;
  }
  Header header;

 private:
  void note_key(int depth, const std::string& key) {
    if (!(depth == 1 ? outer_keys_ : inner_keys_).insert(key).second)
      throw Error("its header names '" + shown(key) + "' twice");
    if (outer_keys_.size() > most_arrays) throw Error(fmt::format("it has more than {} arrays", most_arrays));
    if (inner_keys_.size() > most_metadata) throw Error("its metadata has too many entries");
    values_ = 0;
    if (depth == 1) name_ = key;
  }
  void take(const Json& value) {
    if (name_ == "__metadata__")
      header.metadata = metadata_of(value);
    else
      header.entries.push_back(entry_of(name_, value));
  }

  std::set<std::string> outer_keys_, inner_keys_;
  std::string name_;
  std::size_t values_ = 0;
};

Header parse_header(std::string_view text) {
  HeaderReader reader;
  try {
    [[maybe_unused]] const Json nothing = Json::parse(text, std::ref(reader));  // all was taken out of it
  } catch (const Json::exception&) {
    throw Error("its header is not JSON: it is not a safetensors file, or is damaged");
  }
  return std::move(reader.header);
}

// The entries in the order of their data, which must fill the file.
std::vector<Entry> in_order(std::vector<Entry> entries, std::uint64_t data_size) {
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t at = 0;
  for (const Entry& e : entries) {
    if (e.begin != at) throw Error("tensor '" + shown(e.name) + "' overlaps another, or leaves a gap");
    at = e.end;
  }
  if (at > data_size)
    throw Error("it is truncated: " + std::to_string(at) + " bytes of numbers expected, " + std::to_string(data_size) +
                " there");
  if (at < data_size) throw Error("it has " + std::to_string(data_size - at) + " bytes too many");
  return entries;
}

ArrayFile parse(std::string_view bytes) {
  if (bytes.size() < 8) throw Error("it is too short for a safetensors file");
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), 8);
  bytes.remove_prefix(8);
  if (length > max_header) throw Error("it is not a safetensors file (the header would be too long)");
  if (length > bytes.size()) throw Error("it is truncated within the header, or not a safetensors file");
  Header header = parse_header(bytes.substr(0, length));
  bytes.remove_prefix(length);
  ArrayFile file;
  file.metadata = std::move(header.metadata);
  for (const Entry& e : in_order(std::move(header.entries), bytes.size())) {
    Array array(e.shape, e.type->dtype);
    try {
      if (array.size() > 0) e.type->read(bytes.data() + e.begin, array.view());
    } catch (const Error& error) {
      throw Error("tensor '" + shown(e.name) + "': " + error.what());
    }
    file.arrays.push_back({e.name, std::move(array)});
  }
  return file;
}

}  // namespace

const Array* ArrayFile::find(const std::string& name) const {
  for (const NamedArray& a : arrays)
    if (a.name == name) return &a.array;
  return nullptr;
}

const Array& ArrayFile::at(const std::string& name) const {
  if (const Array* array = find(name)) return *array;
  throw Error("there is no array '" + shown(name) + "'");
}

void save_arrays(const std::string& path, std::span<const NamedView> arrays, const Metadata& metadata) {
  // Data of 8 bytes first, so that every array is aligned in a mapped file.
  std::vector<const NamedView*> order;
  for (const NamedView& a : arrays) order.push_back(&a);
  std::stable_sort(order.begin(), order.end(), [](const NamedView* a, const NamedView* b) {
    return size_of(a->view.dtype) > size_of(b->view.dtype);
  });
  std::map<std::string, std::string> header;  // JSON of each entry, by name
  const auto unusable = [&] { return Error(path + ": names and metadata must be UTF-8"); };
  for (const auto& [key, value] : metadata) {
    if (!is_utf8(key) || !is_utf8(value)) throw unusable();
    std::string& text = header["__metadata__"];
    text += (text.empty() ? "{" : ",") + json_text(key) + ":" + json_text(value);
  }
  if (!metadata.empty()) header["__metadata__"] += "}";
  std::vector<Array> packed;
  packed.reserve(arrays.size());
  std::vector<std::string_view> parts(2);
  std::uint64_t at = 0;
  for (const NamedView* a : order) {
    if (!is_utf8(a->name)) throw unusable();
    if (a->name == "__metadata__" || header.contains(a->name))
      throw Error(path + ": two arrays cannot be saved under one name, '" + shown(a->name) + "'");
    const std::size_t bytes = bytes_of(a->view);
    const Shape& shape = a->view.shape;
    header[a->name] = fmt::format(R"({{"data_offsets":[{},{}],"dtype":"{}","shape":[{}]}})", at, at + bytes,
                                  format_name(a->view.dtype), fmt::join(shape.begin(), shape.end(), ","));
    at += bytes;
    const void* data = a->view.contiguous() ? a->view.data : packed.emplace_back(a->view).view().data;
    parts.emplace_back(static_cast<const char*>(data), bytes);
  }
  std::string text = "{";
  for (const auto& [name, entry] : header) text += (text.size() > 1 ? "," : "") + json_text(name) + ":" + entry;
  text += "}";
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  char prefix[8];
  std::memcpy(prefix, &length, 8);
  parts[0] = {prefix, 8};
  parts[1] = text;
  write_file(path, parts);
}

void save_arrays(const std::string& path, const ArrayFile& file) {
  const std::vector<NamedView> views(file.arrays.begin(), file.arrays.end());
  save_arrays(path, views, file.metadata);
}

ArrayFile load_arrays(const std::string& path) {
  const std::string bytes = read_file(path);
  try {
    return parse(bytes);
  } catch (const Error& e) {
    throw Error(path + ": " + e.what());
  }
}

void save_model(const std::string& path, const Module& module, const Metadata& metadata) {
  std::vector<NamedView> views;
  for (const NamedParameter& p : detail::saved_parts(module)) views.emplace_back(p.name, p.parameter->value());
  save_arrays(path, views, metadata);
}

void set_parameters(const Module& module, std::span<const NamedArray> arrays, const std::string& source) {
  const std::vector<NamedParameter> parameters = detail::saved_parts(module);
  std::vector<detail::ExpectedArray> expected;
  expected.reserve(parameters.size());
  for (const NamedParameter& p : parameters) expected.push_back({p.name, p.parameter->shape()});
  const auto values =
      detail::match_arrays(expected, arrays, source + ": it does not fit the model '" + module.name() + "'");
  for (std::size_t i = 0; i < parameters.size(); ++i) parameters[i].parameter->set(*values[i]);
}

Metadata load_model(const std::string& path, const Module& module) {
  ArrayFile file = load_arrays(path);
  set_parameters(module, file.arrays, path);
  return std::move(file.metadata);
}

}  // namespace rw
