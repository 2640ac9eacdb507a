#include <algorithm>
#include <array>
#include <cstring>

#include <rewind/autograd/compile/kernel/copy_rows.h>
#include <rewind/autograd/compile/kernel/kernel.h>
#include <rewind/core/error.h>
#include <rewind/core/processor.h>
#include <rewind/core/reduce.h>
#include <rewind/core/threads.h>
#include <rewind/core/vector_loop.h>

namespace rw::ir {
namespace {

template <class T>
T* scratch(std::size_t elements) {
  struct Memory {
    std::vector<std::byte> bytes;
    void* aligned(std::size_t n) {
      if (bytes.size() < n + 64) bytes.resize(n + 64);
      return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(bytes.data()) + 63) / 64 * 64);
    }
  };
  thread_local Memory memory;
  return static_cast<T*>(memory.aligned(elements * sizeof(T)));
}

template <class T>
void copy_rows(Index rows, Index cols, const T* from, Index from_stride, T* to, Index to_stride) {
  constexpr auto size = static_cast<Index>(sizeof(T));
  row_copies.rows(rows, cols * size, reinterpret_cast<const std::byte*>(from), from_stride * size,
                  reinterpret_cast<std::byte*>(to), to_stride * size);
}

constexpr Index wide_row = 512;  // bytes: a loop over one row is no slower than one over several

}  // namespace

/// One run over a range of rows, or over a range of elements when no operand has gaps between its rows.
template <class T>
struct KernelProgram::Runner {
  const KernelProgram& p;
  void* const* pointers;
  const Index* strides;
  T* reg[most_registers];
  T* memory;

  Runner(const KernelProgram& program, void* const* at, const Index* stride)
      : p(program), pointers(at), strides(stride) {
    const std::size_t operands = p.operands.size(), constants = p.constants.size();
    memory = scratch<T>(p.memory_);
    for (std::size_t i = 0; i < constants; ++i)
      reg[operands + i] = const_cast<T*>(reinterpret_cast<const T*>(p.constant_blocks_.data())) +
                          i * static_cast<std::size_t>(p.block_);
    for (std::size_t i = operands + constants; i < p.registers; ++i) reg[i] = own(i);
  }

  T* own(std::size_t i) const { return memory + p.at_[i]; }
  T* data(std::size_t i) const { return static_cast<T*>(pointers[i]); }
  T* row_of(std::size_t i, Index r) const { return data(i) + p.rows_of[i].of(r) * strides[i]; }

  void execute(Index n) const {
    for (const Instruction& i : p.instructions) {
      const T* x[most_inputs] = {reg[i.in[0]], reg[i.in[1]], reg[i.in[2]], reg[i.in[3]]};
      i.loop->of<T>()(i.fn, n, x, reg[i.out]);
    }
  }

  void fill_scalars(Index n) {
    for (const std::size_t i : p.scalars_) std::fill_n(reg[i] = own(i), n, *data(i));
  }

  void flat(Index begin, Index end) {
    fill_scalars(std::min(p.block_, end - begin));
    for (Index at = begin; at < end; at += p.block_) {
      for (std::size_t i = 0; i < p.operands.size(); ++i)
        if (p.operands[i] != OperandKind::scalar) reg[i] = data(i) + at;
      execute(std::min(p.block_, end - at));
    }
  }

  // Few elements, not whole vectors: a loop's remainder takes longer than a vector of it, so that the last vector is
  // computed whole. What has no room for that is copied to where there is.
  void padded(Index n) {
    constexpr Index vector = rw::detail::vector_length<T>;
    const Index whole = (n + vector - 1) / vector * vector;
    const Index bytes = n * static_cast<Index>(sizeof(T));
    for (std::size_t i = 0; i < p.operands.size(); ++i) reg[i] = data(i);
    fill_scalars(whole);
    for (const std::size_t i : p.copied_in_)
      row_copies.fill(bytes, static_cast<const std::byte*>(pointers[i]), reinterpret_cast<std::byte*>(reg[i] = own(i)));
    for (const std::size_t i : p.copied_out_) reg[i] = own(i);
    execute(whole);
    for (const std::size_t i : p.copied_out_) copy_rows(1, n, reg[i], 0, data(i), 0);
  }

