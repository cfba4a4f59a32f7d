//! Casts every message to `out1` and to `out2`. A call to it is an error.

use edgeless_function::*;

struct Dup;

impl Edgefunction for Dup {
    fn handle_init(_payload: String, _state: Option<String>) {}

    fn handle_cast(_src: InstanceId, message: String) {
        cast("out1", &message);
        cast("out2", &message);
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Err
    }

    fn handle_stop() {}
}

edgeless_function::export!(Dup);
