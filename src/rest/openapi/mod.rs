//! The OpenAPI 3.1 document of the REST face, made from the routes themselves.
//!
//! A route cannot be there without standing here: [`super::routes::Routes`] takes a handler and its [`Operation`]
//! together. Schemas of answers are derived from the types that are serialized (schemars writes JSON Schema 2020-12,
//! which is that of OpenAPI 3.1, and describes the events too); what clients send is described with the words and
//! bounds that it is read with. `docs/openapi.json` is this document, held by a test, so that a changed contract is a
//! visible change. Made once, in a few milliseconds.

mod field;
mod operation;
mod problems;

pub use field::Field;
pub use operation::Operation;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::problem::Document;
use super::routes::Described;

/// What the document says of the whole.
const ABOUT: &str = "Blotter is a paper-trading ledger: no order reaches a real market.\n\n\
    Amounts are decimals in strings, in dollars; quantities are shares; times are RFC 3339. A request takes decimals as \
    strings, or as JSON numbers of at most 15 significant digits without exponent. Unknown fields and parameters are \
    refused by name.\n\n\
    Every answer to a write has the `position` of the log at which it stands. A read sees every write that was answered \
    before it; `min_position` asks for a position by name. Lists are pages: `next_cursor` is the `cursor` of the next \
    one, and `null` after the last.\n\n\
    Failures are RFC 9457 problem documents: `code` is the machine word, the same as over MCP, and `errors` names every \
    bad field at once.";

/// The document of these routes.
pub fn document(routes: &[Described]) -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let problem = generator.subschema_for::<Document>().to_value();
    let mut paths: Map<String, Value> = Map::new();
    for Described { method, path, tag, operation } in routes {
        let method = method.as_str().to_lowercase();
        let operation = operation.object(path, tag, &mut generator);
        let item = paths.entry(path.clone()).or_insert_with(|| json!({}));
        item[method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Blotter",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "security": [{"bearer": []}],
        "tags": tags(routes),
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A user's access token, of `POST /v1/sessions`; or the operator's token: \
                                    `BLOTTER_OPERATOR_TOKEN`, or the file `operator.token` of the data directory.",
                },
            },
            "headers": problems::header_components(),
            "responses": problems::components(&problem),
            "schemas": generator.take_definitions(true),
        },
    })
}

/// The groups of operations, in the order in which they first stand there.
fn tags(routes: &[Described]) -> Vec<Value> {
    let mut names: Vec<&str> = Vec::new();
    for route in routes {
        if !names.contains(&route.tag) {
            names.push(route.tag);
        }
    }
    names.into_iter().map(|name| json!({"name": name})).collect()
}
