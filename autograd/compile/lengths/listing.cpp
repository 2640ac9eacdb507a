#include <algorithm>

#include <rewind/autograd/attributes.h>
#include <rewind/autograd/compile/lengths/listing.h>

namespace rw::ir {

void Listing::end() {
  Record& r = records.back();
  r.numbers = static_cast<std::uint32_t>(numbers_.size());
  r.reals = static_cast<std::uint32_t>(reals_.size());
  r.key = detail::mix(detail::mix(r.numbers, r.reals), r.fixed);
  for (const std::int64_t word : fixed(r)) r.key = detail::mix(r.key, static_cast<std::uint64_t>(word));
  words.insert(words.end(), numbers_.begin(), numbers_.end());
  words.insert(words.end(), reals_.begin(), reals_.end());
  numbers_.clear();
  reals_.clear();
}

bool Listing::same_kind(const Record& r, const Listing& other, const Record& o) const {
  return r.key == o.key && r.numbers == o.numbers && r.reals == o.reals && std::ranges::equal(fixed(r), other.fixed(o));
}

bool Listing::operator==(const Listing& other) const {
  return words == other.words && std::ranges::equal(records, other.records, [](const Record& a, const Record& b) {
           return a.fixed == b.fixed && a.numbers == b.numbers && a.reals == b.reals;
         });
}

}  // namespace rw::ir
