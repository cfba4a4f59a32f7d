//! Sends in the way that the message asks for, and answers as it asks for: EDGELESS's test guest.

use edgeless_function::*;

const DELAY_MS: u64 = 100;

struct MessagingTest;

impl Edgefunction for MessagingTest {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("messaging_test: started");
    }

    fn handle_cast(src: InstanceId, message: String) {
        match message.as_str() {
            "test_cast_raw_output" => cast_raw(src, "cast_raw_output"),
            "test_call_raw_output" => drop(call_raw(src, "call_raw_output")),
            "test_delayed_cast_output" => delayed_cast(DELAY_MS, "test", "delayed_cast_output"),
            "test_cast_output" => cast("test", "cast_output"),
            "test_call_output" => drop(call("test", "call_output")),
            _ => log::info!("messaging_test: not a test"),
        }
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        match message.as_str() {
            "test_err" => CallRet::Err,
            "test_ret" => CallRet::Reply("test_reply".to_string()),
            _ => CallRet::Noreply,
        }
    }

    fn handle_stop() {
        log::info!("messaging_test: stopped");
    }
}

edgeless_function::export!(MessagingTest);
