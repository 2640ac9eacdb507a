#include <algorithm>
#include <array>
#include <cmath>

#include <rewind/autograd/compile/choices/choices.h>
#include <rewind/core/error.h>

namespace rw::ir {
namespace {

using Field = NumberField<Choices>;

constexpr std::array<Field, 10> all_choice_fields{{
    {"one_thread", &Choices::one_thread, 0, 1, true, true, Field::Decides::threads},
    {"branch_from", &Choices::branch_from, 0, never, false, true, Field::Decides::threads},
    {"kernel_share_from", &Choices::kernel_share_from, 1, never, true, true, Field::Decides::threads},
    {"product_share_from", &Choices::product_share_from, 1, never, true, true, Field::Decides::threads},
    {"short_from", &Choices::short_from, 1, never, true, true, Field::Decides::nothing},
    {"rematerialize", &Choices::rematerialize, 0, 2, true},
    {"chunk_from", &Choices::chunk_from, 0, never, false, false},
    {"chunk_rows", &Choices::chunk_rows, 1, never, true, false},
    {"pack_from", &Choices::pack_from, 1, never, true, false},
    {"packed_rows", &Choices::packed_rows, 4, never, true, false},
}};

// What a thread must get is as much as it takes to hand it over; the numbers above are right for the costs built in.
void share_by_costs(Choices& c) {
  const Costs builtin;
  const double hand_over = c.costs.hand_over / builtin.hand_over;
  const auto scaled = [&](double number, double cost, double builtin_cost) {
    return std::round(std::clamp(number * hand_over * builtin_cost / cost, 1.0, never));
  };
  c.kernel_share_from = scaled(c.kernel_share_from, c.costs.element, builtin.element);
  c.product_share_from = scaled(c.product_share_from, c.costs.multiplication, builtin.multiplication);
}

Choices prior(const CompileOptions& options) {
  Choices c;
  c.costs = machine_costs().costs;
  c.branch_from = c.chunk_from = std::min(never, std::max(0.0, options.branch_from));
  share_by_costs(c);
  return c;
}

}  // namespace

std::span<const NumberField<Choices>> choice_fields() { return all_choice_fields; }

std::string choices_text(Choices choices) {
  return numbers_text(named(choices, choice_fields())) + " | " + numbers_text(named(choices.costs, cost_fields()));
}

Choices choices_of(const CompileOptions& options) {
  Choices out = prior(options);
  const std::string_view text = options.choices;
  const std::size_t bar = std::min(text.find('|'), text.size());
  try {
    read_numbers(text.substr(0, bar), named(out, choice_fields()));
    read_numbers(text.substr(std::min(bar + 1, text.size())), named(out.costs, cost_fields()));
  } catch (const Error& e) {
    throw Error(std::string("compile: CompileOptions::choices: ") + e.what() +
                ": give what choices() of a compiled function wrote");
  }
  return out;
}

}  // namespace rw::ir
