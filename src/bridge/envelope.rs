//! What the relay has to know of a message: enough to post it and to answer for a server that cannot.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::remote::RemoteError;

/// Where a message of 2026-07-28 or later names its revision.
const VERSION: &str = "/_meta/io.modelcontextprotocol~1protocolVersion";

/// A JSON-RPC message, its payload left to the server.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Absent from notifications.
    pub id: Option<Value>,
    /// Absent from answers.
    pub method: Option<String>,
    /// Its parameters; null if it has none.
    pub params: Value,
    /// The revision that it speaks: its own, else that of the handshake.
    pub version: Option<String>,
}

impl Envelope {
    /// Reads a line, `agreed` being the revision of the handshake.
    ///
    /// # Errors
    /// It is no JSON: the message that says so.
    pub fn read(line: &str, agreed: Option<&str>) -> Result<Self, Value> {
        let message: Value = serde_json::from_str(line).map_err(|error| {
            let error = json!({ "code": -32700, "message": format!("not JSON: {error}") });
            json!({ "jsonrpc": "2.0", "id": null, "error": error })
        })?;
        let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
        let params = message.get("params").cloned().unwrap_or_default();
        let version = params.pointer(VERSION).and_then(text);
        Ok(Self {
            id: message.get("id").filter(|id| !id.is_null()).cloned(),
            method: message.get("method").and_then(text),
            version: version.or_else(|| agreed.map(ToOwned::to_owned)),
            params,
        })
    }

    /// Whether it speaks a revision before `version`.
    pub fn is_before(&self, version: &str) -> bool {
        self.version.as_deref().is_none_or(|spoken| spoken < version)
    }

    /// The headers that say what is in the body, for whoever routes without reading it.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = Vec::new();
        if let Some(version) = &self.version
            && self.method.as_deref() != Some("initialize")
        {
            headers.push(("mcp-protocol-version", version.clone()));
        }
        if let Some(method) = &self.method {
            headers.push(("mcp-method", header_value(method)));
            let named = match method.as_str() {
                "tools/call" | "prompts/get" => self.params.get("name"),
                "resources/read" => self.params.get("uri"),
                _ => None,
            };
            if let Some(named) = named.and_then(Value::as_str) {
                headers.push(("mcp-name", header_value(named)));
            }
        }
        headers
    }

    /// Whether `text` is the answer to this request, and not something on the way to it.
    pub fn is_answered_by(&self, text: &str) -> bool {
        let Ok(message) = serde_json::from_str::<Value>(text) else { return false };
        let ends = message.get("result").is_some() || message.get("error").is_some();
        ends && self.id.as_ref().is_some_and(|id| message.get("id") == Some(id))
            || message.get("error").is_some() && message["id"].is_null()
    }

    /// The answer to this request when the server gives none.
    pub fn failed(&self, error: &RemoteError) -> Value {
        self.refused(-32603, &error.to_string())
    }

    /// An answer to this request that says why there is no other.
    pub fn refused(&self, code: i32, why: &str) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.id, "error": { "code": code, "message": why } })
    }

    /// An answer to this request that the relay gives by itself.
    pub fn done(&self) -> Value {
        json!({ "jsonrpc": "2.0", "id": self.id, "result": {} })
    }
}

/// The answer to a line that is longer than `most` bytes, whose id nobody knows.
pub fn too_long(most: usize) -> Value {
    let why = format!(
        "a message has more than {most} bytes, the most that the server takes: send a shorter one"
    );
    json!({ "jsonrpc": "2.0", "id": null, "error": { "code": -32600, "message": why } })
}

/// A text as the value of a header: what a header cannot carry is wrapped as the protocol says.
fn header_value(text: &str) -> String {
    let plain = text.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    let bare = text.trim_matches([' ', '\t']) == text && !text.starts_with("=?base64?");
    if plain && bare { text.to_owned() } else { format!("=?base64?{}?=", STANDARD.encode(text)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_names_its_revision_itself_or_speaks_that_of_the_handshake() {
        let modern = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"positions",
            "_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28"}}}"#;
        let modern = Envelope::read(modern, Some("2025-11-25")).unwrap();
        assert!(!modern.is_before("2026-07-28"));
        let headers = [
            ("mcp-protocol-version", "2026-07-28".to_owned()),
            ("mcp-method", "tools/call".to_owned()),
            ("mcp-name", "positions".to_owned()),
        ];
        assert_eq!(modern.headers(), headers);
        let old = r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#;
        assert!(Envelope::read(old, None).unwrap().is_before("2026-07-28"));
        let old = Envelope::read(old, Some("2025-11-25")).unwrap();
        assert_eq!(old.headers()[0], ("mcp-protocol-version", "2025-11-25".to_owned()));
    }

    #[test]
    fn a_name_that_a_header_cannot_carry_is_wrapped() {
        assert_eq!(header_value("blotter://accounts"), "blotter://accounts");
        assert_eq!(header_value("käse"), "=?base64?a8Okc2U=?=");
        assert_eq!(header_value(" a"), "=?base64?IGE=?=");
        assert_eq!(header_value("=?base64?YQ==?="), "=?base64?PT9iYXNlNjQ/WVE9PT89?=");
    }

    #[test]
    fn what_is_no_json_is_answered_without_an_id() {
        let error = Envelope::read("{", None).unwrap_err();
        assert_eq!((&error["id"], &error["error"]["code"]), (&Value::Null, &json!(-32700)));
    }

    #[test]
    fn an_answer_is_told_from_a_notification_on_the_way() {
        let asked = r#"{"jsonrpc":"2.0","id":7,"method":"tools/list"}"#;
        let asked = Envelope::read(asked, None).unwrap();
        assert!(asked.is_answered_by(r#"{"jsonrpc":"2.0","id":7,"result":{}}"#));
        assert!(asked.is_answered_by(r#"{"jsonrpc":"2.0","id":null,"error":{"code":1}}"#));
        assert!(!asked.is_answered_by(r#"{"jsonrpc":"2.0","id":8,"result":{}}"#));
        assert!(!asked.is_answered_by(r#"{"jsonrpc":"2.0","method":"notifications/progress"}"#));
    }
}
