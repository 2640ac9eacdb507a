#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include <rewind/core/error.h>
#include <rewind/tools/export/weights.h>

namespace rw::detail {
namespace {

constexpr std::string_view member_types[] = {"Real", "std::int32_t", "std::int8_t"};

std::string_view type_of(const Array& a, bool int8) { return member_types[int8 ? 2 : is_real(a.dtype()) ? 0 : 1]; }

void append(std::string& to, const Member& m) {
  const auto fill = [&]<class T>(T) {
    std::vector<T> numbers(static_cast<std::size_t>(m.room));
    const std::vector<double> from = m.value.to_vector<double>();
    std::transform(from.begin(), from.end(), numbers.begin(), [](double x) { return static_cast<T>(x); });
    to.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(T));
  };
  if (m.type == member_types[2])
    fill(std::int8_t{});
  else if (m.type == member_types[1])
    fill(std::int32_t{});
  else
    visit_real(m.value.dtype(), [&]<class T>() { fill(T{}); });
}

}  // namespace

Array round_rows(Array& matrix, const std::string& name) {
  const Index rows = matrix.shape()[0], columns = matrix.shape()[1];
  Array scales(Shape{rows}, matrix.dtype());
  visit_real(matrix.dtype(), [&]<class T>() {
    for (Index r = 0; r < rows; ++r) {
      const std::span<T> row =
          matrix.span<T>().subspan(static_cast<std::size_t>(r * columns), static_cast<std::size_t>(columns));
      T most = 0;
      for (const T x : row) {
        if (!std::isfinite(x)) throw Error(fmt::format("export: {} has the number {}, which int8 cannot be", name, x));
        most = std::max(most, std::abs(x));
      }
      const T scale = most > 0 ? most / 127 : T(1);
      scales.span<T>()[static_cast<std::size_t>(r)] = scale;
      for (T& x : row) x = std::clamp(std::nearbyint(x / scale), T(-127), T(127));
    }
  });
  return scales;
}

bool has_numbers(const Array& a) {
  const auto* bytes = static_cast<const char*>(a.view().data);
  return std::any_of(bytes, bytes + static_cast<std::size_t>(a.size()) * size_of(a.dtype()),
                     [](char c) { return c != 0; });
}

std::vector<Member> members_of_weights(std::span<const Plan> plans, const std::vector<Array>& start) {
  std::vector<Member> all;
  const auto add = [&](Member m) {
    const auto same = std::find_if(all.begin(), all.end(), [&](const Member& n) { return n.name == m.name; });
    if (same == all.end())
      all.push_back(std::move(m));
    else if (same->type == m.type && same->value.shape() == m.value.shape())  // that several programs read
      same->room = std::max(same->room, m.room);
    else
      throw Error("export: there are two arrays '" + m.name + "' among the weights: give one another name");
  };
  for (std::size_t i = 0; i < start.size(); ++i)
    if (has_numbers(start[i]))
      add({std::string(type_of(start[i], false)), fmt::format("start{}", i), start[i].size(), start[i]});
  for (const Plan& plan : plans)
    for (const Buffer& b : plan.buffers) {
      if (b.kind != Buffer::Kind::weight) continue;
      if (b.int8) add({std::string(member_types[0]), b.name + "_scale", b.scales.size(), b.scales});
      add({std::string(type_of(b.value, b.int8)), b.name, std::max<Index>(b.capacity, 1), b.value, b.is_parameter});
    }
  return sorted_by_type(std::move(all));
}

std::vector<Member> sorted_by_type(std::vector<Member> all) {
  const auto place = [](const Member& m) {
    return std::find(std::begin(member_types), std::end(member_types), m.type);
  };
  std::stable_sort(all.begin(), all.end(), [&](const Member& a, const Member& b) { return place(a) < place(b); });
  return all;
}

std::string listed(const Array& a, std::string_view type, DType real) {
  constexpr std::size_t indent = 5, most = 116;
  std::string text = "{";
  std::size_t width = indent;
  for (const double x : a.to_vector<double>()) {
    const std::string number =
        type == member_types[0] ? literal(x, real) : fmt::format("{}", static_cast<std::int64_t>(x));
    const bool breaks = width + number.size() > most;
    if (text.size() > 1) text += breaks ? ",\n     " : ", ";
    width = (breaks ? indent : width) + number.size() + 2;
    text += number;
  }
  return text + (a.size() == 0 ? "0}" : "}");
}

std::uint64_t hash_of(std::string_view bytes) {
  std::uint64_t h = 0xcbf29ce484222325ull;
  for (const char c : bytes) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return h;
}

std::size_t Member::size(DType real) const {
  const std::size_t one = type == member_types[0] ? size_of(real) : type == member_types[1] ? 4 : 1;
  return static_cast<std::size_t>(room) * one;
}
std::size_t Member::alignment(DType real) const {
  constexpr std::size_t line = 64;
  return size(real) >= 4 * line ? line : size(real) / static_cast<std::size_t>(room);
}

std::string bytes_of_weights(const std::vector<Member>& members, std::uint64_t fingerprint, DType real) {
  std::string all;
  std::size_t widest = 1;
  const auto align = [&](std::size_t to) { all.append((to - all.size() % to) % to, '\0'); };
  for (const Member& m : members) {
    align(m.alignment(real));
    widest = std::max(widest, m.alignment(real));
    append(all, m);
  }
  align(widest);
  if (all.empty()) all.append(1, '\0');  // a struct of nothing takes a byte
  const std::uint64_t begin[7] = {fingerprint, all.size(), hash_of(all)};
  std::string file(weights_magic);
  file.append(reinterpret_cast<const char*>(begin), sizeof begin);
  return file + all;
}

}  // namespace rw::detail
