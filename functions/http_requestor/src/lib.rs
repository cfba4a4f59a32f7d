//! Asks `http_e` for a page, five seconds after its start and for every message it gets, and logs
//! what comes back.
//!
//! init-payload: `host=HOST:PORT` (api.github.com:443), `path=PATH` (/).

use edgeless_function::http::{Method, Protocol, Request, Response};
use edgeless_function::*;

const FIRST_MS: u64 = 5000;

static REQUEST: State<Request> = State::new();

struct HttpRequestor;

impl Edgefunction for HttpRequestor {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("http_requestor: started");
        let arguments = parse_init_payload(&payload);
        let text = |key, default| arguments.get(key).unwrap_or(default).to_string();
        let header = |name: &str, value: &str| (name.to_string(), value.to_string());
        REQUEST.set(Request {
            method: Method::Get,
            protocol: Protocol::Https,
            host: text("host", "api.github.com:443"),
            path: text("path", "/"),
            body: None,
            headers: vec![
                header("Accept", "application/vnd.github+json"),
                header("User-Agent", "edgeless"),
            ],
        });
        delayed_cast(FIRST_MS, "self", "wakeup");
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("http_requestor: cast with {}", message);
        let answer = REQUEST.with(|request| call("http_e", &request.to_json()));
        let response = match answer {
            CallRet::Reply(message) => Response::parse(&message),
            _ => None,
        };
        match response {
            Some(response) => {
                let body = response.body.unwrap_or_default();
                let text = String::from_utf8_lossy(&body);
                log::info!("http_requestor: got {}: {}", response.status, text);
            }
            None => log::error!("http_requestor: got no response"),
        }
    }

    fn handle_call(_src: InstanceId, message: String) -> CallRet {
        log::info!("http_requestor: called with {}", message);
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("http_requestor: stopped");
    }
}

edgeless_function::export!(HttpRequestor);
