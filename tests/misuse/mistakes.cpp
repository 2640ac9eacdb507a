// Mistakes in the use of the library, each with the line that it gets. The lines are kept in lines.txt; a line that is
// missing, changed, or of a library's own words is a fault. What cannot be caught is in docs/misuse.md, with the
// reason. usage: test_misuse LINES          compares
//        test_misuse --write LINES  writes them anew, to be read before they are committed
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <rewind/core/threads.h>
#include <rewind/models/bptt/checkpointed.h>
#include <rewind/models/weights/file.h>
#include <rewind/models/weights/serialize.h>
#include <rewind/rewind.h>

namespace {

using namespace rw;

struct Mistake {
  const char* name;
  std::function<void()> make;
};

Rng& rng() {
  static Rng one(1);
  return one;
}

/// A tape with a matrix [2, 3], a vector [3], indices [2] and a scalar.
struct Things {
  Tape tape;
  Tensor m = tape.variable(full({2, 3}, 0.5)), v = tape.variable(full({3}, 2)), s = tape.variable(full({}, 1));
  Tensor i = tape.constant(Array({0, 1}, Shape{2}));
};

template <class F>
std::function<void()> with(F f) {
  return [f] {
    Things t;
    f(t);
  };
}

Array nan_array() { return full({2}, std::numeric_limits<double>::quiet_NaN()); }

Linear linear() { return Linear(3, 2, rng()); }

const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();

const std::vector<Mistake> mistakes = {
    // ---- shapes and arrays
    {"a negative length", [] { Shape{2, -1}; }},
    {"a length beyond 2^31", [] { Shape{Index{1} << 40}; }},
    {"a shape too large", [] { zeros(Shape{2000000000, 2000000000, 2000000000}); }},
    {"nine axes", [] { Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}; }},
    {"an axis that is not there", [] { Shape{2, 3}.axis(2); }},
    {"a negative axis that is not there", [] { Shape{2, 3}.axis(-3); }},
    {"numbers that do not fill a shape", [] { Array({1.f, 2.f}, Shape{3}); }},
    {"span of the wrong type",
     [] {
       const Array three = zeros(3);
       three.span<double>();
     }},
    {"span of an array of indices as reals",
     [] {
       const Array three = arange(3);
       three.span<float>();
     }},
    {"item of many", [] { zeros(3).item(); }},
    {"item of none", [] { zeros(0).item(); }},
    {"at outside", [] { zeros(3).at({3}); }},
    {"at of a negative position", [] { zeros(3).at({-1}); }},
    {"at with too few axes", [] { zeros(3, 2).at({1}); }},
    {"reshaped to another size", [] { zeros(3).reshaped({2}); }},
    {"nan to an index", [] { nan_array().to(DType::i32); }},
    {"a large real to an index", [] { full({1}, 1e20).to(DType::i32); }},
    {"fill of indices with a fraction's infinity", [] { arange(3).fill(inf); }},
    {"copy of other sizes", [] { Array a = zeros(3); copy(zeros(2), a.view()); }},
    {"uniform upside down", [] { uniform(rng(), {2}, 1, 0); }},
    {"uniform without bounds", [] { uniform(rng(), {2}, 0, inf); }},
    {"normal of a negative deviation", [] { normal(rng(), {2}, -1); }},
    {"an initialiser by a wrong name", [] { Init::named("xavier"); }},
    // ---- handles
    {"an empty handle", [] { Tensor().shape(); }},
    {"an empty handle in an op", [] { tanh(Tensor()); }},
    {"a handle after clear", with([](Things& t) { t.tape.clear(); t.m.value(); })},
    {"a handle after clear, in an op", with([](Things& t) { t.tape.clear(); t.m + t.m; })},
    {"a handle after the tape's end", [] { Tensor t; { Tape tape; t = tape.constant(1); } t.value(); }},
    {"a handle after rewind", with([](Things& t) { const auto mark = t.tape.mark(); const Tensor y = t.m * 2; t.tape.rewind(mark); y.value(); })},
    {"an old handle after recording anew", with([](Things& t) { const auto mark = t.tape.mark(); const Tensor y = t.m * 2; t.tape.rewind(mark); t.m * 3; y.value(); })},
    {"two tapes in one op", with([](Things& t) { Tape other; t.m + other.constant(1); })},
    {"a tape that was moved from", with([](Things& t) { Tape other = std::move(t.tape); t.tape.size(); })},
    {"a mark of another tape", with([](Things& t) { Tape other; t.tape.rewind(other.mark()); })},
    {"a mark that is forgotten", with([](Things& t) { const auto a = t.tape.mark(); t.m * 2; const auto b = t.tape.mark(); t.tape.rewind(a); t.tape.rewind(b); })},
    {"a node that is not there", with([](Things& t) { t.tape.node(1000); })},
    {"a tensor of a node that is not there", with([](Things& t) { t.tape.tensor(1000); })},
    {"an op without a tensor", [] { add(1, 2); }},
    {"an op on parameters alone", [] { Parameter a("a", zeros(2)), b("b", zeros(2)); add(a, b); }},
    {"item of a matrix", with([](Things& t) { t.m.item(); })},
    {"size of an axis that is not there", with([](Things& t) { t.m.size(2); })},
    {"close_scope without a scope", with([](Things& t) { t.tape.close_scope(); })},
    {"input on a tape that computes", with([](Things& t) { t.tape.input({2}, DType::f32); })},
    {"a tape of indices", [] { Tape tape(DType::i32); }},
    // ---- ops: shapes
    {"add of shapes that do not broadcast", with([](Things& t) { t.m + t.tape.constant(zeros(2)); })},
    {"matmul of inner lengths that differ", with([](Things& t) { matmul(t.m, t.m); })},
    {"matmul of a vector", with([](Things& t) { matmul(t.v, t.m); })},
    {"matmul of a scalar", with([](Things& t) { matmul(t.s, t.m); })},
    {"matmul of indices", with([](Things& t) { matmul(t.i, t.m); })},
    {"matmul with a number", with([](Things& t) { matmul(t.m, 2); })},
    {"reshape to another size", with([](Things& t) { reshape(t.m, Shape{4}); })},
    {"reshape with a -1 that does not divide", with([](Things& t) { reshape(t.m, {4, -1}); })},
    {"reshape with two -1", with([](Things& t) { reshape(t.m, {-1, -1}); })},
    {"reshape with lengths whose product overflows", with([](Things& t) { reshape(t.m, {Index{1} << 40, Index{1} << 40, -1}); })},
    {"transpose of a vector", with([](Things& t) { transpose(t.v); })},
    {"permute of too few axes", with([](Things& t) { permute(t.m, {0}); })},
    {"permute that names an axis twice", with([](Things& t) { permute(t.m, {0, 0}); })},
    {"slice beyond the end", with([](Things& t) { slice(t.m, 1, 2, 2); })},
    {"slice from before the front", with([](Things& t) { slice(t.m, 1, -1, 1); })},
    {"slice of a negative length", with([](Things& t) { slice(t.m, 1, 0, -1); })},
    {"slice from 2^63", with([](Things& t) { slice(t.m, 1, INT64_MAX, 1); })},
    {"slice of length 2^63", with([](Things& t) { slice(t.m, 1, 1, INT64_MAX); })},
    {"slice of an axis that is not there", with([](Things& t) { slice(t.m, 2, 0, 1); })},
    {"select beyond the end", with([](Things& t) { select(t.m, 0, 2); })},
    {"select from before the front", with([](Things& t) { select(t.m, 0, -3); })},
    {"split that does not divide", with([](Things& t) { split(t.m, 2, 1); })},
    {"split into no pieces", with([](Things& t) { split(t.m, 0, 1); })},
    {"split into 2^60 pieces", with([](Things& t) { split(t.m, Index{1} << 60, 1); })},
    {"split lengths that do not add up", with([](Things& t) { split(t.m, {1, 1}, 1); })},
    {"split lengths that overflow", with([](Things& t) { split(t.m, {INT64_MAX, INT64_MAX, 5}, 1); })},
    {"split by a negative length", with([](Things& t) { split(t.m, {4, -1}, 1); })},
    {"concat of nothing", [] { concat(std::span<const Tensor>()); }},
    {"concat of shapes that do not fit", with([](Things& t) { concat({t.m, t.v}); })},
    {"concat on an axis that is not there", with([](Things& t) { concat({t.m, t.m}, 2); })},
    {"stack of nothing", [] { stack(std::span<const Tensor>()); }},
    {"stack of shapes that differ", with([](Things& t) { stack({t.m, t.v}); })},
    {"stack at a place that is not there", with([](Things& t) { stack({t.m, t.m}, 3); })},
    {"broadcast to a smaller shape", with([](Things& t) { broadcast_to(t.m, {3}); })},
    {"flip of an axis that is not there", with([](Things& t) { flip(t.m, 5); })},
    {"sum over an axis twice", with([](Things& t) { sum(t.m, {0, 0}); })},
    {"sum over an axis that is not there", with([](Things& t) { sum(t.m, {2}); })},
    {"max over nothing", with([](Things& t) { max(t.tape.constant(zeros(0))); })},
    {"softmax along an axis that is not there", with([](Things& t) { softmax(t.m, 2); })},
    {"softmax of a scalar", with([](Things& t) { softmax(t.s); })},
    {"logsumexp of an axis that is not there", with([](Things& t) { logsumexp(t.m, 7); })},
    {"where with a mask that does not fit", with([](Things& t) { where(t.tape.constant(zeros(5)), t.m, t.m); })},
    // ---- ops: types and values
    {"tanh of indices", with([](Things& t) { tanh(t.i); })},
    {"indices plus reals", with([](Things& t) { t.i + t.s; })},
    {"clamp upside down", with([](Things& t) { clamp(t.m, 1, 0); })},
    {"clamp to nan", with([](Things& t) { clamp(t.m, nan, 1); })},
    {"leaky_relu of a slope that is nan", with([](Things& t) { leaky_relu(t.m, nan); })},
    {"clip_gradient to a negative limit", with([](Things& t) { clip_gradient(t.m, -1); })},
    {"dropout of everything", with([](Things& t) { dropout(t.m, 1); })},
    {"dropout of a negative part", with([](Things& t) { dropout(t.m, -0.5); })},
    {"dropout of nan", with([](Things& t) { dropout(t.m, nan); })},
    {"lookup of reals", with([](Things& t) { lookup(t.m, t.v); })},
    {"lookup beyond the table", with([](Things& t) { lookup(t.m, t.tape.constant(Array({2}, Shape{1}))); })},
    {"lookup of a negative index", with([](Things& t) { lookup(t.m, t.tape.constant(Array({-1}, Shape{1}))); })},
    {"lookup in a vector", with([](Things& t) { lookup(t.v, t.i); })},
    {"pick beyond the row", with([](Things& t) { pick(t.m, t.tape.constant(Array({0, 3}, Shape{2}))); })},
    {"pick with a wrong shape", with([](Things& t) { pick(t.v, t.i); })},
    {"one_hot of reals", with([](Things& t) { one_hot(t.v, 3); })},
    {"one_hot of no classes", with([](Things& t) { one_hot(t.i, 0); })},
    {"one_hot of an index that is too large", with([](Things& t) { one_hot(t.i, 1); })},
    {"cross_entropy with targets that are reals", with([](Things& t) { cross_entropy(t.m, t.v); })},
    {"cross_entropy with too few targets", with([](Things& t) { cross_entropy(t.m, t.tape.constant(Array({0}, Shape{1}))); })},
    {"cross_entropy with a class that is not there", with([](Things& t) { cross_entropy(t.m, t.tape.constant(Array({0, 3}, Shape{2}))); })},
    {"cross_entropy with a negative class", with([](Things& t) { cross_entropy(t.m, t.tape.constant(Array({0, -1}, Shape{2}))); })},
    {"cross_entropy of a scalar", with([](Things& t) { cross_entropy(t.s, t.i); })},
    {"mse of shapes that differ", with([](Things& t) { mse(t.m, t.v); })},
    {"mse of indices", with([](Things& t) { mse(t.i, t.i); })},
    {"l1 of shapes that differ", with([](Things& t) { l1(t.m, t.s); })},
    {"huber of a negative delta", with([](Things& t) { huber(t.m, t.m, -1); })},
    {"sequence_mask of reals", with([](Things& t) { sequence_mask(t.v, 3); })},
    {"sequence_mask of a length that is too long", with([](Things& t) { sequence_mask(t.tape.constant(Array({9}, Shape{1})), 3); })},
    {"a key of dropout beside no shape", with([](Things& t) { dropout_mask(t.tape, {2}, 2); })},
    // ---- gradients
    {"backward of a matrix", with([](Things& t) { backward(t.m * 2); })},
    {"backward of a constant", with([](Things& t) { backward(sum(t.tape.constant(zeros(3)))); })},
    {"backward of indices", with([](Things& t) { backward(t.i); })},
    {"backward with a cotangent of another shape", with([](Things& t) { backward(t.m * 2, {.cotangent = t.v}); })},
    {"backward with a cotangent of another tape", with([](Things& t) { Tape o; backward(t.m * 2, {.cotangent = o.constant(zeros(2, 3))}); })},
    {"backward after a parameter changed", [] { Tape tape; Parameter p("p", full({2}, 1)); const Tensor y = sum(tape.leaf(p) * p); p.edit().as<float>()[0] = 5; backward(y); }},
    {"a gradient that was not kept", with([](Things& t) { const Tensor y = t.m * 2; backward(sum(y)); t.tape.grad(y); })},
    {"a gradient before backward", with([](Things& t) { t.tape.grad(t.m); })},
    {"a gradient of a constant", with([](Things& t) { const Tensor y = sum(t.m); grad(y, t.tape.constant(1)); })},
    {"a strict gradient that does not reach", with([](Things& t) { grad(sum(t.m), {Operand(t.v)}, {.strict = true}); })},
    {"a gradient of a number", with([](Things& t) { grad(sum(t.m), Operand(2)); })},
    {"backward within NoGrad", with([](Things& t) { NoGrad no(t.tape); backward(sum(t.m * 2)); })},
    {"a value after it was released", with([](Things& t) { const Tensor y = t.m * 2; backward(sum(tanh(y)), {.release_values = true}); y.value(); })},
    {"backward twice after release", with([](Things& t) { const Tensor y = sum(tanh(t.m * 2)); backward(y, {.release_values = true}); backward(y); })},
    {"check_finite with a nan", with([](Things& t) { log(t.m - 1); t.tape.check_finite(); })},
    {"substitute of another shape", with([](Things& t) { Parameter p("p", zeros(2)); t.tape.substitute(p, zeros(3)); })},
    // ---- parameters and modules
    {"a parameter of indices", [] { Parameter p("p", arange(3)); }},
    {"set of another shape", [] { Parameter p("p", zeros(3)); p.set(zeros(2)); }},
    {"convert to indices", [] { Parameter p("p", zeros(3)); p.convert(DType::i32); }},
    {"tie of other shapes", [] { Parameter p("p", zeros(3)), q("q", zeros(2)); p.tie(q); }},
    {"a linear layer of no inputs", [] { Linear(0, 2, rng()); }},
    {"a linear layer of a negative width", [] { Linear(2, -2, rng()); }},
    {"a linear layer on other features", with([](Things& t) { linear()(t.tape.constant(zeros(2, 4))); })},
    {"an embedding of no symbols", [] { Embedding(0, 2, rng()); }},
    {"an embedding of reals", with([](Things& t) { Embedding(4, 2, rng())(t.v); })},
    {"a layer norm of no width", [] { LayerNorm(0); }},
    {"a layer norm of another width", with([](Things& t) { LayerNorm(4)(t.m); })},
    // ---- cells and sequences
    {"an lstm of no width", [] { LstmCell(3, 0, rng()); }},
    {"an lstm on other features", with([](Things& t) { LstmCell c(4, 2, rng()); c.step(t.m, c.zero_state(t.tape, 2)); })},
    {"an lstm with a state of another batch", with([](Things& t) { LstmCell c(3, 2, rng()); c.step(t.m, c.zero_state(t.tape, 5)); })},
    {"an lstm with coupled gates and none to forget", [] { LstmCell(3, 2, rng(), {.forget_gate = false, .coupled = true}); }},
    {"a projection that is negative", [] { LstmCell(3, 2, rng(), {.projection = -1}); }},
    {"a batch of no sequences", with([](Things& t) { LstmCell c(3, 2, rng()); c.zero_state(t.tape, -1); })},
    {"unroll over a matrix", with([](Things& t) { RnnCell c(3, 2, rng()); unroll(c, t.m, c.zero_state(t.tape, 2)); })},
    {"unroll with a state of another batch", with([](Things& t) { RnnCell c(3, 2, rng()); unroll(c, t.tape.constant(zeros(4, 2, 3)), c.zero_state(t.tape, 3)); })},
    {"unroll with lengths that are too long", with([](Things& t) { RnnCell c(3, 2, rng()); unroll(c, t.tape.constant(zeros(4, 1, 3)), c.zero_state(t.tape, 1), {.lengths = t.tape.constant(Array({9}, Shape{1}))}); })},
    {"a step that is not there", with([](Things& t) { at_step(t.tape.constant(zeros(4, 2, 3)), 4); })},
    {"a cell by a wrong name", [] { make_cell("lstn", 2, 3, rng()); }},
    {"a cell with a wrong option", [] { make_cell("gru+peepholes", 2, 3, rng()); }},
    {"a cell with an option that is no number", [] { make_cell("lstm+zoneout=x", 2, 3, rng()); }},
    {"zoneout of everything", [] { make_cell("lstm+zoneout=1.5", 2, 3, rng()); }},
    {"a stack of nothing", [] { Stack<RnnCell>(std::vector<RnnCell>()); }},
    {"pad_sequences of nothing", [] { pad_sequences({}); }},
    {"pad_sequences of other features", [] { const std::vector<Array> x{zeros(2, 3), zeros(2, 4)}; pad_sequences(x); }},
    {"pad_sequences into too few steps", [] { const std::vector<Array> x{zeros(5, 3)}; pad_sequences(x, 2); }},
    // ---- training
    {"an optimizer of no parameters' rate", [] { Sgd(linear().parameters(), {.rate = -1}); }},
    {"an optimizer of rate nan", [] { Adam(linear().parameters(), {.rate = nan}); }},
    {"a rate that becomes infinite", [] { Adam a(linear().parameters()); a.set_rate(inf); }},
    {"momentum of 1", [] { Sgd(linear().parameters(), {.momentum = 1}); }},
    {"beta of 1", [] { Adam(linear().parameters(), {.beta1 = 1}); }},
    {"an epsilon below 0", [] { Adam(linear().parameters(), {.epsilon = -1}); }},
    {"an optimizer by a wrong name", [] { make_optimizer("adan", linear().parameters(), 0.1); }},
    {"a state of another optimizer", [] { Adam a(linear().parameters()); Sgd s(linear().parameters(), {.momentum = 0.9}); a.set_state(s.state()); }},
    {"clipping to a negative norm", [] { clip_grad_norm(linear().parameters(), -1); }},
    {"clipping to nan", [] { clip_grad_value(linear().parameters(), nan); }},
    {"patience of 0", [] { EarlyStopping(linear().parameters(), {.patience = 0}); }},
    {"an average that keeps everything", [] { WeightAverage(linear().parameters(), {.decay = 1}); }},
    {"an update while the averages are in the model", [] { WeightAverage a(linear().parameters()); a.swap(); a.update(); }},
    {"no threads", [] { set_threads(0); }},
    {"set_threads within a parallel_for", [] { parallel_for(2, [](Index) { set_threads(2); }); }},
    // ---- compile
    {"a compiled function on another shape's rank", [] { auto f = compile([](Tape&, Tensor x) { return matmul(x, x); }, zeros(2, 2)); f(zeros(3)); }},
    {"a value read while compile traces", [] { compile([](Tape&, Tensor x) { return x * x.value().as<float>()[0]; }, zeros(2))(zeros(2)); }},
    {"an item read while compile traces", [] { compile([](Tape&, Tensor x) { return x * x.item(); }, full({}, 1))(full({}, 1)); }},
    {"padded to a smaller length", [] { padded(zeros(4), 0, 2); }},
    {"a bucket of 2^63 - 1", [] { bucket(INT64_MAX); }},
    // ---- text and files
    {"text that is not UTF-8", [] { decode_utf8("\xff", "book"); }},
    {"a surrogate", [] { encode_utf8(std::u32string(1, char32_t{0xD800})); }},
    {"a character twice in a vocabulary", [] { Vocabulary(U"aa"); }},
    {"a character that the vocabulary lacks", [] { Vocabulary(U"ab").encode(U"abc"); }},
    {"a number that no character has", [] { const std::vector<std::int32_t> n{7}; Vocabulary(U"ab").decode(n); }},
    {"a text that is too short", [] { TextData({1, 2, 3}, {.batch = 4, .sequence = 10}); }},
    {"a part held out of 1", [] { TextData(std::vector<std::int32_t>(1000), {.batch = 4, .sequence = 10, .held_out = 1}); }},
    {"a model of no characters", [] { CharModel(Vocabulary(), {}, rng()); }},
    {"a file that is not there", [] { load_arrays("/no/such/file"); }},
    {"a folder as a file", [] { load_arrays("/"); }},
    {"a file without a name", [] { write_file("", "x"); }},
    {"a place that is no folder", [] { write_file("/dev/null/x", "x"); }},
    {"two arrays of one name", [] { const Array x = zeros(1); const std::vector<NamedView> twice{{"x", x}, {"x", x}}; save_arrays("/tmp/x", twice); }},
    {"an array by a wrong name", [] { ArrayFile().at("W"); }},
    {"weights of another model", [] { const std::vector<NamedArray> a{{"V", zeros(2)}}; set_parameters(linear(), a, "book"); }},
};

