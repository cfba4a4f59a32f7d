//! Answers HTTP requests: `World` for the path `/hello`, and 404 for all others.

use edgeless_function::http::{Request, Response};
use edgeless_function::*;

struct HttpProcessor;

impl Edgefunction for HttpProcessor {
    fn handle_init(_payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("http_processor: started");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("http_processor: cast with {}", message);
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        log::info!("http_processor: called with {}", message);
        let response = match Request::parse(&message) {
            Some(request) if request.path == "/hello" => Response::new(200, Some("World")),
            Some(_) => Response::new(404, Some("Not Found")),
            None => Response::new(400, Some("not a request")),
        };
        CallRet::Reply(response.to_json())
    }

    fn handle_stop() {
        log::info!("http_processor: stopped");
    }
}

edgeless_function::export!(HttpProcessor);
