// Cells of xlstm.h, linear_cells.h, lstm_variants.h, clockwork.h, gru_ode.h, fast_weights.h, adaptive.h and
// echo_state.h.
#include <doctest/doctest.h>

#include <rewind/models/cells/adaptive.h>
#include <rewind/models/cells/clockwork.h>
#include <rewind/models/cells/fast_weights.h>
#include <rewind/models/cells/gru.h>
#include <rewind/models/cells/gru_ode.h>
#include <rewind/models/cells/linear_cells.h>
#include <rewind/models/cells/lstm_variants.h>
#include <rewind/models/cells/xlstm.h>
#include <rewind/tools/gradcheck/check_cell.h>

using namespace rw;

namespace {

const CellCheck few{.sizes = {{3, 2, 3, 33}, {2, 16, 5, 64}, {7, 1, 2, 3}}};

CellReport by_name(const std::string& name, const CellCheck& check = few) {
  return check_any_cell([&](Index in, Index hidden, Rng& rng) { return make_cell(name, in, hidden, rng); }, check);
}

}  // namespace

TEST_CASE("cells with linear recurrences, and without a recurrent matrix") {
  for (const char* name : {"min-gru", "min-lstm", "lru", "sru", "qrnn", "indrnn"}) {
    CAPTURE(name);
    CHECK(by_name(name));
  }
}

TEST_CASE("xLSTM's cells") {
  CellCheck check = few;
  check.start = 0;  // a normaliser is no random number: it may be near 0, which memory is divided by
  CHECK(by_name("slstm", check));
  check.sizes = {{3, 2, 3, 17}, {7, 1, 2, 3}};
  CHECK(by_name("mlstm", check));
}

TEST_CASE("variants of the LSTM, and a GRU in continuous time") {
  for (const char* name :
       {"multiplicative-lstm", "mogrifier", "mogrifier+rounds=2+nobias", "gru-ode+euler", "gru-ode+steps=1"}) {
    CAPTURE(name);
    CHECK(by_name(name));
  }
}

TEST_CASE("fast weights") {
  CellCheck check = few;
  check.sizes = {{3, 2, 3, 17}, {7, 1, 2, 3}};
  CHECK(by_name("fast-weights", check));
}

TEST_CASE("clockwork") {
  CellCheck check = few;
  check.sizes = {{9, 2, 3, 32}, {5, 1, 2, 4}};
  CHECK(by_name("clockwork", check));
  CHECK(by_name("clockwork+periods=1/3", check));
}

TEST_CASE("heads: a recurrent matrix in blocks, in any gated cell") {
  CellCheck check = few;
  check.sizes = {{3, 2, 3, 6}, {7, 1, 2, 2}, {2, 5, 1, 34}};
  for (const char* name : {"lstm+heads=2", "lstm+norm+coupled+heads=2+zoneout=0.1", "gru+heads=2", "gru+before+heads=2",
                           "mgu+heads=2", "rnn+heads=2", "multiplicative-lstm+heads=2", "gru-ode+steps=1+heads=2"}) {
    CAPTURE(name);
    CHECK(by_name(name, check));
  }
  check.start = 0;
  CHECK(by_name("slstm+heads=2", check));
}

TEST_CASE("adaptive computation time") {
  CHECK(by_name("gru+act=3"));
  CHECK(by_name("lstm+act=1+zoneout=0.1"));
  CHECK(check_cell<AdaptiveCell<GruCell>>(
      [](Index in, Index hidden, Rng& rng) { return AdaptiveCell(GruCell(in + 1, hidden, rng), rng, {.at_most = 2}); },
      few));
}

TEST_CASE("a reservoir, below a readout that learns") {
  CHECK(by_name("echo-state+density=0.8"));
  CHECK(by_name("echo-state+leak=0.3+nobias"));
}
