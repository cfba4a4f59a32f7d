//! The messages of the HTTP resources: requests come from `http-ingress` or go to `http-egress`.

use crate::json::{self, Value};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Patch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Unknown,
    Http,
    Https,
}

const METHODS: [(Method, &str); 6] = [
    (Method::Get, "Get"),
    (Method::Head, "Head"),
    (Method::Post, "Post"),
    (Method::Put, "Put"),
    (Method::Delete, "Delete"),
    (Method::Patch, "Patch"),
];

const PROTOCOLS: [(Protocol, &str); 3] = [
    (Protocol::Unknown, "Unknown"),
    (Protocol::Http, "HTTP"),
    (Protocol::Https, "HTTPS"),
];

/// What is asked for. `path` includes the query; an absent body is not an empty one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub method: Method,
    pub protocol: Protocol,
    pub host: String,
    pub path: String,
    pub body: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u16,
    pub body: Option<Vec<u8>>,
    pub headers: Vec<(String, String)>,
}

impl Request {
    /// The request in `message`; `None` if it is none.
    pub fn parse(message: &str) -> Option<Request> {
        let json = json::parse(message)?;
        Some(Request {
            method: named(&METHODS, &json, "method")?,
            protocol: named(&PROTOCOLS, &json, "protocol")?,
            host: json.get("host")?.text()?.to_string(),
            path: json.get("path")?.text()?.to_string(),
            body: body(&json)?,
            headers: headers(&json)?,
        })
    }

    /// The message for `http-egress`.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"method\":");
        json::push_text(&mut json, name(&METHODS, self.method));
        json.push_str(",\"protocol\":");
        json::push_text(&mut json, name(&PROTOCOLS, self.protocol));
        json.push_str(",\"host\":");
        json::push_text(&mut json, &self.host);
        json.push_str(",\"path\":");
        json::push_text(&mut json, &self.path);
        json.push_str(",\"body\":");
        push_body(&mut json, self.body.as_deref());
        push_headers(&mut json, &self.headers);
        json
    }
}

impl Response {
    /// An answer with a text, or without a body.
    pub fn new(status: u16, text: Option<&str>) -> Response {
        Response {
            status,
            body: text.map(|text| text.as_bytes().to_vec()),
            headers: Vec::new(),
        }
    }

    /// The response in `message`; `None` if it is none.
    pub fn parse(message: &str) -> Option<Response> {
        let json = json::parse(message)?;
        Some(Response {
            status: json.get("status")?.number()?,
            body: body(&json)?,
            headers: headers(&json)?,
        })
    }

    /// The message for `http-ingress`.
    pub fn to_json(&self) -> String {
        let mut json = String::from("{\"body\":");
        push_body(&mut json, self.body.as_deref());
        json.push_str(",\"status\":");
        json.push_str(&self.status.to_string());
        push_headers(&mut json, &self.headers);
        json
    }
}

fn named<T: Copy>(names: &[(T, &str)], json: &Value, key: &str) -> Option<T> {
    let wanted = json.get(key)?.text()?;
    names
        .iter()
        .find(|entry| entry.1 == wanted)
        .map(|entry| entry.0)
}

fn name<'a, T: PartialEq>(names: &[(T, &'a str)], wanted: T) -> &'a str {
    let found = names.iter().find(|entry| entry.0 == wanted);
    found.map_or("", |entry| entry.1)
}

/// The outer `None` is for a body that is none.
fn body(json: &Value) -> Option<Option<Vec<u8>>> {
    match json.get("body") {
        None | Some(Value::Null) => Some(None),
        Some(value) => value.bytes().map(Some),
    }
}

fn headers(json: &Value) -> Option<Vec<(String, String)>> {
    match json.get("headers")? {
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| Some((key.clone(), value.text()?.to_string())))
            .collect(),
        _ => None,
    }
}

fn push_body(json: &mut String, body: Option<&[u8]>) {
    match body {
        Some(bytes) => json::push_bytes(json, bytes),
        None => json.push_str("null"),
    }
}

fn push_headers(json: &mut String, headers: &[(String, String)]) {
    json.push_str(",\"headers\":{");
    for (index, (key, value)) in headers.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        json::push_text(json, key);
        json.push(':');
        json::push_text(json, value);
    }
    json.push_str("}}");
}

#[cfg(test)]
mod tests {
    use super::*;

    const POST: &str = r#"{"method":"Post","protocol":"HTTPS","host":"a.test:443","path":"/p?q=\"1\"","body":[0,255],"headers":{"accept":"x","b":""}}"#;

    #[test]
    fn a_request_is_read_and_written() {
        let request = Request::parse(POST).unwrap();
        assert_eq!(request.method, Method::Post);
        assert_eq!(request.protocol, Protocol::Https);
        assert_eq!(request.host, "a.test:443");
        assert_eq!(request.path, "/p?q=\"1\"");
        assert_eq!(request.body.as_deref(), Some(&[0, 255][..]));
        assert_eq!(request.headers[0], ("accept".to_string(), "x".to_string()));
        assert_eq!(request.to_json(), POST);
    }

    #[test]
    fn a_body_may_be_null_absent_or_empty() {
        let with = |body: &str| {
            let start = r#"{"method":"Get","protocol":"Unknown","host":"","path":"","headers":{}"#;
            Request::parse(&format!("{}{}}}", start, body)).map(|request| request.body)
        };
        assert_eq!(with(""), Some(None));
        assert_eq!(with(",\"body\":null"), Some(None));
        assert_eq!(with(",\"body\":[]"), Some(Some(vec![])));
        assert_eq!(with(",\"body\":\"text\""), None);
    }

    #[test]
    fn a_request_that_lacks_a_key_is_refused() {
        for key in ["method", "protocol", "host", "path", "headers"] {
            assert_eq!(Request::parse(&POST.replace(key, "other")), None, "{}", key);
        }
        assert_eq!(Request::parse(&POST.replace("Post", "POST")), None);
        assert_eq!(Request::parse(&POST.replace("\"x\"", "1")), None);
    }

    #[test]
    fn a_response_is_read_and_written() {
        let json = r#"{"body":[79,75],"status":200,"headers":{}}"#;
        let response = Response::parse(json).unwrap();
        assert_eq!(response, Response::new(200, Some("OK")));
        assert_eq!(response.to_json(), json);
        let empty = Response::new(404, None).to_json();
        assert_eq!(empty, r#"{"body":null,"status":404,"headers":{}}"#);
        assert_eq!(Response::parse(&empty.replace("404", "65536")), None);
    }
}
