#pragma once

#include <iosfwd>
#include <map>
#include <string>
#include <utility>

#include <rewind/core/view.h>
#include <rewind/tools/export/recorded_sequence.h>
#include <rewind/tools/export/recorded_training.h>

namespace rw {

struct HeaderOptions {
  /// The header's namespace, and the first line's: a name of C++.
  std::string name = "model";
  /// Where weights are: numbers in the header, or bytes beside it that the program gives it (`HeaderFile::weights`).
  bool weights_in_header = true;
  /// Matrices are whole numbers from -127 to 127 times a scale a row: a quarter of the size. See `int8_error`.
  bool int8 = false;
  /// Lengths of loops are rounded up to a multiple of it, which is quicker where processors compute several numbers at
  /// once; 1 where they do not.
  Index pad = 8;
  /// Elementwise ops that are not the library's, by name, as C++ of their inputs a, b and c, their numbers p0, p1, ...
  /// and the type Real: {{"swish", "a / (1 + std::exp(-a))"}}.
  std::map<std::string, std::string> expressions = {};
};

/// How a header trains.
struct TrainerOptions {
  /// Steps after which weights move: gradients reach back to the first of them (truncated back-propagation).
  Index window = 32;
  /// Adam as rw::Adam is, or w -= rate g.
  enum class Rule { adam, sgd } rule = Rule::adam;
  /// The first rate; `Trainer::rate` is it from then on.
  double rate = 1e-3;
};

/// A step as one header of C++17 that needs nothing: no heap, lock, exception, RTTI or global state, no library but the
/// language's own `cmath`, `cstddef`, `cstdint` and `cstring`.
struct HeaderFile {
  std::string text;
  /// The bytes of `weights_in`, when they are not in the header.
  std::string weights;
};

/// The header of a recorded step. In its namespace:
///
///     Model model;              // the weights: looked at, never changed, shared by any number of streams
///     State state;              // all that one stream carries from step to step
///     model.reset(state);       // as before the first step
///     model.step(x, state, y);  // one step: x [inputs] -> y [outputs]
///     model.run(x, T, state, y);  // T steps: x [T, inputs] -> y [T, outputs]
///
/// With weights beside it, `Model model(*weights_in(bytes, size))`, where weights_in is null for other bytes than those
/// that were written with this header. An index that is outside of its range makes y nan.
///
/// Throws Error, naming op and scope, for what cannot be written: ops that draw random numbers (a model that trains),
/// and ops without a form in C++; for a name that is none of C++; and with `int8` for weights that are not finite.
HeaderFile make_header(const RecordedStep& step, const HeaderOptions& options = {});

/// The same with what trains it, in memory of known size:
///
///     Trainer trainer;                          // weights of its own, which begin as those that were recorded
///     trainer.step(x, target, y);               // a step, and every `window` steps the weights move; true then
///     model = Model(trainer.weights);           // to use them elsewhere
///
/// `trainer.loss` is the mean of the last window, whose gradient is taken. Throws Error as the other one does, for
/// `int8`, and for a window or a rate that is not above 0.
HeaderFile make_header(const RecordedTraining& training, const HeaderOptions& options = {},
                       const TrainerOptions& trainer = {});

/// The header of a recorded sequence, for what looks at all of it, as both directions or an attention do. It takes one
/// sequence of any number of steps, and memory for what it computes from its caller:
///
///     Model model;
///     State state;
///     model.reset(state);
///     model.run(x, T, state, y, workspace);  // x [T, inputs] -> y [outputs(T)], workspace [workspace_size(T)]
///
/// Throws Error as the other ones do, and for a program whose ops depend on the length in another way than by loops and
/// shapes. `pad` plays no part.
HeaderFile make_header(const RecordedSequence& sequence, const HeaderOptions& options = {});

/// How far outputs are off when weights are rounded to int8.
struct Int8Error {
  double largest = 0, mean_square = 0;
  /// Of the outputs in the header's real type.
  double largest_output = 0;
};

/// Runs both over data of the user's: x [T, ...] in the shape of the step's x, from the state before the first step on.
/// Throws Error for data of another shape, and as `make_header` does.
Int8Error int8_error(const RecordedStep& step, ConstView x);

/// The same written to a stream, with the weights in it. What it takes to record a step goes first:
///
///     write_header(file, record_step(cell, 3), {.name = "voice"});
void write_header(std::ostream& out, const RecordedStep& step, const HeaderOptions& options = {});
void write_header(std::ostream& out, const RecordedSequence& sequence, const HeaderOptions& options = {});

}  // namespace rw
