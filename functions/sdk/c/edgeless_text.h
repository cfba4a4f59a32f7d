/*
 * Texts for EDGELESS functions in C: comparing, reading numbers and init-payloads, building.
 *
 * What it is not: locale-aware or floating-point. Everything allocates in the memory of the event
 * being handled (edgeless.h), so that nothing has to be freed.
 */
#ifndef EDGELESS_TEXT_H
#define EDGELESS_TEXT_H

#include "edgeless.h"

static inline bool edgeless_equal(edgeless_text left, edgeless_text right) {
    if (left.size != right.size) {
        return false;
    }
    for (uint32_t i = 0; i < left.size; i++) {
        if (left.data[i] != right.data[i]) {
            return false;
        }
    }
    return true;
}

/* ---- Numbers. ---- */

/* error says what is wrong in the words EDGELESS's own functions use; its data is NULL if nothing
 * is. value then is the number. */
typedef struct {
    edgeless_text error;
    int64_t value;
} edgeless_integer;

static inline edgeless_integer edgeless_not_integer(edgeless_text error) {
    return (edgeless_integer){error, 0};
}

/* A decimal integer of 32 bits, a sign allowed and blanks not. The first fault from the left is
 * the one reported: 99999999999x is too large, 9x is an invalid digit. */
static inline edgeless_integer edgeless_parse_i32(edgeless_text text) {
    if (text.size == 0) {
        return edgeless_not_integer(TEXT("cannot parse integer from empty string"));
    }
    bool is_negative = text.data[0] == '-';
    uint32_t i = (is_negative || text.data[0] == '+') ? 1 : 0;
    if (i == text.size) {
        return edgeless_not_integer(TEXT("invalid digit found in string"));
    }
    int64_t value = 0;
    for (; i < text.size; i++) {
        uint32_t digit = (uint32_t)(uint8_t)text.data[i] - '0';
        if (digit > 9) {
            return edgeless_not_integer(TEXT("invalid digit found in string"));
        }
        value = value * 10 + (is_negative ? -(int64_t)digit : (int64_t)digit);
        if (value > INT32_MAX) {
            return edgeless_not_integer(TEXT("number too large to fit in target type"));
        }
        if (value < INT32_MIN) {
            return edgeless_not_integer(TEXT("number too small to fit in target type"));
        }
    }
    return (edgeless_integer){{NULL, 0}, value};
}

/* A decimal number of 64 bits without a minus sign, or *fallback* if the text is none. */
static inline uint64_t edgeless_parse_u64(edgeless_text text, uint64_t fallback) {
    uint32_t i = (text.size > 0 && text.data[0] == '+') ? 1 : 0;
    if (i == text.size) {
        return fallback;
    }
    uint64_t value = 0;
    for (; i < text.size; i++) {
        uint32_t digit = (uint32_t)(uint8_t)text.data[i] - '0';
        if (digit > 9 || value > (UINT64_MAX - digit) / 10) {
            return fallback;
        }
        value = value * 10 + digit;
    }
    return value;
}

/* ---- The init-payload: k1=v1,k2=v2. ---- */

/* The text before the first *separator* in *rest*, which then begins behind it. */
static inline edgeless_text edgeless_next_token(edgeless_text *rest, char separator) {
    uint32_t size = 0;
    while (size < rest->size && rest->data[size] != separator) {
        size++;
    }
    edgeless_text token = {rest->data, size};
    uint32_t skipped = size < rest->size ? size + 1 : size;
    *rest = (edgeless_text){rest->data + skipped, rest->size - skipped};
    return token;
}

/* The value of *key*, the last one if it is there more than once, or *fallback*. What follows a
 * second '=' is ignored and so is a token without '=', as EDGELESS's own functions do it. */
static inline edgeless_text edgeless_argument(edgeless_text payload, edgeless_text key,
                                              edgeless_text fallback) {
    edgeless_text found = fallback;
    edgeless_text rest = payload;
    while (rest.size > 0) {
        edgeless_text value = edgeless_next_token(&rest, ',');
        uint32_t token_size = value.size;
        edgeless_text name = edgeless_next_token(&value, '=');
        bool has_value = name.size < token_size;
        if (has_value && edgeless_equal(name, key)) {
            found = edgeless_next_token(&value, '=');
        }
    }
    return found;
}

/* The next number of 32 bits in the list *rest*, e.g. 1:2:3 with ':'. Items that are none are left
 * out; false when nothing is left. */
static inline bool edgeless_next_i32(edgeless_text *rest, char separator, int32_t *number) {
    while (rest->size > 0) {
        edgeless_integer item = edgeless_parse_i32(edgeless_next_token(rest, separator));
        if (item.error.data == NULL) {
            *number = (int32_t)item.value;
            return true;
        }
    }
    return false;
}

