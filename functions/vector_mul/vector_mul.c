/* A chain that multiplies vectors: the client casts a random vector to "out" whenever it gets a
 * message; the others cast their own random matrix times the vector they get. Vectors are texts:
 * the number of the transaction, then the elements, separated by commas.
 * init-payload: seed=N (0), is_client=BOOLEAN (false), input_size=N (100). */
#define EDGELESS_FUNCTION_NAME "vector_mul"
#include "edgeless_text.h"
#include "decimal.h"

#define FIRST_MS 1000
#define INPUT_SIZE_DEFAULT 100
/* A matrix of this size fills what a guest can address. */
#define INPUT_SIZE_MAX 32767

static bool is_client;
static uint32_t input_size;
static uint64_t transaction;
static float *matrix;
static uint32_t dice;

/* The linear congruential generator of the C standard's example; from 0 to below 1. */
static float next_random(void) {
    dice = (1103515245u * dice + 12345u) & 0x7fffffffu;
    return (float)dice / 2147483648.0f;
}

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    uint64_t seed = edgeless_parse_u64(edgeless_argument(payload, TEXT("seed"), TEXT("")), 0);
    dice = seed > UINT32_MAX ? 0 : (uint32_t)seed;
    is_client = edgeless_is_true(edgeless_argument(payload, TEXT("is_client"), TEXT("")));
    uint64_t size = edgeless_parse_u64(edgeless_argument(payload, TEXT("input_size"), TEXT("")),
                                       INPUT_SIZE_DEFAULT);
    if (size > INPUT_SIZE_MAX) {
        __builtin_trap();
    }
    input_size = (uint32_t)size;
    if (is_client) {
        edgeless_delayed_cast(FIRST_MS, TEXT("self"), TEXT(""));
        return;
    }
    matrix = edgeless_keep(input_size * input_size * (uint32_t)sizeof(float));
    for (uint32_t i = 0; i < input_size * input_size; i++) {
        matrix[i] = next_random();
    }
}

static void begin_transaction(void) {
    if (transaction > 0) {
        edgeless_log_to(EDGELESS_LOG_TRACE, TEXT("tend"), edgeless_text_of_u64(transaction));
    }
    transaction++;
    edgeless_builder vector = {0};
    edgeless_append_u64(&vector, transaction);
    for (uint32_t i = 0; i < input_size; i++) {
        edgeless_append(&vector, TEXT(","));
        append_float(&vector, next_random());
    }
    edgeless_log_to(EDGELESS_LOG_TRACE, TEXT("tbegin"), edgeless_text_of_u64(transaction));
    edgeless_cast(TEXT("out"), edgeless_built(&vector));
}

/* Elements of *rest* that are missing or too many are the sender's fault, and trap. */
static float *read_vector(edgeless_text rest) {
    float *input = edgeless_mem_alloc(input_size * (uint32_t)sizeof(float));
    for (uint32_t i = 0; i < input_size; i++) {
        if (rest.size == 0) {
            __builtin_trap();
        }
        input[i] = parse_float(edgeless_next_token(&rest, ','));
    }
    if (rest.size > 0) {
        __builtin_trap();
    }
    return input;
}

static void multiply(edgeless_text message) {
    edgeless_text rest = message;
    edgeless_text number = edgeless_next_token(&rest, ',');
    const float *input = read_vector(rest);
    edgeless_builder vector = {0};
    edgeless_append_u64(&vector, edgeless_parse_u64(number, 0));
    for (uint32_t i = 0; i < input_size; i++) {
        float sum = 0.0f;
        for (uint32_t j = 0; j < input_size; j++) {
            sum += matrix[i * input_size + j] * input[j];
        }
        edgeless_append(&vector, TEXT(","));
        append_float(&vector, sum);
    }
    edgeless_cast(TEXT("out"), edgeless_built(&vector));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    if (is_client) {
        begin_transaction();
    } else {
        multiply(message);
    }
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    (void)message;
    return edgeless_no_reply();
}

static void handle_stop(void) {}
