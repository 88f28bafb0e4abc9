// What holds of the GPU kernels wherever they run: the same cases against plain double loops on the
// host (core_tests.cpp) and on a GPU (cuda_tests.cpp).
#pragma once

#include "cuda_cases.h"

// Runs a call whose pointers are to memory of the host, and adds to its accumulators. That of the
// fused kernel writes output and log-sum-exp too.
using Runner = void (*)(const cases::Case&, const provis::AttentionCall&);

// Numbers of failures.
int check_two_pass(Runner runner);
int check_fused(Runner runner);
int check_far_strides(Runner two_pass, Runner fused);  // on the host alone