  // Wide rows: each is a few blocks, so that every operand is read and written where it stands.
  void wide(Index begin, Index end) {
    fill_scalars(std::min(p.block_, p.cols));
    for (Index r = begin; r < end; ++r) {
      for (std::size_t i = 0; i < p.operands.size(); ++i)
        if (p.operands[i] == OperandKind::column)
          std::fill_n(reg[i] = own(i), std::min(p.block_, p.cols), data(i)[r * strides[i]]);
      for (Index c = 0; c < p.cols; c += p.block_) {
        for (std::size_t i = 0; i < p.operands.size(); ++i) {
          const OperandKind kind = p.operands[i];
          if (kind == OperandKind::row) reg[i] = data(i) + c;
          if (kind == OperandKind::rows) reg[i] = row_of(i, r) + c;
          if (kind == OperandKind::full || kind == OperandKind::output) reg[i] = data(i) + r * strides[i] + c;
        }
        execute(std::min(p.block_, p.cols - c));
      }
    }
  }

  // Row by row, and block by block from one sum of the row to the next: what is one number of it stands in the first
  // element of its register.
  void by_rows(Index begin, Index end) {
    const Index n = std::min(p.block_, p.cols);
    fill_scalars(n);
    for (Index r = begin; r < end; ++r) {
      for (std::size_t i = 0; i < p.operands.size(); ++i) {
        const OperandKind kind = p.operands[i];
        if (kind == OperandKind::column) std::fill_n(reg[i] = own(i), n, data(i)[r * strides[i]]);
        if (kind == OperandKind::row) reg[i] = data(i);
        if (kind == OperandKind::rows) reg[i] = row_of(i, r);
        if (kind == OperandKind::full || kind == OperandKind::output || kind == OperandKind::output_column)
          reg[i] = data(i) + r * strides[i];
      }
      for (const RowInstructions& run : p.runs_) execute_run(run, n);
    }
  }

  void execute_run(const RowInstructions& run, Index n) const {
    const Instruction& i = p.instructions[run.begin];
    const T* x[most_inputs] = {reg[i.in[0]], reg[i.in[1]], reg[i.in[2]], reg[i.in[3]]};
    switch (i.over) {
      case Over::elements:
        for (Index c = 0; c < p.cols; c += n) execute_block(run, c, std::min(n, p.cols - c));
        break;
      case Over::rows: i.loop->of<T>()(i.fn, 1, x, reg[i.out]); break;
      case Over::sum: *reg[i.out] = static_cast<T>(T(0) + sum(x[0], p.cols)); break;
      case Over::broadcast: std::fill_n(reg[i.out], n, *x[0]); break;
    }
  }

  void execute_block(const RowInstructions& run, Index c, Index n) const {
    const auto at = [&](std::uint16_t r) { return reg[r] + (c & p.moves_[r]); };
    for (std::size_t k = run.begin; k < run.end; ++k) {
      const Instruction& i = p.instructions[k];
      const T* x[most_inputs] = {at(i.in[0]), at(i.in[1]), at(i.in[2]), at(i.in[3])};
      i.loop->of<T>()(i.fn, n, x, at(i.out));
    }
  }

  // Narrow rows: several make a block, and what has gaps between its rows is gathered and scattered.
  void narrow(Index begin, Index end) {
    const Index cols = p.cols, group = std::min(p.block_ / cols, end - begin);
    fill_scalars(group * cols);
    for (std::size_t i = 0; i < p.operands.size(); ++i) {
      if (p.operands[i] != OperandKind::row) continue;
      reg[i] = own(i);
      copy_rows(group, cols, data(i), 0, reg[i], cols);
    }
    for (Index r = begin; r < end; r += group) {
      const Index rows = std::min(group, end - r);
      for (std::size_t i = 0; i < p.operands.size(); ++i) load(i, r, rows);
      execute(rows * cols);
      for (std::size_t i = 0; i < p.operands.size(); ++i)
        if (p.operands[i] == OperandKind::output && strides[i] != cols && rows > 1)
          copy_rows(rows, cols, reg[i], cols, data(i) + r * strides[i], strides[i]);
    }
  }

