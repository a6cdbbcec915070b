// The pointwise work of a sine network, each function one pass over memory; what `native.py` compiles.
//
// Points are [groups][points][width], blocks [blocks][rows][cols][width], all of them contiguous. Values are float or
// bfloat16, sums and angles are float. `sine.py` says what each function computes: its eager kernels are the same.

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

using Size = std::int64_t;

struct Bfloat16 {
    std::uint16_t bits;
};

inline float load(float value) { return value; }

inline float load(Bfloat16 value) {
    const std::uint32_t bits = std::uint32_t(value.bits) << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

inline void store(float* place, float value) { *place = value; }

inline void store(Bfloat16* place, float value) {  // to the nearest, ties to even; what is not a number stays so
    std::uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    const std::uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    place->bits = std::uint16_t(value == value ? rounded : 0x7fc0);
}

// Minimax polynomials on [-pi/2, pi/2]: cos(v) = even(v^2), sin(v) = v odd(v^2). Their errors are 5e-8 and 3e-9 for
// float; 7e-6 and 7e-5, a thirtieth of what bfloat16 resolves, for bfloat16.
inline float even(float v2, float) {
    return (((2.31539190e-05f * v2 - 1.38537038e-03f) * v2 + 4.16635846e-02f) * v2 - 4.99999053e-01f) * v2 +
           9.99999953e-01f;
}
inline float odd(float v2, float) {
    return (((2.59048693e-06f * v2 - 1.98008970e-04f) * v2 + 8.33289981e-03f) * v2 - 1.66666476e-01f) * v2 +
           9.99999977e-01f;
}
inline float even(float v2, Bfloat16) {
    return ((-1.27120965e-03f * v2 + 4.14877486e-02f) * v2 - 4.99912440e-01f) * v2 + 9.99993295e-01f;
}
inline float odd(float v2, Bfloat16) {
    return (7.51438607e-03f * v2 - 1.65673102e-01f) * v2 + 9.99696784e-01f;
}

// y = z - 2 pi round(z / 2 pi), with 2 pi in two parts of which the first is exact in few bits; then, with
// v = pi/2 - |y|, sin z = sign(y) cos v and cos z = sin v: both polynomials read the same v.
template <class T>
inline void sincos(float z, T* sin, T* cos) {
    const float turns = std::rint(z * 0.15915494f);
    const float y = (z - turns * 6.28125f) - turns * 1.9353072e-3f;
    const float v = 1.57079633f - std::fabs(y), v2 = v * v;
    store(sin, std::copysign(even(v2, T{}), y));
    store(cos, v * odd(v2, T{}));
}

template <class T>
void sine(T* __restrict z, const float* __restrict bias, T* __restrict cos, Size groups, Size points, Size width) {
    for (Size i = 0; i < groups * points; ++i) {
        const float* __restrict b = bias + i / points * width;
        T* __restrict at = z + i * width;
        T* __restrict out = cos + i * width;
        for (Size k = 0; k < width; ++k) sincos(load(at[k]) + b[k], at + k, out + k);
    }
}

template <class T>
void slope(T* __restrict grad, const T* __restrict cos, float* __restrict total, Size groups, Size points, Size width) {
    for (Size i = 0; i < groups * points; ++i) {
        float* __restrict sum = total + i / points * width;
        T* __restrict at = grad + i * width;
        const T* __restrict c = cos + i * width;
        for (Size k = 0; k < width; ++k) {
            const float s = load(at[k]) * load(c[k]);
            store(at + k, s);
            sum[k] += s;
        }
    }
}

template <class T>
void weigh(const T* __restrict x, const float* __restrict weight, float* __restrict value, Size groups, Size points,
           Size width) {
    for (Size i = 0; i < groups * points; ++i) {
        const float* __restrict w = weight + i / points * width;
        const T* __restrict at = x + i * width;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (Size k = 0; k < width; ++k) sum += load(at[k]) * w[k];
        value[i] = sum;
    }
}

template <class T>
void weigh_slope(const float* __restrict grad, const float* __restrict weight, const T* __restrict sin,
                 T* __restrict cos, float* __restrict total, float* __restrict weight_total, Size groups, Size points,
                 Size width) {
    for (Size i = 0; i < groups * points; ++i) {
        const Size group = i / points * width;
        const float* __restrict w = weight + group;
        float* __restrict sum = total + group;
        float* __restrict weight_sum = weight_total + group;
        const T* __restrict s = sin + i * width;
        T* __restrict at = cos + i * width;
        const float g = grad[i];
        for (Size k = 0; k < width; ++k) {
            const float slope = g * w[k] * load(at[k]);
            store(at + k, slope);
            sum[k] += slope;
            weight_sum[k] += g * load(s[k]);
        }
    }
}

// A row and a column hold their sines, then their cosines: [blocks][rows][2 width] and [blocks][cols][2 width].
template <class T>
void outer(const float* __restrict row, const float* __restrict col, T* __restrict sin, Size blocks, Size rows,
           Size cols, Size width) {
    for (Size i = 0; i < blocks * rows; ++i)
        for (Size j = 0; j < cols; ++j) {
            const float* __restrict a = row + i * 2 * width;
            const float* __restrict b = col + (i / rows * cols + j) * 2 * width;
            T* __restrict out = sin + (i * cols + j) * width;
            for (Size k = 0; k < width; ++k) store(out + k, a[k] * b[width + k] + a[width + k] * b[k]);
        }
}

template <class T>
void outer_slope(const T* __restrict grad, const float* __restrict row, const float* __restrict col,
                 float* __restrict row_total, float* __restrict col_total, Size blocks, Size rows, Size cols,
                 Size width) {
    for (Size i = 0; i < blocks * rows; ++i)
        for (Size j = 0; j < cols; ++j) {
            const Size of_col = i / rows * cols + j;
            const float* __restrict a = row + i * 2 * width;
            const float* __restrict b = col + of_col * 2 * width;
            const T* __restrict g = grad + (i * cols + j) * width;
            float* __restrict row_sum = row_total + i * width;
            float* __restrict col_sum = col_total + of_col * width;
            for (Size k = 0; k < width; ++k) {
                const float s = load(g[k]) * (a[width + k] * b[width + k] - a[k] * b[k]);
                row_sum[k] += s;
                col_sum[k] += s;
            }
        }
}

}  // namespace

