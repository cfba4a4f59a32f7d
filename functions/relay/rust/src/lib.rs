//! Hands everything on to `out`: casts as casts; calls as calls, with the answer going back.

use edgeless_function::*;

struct Relay;

impl Edgefunction for Relay {
    fn handle_init(_payload: String, _state: Option<String>) {}

    fn handle_cast(_src: InstanceId, message: String) {
        cast("out", &message);
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        call("out", &message)
    }

    fn handle_stop() {}
}

edgeless_function::export!(Relay);
