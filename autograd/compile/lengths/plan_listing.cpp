#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <unordered_map>

#include <rewind/autograd/compile/lengths/plan_listing.h>
#include <rewind/core/gemm/packed.h>

namespace rw::ir {
namespace {

using Word = std::int64_t;

/// What a record of a plan is: its first word.
enum class About : std::uint8_t { buffer, product, pack, kernel, generic, operand, copy, result, gradient };

// Lowering asks this of lengths that lie between two bounds: the answer must be the same at all lengths of a pattern.
template <class Product>
bool may_be_packed(const Product& p, const LoweredBy& by) {
  return p.dtype == DType::f32 && detail::suits_packed_gemm(p.tb, p.m, p.n, p.k, by.packed_rows);
}

}  // namespace

/// Writes records of a plan.
class PlanWriter {
 public:
  PlanWriter(const Plan& plan, Dictionary& words, const LoweredBy& by) : p_(plan), words_(words), by_(by) {}

  Listing run(std::string& why) {
    why = refused();
    if (!why.empty()) return {};
    for (const Layout::Buffer& b : p_.layout.buffers) {
      begin(About::buffer);
      to_.fixed(b.lane);
      to_.fixed(op_at(b.first));  // which tells one buffer of a step from another
      to_.fixed(op_at(b.last));
      to_.number(static_cast<Word>(b.bytes));
      to_.number(b.first);
      to_.number(b.last);
      to_.end();
    }
    for (const Plan::Step& s : p_.steps) step(s);
    for (const Plan::Value& held : p_.results) {
      begin(About::result);
      value(held);
      to_.end();
    }
    for (std::size_t i = 0; i < p_.added.size(); ++i) {
      begin(About::gradient);
      to_.fixed(words_.parameter(p_.graph.store->parameters[p_.graph.effects[i].parameter]));
      to_.fixed(p_.direct[i] ? 1 : 0);
      value(p_.added[i]);
      to_.end();
    }
    return std::move(to_);
  }

 private:
  std::string refused() const { return p_.bf16_products.empty() ? "" : "products are in bf16"; }

  Word op_at(NodeId i) const { return i < p_.graph.size() ? std::bit_cast<Word>(p_.graph.nodes[i].info) : 0; }

  void begin(About about) {
    to_.begin();
    to_.fixed(static_cast<Word>(about));
  }

  void place(const Place& place) {
    Word number = place.id;
    if (place.base == Base::parameter || place.base == Base::gradient)
      number = words_.parameter(p_.graph.store->parameters[place.id]);
    if (place.base == Base::constant) number = words_.constant(p_.graph.store->constants[place.id]);
    to_.fixed(static_cast<Word>(place.base));
    to_.number(place.base == Base::none ? 0 : number);
    to_.number(place.offset);
    to_.number(place.stride);
  }

  void pointer(std::uint32_t i) { place(p_.pointers[i]); }

  void dims(const Shape& shape, DType dtype) {
    to_.fixed(shape.rank());
    to_.fixed(static_cast<Word>(dtype));
    for (const std::int32_t d : shape) to_.number(d);
  }

  void value(const Plan::Value& held) {
    dims(held.shape, held.dtype);
    place(held.place);
  }

  void view(const ConstView& v) {
    dims(v.shape, v.dtype);
    to_.number(v.stride);
  }

  void step(const Plan::Step& s) {
    switch (s.kind) {
      case Plan::Kind::product: product(p_.products[s.index], s.pointer); break;
      case Plan::Kind::pack: pack(p_.packs[s.index], s.pointer); break;
      case Plan::Kind::kernel: kernel(p_.programs[p_.calls[s.index]], s.pointer); break;
      case Plan::Kind::generic: generic(p_.generics[s.index], s.pointer); break;
      case Plan::Kind::copy:
        begin(About::copy);
        for (std::uint32_t k = 0; k < 2; ++k) view(p_.views[s.index + k]), pointer(s.pointer + k);
        break;
    }
    to_.end();
  }

