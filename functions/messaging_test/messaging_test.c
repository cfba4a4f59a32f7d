/* Sends in each of the ways there are, chosen by the message it gets; the alias is "test". */
#define EDGELESS_FUNCTION_NAME "messaging_test"
#include "edgeless_text.h"

#define DELAY_MS 100

static void handle_init(edgeless_text payload, edgeless_text state) {
    (void)payload;
    (void)state;
    edgeless_log(EDGELESS_LOG_INFO, TEXT("messaging_test: started"));
}

static void handle_cast(edgeless_source source, edgeless_text message) {
    if (edgeless_equal(message, TEXT("test_cast_raw_output"))) {
        edgeless_cast_raw(source, TEXT("cast_raw_output"));
    } else if (edgeless_equal(message, TEXT("test_call_raw_output"))) {
        edgeless_release(edgeless_call_raw(source, TEXT("call_raw_output")));
    } else if (edgeless_equal(message, TEXT("test_delayed_cast_output"))) {
        edgeless_delayed_cast(DELAY_MS, TEXT("test"), TEXT("delayed_cast_output"));
    } else if (edgeless_equal(message, TEXT("test_cast_output"))) {
        edgeless_cast(TEXT("test"), TEXT("cast_output"));
    } else if (edgeless_equal(message, TEXT("test_call_output"))) {
        edgeless_release(edgeless_call(TEXT("test"), TEXT("call_output")));
    } else {
        edgeless_log(EDGELESS_LOG_INFO, TEXT("messaging_test: not a test"));
    }
}

static edgeless_answer handle_call(edgeless_source source, edgeless_text message) {
    (void)source;
    if (edgeless_equal(message, TEXT("test_err"))) {
        return edgeless_error();
    }
    if (edgeless_equal(message, TEXT("test_ret"))) {
        return edgeless_reply(TEXT("test_reply"));
    }
    return edgeless_no_reply();
}

static void handle_stop(void) {
    edgeless_log(EDGELESS_LOG_INFO, TEXT("messaging_test: stopped"));
}
