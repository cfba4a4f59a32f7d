//! Posts every message it gets to a host, through `external_sink`, and logs what comes back.
//!
//! init-payload: the host, `HOST` or `HOST:PORT`.

use edgeless_function::http::{Method, Protocol, Request, Response};
use edgeless_function::*;

static HOST: State<String> = State::new();

struct HttpWriteNumber;

impl Edgefunction for HttpWriteNumber {
    fn handle_init(payload: String, _state: Option<String>) {
        edgeless_function::init_logger();
        log::info!("http_write_number: started");
        HOST.set(payload);
    }

    fn handle_cast(_src: InstanceId, message: String) {
        log::info!("http_write_number: cast with {}", message);
        let host = HOST.with(|host| host.clone());
        if host.is_empty() {
            log::error!("http_write_number: no host, which the init-payload names");
            return;
        }
        let request = Request {
            method: Method::Post,
            protocol: Protocol::Http,
            host,
            path: String::new(),
            body: Some(message.into_bytes()),
            headers: Vec::new(),
        };
        let response = match call("external_sink", &request.to_json()) {
            CallRet::Reply(message) => Response::parse(&message),
            _ => None,
        };
        match response {
            Some(response) => log::info!("http_write_number: got {}", response.status),
            None => log::error!("http_write_number: got no response"),
        }
    }

    fn handle_call(_src: InstanceId, _message: String) -> CallRet {
        CallRet::Noreply
    }

    fn handle_stop() {
        log::info!("http_write_number: stopped");
    }
}

edgeless_function::export!(HttpWriteNumber);