/* As edgeless_next_i32, of numbers of 64 bits without a minus sign. */
static inline bool edgeless_next_u64(edgeless_text *rest, char separator, uint64_t *number) {
    while (rest->size > 0) {
        edgeless_text item = edgeless_next_token(rest, separator);
        /* What is no number is the fallback, whatever the fallback is. */
        *number = edgeless_parse_u64(item, 0);
        if (*number != 0 || edgeless_parse_u64(item, 1) == 0) {
            return true;
        }
    }
    return false;
}

static inline bool edgeless_is_true(edgeless_text text) {
    static const char lower[] = "true";
    if (text.size != sizeof(lower) - 1) {
        return false;
    }
    for (uint32_t i = 0; i < text.size; i++) {
        if ((text.data[i] | 0x20) != lower[i]) {
            return false;
        }
    }
    return true;
}

/* ---- Building. ---- */

/* A text under construction; {0} is an empty one. */
typedef struct {
    char *data;
    uint32_t size;
    uint32_t capacity;
} edgeless_builder;

static inline edgeless_text edgeless_built(const edgeless_builder *builder) {
    /* Without data a text is absent; an empty one needs an address. */
    return (edgeless_text){builder->data != NULL ? builder->data : "", builder->size};
}

static inline bool edgeless_is_last_allocation(const edgeless_builder *builder) {
    uint64_t end = (uintptr_t)builder->data + edgeless_aligned(builder->capacity);
    return builder->data != NULL && end == edgeless_memory_top;
}

/* Makes room for *capacity* bytes in all, in place if nothing was allocated since. */
static inline void edgeless_reserve(edgeless_builder *builder, uint64_t capacity) {
    if (capacity <= builder->capacity) {
        return;
    }
    if (capacity > INT32_MAX) {
        __builtin_trap();
    }
    if (edgeless_is_last_allocation(builder)) {
        uint64_t more = edgeless_aligned(capacity) - edgeless_aligned(builder->capacity);
        edgeless_mem_alloc((uint32_t)more);
    } else {
        char *data = edgeless_mem_alloc((uint32_t)capacity);
        if (builder->size > 0) {
            __builtin_memcpy(data, builder->data, builder->size);
        }
        builder->data = data;
    }
    builder->capacity = (uint32_t)edgeless_aligned(capacity);
}

static inline void edgeless_append(edgeless_builder *builder, edgeless_text text) {
    uint64_t needed = (uint64_t)builder->size + text.size;
    if (needed > builder->capacity) {
        /* Doubling where bytes have to move keeps their number linear in the size of the text. */
        bool moves = builder->size > 0 && !edgeless_is_last_allocation(builder);
        edgeless_reserve(builder, moves ? needed * 2 : needed);
    }
    if (text.size > 0) {
        __builtin_memcpy(builder->data + builder->size, text.data, text.size);
    }
    builder->size += text.size;
}

#define EDGELESS_DIGITS_MAX 20

/* The decimal digits of *value*, written to the end of *room*. */
static inline edgeless_text edgeless_digits(char room[EDGELESS_DIGITS_MAX], uint64_t value) {
    uint32_t begin = EDGELESS_DIGITS_MAX;
    do {
        room[--begin] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return (edgeless_text){room + begin, EDGELESS_DIGITS_MAX - begin};
}

static inline void edgeless_append_u64(edgeless_builder *builder, uint64_t value) {
    char room[EDGELESS_DIGITS_MAX];
    edgeless_append(builder, edgeless_digits(room, value));
}

static inline void edgeless_append_i32(edgeless_builder *builder, int32_t value) {
    int64_t wide = value;
    if (wide < 0) {
        edgeless_append(builder, TEXT("-"));
        wide = -wide;
    }
    edgeless_append_u64(builder, (uint64_t)wide);
}

/* 16 raw bytes in the form 8-4-4-4-12, lower case. */
static inline void edgeless_append_uuid(edgeless_builder *builder, const uint8_t *bytes) {
    static const char hexadecimal[] = "0123456789abcdef";
    char text[36];
    uint32_t size = 0;
    for (uint32_t i = 0; i < 16; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10) {
            text[size++] = '-';
        }
        text[size++] = hexadecimal[bytes[i] >> 4];
        text[size++] = hexadecimal[bytes[i] & 15];
    }
    edgeless_append(builder, (edgeless_text){text, size});
}

/* The two texts joined; an absent one counts as empty. */
static inline edgeless_text edgeless_join(edgeless_text left, edgeless_text right) {
    edgeless_builder builder = {0};
    edgeless_reserve(&builder, (uint64_t)left.size + right.size);
    edgeless_append(&builder, left);
    edgeless_append(&builder, right);
    return edgeless_built(&builder);
}

static inline edgeless_text edgeless_text_of_i32(int32_t value) {
    edgeless_builder builder = {0};
    edgeless_append_i32(&builder, value);
    return edgeless_built(&builder);
}

static inline edgeless_text edgeless_text_of_u64(uint64_t value) {
    edgeless_builder builder = {0};
    edgeless_append_u64(&builder, value);
    return edgeless_built(&builder);
}

#endif
