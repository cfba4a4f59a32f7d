//! Replies `PONG` to every call.

use edgeless_function::*;

struct Pong;

impl Edgefunction for Pong {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("pong: started");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("pong: cast with {}", message);
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        log::info!("pong: called with {}", message);
        CallRet::Reply("PONG".to_string())
    }

    fn handle_stop() {
        log::info!("pong: stopped");
    }
}

edgeless_function::export!(Pong);
