//! The fixtures that answer the same every time, written down as the suite describes them.

use rmcp::model::{JsonObject, Tool};
use serde_json::{Value, json};

use crate::read;

/// A red pixel.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==";
/// No sound at all.
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

/// Tools without arguments.
const PLAIN: &[&str] = &[
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
];

/// Every tool.
pub fn tools() -> Vec<Tool> {
    let tool = |name: &'static str, schema: Value| {
        Tool::new(name, "A fixture of the conformance suite.", read::<JsonObject>(schema))
    };
    let nothing = json!({ "type": "object", "additionalProperties": false });
    let mut tools: Vec<_> = PLAIN.iter().map(|name| tool(name, nothing.clone())).collect();
    tools.push(tool("json_schema_2020_12_tool", schema_2020_12()));
    let region = json!({
        "type": "object",
        "properties": { "region": { "type": "string", "x-mcp-header": "Region" } },
        "required": ["region"],
        "additionalProperties": false,
    });
    tools.push(tool("test_custom_header", region));
    tools
}

/// A schema with what the revision of 2020-12 has beyond earlier ones.
fn schema_2020_12() -> Value {
    let text = json!({ "type": "string" });
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": { "street": text, "city": text },
            },
        },
        "properties": {
            "name": text,
            "address": { "$ref": "#/$defs/address" },
            "contactMethod": { "type": "string", "enum": ["phone", "email"] },
            "phone": text,
            "email": text,
        },
        "allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
        "if": {
            "properties": { "contactMethod": { "const": "phone" } },
            "required": ["contactMethod"],
        },
        "then": { "required": ["phone"] },
        "else": { "required": ["email"] },
        "additionalProperties": false,
    })
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn image() -> Value {
    json!({ "type": "image", "data": PNG, "mimeType": "image/png" })
}

fn embedded(uri: &str, media_type: &str, text: &str) -> Value {
    json!({
        "type": "resource",
        "resource": { "uri": uri, "mimeType": media_type, "text": text },
    })
}

/// What a tool answers.
pub fn answer(name: &str) -> Option<Value> {
    let content = match name {
        "test_simple_text" => json!([text("This is a simple text response for testing.")]),
        "test_image_content" => json!([image()]),
        "test_audio_content" => {
            json!([{ "type": "audio", "data": WAV, "mimeType": "audio/wav" }])
        }
        "test_embedded_resource" => json!([embedded(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content.",
        )]),
        "test_multiple_content_types" => json!([
            text("Multiple content types test:"),
            image(),
            embedded(
                "test://mixed-content-resource",
                "application/json",
                r#"{"test":"data","value":123}"#
            ),
        ]),
        "test_error_handling" => {
            let content = [text("This tool intentionally returns an error for testing")];
            return Some(json!({ "content": content, "isError": true, "resultType": "complete" }));
        }
        "test_tool_with_progress"
        | "test_missing_capability"
        | "test_streaming_elicitation"
        | "test_logging_tool"
        | "json_schema_2020_12_tool"
        | "test_custom_header" => json!([text("done")]),
        _ => return None,
    };
    Some(json!({ "content": content, "isError": false, "resultType": "complete" }))
}

/// The list of resources.
pub fn resources() -> Value {
    json!([
        { "uri": "test://static-text", "name": "static_text", "mimeType": "text/plain" },
        { "uri": "test://static-binary", "name": "static_binary", "mimeType": "image/png" },
        { "uri": "test://watched-resource", "name": "watched_resource", "mimeType": "text/plain" },
    ])
}

/// The list of templates.
pub fn templates() -> Value {
    let media_type = "application/json";
    json!([{ "uriTemplate": "test://template/{id}/data", "name": "template", "mimeType": media_type }])
}

/// What stands at an address.
pub fn resource(uri: &str) -> Option<Value> {
    let plain = |text: &str| json!({ "uri": uri, "mimeType": "text/plain", "text": text });
    match uri {
        "test://static-text" => Some(plain("This is the content of the static text resource.")),
        "test://static-binary" => Some(json!({ "uri": uri, "mimeType": "image/png", "blob": PNG })),
        "test://watched-resource" => Some(plain("Nothing has happened.")),
        _ => {
            let id = uri.strip_prefix("test://template/")?.strip_suffix("/data")?;
            let data =
                json!({ "id": id, "templateTest": true, "data": format!("Data for ID: {id}") });
            Some(json!({ "uri": uri, "mimeType": "application/json", "text": data.to_string() }))
        }
    }
}

/// The list of prompts.
pub fn prompts() -> Value {
    let argument =
        |name: &str| json!({ "name": name, "description": "Any text.", "required": true });
    json!([
        { "name": "test_simple_prompt", "description": "A prompt." },
        {
            "name": "test_prompt_with_arguments",
            "description": "A prompt with two arguments.",
            "arguments": [argument("arg1"), argument("arg2")],
        },
        {
            "name": "test_prompt_with_embedded_resource",
            "description": "A prompt with a resource.",
            "arguments": [argument("resourceUri")],
        },
        { "name": "test_prompt_with_image", "description": "A prompt with an image." },
        { "name": "test_input_required_result_prompt", "description": "A prompt that asks back." },
    ])
}

/// A prompt, filled in.
pub fn prompt(name: &str, given: &JsonObject) -> Option<Value> {
    let value = |name: &str| given.get(name).and_then(Value::as_str).unwrap_or_default();
    let contents = match name {
        "test_simple_prompt" => vec![text("This is a simple prompt for testing.")],
        "test_prompt_with_arguments" => vec![text(&format!(
            "Prompt with arguments: arg1='{}', arg2='{}'",
            value("arg1"),
            value("arg2")
        ))],
        "test_prompt_with_embedded_resource" => vec![
            embedded(value("resourceUri"), "text/plain", "Embedded resource content for testing."),
            text("Please process the embedded resource above."),
        ],
        "test_prompt_with_image" => vec![image(), text("Please analyze the image above.")],
        _ => return None,
    };
    let message = |content: Value| json!({ "role": "user", "content": content });
    let messages: Vec<_> = contents.into_iter().map(message).collect();
    Some(json!({ "messages": messages, "resultType": "complete" }))
}
