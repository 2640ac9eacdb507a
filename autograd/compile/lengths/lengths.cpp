#include <algorithm>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include <rewind/autograd/compile/lengths/lengths.h>
#include <rewind/autograd/compile/lengths/plan_listing.h>
#include <rewind/autograd/detail/tape_data.h>

namespace rw::ir {
namespace {

constexpr std::size_t most_families = 16, most_lone = 4, most_ranges = 32, least_samples = 3;
// Where the forms of plans change with the length, each form takes samples of its own; of long programs only a few.
constexpr std::size_t few_samples = 6, most_samples = 48, most_sample_words = std::size_t{1} << 23;
constexpr std::int64_t longest = 1 << 20;  // nodes of a trace that is kept as a list
constexpr int patience = 3;                // lengths beyond all others that are compiled before one ahead of them is

// Keeps the newest.
template <class T>
void keep(std::vector<T>& all, std::size_t most) {
  if (all.size() > most) all.erase(all.begin());
}

std::shared_ptr<const Store> names_of(const Tape& tape) {
  auto names = std::make_shared<Store>();
  names->scopes = tape.data().scopes;
  names->scope_names = tape.data().scope_names;
  return names;
}

}  // namespace

Lengths::Lengths(const CompileOptions& options)
    : by_{options.passes.has(Pass::reuse), static_cast<Index>(choices_of(options).packed_rows)} {}

Lengths::Found Lengths::find(const Recorded& recorded) {
  Found found;
  found.length = recorded.length();
  for (const auto& family : families_) {
    if (family->real != recorded.tape.dtype() || !matches(family->trace, recorded, *words_, found.own)) continue;
    found.family = family;
    const Slots slots = slots_of(*family, found.length, found.own);
    for (const Family::Range& range : family->ranges) {
      if (found.length < range.low || found.length > range.high || !range.plan.has(found.length) ||
          !range.form.has(slots))
        continue;
      store_->parameters = words_->parameters();
      for (std::size_t i = store_->constants.size(); i < words_->constants().size(); ++i)
        store_->constants.push_back(words_->constants()[i]);
      memory_->reserve(range.bytes);  // at once
      auto plan = plan_of(range.plan, found.length, slots, *words_, store_, family->real, by_);
      if (!plan.has_value()) continue;
      found.plan = std::make_unique<Executor>(std::move(*plan), memory_);
      return found;
    }
    found.why = "of this program too few plans are known that have the same form, one shorter and one longer";
    return found;
  }
  found.why = "no other length of what was recorded is known, or it is no other length: steps do not follow one rule";
  return found;
}

// Models that are gone, constants of one call: what is in use is learned again. Plans keep what they have.
void Lengths::forget_all() {
  families_.clear();
  lone_.clear();
  words_ = std::make_shared<Dictionary>();
  store_ = std::make_shared<Store>();
}

void Lengths::learn(const Recorded& recorded, Found& found, const Plan& plan) {
  std::string refused;
  Listing listing;
  if (words_->full(recorded.tape.data().leaves.size())) {
    forget_all();
    found.family = nullptr;
  }
  if (recorded.length() >= longest) return;
  const bool lanes = plan.has_lanes();
  if (!lanes) listing = list(plan, *words_, refused, by_);
  if (!refused.empty()) found.why = refused;
  if (listing.records.empty() && !lanes) return;
  if (found.family != nullptr) {
    Family& family = *found.family;
    family.longer += found.length > family.high ? 1 : 0;
    family.shorter += found.length < family.low ? 1 : 0;
    family.lanes = family.lanes || lanes;
    if (lanes) return family.wanted.push_back(found.length);
    return add(family,
               {found.length, slots_of(family, found.length, found.own), std::move(listing), plan.layout.arena});
  }
  Lone lone{list(recorded, *words_), std::move(listing), recorded.length(), recorded.tape.dtype(), plan.layout.arena};
  found.family = new_family(recorded, lone, found.own);
  if (found.family != nullptr) return;
  lone_.push_back(std::move(lone));
  keep(lone_, most_lone);
}

std::vector<std::int64_t> Lengths::take_wanted(const Found& found) {
  return found.family == nullptr ? std::vector<std::int64_t>() : std::exchange(found.family->wanted, {});
}

std::optional<std::int64_t> Lengths::try_ahead(const Found& found) {
  if (found.family == nullptr) return {};
  Family& family = *found.family;
  const bool up = found.length == family.high && family.longer >= patience && 2 * found.length < longest;
  const bool down = found.length == family.low && family.shorter >= patience;
  if (!up && !down) return {};
  for (std::int64_t length = up ? 2 * found.length : found.length / 2; length != found.length; length += up ? -1 : 1)
    if (family.trace.has(length)) {
      (up ? family.high : family.low) = length;
      return length;
    }
  return {};
}

void Lengths::learn_ahead(const Found& found, std::int64_t length, const Plan& plan) {
  std::string refused;
  Listing listing = list(plan, *words_, refused, by_);
  if (listing.records.empty()) return;
  // No bytes: memory for values is made when there are any.
  add(*found.family, {length, slots_of(*found.family, length, found.own), std::move(listing), 0});
}

bool Lengths::extend(const Found& found, std::int64_t low, std::int64_t to) {
  if (found.family == nullptr) return false;
  for (Family::Range& range : found.family->ranges) {
    if (range.low > low || range.high < found.length) continue;
    // What is known there has another form: a choice that passes did not tell of.
    const auto beyond = [&](std::int64_t length) { return length > range.high && length <= to; };
    for (const Family::Sample& s : found.family->samples)
      if (beyond(s.length)) return false;
    for (const Family::Range& r : found.family->ranges)
      if (beyond(r.low)) return false;
    range.high = std::max(range.high, to);
    return true;
  }
  return false;
}

// Of this trace and one that was no length of another so far.
std::shared_ptr<Lengths::Family> Lengths::new_family(const Recorded& recorded, Lone& lone, Slots& own) {
  for (auto other = lone_.rbegin(); other != lone_.rend(); ++other) {
    if (other->real != lone.real || other->length == lone.length) continue;
    auto pattern = Pattern::find({lone.trace, lone.length}, {other->trace, other->length}, Pattern::Reals::are_slots);
    if (!pattern.has_value()) continue;
    auto family = std::make_shared<Family>();
    family->trace = std::move(*pattern);
    family->words = words_;
    family->names = names_of(recorded.tape);
    family->real = lone.real;
    family->number = ++made_;
    std::tie(family->low, family->high) = std::minmax(lone.length, other->length);
    for (Lone* one : {&*other, &lone}) {
      own = family->trace.slots_of({one->trace, one->length}).value();
      if (one->plan.records.empty()) {
        family->lanes = true;
        family->wanted.push_back(one->length);
      } else {
        add(*family, {one->length, slots_of(*family, one->length, own), std::move(one->plan), one->bytes});
      }
    }
    lone_.erase(std::next(other).base());
    families_.push_back(family);
    keep(families_, most_families);
    return family;
  }
  return nullptr;
}

void Lengths::add(Family& family, Family::Sample sample) {
  family.low = std::min(family.low, sample.length);
  family.high = std::max(family.high, sample.length);
  const auto between = [](std::int64_t at, std::int64_t low, std::int64_t high) { return at > low && at < high; };
  for (Family::Range& range : family.ranges) {
    const std::int64_t low = std::min(range.low, sample.length), high = std::max(range.high, sample.length);
    bool others = false;  // between, of another form
    for (const Family::Sample& s : family.samples) others = others || between(s.length, low, high);
    for (const Family::Range& r : family.ranges)
      others = others || (&r != &range && (between(r.low, low, high) || between(r.high, low, high)));
    if (others || !range.form.has(sample.slots) || !range.plan.fits(sample.view())) continue;
    range.low = low;
    range.high = high;
    range.bytes = std::max(range.bytes, sample.bytes);
    return;
  }
  // It may have been forgotten and compiled again.
  std::erase_if(family.samples, [&](const auto& s) { return s.length == sample.length && s.plan == sample.plan; });
  family.samples.push_back(std::move(sample));
  find_range(family);
  keep_samples(family);
}

void Lengths::keep_samples(Family& family) {
  std::size_t words = 0;
  for (const Family::Sample& s : family.samples) words += s.plan.words.size();
  while (family.samples.size() > few_samples && (family.samples.size() > most_samples || words > most_sample_words)) {
    words -= family.samples.front().plan.words.size();
    family.samples.erase(family.samples.begin());
  }
}

// Two plans that give a pattern, and a third one that fits it, with none between them that does not. Those without the
// newest one have been looked at.
void Lengths::find_range(Family& family) {
  std::vector<const Family::Sample*> all;
  for (const Family::Sample& s : family.samples) all.push_back(&s);
  const Family::Sample* const newest = all.back();
  std::stable_sort(all.begin(), all.end(), [](const auto* a, const auto* b) { return a->length < b->length; });
  const auto at = static_cast<std::size_t>(std::find(all.begin(), all.end(), newest) - all.begin());
  for (std::size_t first = at < least_samples ? 0 : at - least_samples + 1;
       first <= at && first + least_samples <= all.size(); ++first) {
    const Family::Sample &a = *all[first], &b = *all[first + 1];
    const auto form = ConstantsForm::of(a.slots, b.slots);
    if (a.length == b.length || !form.has_value()) continue;
    auto pattern = Pattern::find(a.view(), b.view(), Pattern::Reals::from_slots);
    if (!pattern.has_value()) continue;
    std::size_t end = first + 2;
    while (end < all.size() && form->has(all[end]->slots) && pattern->fits(all[end]->view())) ++end;
    if (end - first < least_samples) continue;
    const std::int64_t low = a.length, high = all[end - 1]->length;
    std::size_t bytes = 0;
    for (std::size_t i = first; i < end; ++i) bytes = std::max(bytes, all[i]->bytes);
    family.ranges.push_back({std::move(*pattern), *form, low, high, bytes});
    keep(family.ranges, most_ranges);
    std::erase_if(family.samples, [&](const auto& s) { return s.length >= low && s.length <= high; });
    return;
  }
}

Graph Lengths::traced(const Found& found, std::int64_t length) const {
  return unfold(found.family->trace, length, found.own, *found.family->words, found.family->real, *found.family->names);
}

}  // namespace rw::ir
