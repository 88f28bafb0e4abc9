// Coefficients of 2^f for f in [-1/2, 1/2], constant term exactly 1 so that 2^0 = 1.
#pragma once

namespace provis::cpu {
namespace {

// Relative error 9.2e-8, below that of rounding the score.
constexpr float kExp2Float[6] = {1.0f,          0.693146978f,   0.240222421f,
                                 0.0555073374f, 0.00967151273f, 0.00132647273f};

// Scores further than this below the row's maximum are clamped: its power of two rounds to zero,
// and entropy's product of zero with minus infinity never arises.
template <class Real>
constexpr Real kLeastExponent = sizeof(Real) == 8 ? Real(-1100) : Real(-151);

}  // namespace
}  // namespace provis::cpu
