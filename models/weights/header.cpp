#include <limits>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/weights/header.h>

namespace rw::detail {
namespace {

using Json = nlohmann::json;

// What a file may claim is bounded, so that a header never takes much more memory than the file has bytes.
constexpr std::size_t most_arrays = 1 << 18, most_metadata = 1 << 16, most_values = 1000;

// A value within an entry, as far as a header needs it.
struct Value {
  enum class Kind { absent, number, text, list, other };
  Kind kind = Kind::absent;
  std::optional<std::uint64_t> natural;  // of a number; nothing when it is negative, or has a fraction
  std::string text;                      // of a text, or of a number as it is shown
  std::vector<std::optional<std::uint64_t>> list;
};

// What is known of an array while its description is read.
struct Description {
  Value shape, dtype, data_offsets;
  Value* find(const std::string& key) {
    return key == "shape" ? &shape : key == "dtype" ? &dtype : key == "data_offsets" ? &data_offsets : nullptr;
  }
};

std::uint64_t natural(std::optional<std::uint64_t> value, const std::string& what) {
  if (!value.has_value()) throw Error(what + " is not a whole number of 0 or more");
  return *value;
}

Shape shape_of(const Value& value, const std::string& tensor) {
  if (value.kind == Value::Kind::absent) throw Error(tensor + " has no shape");
  if (value.kind != Value::Kind::list) throw Error(tensor + ": its shape is not a list");
  std::vector<Index> dims;
  for (const auto& d : value.list) {
    const std::uint64_t n = natural(d, tensor + ": a length in its shape");
    if (n > static_cast<std::uint64_t>(std::numeric_limits<Index>::max()))
      throw Error(tensor + ": a length is too large");
    dims.push_back(static_cast<Index>(n));
  }
  try {
    return Shape(std::span<const Index>(dims));
  } catch (const Error& e) {
    throw Error(tensor + ": " + e.what());
  }
}

const ElementType* type_of(const Value& value, const std::string& tensor) {
  if (value.kind == Value::Kind::absent) throw Error(tensor + " has no dtype");
  const ElementType* type = value.kind == Value::Kind::text ? element_type(value.text) : nullptr;
  if (type != nullptr) return type;
  const std::string given = value.kind == Value::Kind::text     ? "\"" + value.text + "\""
                            : value.kind == Value::Kind::number ? value.text
                                                                : "that is no text";
  throw Error(tensor + " has element type " + shown(given) + "; " + readable_element_types() + " can be read");
}

HeaderEntry entry_of(const std::string& name, const Description& d) {
  const std::string tensor = "tensor '" + shown(name) + "'";
  HeaderEntry e{
      .name = name, .shape = shape_of(d.shape, tensor), .type = type_of(d.dtype, tensor), .begin = 0, .end = 0};
  const Value& offsets = d.data_offsets;
  if (offsets.kind == Value::Kind::absent) throw Error(tensor + " has no data_offsets");
  if (offsets.kind != Value::Kind::list || offsets.list.size() != 2)
    throw Error(tensor + ": data_offsets is not a pair");
  e.begin = natural(offsets.list[0], tensor + ": an offset");
  e.end = natural(offsets.list[1], tensor + ": an offset");
  const std::uint64_t bytes = e.end - e.begin;
  if (e.end < e.begin || bytes % e.type->bytes != 0 ||
      bytes / e.type->bytes != static_cast<std::uint64_t>(e.shape.size()))
    throw Error(tensor + ": its offsets do not fit its shape " + e.shape.str());
  return e;
}

// Takes a header apart while it is parsed, without the JSON library's objects: their destructors allocate, and end the
// process when there is no memory. Refuses what a plain parse would let pass: a key that comes twice, and nesting
// without end. Depth 1 is the header, 2 an array's description or the metadata, 3 a list within one.
class HeaderReader final : public Json::json_sax_t {
 public:
  Header header;

  bool null() override { return take({.kind = Value::Kind::other, .natural = {}, .text = {}, .list = {}}); }
  bool boolean(bool) override { return null(); }
  bool number_integer(Json::number_integer_t n) override { return take_number({}, std::to_string(n)); }
  bool number_unsigned(Json::number_unsigned_t n) override { return take_number(n, std::to_string(n)); }
  bool number_float(Json::number_float_t, const std::string& text) override { return take_number({}, text); }
  bool string(std::string& text) override {
    return take({.kind = Value::Kind::text, .natural = {}, .text = std::move(text), .list = {}});
  }
  bool binary(Json::binary_t&) override { return null(); }
  bool start_object(std::size_t) override { return open(Value::Kind::other); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override {
    if (depth_ == 0) throw not_an_object();
    if (depth_ == 1) throw not_described();
    return open(Value::Kind::list);
  }
  bool end_array() override { return close(); }
  bool key(std::string& key) override {
    if (!(depth_ == 1 ? outer_keys_ : inner_keys_).insert(key).second)
      throw Error("its header names '" + shown(key) + "' twice");
    if (outer_keys_.size() > most_arrays) throw Error(fmt::format("it has more than {} arrays", most_arrays));
    if (inner_keys_.size() > most_metadata) throw Error("its metadata has too many entries");
    if (depth_ <= 2) (depth_ == 1 ? name_ : field_) = std::move(key);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    throw Error("its header is not JSON: it is not a safetensors file, or is damaged");
  }

 private:
  static Error not_an_object() { return Error("its header is not a JSON object"); }
  Error not_described() const {
    return in_metadata() ? Error("its metadata is not an object")
                         : Error("tensor '" + shown(name_) + "' is not described by an object");
  }
  bool in_metadata() const { return name_ == "__metadata__"; }

  bool open(Value::Kind kind) {
    if (depth_ == 3) throw Error("its header is nested too deeply");
    if (depth_ == 2) take({.kind = kind, .natural = {}, .text = {}, .list = {}});
    if (depth_ == 1) {
      inner_keys_.clear();
      description_ = {};
    }
    ++depth_;
    return true;
  }
  bool close() {
    --depth_;
    if (depth_ == 1 && !in_metadata()) header.entries.push_back(entry_of(name_, description_));
    return true;
  }
  bool take_number(std::optional<std::uint64_t> natural, std::string text) {
    return take({.kind = Value::Kind::number, .natural = natural, .text = std::move(text), .list = {}});
  }
  bool take(Value value) {
    if (depth_ == 0) throw not_an_object();
    if (depth_ == 1) throw not_described();
    if (in_metadata()) {
      if (value.kind != Value::Kind::text || depth_ != 2)
        throw Error("its metadata '" + shown(field_) + "' is not text");
      header.metadata[field_] = std::move(value.text);
    } else if (Value* field = description_.find(field_)) {
      if (depth_ == 2)
        *field = std::move(value);
      else
        field->list.push_back(value.natural);
      if (field->list.size() > most_values) throw Error("a list in its header is too long");
    }
    return true;
  }

  int depth_ = 0;
  std::set<std::string> outer_keys_, inner_keys_;
  std::string name_, field_;
  Description description_;
};

}  // namespace

Header parse_header(std::string_view text) {
  HeaderReader reader;
  Json::sax_parse(text, &reader);
  return std::move(reader.header);
}

}  // namespace rw::detail
