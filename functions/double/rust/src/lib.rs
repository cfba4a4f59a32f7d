//! Casts twice the number it gets to `result`. What is not a number of 32 bits is dropped; results
//! wrap around.

use edgeless_function::*;

struct Double;

impl Edgefunction for Double {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("double: started");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("double: cast with {}", message);
        if let Ok(number) = message.parse::<i32>() {
            cast("result", &number.wrapping_mul(2).to_string());
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("double: stopped");
    }
}

edgeless_function::export!(Double);