std::string line_of(const Mistake& mistake) {
  try {
    mistake.make();
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& error) {
    return std::string("NOT OURS: ") + error.what();
  }
  return "NO ERROR";
}

std::string all_lines() {
  std::string out;
  for (const Mistake& mistake : mistakes) out += std::string(mistake.name) + "\n    " + line_of(mistake) + "\n";
  return out;
}

/// The first line that differs, for a message.
std::string difference(const std::string& now, const std::string& kept) {
  std::size_t at = 0;
  while (at < now.size() && at < kept.size() && now[at] == kept[at]) ++at;
  const auto line = [&](const std::string& text) {
    const std::size_t begin = at == 0 ? 0 : text.rfind('\n', at - 1) + 1;
    return text.substr(begin, text.find('\n', at) - begin);
  };
  return "now:  " + line(now) + "\nkept: " + line(kept);
}

}  // namespace

int main(int argc, char** argv) {
  const bool write = argc == 3 && std::strcmp(argv[1], "--write") == 0;
  if (argc != 2 && !write) return 2;
  const std::string path = argv[argc - 1], now = all_lines();
  if (write) {
    rw::write_file(path, now);
    return 0;
  }
  const bool all_caught =
      now.find("    NO ERROR\n") == std::string::npos && now.find("    NOT OURS") == std::string::npos;
  const std::string kept = rw::read_file(path);
  std::printf("%zu mistakes\n", mistakes.size());
  if (!all_caught || now != kept) std::printf("%s\n", difference(now, kept).c_str());
  return all_caught && now == kept && mistakes.size() >= 150 ? 0 : 1;
}
