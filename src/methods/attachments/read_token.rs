//! Read tokens: a link to one file for whoever holds it, with the rights of the access that it was made for (spec 03,
//! section 9.1). It dies with that access, and with a change of its token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use model::Access;
use serde_json::{Map, Value};
use sha1::Sha1;

use crate::config::secrets::Secret;

/// Makes and checks the read tokens of one access.
pub struct ReadTokens {
    secret: Secret,
    access_id: String,
    access_token: String,
}

impl ReadTokens {
    pub fn new(secret: &Secret, access: &Access) -> Self {
        Self { secret: secret.clone(), access_id: access.id.clone(), access_token: access.token.clone() }
    }

    pub fn of_file(&self, file_id: &str) -> String {
        format!("{}-{}", self.access_id, URL_SAFE_NO_PAD.encode(self.mac(file_id).finalize().into_bytes()))
    }

    /// Adds its read token to each attachment of an event as the API shows it.
    pub fn add_to(&self, event: &mut Map<String, Value>) {
        let attachments = event.get_mut("attachments").and_then(Value::as_array_mut);
        for file in attachments.into_iter().flatten().filter_map(Value::as_object_mut) {
            if let Some(token) = file.get("id").and_then(Value::as_str).map(|id| self.of_file(id)) {
                file.insert("readToken".into(), token.into());
            }
        }
    }

    /// Whether `signature` is the second part of this file's token; in constant time.
    pub fn is_valid(&self, file_id: &str, signature: &str) -> bool {
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap_or_default();
        self.mac(file_id).verify_slice(&signature).is_ok()
    }

    fn mac(&self, file_id: &str) -> Hmac<Sha1> {
        let mut mac =
            Hmac::<Sha1>::new_from_slice(self.secret.expose().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(file_id.as_bytes());
        mac.update(b"-");
        mac.update(self.access_token.as_bytes());
        mac
    }
}

/// The id of the access and the signature. Ids have no dash, the signature may.
pub fn split(read_token: &str) -> Option<(&str, &str)> {
    read_token.split_once('-')
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "cfile0000000000000000001";
    const TOKEN: &str = "caccess000000000000000001-Md2lH5ZJk8yoK4v-znEii5_8YRU";

    fn tokens(access_token: &str) -> ReadTokens {
        ReadTokens {
            secret: Secret::new("server-secret"),
            access_id: "caccess000000000000000001".into(),
            access_token: access_token.into(),
        }
    }

    #[test]
    fn the_test_vector_of_the_specification_is_met() {
        assert_eq!(tokens("tok123").of_file(FILE), TOKEN);
    }

    #[test]
    fn a_token_is_good_for_one_file_and_one_token_of_the_access() {
        let (access, signature) = split(TOKEN).unwrap();
        assert_eq!(access, "caccess000000000000000001");
        assert!(tokens("tok123").is_valid(FILE, signature));
        assert!(!tokens("tok124").is_valid(FILE, signature));
        assert!(!tokens("tok123").is_valid("cfile0000000000000000002", signature));
        for bad in ["", "Md2lH5ZJk8yoK4v", "!", &format!("{signature}=")] {
            assert!(!tokens("tok123").is_valid(FILE, bad), "{bad}");
        }
    }

    #[test]
    fn every_attachment_of_an_event_gets_its_own() {
        let mut event =
            serde_json::from_str::<Map<String, Value>>(&format!(r#"{{"attachments":[{{"id":"{FILE}"}}]}}"#));
        let event = event.as_mut().unwrap();
        tokens("tok123").add_to(event);
        assert_eq!(Value::from(event.clone()).pointer("/attachments/0/readToken"), Some(&TOKEN.into()));
    }
}