  void product(const Plan::Product& p, std::uint32_t at) {
    begin(About::product);
    for (const bool flag : {p.ta, p.tb, p.add}) to_.fixed(flag);
    to_.fixed(static_cast<Word>(p.dtype));
    to_.fixed(p.packed == no_pack ? -1 : static_cast<Word>(p.packed));
    to_.fixed(may_be_packed(p, by_));
    for (const Index n : {p.m, p.n, p.k, p.lda, p.ldb, p.ldc}) to_.number(n);
    for (std::uint32_t k = 0; k < 3; ++k) pointer(at + k);
  }

  void pack(const Plan::Pack& p, std::uint32_t at) {
    Word parameter = -1;
    for (const auto& data : p_.graph.store->parameters)
      if (data.get() == p.parameter) parameter = words_.parameter(data);
    begin(About::pack);
    to_.fixed(p.tb);
    to_.fixed(parameter);
    for (const Index n : {p.k, p.n, p.ldb}) to_.number(n);
    pointer(at);
  }

  void kernel(const KernelProgram& program, std::uint32_t at) {
    begin(About::kernel);
    to_.fixed(words_.program(program, p_.graph.store));
    to_.number(program.rows);
    to_.number(program.cols);
    for (std::uint32_t k = 0; k < program.operands.size(); ++k) pointer(at + k);
    for (const double c : program.constants) to_.real(c);
  }

  // Operands are records of their own: a stack has as many as there are steps.
  void generic(const Plan::Generic& g, std::uint32_t at) {
    for (std::uint32_t k = 0; k < g.inputs; ++k) {
      begin(About::operand);
      view(p_.views[g.first + k]), pointer(at + k);
      to_.end();
    }
    begin(About::generic);
    to_.fixed(std::bit_cast<Word>(g.info));
    to_.number(g.inputs);
    view(p_.views[g.first + g.inputs]), pointer(at + g.inputs);
    if (g.info == &op_info<Fill>()) return to_.real(static_cast<const Fill*>(g.op)->value);
    for (std::size_t byte = 0; byte < g.info->attribute_size; byte += sizeof(Word)) {
      Word word = 0;
      std::memcpy(&word, static_cast<const char*>(g.op) + byte, std::min(sizeof word, g.info->attribute_size - byte));
      to_.number(word);
    }
  }

  const Plan& p_;
  Dictionary& words_;
  LoweredBy by_;
  Listing to_;
};

/// Makes a plan of records.
class PlanReader {
 public:
  PlanReader(Plan& plan, const Dictionary& words, const LoweredBy& by) : p_(plan), words_(words), by_(by) {}

  /// Whether the plan is still what lowering would make.
  bool read(const Pattern::Line& line) {
    line_ = &line;
    fixed_ = 1;
    number_ = 0;
    const auto about = static_cast<About>(line.fixed[0]);
    switch (about) {
      case About::buffer: buffer(); break;
      case About::product: product(); break;
      case About::pack: pack(); break;
      case About::kernel: kernel(); break;
      case About::operand: view(), pointer(); break;
      case About::generic: generic(); break;
      case About::copy: copy(); break;
      case About::result: p_.results.push_back(value()); break;
      case About::gradient: gradient(); break;
    }
    return fits_;
  }

  // Addresses by the same sweep as of any plan, so that they are those that it gives.
  void end() {
    assign_addresses(p_.layout, by_.reuse);
    p_.shrink();
    if (!p_.steps.empty()) p_.sections.push_back({0, static_cast<std::uint32_t>(p_.steps.size()), nullptr});
  }

 private:
  Word fixed() { return line_->fixed[fixed_++]; }
  Word number() { return line_->numbers[number_++]; }

  void buffer() {
    Layout::Buffer b;
    b.lane = static_cast<std::uint32_t>(fixed());
    b.bytes = static_cast<std::size_t>(number());
    b.first = static_cast<NodeId>(number());
    b.last = static_cast<NodeId>(number());
    p_.layout.buffers.push_back(b);
  }

  Place place(Word base) {
    Place out{static_cast<Base>(base), static_cast<std::uint32_t>(number()), 0, 0};
    out.offset = number();
    out.stride = number();
    return out;
  }

  void pointer() { p_.pointers.push_back(place(fixed())); }

  Shape shape(DType& dtype) {
    const auto rank = static_cast<std::size_t>(fixed());
    dtype = static_cast<DType>(fixed());
    std::array<Index, max_rank> dims{};
    for (std::size_t k = 0; k < rank; ++k) dims[k] = number();
    return Shape(std::span<const Index>(dims.data(), rank));
  }

