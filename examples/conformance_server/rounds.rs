//! The fixtures that ask the client back: each call is one turn of a dialogue whose state the client carries, sealed.

use blotter::service::CursorKey;
use rmcp::ErrorData;
use rmcp::model::{
    CallToolResponse, ClientCapabilities, GetPromptResponse, InputRequiredResult, InputResponses,
};
use serde_json::{Value, json};

use crate::read;

/// What states are sealed for.
const DIALOGUE: &str = "conformance/dialogue";

/// One turn.
pub struct Turn<'a> {
    /// What the client answers.
    pub responses: InputResponses,
    /// The state that it brought back.
    pub state: Option<String>,
    /// What the client can be asked for.
    pub client: ClientCapabilities,
    /// Seals states.
    pub states: &'a CursorKey,
}

fn form(message: &str, field: &str, kind: &str) -> Value {
    json!({
        "method": "elicitation/create",
        "params": {
            "message": message,
            "requestedSchema": {
                "type": "object",
                "properties": { field: { "type": kind } },
                "required": [field],
            },
        },
    })
}

fn sample(question: &str) -> Value {
    let message = json!({ "role": "user", "content": { "type": "text", "text": question } });
    json!({
        "method": "sampling/createMessage",
        "params": { "messages": [message], "maxTokens": 100 },
    })
}

fn roots() -> Value {
    json!({ "method": "roots/list", "params": {} })
}

impl Turn<'_> {
    /// The turn of a tool.
    pub fn tool(&self, name: &str) -> Result<CallToolResponse, ErrorData> {
        let state = match &self.state {
            None => None,
            Some(sealed) => Some(self.states.open(DIALOGUE, sealed).map_err(|_| {
                ErrorData::invalid_params("the state is not one that this server gave", None)
            })?),
        };
        let name_form = || form("What is your name?", "name", "string");
        Ok(match name.trim_start_matches("test_input_required_result_") {
            "elicitation" => match self.field("user_name", "name") {
                Some(name) => done(&format!("Hello, {name}!")),
                None => self.ask(&json!({ "user_name": name_form() }), None),
            },
            "sampling" => match self.responses.get("capital_question") {
                Some(answer) => done(&answer["content"].to_string()),
                None => {
                    let question = sample("What is the capital of France?");
                    self.ask(&json!({ "capital_question": question }), None)
                }
            },
            "list_roots" => match self.responses.get("client_roots") {
                Some(answer) => done(&format!("roots: {}", answer["roots"])),
                None => self.ask(&json!({ "client_roots": roots() }), None),
            },
            "request_state" | "tampered_state" => match (&state, self.responses.get("confirm")) {
                (Some(_), Some(_)) => done("state-ok"),
                _ => {
                    let confirm = form("Please confirm", "ok", "boolean");
                    self.ask(&json!({ "confirm": confirm }), Some("asked"))
                }
            },
            "multiple_inputs" => {
                let all = ["user_name", "greeting", "client_roots"];
                if state.is_some() && all.iter().all(|key| self.responses.contains_key(*key)) {
                    done("all three came")
                } else {
                    let (greeting, roots) = (sample("Generate a greeting"), roots());
                    let asked = json!({
                        "user_name": name_form(),
                        "greeting": greeting,
                        "client_roots": roots,
                    });
                    self.ask(&asked, Some("asked"))
                }
            }
            "multi_round" => match state.as_deref() {
                Some("first") if self.responses.contains_key("step1") => {
                    let color = form("Step 2: What is your favorite color?", "color", "string");
                    self.ask(&json!({ "step2": color }), Some("second"))
                }
                Some("second") if self.responses.contains_key("step2") => done("both steps came"),
                _ => {
                    let name = form("Step 1: What is your name?", "name", "string");
                    self.ask(&json!({ "step1": name }), Some("first"))
                }
            },
            "capabilities" => {
                let asked = json!({ "user_name": name_form(), "greeting": sample("Greet") });
                self.ask(&asked, Some("asked"))
            }
            _ => return Err(ErrorData::invalid_params("there is no such tool", None)),
        })
    }

    /// The turn of the prompt that asks back.
    pub fn prompt(&self) -> GetPromptResponse {
        match self.field("user_context", "context") {
            Some(context) => {
                let content = json!({ "type": "text", "text": format!("Context: {context}") });
                let messages = json!([{ "role": "user", "content": content }]);
                GetPromptResponse::Complete(read(
                    json!({ "messages": messages, "resultType": "complete" }),
                ))
            }
            None => {
                let asked = form("What context should the prompt use?", "context", "string");
                GetPromptResponse::InputRequired(
                    self.request(&json!({ "user_context": asked }), None),
                )
            }
        }
    }

    /// A field of a form that was filled in and accepted.
    fn field(&self, key: &str, field: &str) -> Option<&str> {
        let response = self.responses.get(key)?;
        response["content"][field].as_str().filter(|_| response["action"] == "accept")
    }

    fn ask(&self, asked: &Value, state: Option<&str>) -> CallToolResponse {
        CallToolResponse::InputRequired(self.request(asked, state))
    }

    /// Asks for what the client can be asked for.
    fn request(&self, asked: &Value, state: Option<&str>) -> InputRequiredResult {
        let client = serde_json::to_value(&self.client).expect("capabilities are JSON");
        let can = |request: &Value| match request["method"].as_str() {
            Some("elicitation/create") => client["elicitation"].is_object(),
            Some("sampling/createMessage") => client["sampling"].is_object(),
            _ => client["roots"].is_object(),
        };
        let asked = asked.as_object().into_iter().flatten();
        let possible = asked.filter(|(_, request)| can(request));
        let possible = possible.map(|(key, request)| (key.clone(), read(request.clone())));
        let state = state.map(|state| self.states.seal(DIALOGUE, state));
        InputRequiredResult::new(Some(possible.collect()), state)
    }
}

fn done(text: &str) -> CallToolResponse {
    let content = [json!({ "type": "text", "text": text })];
    CallToolResponse::Complete(read(
        json!({ "content": content, "isError": false, "resultType": "complete" }),
    ))
}
