//! Takes HTTP requests and casts their bodies to `out`. Answers 200; to what is no request with a
//! text as its body, 400.

use edgeless_function::http::{Request, Response};
use edgeless_function::*;

struct HttpExtractor;

impl Edgefunction for HttpExtractor {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
    }

    fn handle_cast(_src: InstanceId, _message: String) {}

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        let response = match extracted(&message) {
            Ok(()) => Response::new(200, None),
            Err(fault) => Response::new(400, Some(fault)),
        };
        CallRet::Reply(response.to_json())
    }

    fn handle_stop() {}
}

fn extracted(message: &str) -> Result<(), &'static str> {
    let request = Request::parse(message).ok_or("not a request")?;
    if let Some(body) = request.body {
        let text = String::from_utf8(body).map_err(|_| "the body is not a text")?;
        cast("out", &text);
    }
    Ok(())
}

edgeless_function::export!(HttpExtractor);