  Plan::Value value() {
    Plan::Value held;
    held.shape = shape(held.dtype);
    held.place = place(fixed());
    return held;
  }

  void view() {
    DType dtype{};
    const Shape s = shape(dtype);
    p_.views.push_back({nullptr, s, number(), dtype});
  }

  void step(Plan::Kind kind, std::size_t index) {
    p_.steps.push_back({kind, static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(p_.pointers.size())});
  }

  void product() {
    Plan::Product p;
    for (bool* flag : {&p.ta, &p.tb, &p.add}) *flag = fixed() != 0;
    p.dtype = static_cast<DType>(fixed());
    const Word packed = fixed();
    const bool suits = fixed() != 0;
    for (Index* n : {&p.m, &p.n, &p.k, &p.lda, &p.ldb, &p.ldc}) *n = number();
    fits_ = fits_ && suits == may_be_packed(p, by_);
    if (packed >= 0) p.packed = static_cast<std::uint32_t>(packed);
    std::uint32_t& last = last_of(line_->number).index;
    if (last == nothing || !(p_.products[last] == p)) {
      last = static_cast<std::uint32_t>(p_.products.size());
      p_.products.push_back(p);
    }
    step(Plan::Kind::product, last);
    for (int k = 0; k < 3; ++k) pointer();
  }

  void pack() {
    Plan::Pack p;
    p.tb = fixed() != 0;
    const Word parameter = fixed();
    if (parameter >= 0) p.parameter = words_.parameters()[static_cast<std::size_t>(parameter)].get();
    for (Index* n : {&p.k, &p.n, &p.ldb}) *n = number();
    step(Plan::Kind::pack, p_.packs.size());
    p_.packs.push_back(p);
    pointer();
  }

  void kernel() {
    const Word what = fixed();
    const Index rows = number(), cols = number();
    step(Plan::Kind::kernel, p_.calls.size());
    const KernelProgram& like = words_.program(what);
    fits_ = fits_ && (!like.by_rows || cols <= most_summed);
    Last& last = last_of(line_->number);
    if (last.rows == rows && last.cols == cols) {  // as at the step before
      for (std::size_t k = 0; k < like.operands.size(); ++k) pointer();
      p_.calls.push_back(last.index);
      return;
    }
    KernelProgram program = with_lengths(like, rows, cols);
    for (std::size_t k = 0; k < program.constants.size(); ++k)
      program.constants[k] = std::bit_cast<double>(line_->reals[k]);
    const bool fills = program.fills_vectors();
    for (std::size_t k = 0; k < program.operands.size(); ++k) {
      pointer();
      if (fills) program.room[k] = last_has_room(program, k);
    }
    const std::uint32_t number = share(what, std::move(program));
    if (!fills) last = {number, rows, cols};  // who has room may change with the step
    p_.calls.push_back(number);
  }

  bool last_has_room(const KernelProgram& program, std::size_t operand) const {
    const OperandKind kind = program.operands[operand];
    const auto size = static_cast<Index>(size_of(program.dtype));
    Index elements = 1;
    if (kind == OperandKind::full || kind == OperandKind::output) elements = program.rows * program.cols;
    if (kind == OperandKind::row) elements = program.cols;
    if (kind == OperandKind::rows) elements = program.rows_of[operand].taken(program.rows) * program.cols;
    if (kind == OperandKind::column || kind == OperandKind::output_column) elements = program.rows;
    const Place& last = p_.pointers.back();
    return has_room(p_.layout, *p_.graph.store, last, last.offset, elements * size);
  }

  std::uint32_t share(Word what, KernelProgram program) {
    const auto [begin, end] = known_.equal_range(what);
    for (auto at = begin; at != end; ++at) {
      const KernelProgram& p = p_.programs[at->second];
      if (p.rows == program.rows && p.cols == program.cols && p.room == program.room &&
          (p.constants.empty() ||
           std::memcmp(p.constants.data(), program.constants.data(), p.constants.size() * sizeof(double)) == 0))
        return at->second;
    }
    program.finish();
    p_.programs.push_back(std::move(program));
    const auto number = static_cast<std::uint32_t>(p_.programs.size() - 1);
    known_.emplace(what, number);
    return number;
  }

