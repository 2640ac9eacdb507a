#include <algorithm>
#include <bit>
#include <cstring>
#include <set>

#include <nlohmann/json.hpp>

#include <rewind/core/error.h>
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
  if (found == object.end()) throw Error("tensor '" + name + "' has no " + key);
  return *found;
}

const ElementType* type_named(const Json& value, const std::string& name) {
  const ElementType* type = value.is_string() ? element_type(value.get_ref<const std::string&>()) : nullptr;
  if (type == nullptr)
    throw Error("tensor '" + name + "' has element type " + value.dump(-1, ' ', false, Json::error_handler_t::replace) +
                "; " + readable_element_types() + " can be read");
  return type;
}

Shape shape_of(const Json& value, const std::string& name) {
  if (!value.is_array()) throw Error("tensor '" + name + "': its shape is not a list");
  std::vector<Index> dims;
  for (const Json& d : value) {
    const std::uint64_t n = natural(d, "tensor '" + name + "': a length in its shape");
    if (n > static_cast<std::uint64_t>(INT64_MAX)) throw Error("tensor '" + name + "': a length is too large");
    dims.push_back(static_cast<Index>(n));
  }
  try {
    return Shape(std::span<const Index>(dims));
  } catch (const Error& e) {
    throw Error("tensor '" + name + "': " + e.what());
  }
}

Entry entry_of(const std::string& name, const Json& value) {
  if (!value.is_object()) throw Error("tensor '" + name + "' is not described by an object");
  Entry e{.name = name,
          .shape = shape_of(member(value, "shape", name), name),
          .type = type_named(member(value, "dtype", name), name),
          .begin = 0,
          .end = 0};
  const Json& offsets = member(value, "data_offsets", name);
  if (!offsets.is_array() || offsets.size() != 2) throw Error("tensor '" + name + "': data_offsets is not a pair");
  e.begin = natural(offsets[0], "tensor '" + name + "': an offset");
  e.end = natural(offsets[1], "tensor '" + name + "': an offset");
  const std::uint64_t bytes = e.end - e.begin;
  if (e.end < e.begin || bytes % e.type->bytes != 0 ||
      bytes / e.type->bytes != static_cast<std::uint64_t>(e.shape.size()))
    throw Error("tensor '" + name + "': its offsets do not fit its shape " + e.shape.str());
  return e;
}

// Refuses what a plain parse would let pass: a key that comes twice, and nesting without end.
Json parse_header(std::string_view text) {
  std::vector<std::set<std::string>> keys;
  const auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > 3) throw Error("its header is nested too deeply");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      throw Error("its header names '" + value.get<std::string>() + "' twice");
    return true;
  };
  Json header;
  try {
    header = Json::parse(text, check);
  } catch (const Json::exception&) {
    throw Error("its header is not JSON: it is not a safetensors file, or is damaged");
  }
  if (!header.is_object()) throw Error("its header is not a JSON object");
  return header;
}

Metadata metadata_of(const Json& header) {
  Metadata metadata;
  const auto found = header.find("__metadata__");
  if (found == header.end()) return metadata;
  if (!found->is_object()) throw Error("its metadata is not an object");
  for (const auto& [key, value] : found->items()) {
    if (!value.is_string()) throw Error("its metadata '" + key + "' is not text");
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

std::vector<Entry> entries_of(const Json& header, std::uint64_t data_size) {
  std::vector<Entry> entries;
  for (const auto& [key, value] : header.items())
    if (key != "__metadata__") entries.push_back(entry_of(key, value));
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  std::uint64_t at = 0;
  for (const Entry& e : entries) {
    if (e.begin != at) throw Error("tensor '" + e.name + "' overlaps another, or leaves a gap");
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
  const Json header = parse_header(bytes.substr(0, length));
  bytes.remove_prefix(length);
  ArrayFile file;
  file.metadata = metadata_of(header);
  for (const Entry& e : entries_of(header, bytes.size())) {
    Array array(e.shape, e.type->dtype);
    try {
      if (array.size() > 0) e.type->read(bytes.data() + e.begin, array.view());
    } catch (const Error& error) {
      throw Error("tensor '" + e.name + "': " + error.what());
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
  throw Error("there is no array '" + name + "'");
}

void save_arrays(const std::string& path, std::span<const NamedView> arrays, const Metadata& metadata) {
  // Data of 8 bytes first, so that every array is aligned in a mapped file.
  std::vector<const NamedView*> order;
  for (const NamedView& a : arrays) order.push_back(&a);
  std::stable_sort(order.begin(), order.end(), [](const NamedView* a, const NamedView* b) {
    return size_of(a->view.dtype) > size_of(b->view.dtype);
  });
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::vector<Array> packed;
  packed.reserve(arrays.size());
  std::vector<std::string_view> parts(2);
  std::uint64_t at = 0;
  for (const NamedView* a : order) {
    if (a->name == "__metadata__" || header.contains(a->name))
      throw Error(path + ": two arrays cannot be saved under one name, '" + a->name + "'");
    const std::size_t bytes = bytes_of(a->view);
    const Shape& shape = a->view.shape;
    header[a->name] = {{"dtype", format_name(a->view.dtype)},
                       {"shape", std::vector<Index>(shape.begin(), shape.end())},
                       {"data_offsets", {at, at + bytes}}};
    at += bytes;
    const void* data = a->view.contiguous() ? a->view.data : packed.emplace_back(a->view).view().data;
    parts.emplace_back(static_cast<const char*>(data), bytes);
  }
  std::string text;
  try {
    text = header.dump();
  } catch (const Json::exception&) {
    throw Error(path + ": names and metadata must be UTF-8");
  }
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
