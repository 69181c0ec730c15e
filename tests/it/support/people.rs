//! Users of a test server, each with a tenant, and the tokens of their agents.

use std::collections::BTreeSet;

use aggregates::id::{
    AccountId, ClientId, FactId, RequestId, SessionId, TenantId, TokenId, UserId,
};
use aggregates::user::{Door, GrantRole, Scope, TokenLimits, UserEvent};
use blotter::identity::facts::{Cause, Fact, write};
use blotter::identity::tokens::NewToken;
use blotter::identity::{Act, Principal, UserSession};
use blotter::service::{Caller, HeldGrantAnswer, Interface, ServiceError, Visitor};
use chrono::Utc;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::TestDatabase;
use super::rest::{Answer, TestRest, send};

/// Somebody who has registered and logged in.
pub struct Person {
    pub user_id: UserId,
    pub tenant: TenantId,
    pub email: String,
}

/// What a token is made with.
pub fn token(scopes: &[Scope]) -> NewToken {
    NewToken {
        name: "a token".to_owned(),
        scopes: scopes.iter().copied().collect(),
        accounts: None,
        limits: TokenLimits::default(),
        expires_at: None,
    }
}

impl Person {
    /// Somebody new.
    pub async fn register(database: &TestDatabase, name: &str) -> Self {
        let (user, tenant) = (Uuid::now_v7(), Uuid::now_v7());
        let email = format!("{name}@example.org");
        let (user_id, tenant_id) = (UserId::new(user), TenantId::new(tenant));
        let mut transaction = database.identity.pool().begin().await.unwrap();
        sqlx::query(
            "INSERT INTO users (user_id, tenant_id, email, password_hash, state, created_at)
             VALUES ($1, $2, $3, 'none', 'active', now())",
        )
        .bind(user)
        .bind(tenant)
        .bind(&email)
        .execute(&mut *transaction)
        .await
        .unwrap();
        let registered = UserEvent::UserRegistered {
            fact_id: FactId::new(Uuid::now_v7()),
            at: Utc::now(),
            user_id,
            by: Door::Open,
        };
        let cause = Cause {
            actor: user_id.actor(),
            token: String::new(),
            client: String::new(),
            interface: Interface::Rest,
            request: RequestId::new(Uuid::now_v7()),
        };
        let fact = Fact::Of(user_id, registered);
        let _ = write(&mut transaction, tenant_id, &cause, fact).await.unwrap();
        transaction.commit().await.unwrap();
        Self { user_id, tenant: tenant_id, email }
    }

    /// The person in a session.
    pub fn visitor(&self) -> Visitor {
        Visitor {
            principal: Principal::User(UserSession {
                user_id: self.user_id,
                tenant: self.tenant,
                session_id: SessionId::new(Uuid::now_v7()),
                client_id: ClientId::new(Uuid::now_v7()),
            }),
            interface: Interface::Rest,
            request: RequestId::new(Uuid::now_v7()),
        }
    }

    /// The person, permitted to do something.
    pub async fn caller(&self, rest: &TestRest, act: Act, account: Option<AccountId>) -> Caller {
        rest.service.permit(&self.visitor(), act, account).await.unwrap()
    }

    /// Makes a token: its secret and its id.
    pub async fn make(&self, rest: &TestRest, new: NewToken) -> (String, TokenId) {
        let caller = self.caller(rest, Act::ManageTokens, None).await;
        let made = rest.service.make_token(&self.visitor(), &caller, new).await.unwrap();
        (made.token, made.about.token_id)
    }

    /// Accepts what is offered.
    pub async fn accept(
        &self,
        rest: &TestRest,
        grant: &str,
    ) -> Result<HeldGrantAnswer, ServiceError> {
        let caller = self.caller(rest, Act::AnswerGrants, None).await;
        rest.service.accept_grant(&caller, grant.parse().unwrap()).await
    }

    /// A token for everything that tokens are for.
    pub async fn agent(&self, rest: &TestRest) -> Agent {
        self.agent_for(rest, Scope::ALL).await
    }