  void load(std::size_t i, Index r, Index rows) {
    const OperandKind kind = p.operands[i];
    const Index cols = p.cols;
    if (kind == OperandKind::column) {
      reg[i] = own(i);
      for (Index k = 0; k < rows; ++k) std::fill_n(reg[i] + k * cols, cols, data(i)[(r + k) * strides[i]]);
    }
    if (kind == OperandKind::rows) load_rows(i, r, rows);
    if (kind != OperandKind::full && kind != OperandKind::output) return;
    if (strides[i] == cols || rows == 1) {
      reg[i] = data(i) + r * strides[i];
      return;
    }
    reg[i] = own(i);
    if (kind == OperandKind::full) copy_rows(rows, cols, data(i) + r * strides[i], strides[i], reg[i], cols);
  }

  // Some rows of the kernel that follow each other have one row of the operand, or rows that follow each other.
  void load_rows(std::size_t i, Index r, Index rows) {
    const RowsOf& which = p.rows_of[i];
    reg[i] = own(i);
    for (Index k = 0; k < rows;) {
      const Index round = which.each > 1 ? which.each : which.count, n = std::min(rows - k, round - (r + k) % round);
      copy_rows(n, p.cols, row_of(i, r + k), which.each > 1 ? 0 : strides[i], reg[i] + k * p.cols, p.cols);
      k += n;
    }
  }
};

/// So few elements that loops over vectors cost more than what they compute: one by one, in a copy of the operands.
template <class T>
struct KernelProgram::OneByOne {
  const KernelProgram& p;
  void* const* pointers;

  void run() const { return p.rows * p.cols == 1 ? of<1>() : of<2>(); }

  template <std::size_t n>
  void of() const {
    T v[most_registers * n];
    const std::size_t outputs = p.first_output_, constants = p.operands.size();
    for (std::size_t i = 0; i < outputs; ++i) {
      const std::size_t step = p.operands[i] == OperandKind::scalar ? 0 : 1;
      for (std::size_t k = 0; k < n; ++k) v[i * n + k] = static_cast<const T*>(pointers[i])[k * step];
    }
    for (std::size_t c = 0; c < p.constants.size(); ++c)
      std::fill_n(v + (constants + c) * n, n, static_cast<T>(p.constants[c]));
    for (const Short& i : p.short_form_) {
      const T *a = v + i.in[0] * n, *b = v + i.in[1] * n, *c = v + i.in[2] * n, *d = v + i.in[3] * n;
      T* const y = v + i.out * n;
      if (i.formula.left == Arithmetic::none)
        for (std::size_t k = 0; k < n; ++k) y[k] = call(p.instructions[i.like], a[k], b[k], c[k], d[k]);
      else
        for (std::size_t k = 0; k < n; ++k) y[k] = value_of(i.formula, a[k], b[k], c[k], d[k]);
    }
    for (std::size_t i = outputs; i < constants; ++i) std::copy_n(v + i * n, n, static_cast<T*>(pointers[i]));
  }

  [[gnu::noinline]] static T call(const Instruction& i, T a, T b, T c, T d) {
    if (const auto one = i.loop->one<T>()) return one(i.fn, a, b, c, d);
    const T* const x[] = {&a, &b, &c, &d};
    T y;
    i.loop->of<T>()(i.fn, 1, x, &y);
    return y;
  }
};

// Whether no operand has gaps between its rows, or fewer rows or columns.
bool KernelProgram::is_flat(const Index* strides) const {
  if (by_rows) return false;
  if (rows == 1 && cols == 1) return true;
  for (std::size_t i = 0; i < operands.size(); ++i) {
    const OperandKind kind = operands[i];
    if (kind == OperandKind::scalar) continue;
    if (kind == OperandKind::column && (rows > 1 || cols > 1)) return false;
    const bool some_rows = kind == OperandKind::row || kind == OperandKind::rows;
    if (rows > 1 && (strides[i] != cols || some_rows)) return false;
  }
  return true;
}

