//! Users of a server, as they come to it over HTTP.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::rest::{Answer, send};

/// A password that is taken.
pub const PASSWORD: &str = "several unrelated words here";

/// A user who has logged in.
#[derive(Debug)]
pub struct Person {
    base: String,
    pub email: String,
    pub user_id: String,
    pub tenant_id: String,
    pub session_id: String,
    pub access: String,
    pub refresh: String,
}

/// Sends a request to the server at `base`, as whoever this token is.
pub async fn call(
    base: &str,
    method: Method,
    path: &str,
    bearer: Option<&str>,
    body: Option<Value>,
) -> Answer {
    let mut request = reqwest::Client::new().request(method, format!("{base}{path}"));
    if let Some(token) = bearer {
        request = request.bearer_auth(token);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    send(request).await
}

pub async fn register(base: &str, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    call(base, Method::POST, "/v1/users", None, Some(body)).await
}

pub async fn log_in(base: &str, email: &str, password: &str) -> Answer {
    let body = json!({"email": email, "password": password});
    call(base, Method::POST, "/v1/sessions", None, Some(body)).await
}

pub async fn refresh(base: &str, token: &str) -> Answer {
    let body = json!({"refresh_token": token});
    call(base, Method::POST, "/v1/sessions/refresh", None, Some(body)).await
}

fn text(answer: &Value, name: &str) -> String {
    answer[name].as_str().unwrap_or_else(|| panic!("no {name} in {answer}")).to_owned()
}

impl Person {
    /// Registers and logs in.
    pub async fn new(base: &str, name: &str) -> Self {
        let email = format!("{name}@example.org");
        let user = register(base, &email, PASSWORD).await.expect(201);
        Self::again(base, &email, PASSWORD, &text(&user, "tenant_id")).await
    }

    /// Logs in.
    pub async fn again(base: &str, email: &str, password: &str, tenant_id: &str) -> Self {
        let tokens = log_in(base, email, password).await.expect(200);
        Self {
            base: base.to_owned(),
            email: email.to_owned(),
            tenant_id: tenant_id.to_owned(),
            user_id: text(&tokens, "user_id"),
            session_id: text(&tokens, "session_id"),
            access: text(&tokens, "access_token"),
            refresh: text(&tokens, "refresh_token"),
        }
    }

    /// Another session of the same user.
    pub async fn elsewhere(&self) -> Self {
        Self::again(&self.base, &self.email, PASSWORD, &self.tenant_id).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        call(&self.base, method, path, Some(&self.access), body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, None).await
    }

    /// Whether the access token is good.
    pub async fn is_in(&self) -> bool {
        match self.get("/v1/users/me").await.status.as_u16() {
            200 => true,
            401 => false,
            other => panic!("{other}"),
        }
    }
}
