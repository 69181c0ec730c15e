//! The rows of `cases.toml`, and the texts in them.

use std::collections::BTreeMap;

use serde::Deserialize;

/// All rows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    pub order: Vec<OrderRow>,
    pub rest: Vec<RestRow>,
    pub tool: Vec<ToolRow>,
    pub rpc: Vec<RpcRow>,
    pub wire: Vec<WireRow>,
}

/// A face.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Face {
    Rest,
    Mcp,
}

/// A good order with one field that is not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OrderRow {
    pub name: String,
    pub field: String,
    /// As JSON is written; nothing leaves the field out.
    pub values: Vec<String>,
    /// Other fields of the order.
    #[serde(default)]
    pub with: String,
    #[serde(rename = "type", default = "limit")]
    pub order_type: String,
    #[serde(default = "refused")]
    pub status: u16,
    #[serde(default)]
    pub code: String,
    /// What the answer names, where that is not the field.
    pub named: Option<String>,
    pub only: Option<Face>,
}

/// Requests over REST that are answered alike: every path with every body, type and token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RestRow {
    pub name: String,
    pub method: String,
    pub path: Option<String>,
    #[serde(default)]
    pub paths: Vec<String>,
    #[serde(default = "json_type", rename = "type")]
    pub types: Vec<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub authorizations: Vec<String>,
    #[serde(default = "yes")]
    pub token: bool,
    #[serde(default)]
    pub bodies: Vec<String>,
    pub status: u16,
    pub code: String,
    pub field: Option<String>,
}

/// Calls of tools that are refused alike: every tool with every list of arguments.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRow {
    pub name: String,
    pub tools: Vec<String>,
    pub arguments: Vec<String>,
    pub code: String,
    pub field: Option<String>,
}

/// Bodies that are no requests of JSON-RPC.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RpcRow {
    pub name: String,
    #[serde(default = "json_type", rename = "type")]
    pub types: Vec<String>,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    pub bodies: Vec<String>,
    pub status: u16,
    pub rpc: Option<i64>,
}

/// Bytes on a connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WireRow {
    pub name: String,
    pub sends: Vec<String>,
    pub status: u16,
}

fn limit() -> String {
    "limit".to_owned()
}

fn refused() -> u16 {
    422
}

fn json_type() -> Vec<String> {
    vec!["application/json".to_owned()]
}

fn yes() -> bool {
    true
}

impl Table {
    /// Reads the file.
    pub fn read() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/bad_input/cases.toml");
        toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }
}

/// What `%{name}` stands for, beside repetitions and bytes.
pub type Names = BTreeMap<&'static str, String>;

/// The bytes that a text of a row stands for.
pub fn bytes(text: &str, names: &Names) -> Vec<u8> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("%{") {
        found.extend_from_slice(before.as_bytes());
        let (inside, after) = closed(behind);
        match (inside.strip_prefix("byte "), inside.rsplit_once('*'), names.get(inside)) {
            (Some(hex), _, _) => found.push(u8::from_str_radix(hex, 16).unwrap()),
            (_, Some((what, times)), _) => {
                let times: usize = times.parse().unwrap_or_else(|_| panic!("{text}"));
                found.extend(what.repeat(times).into_bytes());
            }
            (_, _, Some(value)) => found.extend_from_slice(value.as_bytes()),
            _ => panic!("what is {inside} in {text}"),
        }
        rest = after;
    }
    found.extend_from_slice(rest.as_bytes());
    found
}

/// What stands before the brace that ends it: that behind a name, or behind the number of a repetition.
fn closed(text: &str) -> (&str, &str) {
    let ends = text.match_indices('}').map(|(at, _)| (&text[..at], &text[at + 1..]));
    let mut ends = ends.filter(|(inside, _)| match inside.rsplit_once('*') {
        Some((_, times)) => !times.is_empty() && times.bytes().all(|byte| byte.is_ascii_digit()),
        None => {
            !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_alphanumeric() || b == b' ')
        }
    });
    ends.next().unwrap_or_else(|| panic!("nothing closes {text}"))
}

/// The same where it has to be text.
pub fn text(text: &str, names: &Names) -> String {
    String::from_utf8(bytes(text, names)).unwrap()
}

#[test]
fn the_texts_of_rows_stand_for_bytes() {
    let names = Names::from([("account", "17".to_owned())]);
    assert_eq!(text("/a/%{account}?%{x=1&*2}%zz", &names), "/a/17?x=1&x=1&%zz");
    assert_eq!(text(r#"%{{"a":*2}1%{}*2}"#, &names), r#"{"a":{"a":1}}"#);
    assert_eq!(bytes("a%{byte ff}", &names), [b'a', 0xff]);
}
