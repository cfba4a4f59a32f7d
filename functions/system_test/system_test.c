/* Counts down through a workflow: of a number n, n/2 goes to "out1" and n-1 to "out2"; of anything
 * else, what is wrong with it goes to "err". Every message goes to "log" as it came.
 * init-payload: a number is cast to itself after a second. */
#define EDGELESS_FUNCTION_NAME "system_test"
#include "edgeless_text.h"

#define FIRST_MS 1000

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)state;
    edgeless_log(EDGELESS_LOG_INFO, edgeless_join(TEXT("system_test: started with "), payload));
    if (payload.data != NULL && edgeless_parse_i32(payload).error.data == NULL) {
        edgeless_delayed_cast(FIRST_MS, TEXT("self"), payload);
    }
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    edgeless_builder line = {0};
    edgeless_append(&line, TEXT("system_test: cast by "));
    edgeless_append_uuid(&line, source.component);
    edgeless_append(&line, TEXT(" with "));
    edgeless_append(&line, message);
    edgeless_log(EDGELESS_LOG_INFO, edgeless_built(&line));

    edgeless_integer number = edgeless_parse_i32(message);
    if (number.error.data == NULL) {
        edgeless_cast(TEXT("out1"), edgeless_text_of_i32((int32_t)(number.value / 2)));
        edgeless_cast(TEXT("out2"), edgeless_text_of_i32((int32_t)(number.value - 1)));
    } else {
        edgeless_cast(TEXT("err"), edgeless_join(TEXT("parsing error: "), number.error));
    }
    edgeless_cast(TEXT("log"), message);
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    (void)message;
    return edgeless_no_reply();
}

static void handle_stop(void) {}
