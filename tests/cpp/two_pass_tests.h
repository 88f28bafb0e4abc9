// What holds of the two-pass kernel wherever it runs: the same cases against a plain double loop on
// the host (core_tests.cpp) and on a GPU (cuda_tests.cpp).
#pragma once

#include <string>

#include "cuda_cases.h"

// Runs a call whose pointers are to memory of the host, and adds to its accumulators.
using Runner = void (*)(const cases::Case&, const provis::AttentionCall&);

// Number of failures.
int check_two_pass(Runner runner);
