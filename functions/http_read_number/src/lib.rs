//! Takes HTTP requests for the path `/read_number` and casts the number of 32 bits that is the body
//! to `parsed_value`. Answers 200, 400 for other bodies and 404 for other paths.

use edgeless_function::http::{Request, Response};
use edgeless_function::*;

struct HttpReadNumber;

impl Edgefunction for HttpReadNumber {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("http_read_number: started");
    }

    fn handle_cast(_src: InstanceId, _message: String) {}

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        log::info!("http_read_number: called with {}", message);
        let response = match number_of(&message) {
            Ok(number) => {
                cast("parsed_value", &number);
                Response::new(200, None)
            }
            Err((status, fault)) => Response::new(status, Some(fault)),
        };
        CallRet::Reply(response.to_json())
    }

    fn handle_stop() {
        log::info!("http_read_number: stopped");
    }
}

/// The number as it was written, or the status and the text of the answer.
fn number_of(message: &str) -> Result<String, (u16, &'static str)> {
    let request = Request::parse(message).ok_or((400, "not a request"))?;
    if request.path != "/read_number" {
        return Err((404, "no such path"));
    }
    let body = request.body.ok_or((400, "no body"))?;
    let text = String::from_utf8(body).map_err(|_| (400, "the body is not a text"))?;
    match text.parse::<i32>() {
        Ok(_) => Ok(text),
        Err(_) => Err((400, "the body is not an integer")),
    }
}

edgeless_function::export!(HttpReadNumber);