#define KERNELS(T, NAME)                                                                                             \
    extern "C" {                                                                                                     \
    void sine_##NAME(T* z, const float* b, T* c, Size g, Size p, Size h) { sine(z, b, c, g, p, h); }                 \
    void slope_##NAME(T* z, const T* c, float* t, Size g, Size p, Size h) { slope(z, c, t, g, p, h); }               \
    void weigh_##NAME(const T* x, const float* w, float* v, Size g, Size p, Size h) { weigh(x, w, v, g, p, h); }     \
    void weigh_slope_##NAME(const float* d, const float* w, const T* s, T* c, float* t, float* u, Size g, Size p,    \
                            Size h) {                                                                                \
        weigh_slope(d, w, s, c, t, u, g, p, h);                                                                      \
    }                                                                                                                \
    void outer_##NAME(const float* a, const float* b, T* s, Size n, Size r, Size c, Size h) {                        \
        outer(a, b, s, n, r, c, h);                                                                                  \
    }                                                                                                                \
    void outer_slope_##NAME(const T* g, const float* a, const float* b, float* s, float* t, Size n, Size r, Size c,  \
                            Size h) {                                                                                \
        outer_slope(g, a, b, s, t, n, r, c, h);                                                                      \
    }                                                                                                                \
    }

KERNELS(float, float32)
KERNELS(Bfloat16, bfloat16)
