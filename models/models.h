#pragma once

// All of models/: modules, cells, sequences, optimizers, files, text.
#include <rewind/models/any_cell.h>
#include <rewind/models/cell.h>
#include <rewind/models/char_model.h>
#include <rewind/models/char_writer.h>
#include <rewind/models/clip.h>
#include <rewind/models/embedding.h>
#include <rewind/models/file.h>
#include <rewind/models/gru_cell.h>
#include <rewind/models/init.h>
#include <rewind/models/linear.h>
#include <rewind/models/lstm_cell.h>
#include <rewind/models/module.h>
#include <rewind/models/optimizer.h>
#include <rewind/models/recurrent.h>
#include <rewind/models/rnn_cell.h>
#include <rewind/models/sampler.h>
#include <rewind/models/schedule.h>
#include <rewind/models/serialize.h>
#include <rewind/models/stack.h>
#include <rewind/models/state.h>
#include <rewind/models/text.h>
#include <rewind/models/text_bigram.h>
#include <rewind/models/text_data.h>
#include <rewind/models/truncated_bptt.h>
#include <rewind/models/unroll.h>
