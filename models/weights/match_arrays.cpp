#include <map>

#include <rewind/core/error.h>
#include <rewind/core/shown.h>
#include <rewind/models/weights/match_arrays.h>

namespace rw::detail {
namespace {

// Names come from files: what a terminal would obey is written out, and of very many the first are enough.
void list(std::string& names, const std::string& name) {
  constexpr std::size_t most = 4000;
  if (names.size() < most) names += (names.empty() ? "" : ", ") + shown(name, 500);
  if (names.size() >= most && !names.ends_with("...")) names += ", ...";
}

bool fits(const Array& array, const ExpectedArray& expected) {
  if (array.shape() != expected.shape) return false;
  return expected.dtype ? array.dtype() == *expected.dtype : is_real(array.dtype());
}

std::string mismatch(const Array& array, const ExpectedArray& expected) {
  std::string text = expected.name + " (" + std::string(name_of(array.dtype())) + " " + array.shape().str() + ", not ";
  if (expected.dtype) text += std::string(name_of(*expected.dtype)) + " ";
  return text + expected.shape.str() + ")";
}

}  // namespace

std::vector<const Array*> match_arrays(std::span<const ExpectedArray> expected, std::span<const NamedArray> given,
                                       const std::string& complaint) {
  std::map<std::string, const Array*> by_name;
  for (const NamedArray& a : given) by_name[a.name] = &a.array;
  std::vector<const Array*> matched;
  std::string missing, mismatched, unexpected;
  for (const ExpectedArray& e : expected) {
    const auto found = by_name.find(e.name);
    if (found == by_name.end()) {
      list(missing, e.name);
      continue;
    }
    if (!fits(*found->second, e)) list(mismatched, mismatch(*found->second, e));
    matched.push_back(found->second);
    by_name.erase(found);
  }
  for (const auto& [name, unused] : by_name) list(unexpected, name);
  std::string text;
  for (const auto& [what, names] :
       {std::pair("missing: ", &missing), {"not expected: ", &unexpected}, {"of another shape: ", &mismatched}})
    if (!names->empty()) text += (text.empty() ? "" : "; ") + std::string(what) + *names;
  if (!text.empty()) throw Error(complaint + ": " + text);
  return matched;
}

}  // namespace rw::detail
