// Marks what the shared library exports; all else in it is hidden.
#pragma once

#define LOOKBACK_API __attribute__((visibility("default")))