void KernelProgram::run(void* const* pointers, const Index* strides, Index share_from) const {
  if (rows == 0 || cols == 0) return;
  const bool is_flat = this->is_flat(strides);
  visit_real(dtype, [&]<class T>() {
    if (is_flat && !short_form_.empty()) return OneByOne<T>{*this, pointers}.run();
    const Index units = is_flat ? rows * cols : rows;
    const auto part = [&](Index begin, Index end) {
      Runner<T> runner(*this, pointers, strides);
      if (by_rows)
        runner.by_rows(begin, end);
      else if (is_flat && fills_vectors())
        runner.padded(units);
      else if (is_flat)
        runner.flat(begin, end);
      else if (cols * static_cast<Index>(sizeof(T)) >= wide_row)
        runner.wide(begin, end);
      else
        runner.narrow(begin, end);
    };
    const Index work = rows * cols * static_cast<Index>(instructions.size() + 3);
    const Index enough = rw::detail::helpers_are_awake() ? share_from : 8 * share_from;
    if (work < enough) return part(0, units);
    const Index pieces = std::min<Index>(16, work / std::max<Index>(enough / 4, 1));
    const Index least = is_flat ? block_ : (block_ + cols - 1) / cols;
    const Index each = std::max(least, ((units + pieces - 1) / pieces + least - 1) / least * least);
    parallel_for((units + each - 1) / each, [&](Index b) { part(b * each, std::min(units, (b + 1) * each)); });
  });
}

// Two of arithmetic are quicker one by one, two of an exponential together.
bool KernelProgram::goes_one_by_one() const {
  const auto is_formula = [](const Instruction& i) { return i.formula.left != Arithmetic::none; };
  return !by_rows &&
         (rows * cols == 1 || (rows * cols == 2 && std::all_of(instructions.begin(), instructions.end(), is_formula)));
}

bool KernelProgram::fills_vectors() const {
  const Index n = rows * cols, vector = 64 / static_cast<Index>(size_of(dtype));
  constexpr Index few = 64;  // elements, fewer than a block has
  return !by_rows && !goes_one_by_one() && n <= few && n % vector != 0;
}

// A register whose value is read after its run of instructions, or summed, holds whole rows.
void KernelProgram::find_row_instructions() {
  constexpr std::size_t nowhere = static_cast<std::size_t>(-1);
  std::vector<std::size_t> written(registers, nowhere);
  for (std::size_t k = 0; k < instructions.size(); ++k) {
    const Instruction& i = instructions[k];
    const bool elements = i.over == Over::elements;
    if (!elements || runs_.empty() || instructions[runs_.back().begin].over != Over::elements) runs_.push_back({k, k});
    runs_.back().end = k + 1;
    const std::size_t run = runs_.size() - 1;
    for (const std::uint16_t r : i.in)
      if (written[r] != nowhere && (i.over == Over::sum || written[r] != run)) moves_[r] = -1;
    written[i.out] = elements ? run : nowhere;
  }
}

// What is run for an element or two should not be read from far away.
void KernelProgram::shorten() {
  while (first_output_ < operands.size() && operands[first_output_] != OperandKind::output) ++first_output_;
  for (const Instruction& i : instructions) {
    const auto like = std::find_if(instructions.begin(), instructions.end(), [&](const Instruction& other) {
      return other.loop == i.loop && (other.fn == i.fn || (i.equal != nullptr && i.equal(other.fn, i.fn)));
    });
    Short& out = short_form_.emplace_back();
    out.formula = i.formula;
    out.like = static_cast<std::uint16_t>(like - instructions.begin());
    out.out = i.out;
    std::copy_n(i.in, most_inputs, out.in);
  }
}