    /// A token with these scopes.
    pub async fn agent_for(&self, rest: &TestRest, scopes: &[Scope]) -> Agent {
        Agent(self.make(rest, token(scopes)).await.0)
    }

    /// A token with all scopes and these limits.
    pub async fn limited(&self, rest: &TestRest, limits: TokenLimits) -> Agent {
        let new = NewToken { limits, ..token(Scope::ALL) };
        Agent(self.make(rest, new).await.0)
    }

    /// A token with all scopes for these accounts.
    pub async fn confined(&self, rest: &TestRest, accounts: BTreeSet<AccountId>) -> Agent {
        let new = NewToken { accounts: Some(accounts), ..token(Scope::ALL) };
        Agent(self.make(rest, new).await.0)
    }
}

/// Whoever calls with a token.
pub struct Agent(pub String);

impl Agent {
    pub async fn call(&self, rest: &TestRest, method: Method, path: &str) -> Answer {
        send(rest.request(method, path).bearer_auth(&self.0)).await
    }

    pub async fn get(&self, rest: &TestRest, path: &str) -> Answer {
        self.call(rest, Method::GET, path).await
    }

    pub async fn post(&self, rest: &TestRest, path: &str, body: &Value) -> Answer {
        send(rest.request(Method::POST, path).bearer_auth(&self.0).json(body)).await
    }

    /// Opens an account and gives its id.
    pub async fn account(&self, rest: &TestRest, name: &str) -> AccountId {
        let body = json!({"name": name, "kind": "cash", "starting_balance": "10000"});
        let opened = self.post(rest, "/v1/accounts", &body).await.expect(201);
        opened["account_id"].as_str().unwrap().parse().unwrap()
    }

    /// Gives somebody a role that they accept, and gives the id of the grant.
    pub async fn grant(
        &self,
        rest: &TestRest,
        account: AccountId,
        to: &Person,
        role: GrantRole,
    ) -> String {
        let grant = self.offer(rest, account, to, role).await;
        to.accept(rest, &grant).await.unwrap();
        grant
    }

    /// Offers somebody a role and gives the id of the grant.
    pub async fn offer(
        &self,
        rest: &TestRest,
        account: AccountId,
        to: &Person,
        role: GrantRole,
    ) -> String {
        let body = json!({"user": to.email, "role": role.word()});
        let path = format!("/v1/accounts/{account}/grants");
        let given = self.post(rest, &path, &body).await.expect(201);
        given["grant_id"].as_str().unwrap().to_owned()
    }

    /// Sends a request of MCP and gives the answer.
    pub async fn mcp(&self, rest: &TestRest, method: &str, mut params: Value) -> Answer {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let name = params["name"].as_str().or(params["uri"].as_str()).map(ToOwned::to_owned);
        let call = json!({"jsonrpc": "2.0", "id": 7, "method": method, "params": params});
        let mut request = rest
            .request(Method::POST, "/mcp")
            .bearer_auth(&self.0)
            .header("accept", "application/json, text/event-stream")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", method);
        if let Some(name) = name {
            request = request.header("mcp-name", name);
        }
        send(request.json(&call)).await
    }

    /// The names of the tools that are on offer.
    pub async fn tools(&self, rest: &TestRest) -> BTreeSet<String> {
        let listed = self.mcp(rest, "tools/list", json!({})).await.expect(200);
        let tools = listed["result"]["tools"].as_array().unwrap();
        tools.iter().map(|tool| tool["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Calls a tool: what it answers, or the code of its refusal.
    pub async fn tool(
        &self,
        rest: &TestRest,
        name: &str,
        arguments: &Value,
    ) -> Result<Value, String> {
        let params = json!({"name": name, "arguments": arguments});
        let answer = self.mcp(rest, "tools/call", params).await.expect(200);
        let result = &answer["result"];
        if result["isError"] != json!(true) {
            return Ok(result["structuredContent"].clone());
        }
        let block = result["content"][1]["text"].as_str().unwrap_or_else(|| panic!("{answer}"));
        let block: Value = serde_json::from_str(block).unwrap();
        Err(block["code"].as_str().unwrap().to_owned())
    }
}
