/*
 * Numbers of 32-bit floating point as decimal texts: the shortest digits that read back as the same
 * number, never with an exponent (0.5, 12, 340000000).
 *
 * What it is not: a general printf. Scaling is in double precision, which decides ties between two
 * neighbouring nine-digit texts at most; the reader here agrees with the writer.
 */
#ifndef DECIMAL_H
#define DECIMAL_H

#include "edgeless_text.h"

/* Every decimal of six digits survives a float; every float survives nine. */
#define DIGITS_MIN 6
#define DIGITS_MAX 9

static inline double power_of_ten(int32_t exponent) {
    double power = 1.0;
    for (int32_t i = 0; i < exponent; i++) {
        power *= 10.0;
    }
    return power;
}

static inline double scaled(double value, int32_t exponent) {
    return exponent < 0 ? value / power_of_ten(-exponent) : value * power_of_ten(exponent);
}

/* *value* > 0 is 10^exponent or more, and less than ten times that. */
static inline int32_t exponent_of(double value) {
    int32_t exponent = 0;
    for (; value >= 10.0; value /= 10.0) {
        exponent++;
    }
    for (; value < 1.0; value *= 10.0) {
        exponent--;
    }
    return exponent;
}

static inline void append_zeros(edgeless_builder *builder, int32_t count) {
    for (int32_t i = 0; i < count; i++) {
        edgeless_append(builder, TEXT("0"));
    }
}

/* Appends mantissa * 10^-decimals. */
static inline void append_decimal(edgeless_builder *builder, uint64_t mantissa, int32_t decimals) {
    while (decimals > 0 && mantissa % 10 == 0) {
        mantissa /= 10;
        decimals--;
    }
    char room[EDGELESS_DIGITS_MAX];
    edgeless_text digits = edgeless_digits(room, mantissa);
    int32_t size = (int32_t)digits.size;
    if (decimals <= 0) {
        edgeless_append(builder, digits);
        append_zeros(builder, -decimals);
    } else if (size <= decimals) {
        edgeless_append(builder, TEXT("0."));
        append_zeros(builder, decimals - size);
        edgeless_append(builder, digits);
    } else {
        uint32_t whole = (uint32_t)(size - decimals);
        edgeless_append(builder, (edgeless_text){digits.data, whole});
        edgeless_append(builder, TEXT("."));
        edgeless_append(builder, (edgeless_text){digits.data + whole, (uint32_t)decimals});
    }
}

static inline void append_float(edgeless_builder *builder, float number) {
    double value = number;
    if (value != value) {
        edgeless_append(builder, TEXT("NaN"));
        return;
    }
    if (value < 0) {
        edgeless_append(builder, TEXT("-"));
        value = -value;
    }
    if (value > 3.5e38) {
        edgeless_append(builder, TEXT("inf"));
        return;
    }
    if (value == 0) {
        edgeless_append(builder, TEXT("0"));
        return;
    }
    int32_t exponent = exponent_of(value);
    int32_t digits = DIGITS_MIN;
    uint64_t mantissa;
    int32_t decimals;
    do {
        decimals = digits - 1 - exponent;
        mantissa = (uint64_t)(scaled(value, decimals) + 0.5);
    } while ((float)scaled((double)mantissa, -decimals) != (float)value && ++digits <= DIGITS_MAX);
    append_decimal(builder, mantissa, decimals);
}

/* The number in *text*, digits with at most one point and a sign; 0 if it is none. */
static inline float parse_float(edgeless_text text) {
    uint32_t i = text.size > 0 && (text.data[0] == '-' || text.data[0] == '+') ? 1 : 0;
    bool is_negative = i == 1 && text.data[0] == '-';
    uint64_t mantissa = 0;
    int32_t decimals = 0;
    bool has_point = false;
    if (i == text.size) {
        return 0.0f;
    }
    for (; i < text.size; i++) {
        uint32_t digit = (uint32_t)(uint8_t)text.data[i] - '0';
        if (text.data[i] == '.' && !has_point) {
            has_point = true;
        } else if (digit > 9) {
            return 0.0f;
        } else if (mantissa < UINT64_MAX / 100) {
            mantissa = mantissa * 10 + digit;
            decimals += has_point ? 1 : 0;
        } else { /* Digits beyond the seventeenth move the point only. */
            decimals -= has_point ? 0 : 1;
        }
    }
    float value = (float)scaled((double)mantissa, -decimals);
    return is_negative ? -value : value;
}

#endif
