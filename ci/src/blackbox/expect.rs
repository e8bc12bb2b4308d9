//! Compares an answer with what a step claims of it.

use serde_json::Value;

use super::play::{Variables, fill};
use super::script::{Claim, Place, Step, What};
use crate::http::Reply;

pub(super) fn check(step: &Step, reply: &Reply, variables: &mut Variables) -> Result<(), String> {
    if reply.status != step.status {
        return Err(format!("{} expected", step.status));
    }
    let json = reply.json().unwrap_or(Value::Null);
    if let Some(expected) = &step.error_id {
        let found = json.pointer("/error/id").and_then(Value::as_str);
        if found != Some(expected) {
            return Err(format!("error id {expected:?} expected"));
        }
    }
    step.claims.iter().try_for_each(|claim| check_claim(claim, reply, &json, variables))
}

fn check_claim(claim: &Claim, reply: &Reply, json: &Value, variables: &mut Variables) -> Result<(), String> {
    let found = match &claim.at {
        Place::Pointer(pointer) => json.pointer(pointer.trim_end_matches('/')).cloned(),
        Place::Header(name) => reply.header(name).map(|value| Value::String(value.to_owned())),
        Place::Body => Some(Value::String(String::from_utf8_lossy(&reply.body).into_owned())),
    };
    let complain = |what: String| Err(format!("{:?} {what}", claim.at));
    match (&claim.what, found) {
        (What::Absent, None) | (What::Present, Some(_)) => Ok(()),
        (What::Absent, Some(found)) => complain(format!("should be absent and is {found}")),
        (_, None) => complain("is absent".to_owned()),
        (What::Equals(expected), Some(found)) => {
            let expected = fill(expected, variables)?;
            // A header or a body is text, whatever it looks like.
            let expected = match claim.at {
                Place::Header(_) | Place::Body => Value::String(expected),
                Place::Pointer(_) => serde_json::from_str(&expected).unwrap_or(Value::String(expected)),
            };
            match is_same(&expected, &found) {
                true => Ok(()),
                false => complain(format!("should be {expected} and is {found}")),
            }
        }
        (What::Contains(part), Some(found)) => match text(&found).contains(&fill(part, variables)?) {
            true => Ok(()),
            false => complain(format!("should contain {part:?} and is {found}")),
        },
        (What::Lacks(part), Some(found)) => match text(&found).contains(&fill(part, variables)?) {
            true => complain(format!("should lack {part:?} and is {found}")),
            false => Ok(()),
        },
        (What::Length(length), Some(found)) => match found.as_array().map(Vec::len) == Some(*length) {
            true => Ok(()),
            false => complain(format!("should have {length} items and is {found}")),
        },
        (What::SaveAs(name), Some(found)) => {
            variables.insert(name.clone(), text(&found));
            Ok(())
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// JSON equality in which `1` and `1.0` are the same number.
fn is_same(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(left), Value::Number(right)) => left == right || left.as_f64() == right.as_f64(),
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| is_same(left, right))
        }
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(key, left)| right.get(key).is_some_and(|right| is_same(left, right)))
        }
        _ => left == right,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn outcome(text: &str, status: u16, body: Value) -> Result<(), String> {
        let script =
            super::super::script::Script::parse(std::path::Path::new("x.txt"), &format!("## 1 x\nGET /x\n{text}"));
        let script = script.unwrap();
        let headers =
            [("API-Version", "2.0.0"), ("X-Age", "60")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let headers = headers.to_vec();
        let reply = Reply { status, headers, body: body.to_string().into_bytes(), ..Reply::default() };
        check(&script.cases[0].steps[0], &reply, &mut Variables::new())
    }

    #[test]
    fn status_and_error_id_must_be_as_claimed() {
        let error = json!({ "error": { "id": "forbidden" } });
        assert_eq!(outcome("  -> 403 forbidden", 403, error.clone()), Ok(()));
        assert!(outcome("  -> 403 forbidden", 404, error.clone()).is_err());
        assert!(outcome("  -> 403 unknown-resource", 403, error).is_err());
    }

    #[test]
    fn claims_of_json_and_headers_hold_or_not() {
        let body = || json!({ "a": [1, 2.0], "n": null, "t": "some text" });
        for claim in [
            "/a = [1.0,2]",
            "/b absent",
            "/n present",
            "/t ~ \"me te\"",
            "/a length 2",
            "header api-version = 2.0.0",
            "header x-age = 60",
            "/t lacks \"other\"",
            "body ~ \"some\"",
        ] {
            assert_eq!(outcome(&format!("  -> 200\n  {claim}"), 200, body()), Ok(()), "{claim}");
        }
        for claim in [
            "/a = [1]",
            "/a absent",
            "/b present",
            "/t ~ \"other\"",
            "/a length 3",
            "header x = y",
            "body lacks \"text\"",
        ] {
            assert!(outcome(&format!("  -> 200\n  {claim}"), 200, body()).is_err(), "{claim}");
        }
    }
}
