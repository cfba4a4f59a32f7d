//! Casts the number it gets plus one to `result`. What is not a number of 32 bits is dropped; results
//! wrap around.

use edgeless_function::*;

struct Incr;

impl Edgefunction for Incr {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("incr: started");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("incr: cast with {}", message);
        if let Ok(number) = message.parse::<i32>() {
            cast("result", &number.wrapping_add(1).to_string());
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("incr: stopped");
    }
}

edgeless_function::export!(Incr);
