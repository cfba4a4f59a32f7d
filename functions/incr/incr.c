/* Casts the number it gets plus one to "result". What is not a number of 32 bits is dropped. */
#define EDGELESS_FUNCTION_NAME "incr"
#include "edgeless_text.h"

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    (void)state;
    edgeless_log(EDGELESS_LOG_INFO, TEXT("incr: started"));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    (void)source;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("incr: cast with "), message));
    edgeless_integer number = edgeless_parse_i32(message);
    if (number.error.data == NULL) {
        /* Results wrap around at 32 bits. */
        edgeless_cast(TEXT("result"), edgeless_text_of_i32((int32_t)(number.value + 1)));
    }
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    (void)message;
    return edgeless_no_reply();
}

static void handle_stop(void) { edgeless_log(EDGELESS_LOG_INFO, TEXT("incr: stopped")); }
