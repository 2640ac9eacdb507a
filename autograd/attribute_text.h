#pragma once

#include <array>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>

#include <rewind/autograd/text_reader.h>
#include <rewind/core/fields.h>

namespace rw::detail {

// Attributes of ops as text, generated from their fields: whoever adds an op, or a field, has its text. An op may name
// its fields, `static constexpr std::array<std::string_view, 3> attribute_names{"axis", "start", "length"}`: then
// those that are as in a new op are left out.

template <class T>
struct IsStdArray : std::false_type {};
template <class T, std::size_t N>
struct IsStdArray<std::array<T, N>> : std::true_type {};

template <class T>
concept NumberField = std::is_arithmetic_v<T> || std::is_enum_v<T>;

template <std::size_t>
using AnyFieldAt = AnyField;

/// Whether field `At` of the aggregate T is a C array: two values in braces fit there, but not beside as many others
/// as there are when the braces are left out.
template <class T, std::size_t At, std::size_t... Before, std::size_t... After>
constexpr bool is_c_array(std::index_sequence<Before...>, std::index_sequence<After...>) {
  constexpr bool takes_two = requires { T{AnyFieldAt<Before>{}..., {AnyField{}, AnyField{}}}; };
  constexpr bool beside_others = requires {
    T{AnyFieldAt<Before>{}..., {AnyField{}, AnyField{}}, AnyFieldAt<After>{}...};
  };
  return takes_two && !beside_others;
}
template <class T, std::size_t... At>
constexpr bool has_c_array(std::index_sequence<At...>) {
  constexpr std::size_t n = sizeof...(At);
  return (is_c_array<T, At>(std::make_index_sequence<At>(), std::make_index_sequence<n - At - 1>()) || ...);
}

/// Whether `fields` can visit T; false for classes with private members, many fields or C arrays.
template <class T>
constexpr bool has_fields() {
  if constexpr (!std::is_class_v<T> || !std::is_aggregate_v<T>)
    return false;
  else if constexpr (count_fields<T>() > max_fields)
    return false;
  else
    return !has_c_array<T>(std::make_index_sequence<count_fields<T>()>());
}

template <class T>
constexpr bool has_text();
template <class... T>
constexpr bool all_have_text(const std::tuple<T&...>*) {
  return (has_text<std::remove_const_t<T>>() && ...);
}
/// Whether a field, or an op, can be written and read.
template <class T>
constexpr bool has_text() {
  if constexpr (NumberField<T> || std::is_same_v<T, Shape>)
    return true;
  else if constexpr (IsStdArray<T>::value)
    return has_text<typename T::value_type>();
  else if constexpr (!has_fields<T>())
    return false;
  else if constexpr (count_fields<T>() == 0 || std::is_empty_v<T>)
    return true;
  else
    return all_have_text(static_cast<const decltype(fields(std::declval<const T&>()))*>(nullptr));
}

template <class T>
void write_field(std::string& out, const T& x) {
  if constexpr (std::is_same_v<T, bool>) {
    out += x ? "true" : "false";
  } else if constexpr (std::is_enum_v<T>) {
    write_field(out, static_cast<std::underlying_type_t<T>>(x));
  } else if constexpr (std::is_integral_v<T>) {
    out += std::to_string(x);
  } else if constexpr (std::is_floating_point_v<T>) {
    write_number(out, static_cast<std::conditional_t<sizeof(T) == 4, float, double>>(x));
  } else if constexpr (std::is_same_v<T, Shape>) {
    out += x.str();
  } else if constexpr (IsStdArray<T>::value) {
    out += '[';
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (i > 0) out += ", ";
      write_field(out, x[i]);
    }
    out += ']';
  } else {
    out += '{';
    std::size_t n = 0;
    std::apply([&](const auto&... part) { ((out += n++ > 0 ? ", " : "", write_field(out, part)), ...); }, fields(x));
    out += '}';
  }
}

