// All of the library, but what takes LibTorch (lookback/torch.h).
#pragma once

#include "lookback/build_memory.h"
#include "lookback/error.h"
#include "lookback/generate.h"
#include "lookback/language_model.h"
#include "lookback/memories.h"
#include "lookback/score.h"
#include "lookback/session.h"
#include "lookback/stop.h"
#include "lookback/tensor.h"
#include "lookback/train.h"
#include "lookback/version.h"
