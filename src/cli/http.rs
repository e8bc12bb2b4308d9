//! A blocking HTTP client for the commands that talk to a running server.

use serde_json::Value;

use crate::boot::BootError;

/// Sends a request and gives the status and the JSON answer (or null). Error statuses are answers, too.
pub fn request(method: &str, url: &str, token: Option<&str>, body: Option<&Value>) -> Result<(u16, Value), BootError> {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("Authorization", token);
    }
    let text = match body {
        Some(body) => {
            request = request.header("Content-Type", "application/json");
            body.to_string()
        }
        None => String::new(),
    };
    let cannot_reach = |error: ureq::Error| format!("{url} cannot be reached ({error}): is the server running?");
    let mut response = match body {
        Some(_) => agent.run(request.body(text)?).map_err(cannot_reach)?,
        None => agent.run(request.body(())?).map_err(cannot_reach)?,
    };
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string()?;
    Ok((status, serde_json::from_str(&text).unwrap_or(Value::Null)))
}

/// What the server says is wrong, as a person reads it: the message, and one for each parameter.
pub fn refusal(status: u16, answer: &Value) -> String {
    let message = |value: &Value| value.get("message").and_then(Value::as_str).map(str::to_owned);
    let Some(error) = answer.get("error") else {
        return format!("the server refused ({status}), and does not say why: is it a Coreward or Pryv server?");
    };
    let details: Vec<String> =
        error.get("data").and_then(Value::as_array).into_iter().flatten().filter_map(message).collect();
    let said = message(error).unwrap_or_else(|| error.to_string());
    format!("the server refused ({status}): {said} {}", details.join(" ")).trim_end().to_owned()
}

/// `http://TOKEN@host/name/` -> (`http://host/name/`, `TOKEN`).
pub fn split_endpoint(endpoint: &str) -> Option<(String, String)> {
    let (scheme, rest) = endpoint.split_once("://")?;
    let (token, host) = rest.split_once('@')?;
    let slash = if host.ends_with('/') { "" } else { "/" };
    Some((format!("{scheme}://{host}{slash}"), token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_tells_what_is_wrong_with_each_parameter() {
        let data = serde_json::json!([{ "code": "username-invalid", "message": "Too short." }]);
        let answer = serde_json::json!({ "error": { "id": "x", "message": "Bad parameters.", "data": data } });
        assert_eq!(refusal(400, &answer), "the server refused (400): Bad parameters. Too short.");
        assert!(refusal(502, &Value::Null).contains("502"));
    }

    #[test]
    fn an_endpoint_is_split_into_url_and_token() {
        let expected = Some(("http://h:1/alice/".to_owned(), "tok".to_owned()));
        assert_eq!(split_endpoint("http://tok@h:1/alice/"), expected);
        assert_eq!(split_endpoint("http://tok@h:1/alice"), expected);
        assert_eq!(split_endpoint("http://h:1/alice/"), None);
    }
}