template <class T>
void read_field(TextReader& in, T& x) {
  if constexpr (std::is_same_v<T, bool>) {
    x = in.take("true");
    if (!x && !in.take("false")) in.fail("true or false");
  } else if constexpr (std::is_enum_v<T>) {
    std::underlying_type_t<T> number{};
    read_field(in, number);
    x = static_cast<T>(number);
  } else if constexpr (std::is_integral_v<T>) {
    TextReader before = in;
    const std::int64_t number = in.integer();
    x = static_cast<T>(number);
    if (static_cast<std::int64_t>(x) != number) before.fail("a number of " + std::to_string(8 * sizeof(T)) + " bits");
  } else if constexpr (std::is_floating_point_v<T>) {
    if constexpr (sizeof(T) == 4)
      x = in.number32();
    else
      x = static_cast<T>(in.number64());
  } else if constexpr (std::is_same_v<T, Shape>) {
    x = in.shape();
  } else if constexpr (IsStdArray<T>::value) {
    in.expect("[");
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (i > 0) in.expect(",");
      read_field(in, x[i]);
    }
    in.expect("]");
  } else {
    in.expect("{");
    std::size_t n = 0;
    const auto read = [&](auto& part) {
      if (n++ > 0) in.expect(",");
      read_field(in, part);
    };
    std::apply([&](auto&... part) { (read(part), ...); }, fields(x));
    in.expect("}");
  }
}

/// The struct whose fields are an op's attributes: what an op template wraps, or the op itself.
template <class Op>
auto& attributes_of(Op& op) {
  using Plain = std::remove_const_t<Op>;
  if constexpr (!std::is_empty_v<Plain> && count_fields<Plain>() == 1) {
    auto& [only] = op;
    using Only = std::remove_cvref_t<decltype(only)>;
    if constexpr (std::is_class_v<Only> && has_fields<Only>() && !IsStdArray<Only>::value && !std::is_empty_v<Only>)
      return attributes_of(only);
    else
      return op;
  } else {
    return op;
  }
}

template <class A, std::size_t N>
constexpr std::array<std::string_view, N> names_of_attributes() {
  if constexpr (requires { A::attribute_names; }) {
    static_assert(A::attribute_names.size() == N, "attribute_names must name each field of the op, in order");
    return A::attribute_names;
  } else {
    return {};
  }
}

/// "axis=0, start=2, length=1", or "0, 2, 1" when the fields have no names.
template <class Op>
void write_attributes(const Op& op, std::string& out) {
  const auto& attributes = attributes_of(op);
  using A = std::remove_cvref_t<decltype(attributes)>;
  if constexpr (!std::is_empty_v<A>) {
    const A otherwise{};
    const auto all = fields(attributes), usual = fields(otherwise);
    constexpr std::size_t n = std::tuple_size_v<decltype(all)>;
    constexpr auto names = names_of_attributes<A, n>();
    const std::size_t begin = out.size();
    const auto write = [&](std::string_view name, const auto& x, const auto& before) {
      std::string text, left_out;
      write_field(text, x);
      write_field(left_out, before);
      if (!name.empty() && text == left_out) return;
      if (out.size() > begin) out += ", ";
      if (!name.empty()) out.append(name) += '=';
      out += text;
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (write(names[I], std::get<I>(all), std::get<I>(usual)), ...); }
    (std::make_index_sequence<n>());
  }
}

/// Reads attributes up to the closing parenthesis, which stays, into a new op.
template <class Op>
void read_attributes(TextReader& in, Op& op) {
  auto& attributes = attributes_of(op);
  using A = std::remove_cvref_t<decltype(attributes)>;
  if constexpr (!std::is_empty_v<A>) {
    const auto all = fields(attributes);
    constexpr std::size_t n = std::tuple_size_v<decltype(all)>;
    constexpr auto names = names_of_attributes<A, n>();
    const auto read = [&](std::size_t at, auto& x) {
      const bool named = !names[at].empty();
      if (in.sees(")") && named) return;
      TextReader ahead = in;
      if (named && (ahead.take_name() != names[at] || !ahead.take("="))) return;
      if (named) in = ahead;
      read_field(in, x);
      if (!in.sees(")")) in.expect(",");
    };
    [&]<std::size_t... I>(std::index_sequence<I...>) { (read(I, std::get<I>(all)), ...); }
    (std::make_index_sequence<n>());
    if (in.sees(")")) return;
    std::string known;
    for (std::string_view name : names) known.append(known.empty() ? "" : ", ").append(name);
    in.fail(known.empty() ? "')'" : "')' or, in this order, " + known);
  }
}

}  // namespace rw::detail
