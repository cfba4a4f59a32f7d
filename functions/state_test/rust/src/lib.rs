//! Tells in its log which state it was started with, and stores a new one when asked to: EDGELESS's
//! test guest.

use edgeless_function::*;

struct StateTest;

impl Edgefunction for StateTest {
    fn handle_init(_payload: String, state: Option<String>) {
        edgeless_function::init_logger();
        match state {
            Some(state) => telemetry_log(LEVEL_INFO, "edgeless_test_state", &state),
            None => log::info!("no_state"),
        }
    }

    fn handle_cast(_src: InstanceId, message: String) {
        if message == "test_cast_raw_output" {
            sync("new_state");
        } else {
            log::info!("state_test: not a test");
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

edgeless_function::export!(StateTest);
