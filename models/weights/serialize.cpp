#include <algorithm>
#include <bit>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/weights/file.h>
#include <rewind/models/weights/header.h>
#include <rewind/models/weights/match_arrays.h>
#include <rewind/models/weights/serialize.h>

namespace rw {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors are little-endian, and copied as they are");

using detail::HeaderEntry;

// As the format's own readers have it.
constexpr std::uint64_t max_header = 100'000'000;

std::string_view format_name(DType t) { return t == DType::f64 ? "F64" : t == DType::f32 ? "F32" : "I32"; }

std::size_t bytes_of(ConstView v) { return static_cast<std::size_t>(v.size()) * size_of(v.dtype); }

// A JSON string of UTF-8 text. (A header is not put together from the JSON library's objects: their destructors
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

// The entries in the order of their data, which must fill the file.
std::vector<HeaderEntry> in_order(std::vector<HeaderEntry> entries, std::uint64_t data_size) {
  std::sort(entries.begin(), entries.end(), [](const HeaderEntry& a, const HeaderEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t at = 0;
  for (const HeaderEntry& e : entries) {
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
  detail::Header header = detail::parse_header(bytes.substr(0, length));
  bytes.remove_prefix(length);
  ArrayFile file;
  file.metadata = std::move(header.metadata);
  for (const HeaderEntry& e : in_order(std::move(header.entries), bytes.size())) {
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
