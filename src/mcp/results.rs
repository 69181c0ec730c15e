//! What a tool answers, as a model reads it.
//!
//! An answer is structured content and the same as text, for clients that read no other. A refusal is `isError` with
//! text alone: a sentence with the numbers and the next step, then a JSON block with the code. Structured errors
//! beside an output schema make the official TypeScript client throw.

use rmcp::model::{CallToolResult, ContentBlock};
use serde::Serialize;
use serde_json::{Value, json};

use super::tools::Answered;
use crate::service::ServiceError;

/// An answer.
///
/// # Errors
/// It is no JSON: a defect.
pub fn answer(value: &impl Serialize) -> Answered {
    Ok(CallToolResult::structured(shown(value)?))
}

/// A value as clients see it.
///
/// # Errors
/// It is no JSON: a defect.
pub fn shown(value: &impl Serialize) -> Result<Value, ServiceError> {
    let mut value =
        serde_json::to_value(value).map_err(|error| ServiceError::Defect(error.to_string()))?;
    drop_nulls(&mut value);
    Ok(value)
}

/// What is not known is absent: a schema of one type then fits.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(object) => {
            object.retain(|_, value| !value.is_null());
            object.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// A refusal.
pub fn refused(error: &ServiceError) -> CallToolResult {
    error.log_inside();
    let mut block = json!({ "code": error.code() });
    let figures = error.figures();
    if !figures.is_empty() {
        block["figures"] = json!(figures);
    }
    let mut sentence = error.to_string();
    match error {
        ServiceError::Invalid(faults) => {
            let all: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
            sentence = all.join("; ");
            block["errors"] = faults
                .iter()
                .map(|fault| json!({ "field": fault.field, "code": fault.code, "message": fault.message }))
                .collect();
            if let [fault] = faults.as_slice() {
                block["field"] = json!(fault.field);
            }
        }
        ServiceError::Refused(refusal) => block["field"] = json!(refusal.field),
        ServiceError::Rejected { refusal, order_id, replayed, position } => {
            block["field"] = json!(refusal.field);
            block["order_id"] = json!(order_id);
            block["replayed"] = json!(replayed);
            block["position"] = json!(position);
        }
        _ => {}
    }
    drop_nulls(&mut block);
    error_of(sentence, &block)
}

/// The refusal of a tool that this request is not offered.
pub fn not_offered(name: &str) -> CallToolResult {
    let sentence = format!(
        "{name} is not on offer: the server, the connection or the token is narrowed to other tools; list_tools and \
         tools/list show those that are"
    );
    error_of(sentence, &json!({ "code": "tool_not_offered", "tool": name }))
}

/// The end of a call that nobody waits for any more; nothing was changed.
pub fn cancelled() -> CallToolResult {
    error_of("the call was cancelled".to_owned(), &json!({ "code": "cancelled" }))
}

fn error_of(sentence: String, block: &Value) -> CallToolResult {
    CallToolResult::error(vec![ContentBlock::text(sentence), ContentBlock::text(block.to_string())])
}
