#include <string>

#include <doctest/doctest.h>

#include <rewind/tools/cli/progress.h>

using namespace rw::cli;

namespace {

const Status status{.fraction = 0.5,
                    .step = 1269,
                    .steps = 2538,
                    .epoch = 3,
                    .loss = 1.612,
                    .characters_per_second = 84'321,
                    .seconds_left = 42.4};

}  // namespace

TEST_CASE("a bar says step, loss, speed and time left in the width there is") {
  const std::string text = "step 1269/2538  1.612 nats 2.326 bits/char  84.3k chars/s  0:42 left";
  CHECK(plain_line(status) == " 50%  epoch 3  " + text);
  CHECK(bar_line(status, 79) == "[###....]  " + text);
  CHECK(bar_line(status, 79).size() == 79);
  CHECK(bar_line(status, 70) == " 50%  " + text);
  CHECK(bar_line(status, 300) == "[####################....................]  " + text);
}

TEST_CASE("a run that time ends has no number of steps, and ends at 100 percent") {
  Status s = status;
  s.steps = 0;
  s.fraction = 1.7;
  CHECK(plain_line(s).find("100%  epoch 3  step 1269  1.612") == 0);
  CHECK(bar_line(s, 300).find("[########################################]  step 1269  ") == 0);
}

TEST_CASE("times and losses") {
  CHECK(time_text(0) == "0:00");
  CHECK(time_text(-3) == "0:00");
  CHECK(time_text(59.6) == "1:00");
  CHECK(time_text(3723) == "1:02:03");
  CHECK(time_text(1e30) == "?");
  CHECK(loss_text(0.693147) == "0.693 nats 1.000 bits/char");
}
