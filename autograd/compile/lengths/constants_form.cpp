#include <bit>
#include <unordered_map>

#include <rewind/autograd/compile/lengths/constants_form.h>

namespace rw::ir {
namespace {

bool is_looked_at(std::int64_t word) {
  const auto value = std::bit_cast<double>(word);
  return value == 0 || value == 1;
}

}  // namespace

ConstantsForm::ConstantsForm(const Slots& slots) : values_(slots), same_(slots.size()) {
  std::unordered_map<std::int64_t, std::uint32_t> first;
  for (const std::int64_t word : slots)
    alike_.push_back(first.emplace(word, static_cast<std::uint32_t>(alike_.size())).first->second);
}

std::optional<ConstantsForm> ConstantsForm::of(const Slots& a, const Slots& b) {
  ConstantsForm form(a);
  if (!form.has(b)) return {};
  for (std::size_t i = 0; i < a.size(); ++i) form.same_[i] = a[i] == b[i];
  return form;
}

bool ConstantsForm::has(const Slots& slots) const {
  if (slots.size() != values_.size() || ConstantsForm(slots).alike_ != alike_) return false;
  for (std::size_t i = 0; i < slots.size(); ++i)
    if (slots[i] != values_[i] && (same_[i] || is_looked_at(slots[i]) || is_looked_at(values_[i]))) return false;
  return true;
}

}  // namespace rw::ir