  void generic() {
    Plan::Generic g{};
    g.info = std::bit_cast<const OpInfo*>(fixed());
    g.inputs = static_cast<std::uint32_t>(number());
    g.first = static_cast<std::uint32_t>(p_.views.size()) - g.inputs;
    step(Plan::Kind::generic, p_.generics.size());
    p_.steps.back().pointer -= g.inputs;
    view(), pointer();
    const Fill fill{p_.views.back().shape, line_->reals.empty() ? 0 : std::bit_cast<double>(line_->reals[0])};
    const void* op = g.info == &op_info<Fill>() ? static_cast<const void*>(&fill) : line_->numbers.data() + number_;
    std::uint32_t& last = last_of(line_->number).index;
    if (last != nothing && is_again(p_.generics[last], g, op)) {
      p_.views.resize(g.first);
      p_.steps.back().index = last;
      return;
    }
    last = static_cast<std::uint32_t>(p_.generics.size());
    static constexpr char none = 0;
    g.op = &none;
    if (g.info->attribute_size > 0) {
      void* copy = p_.attributes->allocate(g.info->attribute_size);
      std::memcpy(copy, op, g.info->attribute_size);
      g.op = copy;
    }
    p_.generics.push_back(g);
  }

  // Whether an op of these attributes, and of the views that were written last, does what `known` does elsewhere.
  bool is_again(const Plan::Generic& known, const Plan::Generic& g, const void* op) const {
    return known.inputs == g.inputs && same_views(known.first, g.first, g.inputs + 1) &&
           (g.info->attribute_size == 0 || std::memcmp(known.op, op, g.info->attribute_size) == 0);
  }
  bool same_views(std::uint32_t known, std::uint32_t now, std::uint32_t count) const {
    return std::equal(p_.views.begin() + known, p_.views.begin() + known + count, p_.views.begin() + now,
                      [](const ConstView& a, const ConstView& b) {
                        return a.shape == b.shape && a.stride == b.stride && a.dtype == b.dtype;
                      });
  }

  void copy() {
    const auto now = static_cast<std::uint32_t>(p_.views.size());
    step(Plan::Kind::copy, now);
    for (int k = 0; k < 2; ++k) view(), pointer();
    std::uint32_t& last = last_of(line_->number).index;
    if (last == nothing || !same_views(last, now, 2)) {
      last = now;
      return;
    }
    p_.views.resize(now);
    p_.steps.back().index = last;
  }

  void gradient() {
    const auto parameter = static_cast<std::uint32_t>(fixed());
    p_.direct.push_back(fixed() != 0);
    p_.added.push_back(value());
    p_.graph.effects.push_back({parameter, no_node});
  }

  Plan& p_;
  const Dictionary& words_;
  LoweredBy by_;
  bool fits_ = true;
  const Pattern::Line* line_ = nullptr;
  std::size_t fixed_ = 0, number_ = 0;
  std::unordered_multimap<Word, std::uint32_t> known_;
  /// What a line was at its last step, in the list of its kind: steps that do the same share it. For a kernel its
  /// program, and the lengths of that.
  static constexpr std::uint32_t nothing = 0xffffffff;
  struct Last {
    std::uint32_t index = nothing;
    Index rows = -1, cols = -1;
  };
  Last& last_of(std::size_t line) {
    if (last_.size() <= line) last_.resize(line + 1);
    return last_[line];
  }
  std::vector<Last> last_;
};

Listing list(const Plan& plan, Dictionary& words, std::string& why, const LoweredBy& by) {
  return PlanWriter(plan, words, by).run(why);
}

std::optional<Plan> plan_of(const Pattern& pattern, std::int64_t length, const Slots& slots, const Dictionary& words,
                            const std::shared_ptr<Store>& store, DType real, const LoweredBy& by) {
  Plan plan;
  plan.graph.store = store;
  plan.graph.real = real;
  plan.attributes = std::make_unique<Arena>();
  PlanReader reader(plan, words, by);
  if (!pattern.each(length, slots, [&](const Pattern::Line& line) { return reader.read(line); })) return std::nullopt;
  reader.end();
  return plan;
}

}  // namespace rw::ir
