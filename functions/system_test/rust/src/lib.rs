//! Counts down through a workflow: of a number n, n/2 goes to `out1` and n-1 to `out2`; of anything
//! else, what is wrong with it goes to `err`. Every message goes to `log` as it came.
//!
//! init-payload: a number is cast to itself after a second.

use edgeless_function::*;

const FIRST_MS: u64 = 1000;

struct SystemTest;

impl Edgefunction for SystemTest {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("system_test: started with {}", payload);
        if payload.parse::<i32>().is_ok() {
            delayed_cast(FIRST_MS, "self", &payload);
        }
    }

    fn handle_cast(src: InstanceId, message: String) {
        log::info!("system_test: cast by {} with {}", src.function, message);
        match message.parse::<i32>() {
            Ok(number) => {
                cast("out1", &(number / 2).to_string());
                cast("out2", &number.wrapping_sub(1).to_string());
            }
            Err(fault) => cast("err", &format!("parsing error: {}", fault)),
        }
        cast("log", &message);
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {}
}

edgeless_function::export!(SystemTest);