void KernelProgram::finish() {
  if (registers > most_registers) throw Error("compile: a kernel of too many registers");
  if (goes_one_by_one()) shorten();
  const auto bytes = static_cast<Index>(this_processor().first_cache / 2);
  const Index each = bytes / std::max<Index>(registers, 1) / static_cast<Index>(size_of(dtype));
  const Index row = (cols + 63) / 64 * 64;
  block_ = std::clamp<Index>(each / 64 * 64, 256, 512);
  const auto sums_constant = [this](const Instruction& i) {
    return i.over == Over::sum && i.in[0] >= operands.size() && i.in[0] < operands.size() + constants.size();
  };
  if (std::any_of(instructions.begin(), instructions.end(), sums_constant))
    block_ = row;  // constants have but one block
  else if (by_rows)
    block_ = std::min(row, block_);
  moves_.assign(registers, 0);
  if (by_rows) find_row_instructions();
  for (std::size_t i = 0; i < registers; ++i) {
    at_.push_back(memory_);
    memory_ += static_cast<std::size_t>(moves_[i] == 0 ? block_ : row);
    const bool moving = i < operands.size() && operands[i] != OperandKind::scalar &&
                        operands[i] != OperandKind::column && operands[i] != OperandKind::output_column;
    if (moving) moves_[i] = -1;
  }
  for (std::size_t i = 0; i < operands.size(); ++i) {
    if (operands[i] == OperandKind::scalar)
      scalars_.push_back(i);
    else if (!room[i])
      (operands[i] == OperandKind::output ? copied_out_ : copied_in_).push_back(i);
  }
  const std::size_t n = constants.size() * static_cast<std::size_t>(block_);
  constant_blocks_.resize(n);
  visit_real(dtype, [&]<class T>() {
    T* to = reinterpret_cast<T*>(constant_blocks_.data());
    for (double value : constants) {
      std::fill_n(to, block_, static_cast<T>(value));
      to += block_;
    }
  });
}

std::uint64_t KernelProgram::hash() const {
  std::uint64_t h = detail::mix(static_cast<std::uint64_t>(rows) * 31 + static_cast<std::uint64_t>(dtype),
                                static_cast<std::uint64_t>(cols));
  for (OperandKind k : operands) h = detail::mix(h, static_cast<std::uint64_t>(k));
  for (const RowsOf& r : rows_of) h = detail::mix(h, static_cast<std::uint64_t>(r.each * 31 + r.count));
  h = detail::mix(h, std::hash<std::vector<bool>>()(room));
  for (double c : constants) h = detail::hash_attributes(c, h);
  for (const Instruction& i : instructions) {
    h = detail::mix(h, reinterpret_cast<std::uintptr_t>(i.loop));
    h = detail::mix(h, static_cast<std::uint64_t>(i.in[0]) | static_cast<std::uint64_t>(i.in[1]) << 16 |
                           static_cast<std::uint64_t>(i.in[2]) << 32 | static_cast<std::uint64_t>(i.in[3]) << 48);
    h = detail::mix(h, static_cast<std::uint64_t>(i.out) | static_cast<std::uint64_t>(i.over) << 16);
  }
  return h;
}

bool KernelProgram::same(const KernelProgram& o) const {
  if (dtype != o.dtype || rows != o.rows || cols != o.cols || by_rows != o.by_rows || operands != o.operands ||
      rows_of != o.rows_of || room != o.room || registers != o.registers || constants.size() != o.constants.size() ||
      instructions.size() != o.instructions.size())
    return false;
  if (!constants.empty() && std::memcmp(constants.data(), o.constants.data(), constants.size() * 8) != 0) return false;
  for (std::size_t k = 0; k < instructions.size(); ++k) {
    const Instruction &a = instructions[k], &b = o.instructions[k];
    if (a.loop != b.loop || a.out != b.out || a.over != b.over || !std::equal(a.in, a.in + most_inputs, b.in))
      return false;
    if (a.fn != b.fn && !(a.equal != nullptr && a.equal(a.fn, b.fn))) return false;
  }
  return true;
}

}  // namespace rw::ir
